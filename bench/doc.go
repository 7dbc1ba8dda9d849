// Package bench loads an AMQP 0-9-1 broker and measures what it does. It knows
// nothing of the broker but its URI, so that Leveret, its peers and the ceiling
// go through the same client in one run: compare ratios of one run on a quiet
// machine, never figures of two days.
//
// The client speaks frames through amqpd/wire and costs well under a microsecond
// a message, because it shares the machine with what it measures: a publisher
// encodes a row of messages once and then only puts stamps into it, a consumer
// reads frames in place, locks and counters are taken once a read or write.
//
// # Scenarios
//
//	flow     publishers with a number of outstanding confirms, consumers with a
//	         prefetch that ack multiple every so many deliveries, on one queue
//	latency  one publisher with one outstanding confirm; nobody consumes
//	many     publishers on queues of their own, each with one outstanding
//	publish  one publisher, nobody consumes: a backlog
//	drain    one consumer eats a backlog, which is published first as needed
//	fanout   one publisher into a fanout exchange, a consumer on each queue
//	topic    one publisher into a topic exchange with many bindings, a consumer on
//	         each of a few queues, that a share of the bindings gets each message into
//	direct   the same messages to the same queues by a direct exchange
//	load     what it is told, with the meaning of PerfTest's options
//
// [Config] has what can be chosen: connections and channels, size, persistent or
// transient, with or without confirms and acks, the windows, rates, by time or by
// number of messages. [Run] carries one out. But for load it deletes and declares its
// queues unless told to keep them, and ends only when all that was published is
// confirmed and, where there are consumers, consumed; a broker that loses a message
// makes it fail. [Churn] opens and closes, declares and deletes, and [Hold] keeps
// connections open. [Watch] follows a run by the second. [MeasureFloor] says what one
// confirm takes at least, without any broker.
//
// # What the figures mean
//
// Rates are of the measurement: after the warm-up and before the publishers are
// stopped, or the whole of a run by number. A confirm's latency runs from before
// the write that carried the message until its confirm was read; a delivery's
// until the read that brought it. Where many messages are outstanding the latency
// is mostly the window waiting for itself: only latency and many tell how long a
// message takes. A publisher whose window is free by less than an eighth waits,
// which keeps a broker that confirms one by one from being measured by the
// client's writes.
//
// At a fixed rate there is a schedule: a message is sent when it is due, or as soon
// after as may be, and its latencies run from when it was due. A broker that stalls
// for a second has then kept a second's messages waiting, of which a publisher that
// waits with it would have sent, and measured, but one.
//
// Bodies of 16 bytes and more begin with a stamp: when the message was sent and
// its number in its queue, from which order is checked. Confirms may come in any
// order, each exactly once.
//
// # The ceiling
//
// [Null] is a broker that parses frames in place, forwards messages to the
// consumers that are there, confirms once a socket read and stores nothing; with
// a folder it also writes what it read to a file and syncs once a group before it
// confirms, a reader doing so itself where it brought few messages and the file is
// idle. The file has its blocks and is written over in a circle: one that grows has
// its length and its blocks to be written with each sync, twice the work at 100 B and
// four times at 16 KiB, and a broker that uses its files again passes it. Where
// many messages are under way, no broker with the same promises can be faster on the
// machine, so that the quotient says what a real one's own work costs; small commits
// depend on who is woken when.
//
// # Files
//
//	config.go arguments.go topology.go  what a run is
//	run.go series.go result.go          how it goes, and what came out
//	client.go frames.go                 a connection of the client
//	publisher.go consumer.go stamp.go   the two roles
//	pace.go recorder.go                 fixed rates, latencies
//	routes.go                           exchanges with many bindings
//	churn.go                            objects that come and go
//	floor.go                            the machine's least
//	system_linux.go system_other.go     its clock and its disk
//	null.go null_conn.go null_commit.go the ceiling
//	cli                                 the command, leveret bench
//	peers figures machine               Leveret beside others; what the engine
//	                                    promises; what they were measured on
//	cmd                                 what make bench-peers, bench-store and pgo run
package bench
