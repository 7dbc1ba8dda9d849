package broker

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

const smallReserve = 64 << 10

// openSmall opens a broker with a small log on fs.
func openSmall(fs vfs.FS, reserve int64) (*Broker, error) {
	o := Options{Reserve: reserve, DiskFreeLimit: -1}
	o.Store = store.Options{FS: fs, WAL: wal.Options{FileSize: 1 << 20, ChunkSize: 1 << 18, CacheSize: 1 << 20, Ahead: smallReserve / 16}} // as it is to the real reserve
	return Open("data", o)
}

// crashSmall is crash for a broker of openSmall. It returns what is on the disk.
func crashSmall(m *vfs.Mem, b *Broker) *vfs.Mem {
	image := m.Restart()
	m.Cut()
	b.Close()
	return image
}

// leave makes the disk so large that n bytes are free.
func leave(t *testing.T, m *vfs.Mem, n int64) {
	t.Helper()
	const large = 1 << 40
	m.SetCapacity(large)
	free, err := m.Free("/")
	if err != nil {
		t.Fatal(err)
	}
	m.SetCapacity(large - int64(free) + n)
}

func TestStartOnADiskWithoutAFreeByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := vfs.NewMem()
		b, err := openSmall(m, smallReserve)
		if err != nil {
			t.Fatal(err)
		}
		w := &bench{t: t, fs: m, b: b}
		c := w.client()
		c.queue("q", durable)
		c.publish("", "q", "kept")
		c.flush()
		time.Sleep(2 * reserveEvery)
		synctest.Wait()
		if !hasReserve(m, "data", smallReserve) {
			t.Fatal("no reserve was made")
		}
		m = crashSmall(m, b)
		leave(t, m, 0)

		if b, err := openSmall(m, -1); err != nil {
			t.Fatalf("a broker that wants no reserve may still use it: %v", err)
		} else {
			m = crashSmall(m, b)
		}
		if hasReserve(m, "data", 0) {
			t.Fatal("the reserve was not used: the test proves nothing")
		}
		leave(t, m, 0)
		if _, err := openSmall(m, smallReserve); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("started without a byte: %v", err)
		}

		// With room there is a reserve again, but only with room to spare.
		leave(t, m, smallReserve*3/2)
		if b, err = openSmall(m, smallReserve); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * reserveEvery)
		synctest.Wait()
		if hasReserve(m, "data", smallReserve) {
			t.Error("a reserve was made of the last room")
		}
		leave(t, m, smallReserve*2)
		time.Sleep(2 * reserveEvery)
		synctest.Wait()
		if !hasReserve(m, "data", smallReserve) {
			t.Error("no reserve was made of new room")
		}
		w = &bench{t: t, fs: m, b: b}
		if got := w.client().drain("q"); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("got %q", got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The power is cut before every operation: the broker starts from what is there,
// a reserve that has its name is whole, and the next one can be made.
func TestReserveIsWholeOrNotThere(t *testing.T) {
	m := vfs.NewMem()
	b, err := openSmall(m, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	m.SyncAll()
	images := 0
	m.OnOp(func(_ int, op vfs.Op, name string) {
		for what, im := range m.Images(vfs.ImageOptions{MaxImages: 20}) {
			images++
			if hasReserve(im, "data", 0) && !hasReserve(im, "data", smallReserve) {
				t.Errorf("cut before %s %s, %s: the reserve is not whole", op, name, what)
			}
			if err := makeReserve(im, "data", smallReserve); err != nil {
				t.Errorf("cut before %s %s, %s: %v", op, name, what, err)
			}
			if !releaseReserve(im, "data") || hasReserve(im, "data", 0) {
				t.Errorf("cut before %s %s, %s: not released", op, name, what)
			}
			b, err := openSmall(im, -1)
			if err != nil {
				t.Errorf("cut before %s %s, %s: %v", op, name, what, err)
				return
			}
			b.Close()
		}
	})
	if err := makeReserve(m, "data", smallReserve); err != nil {
		t.Fatal(err)
	}
	releaseReserve(m, "data")
	m.OnOp(nil)
	if images < 20 {
		t.Errorf("%d images", images)
	}
}

func TestReserveThatCannotBeMadeLeavesNothing(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename} {
		m := vfs.NewMem()
		if err := m.MkdirAll("data"); err != nil {
			t.Fatal(err)
		}
		efs := vfs.NewErrFS(m)
		efs.Add(vfs.Rule{Ops: op, At: 1, Err: syscall.ENOSPC})
		if err := makeReserve(efs, "data", smallReserve); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", op, err)
		}
		if names, err := m.ReadDir("data"); err != nil || len(names) != 0 {
			t.Errorf("%s: left %v, %v", op, names, err)
		}
	}
}
