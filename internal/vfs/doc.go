// Package vfs is the file system as the storage engine sees it: a narrow
// interface, the operating system behind it, and doubles that lose power or
// fail at a chosen operation.
//
//	OS     the operating system: pread, pwrite, fdatasync, fsync of directories, flock
//	Mem    files in memory that know what a power cut would leave of them
//	ErrFS  any of these, with calls that fail as its rules say
//
// It promises positional reads and writes that many goroutines may share, and
// errors that errors.Is knows by their cause (fs.ErrNotExist, syscall.ENOSPC,
// ErrLocked). It leaves to its callers what is written where and when it is
// synced, retries (there are none, but for EINTR), and every format.
//
// # The crash model
//
// A power cut takes what no sync has made durable, or leaves it, in parts. Mem
// keeps the durable state and the changes since; Images makes the file systems
// that a machine could find when it comes up again. The rules are those that
// POSIX leaves a file system free to use, harsher than any journal is:
//
//	what was done                      what an image holds
//	---------------------------------  ----------------------------------------------------
//	write, then Sync                   the bytes, wherever the file still has a name
//	write                              of each sector: its state before, or after any
//	                                   number of the writes into it, the last of these
//	                                   perhaps only up to some byte; each sector on its own,
//	                                   so that a later one may be there without an earlier
//	write over synced bytes            the same, sector by sector: the synced bytes or the new
//	write beyond the end               any length from the synced one up to the new one that
//	                                   holds the bytes that are there; zeros where none are
//	Create, then SyncDir               the name; the file is empty, or any state of its data
//	Create                             the name or not, whatever was synced of the data
//	Create, write, Sync, no SyncDir    the file whole, or no file
//	Rename in a directory              old name or new, never both, never none; the file that
//	                                   was replaced has its name back where it is undone
//	Rename to another directory        a Create there and a Remove here, each on its own:
//	                                   one name, both, or none
//	Remove                             the name gone or back, with the data of the file
//	MkdirAll                           the directory or not; where it is gone, all below it is
//	SyncDir                            the directory's entries, but not its own in its parent
//	several changes of names           any of them without the others, in one directory too:
//	                                   an order needs a SyncDir between
//	Sync that fails                    the bytes written before it, or not, for good: later
//	                                   syncs succeed and leave them where they are
//
// An fsync of a file does not make its name durable, and a SyncDir does not
// make data durable. Metadata and data have no order between them. A sector
// (512 bytes unless ImageOptions says otherwise) is torn only in the order of
// its bytes, and synced bytes are never harmed: faults of the medium are not
// power cuts, and Mem.Corrupt is there for them.
//
// When only the process dies, all that was written is still there and still not
// synced: Mem.Restart. What a recovery reads after that may vanish with the
// power afterwards, so it must sync what it builds on.
//
// # How to test with it
//
// Run the workload once, with a hook that looks at all images of each moment:
//
//	m := vfs.NewMem()
//	m.OnOp(func(n int, op vfs.Op, name string) {
//		for desc, img := range m.Images(vfs.ImageOptions{Seed: uint64(n)}) {
//			check(img, confirmed) // recovers; what was confirmed by now must be there
//		}
//	})
//
// or, where the program's own answer to the cut matters, once for each k from 1
// to the Ops of a run without a cut, with CutAt(k), and the Images after it.
//
// # Files
//
//	vfs.go        the interface
//	op.go         the kinds of operation
//	os*.go        OS
//	content.go    copy-on-write file contents
//	mem.go        Mem: names, numbers, the cut
//	memfile.go    Mem's open files: writes and syncs
//	restart.go    Mem.Restart, SyncAll, Corrupt
//	images.go     Images: which states are made, in which order
//	torn.go       the states of one file
//	tornnames.go  the states of the names
//	errfs.go      ErrFS
//	util.go       ReadFile
package vfs
