// Package wal is a write-ahead log: opaque records in, log sequence numbers
// out. Many goroutines append, one write and one fdatasync at a time serve all
// of them, and what was reported durable is found again after a crash.
//
// # What it promises
//
//   - Durable means on disk. A batch is reported durable (by Durable, Wait or
//     a Waiter) only after an fdatasync that covers it has returned without an
//     error, in a file whose name was made durable before.
//   - A batch is atomic. After a crash it is there whole or not at all; so is
//     each frame, a group of batches that were committed together.
//   - Order is kept. What a recovery finds is a prefix of what was appended,
//     in the order of appending, at the same LSNs. It holds every batch that
//     was reported durable, and perhaps some that were not yet.
//   - Nothing is invented. A record is returned with the bytes that were put
//     in it, or not at all.
//   - What a recovery has replayed is durable when Open returns.
//   - Damage that a power cut does not explain is not taken for one: Open
//     refuses, and its *CorruptError names file, offset and cause.
//   - The first failed write or sync ends the log's life. Nothing is retried,
//     since after a failed fsync the system may call pages clean that never
//     reached the disk. Everybody who waits gets the error, and so does every
//     Begin from then on, until the log is opened again.
//   - Memory is bounded: by MaxStaged for what waits to be written, by
//     CacheSize for what was, and by the longest frame in a recovery.
//   - Steady state allocates nothing: no record, batch, waiter or commit does.
//
// # What it leaves to others
//
// What records mean, when files are no longer needed (Files, Remove), a
// checkpoint from which to replay, keeping other processes out, encryption,
// replication. It assumes that the disk does what fdatasync promises, that a
// write changes no bytes but those it names, and that a checksum of 32 bits
// is enough for a frame.
//
// # The stream
//
// The log is one endless stream of bytes, beginning at 0, and an [LSN] is a
// position in it: frame headers and padding are counted, file headers are not.
// A record's LSN is where its payload begins, so that ReadAt needs no index. A
// file holds a stretch [start, end) of the stream; lsn stands at 64 + lsn -
// start in it. The stream is cut into frames, and each frame's first byte is
// at a multiple of 8.
//
// # The life of a commit
//
//	appender   Begin ─ Put … ─ End ─┐
//	appender   Begin ─ Put … ─ End ─┤ open frame ──seal──▶ group ─▶ pwrite ─▶ fdatasync ─▶ durable ─▶ waiters
//	appender   Begin ─ Put … ─ End ─┘      ▲                              │
//	                                       └── the next frame fills here ─┘
//
// Begin takes the append lock and makes room, Put reserves a record in the
// open frame and gives its LSN, End releases the lock. The bytes are copied
// once, into the memory that is written and that later reads are served from.
//
// One goroutine commits at a time: whoever finds the log idle in Lead or Wait
// (leader commit: no hand-off, which is what a lone publisher's latency is made
// of), else the committer. It takes the append lock for a moment to seal the
// open frame, and works without it: it computes the checksum, writes, and
// syncs, while appenders fill the next frame behind the sealed one. Then it
// stores the durable LSN and calls the waiters. What was appended meanwhile is
// the next commit: the sync itself is the batching, and there is no timer.
//
// A [Mode] says what a batch causes. Group wakes the committer. Lazy causes
// nothing: the batch rides the next commit, the caller's own where that is to
// call Lead or Wait, or one that LazyDelay causes. (An acknowledgement need not
// be on disk before anything else happens, so it should not cost a sync.)
//
// A frame lives in one chunk of memory. A batch that does not fit in what is
// left of the chunk ends the frame, which then wants a commit whatever its
// mode, and goes into a new chunk; one larger than a chunk has a chunk of its
// own size. Full frames queue up behind the one being written, and a commit
// takes as many as fit in the file and in 4 MiB, under one fdatasync. Begin
// blocks while more than MaxStaged bytes are not durable, first come, first
// served; a batch that is larger than that alone goes alone.
//
// # Locks
//
// The append lock (mu) is held from Begin to End and for moments by a commit.
// The right to commit is the flag busy under it; its owner alone touches the
// active file. Put and End wait for nothing. Readers hold pin, a
// read-write lock, for reading: an appender that changes chunks only tries to
// take it for writing, and if a reader is inside it takes fresh memory instead,
// so that readers never hold up appenders. A caller may hold a lock of its own
// across Begin … End, and may take one inside, but not both ways round.
//
// # Formats
//
// Integers are little endian. Checksums are CRC32C (Castagnoli). Unused bytes
// are zero. The version is 1; testdata/format.golden is a log byte by byte.
//
// A log is a directory of files %020d.wal, by sequence number. A file that is
// being created has .tmp behind its name, and one that was removed and kept to be
// written over has .spare. Other names are left alone.
//
// File header, 64 bytes:
//
//	offset  size
//	     0     8  magic: 89 'L' 'V' 'W' 'A' 'L' 0D 0A
//	     8     4  format version
//	    12     4  size of this header, 64
//	    16     8  nonce: random, in every frame of the file
//	    24     8  sequence number, as in the name
//	    32     8  start: LSN of the first byte behind the header
//	    40    20  unused
//	    60     4  checksum of bytes 0 to 59
//
// Frame, padded to a multiple of 8 bytes:
//
//	offset  size
//	     0     4  checksum of all that follows, padding too
//	     4     4  length of the records, without padding
//	     8     1  type: 1 records, 2 seal
//	     9     3  unused
//	    12     4  number of records
//	    16     8  nonce of the file
//	    24     8  LSN of this frame's first byte
//	    32     8  synced: the durable LSN when this frame was written
//	    40     …  records: length (4), payload
//	     …  0–7  padding
//
// A seal is what Close writes behind the last frame: it has no records, and is
// there for what its synced says. The stream ends before it.
//
// Behind the last frame, or the seal, there may be anything: zeros that the file
// was filled with ahead, what a torn commit has left, and in a file that was written
// over an older one that one's frames, which have another nonce and lower LSNs.
//
// The nonce keeps apart what files of the same name or in the same place on
// disk once held, and bytes inside records that look like frames: nobody who
// chooses a record's content knows the nonce. The LSN keeps apart frames of
// the same file: a frame that stands anywhere else is not one.
//
// # Recovery
//
// Open reads the headers of all files, then the frames from the LSN that it is
// given, file by file, and hands out their records. A file's stretch ends where
// the next one begins, whatever stands behind.
//
// Everything below the synced of any whole frame, and below the start of any
// file, is proved: a sync of it had returned. So a bad frame at LSN x can be
// one that a power cut tore only if nothing proves that x was synced. At the
// first bad frame recovery looks on: at every 8 bytes of the file for a whole
// frame of the same nonce, in its place, with synced > x; and at the next file
// for start > x. Finding one, it refuses: the bad frame was on disk and is
// damaged. Finding none, the log ends at x. (A frame of the same group as the
// bad one may be whole behind it, with synced <= x. It was never confirmed,
// since one sync is for all of them, and goes with the rest.)
//
// A log never goes on in a file that it found. It begins a new one, at the
// last proved LSN, with a copy of the frames above it, which were found whole
// but perhaps never synced. That the copy and not a sync of the old file makes
// them durable is for the case that a sync of the old file has failed: its
// pages may then look clean, and a sync succeed, without being on disk. Records
// keep their LSNs; in the old file the copied frames are beyond its end.
//
// Files are created under a temporary name: header, copied frames, fdatasync,
// rename, fsync of the directory, and only then the first frame. A file that
// holds nothing, or of which all was copied, is removed.
//
// # Files that are filled ahead
//
// A file that has grown costs a journal commit of the file system with each
// fdatasync; one whose blocks are there already does not, which takes about half
// off. So a small commit that makes its file grow writes zeros behind itself, for
// Ahead bytes, before the sync that is its own anyway, and the commits that follow
// overwrite them. Frames stand where they would stand, and zeros are no frame: to a
// recovery they are what a torn commit may leave, and alone they are not even that.
// Where less than sixteen times Ahead is free on the disk the file grows as it would without. Large commits do
// without, too: with them a log would write nearly twice as much until its files are
// written over. Where its owner knows that this pays, there is Prepare, below.
//
// # Files that are written over
//
// To the same end Remove keeps Spares files instead of unlinking them: rename to .spare,
// fsync of the directory. The next file that fills up is followed by a spare, and so
// is one that is half full and would grow: header, fdatasync, rename, fsync of the
// directory, as for a fresh file. What makes this safe:
//
//   - Nothing is written to a spare before the directory was synced. Else a power
//     cut could bring back the old name over the new header.
//   - A name appears when its header is on disk: no file of the log ever has an
//     older one's header.
//   - An older frame is never taken for one of this file: its nonce is another.
//     Were it the same, its LSN would say another place, for the stream never
//     falls, and a later file begins later. So older frames end the log as zeros
//     do: they prove nothing, nor do they hide a frame of this file's that does.
//     Where only part of a frame's sectors got to the disk, older bytes are in
//     the others, and the checksum is wrong.
//   - The file's length proves nothing any more. Where a replay begins behind the
//     first frame of the last file and finds none, a frame must end there, by its
//     header; else the log was longer once, and Open refuses.
//   - A file that is being read when it is removed is unlinked, for the reader
//     must not find another's bytes. A View, which may be another process's, looks
//     at the header again where it finds damage, and after each ReadAt.
//
// Spares hold room for nobody's data. They are the first to go where room runs
// out; DropSpares is for owners who see that the log has fallen quiet; Rotate
// begins a fresh file. Only files of about FileSize are kept. An owner who foresees that
// the log will need a file before it removes one has a spare made, of zeros: Prepare.
// Who makes copies of a log's files by hard links gets what is written over them
// later, too.
//
// # Every crash
//
// What a power cut or kill -9 may leave, and what becomes of it:
//
//	at or during          may leave                               recovery
//	the write of a frame  nothing, a prefix, zeros, any sectors   torn: the log ends before the frame
//	the zeros behind it   the same, and any of the zeros          torn, or as behind its sync: zeros end the log
//	its sync              the same, or all of it                  torn, or the frame is replayed and copied
//	behind its sync       the frame                               the same; waiters may not have been told
//	a group of frames     any of them whole or torn               those before the first torn one are kept
//	creation of a file    a .tmp file of any content              removed
//	its rename            either name                             removed, or an empty file: the log ends at its start
//	the first frame in it as any frame                            as any frame
//	Remove of a file      the file, or a spare, or neither        if it lies below the replay: listed again, to be
//	                                                              removed again
//	Prepare               a spare of any length                   kept if it has about a file's length, else removed
//	a spare's header      a spare of any content                  a spare still
//	its rename            either name                             a spare, or an empty file: the log ends at its start
//	the first frame in it older frames, in any sectors            torn, or as any frame
//	Close                 no seal, a torn one, or a seal          the stream ends before it in any case
//	MkdirAll              no directory                            an empty log: nothing was ever durable
//	recovery: replay      as it was                               the same again
//	recovery: the copy    a .tmp file of any content              removed, and the same again
//	recovery: its rename  either name                             the same again, or the new file stands for the tail
//	recovery: removal     an empty file, or not                   removed again
//
// What other mishaps leave:
//
//	a file of no more than a header, not whole, the last      taken for one being created, and removed
//	a file with a bad header otherwise                        corrupt
//	a frame damaged, any whole frame or file behind it        corrupt
//	a frame damaged, none behind it                           torn: see below
//	a file missing between others, or shorter than it was     corrupt
//	a file missing before others, below the replay            not noticed until it is read
//	a spare of any content, or without its length             kept if it has about a file's length, else removed
//	the last file missing, or cut between frames              corrupt if the replay begins beyond; else see below
//	a header or frame of an unknown version or type           refused
//	a frame whose checksum is right and whose content is not  corrupt
//	a failed sync, then a new process, then a power cut       nothing that the new process replayed is lost
//	a full disk, anywhere                                     the spares are removed, and all is tried again; then:
//	a spare that cannot be opened, written or synced          it is removed, and a fresh file begun
//	a full disk, or no descriptor, where a file would begin   the old file is written on; tried again a second later
//	a full disk under a frame's write                         the commit waits for room (FullDiskWait); nothing of it
//	                                                          was synced or promised yet
//	the new file's rename or directory sync fails             the log fails: the name may be there after a power cut
//
// What no log without a second copy can tell from a torn tail: damage to the
// very last commit, if nothing was written behind it. That window closes with
// the next commit, and with Close, whose seal proves the last one.
//
// # Files that are done with
//
// Rotate begins a new file when the owner wants the active one closed, also
// while nothing is appended. Scan reads a closed file frame by frame, checksums
// and all, for whoever moves what is alive in it somewhere else before Remove.
// Files may be removed in any order. In one whose successor is gone, what looks
// like a tail, and of which nothing proves that it was synced, is its end; until
// then FileInfo.End may lie beyond it.
//
// Stats counts commits, bytes, syncs and how long they took since Open.
//
// # Cache
//
// The chunks are kept after they are written, newest first up to CacheSize, in
// a ring by LSN: most records are read soon after they are written. Pin, Cached
// and Unpin read them in place. A chunk's memory is used again when all of it
// is durable, it has left the ring, and no reader that could have seen it there
// is inside. ReadAt falls back on the files; it opens them on demand and keeps
// at most 64 open that are not being written.
//
// # Files of this package
//
//	wal.go      Log, Options, the vocabulary
//	append.go   Begin, Put, End: staging
//	commit.go   the committer, Lead, Wait, failure, Close
//	chunk.go    chunks and the ring: Pin, Cached
//	ahead.go    zeros ahead of small commits
//	prepare.go  and whole files of them
//	files.go    files, Rotate, ReadAt, Remove
//	recycle.go  spares: files that are written over
//	scarce.go   what happens when room or descriptors run out
//	recover.go  Open
//	scan.go     the scan: torn or corrupt, Replay, Scan
//	view.go     View: a look at a log that may be damaged or in use
//	stats.go    Stats, histograms
//	format.go   headers, frames, records
package wal
