package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// TestPublishersAndConsumersSideBySide runs several of both on a few queues,
// beside checkpoints, retirement and compaction, and kills the store in the end: what was confirmed and
// not acked is there once, in order, and says so where it was delivered.
func TestPublishersAndConsumersSideBySide(t *testing.T) {
	const publishers, messages, nQueues = 3, 3000, 3
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL = wal.Options{FileSize: 64 << 10, ChunkSize: 8 << 10, CacheSize: 32 << 10}
	o.CheckpointBytes = 32 << 10
	s := open(t, o)
	var queues []*Queue
	for range nQueues {
		q := newQueue(t, s, true)
		queues = append(queues, q)
		q.SetConsuming(len(queues) == 1)
	}
	transientQueue := newQueue(t, s, false)

	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 1))
			b := s.NewBatch()
			for n := 0; n < messages; {
				b.Reset()
				for range rng.IntN(20) + 1 {
					// The body says who and when: each publisher's messages must keep
					// their order in each queue.
					body := binary.LittleEndian.AppendUint64(nil, uint64(p)<<32|uint64(n))
					m := Message{Body: append(body, make([]byte, rng.IntN(300))...), Persistent: n%5 != 0}
					b.Publish(m, []*Queue{queues[n%nQueues], transientQueue})
					n++
				}
				lsn, err := s.Apply(b, wal.Mode(rng.IntN(2)), nil)
				if err == nil && rng.IntN(10) == 0 {
					err = s.Wait(lsn)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var stop atomic.Bool
	var consumers sync.WaitGroup
	sealed := make(chan struct{}) // closed when a segment has messages, of which quick consumers would leave none
	acked := make([]map[uint64]bool, nQueues)
	for i, q := range append(queues, transientQueue) {
		var mu sync.Mutex
		last := map[uint64]uint64{}
		if i < nQueues {
			acked[i] = map[uint64]bool{}
		}
		for w := range 2 {
			consumers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(w)))
				var c Claim
				b := s.NewBatch()
				<-sealed
				for {
					done := stop.Load()
					mu.Lock() // claims of one queue in turn, so that their order can be checked
					switch q.Claim(&c, rng.IntN(30)+1, rng.IntN(2) == 0) {
					case Unmarked:
						mu.Unlock()
						if err := s.Wait(c.WaitFor); err != nil {
							t.Error(err)
						}
						continue
					case Cold:
						mu.Unlock()
						continue
					case Empty:
						mu.Unlock()
						if done {
							return
						}
						// Others will publish: let them.
						if err := s.barrier(); err != nil {
							t.Error(err)
						}
						continue
					}
					keep := rng.IntN(len(c.Items) + 1)
					for k := range c.Items[:keep] {
						it := &c.Items[k]
						id := binary.LittleEndian.Uint64(it.Body)
						if at, ok := last[id>>32]; ok && id <= at && !it.Redelivered {
							t.Errorf("queue %d: message %d of publisher %d after %d", i, uint32(id), id>>32, uint32(at))
						}
						last[id>>32] = max(last[id>>32], id)
					}
					q.Unclaim(&c, keep)
					mu.Unlock()
					b.Reset()
					for k := range c.Items {
						it := &c.Items[k]
						if rng.IntN(20) == 0 {
							b.Requeue(q, it.Seq)
							continue
						}
						b.Ack(q, it.Seq)
						if i < nQueues {
							mu.Lock()
							id := binary.LittleEndian.Uint64(it.Body)
							if acked[i][id] {
								t.Errorf("queue %d: message %x was delivered twice", i, id)
							}
							acked[i][id] = true
							mu.Unlock()
						}
					}
					c.Release()
					if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	// Topology comes and goes beside them.
	wg.Go(func() {
		for i := range 100 {
			apply(t, s, func(b *Batch) {
				q := b.CreateQueue(i%2 == 0, QueueOptions{})
				b.Put(fmt.Sprint(i%10), []byte("x"))
				b.Publish(text("1"), []*Queue{q, transientQueue}[:1])
				if i%3 > 0 {
					b.DeleteQueue(q)
				}
			})
			s.Stats()
			if err := s.Checkpoint(); err != nil {
				t.Error(err)
			}
		}
	})
	// So do segments.
	consumers.Go(func() {
		begin := sync.OnceFunc(func() { close(sealed) })
		defer begin()
		for {
			done := stop.Load() // all is published, and goes to segments where none has begun to consume
			retire(t, s)
			if s.Metrics().Retirement.Messages > 0 {
				begin()
			}
			if err := s.Compact(); err != nil {
				t.Error(err)
			}
			if done {
				return
			}
		}
	})
	wg.Wait()
	stop.Store(true)
	consumers.Wait()
	for i, q := range queues {
		wantCounts(t, q, 0, 0)
		for n := range messages {
			for p := range publishers {
				if id := uint64(p)<<32 | uint64(n); n%nQueues == i && !acked[i][id] {
					t.Fatalf("queue %d: message %x never came", i, id)
				}
			}
		}
	}
	if n := s.Metrics().Retirement.Messages; n == 0 {
		t.Errorf("no message went through a segment")
	}
	want := dump(t, s)
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	if got := dump(t, s); got != want {
		t.Errorf("after a kill:\n%s\nwas\n%s", got, want)
	}
}
