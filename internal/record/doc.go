/*
Package record is how messages and everything that happens to them are written
down: the records of the log, and blobs, which are messages as they lie in the
log, in segments, in files of their own and in memory. It is pure.

# Records

Integers are little endian. A record is a word, whose low byte is the kind and
whose other three bytes are the count n, and what the kind says:

	kind  name     n             then
	1     publish  pairs         n × (queue u32, flags u8, seq u56), then the blob
	2     ack      ranges        queue u32, n × (first seq u64, how many u32)
	3     requeue  messages      queue u32, n × (seq u64, delivery count u32)
	4     deliver  0             queue u32, mark u64: all below may have been delivered
	5     create   0             queue u32
	6     delete   0             queue u32
	7     put      key length    key, value
	8     remove   key length    key
	9     sealed   spans         segment u64, from u64, to u64, n × (queue u32, first u64, end u64):
	                             of these messages, those whose blobs stand in [from, to) of the
	                             log are in the segment from now on
	10    merged   old segments  segment u64, n × old segment u64: what was in the old ones, and
	                             is not gone, is in the new one from now on
	11    large    pairs         n × (queue u32, flags u8, seq u56), file u64, length u32,
	                             overhead u32: a publish whose body is a file of its own; where
	                             the message expires, then when, in ms since 1970, u64

Flag 1 of a pair says that the message counts as delivered. Purges and trims are
acks. Ids of queues, segments and large files, and seqs, are never used again, so
that every record may be replayed over a state that knows it already.

# Blobs

	offset  bytes
	     0      4  CRC32C of all that follows
	     4      4  length, this header included
	     8      8  time of publication, ms since 1970
	    16      1  length of the exchange's name
	    17      1  length of the routing key
	    18      1  flags: 1 persistent, 2 expires
	    19      1  zero
	    20      4  length of the properties
	    24      8  when it expires, ms since 1970, with flag 2 only; 1 means at once
	               exchange, routing key, properties, body

Of a large message the file (package large) has the body, and behind it as head the
blob that the message would be with an empty body. A large publish's length is that
of both, its overhead that of the head.
*/
package record
