package conformance

// Behaviours 53 and 54.

func init() {
	register(
		Case{Behaviour: "53", Name: "a durable queue and its persistent messages survive kill -9, a transient message does not", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "transient"})
			ch.Put(q, "a", "b")
			t.Kill()
			t.Channel().ExpectDrain(q, "a", "b")
		}},
	)
}
