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
	  - What is not gone has an entry outside of segments, or belongs to a run.
	  - Entries outside of segments take 16 bytes, in pages of 64. Pages without
	    entries have no memory, so one message that stays while millions pass costs
	    a page.
	  - A run is a span of seqs whose messages lie in one segment. A message belongs
	    to it if the span covers it, it is not gone, and it has no entry outside of
	    segments: what is in memory only may stand within a run's span. So a run is
	    one record, however long it is.
	  - A message of a run has an entry too ("held") if there is more to say of it:
	    that it is claimed, requeued, delivered, counted or aside. Held entries have
	    pages of their own, so that a drain does not insert into the midst of the
	    others. A message of a run without entry is "bare": ready, at the cursor or
	    behind it.
	  - From the cursor on, everything that is not gone is ready. Below it, a message
	    is claimed, or ready again after a requeue (flagged, and in a heap by
	    number), or set aside because it could not be read. So the heap, then the
	    cursor, give all ready messages in order.
	  - A message that was ever requeued has a count, in a map.
	  - Messages from the cursor on, below taken, may have been claimed out of turn.
	  - A message that expires has its time in a page of 64, beside the entries'; the
	    pages are in a heap by the earliest time in them that may be of a ready message.
	    Of a message in a segment only a span knows, with the earliest time in it, until
	    the time is near and SetExpiry tells it. Lower bounds do: who asks looks again.
	  - The delivered mark: the log says that all below it may have been delivered.
	    Messages whose own record says so are flagged Marked instead. A bare
	    message is not: it needs the mark.

A queue of a hundred million messages costs its runs and what is claimed.

The sizes of bare messages are known as the run's sums only. Where one goes that
nobody has looked at (a replayed ack, a trim to a number of messages), it is taken
for the average. What that gets wrong goes with the run's last bare message. A trim
to a number of bytes waits until Measure has told the sizes.

The methods do nothing, and say so, on messages that are gone already. That is
what makes a replay over a state that holds some of it already harmless:
Restore ignores numbers below next, Ack what is gone, SetCount sets, RaiseMark
and Skip only go up, Seal touches only entries that still point into the log.

# Seal

Seal tells that of a span of messages those whose entry points into a piece of
the log are in a segment now. Bare ones lose their entry, those with more to
say of them get a held one. What remains of the span stays as it is, and a run
does not reach over what remains in the log: else a later Seal, of that message
to another segment, would find it covered. Neighbours in one segment are joined,
by Seal and, when segments were merged, by Relabel. The times of what moves become a
span's, and a run keeps the earliest that it ever had.

A part that a run covers already stays in that run, whatever segment the call
names: the run is from a snapshot that is newer than the record, and its segment
may be the result of a merge since.

# Snapshot files

A file is a header, blocks, and an end block. Integers are little endian.

	header  offset  bytes
	             0      8  magic "\x89LVSNAP\n"
	             8      4  format version, 3; 2 is without times
	            12      4  id of the next queue
	            16      8  the file's number
	            24      8  log position from which to replay
	            32      8  number of the catalog file that goes with it
	            40      8  number of the next segment
	            48      4  zero
	            52      4  CRC32C of all before

	block        0      4  CRC32C of all that follows
	             4      4  length of the payload
	             8      1  kind: 0 end, 1 queue state, 2 entries, 3 catalog, 4 runs, 5 acks,
	                       6 times
	             9         payload

The end block's payload is the number of blocks before it, 8 bytes; the file ends
behind it. The catalog block's payload is its writer's. Of the others, integers
are varints:

	state   queue id, floor, next − floor, delivered mark
	entries first number; then for each message, ascending, a tag and what it
	        announces, each as a difference to the message before:
	        bit 0  gap: how many numbers were left out
	        bit 1  address − end of the message before, zigzag; else as before
	        bit 2  length; else as before
	        bit 3  bytes that are not body; else as before
	        bit 4  the message may have been delivered
	        bit 5  delivery count
	        bit 6  the message is in a run and has no address (bit 1 is zero)
	        bit 7  when it expires, ms since 1970 − that of the last one that does,
	               zigzag (bit 6 is zero)
	runs    for each run, ascending: first number − end of the run before, numbers,
	        segment − that of the run before, zigzag; messages that are not gone,
	        their bytes, how many of these are not body
	times   of the runs in which something expires, ascending: first number − end of the
	        one before, numbers, the earliest time − that of the one before, zigzag
	acks    floor; then for each chunk of 64 Ki numbers in which something is gone,
	        ascending: chunk number − that before, number of ranges; for each range
	        the distance from the end of the one before, and how many numbers it has
	        beyond the first. Where there are 0 ranges, the chunk's 8 KiB of bits
	        follow.

A queue is a state block and the blocks that follow it: any number of entries,
then, if there are runs, one of runs, one of times where there are any, and any
number of acks. In the first entry
of a block, "before" is: number first−1, ending at address 0, all else 0; entries
with bit 6 have no end. Messages of one size that were published in a row take one
byte each. Messages of runs have no entry unless it says what the run and the mark
do not: that they were delivered, or how often. "Gone" in an acks block includes
messages that are in memory only.

# A snapshot is fuzzy

Each block is of its own moment, and between them the queue goes on. What follows
from the log's position in the header on is replayed over it; all of it is durable
when the file gets its name. A replay tells again what a block may know already,
or may have missed. Why that ends in the truth:

	between                  happens             what the file has, and what sets it right
	-----------------------  ------------------  ----------------------------------------------
	any two blocks           ack                 the message, or not; the replayed ack removes it
	state, entries           publish             nothing: numbers stop at the state's next; replayed
	entries, runs            Seal                entry and run: the entry wins, and the run's count
	                                             leaves it out; the replayed Seal moves it
	state, entries           Seal                run only. The replayed Seal finds it covered
	runs, acks               Seal                entry only; the replayed Seal makes the run
	entries, runs            TakeSealed, requeue the run only; the mark and the count are replayed
	runs, times              Seal, merge         times of more, or of other runs: they are spans
	                                             of numbers, and lower bounds
	runs, acks               merge, Relabel      the old segment; the replayed merge renames it
	runs, acks               the run's last ack  the run, though the queue has forgotten it: so acks
	                                             are written for the span that the runs had

The loader takes the highest floor that it saw, drops entries that the acks name,
counts in each run what is neither gone nor has an entry of its own, and scales
the run's bytes by that. What is covered by nothing is gone.

# Files of this package

	queue.go    Queue: push, take, requeue, ack    entry.go      Entry and its flags
	runs.go     what is in segments                pages.go      where entries are
	acks.go     what is gone above the floor       heap.go       what was requeued
	removed.go  purge, trim                        expiry.go     when messages expire
	codec.go    state and entries as blocks        codecruns.go  runs and acks
	load.go     reading them                       names.go      names of snapshot files
	blocks.go   snapshot files: header, blocks     skip.go       what is left of a damaged one
*/
package index
