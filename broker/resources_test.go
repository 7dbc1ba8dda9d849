package broker

import (
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

func TestResourcesTellLimitsAndWhatIsShort(t *testing.T) {
	before := time.Now()
	b, err := Open("data", Options{Reserve: -1, MemoryLimit: 1 << 40, DiskFreeLimit: 1 << 20, Store: store.Options{FS: vfs.NewMem()}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := b.Resources()
	if r.MemoryUsed <= 0 || r.MemoryLimit != 1<<40 || r.DiskLimit != 1<<20 || r.DiskFree == 0 || r.Dir != "data" || r.Started.Before(before) {
		t.Errorf("%+v", r)
	}
	if r.MemoryAlarm || r.DiskAlarm {
		t.Errorf("an alarm where nothing is short: %+v", r)
	}
	b.short.set(&b.short.disk, true)
	if r := b.Resources(); r.MemoryAlarm || !r.DiskAlarm {
		t.Errorf("%+v while the disk is full", r)
	}
	b.short.set(&b.short.memory, true)
	if r := b.Resources(); !r.MemoryAlarm {
		t.Errorf("%+v while memory is short", r)
	}
	if b.Storage().WAL.Files == 0 {
		t.Error("the engine has no log file")
	}
}
