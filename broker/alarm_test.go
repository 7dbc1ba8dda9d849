package broker

import (
	"testing"
	"time"
)

const mb = 1 << 20

// disk is one that is looked at each tenth of a second.
type disk struct {
	w           diskWatch
	now         time.Time
	free, limit uint64
}

// takes writes so much, and tells whether the alarm is raised then.
func (d *disk) takes(bytes uint64) bool {
	d.now = d.now.Add(diskInterval)
	d.free -= bytes
	return d.w.low(d.now, d.free, d.limit)
}

// The alarm comes while the disk still has room for what is sent until publishers
// have heard of it.
func TestDiskAlarmKnowsThePace(t *testing.T) {
	d := disk{now: time.Unix(0, 0), free: 1000 * mb, limit: 50 * mb}
	for range 100 { // slow: 1 MB in a second
		if d.takes(mb / 10) {
			t.Fatalf("raised with %d free", d.free)
		}
	}
	for n := 0; !d.takes(40 * mb); n++ { // fast: 400 MB in a second
		if n > 20 {
			t.Fatal("never raised")
		}
	}
	if d.free < d.limit+200*mb {
		t.Errorf("raised with %d free, which half a second fills", d.free)
	}
	d.free = 20 * d.limit // room has come
	if d.takes(0) {
		t.Error("raised by room that came")
	}
	d.free = d.limit - 1
	if !d.takes(0) {
		t.Error("not raised below the limit")
	}
}

// Publishers who are held up write nothing: that is no reason to let them go at once,
// and fill the disk. In time they are tried again.
func TestDiskAlarmOutlivesThePublishersThatItHoldsUp(t *testing.T) {
	d := disk{now: time.Unix(0, 0), free: 1000 * mb, limit: 50 * mb}
	for !d.takes(40 * mb) {
	}
	was := d.now
	for d.takes(0) {
		if d.now.Sub(was) > time.Minute {
			t.Fatalf("%d are free, the limit is %d, and publishers are held up for a minute", d.free, d.limit)
		}
	}
	if held := d.now.Sub(was); held < diskWindow {
		t.Errorf("ended after %v", held)
	}

	d = disk{now: time.Unix(0, 0), free: 200 * mb, limit: 50 * mb}
	for !d.takes(10 * mb) {
	}
	was, d.free = d.now, d.limit+mb
	for n := 0; d.takes(0); n++ {
		if d.now.Sub(was) > time.Minute {
			t.Fatal("there is as much as the limit asks for, and publishers are held up for a minute")
		}
	}
	if held := d.now.Sub(was); held < 3*paceHalf {
		t.Errorf("with room for a tenth of a second the alarm ended after %v", held)
	}
}
