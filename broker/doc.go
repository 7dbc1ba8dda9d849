// Package broker is what a queue, an exchange and a consumer mean: virtual
// hosts, topology, routing, delivery. It stands on store, which keeps messages
// and knows no AMQP, and serves front ends, which know sockets and frames; amqpd
// is the first.
//
// # What it promises
//
// Behaviour is RabbitMQ's, and so are the codes and texts of refusals, which are
// *amqp.Error. Methods that change topology return when the change is on disk,
// where it must be, or leave that to Session.Await; one change is one record of the
// log, with all that hangs on it: a queue's deletion, its bindings, the auto-delete
// exchanges that lost their last one. A Batch is one record too, so that a fan-out or a
// transaction is in all its queues after a power cut, or in none. (But for limits.go, and
// for settlements by the thousand: what is no transaction may be cut in parts.)
//
// A transaction of which a full queue refuses a message (x-overflow
// reject-publish) has no effect at all. Its messages count as if nobody took one
// before the last is there.
//
// A message that would not outlive the process, for one queue that is empty and whose
// next consumer acks nothing, goes to that consumer past the store: see direct.go.
//
// Nothing is offered to a consumer after its Cancel returned. No cause for
// delivery is lost, nobody waits for a dispatcher, and nobody dispatches for
// others without end: see dispatch.go. Publishing, routing, delivery and acks
// allocate nothing a message.
//
// # What it leaves to others
//
// Prefetch and out buffers are the front end's: a Sink says how much a consumer
// may take. So are channels, delivery tags, consumer tags, what an empty queue
// name means, confirms and returns. Persistence, order and limits of memory are
// the store's.
//
// # A front end's use of it
//
//	Open ─ Authenticate ─ NewSession ─┬─ NewBatch ─ Publish, Ack, Requeue, Touch … ─ Flush   the hot path, one batch a read
//	                                  ├─ DeclareQueue, BindQueue … ─ Await                   flush the batch before; see Ahead
//	                                  ├─ Consume ─ Touch … Offer … ─ Cancel
//	                                  └─ Close                                               unacked requeued, consumers cancelled
//
// # Queue arguments
//
// Types and values are checked as in RabbitMQ 3.10, and a redeclaration must
// have equivalent ones. The package acts on
//
//	x-queue-type               classic, quorum (a durable queue); stream is
//	                           540 NOT_IMPLEMENTED
//	x-expires                  an unused queue goes; nothing is dead-lettered by that
//	x-message-ttl              see below
//	x-max-length, x-max-length-bytes, x-overflow
//	                           drop-head, reject-publish, reject-publish-dlx
//	x-dead-letter-exchange, x-dead-letter-routing-key, x-dead-letter-strategy
//	                           see below
//	x-delivery-limit           of quorum queues, 20 where nobody says anything else
//	x-max-priority             1 to 255; 0 is an ordinary queue
//	alternate-exchange         of exchanges
//	x-single-active-consumer   the next is that of the highest priority, of those
//	                           the first that came
//	x-priority                 of consumers
//	x-consumer-timeout         of queues; a consumer's own is the front end's
//
// and accepts and keeps, though they mean nothing here:
//
//	x-queue-mode, x-queue-version, x-queue-leader-locator,
//	x-queue-master-locator, x-max-in-memory-length, x-max-in-memory-bytes,
//	x-quorum-initial-group-size
//
// Other arguments are kept and have no meaning.
//
// # Policies
//
// A vhost has policies and operator policies (package policy). One of each at most
// applies to a queue or exchange, and together with the arguments they make its
// settings, which are replaced as a whole when policies change: at once for what is
// there, and on disk, when the change is answered. The lower of two bounds holds;
// else an argument before a policy. The keys are RabbitMQ's, those without a meaning
// here too. What a redeclaration is compared with are the arguments alone; a queue's
// type, its priorities and whether it has a single active consumer are for its life.
//
// # Time
//
// A message expires by its property expiration or its queue's x-message-ttl, the lower
// of both, counted from the publish (in a transaction from the commit). It goes within
// milliseconds, wherever it is in the queue and whether or not anybody consumes, is
// never delivered later, and is dead-lettered where the queue says so. One that was
// requeued has no more time than it had. A time of 0 is for a consumer that is ready
// to take the message, and for nobody else. A time to live that a policy changes holds
// for what is in the queue too, from its publication on; RabbitMQ leaves such messages
// the time that they came with.
//
// # Consumers
//
// Of those that may take a message the highest x-priority comes first, then those of
// one priority in turn. A queue with x-single-active-consumer serves one: the first
// that came, until it goes, then the first of the highest priority; who comes later
// takes nothing over. Where messages are unacked the next one waits for a moment, so
// that those of a client that cancels and closes its channel come to it first. (A
// RabbitMQ classic queue serves the next one only when something else happens to it.)
//
// Messages that come together, in one read of a connection, are all in a priority
// queue before one of them is delivered: of them too the highest goes first.
//
// # Delayed messages
//
// An exchange of the type x-delayed-message, whose argument x-delayed-type says how it
// routes, keeps a message whose header x-delay is positive (ms, in any type of number or
// as decimal text) for that long, and routes it then: with the bindings of that moment,
// never early, late by milliseconds, and as itself but for x-delay, which is negated. A
// message without that header, or with one that is no number, is routed at once. What
// waits is as durable as the exchange and the message, is confirmed like any other, and
// goes with the exchange. It counts as routed: a mandatory message is not returned, and
// what reaches no queue in the end is gone, unless there is an alternate exchange.
// Queues with bounds take what is due as they take dead letters.
//
// # Dead letters
//
// A message that is rejected, expires, is too much for its queue, or came back to a
// quorum queue more often than x-delivery-limit says, is published to the queue's
// dead-letter exchange, if there is one, with what package death writes into its
// headers. That, and the end of what it was, is one batch of the store: after a power
// cut it is in one place. In a transaction it is part of that (of more than 32 MiB of
// dead letters, and of large bodies, the rest follows the commit); a transaction that
// a full queue refuses buries nothing. Nobody's permissions are asked.
//
// Where the exchange is missing, or no queue is reached, the message is gone; with the
// strategy at-least-once it stays unacked in its queue until it reaches one, tried
// again when the topology has changed; where some 260,000 of a queue stay so, it
// delivers nothing more until half of them have gone, so that they take no more memory
// (RabbitMQ holds any number). A queue at its bounds with reject-publish takes
// dead letters all the same (RabbitMQ loses them there). A cycle of queues in which
// nobody rejected ends. The dead letters of a queue are in its order, but for large
// bodies, which are copied meanwhile. They are routed by the keys in CC, where they
// keep their own, but not by those in BCC, which are not kept (RabbitMQ: they are).
//
// What was requeued counts as returned, as in RabbitMQ, by whatever way: a nack, a
// recover, a channel or connection that ended. Only a crash of the broker does not
// count. Transient messages in a quorum queue are as persistent as others; large ones
// are not.
//
// # Records in the store's catalog
//
// Package internal/catalog has the format of keys and values. Fields that are not
// known are passed over.
//
// Only what is durable has a record: exclusive queues never are, and a binding
// is where both its ends are. The exchanges that each vhost has from the
// beginning have none.
//
// # Who may do what
//
// Package access says what passwords, tags, permissions and limits are. Here they
// are kept in the catalog, and asked: each of a Session's methods asks before it
// looks anything up, so that a refusal (403) does not tell what there is, in
// RabbitMQ's order and words. A user in a vhost has a grant, which is replaced as a
// whole; its sessions point to it, and a route that a batch remembers is one that the
// grant of its generation allows, so that publishing asks nothing a message. What
// changes acts at once, on connections that are there too, but for limits, which keep
// out and throw nobody out.
//
//	a method                    configure      write                 read
//	------------------------    -----------    ------------------    -------------------------
//	declare, delete             the object
//	  with a DLX, when made                    the DLX               the queue
//	  with an AE, when made                    the AE                the exchange
//	  passive                   nothing is asked, nor for direct reply-to's names
//	bind, unbind                               the destination       the source; routing key
//	publish                                    exchange; each key
//	consume, get, purge                                              the queue
//
// RabbitMQ 3 asks for the routing key of a publish alone; here those in CC and BCC
// must be allowed too. A user that is deleted loses its connections, a vhost that is
// deleted those to it and all that is in it.
//
// # Locks
//
//	Broker.admin → Broker.mu
//	Broker.admin → vhost.policing → vhost.mu
//	Broker.mu → vhost.mu → localQueue.mu → the log's append lock → the store's locks
//	                                     → the locks that a Sink's methods take
//
// A front end never calls this package with a lock held that a Sink's method
// takes. expiries.mu, graves.mu and what sync.Pool has are leaves.
//
// # Files
//
//	broker.go people.go          a broker's life; the users that Open finds and makes
//	login.go                     who may come in
//	users.go vhosts.go permissions.go
//	                             what administrators change
//	acting.go                    changes that stand in the audit log; logins that are counted
//	parameters.go restore.go     what is kept for others; topology from definitions
//	alarm.go memory.go           what is short: free disk space, memory; limits that may change
//	resources.go                 how much of it there is, for who administrates
//	reserve.go                   room for a start on a full disk
//	session.go vhost.go          a connection's standing; how topology changes
//	exchange.go bindings.go      exchanges; what is bound to what
//	queue.go arguments.go        the seam to engines, declaring, deleting; x- arguments
//	policies.go settings.go      policies; what arguments and policies together say
//	listing.go connections.go    what there is, and who is connected, for who administrates
//	expiry.go ttl.go             the clock, x-expires; messages that expire
//	delay.go                     exchanges that delay messages
//	replyto.go                   direct reply-to
//	counting.go sampling.go channels.go
//	                             what is counted; for who looks again and again; channels, consumers
//	catalog.go                   topology as records
//	batch.go route.go limits.go  publishing; finding queues; bounds on length
//	local.go lanes.go            a queue on the store; one of several priorities
//	dispatch.go direct.go        delivery; what is handed over without having been stored
//	bury.go refuse.go            what leaves a queue otherwise; of it, what consumers refuse
//	letter.go carry.go           dead letters; those that cannot go at once
//	consumer.go get.go           consumers and their turns; taking one message
//	peek.go                      looking at messages; where they lie
//	large.go                     bodies that go through files
//	errors.go                    refusals
package broker
