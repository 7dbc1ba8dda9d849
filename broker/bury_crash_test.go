package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// deadScript moves messages in all the ways there are, from durable queues to durable
// ones. It stops at the first error, and returns what was confirmed before.
type deadScript struct {
	w         *bench
	s         *Session
	b         *Batch
	confirmed []string
	n         int
}

func (d *deadScript) publish(queue string, count int) error {
	var bodies []string
	for range count {
		body := fmt.Sprintf("%s-%d", queue, d.n)
		d.n++
		bodies = append(bodies, body)
		if _, err := d.b.Publish(&Publishing{RoutingKey: []byte(queue), Props: persistent, Body: []byte(body), Confirm: true}); err != nil {
			return err
		}
	}
	return d.flush(bodies)
}

func (d *deadScript) publishLarge(queue string) error {
	body := fmt.Sprintf("%s-%d", queue, d.n)
	d.n++
	text := strings.Repeat(" ", largeTest) + body
	u, err := d.s.NewUpload(uint64(len(text)), persistent)
	if err != nil {
		return err
	}
	if _, err := u.Write([]byte(text)); err != nil {
		u.Abort()
		return err
	}
	if _, err := d.b.Publish(&Publishing{RoutingKey: []byte(queue), Props: persistent, Upload: u, Confirm: true}); err != nil {
		return err
	}
	return d.flush([]string{body})
}

func (d *deadScript) flush(bodies []string) error {
	lsn, err := d.b.Flush(nil, true)
	if err != nil {
		return err
	}
	if err := d.w.b.Wait(lsn); err != nil {
		return err
	}
	d.confirmed = append(d.confirmed, bodies...)
	return nil
}

// out takes messages off a queue, and does something with each.
func (d *deadScript) out(queue string, count int, do func(q Queue, seq uint64)) error {
	for range count {
		var q Queue
		var seq uint64
		ok, err := d.s.Get(queue, false, func(m *Delivery, _ int) { q, seq = m.Queue, m.Seq })
		if err != nil {
			return err
		}
		if ok {
			do(q, seq)
		}
	}
	return nil
}

// largeTest is from where on the bodies of these tests are files.
const largeTest = 4096

func (d *deadScript) run() error {
	discard := func(q Queue, seq uint64) { d.b.Discard(q, seq) }
	requeue := func(q Queue, seq uint64) { d.b.Requeue(q, seq) }
	for _, step := range []func() error{
		func() error { return d.publish("reject", 3) },
		func() error { return d.publishLarge("reject") },
		func() error { return d.out("reject", 4, discard) },
		func() error { return d.flush(nil) },
		func() error { return d.publish("bounded", 5) }, // 2 stay, 3 go to mid, where 1 stays
		func() error { return d.publishLarge("bounded") },
		func() error { return d.publishLarge("bounded") },
		func() error { return d.publishLarge("bounded") },
		func() error { return d.publish("limit", 2) },
		func() error { return d.out("limit", 2, requeue) },
		func() error { return d.flush(nil) },
		func() error { return d.out("limit", 2, requeue) },
		func() error { return d.flush(nil) },
		func() error { return d.publish("reject", 2) },
		func() error {
			d.b.Atomic()
			if err := d.out("reject", 2, discard); err != nil {
				return err
			}
			return d.publish("bounded", 2)
		},
		func() error { return d.publish("aging", 3) },
		func() error { d.w.b.store.Retire(true); return nil },
		func() error { return d.publish("bounded", 2) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *bench) deadTopology() {
	c := w.client()
	c.queue("dead", durable)
	c.queue("mid", durable, dlx("dead", "x-max-length", 1))
	c.queue("reject", durable, dlx("dead"))
	c.queue("bounded", durable, dlx("mid", "x-max-length", 2))
	c.queue("aging", durable, dlx("bounded", "x-message-ttl", 1))
	c.queue("limit", durable, dlx("bounded", "x-queue-type", "quorum", "x-delivery-limit", 1))
}

func deadBench(t testing.TB) *bench {
	w := newBench(t)
	w.close()
	w.opts.Store.LargeBytes = largeTest
	w.fs = vfs.NewMem()
	w.opts.Store.FS = w.fs
	w.open()
	w.deadTopology()
	return w
}

// places counts in how many queues each message is, by the number in its body.
func (w *bench) places() map[string][]string {
	at := map[string][]string{}
	c := w.client()
	names := []string{"reject", "limit", "aging", "bounded", "mid", "dead"} // as they flow
	waitFor(w.t, func() bool {                                              // what came back may be too much, and on its way
		for _, name := range names {
			if q := w.b.vhosts["/"].queue(name).(*localQueue); q.tooLong() || w.unacked(name) > 0 || name == "aging" && c.ready(name) > 0 || !w.quiet(name) {
				return false
			}
		}
		return true
	})
	for _, name := range names {
		for {
			var body string
			ok, err := c.s.Get(name, false, func(d *Delivery, _ int) {
				if d.Large != nil {
					body = readLargeBody(w.t, d.Large)
				} else {
					body = string(d.Body)
				}
			})
			c.ok(err)
			if !ok {
				break
			}
			body = strings.TrimLeft(body, " ")
			at[body] = append(at[body], name)
		}
	}
	return at
}

func readLargeBody(t testing.TB, l *Large) string {
	t.Helper()
	r, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, r.Size())
	if _, err := r.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// TestAPowerCutLeavesADyingMessageInOnePlace cuts the power at every operation on
// files that the moves make.
func TestAPowerCutLeavesADyingMessageInOnePlace(t *testing.T) {
	each, most := 1, 4
	if testing.Short() {
		each, most = 5, 2
	}
	images := 0
	for cut := 1; ; cut += each {
		w := deadBench(t)
		w.fs.CutAt(w.fs.Ops() + cut)
		d := &deadScript{w: w, s: w.client().s}
		d.b = d.s.NewBatch()
		err := d.run()
		last := w.fs
		w.b.Close()
		for name, image := range last.Images(vfs.ImageOptions{MaxImages: most, Seed: uint64(cut)}) {
			images++
			v := &bench{t: t, fs: image, opts: w.opts}
			v.opts.Store.FS = image
			v.open()
			at := v.places()
			for _, body := range d.confirmed {
				if len(at[body]) == 0 {
					t.Errorf("cut %d, %s: %s, which was confirmed, is nowhere", cut, name, body)
				}
			}
			for body, queues := range at {
				if len(queues) > 1 {
					t.Errorf("cut %d, %s: %s is in %q", cut, name, body, queues)
				}
			}
			v.close()
		}
		w.b.Close()
		if err == nil || t.Failed() {
			break
		}
	}
	t.Logf("%d images", images)
	if images < 50 && !testing.Short() {
		t.Errorf("only %d images", images)
	}
}
