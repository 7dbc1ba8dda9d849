// Package httpd is what a broker shows over HTTP: today whether it is well,
// later management and metrics.
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
// # Bounds
//
// Connections are few (Options.MaxConnections) since they take descriptors that
// the storage engine may need, and each is given little time: a header must come
// within 5 s, an answer be taken within 10 s, and an idle connection is closed
// after 30 s. A connection over the bound waits until another has ended.
//
// # Files
//
//	server.go  the server and its life
//	health.go  GET /health
package httpd
