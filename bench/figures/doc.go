// Package figures measures what the storage engine promises, and puts each
// figure beside what it must reach: how long a restart takes and what memory it
// needs with a backlog, what a backlog and what is left of it take on disk, how
// often a message is written, how fast a backlog drains, and the log against
// another one. The broker is the real binary, as users run it, where its
// clients see the figure; the engine is used in this process where they do not.
//
// # What is measured how
//
//   - A restart's time runs from the start of the process until a client that
//     tries every millisecond has its connection.open-ok. It is the median of
//     restarts from copies of one data directory, so that each finds what the
//     kill left. The page cache holds the files, as it does after a crash of the
//     process; the figure with files read from the disk is given too.
//   - Resident memory is the most that VmRSS says, asked 20 times a second.
//   - Disk is the blocks that the data directory's files occupy.
//   - Written bytes are the sectors that were written to the device of the data
//     directory, which nobody else should use meanwhile: pages that a sync writes
//     again and the file system's journal are included. Where the device does not
//     count, write_bytes in /proc/PID/io stands in, which counts a page (several, in
//     recent kernels) for a byte that changes in it.
//   - Bodies are JSON documents that are all different (package bench).
//
// Conditions are printed with the table: without them the figures say little.
// Compare figures of one run on a quiet machine.
//
// # Files
//
//	figures.go   the rows, and what runs them
//	report.go    the table and the conditions
//	broker.go    the broker's process      backlog.go   rows that need it
//	engine.go    rows of the engine alone  log.go       the log against tidwall/wal
package figures
