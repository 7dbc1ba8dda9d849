package inspect

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/store"
)

// A store works, with checkpoints and retirement all the time, while its
// directory is looked at: no look finds anything wrong, and each salvage is a
// directory without problems.
func TestALookAtARunningStoreFindsNothingWrong(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	a, b := w.queue("a"), w.queue("b")
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(1, 2))
		batch := w.s.NewBatch()
		var c store.Claim
		for n := 0; !stop.Load(); n++ {
			batch.Reset()
			for range 1 + rng.IntN(10) {
				batch.Publish(store.Message{Body: make([]byte, rng.IntN(700)), Persistent: true}, []*store.Queue{a, b}[:1+rng.IntN(2)])
			}
			for _, q := range []*store.Queue{a, b} {
				q.Claim(&c, 5+rng.IntN(15), true)
				for _, it := range c.Items {
					switch rng.IntN(8) {
					case 0:
						batch.Requeue(q, it.Seq)
					default:
						batch.Ack(q, it.Seq)
					}
				}
				c.Release()
			}
			lsn, err := w.s.Apply(batch, 0, nil)
			if err == nil {
				err = w.s.Wait(lsn)
			}
			if err == nil && n%7 == 0 {
				err = w.s.Checkpoint()
			}
			if err == nil && n%11 == 0 {
				err = w.s.Retire(true)
			}
			if err == nil && n%23 == 0 {
				err = w.s.Compact()
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	begun, rounds := time.Now(), 40
	if testing.Short() {
		rounds = 10
	}
	for i := 0; i < rounds && time.Since(begun) < 5*time.Second; i++ {
		v, err := Verify(dataDir, Options{FS: w.fs})
		if err != nil {
			t.Errorf("round %d: %v", i, err)
			break
		}
		if v.Found != 0 {
			t.Errorf("round %d: %v", i, v.Problems)
			break
		}
		if st, err := ReadStat(dataDir, Options{FS: w.fs}); err != nil || len(st.Problems) > 0 {
			t.Errorf("round %d: %+v (%v)", i, st, err)
			break
		}
		if _, err := Dump(dataDir, DumpOptions{Options: Options{FS: w.fs}}, func(*Line) error { return nil }); err != nil {
			t.Errorf("round %d: %v", i, err)
			break
		}
	}
	for i := range rounds / 10 {
		to := fmt.Sprintf("%s%d", newDir, i)
		r, err := Salvage(dataDir, to, Options{FS: dirFS{w.fs}})
		if err != nil || r.Lost > 0 || len(r.Problems) > 0 {
			t.Errorf("salvage %d: %+v (%v)", i, r, err)
			break
		}
		read(t, w.fs, to)
		if v, err := Verify(to, Options{FS: w.fs}); err != nil || v.Found > 0 {
			t.Errorf("salvage %d: %v (%v)", i, v.Problems, err)
			break
		}
	}
	stop.Store(true)
	<-done
	w.close()
}
