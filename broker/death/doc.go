// Package death writes into a message's headers that it died: that it left a queue
// other than by an ack, and goes to the queue's dead-letter exchange. It is pure.
//
// The shape is RabbitMQ's, of 3.x, and with what 4.x adds:
//
//	x-death                  array of tables, the newest death first, one for each
//	                         queue and reason:
//	    count                long, how often the message died there for that reason
//	    reason               longstr: rejected, expired, maxlen, delivery_limit
//	    queue                longstr
//	    time                 timestamp of the first of these deaths
//	    exchange             longstr, to which the message had been published
//	    routing-keys         array of longstr: its routing key, then those of CC
//	    original-expiration  longstr, the property that it had; absent without one
//	x-first-death-reason, -queue, -exchange
//	                         longstr, set by the first death and kept
//	x-last-death-reason, -queue, -exchange
//	                         longstr, set by each (4.x)
//
// A death for the same reason in the same queue counts up the entry that is there,
// which otherwise stays as it was, and moves it to the front. The property
// expiration goes, so that the message does not expire again; where the queue has a
// routing key for dead letters, so does the header CC. Headers are in the order of
// their names then.
//
// Clients may have written x-death themselves. What is no array is replaced, and
// x-first-death-* stay absent; entries for the same queue and reason are joined, as
// in RabbitMQ, and one without a count that came alone counts as one. An entry that
// is no table, which RabbitMQ chokes on, is kept as it is; a count that is no
// integer begins again.
//
// # Difference
//
// RabbitMQ 3.x turns the order of the older entries round with each death; here, as
// in 4.x, they stay in the order of their deaths.
package death
