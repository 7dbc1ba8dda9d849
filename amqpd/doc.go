// Package amqpd serves AMQP 0-9-1 on sockets: connections, channels, and the
// way of messages between them and the broker.
//
// It is thin. What a queue, an exchange or a consumer means is the business of
// package broker; the format of frames that of package wire. What is here is the
// life of a connection, the order in which things happen on it, and that nothing
// a peer does harms another.
//
// # A connection
//
//	socket ── reader ──┬─ content and acks of one read: one broker.Batch, one Flush
//	                   ├─ changes of topology in a row: Flush, the broker, one wait for
//	                   │  the disk, the replies
//	                   └─ any other method: Flush, then the broker, then the reply
//	broker ── Sink.Offer, Committed ──> out buffer ── writer ── socket
//
// A connection has two goroutines. The reader reads as much as there is into one
// buffer, parses frames in place and gathers what they publish and settle in a
// batch, which it flushes once a read, and before any other method so that
// methods take effect in the order in which they came. The writer takes the
// whole out buffer at a time. Locks, wake-ups and log appends are a read's, not
// a message's; on the way publish, confirm, deliver, ack nothing is allocated.
//
// After a small read (Options.LeadBytes), and after all but the largest of a connection
// that does nothing but publish while no other publishes or settles, the reader commits
// the log itself where it is idle, and answers with one write that does not block: a
// lone publisher's confirm then costs no hand-off between goroutines. Such a reader also
// takes what came while it was parsing into the same commit.
//
// # Confirms
//
// A publish is confirmed when the log is durable up to the LSN that its batch
// got. The connection keeps a ring of promises (LSN, channel, last tag), and the
// goroutine that commits wakes the writer, which sends one basic.ack multiple a
// channel for all that has become durable. Tags are settled in order, and what one
// read brought is settled together: what needs no disk (unroutable, transient)
// waits for what was published before it on its channel, and for the persistent
// messages that came in the same read. A full queue's refusals, and all that a
// failed log did not take, are nacked.
//
// # Memory
//
// A peer can hold on to a bounded part of it. The read buffer is there only while
// there are bytes in it and grows with what is really read; a body is assembled
// in memory that grows with what has come, not with what was announced. The out
// buffer takes deliveries up to Options.OutBuffer (three times that of what is kept
// nowhere else), then the connection's consumers are passed over; it takes replies up
// to four times that, then the connection is no longer read. Both come in pooled
// pieces: an idle connection holds none. What is unacked costs by its number. An open
// transaction holds Options.MaxTransaction at most. Large bodies are not in memory: see
// below. What is bounded by the peer's own limits only: bodies while they come in where
// too many files are being written.
//
// # Large bodies
//
// A body of broker.LargeBytes or more (1 MiB) goes from the read buffer into a file,
// in the reader's goroutine, which waits for that file's disk now and then; what it
// had gathered before is flushed first, and other connections notice nothing. Where
// too many such files are being written at once, the body is taken in memory.
//
// A delivery of one puts its method and header into the out buffer and becomes a
// stream. The writer fetches streams piece by piece (128 KiB) as the socket takes
// them, in turns, so that other channels' frames come in between; what the stream's
// own channel says comes behind it, since AMQP wants a content's frames in a row.
// Each piece is checked before it is sent. Where it is damaged the message is set
// aside and the connection cut: a content that has begun cannot be taken back. A
// connection is given few streams at once: each counts as a quarter of the out
// buffer.
//
// # Locks
//
// conn.mu guards the out buffer, the unacked rings, the consumers' credit and the
// promises. The broker calls a Sink with its queue's lock held, so conn.mu comes
// after that, and the connection never calls the broker with conn.mu held. What
// only the reader touches needs no lock; each field's comment says which it is.
//
// # TLS
//
// A listener may be one of crypto/tls. The reader does the handshake, since a
// listener that did would wait for one peer after the other. A write to TLS, and its
// close, may wait for the peer: no lock is held for either, and a connection that is
// given up is closed on the socket below. A flight is written piece by piece, and a
// piece is 64 KiB where there is much to say, so that records are long. Where the
// listener below is one of internal/tlsio a flight's records are one write, and a read
// takes all records that have come together, as one of a plain socket does. Who
// has shown a good certificate is offered EXTERNAL.
//
// # Time
//
// There is one ticker a server, every half second, for heartbeats, peers that
// fell silent, handshakes that take too long and deliveries that nobody acks; no
// connection has a timer, and no delivery a time: see timeout.go.
//
// # Errors
//
// An error's code decides what closes: see amqp.Error. After channel.close the
// server ignores what comes on that channel until close-ok; after
// connection.close it reads and drops what comes, for Options.CloseTimeout, so
// that the peer can read the close before the socket goes.
//
// Anybody who can connect, login or not, holds a file of this process open. Where
// Options.MaxConnections says nothing, the number of connections is bounded so
// that files are left for the storage engine; those over the bound are closed at
// once.
//
// # Where Leveret differs from RabbitMQ
//
// In what a client can see, answers are RabbitMQ's, but for these.
//
//	what a client does                     RabbitMQ              Leveret
//	-----------------------------------    ------------------    ------------------------------
//	tx.commit that a queue refuses         406; the other        406, and nothing has happened
//	(x-overflow reject-publish)            queues keep it
//	a method that AMQP does not have       cuts the connection   540 says which
//	flow-ok, cancel-ok unasked for         503                   ignored
//	basic.deliver, basic.return            505                   503
//	protocol headers of 0-8 and 0-9        serves 0-9-1          answers with its own and closes
//	prefetch by channel, and consuming     540                   does it
//	from a quorum queue
//	queue.delete if-unused, if-empty of    540                   does it
//	a quorum queue
//	an ordinary consumer with the tag of   takes it              530
//	the channel's reply consumer
//	x-queue-type stream                    serves streams        540
//	an empty x-match; an exchange of an    other words in the    406, 503 as there
//	empty type; malformed UTF-8 in a       same refusal
//	short string
//
// Broker-wide differences stand in the documentation of package broker.
//
// # Files
//
//	server.go options.go              a server and its listeners
//	conn.go handshake.go heartbeat.go alarm.go
//	                                  a connection's life
//	reader.go gather.go content.go    the way in; what one read does; publishes in pieces
//	answers.go                        what waits for the disk together
//	repeat.go                         publishes that differ from the one before in their body alone
//	writer.go outbuf.go deliver.go    the way out
//	stencil.go                        deliveries that are copies of the one before
//	confirm.go unacked.go timeout.go  what is owed to the peer, and by it, and when
//	upload.go stream.go               large bodies, in and out
//	channel.go exchange.go queue.go basic.go tx.go
//	                                  methods, a file a class
//	tls.go                            encrypted connections, logins by certificate
//	describe.go counting.go           what operators see of a connection and its channels
//	pools.go rawio_*.go nofile_*.go   buffers, sockets, descriptors
package amqpd
