package store

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// crash runs a script until the power goes at the cut-th operation on the files,
// and again at the again-th operation of the recovery from each of some images
// that the first cut allows; what the second one leaves must be as good.
func crash(t testing.TB, seed uint64, steps, cut, again int) {
	fs := vfs.NewMem()
	c := newScript(t, seed, tinyOptions(fs))
	var e *expectation // at the cut: what is delivered after it leaves no trace
	fs.OnOp(func(n int, _ vfs.Op, _ string) {
		if n == cut {
			now := c.expect()
			e = &now
			fs.Cut()
		}
	})
	err := c.open()
	for range steps {
		if err != nil {
			break
		}
		err = c.step()
	}
	if c.s != nil {
		c.close()
	}
	if e == nil {
		now := c.expect()
		e = &now
	}
	for desc, img := range fs.Images(vfs.ImageOptions{MaxImages: 4, Seed: uint64(cut)}) {
		what := fmt.Sprintf("seed %d, cut at operation %d, image %q", seed, cut, desc)
		if again > 0 {
			img.CutAt(again)
			if s, err := Open(testDir, tinyOptions(img)); err == nil {
				s.Close()
			}
			for desc, img := range img.Images(vfs.ImageOptions{MaxImages: 3, Seed: uint64(again)}) {
				e.check(t, fmt.Sprintf("%s, recovery cut at operation %d, image %q", what, again, desc), tinyOptions(img), true)
			}
			continue
		}
		e.check(t, what, tinyOptions(img), false)
	}
}

// TestPowerCutDuringRecovery cuts runs of many kinds, and the recoveries.
func TestPowerCutDuringRecovery(t *testing.T) {
	for seed := range uint64(60) {
		crash(t, 1000+seed, 120, int(20+seed*37%400), int(1+seed%25))
	}
}

// FuzzCrash looks for a script, and moments to cut it and its recovery, after
// which something is lost, torn, doubled or invented.
func FuzzCrash(f *testing.F) {
	f.Add(uint64(1), uint16(80), uint16(100), uint16(0))
	f.Add(uint64(2), uint16(200), uint16(400), uint16(10))
	f.Fuzz(func(t *testing.T, seed uint64, steps, cut, again uint16) {
		crash(t, seed, int(steps%500), int(cut%1500)+1, int(again%60))
	})
}
