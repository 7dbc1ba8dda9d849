package store

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/segment"
)

const segmentFolder = "segments"

// segments is the table of the sealed files: which there are, what is alive in
// each, and which one has taken over another's messages. A queue's runs name
// segments by number; what is alive is counted here from the same changes, so
// that a file is known to be empty at once, without asking any queue.
type segments struct {
	s     *Store
	dir   string
	cache *segment.Cache

	mu     sync.Mutex // a leaf: nothing is locked and no file touched under it
	made   bool       // this process has seen to it that the folder is there, durably
	next   uint64     // number of the next segment; numbers never come back
	files  map[uint64]*sealed
	alias  map[uint64]uint64 // merged away: what has their messages, in one step
	doomed []*sealed         // to be removed: without a live message, or merged away
}

// sealed is a segment. All but number and reader is guarded by segments.mu.
type sealed struct {
	number uint64
	reader *segment.Reader
	born   time.Time // when this process made it; zero: before

	info  segment.Info // never changes; zero: not looked up yet (by the compactor)
	bad   bool         // damaged: the compactor leaves it alone
	live  int64        // messages alive in runs; one in several queues counts in each
	bytes int64        // of their blobs

	users    int    // readers and merges at work
	building bool   // its Sealed or Merged records are not all applied yet
	doomed   bool   // in segments.doomed; then:
	at       uint64 // when the log is durable beyond, so is what emptied it
}

func (t *segments) init(s *Store) {
	t.s = s
	t.dir = filepath.Join(s.dir, segmentFolder)
	t.cache = segment.NewCache(s.opts.CacheBytes)
	t.forget()
}

// forget empties the table.
func (t *segments) forget() {
	t.files, t.alias, t.doomed, t.next = map[uint64]*sealed{}, map[uint64]uint64{}, nil, 1
}

// resolve is the number under which a segment's messages are found now.
func (t *segments) resolve(number uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.resolved(number)
}

func (t *segments) resolved(number uint64) uint64 {
	if to, ok := t.alias[number]; ok {
		return to
	}
	return number
}

// allocate returns a number for a new segment, and makes the folder where it is
// missing. It may touch files: no lock is held.
func (t *segments) allocate() (uint64, error) {
	t.mu.Lock()
	made, number := t.made, t.next
	t.next++
	t.mu.Unlock()
	if made {
		return number, nil
	}
	fs := t.s.opts.FS
	if err := fs.MkdirAll(t.dir); err != nil {
		return 0, fmt.Errorf("make directory %s: %w", t.dir, err)
	}
	if err := fs.SyncDir(t.s.dir); err != nil {
		return 0, fmt.Errorf("sync directory %s: %w", t.s.dir, err)
	}
	t.mu.Lock()
	t.made = true
	t.mu.Unlock()
	return number, nil
}

// unused is a number that no segment has had yet.
func (t *segments) unused() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// name is the path of a segment's file.
func (t *segments) name(number uint64) string {
	return filepath.Join(t.dir, segment.Name(t.resolve(number)))
}

// replayMerge is merge for a record that is replayed, before there are files.
func (t *segments) replayMerge(number uint64, olds []uint64) {
	t.use(number)
	for _, old := range olds {
		t.rename(old, number)
	}
}

// rename makes a number stand for another. Under mu.
func (t *segments) rename(old, number uint64) {
	t.alias[old] = number
	for from, to := range t.alias {
		if to == old {
			t.alias[from] = number
		}
	}
}

// use notes that a number is in use: see Header.NextSegment.
func (t *segments) use(number uint64) { t.next = max(t.next, number+1) }

