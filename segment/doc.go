/*
Package segment writes and reads sealed segments: files that hold the records of
many queues, compressed, in the order of their numbers, and never change once
they have their names. It knows nothing of logs, acks or what a record means: a
record is bytes under a queue's id and a sequence number ("seq").

# What it promises

  - A segment is durable when Builder.Finish or Merge returns, and until then its
    name does not exist: a crash leaves a temporary file, which is junk, or the
    whole segment.
  - A record is returned with the bytes that were put into it, or a *BlockError
    says which block is damaged, and which seqs it holds. Nothing else of the
    segment is lost with it: where the footer or the directory are damaged they
    are put together again from the blocks.
  - Reading needs memory for a directory, 48 bytes a block, and for the blocks in
    use. What is kept beyond that is bounded by the Cache.
  - No goroutines, no clock.

It leaves to others: which records are still wanted (Merge asks), when a file is
no longer needed (Remove), one user at a time of a directory, and that numbers
are not used twice.

# Building

A Builder gets records in any order of queues, each queue's in ascending order,
and gathers them by queue in blocks of about 64 KiB, which it compresses (zstd) and
writes one by one. When the blocks that fill take too much memory the fullest are
written early; where a queue has very little, several share a block. A payload
that lives in several queues may be stored once (AddShared) and be referred to
(AddRef). Records may expire: the Builder asks its caller when, and each block, and
the directory, say when the first one in it does. Nothing is done about it here.

# Reading

A Reader opens its file and reads the directory on first use. A Cursor is a
reader's place in a queue: Find moves it to a seq, by search in the directory,
from the Cache or the file. Going forward it reads several blocks of the queue
at once. Blocks are decompressed when they are reached, checked once, and kept in
the Cache, last used first. Cursors and users of payloads hold them; memory that
nobody holds is used again.

# The file

Integers are little endian or, where it says so, varints as in encoding/binary.
Checksums are CRC32C (Castagnoli). Unused bytes are zero. Files are named
%020d.seg by number, and %020d.seg.tmp while they are written.

	file header
	block
	…
	block of the directory
	footer

File header, 32 bytes:

	offset  size
	     0     8  magic: 89 'L' 'V' 'S' 'E' 'G' 0D 0A
	     8     4  format version, 2
	    12     8  number of the segment
	    20     8  nonce: random
	    28     4  checksum of all before

Block header, 56 bytes, before the block's payload:

	offset  size
	     0     4  checksum of the header's other bytes
	     4     4  checksum of the stored payload
	     8     8  mark: nonce + offset of this block in the file
	    16     8  first seq of a queue block; ordinal of a shared block
	    24     8  last seq of a queue block; ordinal of a shared block
	    32     4  bytes of the stored payload, which follows
	    36     4  bytes of the payload, decompressed
	    40     4  number of records; of payloads in a shared block
	    44     4  id of the queue of a queue block
	    48     1  kind: 1 queue, 2 mixed, 3 shared, 4 directory
	    49     1  codec: 0 stored as it is, 1 zstd
	    50     2  when the first record expires, in ms since 1970: bits 32 to 47
	    52     4  and bits 0 to 31; all 0 where none does

The mark keeps apart what stands where it was written from what merely looks like
a block: bytes in a record, or of another file. Nobody who chooses a record's
content knows the nonce.

Payload of a queue block: records, ascending.

	gap      varint  how many seqs lie between the record before and this one; 0 for the first
	length   varint  bytes of the payload + 1; 0 where it is in a shared block
	payload          or: varint ordinal of the shared block, varint index in it

Payload of a mixed block: sections, ascending by queue.

	queue    varint  difference to the queue before, less 1; the id itself for the first
	first    varint  first seq
	count    varint  number of records
	size     varint  bytes of the records
	records          as in a queue block

Payload of a shared block: records as in a queue block, all gaps 0 and none
referring. The index counts them from 0. Shared blocks have ordinals from 0 on, in
the order of the file.

Payload of the directory:

	shared   varint  number of shared blocks
	                 place of each
	queues   varint  number of queues
	entries  varint  number of entries of all queues
	queue            ascending by id:
	  id     varint  difference to the queue before, less 1; the id itself for the first
	  count  varint  number of entries
	  raw    varint  bytes of the queue's records in blocks, decompressed
	  entry          for each block, or section of a mixed one, ascending:
	    first  varint  first seq, less the last of the entry before, less 1; the seq itself for the first
	    span   varint  last seq − first
	    count  varint  number of records
	    place
	    time   varint  as in the block's header

	place    varint  zigzag: offset of the block − end of the block of the place before (at first 32)
	         varint  bytes of the block, header included

Footer, 80 bytes:

	offset  size
	     0     8  magic: 89 'L' 'V' 'S' 'E' 'N' 'D' 0A
	     8     4  format version, 2
	    12     8  number of the segment
	    20     8  nonce
	    28     8  offset of the directory's block, which ends where the footer begins
	    36     4  bytes of that block, header included
	    40     4  number of blocks, without the directory's
	    44     4  number of queues
	    48     8  number of records
	    56     8  bytes of all blocks but the directory's, decompressed
	    64    12  unused
	    76     4  checksum of all before

Version 1 is without times: a file of it is read, and nothing in it expires.

# Damage

	damaged                        what becomes of it
	-----------------------------  --------------------------------------------------------
	file header                    not noticed but by Verify: it is for what follows
	payload of a queue block       *BlockError for its seqs
	payload of a mixed block       *BlockError for the seqs of each queue in it
	shared block                   *BlockError for each record that refers to it
	header of a block              the same: the directory knows what was in it
	directory, or footer           rebuilt from the blocks on first use; see Reader.Damage
	these and a block's payload    rebuilt; the seqs of a mixed block are not known
	these and a block's header     rebuilt; the block is lost, and its seqs are not known
	the end of the file is gone    rebuilt from what there is
	both ends and the first block  *CorruptError

A number, nonce or version that is not the file's is damage of that place. A
directory whose sums are right and whose content is not is found by Verify, and by
any read that meets a block that is not as listed.

# What a crash leaves

	at or during                   leaves
	-----------------------------  --------------------------------------------------------
	Create, Add, Finish            a temporary file of any content
	its rename                     either name; if the new one, the whole segment
	Remove                         the segment, or nothing

# Files of this package

	format.go     names, headers, footer, errors   record.go    records and sections
	codec.go      compression                      directory.go where everything is
	builder.go    writing                          merge.go     rewriting
	reader.go     a file                           cursor.go    a place in it
	cache.go      blocks in memory                 rebuild.go   what to do without a directory
	scan.go       all records                      verify.go    all bytes
*/
package segment
