package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// exists looks without using the queue, as a passive declaration would.
func (c *client) exists(queue string) bool { return c.s.v.queue(queue) != nil }

func TestUnusedQueuesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("soon", args("x-expires", 1000))
		c.queue("later", durable, args("x-expires", 5000))
		c.queue("never")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		c.publish("", "soon", "publishing is no use")
		if !c.exists("soon") {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if c.exists("soon") || !c.exists("later") {
			t.Error("the wrong queue is gone")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if c.exists("later") || !c.exists("never") {
			t.Error("the wrong queue is gone")
		}
		w.close()
	})
}

func TestUsesKeepAQueueFromExpiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		second := func(s *QueueSpec) { s.Args = table("x-expires", 1000) }
		uses := map[string]func(){
			"redeclared": func() { c.queue("redeclared", second) },
			"got":        func() { c.get("got") },
			"asked for":  func() { _, _ = c.s.DeclareQueue(QueueSpec{Name: "asked for", Passive: true}) },
			"consumed":   func() { c.consume("consumed", 0).Cancel() },
		}
		for name := range uses {
			c.queue(name, second)
		}
		for range 5 {
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
			for _, use := range uses {
				use()
			}
		}
		cons := c.consume("consumed", 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		if c.exists("got") || c.exists("asked for") || c.exists("redeclared") || !c.exists("consumed") {
			t.Error("the wrong queue is gone")
		}
		cons.Cancel()
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if c.exists("consumed") {
			t.Error("it stayed without its consumer")
		}
		w.close()
	})
}

func TestADurableQueueExpiresAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		w.client().queue("q", durable, args("x-expires", 1000))
		w.restart()
		c := w.client()
		if !c.exists("q") {
			t.Fatal("gone at once")
		}
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if c.exists("q") {
			t.Error("it stayed")
		}
		w.restart()
		if w.client().exists("q") {
			t.Error("it came back")
		}
		w.close()
	})
}

func TestLowDiskIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		if got := w.b.Alarm(); got != "" {
			t.Errorf("alarm %q", got)
		}
		w.fs.SetCapacity(40 << 20)
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if got := w.b.Alarm(); got != "low on disk" {
			t.Errorf("alarm %q", got)
		}
		w.fs.SetCapacity(1 << 30)
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if got := w.b.Alarm(); got != "" {
			t.Errorf("alarm %q", got)
		}
		w.close()
	})
}

// TestTheClockDoesNotWaitForDeletions: what else is due comes in time while a vhost's
// topology is locked, or its disk slow.
func TestTheClockDoesNotWaitForDeletions(t *testing.T) {
	w := newBench(t)
	c := w.client()
	v := c.s.v
	c.queue("q", args("x-expires", 1))
	v.mu.Lock()
	rung := make(chan struct{})
	w.b.expiry.at(time.Now().Add(5*time.Millisecond), &deadline{do: func() { close(rung) }})
	select {
	case <-rung:
	case <-time.After(10 * time.Second):
		t.Error("the clock waits for the deletion of an unused queue")
	}
	v.mu.Unlock()
	waitFor(t, func() bool { return !c.exists("q") })
}

func TestManyUnusedQueuesExpireTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		for i := range 3*closeAtOnce + 1 {
			c.queue(fmt.Sprint("q", i), durable, args("x-expires", 1000))
		}
		c.queue("in use", durable, args("x-expires", 1000))
		c.consume("in use", 0)
		c.queue("used", durable, args("x-expires", 1000))
		time.Sleep(500 * time.Millisecond)
		c.queue("used", durable, args("x-expires", 1000))
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		w.restart()
		c = w.client()
		if n := len(c.s.v.queues); n != 2 || !c.exists("in use") || !c.exists("used") {
			t.Errorf("%d queues are left, want 2", n)
		}
		w.close()
	})
}
