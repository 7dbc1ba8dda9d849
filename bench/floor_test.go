package bench

import (
	"os"
	"testing"
	"time"
)

func TestTheFloorIsMeasuredAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := MeasureFloor(t.Context(), dir, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if f.Sync.Count < 1 || f.RoundTrip.Count != f.Sync.Count || f.RoundTrip.P50 <= 0 || f.Milliseconds != f.Sync.P50+f.RoundTrip.P50 {
		t.Errorf("%+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if _, err := MeasureFloor(t.Context(), dir+"/nowhere", time.Second); err == nil {
		t.Error("a folder that is not there is measured")
	}
}
