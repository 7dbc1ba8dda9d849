/*
Package arena keeps the bytes of messages that need not outlive the process: in
chunks of memory and, over a limit, in files that are never synced. It knows
nothing of what the bytes mean.

	c, off := a.Reserve(n, refs)        // room for n bytes to which refs entries will point
	copy(c.Slice(c.Addr(off), n), …)
	a.Done(c, unused)

	c := a.Chunk(addr)                  // later; the caller knows that an entry points there
	if c.Pin() { … c.Slice(addr, n) …; a.Unpin(c) } else { a.ReadAt(p, addr) }
	a.Release(c, 1)                     // the entry is gone

# What it promises

  - Bytes stay readable, at the address that Reserve gave, until the last reference
    to their chunk is released; wherever they lie meanwhile.
  - Memory in chunks stays within the limit, but for one chunk that is being
    filled, those that are pinned, and what comes while the spiller is at work: see
    Pace. At most spares of 4 MiB come on top.
  - Bytes that cannot be written to disk stay in memory, whatever the limit says.
    Pressed tells of it.
  - After Close nothing is left on disk, and what a killed process has left the next
    Open removes, much of it beside what it is opened for.
  - Neither Reserve nor Release nor Pin waits for a file. One goroutine spills.
  - What comes from disk may be damaged: the bytes carry their own checksum, or
    should.

# A chunk's life

	filled ──▶ full ──────────────────▶ discarded: its memory is used again
	            │                           ▲
	            └──▶ written ──▶ on disk ───┘        and its file is removed

A chunk has 1 MiB, or the size of what is larger. It is discarded with its last
reference, and one that is being filled begins anew then. Over the limit full
chunks are written to a file each and their memory is freed. A chunk does not come
back: its bytes are read from the file piece by piece, as they are wanted, and the
system's page cache is the cache. So there is nothing that many readers in many
places could thrash, and a reader's memory is its own.

Which chunk goes first: one of which most has gone, and nothing for 5 s (what is
left there is stuck, and would pin memory); then the newest of which most is still
there: it waits longest where messages are taken in order, and what is taken as
fast as it comes never is that; then the newest.

# Files

The folder is made with the first chunk that is spilled.

	%020d.spill    a chunk: its bytes, from 0 on

# Files of the package

	arena.go       chunks, references, pins
	spill.go       the goroutine that spills; the folder
*/
package arena
