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
//	flow     one publisher with a number of outstanding confirms, one consumer
//	         with a prefetch that acks multiple every so many deliveries
//	latency  one publisher with one outstanding confirm; nobody consumes
//	many     publishers on queues of their own, each with one outstanding
//	publish  one publisher, nobody consumes: a backlog
//	drain    one consumer eats a backlog, which is published first as needed
//	fanout   one publisher into a fanout exchange, a consumer on each queue
//
// [Config] has what can be chosen: size, persistent or transient, with or without
// confirms and acks, the windows, by time or by number of messages. [Run] carries
// one out. It deletes and declares its queues unless told to keep them, and ends
// only when all that was published is confirmed and, where there are consumers,
// consumed; a broker that loses a message makes it fail.
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
// Bodies of 16 bytes and more begin with a stamp: when the message was sent and
// its number in its queue, from which order is checked. Confirms may come in any
// order, each exactly once.
//
// # The ceiling
//
// [Null] is a broker that parses frames in place, forwards messages to the
// consumers that are there, confirms once a socket read and stores nothing; with
// a folder it also appends what it read to a file and syncs once a group before it
// confirms, a reader doing so itself where it brought few messages and the file is
// idle. No broker with the same promises can be faster on the machine, so that the
// quotient says what a real one's own work costs.
//
// # Files
//
//	config.go run.go result.go          a run: what, how, and what came out
//	client.go frames.go                 a connection of the client
//	publisher.go consumer.go stamp.go   the two roles
//	null.go null_conn.go null_commit.go the ceiling
//	cmd/amqpbench                       the command, which binds flags
package bench
