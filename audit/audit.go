package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	tidwall "github.com/tidwall/wal"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Options of a log. A zero field takes its default.
type Options struct {
	// FileSize is where a file ends, in bytes. Default 1 MiB.
	FileSize int
	// Files is how many there are at most. Default 64.
	Files int
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Log is an audit log. Its methods may be called from any goroutine. A nil *Log
// keeps nothing and has nothing.
type Log struct {
	dir      string
	opts     Options
	refusals refusals

	// mu guards what follows. The library's reads change its cache, so that they
	// need it too.
	mu     sync.Mutex
	log    *tidwall.Log // nil: it could not be opened, or written
	starts []uint64     // first index of each file, ascending
	last   uint64       // index of the newest entry; firstIndex-1 where there is none
	closed bool
	failed time.Time // when the last attempt failed
	lost   uint64    // entries since the first of these failures
	stats  Stats

	salvaged struct { // what was read last of a damaged file
		start  uint64
		events []Event
	}
}

// Stats tells what has happened since Open.
type Stats struct {
	Entries uint64 // written
	Failed  uint64 // could not be written
}

// retryAfter is how long a log that failed is left alone.
const retryAfter = time.Second

// ErrClosed is returned by Close of a log that is closed.
var ErrClosed = errors.New("audit log is closed")

// Open opens the log in a folder, which is made if it is missing. What is damaged is
// set aside. An error is for a folder that cannot be used; the log then tries again by
// itself and may be used all the same.
func Open(dir string, o Options) (*Log, error) {
	if o.FileSize <= 0 {
		o.FileSize = 1 << 20
	}
	if o.Files <= 0 {
		o.Files = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{dir: dir, opts: o}
	l.refusals.begin(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.open()
	if err != nil {
		l.failed = time.Now()
		err = fmt.Errorf("audit log in %s: %w", dir, err)
	}
	return l, err
}

// open opens what is on disk, after repairs. l.mu is held.
func (l *Log) open() error {
	made, err := makeDir(l.dir)
	if err != nil {
		return err
	}
	starts, aside, err := repair(l.dir, l.opts.Logger)
	if err != nil {
		return err
	}
	log, err := tidwall.Open(l.dir, &tidwall.Options{
		LogFormat: tidwall.JSON, SegmentSize: l.opts.FileSize, SegmentCacheSize: 1,
		AllowEmpty: true, NoCopy: true, DirPerms: 0o700, FilePerms: 0o600,
	})
	if err != nil {
		return err
	}
	first, err := log.FirstIndex()
	if err == nil {
		l.last, err = log.LastIndex()
	}
	if err == nil && (made || len(starts) == 0) {
		err = vfs.OS().SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(err, log.Close())
	}
	if len(starts) == 0 {
		starts = []uint64{first}
	}
	l.log, l.starts = log, starts
	if aside != nil {
		return l.write(Event{Event: eventDamaged, Time: time.Now(), Object: Object{Type: "audit"},
			Detail: map[string]any{"file": aside.name, "bytes": aside.size, "cause": aside.cause}})
	}
	return nil
}

func makeDir(dir string) (made bool, err error) {
	if _, err := os.Stat(dir); err == nil {
		return false, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	return true, vfs.OS().SyncDir(filepath.Dir(dir))
}

// Append adds an entry. That of a change is on disk when it returns; that of a refusal
// comes within a minute: see the package's comment. A failure is told of in the
// program's log.
func (l *Log) Append(e Event) {
	if l == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if strings.HasSuffix(e.Event, ".refused") {
		l.refusals.add(e)
		return
	}
	l.append(e)
}

func (l *Log) append(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	err := l.tryAppend(e)
	if err == nil {
		return
	}
	l.stats.Failed++
	if l.lost++; l.lost == 1 {
		l.opts.Logger.Error("the audit log cannot be written; the broker goes on without it and tries again", "dir", l.dir, "err", err)
	}
}

var errLeftAlone = errors.New("it failed a moment ago")

// tryAppend writes an entry, and before it what there is to say about lost ones. l.mu
// is held.
func (l *Log) tryAppend(e Event) error {
	if l.log == nil {
		if time.Since(l.failed) < retryAfter {
			return errLeftAlone
		}
		if err := l.open(); err != nil {
			l.giveUp()
			return err
		}
	}
	if l.lost > 0 {
		lost := Event{Event: eventLost, Time: time.Now(), Object: Object{Type: "audit"}, Detail: map[string]any{"entries": l.lost}}
		if err := l.write(lost); err != nil {
			l.giveUp()
			return err
		}
		l.opts.Logger.Info("the audit log is written again", "dir", l.dir, "lost", l.lost)
		l.lost = 0
	}
	if err := l.write(e); err != nil {
		l.giveUp()
		return err
	}
	return nil
}

// giveUp leaves the log, whose state in memory may be another than on disk, to the
// next attempt.
func (l *Log) giveUp() {
	if l.log != nil {
		_ = l.log.Close() // what was synced is there
		l.log = nil
	}
	l.failed = time.Now()
}

// write writes and syncs an entry. l.mu is held.
func (l *Log) write(e Event) error {
	if err := l.log.Write(l.last+1, encode(e)); err != nil {
		return err
	}
	l.last++
	l.stats.Entries++
	// The library begins the next file by itself, and leaves its name unsynced.
	if _, err := os.Stat(filepath.Join(l.dir, fileName(l.last+1))); err != nil {
		return nil
	}
	if err := vfs.OS().SyncDir(l.dir); err != nil {
		return err
	}
	l.starts = append(l.starts, l.last+1)
	return l.trim()
}

// trim removes the oldest files where there are too many. l.mu is held.
func (l *Log) trim() error {
	more := len(l.starts) - l.opts.Files
	if more <= 0 {
		return nil
	}
	err := l.log.Close()
	l.log = nil
	if err != nil {
		return err
	}
	for _, start := range l.starts[:more] {
		if err := os.Remove(filepath.Join(l.dir, fileName(start))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := vfs.OS().SyncDir(l.dir); err != nil {
		return err
	}
	return l.open()
}

// Stats tells what has happened since Open.
func (l *Log) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Close writes what is gathered and closes the log. What is appended later is lost.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.refusals.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.closed = true
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}
