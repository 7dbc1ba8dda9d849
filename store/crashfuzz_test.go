package store

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// crashRun is a run of a script that ends badly, by numbers of operations on the
// files; 0 means never.
type crashRun struct {
	seed  uint64
	steps int
	kill  int // the process dies there, and another goes on with what it finds
	cut   int // the power goes there, counted from where that other has begun
	again int // and there, in the recovery from each of some images of the cut
}

func (r crashRun) String() string {
	return fmt.Sprintf("seed %d, %d steps, killed at operation %d, cut at %d, again at %d", r.seed, r.steps, r.kill, r.cut, r.again)
}

// run checks that after each of these nothing is lost, torn, doubled or invented.
func (r crashRun) run(t testing.TB) {
	fs := vfs.NewMem()
	c := newScript(t, r.seed, tinyOptions(fs))
	c.passing = r.seed%2 == 1
	if r.kill > 0 {
		e := c.until(fs, r.kill, r.steps)
		fs = fs.Restart()
		c = newScript(t, r.seed+1, tinyOptions(fs))
		c.bodies, c.passing = 1000, r.seed%2 == 1
		if err := c.open(); err != nil {
			t.Fatalf("%v: after the kill: %v", r, err)
		}
		now := dumpWith(t, c.s, c.known)
		if !e.allows(now) {
			t.Fatalf("%v: after the kill\n%s\n\nat least durable was\n%s", r, now, e.states[e.low])
		}
		c.states[0] = now
		// Of what was delivered and never durable, the numbers are used again.
		for _, p := range e.delivered {
			if q := c.s.Queue(p.queue); q != nil && !q.ix.Gone(p.seq) && p.seq < q.ix.Next() {
				c.delivered[p] = true
			}
		}
	}
	e := c.until(fs, r.cut, r.steps)
	for desc, img := range fs.Images(vfs.ImageOptions{MaxImages: 4, Seed: uint64(r.cut)}) {
		what := fmt.Sprintf("%v, image %q", r, desc)
		if r.again == 0 {
			e.check(t, what, tinyOptions(img), false)
			continue
		}
		img.CutAt(r.again)
		if s, err := Open(testDir, tinyOptions(img)); err == nil {
			s.Close()
		}
		for desc, img := range img.Images(vfs.ImageOptions{MaxImages: 3, Seed: uint64(r.again)}) {
			e.check(t, fmt.Sprintf("%s, then image %q", what, desc), tinyOptions(img), true)
		}
	}
}

// until runs the script, which may be open already, until the power goes, and
// returns what may be left then. What is delivered after the cut leaves no trace.
func (c *script) until(fs *vfs.Mem, cut, steps int) *expectation {
	var e *expectation
	end := fs.Ops() + cut
	fs.OnOp(func(n int, _ vfs.Op, _ string) {
		if n == end {
			now := c.expect()
			e = &now
			fs.Cut()
		}
	})
	var err error
	if c.s == nil {
		err = c.open()
	}
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
	return e
}

// TestPowerCutDuringRecovery cuts runs of many kinds, and the recoveries.
func TestPowerCutDuringRecovery(t *testing.T) {
	for i := range 60 / slower {
		r := crashRun{seed: 1000 + uint64(i), steps: 120, cut: 20 + i*37%400, again: 1 + i%25}
		if i%3 == 0 {
			r.kill = 15 + i*11%300
		}
		r.run(t)
	}
}

// FuzzCrash looks for a script, and moments to kill the process, to cut the power
// and to cut it again, that are survived badly.
func FuzzCrash(f *testing.F) {
	f.Add(uint64(1), uint16(80), uint16(0), uint16(100), uint16(0))
	f.Add(uint64(2), uint16(200), uint16(0), uint16(400), uint16(10))
	f.Add(uint64(3), uint16(100), uint16(70), uint16(150), uint16(0))
	f.Fuzz(func(t *testing.T, seed uint64, steps, kill, cut, again uint16) {
		crashRun{seed: seed, steps: int(steps % 500), kill: int(kill % 700), cut: int(cut%1500) + 1, again: int(again % 60)}.run(t)
	})
}
