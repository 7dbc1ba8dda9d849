package store

import (
	"math"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/wal"
)

// Reading of the log's files for a queue whose messages have left the cache.
// A queue that was filled in one go lies almost in one piece, so one read
// fetches many messages; it doubles while the reader keeps coming back.
const (
	readFirst = 32 << 10  // bytes of the first read
	readMost  = 512 << 10 // of later ones; a single longer message is read whole
	readGap   = 16 << 10  // bytes of other queues that are read over
	readClaim = 1 << 20   // after that many bytes a Claim is content
)

// window is a piece of a file in memory: of the log, or of a chunk that the arena
// has spilled.
type window struct {
	base uint64
	file uint64 // the chunk's; addresses of chunks are used again. 0: the log
	buf  []byte
}

// readAhead holds what a Claim has read. The last window may hold what its next
// calls ask for.
type readAhead struct {
	seq     uint64   // the message that stopped take
	err     error    // why it cannot be read at the moment
	sealed  bool     // it is in a segment
	windows []window // items may point into all of them
	size    int      // of the next read
	spent   int      // bytes read since the last release
	spare   []byte
}

// bytes returns the n bytes at addr if they were read last; file as in window.
func (a *readAhead) bytes(addr uint64, n uint32, file uint64) []byte {
	if len(a.windows) == 0 {
		return nil
	}
	w := &a.windows[len(a.windows)-1]
	off := addr - w.base
	if w.file != file || addr < w.base || off+uint64(n) > uint64(len(w.buf)) {
		return nil
	}
	return w.buf[off : off+uint64(n) : off+uint64(n)]
}

// read fetches the message that stopped take, and its neighbours. It returns
// whether take should go on: the message is in memory now, or out of the way.
// It does not where enough was read, or where nothing can be read at the moment:
// then err says why.
func (a *readAhead) read(q *Queue) bool {
	a.err = nil
	if a.spent >= readClaim {
		return false
	}
	addr, ok, err := a.attempt(q)
	if !ok {
		return true // somebody else took it
	}
	return a.judge(q, addr, err)
}

// attempt is what of read touches files: it says at what address the message is, or
// that there is nothing to read any more.
func (a *readAhead) attempt(q *Queue) (addr uint64, ok bool, err error) {
	if l := q.largeAt(a.seq); l != nil {
		err := l.load()
		l.Release()
		return largeBit | l.number, true, err
	}
	a.size = min(max(2*a.size, readFirst), readMost)
	p, ok := a.plan(q, math.MaxUint64)
	if !ok {
		return 0, false, nil
	}
	err = a.fetch(q.s, p, p.end)
	if limit := q.s.fileEnd(p.from); p.chunk == nil && err != nil && limit < p.end { // one read, one file
		if p, ok = a.plan(q, limit); !ok {
			return 0, false, nil
		}
		err = a.fetch(q.s, p, p.end)
	}
	if err != nil && p.end > p.one { // let one that cannot be read not stop the others
		err = a.fetch(q.s, p, p.one)
	}
	if p.chunk != nil {
		q.s.arena.Release(p.chunk, 1)
	}
	return p.from, true, err
}

// judge says what follows from an attempt to read the message that stopped take,
// at addr: see read.
func (a *readAhead) judge(q *Queue, addr uint64, err error) bool {
	if err == nil {
		q.s.trouble.over(q)
		return true
	}
	if scarce(err) || !harmed(err) && q.s.trouble.passes(q, a.seq, time.Now()) {
		q.s.warnUnreadable(err)
		a.err = err
		return false
	}
	q.mu.Lock()
	e, ready, _ := q.ix.Lookup(a.seq)
	mine := e != nil && !e.Sealed() && e.Addr == addr
	if mine && ready {
		q.ix.TakeAt(a.seq, e)
	}
	q.mu.Unlock()
	if mine {
		q.setAside(a.seq, err)
	}
	return true
}

// fileEnd is where the log file that holds lsn ends.
func (s *Store) fileEnd(lsn uint64) uint64 {
	for _, f := range slices.Backward(s.log.Files()) {
		if uint64(f.Start) <= lsn {
			return uint64(f.End)
		}
	}
	return math.MaxUint64
}

// stretch is what to read: from up to end. It begins with the message that
// stopped take, which ends at one.
type stretch struct {
	from, one, end uint64
	chunk          *arena.Chunk // held; nil: it is of the log
}

// plan finds the stretch to read, up to limit.
func (a *readAhead) plan(q *Queue, limit uint64) (p stretch, ok bool) {
	log := q.s.log
	log.Pin() // for Cached
	defer log.Unpin()
	q.mu.Lock()
	defer q.mu.Unlock()
	e, _, _ := q.ix.Lookup(a.seq)
	if e == nil || e.Sealed() {
		return p, false
	}
	if !e.Logged() {
		p.chunk = q.s.arena.Chunk(e.Addr)
		if p.chunk.File() == 0 {
			return p, false
		}
		p.chunk.Hold()
		limit = p.chunk.End()
	}
	p.from = e.Addr
	p.end = p.from + uint64(e.Len)
	p.one = p.end
	q.ix.After(a.seq, func(_ uint64, e index.Entry) bool {
		stop := e.Addr + uint64(e.Len)
		if e.Logged() != (p.chunk == nil) || e.Addr < p.end || e.Addr > p.end+readGap || stop-p.from > uint64(a.size) || stop > limit ||
			p.chunk == nil && log.Cached(wal.LSN(e.Addr), int(e.Len)) != nil {
			return false
		}
		p.end = stop
		return true
	})
	return p, true
}

// fetch reads the stretch up to end into a new window.
func (a *readAhead) fetch(s *Store, p stretch, end uint64) (err error) {
	n := int(end - p.from)
	buf := a.spare
	a.spare = nil
	if cap(buf) < n {
		buf = make([]byte, n, max(n, min(2*n, a.size)))
	}
	buf = buf[:n]
	file := uint64(0)
	if p.chunk != nil {
		file = p.chunk.File()
		err = s.arena.ReadAt(buf, p.from)
	} else {
		err = s.log.ReadAt(buf, wal.LSN(p.from))
	}
	if err != nil {
		return err
	}
	a.spent += n
	s.reads.Add(1)
	s.readBytes.Add(int64(n))
	a.windows = append(a.windows, window{p.from, file, buf})
	return nil
}

// released keeps the last window, which nothing points into any more.
func (a *readAhead) released() {
	a.spent = 0
	if n := len(a.windows); n > 1 {
		a.spare = a.windows[0].buf
		a.windows[0] = a.windows[n-1]
		clear(a.windows[1:])
		a.windows = a.windows[:1]
	}
	if len(a.windows) == 1 && cap(a.windows[0].buf) > readMost {
		a.windows = nil // a large message
	}
	if cap(a.spare) > readMost {
		a.spare = nil
	}
}

// drop forgets everything: the queue's messages come from memory again.
func (a *readAhead) drop() { *a = readAhead{} }
