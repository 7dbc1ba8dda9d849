package broker

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"time"
)

// Many durable queues are cheap: in memory, and to open again.
func TestManyDurableQueues(t *testing.T) {
	const queues, atOnce, bytesEach = 20_000, 1000, 1024
	dir := t.TempDir()
	live := func() uint64 {
		for range 3 { // what pools and finalizers of other tests hold goes with the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := b.vhosts["/"]
	for i := 0; i < queues; i += atOnce {
		err := v.change(func(c *change) error { // as DeclareQueue, but with one wait for the disk
			for k := i; k < i+atOnce; k++ {
				q := v.newQueue(QueueSpec{Name: fmt.Sprintf("queue-%06d", k), Durable: true}, noSettings(), nil)
				if err := q.create(c); err != nil {
					return err
				}
				c.batch.Reset()
				v.add(q)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, v = nil, nil
	before := live()
	began := time.Now()
	if b, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if n := b.Stats().Queues; n != queues {
		t.Errorf("%d queues", n)
	}
	each := (live() - before) / queues
	t.Logf("opened in %v, %d bytes a queue", took, each)
	if each > bytesEach {
		t.Errorf("a queue needs %d bytes, more than %d", each, bytesEach)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who walks over the queues meets each once, whatever came and went before.
func TestAWalkMeetsEachQueueOnce(t *testing.T) {
	w := newBench(t)
	c := w.client()
	remove := func(name string) {
		_, err := c.s.DeleteQueue(name, false, false)
		c.ok(err)
	}
	for i := range 3 * walkAtOnce {
		c.queue(fmt.Sprint("old", i))
	}
	for i := range 3 * walkAtOnce {
		if i%3 != 0 {
			remove(fmt.Sprint("old", i))
		}
	}
	for i := range walkAtOnce {
		c.queue(fmt.Sprint("new", i))
	}
	check := func() {
		t.Helper()
		want := maps.Clone(w.b.vhosts["/"].queues)
		w.b.EachQueue(func(q QueueSample) bool {
			if want[q.Name] == nil {
				t.Errorf("%s is met twice, or is not there", q.Name)
			}
			delete(want, q.Name)
			return true
		})
		if len(want) > 0 {
			t.Errorf("%d queues are not met", len(want))
		}
	}
	check()
	for name := range maps.Clone(w.b.vhosts["/"].queues) {
		remove(name)
	}
	check()
	c.queue("last")
	check()
	if l := &w.b.vhosts["/"].listed; len(l.slots) != 1 {
		t.Errorf("%d slots for one queue", len(l.slots))
	}
}
