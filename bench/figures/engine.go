package figures

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// engine is a store with one queue.
type engine struct {
	dir string
	s   *store.Store
	id  uint32
	q   *store.Queue
}

func (e *engine) open() (err error) {
	if e.s, err = store.Open(e.dir, store.Options{}); err != nil {
		return err
	}
	if e.id != 0 {
		e.q = e.s.Queue(e.id)
		return nil
	}
	b := e.s.NewBatch()
	e.q = b.CreateQueue(true, store.QueueOptions{})
	e.id = e.q.ID()
	lsn, err := e.s.Apply(b, wal.Group, nil)
	if err != nil {
		return err
	}
	return e.s.Wait(lsn)
}

// fill publishes n documents, in batches as a socket's reads bring them.
func (e *engine) fill(ctx context.Context, n, size int) error {
	docs := bench.NewDocuments(1, size)
	const each = 500
	buf := make([]byte, 0, each*size)
	b := e.s.NewBatch()
	queues := []*store.Queue{e.q}
	var lsn wal.LSN
	for i := 0; i < n; i += each {
		buf = buf[:0]
		b.Reset()
		for range min(each, n-i) {
			at := len(buf)
			buf = append(buf, docs.Next()...)
			b.Publish(store.Message{RoutingKey: []byte(queue), Props: []byte{0x10, 0, 2}, Body: buf[at:], Persistent: true}, queues)
		}
		var err error
		if lsn, err = e.s.Apply(b, wal.Group, nil); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return e.s.Wait(lsn)
}

// claimAll takes what is ready, a thousand at a time, and has each lot acked as
// ack records it.
func (e *engine) claimAll(ctx context.Context, ack func(b *store.Batch, items []store.Item)) (n int, err error) {
	var c store.Claim
	b := e.s.NewBatch()
	for {
		switch status := e.q.Claim(&c, 1000, true); status {
		case store.Empty:
			return n, nil
		case store.Unmarked:
			if err := e.s.Wait(c.WaitFor); err != nil {
				return n, err
			}
			continue
		case store.Cold:
			return n, fmt.Errorf("message %d cannot be read", n)
		}
		n += len(c.Items)
		b.Reset()
		ack(b, c.Items)
		c.Release()
		if _, err := e.s.Apply(b, wal.Lazy, nil); err != nil {
			return n, err
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
}

// drain measures how fast a backlog of 10,000,000 messages is claimed and acked.
func (s *session) drain(ctx context.Context) error {
	n := s.count(10_000_000)
	dir, remove, err := s.room("drain")
	if err != nil {
		return err
	}
	defer remove()
	e := &engine{dir: dir}
	if err := e.open(); err != nil {
		return err
	}
	defer func() { e.s.Close() }()
	begin := time.Now()
	if err := e.fill(ctx, n, 100); err != nil {
		return err
	}
	filled := time.Since(begin)
	m := e.s.Metrics()
	if err := e.s.Close(); err != nil {
		return err
	}
	begin = time.Now()
	if err := e.open(); err != nil {
		return err
	}
	opened := time.Since(begin)
	begin = time.Now()
	got, err := e.claimAll(ctx, func(b *store.Batch, items []store.Item) {
		for i := range items {
			b.Ack(e.q, items[i].Seq)
		}
	})
	took := time.Since(begin)
	if err == nil && got != n {
		err = fmt.Errorf("%d messages come, %d were published", got, n)
	}
	if err != nil {
		return err
	}
	rate := float64(n) / took.Seconds()
	after := e.s.Metrics()
	s.add(least(fmt.Sprintf("draining %s × 100 B through the engine", thousands(n)), rate, 1.5e6, thousands(int(rate))+" msg/s", "at least 1,500,000 msg/s",
		fmt.Sprintf("published at %s msg/s; opened in %s; %d segments, %s; %d blocks read", thousands(int(float64(n)/filled.Seconds())), ms(opened), m.Segments.Files, mb(m.Segments.Bytes), after.Cache.Misses)))
	return nil
}

// thinned measures what is left on disk of 1,000,000 messages, of which all but
// each 10,000th were acked.
func (s *session) thinned(ctx context.Context) error {
	n, size := s.count(1_000_000), 1024
	dir, remove, err := s.room("thinned")
	if err != nil {
		return err
	}
	defer remove()
	e := &engine{dir: dir}
	if err := e.open(); err != nil {
		return err
	}
	defer func() { e.s.Close() }()
	if err := e.fill(ctx, n, size); err != nil {
		return err
	}
	if err := e.s.Retire(true); err != nil {
		return err
	}
	before, err := diskUse(filepath.Join(dir, "segments"))
	if err != nil {
		return err
	}
	kept := 0
	if _, err = e.claimAll(ctx, func(b *store.Batch, items []store.Item) {
		for i := range items {
			if items[i].Seq%10_000 != 0 {
				b.Ack(e.q, items[i].Seq)
			} else {
				kept++
			}
		}
	}); err != nil {
		return err
	}
	bound := 2*int64(kept*size) + 64<<20
	patience := 30 * time.Second
	if n < 10_000 {
		patience = time.Second // a trial
	}
	begin := time.Now()
	alone, _, err := s.settle(ctx, dir, patience, func(used int64) bool { return used <= bound })
	if err != nil {
		return err
	}
	waited := time.Since(begin)
	begin = time.Now()
	if err := e.s.Compact(); err != nil {
		return err
	}
	took := time.Since(begin)
	for range 2 {
		if err := e.s.Checkpoint(); err != nil {
			return err
		}
	}
	used, err := diskUse(dir)
	if err != nil {
		return err
	}
	segments, err := diskUse(filepath.Join(dir, "segments"))
	if err != nil {
		return err
	}
	s.add(most(fmt.Sprintf("disk when of %s × 1 KiB all but each 10,000th are acked, after compaction", thousands(n)), float64(used), float64(bound), mb(used),
		fmt.Sprintf("at most 2 × live + 64 MiB (%s)", mb(bound)),
		fmt.Sprintf("%s of it segments, %s before; %s alive; compacted in %s; by itself %s after %.0f s", mb(segments), mb(before), mb(int64(kept*size)), ms(took), mb(alone), waited.Seconds())))
	return nil
}
