/*
Package store is the storage engine: queues of messages, and a small catalog for
whoever describes them, on a write-ahead log. It can be used by itself:

	s, err := store.Open(dir, store.Options{})
	b := s.NewBatch()
	q := b.CreateQueue(true, store.QueueOptions{})
	b.Publish(store.Message{Body: body, Persistent: true}, []*store.Queue{q})
	lsn, err := s.Apply(b, wal.Group, nil)
	err = s.Wait(lsn) // it is on disk

	var c store.Claim
	if q.Claim(&c, 10, true) == store.Claimed { … c.Items …; c.Release() }

It knows nothing of AMQP: exchange, routing key and properties are bytes.

# What it promises

  - A batch is one frame of the log: after a crash all of it that concerns
    durable queues is there, or nothing. What is there is always what a prefix
    of the batches, in the order in which they were applied, has led to.
  - Once Durable has reached the LSN that Apply returned, the batch stays.
  - Per queue, messages come in the order of publication; one that was requeued
    or unclaimed comes in the place that it had.
  - A message that was handed out, and is not gone, is Redelivered when it comes
    again, after a crash too. After a crash some others may say so (mark.go tells
    how many); after Close none does.
  - A message whose bytes were damaged on disk is never handed out. It is set
    aside, counted and logged, and the queue goes on. Errors that may pass (too few
    descriptors, a disk that is away) set nothing aside: the queue waits.
  - Damage that a power cut explains is repaired, any other refused by Open,
    which names the place.
  - A message that expires is there until somebody takes it by ClaimExpired, and that
    finds it wherever it is in its queue, after restarts too. What lies on disk is
    not read before the time of something in its block has come.
  - When a write has failed, nothing more is taken that must be durable; consumers
    are served on, from memory. Restarts then find what was durable: what was
    acked after the failure comes again.

It leaves to others: what a queue's name, type and limits mean (limits that
refuse publishes excepted), who consumes, and when to sync: see wal.Mode.

# The life of a message

Apply copies a persistent message for a durable queue into the log's staging
chunk, once for all its queues, and gives each queue an entry of 16 bytes with its
place (package index). Other messages go to an arena of memory chunks. Claim hands
out slices: of the log's cache while the message is recent, of the arena, else of
a piece of the log's files that was read ahead. An ack clears the entry; its
record is written with whatever is committed next.

What is in the log is counted by granule (a 64th of a log file). When nothing
points into a file, and two checkpoints lie behind it, the file is removed. Most
messages are gone by then, and were written once.

# Retirement

When the files in which something is alive pass Options.WALBudget, or when all is
quiet, the oldest is retired: it is read from its beginning to its end, and what
its queues still have of it is copied to a segment (package segment, folder
segments/), compressed, queue by queue. When that is complete and on disk, Sealed
records say so, a few thousand messages at a time, and with each, under the append
lock, the queues' entries become runs (package index). So a message that was acked
before is not written again, one that is acked meanwhile is a bit in its queue,
and a backlog in segments costs memory for its runs and not for its messages. A
message of a run gets an entry again when it is claimed. What cannot be read of a
damaged file stays in it.

The table of segments counts what is alive in each. A segment that is empty is
removed as soon as what emptied it is durable: recovery then ends in the same
state without its file. One of which little is alive is rewritten, and many small
ones become one (compact.go): the Merged record makes a number stand for others,
at one stroke, and the runs are relabelled behind that. Numbers never come back.
A segment that is damaged is not rewritten, and neither is one whose directory had
to be put together from its blocks: what that lacks would go with the old file. To
have fewer files, no merge takes the last 256 MiB of a disk.

Retirement is faster than a disk takes messages. Where it is not, publishers pay
for their bytes with time, more the farther the log is beyond its budget
(throttle.go); acks and consumers do not.

# Time

A message may have a time at which it expires, and a queue a time to live, from the
publication of each message on. The store removes nothing for that: NextExpiry tells
when to look, and ClaimExpired takes what has expired, in the order of the times, for
who deletes it or moves it on.

Times of messages in the log's tail, in memory and in large files stand in the index,
eight bytes each. A segment's directory has the earliest time of each block, and the
index a span for each block that has one: when that is due the block is read, and the
times in it that are near (10 s) are known one by one from then on. So a backlog in
segments costs memory by its blocks. A queue's own time to live needs none: its first
ready message is the oldest.

# Large messages

A body of Options.LargeBytes or more has a file of its own (package large, folder
large/). Who publishes it writes the file first, beside other commits, by an Upload,
and syncs it; then Batch.PublishLarge appends a record of a few bytes that names
the file, and the queues' entries name it too. Claim hands out a Large instead of a
body, which is read piece by piece, each checked. Messages that need no log have
such files too, unsynced and named by no record: nothing large is in memory.

A file is counted by the entries that name it, and by who handles it at the moment.
When nobody is left, and what took the last entry away is durable, it goes.
Retirement leaves these messages alone: their entries are dense in the tail, and
cost the log nothing.

# Files

	LOCK                  held while the store is open
	wal/                  the log: package wal
	segments/             sealed files: package segment; the checkpoint and the log say
	                      which are in use, and Open removes the others
	large/                bodies of large messages: package large
	spill/                messages that need no log, for want of memory: package arena
	checkpoint-<number>   the queues' state: package index; the two newest are kept
	catalog-<number>      the catalog that goes with a checkpoint; written if it changed
	*.tmp                 being written; removed by the next Open
	FAILED                empty: messages were delivered on a failed log; the next Open
	                      calls all redelivered, and its first checkpoint removes it

# Records of the log

Package record has the formats of records and blobs. A record may be replayed
over a state that knows it already. Purges and trims are acks.

A catalog file has blocks of kind 3 with the key's length (4 bytes), key and
value.

# Checkpoints and recovery

A checkpoint is fuzzy: it is taken queue by queue, and a long queue slice by
slice, while the store works. It names the start of the frame that was open when
it began, and recovery replays the log from there over it.

	crash                                   what recovery finds
	--------------------------------------  -----------------------------------------------
	before the checkpoint's rename          the one before, and all log since that
	rename or catalog lost with the power   the same: files go only after the directory's sync
	later                                   the checkpoint; log files may be back, and go again
	newest checkpoint damaged               the one before, and all log since that
	no checkpoint can be read               the log alone, if it goes back to its beginning; else
	                                        Open refuses
	commit torn                             the log up to it (package wal)
	a segment is being written              a file that no run names: it goes
	some Sealed records durable             those messages in the segment, the others in the log
	a segment is removed                    the file or not: nothing alive is in it
	a segment's file missing                Open refuses, and names the file
	a large body is being written           a file that no entry names: it goes
	its record is not durable               the same: nothing was confirmed
	its last ack is durable                 the file or not: no entry names it
	its file missing                        Open refuses, and names the file

The rules that this rests on, each of which a test breaks when it is broken:

 1. Effects of a batch that needs the log happen between Begin and End, under the
    log's append lock. So what a frame below the boundary did is in the snapshot.
 2. A checkpoint gets its name only when every batch that it may have seen is
    durable (barrier): else it would know of an ack, and not of the publish that
    goes with it.
 3. A replay is idempotent: publish ignores numbers that are known, ack and delete
    what is gone, counts are absolute, marks only rise.
 4. A log file is removed when a checkpoint is on disk, before the start of which
    nothing pointed into the file, and the one before that needs no replay of it.
    Whatever emptied the file is durable with that checkpoint.
 5. The delivered mark is durable before a message beyond it leaves.
 6. A record names a segment only when its file is complete, synced, and so is its
    name. The file goes when the record that empties it (acks, or Merged) is
    durable; every state that recovery may begin with replays that record.
 7. The same holds for large files: durable before the record that names them, gone
    after what took the last entry away is durable.

# Locks

	retirer, compactor  →  log's append lock  →  Queue.mu  →  leaves: arena, live, larges, segments, registry, catalog

The append lock is never taken under a Queue.mu. Nothing is waited for, and no
file touched, under any of them. A claim's pin of the log's cache blocks nobody.
Appenders lock one queue at a time; they keep it while operations on it follow
each other.

# Files of the package

	store.go       Open, Close, figures          options.go
	batch.go       recording                     apply.go       executing
	publish.go     executing publishes
	item.go        messages                      large.go       large ones
	queue.go       queues, limits, their registry
	claim.go       handing out                   read.go        from the log's files
	expiry.go      what has expired              listed.go      reading by number
	peek.go        looking                       footprint.go   where a queue's messages lie
	mark.go        what may have been delivered
	sealed.go      from segments                 live.go        what the log's files hold
	segments.go    the table of segments         trouble.go     what cannot be read
	retire.go      when messages move there      move.go        and how
	milestone.go   when work in the background is due, yield_*.go how it gives way
	prepare.go     log files in advance
	compact.go     rewriting segments            choose.go      and which
	throttle.go    pacing publishers             measure.go     sizes, for trims by bytes
	catalog.go     keys and values
	checkpoint.go  writing snapshots, removing files
	metrics.go     figures for operators
	recover.go     reading them, replaying the log
*/
package store
