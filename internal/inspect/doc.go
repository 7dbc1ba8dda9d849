/*
Package inspect looks at a data directory from outside: what is in it and how
much of it is alive (Stat), whether all of it is as it was written (Verify), what
the log says (Dump), and what can be saved of it when it is broken (Salvage). It
never writes to the directory and takes no lock, so a broker may be running on
it, and it needs none of the broker's code: it is a second reader of the formats,
which says something on the first.

# What is read

The state of the queues is what a broker would recover at this moment: the newest
checkpoint that can be read, and the log from there on. Where no checkpoint can
be read the log alone is taken. If it does not go back to its beginning, a broker
refuses that, and Salvage takes all that stands in any file for alive, since nobody
knows any more what was acked. A checkpoint that is whole, and lacks its catalog, is
refused by a broker too; Salvage begins with it.

While a broker runs, files come and go. What cannot be read is looked for again in a
state of that moment before it is called a problem: it may be acked, or have moved.
What a broker has
staged and not written is not seen, nor what it keeps in memory: transient
messages, queues that are not durable.

# Damage

A Problem is one thing that is wrong, with the file and the place. It is Fatal
where a broker refuses the directory; else it would start, and set aside the
messages that cannot be read. A torn end of the log is none: a power cut
leaves it, and a write that is under way looks so.

# Salvage

The new directory has one log, and no checkpoint: durable queues with their ids,
the catalog, and every message that can be read, in its queue's order, with its
publication time, delivery count and the flag that it may have been delivered.
Numbers are given anew. Messages that were in several queues are written once
where they come from the log; large bodies are copied once. From a frame whose
checksum is wrong, messages are taken whose own checksum is right. What refers to
nothing is left out of the catalog, and a queue whose name is lost gets one. The
log gets its name last: an interrupted salvage leaves a directory that a broker
refuses.

# Files

	dir.go       the directory's files, snapshots
	state.go     queues: a checkpoint and the log over it
	names.go     the catalog: who is called what
	segments.go  messages in segments; what segments and large files hold
	again.go     a second look, while a broker runs
	stat.go      Stat
	verify.go    Verify
	dump.go      Dump
	salvage.go   Salvage
	found.go     what Salvage takes where no checkpoint tells what is alive
	soft.go      what the disk cannot read
*/
package inspect