// add enters a finished file. It is not removed before built was called, even
// where nothing in it is alive yet, or any more.
func (t *segments) add(info segment.Info) *sealed {
	f := &sealed{
		number: info.Number, reader: segment.Open(t.s.opts.FS, t.dir, info.Number, t.cache),
		born: time.Now(), info: info, building: true,
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files[f.number] = f
	return f
}

// built says that a segment's records are all applied.
func (t *segments) built(f *sealed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.building = false
	t.look(f)
}

// acquire returns the segment with that number, or what it was merged into, and
// keeps it from being removed until release; nil where there is none.
func (t *segments) acquire(number uint64) *sealed {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[t.resolved(number)]
	if f != nil {
		f.users++
	}
	return f
}

func (t *segments) release(f *sealed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.users--
	if f.doomed && f.users == 0 {
		t.s.retirer.due.poke()
	}
}

// count notes that n messages (negative: fewer) with so many bytes are alive.
func (t *segments) count(number uint64, n, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[t.resolved(number)]
	if f == nil {
		return // the file is lost, and its messages are gone through
	}
	f.live += n
	f.bytes += bytes
	t.look(f)
}

// look dooms a segment in which nothing is alive. Under mu.
func (t *segments) look(f *sealed) {
	if f.live > 0 {
		return
	}
	f.bytes = 0 // sizes of messages that were never read are averages
	if !f.building && !f.doomed {
		t.doom(f)
	}
}

func (t *segments) doom(f *sealed) {
	f.doomed = true
	// The batch that empties it, if it is not over, is in the open frame.
	f.at = uint64(t.s.log.Boundary())
	t.doomed = append(t.doomed, f)
	t.s.retirer.due.poke()
}

// merge makes the segment f have all that is alive in others, which are doomed.
// It is called within the log's append lock, with the Merged record that says so.
func (t *segments) merge(f *sealed, olds []*sealed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, old := range olds {
		f.live += old.live
		f.bytes += old.bytes
		old.live, old.bytes = 0, 0
		delete(t.files, old.number)
		t.rename(old.number, f.number)
		if !old.doomed {
			t.doom(old)
		}
	}
}

// unalias forgets what the numbers of merged segments stand for: no run names
// them any more. It is called within the log's append lock, so that no batch is
// under way that has seen them.
func (t *segments) unalias(olds []*sealed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, old := range olds {
		delete(t.alias, old.number)
	}
}

// reap removes the files in which nothing is alive, once what emptied them is
// durable. No lock is held; one goroutine at a time.
func (t *segments) reap() error {
	s := t.s
	durable := uint64(s.log.Durable())
	if s.halfway.Load() == 0 && durable >= s.halves.Load() {
		t.unlink(t.take(func(f *sealed) bool { return f.at < durable }))
	}
	if s.log.Full() {
		return nil // who waits now waits for room
	}
	doomed := t.take(func(*sealed) bool { return true })
	if len(doomed) == 0 {
		return nil
	}
	if err := s.barrier(); err != nil {
		t.mu.Lock()
		t.doomed = append(t.doomed, doomed...)
		t.mu.Unlock()
		return err
	}
	t.unlink(doomed)
	return nil
}

// take takes those of the doomed segments that which chooses, and nobody uses.
func (t *segments) take(which func(*sealed) bool) (taken []*sealed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doomed = slices.DeleteFunc(t.doomed, func(f *sealed) bool {
		if f.users > 0 || !which(f) {
			return false
		}
		taken = append(taken, f)
		return true
	})
	return taken
}

func (t *segments) unlink(files []*sealed) {
	for _, f := range files {
		t.mu.Lock()
		if t.files[f.number] == f {
			delete(t.files, f.number)
		}
		t.mu.Unlock()
		f.reader.Close()
		name := filepath.Join(t.dir, segment.Name(f.number))
		if err := t.s.opts.FS.Remove(name); err != nil {
			t.s.opts.Logger.Warn("empty segment cannot be removed; the next start tries again", "file", name, "err", err)
		}
	}
}

// list returns the segments that are whole and not doomed, by number. The fields
// are to be read under mu.
func (t *segments) list() []*sealed {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*sealed
	for _, f := range t.files {
		if !f.building && !f.doomed {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *sealed) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return list
}

// recovered fills the table from the queues' runs when all was replayed, and
// removes the files that no run names. A file that a run needs must be there.
func (t *segments) recovered() error {
	fs := t.s.opts.FS
	names, err := fs.ReadDir(t.dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("read directory %s: %w", t.dir, err)
	}
	t.s.Queues(func(q *Queue) bool {
		if len(t.alias) > 0 {
			q.ix.Relabel(t.resolved)
		}
		q.ix.Runs(func(r index.Run) bool {
			f := t.files[r.Segment]
			if f == nil {
				f = &sealed{number: r.Segment, reader: segment.Open(fs, t.dir, r.Segment, t.cache), building: true}
				t.files[r.Segment] = f
			}
			f.live += int64(r.Live)
			f.bytes += r.Bytes
			return true
		})
		return true
	})
	t.alias = map[uint64]uint64{}
	for _, name := range names {
		number, temp, ok := segment.ParseName(name)
		if !ok {
			continue
		}
		t.use(number)
		if f := t.files[number]; f != nil && !temp {
			f.building = false
			continue
		}
		if err := fs.Remove(filepath.Join(t.dir, name)); err != nil {
			return err
		}
	}
	for _, f := range t.files {
		if f.building {
			name := filepath.Join(t.dir, segment.Name(f.number))
			return &CorruptError{name, fmt.Errorf("the file is missing, and %d messages of %d bytes are in it", f.live, f.bytes)}
		}
	}
	return nil
}

// close closes all readers.
func (t *segments) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		f.reader.Close()
	}
	for _, f := range t.doomed {
		f.reader.Close()
	}
}

// segmentTally gathers changes of what is alive in segments, so that a run of
// neighbours costs one lock.
type segmentTally struct {
	segment     uint64
	live, bytes int64
}

func (a *segmentTally) add(t *segments, segment uint64, n, bytes int64) {
	if segment != a.segment {
		a.flush(t)
		a.segment = segment
	}
	a.live += n
	a.bytes += bytes
}

func (a *segmentTally) flush(t *segments) {
	if a.live != 0 || a.bytes != 0 {
		t.count(a.segment, a.live, a.bytes)
		a.live, a.bytes = 0, 0
	}
}

// tally gathers what a batch changes of both.
type tally struct {
	log    liveTally
	sealed segmentTally
}

func (a *tally) flush(s *Store) {
	a.log.flush(&s.live)
	a.sealed.flush(&s.segments)
}
