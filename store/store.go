package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

const (
	walFolder  = "wal"
	memFolder  = "spill" // of the arena
	lockFile   = "LOCK"
	firstQueue = 1 // 0 is no queue's id
)

// Store is an open data directory.
type Store struct {
	dir  string
	opts Options
	lock io.Closer
	log  *wal.Log

	queues    registry
	nextQueue atomic.Uint32
	catalog   catalog
	arena     *arena.Arena
	live      live
	segments  segments
	larges    larges

	checkpoints checkpoints
	retirer     retirer
	preparer    preparer
	compactor   compactor
	marker      marker
	trouble     trouble

	closed atomic.Bool
	// halfway counts batches that have ended one frame and will begin another. It
	// rises within the append lock.
	halfway atomic.Int32
	halves  atomic.Uint64 // when the log is durable up to here, so are those that were

	figures counters

	// Counters.
	reads     atomic.Int64
	readBytes atomic.Int64
	damaged   atomic.Int64
	warned    atomic.Int64 // ns: when warnUnreadable spoke last

	// Set by Open.
	recovered    int
	recoveryTime time.Duration
	fellBack     int
}

// Open opens the store in dir, which it makes if it is missing, and recovers
// what is in it. It fails with an error that is vfs.ErrLocked where another
// process has it open, that is ErrForeign where dir holds something else, and
// with *wal.CorruptError or *CorruptError where it is damaged in a way that no
// power cut explains.
func Open(dir string, o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	begin := time.Now()
	s := &Store{dir: dir, opts: o.withDefaults()}
	s.checkpoints.s = s
	s.retirer.init(s)
	s.compactor.init(s)
	s.segments.init(s)
	s.nextQueue.Store(firstQueue)
	s.live.init(o.WAL.FileSize)
	fs := s.opts.FS
	err := checkDir(fs, dir)
	if err == nil {
		err = makeDir(fs, dir)
	}
	if err != nil {
		return nil, err
	}
	if s.lock, err = fs.Lock(filepath.Join(dir, lockFile)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	// Before the log, which may need the room that an earlier process has left
	// filled.
	s.arena, err = arena.Open(filepath.Join(dir, memFolder), arena.Options{FS: fs, Limit: s.opts.MemoryBytes, ChunkSize: s.opts.spillChunk, Logger: s.opts.Logger})
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.arena.Close(), s.lock.Close())
	}
	s.checkpoints.start()
	s.retirer.start()
	s.preparer.start(s)
	s.compactor.start()
	s.recoveryTime = time.Since(begin)
	return s, nil
}

// GiveUp lets go those who wait for room on a full disk: see wal.Log.GiveUp.
func (s *Store) GiveUp() {
	s.log.GiveUp()
	s.retirer.throttle.letGo()
}

// Full tells whether the log waits for room on a full disk.
func (s *Store) Full() bool { return s.log.Full() }

// Close writes a last checkpoint, after which a restart has nothing to replay
// and knows exactly what was delivered, and closes the log. Nobody may use the
// store meanwhile or after.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return wal.ErrClosed
	}
	s.retirer.throttle.letGo()
	s.preparer.stop()
	s.compactor.stop()
	s.retirer.stop()
	s.checkpoints.stop()
	err := s.log.Err()
	if err == nil {
		s.sweepLarges()
		err = s.checkpoints.write(true)
	}
	if cerr := s.log.Close(); err == nil {
		err = cerr
	}
	s.segments.close()
	return errors.Join(err, s.arena.Close(), s.lock.Close())
}

// fileSize is the length of the log's files.
func (s *Store) fileSize() int64 {
	if s.opts.WAL.FileSize == 0 {
		return 64 << 20
	}
	return s.opts.WAL.FileSize
}

// Lead commits what is staged, in this goroutine if nobody else does: see
// wal.Log.Lead.
func (s *Store) Lead() { s.log.Lead() }

// Wait blocks until everything below lsn is durable.
func (s *Store) Wait(lsn wal.LSN) error { return s.log.Wait(lsn) }

// Durable returns the LSN below which everything is on disk.
func (s *Store) Durable() wal.LSN { return s.log.Durable() }

