package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Behaviours 47 to 49: dead letters.

// deaths are the entries of x-death.
func deaths(d Delivery) []Args {
	list, _ := d.Headers()["x-death"].([]any)
	var out []Args
	for _, v := range list {
		entry, _ := v.(Args)
		out = append(out, entry)
	}
	return out
}

// died tells queue, reason and count of each death, the newest first.
func died(d Delivery) string {
	var out []string
	for _, e := range deaths(d) {
		out = append(out, fmt.Sprint(e["queue"], " ", e["reason"], " ", e["count"]))
	}
	return strings.Join(out, ", ")
}

// kill publishes a message to a queue, and rejects it.
func (ch *Channel) kill(queue string, m Message) {
	ch.t.Helper()
	if m.Exchange == "" && m.Key == "" {
		m.Key = queue
	}
	ch.Publish(m)
	ch.Await(queue, 1)
	d, ok := ch.Get(queue, false)
	if !ok {
		ch.t.Fatalf("%s is empty", queue)
	}
	ch.Reject(d.Tag, false)
}

func (t *T) header(d Delivery, name string, want any) {
	t.Helper()
	if got := d.Headers()[name]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("header %s is %v, want %v", name, got, want)
	}
}

func init() {
	register(
		Case{Behaviour: "47", Name: "what basic.reject and basic.nack throw away is dead-lettered", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			ch.Put(q, "1", "2", "3", "4")
			ch.Consume(q, Consume{})
			list := ch.ExpectBodies("1", "2", "3", "4")
			ch.Reject(list[0].Tag, false)
			ch.Send(&wire.BasicNack{DeliveryTag: list[2].Tag, Multiple: true})
			ch.Ack(list[3].Tag)
			for _, body := range []string{"1", "2", "3"} {
				if d := ch.AwaitMessage(dead); d.Body != body || died(d) != q+" rejected 1" || d.Exchange != "" || d.Key != dead || d.Redelivered {
					t.Errorf("%q: %s, exchange %q, key %q, redelivered %v", d.Body, died(d), d.Exchange, d.Key, d.Redelivered)
				}
			}
			ch.ExpectDrain(dead)
		}},
		Case{Behaviour: "47", Name: "what is acked, requeued, purged or deleted is not dead-lettered", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			ch.Put(q, "1", "2")
			d, _ := ch.Get(q, false)
			ch.Ack(d.Tag)
			d, _ = ch.Get(q, false)
			ch.Nack(d.Tag, true)
			ch.Await(q, 1)
			ch.Purge(q)
			ch.Put(q, "3")
			ch.Delete(q)
			end := ch.Queue(into(dead, nil))
			ch.kill(end, Message{Body: "end"})
			ch.Await(dead, 1)
			ch.ExpectDrain(dead, "end")
		}},
		Case{Behaviour: "47", Name: "what expires is dead-lettered, without its expiration", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			ch.Publish(Message{Key: q, Body: "m", Props: Props{DeliveryMode: 2, Expiration: "20"}})
			d := ch.AwaitMessage(dead)
			if d.Props.Has(amqp.PropExpiration) || died(d) != q+" expired 1" {
				t.Errorf("expiration %q, %s", d.Props.Expiration(), died(d))
			}
			if got := deaths(d)[0]["original-expiration"]; got != "20" {
				t.Errorf("original-expiration is %v", got)
			}
		}},
		Case{Behaviour: "47", Name: "a dead letter keeps its key and CC", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, dlx := ch.Exchange("fanout", nil), ch.Exchange("direct", nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": dlx})
			ch.Bind(q, x, "", nil)
			one, two, other := ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)
			ch.Bind(one, dlx, "one", nil)
			ch.Bind(two, dlx, "two", nil)
			ch.Bind(other, dlx, "other", nil)
			ch.kill(q, Message{Exchange: x, Key: "one", Props: Props{Headers: Args{"CC": []string{"two"}}}})
			for _, name := range []string{one, two} {
				d := ch.AwaitMessage(name)
				if d.Exchange != dlx || d.Key != "one" {
					t.Errorf("exchange %q, key %q", d.Exchange, d.Key)
				}
				t.header(d, "CC", []any{"two"})
				if got := fmt.Sprint(deaths(d)[0]["routing-keys"]); got != "[one two]" {
					t.Errorf("routing-keys %s", got)
				}
			}
			ch.ExpectDrain(other)
		}},
		Case{Behaviour: "47", Name: "x-dead-letter-routing-key replaces the keys, and CC goes", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, dlx := ch.Exchange("fanout", nil), ch.Exchange("direct", nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": dlx, "x-dead-letter-routing-key": "new"})
			ch.Bind(q, x, "", nil)
			one, two, fresh := ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)
			ch.Bind(one, dlx, "one", nil)
			ch.Bind(two, dlx, "two", nil)
			ch.Bind(fresh, dlx, "new", nil)
			ch.kill(q, Message{Exchange: x, Key: "one", Props: Props{Headers: Args{"CC": []string{"two"}}}})
			d := ch.AwaitMessage(fresh)
			if d.Key != "new" {
				t.Errorf("key %q", d.Key)
			}
			if _, ok := d.Headers()["CC"]; ok {
				t.Errorf("CC is still there")
			}
			if got := fmt.Sprint(deaths(d)[0]["routing-keys"]); got != "[one two]" {
				t.Errorf("routing-keys %s", got)
			}
			ch.ExpectDrain(one)
			ch.ExpectDrain(two)
		}},
		Case{Behaviour: "47", Name: "properties and body stay", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			props := Props{ContentType: "text/plain", DeliveryMode: 2, Priority: 3, CorrelationID: "c", ReplyTo: "r", MessageID: "m", Timestamp: 1700000000,
				Type: "t", AppID: "a", Headers: Args{"z": 1, "a": Args{"n": []any{true, nil}}}}
			ch.kill(q, Message{Body: "body", Props: props})
			d := ch.AwaitMessage(dead)
			p := d.Props
			ts, _ := p.Timestamp()
			if d.Body != "body" || string(p.ContentType()) != "text/plain" || p.DeliveryMode() != 2 || string(p.CorrelationID()) != "c" || string(p.ReplyTo()) != "r" ||
				string(p.MessageID()) != "m" || ts != 1700000000 || string(p.Type()) != "t" || string(p.AppID()) != "a" {
				t.Errorf("%q, %v", d.Body, p)
			}
			t.header(d, "z", 1)
			t.header(d, "a", Args{"n": []any{true, nil}})
		}},
		Case{Behaviour: "47", Name: "dead letters follow the alternate exchange, and bindings between exchanges", Run: func(t *T) {
			ch := t.Channel().Confirm()
			other, inner := ch.Exchange("fanout", nil), ch.Exchange("fanout", nil)
			dlx := ch.Exchange("direct", Args{"alternate-exchange": other})
			ch.BindExchange(inner, other, "", nil)
			dead := ch.Queue(nil)
			ch.Bind(dead, inner, "", nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": dlx})
			ch.kill(q, Message{Body: "m"})
			if d := ch.AwaitMessage(dead); d.Exchange != dlx || d.Key != q {
				t.Errorf("exchange %q, key %q", d.Exchange, d.Key)
			}
		}},
		Case{Behaviour: "47", Name: "a headers exchange sees what the dead letter says of itself", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dlx := ch.Exchange("headers", nil)
			dead := ch.Queue(nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": dlx})
			ch.Bind(dead, dlx, "", Args{"x-match": "all-with-x", "x-first-death-reason": "rejected", "h": 1})
			ch.kill(q, Message{Body: "m", Props: Props{Headers: Args{"h": 1}}})
			ch.AwaitMessage(dead)
		}},
		Case{Behaviour: "47", Name: "an internal exchange takes dead letters", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dlx := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, Internal: true})
			dead := ch.Queue(nil)
			ch.Bind(dead, dlx, "", nil)
			ch.kill(ch.Queue(Args{"x-dead-letter-exchange": dlx}), Message{Body: "m"})
			ch.AwaitMessage(dead)
		}},
		Case{Behaviour: "47", Name: "a transaction's rejections take effect at its commit", Run: func(t *T) {
			ch := t.Channel()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			ch.Put(q, "m")
			tx := t.Channel()
			Call[*wire.TxSelectOk](tx, &wire.TxSelect{})
			d, _ := tx.Get(q, false)
			tx.Reject(d.Tag, false)
			Call[*wire.TxRollbackOk](tx, &wire.TxRollback{})
			tx.Reject(d.Tag, false)
			ch.Barrier([]string{q, dead})
			ch.ExpectDrain(dead)
			Call[*wire.TxCommitOk](tx, &wire.TxCommit{})
			ch.AwaitMessage(dead)
		}},
		Case{Behaviour: "47", Name: "a policy's dead letter exchange is as good as the argument", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(nil)
			t.Policy(Policy{Pattern: "^" + q + "$", ApplyTo: "queues", Definition: JSON{"dead-letter-exchange": "", "dead-letter-routing-key": dead}})
			t.Eventually(func() bool {
				ch.kill(q, Message{Body: "m"})
				_, ok := ch.Get(dead, true)
				return ok
			}, "no dead letter came")
		}},
		Case{Behaviour: "47", Name: "dead letters survive a kill", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 1}))
			want := []string{}
			for i := range 50 {
				want = append(want, fmt.Sprint(i))
			}
			ch.Put(q, want...)
			ch.Await(dead, 49)
			ch.Put(dead, "end") // whose confirm covers what came before
			t.Kill()
			ch = t.Channel()
			got := append(ch.Drain(dead), ch.Drain(q)...)
			slices.Sort(got)
			want = append(want, "end")
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d messages are there: %q", len(got), len(want), got)
			}
		}},

		Case{Behaviour: "48", Name: "x-death has its fields and types", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			ch.Bind(q, x, "", nil)
			before := time.Now().Add(-2 * time.Second)
			ch.kill(q, Message{Exchange: x, Key: "rk", Props: Props{Expiration: "60000", Headers: Args{"z": 1, "a": 2}}})
			d := ch.AwaitMessage(dead)
			h := d.Props.Headers()
			list, _ := h.Array("x-death")
			for v := range list.All() {
				e, ok := v.Table()
				if !ok {
					t.Fatalf("an entry is %v", v)
				}
				for name, typ := range map[string]amqp.Type{"count": amqp.TypeInt64, "reason": amqp.TypeLongString, "queue": amqp.TypeLongString,
					"time": amqp.TypeTimestamp, "exchange": amqp.TypeLongString, "routing-keys": amqp.TypeArray, "original-expiration": amqp.TypeLongString} {
					if v, ok := e.Get(name); !ok || v.Type != typ {
						t.Errorf("%s is of type %v, want %v", name, v.Type, typ)
					}
				}
				if n := e.Len(); n != 7 {
					t.Errorf("%d fields, want 7", n)
				}
			}
			if list.Len() != 1 {
				t.Fatalf("%d entries", list.Len())
			}
			e := deaths(d)[0]
			if e["count"] != int64(1) || e["reason"] != "rejected" || e["queue"] != q || e["exchange"] != x || fmt.Sprint(e["routing-keys"]) != "[rk]" {
				t.Errorf("%v", e)
			}
			if at, _ := e["time"].(time.Time); at.Before(before) || at.After(time.Now().Add(2*time.Second)) {
				t.Errorf("time is %v", e["time"])
			}
			t.header(d, "x-first-death-queue", q)
			t.header(d, "x-first-death-reason", "rejected")
			t.header(d, "x-first-death-exchange", x)
			names := []string{}
			for name := range h.All() {
				names = append(names, string(name))
			}
			if !slices.IsSorted(names) {
				t.Errorf("headers %q are not in the order of their names", names)
			}
		}},
		Case{Behaviour: "48", Name: "the same death again counts up and keeps its first time and keys", Run: func(t *T) {
			ch := t.Channel().Confirm()
			// A dead letter comes back to its own queue.
			x := ch.Exchange("fanout", nil)
			loop := ch.Queue(Args{"x-dead-letter-exchange": x, "x-dead-letter-routing-key": "again"})
			ch.Bind(loop, x, "", nil)
			ch.Publish(Message{Key: loop, Body: "m", Props: Props{Expiration: "60000"}})
			for i := 1; i <= 4; i++ {
				ch.Await(loop, 1)
				d, _ := ch.Get(loop, false)
				if i > 1 {
					if got, want := died(d), fmt.Sprintf("%s rejected %d", loop, i-1); got != want {
						t.Fatalf("%s, want %s", got, want)
					}
					e := deaths(d)[0]
					if e["exchange"] != "" || fmt.Sprint(e["routing-keys"]) != "["+loop+"]" || e["original-expiration"] != "60000" {
						t.Errorf("%v", e)
					}
				}
				ch.Reject(d.Tag, false)
			}
		}},
		Case{Behaviour: "48", Name: "the newest death is at the front", Run: func(t *T) {
			ch := t.Channel().Confirm()
			c := ch.Queue(nil)
			b := ch.Queue(into(c, nil))
			a := ch.Queue(into(b, Args{"x-max-length": 0}))
			ch.Put(a, "m")
			ch.Await(b, 1)
			d, _ := ch.Get(b, false)
			ch.Reject(d.Tag, false)
			d = ch.AwaitMessage(c)
			if got, want := died(d), b+" rejected 1, "+a+" maxlen 1"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			t.header(d, "x-first-death-queue", a)
			t.header(d, "x-first-death-reason", "maxlen")
			t.header(d, "x-first-death-exchange", "")
		}},
		Case{Behaviour: "48", Name: "older deaths stay in their order", Plus: "RabbitMQ 3.x turns the older entries of x-death round with each death", Run: func(t *T) {
			ch := t.Channel().Confirm()
			end := ch.Queue(nil)
			c := ch.Queue(into(end, Args{"x-max-length": 0}))
			b := ch.Queue(into(c, Args{"x-max-length": 0}))
			a := ch.Queue(into(b, Args{"x-max-length": 0}))
			ch.Put(a, "m")
			d := ch.AwaitMessage(end)
			if got, want := died(d), c+" maxlen 1, "+b+" maxlen 1, "+a+" maxlen 1"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}},
		Case{Behaviour: "48", Name: "the last death has headers of its own", Plus: "RabbitMQ 3.10 has no x-last-death-*, later versions have", Run: func(t *T) {
			ch := t.Channel().Confirm()
			end := ch.Queue(nil)
			b := ch.Queue(into(end, nil))
			a := ch.Queue(into(b, Args{"x-max-length": 0}))
			ch.Put(a, "m")
			ch.Await(b, 1)
			d, _ := ch.Get(b, false)
			ch.Reject(d.Tag, false)
			d = ch.AwaitMessage(end)
			t.header(d, "x-last-death-queue", b)
			t.header(d, "x-last-death-reason", "rejected")
			t.header(d, "x-last-death-exchange", "")
			t.header(d, "x-first-death-queue", a)
		}},
		Case{Behaviour: "48", Name: "what a client wrote into x-death is taken or replaced", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, nil))
			for _, each := range []struct {
				name, want string
				value      any
			}{
				{"a string", q + " rejected 1", "hi"},
				{"an empty array", q + " rejected 1", []any{}},
				{"an entry without count", q + " rejected 1", []any{Args{"queue": q, "reason": "rejected"}}},
				{"doubles", q + " rejected 8, u expired 2", []any{Args{"queue": "u", "reason": "expired"}, Args{"queue": "u", "reason": "expired"},
					Args{"queue": q, "reason": "rejected", "count": 7}}},
			} {
				ch.kill(q, Message{Props: Props{Headers: Args{"x-death": each.value, "x-first-death-queue": "mine"}}})
				d := ch.AwaitMessage(dead)
				if got := died(d); got != each.want {
					t.Errorf("%s: %s, want %s", each.name, got, each.want)
				}
				t.header(d, "x-first-death-queue", "mine")
			}
			ch.kill(q, Message{Props: Props{Headers: Args{"x-first-death-queue": "mine"}}})
			t.header(ch.AwaitMessage(dead), "x-first-death-queue", q)
		}},

		Case{Behaviour: "49", Name: "a cycle in which nobody rejected ends", Run: func(t *T) {
			ch := t.Channel().Confirm()
			b, end := t.Name("q"), ch.Queue(nil)
			a := ch.Queue(into(b, Args{"x-max-length": 1}))
			ch.Declare(Queue{Name: b, Args: into(a, Args{"x-max-length": 1})})
			ch.Put(a, "1", "2", "3")
			// 1 and 2 were in b; 1 had to leave it, and is gone.
			ch.Await(b, 1)
			ch.Put(end, "x")
			ch.ExpectDrain(b, "2")
			ch.ExpectDrain(a, "3")
		}},
		Case{Behaviour: "49", Name: "a queue that dead-letters into itself drops what nobody rejected", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := t.Name("q")
			ch.Declare(Queue{Name: q, Args: into(q, Args{"x-max-length": 1})})
			ch.Put(q, "1", "2", "3")
			ch.Await(q, 1)
			ch.ExpectDrain(q, "3")
		}},
		Case{Behaviour: "49", Name: "a cycle goes on where one of the deaths was a rejection", Run: func(t *T) {
			ch := t.Channel().Confirm()
			b := t.Name("q")
			a := ch.Queue(into(b, Args{"x-max-length": 0}))
			ch.Declare(Queue{Name: b, Args: into(a, nil)})
			ch.Put(a, "m")
			for i := 1; i <= 5; i++ {
				ch.Await(b, 1)
				d, _ := ch.Get(b, false)
				if n := deaths(d)[0]["count"]; n != int64(i) {
					t.Fatalf("round %d: %s", i, died(d))
				}
				ch.Reject(d.Tag, false)
			}
		}},
		Case{Behaviour: "49", Name: "only the queue of the cycle is left out", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			q, other := ch.Queue(Args{"x-dead-letter-exchange": x, "x-max-length": 0}), ch.Queue(nil)
			ch.Bind(q, x, "", nil)
			ch.Bind(other, x, "", nil)
			ch.Put(q, "m")
			if d := ch.AwaitMessage(other); died(d) != q+" maxlen 1" {
				t.Errorf("%s", died(d))
			}
			ch.ExpectDrain(q)
		}},
		Case{Behaviour: "49", Name: "a missing exchange, and one that routes nowhere, drop quietly", Run: func(t *T) {
			ch := t.Channel().Confirm()
			for _, dlx := range []string{t.Name("missing"), ch.Exchange("direct", nil)} {
				q := ch.Queue(Args{"x-dead-letter-exchange": dlx})
				ch.kill(q, Message{Body: "m"})
				ch.kill(q, Message{Body: "m"})
				ch.Barrier([]string{q})
				ch.ExpectDrain(q)
			}
		}},
		Case{Behaviour: "49", Name: "an exchange that was made later takes dead letters", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dlx, dead := t.Name("x"), ch.Queue(nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": dlx})
			ch.kill(q, Message{Body: "lost"})
			ch.Barrier([]string{q})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: dlx, Type: "fanout", Durable: true})
			ch.Bind(dead, dlx, "", nil)
			ch.kill(q, Message{Body: "kept"})
			if d := ch.AwaitMessage(dead); d.Body != "kept" {
				t.Errorf("%q", d.Body)
			}
		}},
	)
}
