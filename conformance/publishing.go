package conformance

import (
	"fmt"
	"slices"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 26 to 29 and 31: publishing.

func init() {
	register(
		Case{Behaviour: "26", Name: "publishing to a missing exchange is 404 and closes that channel only", Run: func(t *T) {
			c := t.Dial()
			ch, other := c.Channel(), c.Channel()
			none := t.Name("none")
			ch.Publish(Message{Exchange: none, Key: "k", Body: "lost"})
			closed := ch.ExpectClose(404, "NOT_FOUND - no exchange '"+none+"' in vhost '/'")
			if closed.Cause != wire.IDBasicPublish {
				t.Errorf("the close blames %v", closed.Cause)
			}
			other.Sync()
			ch.Reopen()
			ch.Sync()
		}},
		Case{Behaviour: "26", Name: "publishes behind a failed one on its channel are dropped", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "before")
			ch.Publish(Message{Exchange: t.Name("none")})
			ch.Publish(Message{Key: q, Body: "behind"})
			ch.ExpectClose(404)
			c.Channel().ExpectDrain(q, "before")
		}},
		Case{Behaviour: "26", Name: "publishing by the default exchange to a missing queue is no error", Run: func(t *T) {
			ch := t.Channel()
			ch.Publish(Message{Key: t.Name("none")})
			ch.Sync()
		}},

		Case{Behaviour: "27", Name: "confirms count from 1 on each channel and each tag is settled once", Run: func(t *T) {
			c := t.Dial()
			for range 2 {
				ch := c.Channel().Confirm()
				q := ch.Queue(nil)
				const n = 200
				for i := range n {
					ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{DeliveryMode: uint8(1 + i%2)}})
				}
				ch.Confirmed()
				ch.Sync()
				if e, ok := Has[*wire.BasicAck](ch); ok {
					t.Errorf("one more: %v", e)
				}
				if m, _ := ch.Count(q); m != n {
					t.Errorf("%d messages", m)
				}
			}
		}},
		Case{Behaviour: "27", Name: "publishes before confirm.select are not counted", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q})
			ch.Confirm()
			if seq := ch.Publish(Message{Key: q}); seq != 1 || !ch.Outcome(1) {
				t.Errorf("the first confirmed publish is %d", seq)
			}
		}},
		Case{Behaviour: "27", Name: "confirm.select again is answered and counts on", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1")
			Call[*wire.ConfirmSelectOk](ch, &wire.ConfirmSelect{})
			ch.Put(q, "2")
		}},
		Case{Behaviour: "27", Name: "confirm.select with no-wait is not answered", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Send(&wire.ConfirmSelect{NoWait: true})
			ch.confirming, ch.outcomes = true, map[uint64]bool{}
			ch.Put(q, "1")
			if e, ok := Has[*wire.ConfirmSelectOk](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "27", Name: "an unroutable message is acked", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("direct", nil)
			ch.Publish(Message{Exchange: x, Key: "nowhere"})
			ch.Confirmed()
			if e, ok := Has[*wire.BasicReturn](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "27", Name: "an unroutable mandatory message is returned with 312 before its ack", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("direct", nil)
			ch.Publish(Message{Exchange: x, Key: "nowhere", Mandatory: true, Body: "come back", Props: Props{MessageID: "m", Headers: Args{"h": "v"}}})
			m, ok := ch.Next().Method.(*wire.BasicReturn)
			if !ok || m.ReplyCode != 312 || m.ReplyText != "NO_ROUTE" || string(m.Exchange) != x || string(m.RoutingKey) != "nowhere" {
				t.Errorf("first came %+v", m)
			}
			if m, ok := ch.Next().Method.(*wire.BasicAck); !ok || m.DeliveryTag != 1 {
				t.Errorf("then came %+v", m)
			}
		}},
		Case{Behaviour: "27", Name: "a returned message has its properties and body", Run: func(t *T) {
			ch := t.Channel()
			ch.Publish(Message{Key: t.Name("none"), Mandatory: true, Body: "come back", Props: Props{MessageID: "m", Headers: Args{"h": "v"}}})
			d := ch.Return()
			if d.Body != "come back" || string(d.Props.MessageID()) != "m" || d.Headers()["h"] != "v" || d.Exchange != "" {
				t.Errorf("returned %+v", d)
			}
		}},
		Case{Behaviour: "27", Name: "a mandatory message that is routed is not returned", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Mandatory: true})
			ch.Confirmed()
			if e, ok := Has[*wire.BasicReturn](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "27", Name: "returns come in the order of the publishes, each before its ack", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q, none := ch.Queue(nil), t.Name("none")
			const n = 60
			for i := range n {
				m := Message{Key: q, Mandatory: true, Body: fmt.Sprint(i + 1)}
				if i%3 == 1 {
					m.Key = none
				}
				ch.Publish(m)
			}
			returned := map[uint64]bool{}
			acked := uint64(0)
			var bodies []string
			done := map[uint64]bool{}
			for len(done) < n {
				e := ch.Next()
				switch m := e.Method.(type) {
				case *wire.BasicReturn:
					bodies = append(bodies, string(e.Body))
					var seq uint64
					fmt.Sscan(string(e.Body), &seq)
					returned[seq] = true
				case *wire.BasicAck:
					from := m.DeliveryTag
					if m.Multiple {
						from = acked + 1
					}
					for seq := from; seq <= m.DeliveryTag; seq++ {
						if seq%3 == 2 && !returned[seq] && !done[seq] {
							t.Fatalf("publish %d is acked before it is returned", seq)
						}
						done[seq] = true
					}
					for done[acked+1] {
						acked++
					}
				default:
					t.Fatalf("there came %v", e)
				}
			}
			var want []string
			for i := 2; i <= n; i += 3 {
				want = append(want, fmt.Sprint(i))
			}
			if !slices.Equal(bodies, want) {
				t.Errorf("returned %v", bodies)
			}
		}},
		Case{Behaviour: "27", Name: "confirms come for a fan-out once, when all queues have it", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			var queues []string
			for range 5 {
				q := ch.Queue(nil)
				ch.Bind(q, x, "", nil)
				queues = append(queues, q)
			}
			for range 20 {
				ch.Publish(Message{Exchange: x, Props: Props{DeliveryMode: 2}})
			}
			ch.Confirmed()
			for _, q := range queues {
				if n, _ := ch.Count(q); n != 20 {
					t.Errorf("%d messages", n)
				}
			}
		}},
		Case{Behaviour: "27", Name: "a channel that is closed by an error confirms nothing behind it", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q})
			if !ch.Outcome(1) {
				t.Fatalf("nacked")
			}
			ch.Publish(Message{Exchange: t.Name("none")})
			ch.Publish(Message{Key: q})
			ch.ExpectClose(404)
			if e, ok := Has[*wire.BasicAck](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},

		Case{Behaviour: "28", Name: "reject-publish nacks, while the other queues keep the message", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			full, roomy := ch.Queue(Args{"x-max-length": 1, "x-overflow": "reject-publish"}), ch.Queue(nil)
			ch.Bind(full, x, "", nil)
			ch.Bind(roomy, x, "", nil)
			for i := range 3 {
				ch.Publish(Message{Exchange: x, Body: fmt.Sprint(i)})
				if acked := ch.Outcome(uint64(i + 1)); acked != (i == 0) {
					t.Errorf("publish %d: acked %v", i, acked)
				}
			}
			ch.ExpectDrain(full, "0")
			ch.ExpectDrain(roomy, "0", "1", "2")
		}},
		Case{Behaviour: "28", Name: "reject-publish without confirms drops quietly", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-max-length": 1, "x-overflow": "reject-publish"})
			ch.Publish(Message{Key: q, Body: "1", Mandatory: true})
			ch.Publish(Message{Key: q, Body: "2", Mandatory: true})
			ch.Await(q, 1)
			ch.ExpectDrain(q, "1")
			if e, ok := Has[*wire.BasicReturn](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "28", Name: "a persistent message in a durable queue is there after kill -9 once it is acked", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			var queues []string
			for range 3 {
				q := ch.Queue(nil)
				ch.Bind(q, x, "", nil)
				queues = append(queues, q)
			}
			for i := range 50 {
				ch.Publish(Message{Exchange: x, Body: fmt.Sprint(i), Props: Props{DeliveryMode: 2}})
			}
			ch.Confirmed()
			t.Kill()
			ch = t.Channel()
			for _, q := range queues {
				if n, _ := ch.Count(q); n != 50 {
					t.Errorf("%d of 50 messages are there", n)
				}
			}
		}},

		Case{Behaviour: "29", Name: "immediate is 540", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Immediate: true})
			c.ExpectClose(540, "NOT_IMPLEMENTED - immediate=true")
		}},
		Case{Behaviour: "29", Name: "tx.select on a confirming channel is 406", Run: func(t *T) {
			t.Channel().Confirm().Refused(&wire.TxSelect{}, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
		}},
		Case{Behaviour: "29", Name: "confirm.select on a transactional channel is 406", Run: func(t *T) {
			ch := t.Channel()
			Call[*wire.TxSelectOk](ch, &wire.TxSelect{})
			ch.Refused(&wire.ConfirmSelect{}, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
		}},
		Case{Behaviour: "29", Name: "tx.commit and tx.rollback without tx.select are 406", Run: func(t *T) {
			ch := t.Channel()
			ch.Refused(&wire.TxCommit{}, 406, "PRECONDITION_FAILED - channel is not transactional")
			ch.Refused(&wire.TxRollback{}, 406, "PRECONDITION_FAILED - channel is not transactional")
		}},

		Case{Behaviour: "31", Name: "CC and BCC are more routing keys", Run: func(t *T) {
			ch := t.Channel().Confirm()
			a, b, c, d := ch.Queue(nil), ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)
			ch.Publish(Message{Key: a, Body: "x", Props: Props{Headers: Args{"CC": []any{b, c}, "BCC": []any{d}}}})
			ch.Confirmed()
			for _, q := range []string{a, b, c, d} {
				m := ch.Take(q)
				if m.Key != a || m.Body != "x" {
					t.Errorf("got %+v: the routing key is the publish's", m)
				}
				h := m.Headers()
				if _, there := h["BCC"]; there || fmt.Sprint(h["CC"]) != fmt.Sprint([]any{b, c}) {
					t.Errorf("headers %v: CC stays, BCC goes", h)
				}
			}
		}},
		Case{Behaviour: "31", Name: "a queue gets one message however often CC and BCC name it", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "once", Props: Props{Headers: Args{"CC": []any{q, q}, "BCC": []any{q}}}})
			ch.Confirmed()
			ch.ExpectDrain(q, "once")
		}},
		Case{Behaviour: "31", Name: "CC routes through any exchange", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("topic", nil)
			q := ch.Queue(nil)
			ch.Bind(q, x, "copy.*", nil)
			ch.Publish(Message{Exchange: x, Key: "original", Body: "x", Mandatory: true, Props: Props{Headers: Args{"CC": []any{"copy.1"}}}})
			ch.Confirmed()
			ch.ExpectDrain(q, "x")
			if e, ok := Has[*wire.BasicReturn](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "31", Name: "a CC or BCC that is no array is 406", Run: func(t *T) {
			ch := t.Channel()
			ch.PublishRefused(Message{Key: "k", Props: Props{Headers: Args{"CC": "not an array"}}}, 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,`)
			ch.PublishRefused(Message{Key: "k", Props: Props{Headers: Args{"BCC": 5}}}, 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,`)
		}},
		Case{Behaviour: "31", Name: "values in CC that are no strings are ignored", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: "nowhere", Body: "x", Props: Props{Headers: Args{"CC": []any{1, q, true}}}})
			ch.Confirmed()
			ch.ExpectDrain(q, "x")
		}},
		Case{Behaviour: "31", Name: "other headers and properties stay when BCC is taken off", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Props: Props{ContentType: "text/plain", MessageID: "m", DeliveryMode: 2, Headers: Args{"a": 1, "BCC": []any{"x"}, "z": "s"}}})
			ch.Confirmed()
			m := ch.Take(q)
			h := m.Headers()
			if len(h) != 2 || h["a"] != int64(1) || h["z"] != "s" || string(m.Props.ContentType()) != "text/plain" || m.Props.DeliveryMode() != 2 {
				t.Errorf("headers %v, properties %q", h, m.Props)
			}
		}},
	)
}
