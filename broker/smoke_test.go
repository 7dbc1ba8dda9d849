package broker

import "testing"

func TestPublishedMessagesReachTheConsumerInOrder(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.publish("", "q", "a", "b", "c")
	c.consume("q", -1)
	// No wait: c.Touch delivers, at worst after a mark was synced.
	waitFor(t, func() bool { return w.quiet("q") })
	c.wants([]string{"a", "b", "c"})
}
