package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/wal"
)

// benchQueue opens a store on the real file system with one durable queue.
func benchQueue(b *testing.B) (*Store, *Queue) {
	b.Helper()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	batch := s.NewBatch()
	q := batch.CreateQueue(true, QueueOptions{})
	if _, err := s.Apply(batch, wal.Group, nil); err != nil {
		b.Fatal(err)
	}
	return s, q
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s, q := benchQueue(b)
			m := Message{Exchange: []byte("amq.direct"), RoutingKey: []byte("orders"), Props: make([]byte, 16), Body: make([]byte, size), Persistent: true}
			batch := s.NewBatch()
			queues := []*Queue{q}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 100 {
				batch.Reset()
				for range 100 {
					batch.Publish(m, queues)
				}
				if _, err := s.Apply(batch, wal.Group, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mmsg/s")
		})
	}
}

func BenchmarkClaimAndAck(b *testing.B) {
	s, q := benchQueue(b)
	q.SetConsuming(true)
	m := Message{RoutingKey: []byte("orders"), Body: make([]byte, 100), Persistent: true}
	batch := s.NewBatch()
	queues := []*Queue{q}
	var c Claim
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 100 {
		b.StopTimer()
		batch.Reset()
		for range 100 {
			batch.Publish(m, queues)
		}
		if _, err := s.Apply(batch, wal.Group, nil); err != nil {
			b.Fatal(err)
		}
		batch.Reset()
		b.StartTimer()
		if q.Claim(&c, 100, false) != Claimed || len(c.Items) != 100 {
			b.Fatalf("claimed %d", len(c.Items))
		}
		for i := range c.Items {
			batch.Ack(q, c.Items[i].Seq)
		}
		c.Release()
		if _, err := s.Apply(batch, wal.Lazy, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecover opens a store with 1,000,000 messages of 100 bytes: after a
// kill with nothing but log, and after a graceful stop.
func BenchmarkRecover(b *testing.B) {
	const n = 1_000_000
	for name, o := range map[string]Options{"log": {CheckpointBytes: 1 << 40}, "checkpoint": {}} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(dir, o)
			if err != nil {
				b.Fatal(err)
			}
			batch := s.NewBatch()
			q := batch.CreateQueue(true, QueueOptions{})
			m := Message{RoutingKey: []byte("orders"), Body: make([]byte, 100), Persistent: true}
			for i := range n {
				batch.Publish(m, []*Queue{q})
				if i%1000 == 999 {
					if _, err := s.Apply(batch, wal.Group, nil); err != nil {
						b.Fatal(err)
					}
					batch.Reset()
				}
			}
			if name == "log" {
				s.checkpoints.stop() // a kill writes nothing more
				err = errors.Join(s.log.Close(), s.lock.Close())
			} else {
				err = s.Close()
			}
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if s.Stats().Recovered != n {
					b.Fatalf("recovered %d", s.Stats().Recovered)
				}
				s.checkpoints.stop()
				if err := errors.Join(s.log.Close(), s.lock.Close()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkDrain claims and acks a backlog that has left the cache.
func BenchmarkDrain(b *testing.B) {
	s, err := Open(b.TempDir(), Options{WAL: wal.Options{CacheSize: 1 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	batch := s.NewBatch()
	q := batch.CreateQueue(true, QueueOptions{})
	m := Message{RoutingKey: []byte("orders"), Body: make([]byte, 100), Persistent: true}
	for range b.N {
		if batch.Publish(m, []*Queue{q}); batch.Len() >= 1000 {
			if _, err := s.Apply(batch, wal.Group, nil); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if _, err := s.Apply(batch, wal.Group, nil); err != nil {
		b.Fatal(err)
	}
	if err := s.barrier(); err != nil {
		b.Fatal(err)
	}
	var c Claim
	b.ReportAllocs()
	b.ResetTimer()
	for got := 0; got < b.N; {
		switch q.Claim(&c, 1000, true) {
		case Unmarked:
			if err := s.Wait(c.WaitFor); err != nil {
				b.Fatal(err)
			}
			continue
		case Empty:
			b.Fatalf("empty after %d", got)
		}
		got += len(c.Items)
		batch.Reset()
		for i := range c.Items {
			batch.Ack(q, c.Items[i].Seq)
		}
		c.Release()
		if _, err := s.Apply(batch, wal.Lazy, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mmsg/s")
	b.ReportMetric(float64(s.Stats().Reads), "reads")
}
