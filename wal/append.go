package wal

import "fmt"

// Begin starts a batch of at most n records with at most size bytes of payload
// in all. It takes the append lock, which End releases: what stands between
// must be short, and must not call Begin, Append, Lead, Wait or Close. It
// blocks while too much is staged, and fails when the log has failed or is
// closed; then nothing is held. Put and End never wait.
func (l *Log) Begin(size, n int) error {
	if size < 0 || n < 0 || size > MaxBatch || n > MaxBatch/recordHeader || size+n*recordHeader > MaxBatch {
		return ErrTooLarge
	}
	need := size + n*recordHeader
	l.mu.Lock()
	if l.turns.waiting() || l.tooMuch(need) {
		l.queueUp(need)
	}
	if err := l.Err(); err != nil || l.closed {
		l.mu.Unlock()
		if err == nil {
			err = ErrClosed
		}
		return err
	}
	total := need
	if l.open.batches == 0 {
		total += frameHeaderSize
	}
	if total > len(l.cur.buf)-l.off {
		l.roll(need)
	}
	if l.open.batches == 0 {
		l.off = l.open.start + frameHeaderSize
	}
	l.limit = l.off + need
	l.fresh = l.open.records
	return nil
}

// turns are taken by those who wait in Begin, so that a large batch is not
// overtaken for ever by small ones that still fit.
type turns struct {
	next, serving uint64
}

func (t *turns) waiting() bool { return t.next != t.serving }

// tooMuch tells whether a batch of need bytes must wait. One larger than the
// bound goes alone. Under mu.
func (l *Log) tooMuch(need int) bool {
	staged := int64(uint64(l.cur.base) + uint64(l.off) - l.durable.Load())
	return staged != 0 && staged+int64(need) > l.opts.MaxStaged
}

// queueUp waits until it is this caller's turn and there is room, or the log has
// failed or is closed. Under mu, which it lets go meanwhile.
func (l *Log) queueUp(need int) {
	turn := l.turns.next
	l.turns.next++
	for l.Err() == nil && !l.closed && (turn != l.turns.serving || l.tooMuch(need)) {
		l.want = true
		l.wake()
		l.progress.Wait()
	}
	l.turns.serving++
	if l.turns.waiting() {
		l.progress.Broadcast()
	}
}

// Put adds a record of n bytes to the batch. It returns the record's LSN and
// its payload, all of which the caller must fill before End. The slice must
// not be used after End.
func (l *Log) Put(n int) (LSN, []byte) {
	at := l.off + recordHeader
	end := at + n
	if n < 0 || end > l.limit {
		panic(fmt.Sprintf("wal: record of %d bytes does not fit in what Begin reserved", n))
	}
	le.PutUint32(l.cur.buf[l.off:], uint32(n))
	l.off = end
	l.open.records++
	return l.cur.base + LSN(at), l.cur.buf[at:end:end]
}

// End closes the batch and releases the append lock. w, if not nil, is called
// when the batch is durable. It returns the LSN that Durable must reach for
// that: the batch's end. A batch without records leaves no trace: End returns
// 0 and w is not called.
func (l *Log) End(m Mode, w Waiter) LSN {
	f := l.open
	if f.records == l.fresh {
		if f.batches == 0 {
			l.off = f.start
		}
		if l.want {
			l.wake() // Begin may have left a full frame
		}
		l.mu.Unlock()
		return 0
	}
	f.batches++
	if w != nil {
		f.waiters = append(f.waiters, w)
	}
	end := l.cur.base + LSN(l.off)
	l.appended.Store(uint64(end))
	switch m {
	case Group:
		l.want = true
		l.wake()
	case Lazy:
		if l.want {
			l.wake() // Begin may have left a full frame
		} else if !l.armed {
			l.armed = true
			l.lazy.Reset(l.opts.LazyDelay)
		}
	}
	l.mu.Unlock()
	return end
}

// Append is a batch of one record. It returns the record's LSN and the
// batch's end.
func (l *Log) Append(rec []byte, m Mode, w Waiter) (lsn, end LSN, err error) {
	if err := l.Begin(len(rec), 1); err != nil {
		return 0, 0, err
	}
	lsn, p := l.Put(len(rec))
	copy(p, rec)
	return lsn, l.End(m, w), nil
}

// sealOpen ends the open frame, queues it for a commit and opens the next one
// behind it. Under mu.
func (l *Log) sealOpen() {
	f := l.open
	f.payload = l.off - f.start - frameHeaderSize
	f.end = align(l.off)
	clear(f.c.buf[l.off:f.end])
	l.off = f.end
	l.pending = append(l.pending, f)
	l.openFrame()
}

// openFrame makes a frame at cur's off the one to stage in. Under mu.
func (l *Log) openFrame() {
	var f *frame
	if n := len(l.spare); n > 0 {
		f, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		f = new(frame)
	}
	f.c, f.start = l.cur, l.off
	l.open = f
	l.boundary.Store(uint64(f.lsn()))
}
