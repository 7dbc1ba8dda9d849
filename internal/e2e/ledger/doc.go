// Package ledger keeps the books of a crash test: what clients sent to a message broker
// and heard from it, over any number of its lives. From that it knows, for each message
// in each queue, whether it must, may or must not be there, and says where the broker
// was caught out. It knows no protocol: the test tells it what happens.
//
// # A message's way through the book
//
//	Sent       the client is about to write the publish: from here on it may be there
//	Confirmed  the broker has confirmed it: from here on it must be there
//	Delivered  a client has it in hand: from here on it may only come again with the
//	           redelivered flag, and only when it was given back, or its consumer ended
//	AckSent    the client is about to write the ack: it may be gone, or come again after
//	           a crash that took the ack with it
//	Settled    the ack is known to be durable: it must not come again
//
// Everything that a client does is entered before it does it, and everything that the
// broker does after it was seen. So the book may think less of the broker's duties than
// there is to them, but never more: what it reports is wrong beyond doubt.
//
// # What is a violation
//
//	Lost         confirmed, not acked, and not there
//	Duplicate    there twice, or with two consumers at once, or again after its ack
//	Disorder     of one producer's messages a later one came before an earlier one
//	Alien        never published, or its content is not what was published
//	Unmarked     delivered before and yet not marked as redelivered
//	FalseMark    marked as redelivered though nobody can have had it
//	Resurrected  back after it was durably acked, or after a recovery without it
//	Survivor     a transient message after a restart
//	Torn         some of a transaction or of one message's copies recovered, others not
//	Hole         an unconfirmed message recovered without an earlier one of its producer
//	Premature    delivered before its transaction's commit was sent
//	Wrong        a queue or binding that must be there is not, or the reverse
//
// FalseMark, Torn, Hole, and Resurrected for acks that a later confirm on the same
// channel vouches for, are promises of a broker with one ordered log; Options.Lenient
// leaves them out.
package ledger