// Pressed tells that messages which need no log fill more memory than
// Options.MemoryBytes, because they cannot be written to disk. Publishers should
// be held up until it ends; Apply holds each up for a little.
func (s *Store) Pressed() bool { return s.arena.Pressed() }

// Err returns the failure after which the store takes nothing more that must
// be durable, nil while there is none.
func (s *Store) Err() error { return s.log.Err() }

// Stats is a snapshot of the store's figures.
type Stats struct {
	Recovered    int           // messages that Open found
	RecoveryTime time.Duration // that Open took
	FellBack     int           // damaged checkpoints that Open passed over

	Queues       int   // durable ones
	LogFiles     int   // of the write-ahead log
	LogBytes     int64 // in them
	LiveEntries  int64 // queue entries that point into the log
	LiveBytes    int64 // of their messages; one in several queues counts in each
	ArenaBytes   int64 // of memory for messages that are not in the log
	SpilledBytes int64 // of such messages, on disk
	LargeFiles   int   // for large messages
	LargeBytes   int64 // in their bodies
	Checkpoints  int64 // written since Open; then of the newest:
	LastReplay   wal.LSN
	LastSize     int64 // in bytes
	Reads        int64 // of the log's files, for messages that had left the cache
	ReadBytes    int64
	DamagedBlobs int64 // messages that could not be read and were set aside
}

// Stats returns the store's figures.
func (s *Store) Stats() Stats {
	st := Stats{
		Recovered: s.recovered, RecoveryTime: s.recoveryTime, FellBack: s.fellBack,
		Queues: s.queues.len(),
		Reads:  s.reads.Load(), ReadBytes: s.readBytes.Load(), DamagedBlobs: s.damaged.Load(),
	}
	ar := s.arena.Stats()
	st.ArenaBytes, st.SpilledBytes = ar.Memory, ar.Disk
	for _, f := range s.log.Files() {
		st.LogFiles++
		st.LogBytes += f.Disk
	}
	st.LogBytes += s.log.Stats().Spare
	st.LiveEntries, st.LiveBytes = s.live.size()
	st.LargeFiles, st.LargeBytes = s.larges.stats()
	c := &s.checkpoints
	st.Checkpoints, st.LastReplay, st.LastSize = c.written.Load(), wal.LSN(c.lastReplay.Load()), c.lastSize.Load()
	return st
}

// ErrForeign is what Open's error is for a directory that somebody else uses.
var ErrForeign = errors.New("is not empty and holds no Leveret data")

// checkDir refuses a directory with nothing but other people's files.
func checkDir(fs vfs.FS, dir string) error {
	names, err := fs.ReadDir(dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	foreign := false
	for _, name := range names {
		_, _, snapshot := parseSnapshotName(strings.TrimSuffix(name, tempSuffix))
		if snapshot || name == lockFile || name == walFolder || name == markerFile {
			return nil
		}
		foreign = foreign || name != "lost+found"
	}
	if foreign {
		return fmt.Errorf("directory %s %w", dir, ErrForeign)
	}
	return nil
}

// makeDir makes a directory and its missing parents, durably. An earlier process
// may have made them, or some, and died before it had synced their names: until
// there is a log file, all are synced that may be.
func makeDir(fs vfs.FS, dir string) error {
	dir = filepath.Clean(dir)
	missing := map[string]bool{} // parents of what is made here
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := fs.ReadDir(d); err == nil || d == filepath.Dir(d) {
			break
		}
		missing[filepath.Dir(d)] = true
	}
	if err := fs.MkdirAll(dir); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	if names, err := fs.ReadDir(filepath.Join(dir, walFolder)); err == nil && len(names) > 0 {
		return nil
	}
	for d := dir; d != filepath.Dir(d); {
		d = filepath.Dir(d)
		err := fs.SyncDir(d)
		if !missing[d] && (errors.Is(err, iofs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)) {
			continue // it cannot be synced, and most likely need not be
		}
		if err != nil {
			return fmt.Errorf("sync directory %s: %w", d, err)
		}
	}
	return nil
}
