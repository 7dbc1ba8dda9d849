package broker

import "testing"

// The alarm comes while the disk still has room for what is sent until publishers
// have heard of it, and goes when they have stopped.
func TestDiskAlarmKnowsThePace(t *testing.T) {
	const mb = 1 << 20
	var w diskWatch
	free, limit := uint64(1000*mb), uint64(50*mb)
	raised := func(step uint64) bool {
		free -= step
		return free < limit+w.look(free)
	}
	for range 100 { // slow: 10 MB in a second
		if raised(mb / 10) {
			t.Fatalf("raised with %d free", free)
		}
	}
	for n := 0; !raised(40 * mb); n++ { // fast: 400 MB in a second
		if n > 20 {
			t.Fatal("never raised")
		}
	}
	if free < limit+200*mb {
		t.Errorf("raised with %d free, which half a second fills", free)
	}
	for n := 0; raised(0); n++ {
		if n > diskWindow {
			t.Fatal("not ended a second after the last write")
		}
	}
	free = limit - 1
	if !raised(0) {
		t.Error("not raised below the limit")
	}
	free = 10 * limit // room has come
	for range diskWindow + 1 {
		if raised(0) {
			t.Error("raised by room that came")
		}
	}
}
