package store

import (
	"maps"
	"math/bits"
	"sync"

	"github.com/leveret-mq/leveret/wal"
)

// live counts, for every granule of the log that has some, the queue entries
// that point into it. It tells which log files hold nothing that is needed.
type live struct {
	shift uint // a granule has 1<<shift bytes

	mu       sync.Mutex // a leaf
	granules map[uint64]granule
	entries  int64 // sum of granules
	bytes    int64 // of the entries' blobs; one in several queues counts in each
	// empty are files, by number, that are known to hold nothing though a granule
	// that they share with a neighbour does.
	empty map[uint64]bool
}

type granule struct{ entries, bytes int64 }

// init empties the count and sets the granule to a 64th of a file, at most 1 MiB: a
// granule that reaches into two files holds both.
func (l *live) init(fileSize int64) {
	if fileSize == 0 {
		fileSize = 64 << 20
	}
	l.shift = uint(min(20, max(6, bits.Len64(uint64(fileSize/64))-1)))
	l.granules, l.empty = map[uint64]granule{}, map[uint64]bool{}
	l.entries, l.bytes = 0, 0
}

// emptied notes that no entry points into a file that is not being written, and
// none ever will: all that was alive in it was moved.
func (l *live) emptied(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.empty[seq] = true
}

// forget drops what is known of the files before first, which are no more.
func (l *live) forget(first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.empty, func(seq uint64, _ bool) bool { return seq < first })
}

// liveTally gathers changes, so that a run of neighbours costs one lock.
type liveTally struct {
	granule uint64
	entries int64
	bytes   int64
}

// add notes n entries (negative: fewer) for size bytes at lsn.
func (t *liveTally) add(l *live, lsn uint64, size uint32, n int64) {
	if g := lsn >> l.shift; g != t.granule {
		t.flush(l)
		t.granule = g
	}
	t.entries += n
	t.bytes += n * int64(size)
}

func (t *liveTally) flush(l *live) {
	if t.entries == 0 && t.bytes == 0 {
		return
	}
	l.mu.Lock()
	g := l.granules[t.granule]
	if g = (granule{g.entries + t.entries, g.bytes + t.bytes}); g.entries != 0 {
		l.granules[t.granule] = g
	} else {
		delete(l.granules, t.granule)
	}
	l.entries += t.entries
	l.bytes += t.bytes
	l.mu.Unlock()
	t.entries, t.bytes = 0, 0
}

// dead tells whether no entry points into the file. A batch that is under way
// does not make a granule count less than is alive of what others have put there:
// it is the only one, since all that changes durable queues holds the log's append
// lock.
func (l *live) dead(f wal.FileInfo) bool {
	if f.Active {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.granules) == 0 || l.empty[f.Seq] {
		return true
	}
	for g := uint64(f.Start) >> l.shift; g<<l.shift < uint64(f.End); g++ {
		if l.granules[g].entries != 0 {
			return false
		}
	}
	return true
}

// within is how many entries point into the file, and the bytes of their blobs;
// those near its ends may be counted too.
func (l *live) within(f wal.FileInfo) (entries, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := uint64(f.Start) >> l.shift; g<<l.shift < uint64(f.End); g++ {
		entries += l.granules[g].entries
		bytes += l.granules[g].bytes
	}
	return entries, bytes
}

func (l *live) size() (entries, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries, l.bytes
}
