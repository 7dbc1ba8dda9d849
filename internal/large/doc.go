/*
Package large keeps what is too large for the log: each body in a file of its
own, so that it neither passes through memory nor holds up what is small.

A file is written once, front to back, by one Writer, whose Commit makes it
durable where that is asked for; then it is only read, and removed as a whole.
Whoever uses the package remembers which files are needed: after a crash there
may be others, whole or not, that nobody names. They are junk, to be removed.

# What it promises

  - Once Commit of a durable file has returned, a power cut leaves it whole.
  - What a Reader returns is what was written: everything is checked by a
    checksum before it is handed out, in blocks, so that the check of a long body
    needs no pass of its own. A difference is a *CorruptError.
  - Neither side holds more than a block or two in memory, whatever the length.
  - A writer syncs as it goes: little of its file is dirty at any time, so that
    another file's fdatasync, which in a journalling file system may have to wait
    for it, does not wait for long.
  - A reader holds no descriptor between two reads. Writers do, and there are at
    most MaxWriters at once.

It leaves to others: what head and body mean, how often a file is in use.

# Format

The files are named by number, 20 digits and ".msg"; a number is used once.
Integers are little endian.

	offset         bytes
	0              n      the body
	n              h      the head: bytes of the caller's that belong to the body
	n+h            4*k    CRC32C of each block of 64 KiB of the body; the last one is shorter
	n+h+4*k        4      magic, "LVLB"
	          + 4  4      version, 1
	          + 8  8      the file's number
	          +16  8      n
	          +24  4      h
	          +28  4      CRC32C of all from the head on

The body stands first since it comes first, and since what belongs to the head may
be known only when the last of the body is there.

# Crash cases

	crash                                what is found
	-----------------------------------  --------------------------------------------
	before Commit has returned           the file, in part or whole, or none: junk
	after it, durable                    the file
	after it, not durable                as before it
	after Remove                         the file may be back: junk

# Files of the package

	large.go   the directory    writer.go  writing    reader.go  reading, checking
*/
package large
