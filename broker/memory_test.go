package broker

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// dial is a gauge that shows what it is set to, and how often garbage was
// collected.
type dial struct {
	mu        sync.Mutex
	live      int64
	garbage   int64
	collected int
}

func (d *dial) set(live, garbage int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live, d.garbage = live, garbage
}

func (d *dial) used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.live + d.garbage
}

func (d *dial) collect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.garbage = 0
	d.collected++
}

func (d *dial) collections() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.collected
}

func TestLowMemoryIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		w.close()
		const limit = 160 << 20
		d := &dial{}
		w.opts.MemoryLimit, w.opts.gauge = limit, d
		w.open()
		for _, step := range []struct {
			what          string
			live, garbage int64
			want          string
		}{
			{"little", limit / 2, 0, ""},
			{"just the limit", limit, 0, ""},
			{"garbage", limit / 2, limit, ""},
			{"more", limit + 1, 0, "low on memory"},
			{"a little less", limit - 1, 0, "low on memory"},
			{"a sixteenth less, and garbage", limit - limit/16, limit, ""},
			{"a little less than the limit", limit - 1, 0, ""},
		} {
			d.set(step.live, step.garbage)
			time.Sleep(collectInterval + memoryInterval)
			synctest.Wait()
			if got := w.b.Alarm(); got != step.want {
				t.Errorf("%s: alarm %q, want %q", step.what, got, step.want)
			}
		}
		// While it lasts garbage is collected now and then, and not at each look.
		d.set(2*limit, 0)
		before := d.collections()
		time.Sleep(10 * collectInterval)
		if n := d.collections() - before; n > 11 {
			t.Errorf("collected %d times", n)
		}

		w.fs.SetCapacity(40 << 20)
		time.Sleep(diskInterval + memoryInterval)
		synctest.Wait()
		if got := w.b.Alarm(); got != "low on memory & disk" {
			t.Errorf("alarm %q", got)
		}
		d.set(0, 0)
		time.Sleep(memoryInterval)
		synctest.Wait()
		if got := w.b.Alarm(); got != "low on disk" {
			t.Errorf("alarm %q", got)
		}
		w.close()
	})
}

func TestTransientMessagesThatCannotBeSpilledAreAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		w.close()
		broken := vfs.NewErrFS(w.fs)
		w.opts.Store.FS = broken
		w.opts.Store.MemoryBytes = 4 << 20
		w.open()
		broken.Add(vfs.Rule{Ops: vfs.OpWrite, Name: "*.spill", At: 1, Sticky: true, Err: syscall.EIO})
		c := w.client()
		c.queue("q")
		body := make([]byte, 1<<20)
		for range 8 {
			c.publish("", "q", string(body))
		}
		time.Sleep(memoryInterval)
		synctest.Wait()
		if got := w.b.Alarm(); got != "low on memory" {
			t.Errorf("alarm %q", got)
		}
		if ready, _ := c.counts("q"); ready != 8 {
			t.Errorf("%d messages", ready)
		}
		broken.Clear()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.b.Alarm(); got != "" {
			t.Errorf("alarm %q", got)
		}
		w.close()
	})
}

func TestTheMemoryLimitIsShared(t *testing.T) {
	type shares struct{ spill, cache, staged int64 }
	for name, c := range map[string]struct {
		o    Options
		want shares
	}{
		"much":       {Options{MemoryLimit: 4 << 30}, shares{2 << 30, 0, 0}},
		"little":     {Options{MemoryLimit: 64 << 20}, shares{32 << 20, 8 << 20, 8 << 20}},
		"very few":   {Options{MemoryLimit: 1 << 20}, shares{512 << 10, 2 << 20, 2 << 20}},
		"defaults":   {Options{MemoryLimit: 400 << 20}, shares{200 << 20, 0, 0}},
		"no limit":   {Options{MemoryLimit: -1}, shares{-1, 0, 0}},
		"said else":  {Options{MemoryLimit: 64 << 20, Store: store.Options{MemoryBytes: 1 << 20}}, shares{1 << 20, 8 << 20, 8 << 20}},
		"no default": {Options{}, shares{0, 0, 0}},
	} {
		c.o.shareMemory()
		if got := (shares{c.o.Store.MemoryBytes, c.o.Store.WAL.CacheSize, c.o.Store.WAL.MaxStaged}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if MemoryLimit() <= 0 {
		t.Error("this machine's memory is unknown")
	}
	p := newProcess()
	p.collect() // what other tests have left would be used first
	before := p.used()
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	if grown := p.used() - before; before <= 0 || grown < 32<<20 {
		t.Errorf("%d bytes in use, and then %d more", before, grown)
	}
	runtime.KeepAlive(ballast)
	p.collect()
	if left := p.used() - before; left > 16<<20 {
		t.Errorf("%d bytes left", left)
	}
}
