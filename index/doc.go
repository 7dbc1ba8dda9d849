/*
Package index keeps the state of one queue: which of its messages are gone,
where the others are, which of them are out for delivery, and in what order the
rest goes out; and it reads and writes that state in snapshot files. It is pure:
no locks, no files, no clock, and it does not look at what an entry points to.

# A queue

Messages have dense sequence numbers ("seqs") from 0 on, in the order of
publication. A number is never used twice.

		0 ........ floor ............ cursor ................ next
		   gone    | gone, claimed,   | ready (or gone)       | not yet
		           | requeued, aside  |

	  - Below the floor everything is gone (acked, purged or skipped). The message
	    at the floor is not gone, unless the queue is empty: then floor = next.
	  - Between floor and next, what is gone is in a bitmap, in chunks of 64 Ki
	    numbers that have memory only while both kinds are in them; the 64 numbers
	    behind the floor need no chunk as long as nothing farther is gone.
	  - What is not gone has an Entry of 16 bytes, in a page of 64. Pages without
	    entries have no memory, so one message that stays while millions pass costs
	    a page.
	  - From the cursor on, everything that is not gone is ready. Below it, a message
	    is claimed, or ready again after a requeue (flagged, and in a heap by
	    number), or set aside because it could not be read. So the heap, then the
	    cursor, give all ready messages in order.
	  - A message that was ever requeued has a count, in a map.
	  - The delivered mark: the log says that all below it may have been delivered.
	    Messages whose own record says so are flagged Marked instead.

The methods do nothing, and say so, on messages that are gone already. That is
what makes a replay over a state that holds some of it already harmless:
Restore ignores numbers below next, Ack what is gone, SetCount sets, RaiseMark
and Skip only go up.

# Snapshot files

A file is a header, blocks, and an end block. Integers are little endian.

	header  offset  bytes
	             0      8  magic "\x89LVSNAP\n"
	             8      4  format version, 1
	            12      4  id of the next queue
	            16      8  the file's number
	            24      8  log position from which to replay
	            32      8  number of the catalog file that goes with it
	            40     12  zero
	            52      4  CRC32C of all before

	block        0      4  CRC32C of all that follows
	             4      4  length of the payload
	             8      1  kind: 0 end, 1 queue state, 2 entries, 3 catalog
	             9         payload

The end block's payload is the number of blocks before it, 8 bytes; the file ends
behind it. The catalog block's payload is its writer's. Of the others, integers
are varints:

	state   queue id, floor, next − floor, delivered mark
	entries first number; then for each message, ascending, a tag and what it
	        announces, each as a difference to the message before:
	        bit 0  gap: how many numbers were left out (gone, or not logged)
	        bit 1  address − end of the message before, zigzag; else as before
	        bit 2  length; else as before
	        bit 3  bytes that are not body; else as before
	        bit 4  the message may have been delivered
	        bit 5  delivery count
	        bits 6 and 7 are zero

A queue is a state block and the entry blocks that follow it. In the first entry
of a block, "before" is: number first−1, ending at address 0, all else 0. Messages
of one size that were published in a row take one byte each.
*/
package index
