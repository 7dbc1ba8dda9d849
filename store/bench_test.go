package store

import (
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
