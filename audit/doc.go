// Package audit keeps the audit log: who changed what an operator may change, and
// whose login was refused. It is for people, so each entry is one line of JSON in a
// file that any tool can read; github.com/tidwall/wal keeps the files and the indexes.
//
// # Promises
//
// An entry of a change is on disk when Append returns, and so before the change is
// answered. Between the change itself and its entry a power cut may come: then the
// change stands and its entry is missing. The reverse does not happen.
//
// Nothing that is wrong with the audit log stops a broker. What cannot be written is
// counted and told of in the program's log, once when it begins and once when it ends;
// it is tried again with the next entry, a second later at the earliest, and an entry
// audit.lost tells how many are missing.
//
// # Refusals
//
// Whoever tries passwords must neither fill the disk, nor keep it busy, nor push out of
// the log what administrators did. So events whose name ends in ".refused" are gathered
// and written by a goroutine: the first one at once, what follows after a pause, which
// doubles from a second to a minute while there is more. Equal ones (all but their time
// and port) are one entry with a count, and of different ones there are at most ten in a
// pause; what is over that is one entry that counts it. A steady attack costs some 4 MB
// a day. To read the log writes what is gathered, so that a reader sees all.
//
// # Files
//
// In a folder of its own, by first index:
//
//	00000000000000000001            {"index":"1","data":"+{\"time\":…}"} and a line feed, an entry a line
//	00000000000000004711.damaged-1  bytes that were found at the end of a file and are no entries
//
// A file ends at Options.FileSize. When there are more than Options.Files, the oldest
// is removed. Indexes go on and are never used twice.
//
// # After a power cut
//
// The library has no checksum and refuses to open a log whose last line is torn. So
// Open looks at the last file first. What follows its last good line is written to a
// file of its own, that file is synced, and then the log is cut there. Damage in an
// older file, or a file that is missing, is found when it is read: Page shows one entry
// audit.unreadable in its place, and goes on with what is before.
//
// The library's TruncateFront writes a file anew, which must be readable for that, and
// does not sync its new name. To trim, the log is closed instead, the oldest files are
// removed, oldest first, and the log is opened again: each step leaves a whole log.
//
// # Files of the package
//
//	audit.go    Log, Append, what goes wrong
//	event.go    entries
//	refusals.go what is gathered
//	page.go     reading
//	repair.go   what Open finds
package audit
