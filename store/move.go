package store

import (
	"fmt"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

const (
	// shareSize: a larger blob that is alive in several queues is stored once.
	shareSize = 4 << 10
	// A retirement asks so often, in records, whether the store is being closed.
	stopEvery = 4096
	// giveWayEvery is after how many records others are let run: some 0.1 ms.
	giveWayEvery = 256
)

// mover collects the living messages of a log file in a segment.
type mover struct {
	s      *Store
	f      wal.FileInfo
	b      *segment.Builder // nil until there is something
	queues map[uint32]*moving
	last   *moving
	n      int // messages
	left   int // messages that could not be read
	alive  []*moving
	seqs   []uint64
	near   near

	sealed *sealed
}

// moving is what is moved of a queue.
type moving struct {
	q     *Queue // nil: it was deleted
	spans []span
	cut   bool // the next message begins a span
}

// build makes a segment of what a way of going through the file finds.
func (t *retirer) build(f wal.FileInfo, walk func(*mover) error) (*mover, error) {
	m := &mover{s: t.s, f: f, queues: map[uint32]*moving{}}
	defer m.abandon()
	if err := walk(m); err != nil {
		return nil, err
	}
	if m.b == nil {
		return m, nil
	}
	info, err := m.b.Finish()
	if err != nil {
		return nil, err
	}
	m.b = nil
	m.sealed = t.s.segments.add(info)
	return m, nil
}

func (m *mover) abandon() {
	if m.b != nil {
		m.b.Abandon()
	}
}

// spans lists the spans of all queues.
func (m *mover) spans() []span {
	var spans []span
	for _, q := range m.queues {
		spans = append(spans, q.spans...)
	}
	return spans
}

// queue finds what is moved of a queue.
func (m *mover) queue(id uint32) *moving {
	if m.last != nil && m.last.q != nil && m.last.q.id == id {
		return m.last
	}
	q := m.queues[id]
	if q == nil {
		q = &moving{q: m.s.queues.get(id)}
		m.queues[id] = q
	}
	m.last = q
	return q
}

// scan goes through the file's records: one read from its beginning to its end.
func (m *mover) scan() error {
	records := 0
	return m.s.log.Scan(m.f.Seq, func(lsn wal.LSN, p []byte) error {
		if records++; records%giveWayEvery == 0 {
			giveWay()
		}
		if records%stopEvery == 0 {
			select {
			case <-m.s.retirer.quit:
				return errStopped
			default:
			}
		}
		if p[0] != record.Publish {
			return nil
		}
		pairs, blob, err := record.DecodePublish(p)
		if err != nil {
			return fmt.Errorf("record at lsn %d: %w", lsn, err)
		}
		addr := uint64(lsn) + uint64(len(p)-len(blob))
		m.alive, m.seqs = m.alive[:0], m.seqs[:0]
		for i := range pairs.Len() {
			id, seq, _ := pairs.At(i)
			if q := m.queue(id); q.q != nil && m.near.at(q.q, seq, addr) {
				m.alive, m.seqs = append(m.alive, q), append(m.seqs, seq)
			}
		}
		return m.put(blob)
	})
}

// near are the entries of neighbours in a queue, as they were when one of them was
// asked for: a queue's lock is taken once for many messages that stand in a row. Where
// each goes to several queues it is taken for each of them.
// What was acked since is moved with the rest, and sealing it does nothing.
type near struct {
	q       *Queue // asked for last
	first   uint64
	entries [64]index.Entry
	n       int // of entries that were read: one where another queue was asked for before
}

// at tells whether a message is in the log at that place.
func (n *near) at(q *Queue, seq, addr uint64) bool {
	if n.q != q || seq-n.first >= uint64(n.n) {
		n.n = 1
		if n.q == q {
			n.n = len(n.entries)
		}
		n.q, n.first = q, seq
		q.mu.Lock()
		q.ix.Unsealed(seq, n.entries[:n.n])
		q.mu.Unlock()
	}
	e := &n.entries[seq-n.first]
	return e.Logged() && e.Addr == addr
}

// put adds a message to the segment, for the queues in alive.
func (m *mover) put(blob []byte) error {
	if len(m.alive) == 0 {
		return nil
	}
	if err := m.begin(); err != nil {
		return err
	}
	payload := blob[record.BlobCheck:]
	var ref segment.Ref
	shared := len(m.alive) > 1 && len(blob) > shareSize
	var err error
	if shared {
		if ref, err = m.b.AddShared(payload); err != nil {
			return err
		}
	}
	for i, q := range m.alive {
		if shared {
			err = m.b.AddRef(q.q.id, m.seqs[i], ref)
		} else {
			err = m.b.Add(q.q.id, m.seqs[i], payload)
		}
		if err != nil {
			return err
		}
		q.extend(m.seqs[i])
		m.n++
	}
	return nil
}

// extend makes the last span reach over seq.
func (q *moving) extend(seq uint64) {
	if n := len(q.spans); n > 0 && !q.cut {
		q.spans[n-1].end = seq + 1
		return
	}
	q.spans = append(q.spans, span{q.q, seq, seq + 1})
	q.cut = false
}

// expiryOf is when a message in a segment expires; 0: never.
func expiryOf(payload []byte) int64 {
	_, at, _ := record.PayloadTimes(payload)
	return at
}

// begin makes the segment.
func (m *mover) begin() error {
	if m.b != nil {
		return nil
	}
	number, err := m.s.segments.allocate()
	if err != nil {
		return err
	}
	m.b, err = segment.Create(m.s.opts.FS, m.s.segments.dir, number, segment.Options{Expires: expiryOf})
	return err
}

// pick goes through the queues and reads each message by itself: for files in
// which something is damaged. What cannot be read stays where it is, and no span
// reaches over it.
func (m *mover) pick() error {
	var blob []byte
	var err error
	m.s.Queues(func(q *Queue) bool {
		to := m.queue(q.id)
		if to.q == nil {
			return true // deleted meanwhile
		}
		type place struct {
			seq uint64
			e   index.Entry
		}
		buf := make([]place, 0, 256)
		for from := ^uint64(0); ; from = buf[len(buf)-1].seq { // behind: from 0 on
			buf = buf[:0]
			q.mu.Lock()
			q.ix.After(from, func(seq uint64, e index.Entry) bool {
				buf = append(buf, place{seq, e})
				return len(buf) < cap(buf)
			})
			q.mu.Unlock()
			for _, p := range buf {
				if !p.e.Logged() || p.e.Flags&index.Sealed != 0 || p.e.Addr < uint64(m.f.Start) || p.e.Addr >= uint64(m.f.End) {
					continue
				}
				if cap(blob) < int(p.e.Len) {
					blob = make([]byte, p.e.Len)
				}
				blob = blob[:p.e.Len]
				if m.s.log.ReadAt(blob, wal.LSN(p.e.Addr)) != nil || record.CheckBlob(blob) != nil {
					to.cut = true
					m.left++
					continue
				}
				m.alive, m.seqs = append(m.alive[:0], to), append(m.seqs[:0], p.seq)
				if err = m.put(blob); err != nil {
					return false
				}
			}
			if len(buf) < cap(buf) {
				return true
			}
		}
	})
	return err
}

// span is a stretch [first, end) of a queue's messages.
type span struct {
	q          *Queue
	first, end uint64
}

// sealSlice bounds the messages, and sealSpans the spans, that change under one
// hold of the log's append lock: about 100 µs.
const (
	sealSlice = 4096
	sealSpans = 512
)

// seal moves the messages of spans that point into [from, to) of the log to a
// segment that is on disk: the record that says so and the change of the queues
// are one, in slices short enough for nobody to notice.
func (s *Store) seal(f *sealed, from, to wal.LSN, spans []span) error {
	var slice []span
	for len(spans) > 0 {
		slice = slice[:0]
		for room := uint64(sealSlice); room > 0 && len(slice) < sealSpans && len(spans) > 0; {
			part := spans[0]
			if part.end-part.first > room {
				part.end = part.first + room
				spans[0].first = part.end
			} else {
				spans = spans[1:]
			}
			room -= part.end - part.first
			slice = append(slice, part)
		}
		if err := s.sealSlice(f, from, to, slice); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sealSlice(f *sealed, from, to wal.LSN, spans []span) error {
	size := record.SealedSize + len(spans)*record.SpanSize
	if err := s.log.Begin(size, 1); err != nil {
		return err
	}
	var t tally
	in := func(addr uint64) bool { return addr >= uint64(from) && addr < uint64(to) }
	moved := func(_ uint64, e index.Entry) {
		t.log.add(&s.live, e.Addr, e.Len, -1)
		t.sealed.add(&s.segments, f.number, 1, int64(e.Len))
	}
	_, rec := s.log.Put(size)
	record.PutSealed(rec, len(spans), f.number, uint64(from), uint64(to))
	rec = rec[record.SealedSize:]
	for i, p := range spans {
		record.PutSpan(rec[i*record.SpanSize:], p.q.id, p.first, p.end)
		p.q.mu.Lock()
		if p.q.flags.Load()&queueGone == 0 {
			p.q.ix.Seal(p.first, p.end, f.number, in, moved)
		}
		p.q.mu.Unlock()
	}
	t.flush(s)
	s.log.End(wal.Lazy, nil)
	return nil
}
