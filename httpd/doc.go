// Package httpd is what a broker shows over HTTP: whether it is well, RabbitMQ's management
// API, and the management page.
//
// # GET /health
//
// For load balancers and supervisors. The answer is JSON, never cached:
//
//	status    code  meaning
//	starting  503   the port is bound, recovery is not over
//	ok        200   all is well
//	blocked   200   publishers are held up until a resource is there again, named
//	                in "alarm"; consumers are served
//	failed    503   the log can be written no more, for the reason in "error":
//	                persistent publishes are refused and consumers served, until
//	                the disk is seen to and the broker restarted
//	stopping  503   it was told to stop
//
// An alarm is no 503: whoever restarts what is not well, or takes it out of the
// balance, would keep away the consumers that are to make room.
//
// "damaged_messages" counts those that could not be read from disk since the
// start and were set aside, while their queues went on; the broker's log names
// file, offset and cause. They make no 503 either: a restart does not mend them.
//
// "version" names the release. There are no secrets in the answer but the paths
// in an error; it needs no login.
//
// # The management API
//
// Paths, methods, fields and codes are those of RabbitMQ 3.10 (each file has a table
// of its own): users, tags, vhosts, permissions, topic permissions, limits, policies
// and operator policies; queues, exchanges and bindings, which can be made, purged and
// deleted, too; clients' connections, which can be closed (DELETE, with a header X-Reason).
// Messages can be published and fetched, with all four of RabbitMQ's ackmodes. What is
// published was confirmed when it is answered; while publishers are held up it is 503.
// An answer has at most 32 MiB of messages, or one larger message: those beyond stay.
// Where RabbitMQ answers a bad value with 500, the answer here is 400 with a reason.
//
// What RabbitMQ does not have:
//
//	GET /api/queues/{vhost}/{queue}/peek?position=0&count=50&state=all|ready|unacked&truncate=50000
//	GET /api/queues/{vhost}/{queue}/storage
//
// The first shows messages, ready and unacked ones, to who may read the queue, and
// changes nothing, not even what is redelivered. Positions count from the head of the
// queue; "next" is the one to go on from, null where none is behind. An answer has at most
// 1,000 messages and 32 MiB of them. The second tells where a queue's messages lie: in
// the log, in segments (and how small they have become there), in files of their own, in
// memory.
//
// Logins are Basic, by users of the broker; a user needs one of the tags
// management, policymaker, monitoring and administrator, which say what it may do,
// and sees the vhosts that it has permissions in. 401 stands for both, as in
// RabbitMQ. A change is on disk, and holds, when it is answered with 201 or 204.
//
// Lists can be had by page, filtered by name, sorted and cut to columns. They are
// put together a few objects at a time, so that they hold nobody up, and are
// written as they are made. A request's body has at most 1 MiB; one that publishes has
// 16 MiB, and definitions (package definitions; a JSON body, or a file in a form) 64 MiB.
//
// Parameters are those of package definitions; what RabbitMQ's plugins would make of
// others there is nobody to do, so that they are refused, though imported ones are kept.
// What concerns the nodes of a cluster (start, rebalance, sync) is done at once, for
// there is nothing to do.
//
// # Figures
//
// message_stats, *_details.rate and samples come from package monitor, every 5 s; counts
// and lengths are of the moment, but for sums over more than 10,000 queues. A request has
// samples by lengths_age and lengths_incr, msg_rates_, data_rates_ and node_stats_, in
// seconds; there are none from before the process began. What RabbitMQ tells of Erlang
// processes (reductions, garbage_collection and the like) is there, for typed clients,
// and 0. messages_ram are those that are nowhere but in memory. /api/storage, which
// RabbitMQ has not, is package store's Metrics.
//
// # The page
//
// GET / is the management page, which does all that it does through the API: package
// page has its files. It logs in at /page/session: POST with a JSON object of username
// and password begins a session (204 and a cookie), GET tells whose it is, as
// /api/whoami does (204 where there is none), DELETE ends it. A login is checked, bounded and logged as one of the
// API. The API takes the cookie only with the header X-Leveret-Page, which no other site
// can make a browser send; with that header nothing else counts, and a 401 does not
// make the browser ask for a password. A session ends with its user and at any change of
// its password; the user's tags and permissions are those of the moment.
//
// Requests that may change something and come from another site's page are refused with
// 403 (net/http.CrossOriginProtection), with a password or without: a browser that knows
// one sends it along. Every answer has the headers of page.Protect.
//
// # Bounds
//
// Connections are few (Options.MaxConnections) since they take descriptors that
// the storage engine may need, and each is given little time: a header must come
// within 5 s, an answer be taken within 10 s, and an idle connection is closed
// after 30 s. For a connection over the bound one is closed that has had no request for
// longest; while all are at work it waits until one has ended (package limit).
//
// Requests that hold many messages take turns, four at a time, as do those that sort or
// filter long lists, half as many as there are processors: one that waits for more than
// 10 s is answered with 503. A regular expression is bounded (package expression).
//
// # Files
//
//	server.go  the server and its life
//	health.go  GET /health
//	api.go router.go
//	           the API's paths, who may ask, errors, bodies
//	list.go columns.go tables.go
//	           pages, sorting, columns; field tables as JSON
//	users.go permissions.go vhosts.go limits.go policies.go queues.go exchanges.go
//	bindings.go connections.go channels.go overview.go nodes.go storage.go checks.go
//	           a resource each, with the table of its paths
//	rates.go   rates and samples in answers
//	session.go origin.go
//	           logins of the page; who comes from this machine
//	audit.go   what stands in the audit log
//	declare.go queues, exchanges and bindings that are made and deleted
//	messages.go peek.go
//	           messages that are published and fetched; looking into a queue
//	definitions.go parameters.go
//	           export and import; parameters, the cluster's name
//	single.go  what is there since RabbitMQ may be many nodes
package httpd
