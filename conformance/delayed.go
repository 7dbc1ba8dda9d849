package conformance

import (
	"fmt"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 25: exchanges that delay messages. RabbitMQ has them by a plugin that is
// not part of it, and that the judge of these cases lacks. They follow its source and
// documentation, but for what is said.

const noPlugin = "RabbitMQ has no x-delayed-message without the plugin rabbitmq_delayed_message_exchange, which Debian does not have; what it keeps is on one node, is no part of a confirm, and waits 49 days at most."

// delaying declares a delayed exchange of a type, and a queue bound to it.
func delaying(ch *Channel, kind, key string) (x, q string) {
	ch.t.Helper()
	x = ch.Exchange("x-delayed-message", Args{"x-delayed-type": kind})
	q = ch.Queue(nil)
	ch.Bind(q, x, key, nil)
	return x, q
}

// delay is a persistent message to be delayed.
func delay(x, key, body string, headers Args) Message {
	return Message{Exchange: x, Key: key, Body: body, Props: Props{DeliveryMode: 2, Headers: headers}}
}

func init() {
	register(
		Case{Behaviour: "25", Name: "a delayed message comes when it is due, never early, and the earlier one first", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "direct", "k")
			ch.Consume(q, Consume{NoAck: true})
			start := time.Now()
			delays := []int{900, 300, 600, 0, -100}
			for _, ms := range delays {
				ch.Publish(delay(x, "k", fmt.Sprint(ms), Args{"x-delay": ms}))
			}
			ch.Publish(delay(x, "k", "none", nil))
			ch.Confirmed()
			published := time.Since(start)
			ch.ExpectBodies("0", "-100", "none")
			for _, ms := range []int{300, 600, 900} {
				d := ch.Delivery()
				if d.Body != fmt.Sprint(ms) {
					t.Fatalf("%s came instead of %d", d.Body, ms)
				}
				due := time.Duration(ms) * time.Millisecond
				if took := d.At.Sub(start); took < due || took > due+published+time.Second {
					t.Errorf("%d ms took %v", ms, took)
				}
				if n := d.Headers()["x-delay"]; fmt.Sprint(n) != fmt.Sprint(-ms) {
					t.Errorf("the header x-delay is %v, want %d", n, -ms)
				}
			}
		}},
		Case{Behaviour: "25", Name: "x-delay may be an integer of any width, or decimal text", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "fanout", "")
			for _, v := range []any{int8(100), uint8(100), int16(100), uint16(100), int32(100), uint32(100), int64(100), "100", 100.7, float32(100)} {
				ch.Publish(delay(x, "", fmt.Sprintf("%T", v), Args{"x-delay": v}))
			}
			for _, v := range []any{"soon", true, nil} {
				ch.Publish(delay(x, "", "at once", Args{"x-delay": v}))
			}
			ch.Confirmed()
			for range 3 {
				if d := ch.Take(q); d.Body != "at once" {
					t.Errorf("%s is there at once", d.Body)
				}
			}
			ch.Await(q, 10)
		}},
		Case{Behaviour: "25", Name: "a delay may be longer than 2^32 ms", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "fanout", "")
			ch.Publish(delay(x, "", "next year", Args{"x-delay": int64(1) << 35}))
			ch.Publish(delay(x, "", "next age", Args{"x-delay": int64(1) << 62}))
			ch.Publish(delay(x, "", "soon", Args{"x-delay": 200}))
			ch.Confirmed()
			ch.Await(q, 1)
			ch.ExpectDrain(q, "soon")
		}},
		Case{Behaviour: "25", Name: "a delayed message is routed as x-delayed-type does when it is due, with CC and BCC", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "topic", "a.#")
			late, copied, blind := ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)
			ch.Publish(delay(x, "a.b", "m", Args{"x-delay": 2000, "CC": []any{"c"}, "BCC": []any{"d"}}))
			ch.Confirmed()
			ch.Bind(late, x, "*.b", nil)
			ch.Bind(copied, x, "c", nil)
			ch.Bind(blind, x, "d", nil)
			for _, queue := range []string{q, late, copied, blind} {
				ch.Await(queue, 1)
				d := ch.Take(queue)
				if _, has := d.Headers()["BCC"]; d.Body != "m" || d.Key != "a.b" || d.Exchange != x || has {
					t.Errorf("got %+v", d)
				}
			}
		}},
		Case{Behaviour: "25", Name: "what waits counts as routed and is dropped later if nothing takes it", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			other := ch.Exchange("fanout", nil)
			rest := ch.Queue(nil)
			ch.Bind(rest, other, "", nil)
			x := ch.Exchange("x-delayed-message", Args{"x-delayed-type": "direct", "alternate-exchange": other})
			m := delay(x, "nowhere", "m", Args{"x-delay": 100})
			m.Mandatory = true
			ch.Publish(m)
			ch.Confirmed()
			if _, returned := Has[*wire.BasicReturn](ch); returned {
				t.Errorf("it is returned")
			}
			ch.Await(rest, 1)
		}},
		Case{Behaviour: "25", Name: "a delayed message's time to live begins when it is due", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "fanout", "")
			m := delay(x, "", "m", Args{"x-delay": 300})
			m.Props.Expiration = "3000"
			start := time.Now()
			ch.Publish(m)
			ch.Confirmed()
			ch.Await(q, 1)
			ch.Await(q, 0)
			if took := time.Since(start); took < 3300*time.Millisecond {
				t.Errorf("it was gone after %v", took)
			}
		}},
		Case{Behaviour: "25", Name: "a delayed message is delayed by one exchange only", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, first := delaying(ch, "fanout", "")
			y, second := delaying(ch, "fanout", "")
			ch.BindExchange(y, x, "", nil)
			start := time.Now()
			ch.Publish(delay(x, "", "m", Args{"x-delay": 2000}))
			ch.Confirmed()
			ch.Await(first, 1)
			ch.Await(second, 1)
			if took := time.Since(start); took < 2*time.Second || took >= 4*time.Second {
				t.Errorf("it took %v", took)
			}
		}},
		Case{Behaviour: "25", Name: "deleting a delayed exchange drops what waits", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "fanout", "")
			ch.Publish(delay(x, "", "dropped", Args{"x-delay": 2000}))
			ch.Confirmed()
			Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: x})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: x, Type: "x-delayed-message", Durable: true, Arguments: Args{"x-delayed-type": "fanout"}.Table()})
			ch.Bind(q, x, "", nil)
			ch.Publish(delay(x, "", "later", Args{"x-delay": 2500}))
			ch.Confirmed()
			ch.Await(q, 1)
			ch.ExpectDrain(q, "later")
		}},
		Case{Behaviour: "25", Name: "a delayed exchange must say how it routes, and a redeclare the same", Plus: noPlugin, Needs: Delayed, Run: func(t *T) {
			ch := t.Channel()
			declare := func(name string, args Args) *wire.ExchangeDeclare {
				return &wire.ExchangeDeclare{Exchange: name, Type: "x-delayed-message", Durable: true, Arguments: args.Table()}
			}
			for _, args := range []Args{nil, {"x-delayed-type": 5}, {"x-delayed-type": "x-delayed-message"}} {
				ch.Refused(declare(t.Name("x"), args), 406, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type")
			}
			x, _ := delaying(ch, "topic", "k")
			Call[*wire.ExchangeDeclareOk](ch, declare(x, Args{"x-delayed-type": "topic"}))
			ch.Refused(declare(x, Args{"x-delayed-type": "fanout"}), 406, "inequivalent arg 'x-delayed-type' for exchange '"+x+"'")
			bad := t.Dial().Channel()
			bad.Send(declare(t.Name("x"), Args{"x-delayed-type": "none"}))
			bad.Conn.ExpectClose(503, "COMMAND_INVALID - unknown exchange type 'none'")
		}},
		Case{Behaviour: "25", Name: "confirmed delayed messages survive kill -9, and come when they are due", Plus: noPlugin, Needs: Kill | Delayed, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := delaying(ch, "fanout", "")
			start := time.Now()
			t.KillUnder(func() {
				start = time.Now()
				ch.Publish(delay(x, "", "overdue", Args{"x-delay": 1}))
				ch.Publish(delay(x, "", "later", Args{"x-delay": 4000}))
				ch.Confirmed()
			})
			ch = t.Channel()
			ch.Await(q, 2)
			if took := time.Since(start); took < 4*time.Second {
				t.Errorf("both are there after %v", took)
			}
			got := ch.Drain(q)
			slices.Sort(got)
			if !slices.Equal(got, []string{"later", "overdue"}) {
				t.Errorf("got %q", got)
			}
		}},
	)
}
