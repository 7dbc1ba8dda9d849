package store

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// Options sets up a store. A zero field takes its default.
type Options struct {
	// FS is where the files are. Default: the operating system.
	FS vfs.FS
	// WAL sets up the log. Its Logger, where nil, is Logger; its CacheSize and
	// MaxStaged, where 0, are 32 MiB each: what is read late comes from the files.
	WAL wal.Options
	// CheckpointBytes is how many bytes of log may follow a checkpoint before
	// the next one. Default 128 MiB, which a start replays in some 0.1 s. A large
	// backlog in the log makes it more, up to WALBudget, so that checkpoints stay a
	// small part of what is written.
	CheckpointBytes int64
	// WALBudget is how many bytes of log may hold messages that are alive. Beyond
	// it the oldest files are retired: what lives in them moves to segments; and a
	// file beyond that, publishers are paced. Default 256 MiB.
	WALBudget int64
	// RetireAge is for how long a log file is not written to before it is retired
	// though the log is within its budget, when little else is going on. Default
	// 10 s. Negative: never; then the log's spare files stay, too.
	RetireAge time.Duration
	// CompactSlack is how many bytes of segments may be dead on top of what is
	// alive in them: beyond twice that and this, they are rewritten. Default 64 MiB.
	CompactSlack int64
	// CompactRate bounds, in bytes of segments a second, how fast that reads.
	// Default 64 MiB.
	CompactRate int64
	// CompactAge is how old a segment must be to be rewritten. Default 10 s.
	CompactAge time.Duration
	// CacheBytes is how much of segments is kept in memory, decompressed. Default
	// 16 MiB.
	CacheBytes int64
	// MemoryBytes is how much of what needs no log is kept in memory; beyond it
	// goes to files that are never synced (folder spill/). Default 256 MiB.
	// Negative: all stays in memory.
	MemoryBytes int64
	// LargeBytes is from where on a body should have a file of its own: who
	// publishes asks for it by Store.LargeBytes. Default 1 MiB; negative: none.
	LargeBytes int64
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger

	spillChunk int // of tests, which want to spill a few bytes
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	if o.CheckpointBytes < 0 {
		return fmt.Errorf("store: checkpoint interval of %d bytes is negative", o.CheckpointBytes)
	}
	if o.WALBudget < 0 {
		return fmt.Errorf("store: log budget of %d bytes is negative", o.WALBudget)
	}
	if o.CompactSlack < 0 || o.CompactRate < 0 || o.CompactAge < 0 {
		return fmt.Errorf("store: compaction with a slack of %d bytes, a rate of %d, an age of %v: none can be negative", o.CompactSlack, o.CompactRate, o.CompactAge)
	}
	if o.CacheBytes < 0 {
		return fmt.Errorf("store: cache of %d bytes is negative", o.CacheBytes)
	}
	if err := o.WAL.Validate(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 128 << 20
	}
	if o.WALBudget == 0 {
		o.WALBudget = 256 << 20
	}
	if o.RetireAge == 0 {
		o.RetireAge = 10 * time.Second
	}
	if o.CompactSlack == 0 {
		o.CompactSlack = 64 << 20
	}
	if o.CompactRate == 0 {
		o.CompactRate = 64 << 20
	}
	if o.CompactAge == 0 {
		o.CompactAge = 10 * time.Second
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.LargeBytes == 0 {
		o.LargeBytes = 1 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.WAL.Logger == nil {
		o.WAL.Logger = o.Logger
	}
	if o.WAL.CacheSize == 0 {
		o.WAL.CacheSize = 32 << 20
	}
	if o.WAL.MaxStaged == 0 {
		o.WAL.MaxStaged = 32 << 20
	}
	return o
}
