package conformance

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 44, 53 and 54: restarts and crashes.

// ledger is what one publisher knows of its messages.
type ledger struct {
	sent      int
	confirmed map[int]bool
}

// body makes a message of which every byte is checked.
func body(publisher, n int) string {
	text := fmt.Sprintf("%d %d %s", publisher, n, strings.Repeat("leveret ", n%200))
	return fmt.Sprintf("%08x %s", crc32.ChecksumIEEE([]byte(text)), text)
}

// parseBody returns what body was made of, and whether it is whole.
func parseBody(s string) (publisher, n int, ok bool) {
	var sum uint32
	if _, err := fmt.Sscanf(s, "%x %d %d", &sum, &publisher, &n); err != nil || len(s) < 9 {
		return 0, 0, false
	}
	return publisher, n, s == body(publisher, n) && crc32.ChecksumIEEE([]byte(s[9:])) == sum
}

// publishUntilEnd publishes persistent messages with few of them unconfirmed until
// the connection ends, or most of them are sent.
func publishUntilEnd(ch *Channel, m Message, publisher, most int, l *ledger, enough func()) {
	const window = 32
	ch.Confirm()
	ch.Conn.ExpectingEnd()
	confirmed := uint64(0)
	for l.sent < most {
		m.Body, m.Props.DeliveryMode = body(publisher, l.sent), 2
		ch.Publish(m)
		l.sent++
		for uint64(l.sent)-confirmed >= window || l.sent == most && confirmed < uint64(most) {
			e, err := ch.Conn.await(ch.ID, deadline(), isMethod(wire.IDBasicAck))
			if err != nil {
				return
			}
			ack := e.Method.(*wire.BasicAck)
			from := ack.DeliveryTag
			if ack.Multiple {
				from = confirmed + 1
			}
			for tag := from; tag <= ack.DeliveryTag; tag++ {
				l.confirmed[int(tag)-1] = true
			}
			for l.confirmed[int(confirmed)] {
				confirmed++
			}
			if confirmed >= 300 && enough != nil {
				enough()
				enough = nil
			}
		}
	}
	if enough != nil {
		enough()
	}
}

// audit drains a queue and compares it with the ledgers.
func audit(t *T, ch *Channel, q string, ledgers []*ledger) {
	auditAll(t, ch, []string{q}, ledgers)
}

// auditAll drains queues that share the messages, each in order, and compares them
// with the ledgers.
func auditAll(t *T, ch *Channel, queues []string, ledgers []*ledger) {
	found := map[[2]int]bool{}
	for _, q := range queues {
		last := map[int]int{}
		for {
			d, ok := ch.Get(q, true)
			if !ok {
				break
			}
			publisher, n, whole := parseBody(d.Body)
			switch {
			case !whole:
				t.Fatalf("a message that nobody has published: %.80q", d.Body)
			case found[[2]int{publisher, n}]:
				t.Errorf("message %d of publisher %d is there twice", n, publisher)
			case n < last[publisher]:
				t.Errorf("message %d of publisher %d is behind %d", n, publisher, last[publisher])
			}
			found[[2]int{publisher, n}] = true
			last[publisher] = n
		}
	}
	for i, l := range ledgers {
		lost := 0
		for n := range l.confirmed {
			if !found[[2]int{i, n}] {
				lost++
			}
		}
		t.Logf("publisher %d: %d sent, %d confirmed, %d lost", i, l.sent, len(l.confirmed), lost)
		if lost > 0 {
			t.Errorf("%d of %d confirmed messages are lost", lost, len(l.confirmed))
		}
	}
}

// killUnderLoad kills the peer while publishers are at work.
func killUnderLoad(t *T, m Message) []*ledger {
	const publishers, most = 3, 20000
	var ledgers []*ledger
	var wg sync.WaitGroup
	t.KillUnder(func() {
		ready := make(chan struct{}, publishers)
		for i := range publishers {
			l := &ledger{confirmed: map[int]bool{}}
			ledgers = append(ledgers, l)
			ch := t.Channel()
			ch.Conn.ExpectingEnd()
			wg.Go(func() { publishUntilEnd(ch, m, i, most, l, func() { ready <- struct{}{} }) })
		}
		for range publishers {
			select {
			case <-ready:
			case <-time.After(2 * Patience):
				t.Fatalf("no 300 confirms in %v", 2*Patience)
			}
		}
	})
	wg.Wait()
	return ledgers
}

func init() {
	register(
		Case{Behaviour: "44", Name: "what was delivered before kill -9 comes back redelivered", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "consumed", "got", "never delivered")
			ch.Qos(1, false)
			ch.Consume(q, Consume{})
			ch.ExpectBodies("consumed")
			t.Channel().Get(q, false)
			t.Kill()
			ch = t.Channel()
			for i, want := range []string{"consumed", "got", "never delivered"} {
				d := ch.Take(q)
				if d.Body != want || i < 2 && !d.Redelivered {
					t.Errorf("got %q, redelivered %v, want %q", d.Body, d.Redelivered, want)
				}
			}
		}},
		Case{Behaviour: "44", Name: "what was never delivered comes back without the mark after kill -9", Needs: Kill,
			Plus: "After a crash RabbitMQ calls everything redelivered", Run: func(t *T) {
				ch := t.Channel().Confirm()
				q := ch.Queue(nil)
				ch.Put(q, "1", "2")
				t.Kill()
				ch = t.Channel()
				for range 2 {
					if d := ch.Take(q); d.Redelivered {
						t.Errorf("%q is marked redelivered", d.Body)
					}
				}
			}},
		Case{Behaviour: "44", Name: "what was delivered before a stop comes back redelivered", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "delivered")
			ch.Get(q, false)
			t.Restart()
			if d := t.Channel().Take(q); d.Body != "delivered" || !d.Redelivered {
				t.Errorf("got %+v", d)
			}
		}},

		Case{Behaviour: "53", Name: "a durable queue and its persistent messages survive kill -9, a transient message does not", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "transient"})
			ch.Put(q, "a", "b", "c")
			t.Kill()
			t.Channel().ExpectDrain(q, "a", "b", "c")
		}},
		Case{Behaviour: "53", Name: "a durable queue and its persistent messages survive a stop, a transient message does not", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "transient"})
			ch.Put(q, "a", "b", "c")
			ch.Ack(must(ch.Get(q, false)).Tag)
			ch.Sync()
			t.Restart()
			t.Channel().ExpectDrain(q, "a", "b", "c")
		}},
		Case{Behaviour: "53", Name: "a transient queue is gone after kill -9", Needs: Kill, Run: func(t *T) { transientGoes(t, t.Kill) }},
		Case{Behaviour: "53", Name: "a transient queue is gone after a stop", Needs: Stop, Run: func(t *T) { transientGoes(t, t.Restart) }},
		Case{Behaviour: "53", Name: "durable exchanges and bindings survive kill -9", Needs: Kill, Run: func(t *T) { topologyStays(t, t.Kill) }},
		Case{Behaviour: "53", Name: "durable exchanges and bindings survive a stop", Needs: Stop, Run: func(t *T) { topologyStays(t, t.Restart) }},
		Case{Behaviour: "53", Name: "a durable binding needs both ends durable", Needs: Kill, Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("fanout", nil)
			transient := ch.Declare(Queue{Transient: true}).Queue
			ch.Bind(transient, x, "", nil)
			temporary := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout"})
			q := ch.Queue(nil)
			ch.Bind(q, temporary, "", nil)
			t.Kill()
			ch = t.Channel().Confirm()
			ch.Declare(Queue{Name: transient, Transient: true})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: temporary, Type: "fanout"})
			for _, x := range []string{x, temporary} {
				ch.Publish(Message{Exchange: x, Mandatory: true})
				ch.Return()
			}
			ch.Confirmed()
		}},
		Case{Behaviour: "53", Name: "a deleted queue and binding stay deleted", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			gone, unbound, x := ch.Queue(nil), ch.Queue(nil), ch.Exchange("fanout", nil)
			ch.Put(gone, "x")
			ch.Bind(unbound, x, "", nil)
			ch.Unbind(unbound, x, "", nil)
			ch.Delete(gone)
			t.Kill()
			ch = t.Channel()
			if ch.Exists(gone) {
				t.Errorf("the deleted queue is there")
			}
			ch.Publish(Message{Exchange: x, Mandatory: true})
			ch.Return()
		}},
		Case{Behaviour: "53", Name: "a queue's arguments survive kill -9", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			args := Args{"x-max-length": 2, "x-message-ttl": 3600000, "x-overflow": "reject-publish"}
			q := ch.Queue(args)
			ch.Put(q, "1", "2")
			t.Kill()
			ch = t.Channel().Confirm()
			ch.Declare(Queue{Name: q, Args: args})
			ch.Publish(Message{Key: q, Body: "3"})
			if ch.Outcome(1) {
				t.Errorf("the queue took a message over its limit")
			}
			ch.DeclareRefused(Queue{Name: q}, 406, "inequivalent arg")
		}},
		Case{Behaviour: "53", Name: "purged messages stay purged after a stop", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			ch.Purge(q)
			ch.Put(q, "3")
			t.Restart()
			t.Channel().ExpectDrain(q, "3")
		}},
		Case{Behaviour: "53", Name: "vhosts, users, permissions and policies survive kill -9", Needs: Kill | Management, Run: func(t *T) {
			v, user := t.VHost(), t.User("")
			t.Permit(v, user, ".*", ".*", "")
			t.Policy(Policy{VHost: v, Pattern: ".*", Definition: JSON{"max-length": 1}})
			ch := t.DialAs(Login{VHost: v, User: user, Password: user}).Channel()
			q := t.Name("q")
			ch.Declare(Queue{Name: q})
			t.Kill()
			ch = t.DialAs(Login{VHost: v, User: user, Password: user}).Channel()
			ch.Publish(Message{Key: q, Body: "1"})
			ch.Publish(Message{Key: q, Body: "2"})
			ch.Await(q, 1)
			ch.Refused(&wire.BasicGet{Queue: q}, 403, "ACCESS_REFUSED - access to queue '"+q+"'")
		}},

		Case{Behaviour: "54", Name: "no confirmed message is lost by kill -9 under load", Needs: Kill, Run: func(t *T) {
			q := t.Channel().Queue(nil)
			ledgers := killUnderLoad(t, Message{Key: q})
			audit(t, t.Channel(), q, ledgers)
		}},
		Case{Behaviour: "54", Name: "no confirmed message of a fan-out is lost in any queue by kill -9 under load", Needs: Kill, Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("fanout", nil)
			var queues []string
			for range 3 {
				q := ch.Queue(nil)
				ch.Bind(q, x, "", nil)
				queues = append(queues, q)
			}
			ledgers := killUnderLoad(t, Message{Exchange: x})
			for _, q := range queues {
				audit(t, t.Channel(), q, ledgers)
			}
		}},
		Case{Behaviour: "47", Name: "kill -9 in the midst of dead-lettering loses and doubles nothing", Needs: Kill,
			Plus: "RabbitMQ's classic queues forget a message before its dead letter is safe. Leveret writes both as one record.", Run: func(t *T) {
				ch := t.Channel()
				dead := ch.Queue(nil)
				q := ch.Queue(into(dead, Args{"x-max-length": 20}))
				ledgers := killUnderLoad(t, Message{Key: q})
				auditAll(t, t.Channel(), []string{dead, q}, ledgers)
			}},
		Case{Behaviour: "54", Name: "what a consumer has acked does not come back after a stop", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			for i := range 100 {
				ch.Publish(Message{Key: q, Body: body(0, i), Props: Props{DeliveryMode: 2}})
			}
			ch.Confirmed()
			for i := range 100 {
				if d, _ := ch.Get(q, false); i%3 != 0 {
					ch.Ack(d.Tag)
				}
			}
			ch.Close()
			watch := t.Channel()
			watch.Await(q, 34)
			t.Restart()
			watch = t.Channel()
			for i := 0; i < 100; i += 3 {
				if d := watch.Take(q); d.Body != body(0, i) || !d.Redelivered {
					t.Fatalf("got %.40q, redelivered %v, want message %d", d.Body, d.Redelivered, i)
				}
			}
			watch.ExpectDrain(q)
		}},
		Case{Behaviour: "54", Name: "what was acked in a committed transaction does not come back after kill -9", Needs: Kill, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Confirm()
			ch.Put(q, "1", "2", "3")
			tx := t.Channel().transactional()
			for range 2 {
				tx.Ack(must(tx.Get(q, false)).Tag)
			}
			tx.commit()
			t.Kill()
			t.Channel().ExpectDrain(q, "3")
		}},
		Case{Behaviour: "54", Name: "acked messages under load never come back but as redelivered, the others never twice", Needs: Kill, Run: func(t *T) {
			watch := t.Channel().Confirm()
			q := watch.Queue(nil)
			const n = 600
			for i := range n {
				watch.Publish(Message{Key: q, Body: body(0, i), Props: Props{DeliveryMode: 2}})
			}
			watch.Confirmed()
			seen := 0
			t.KillUnder(func() {
				ch := t.Channel()
				ch.Conn.ExpectingEnd()
				ch.Qos(10, false)
				ch.Consume(q, Consume{})
				for range n / 2 {
					ch.Ack(ch.Delivery().Tag)
					seen++
				}
			})
			watch = t.Channel()
			last := -1
			for {
				d, ok := watch.Get(q, true)
				if !ok {
					break
				}
				_, i, whole := parseBody(d.Body)
				if !whole || i <= last {
					t.Fatalf("message %d behind %d, whole: %v", i, last, whole)
				}
				if i < seen && !d.Redelivered && t.Peer.Kind == Leveret {
					t.Errorf("message %d was delivered before the kill and is not marked redelivered", i)
				}
				last = i
			}
			if last != n-1 {
				t.Errorf("the last message is %d of %d", last, n)
			}
		}},
	)
}

// must is a delivery that there must be.
func must(d Delivery, ok bool) Delivery {
	if !ok {
		panic(errors.New("the queue is empty"))
	}
	return d
}

func transientGoes(t *T, restart func()) {
	ch := t.Channel().Confirm()
	q := ch.Declare(Queue{Transient: true}).Queue
	x := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout"})
	owned := ch.Declare(Queue{Exclusive: true}).Queue
	ch.Put(q, "persistent")
	restart()
	ch = t.Channel()
	if ch.Exists(q) || ch.Exists(owned) || ch.ExchangeExists(x) {
		t.Errorf("there is the transient queue: %v, the exclusive one: %v, the transient exchange: %v", ch.Exists(q), ch.Exists(owned), ch.ExchangeExists(x))
	}
}

func topologyStays(t *T, restart func()) {
	ch := t.Channel()
	from, to := ch.Exchange("topic", nil), ch.Exchange("headers", Args{"alternate-exchange": "amq.fanout"})
	q := ch.Queue(nil)
	ch.BindExchange(to, from, "a.#", nil)
	ch.Bind(q, to, "", Args{"x-match": "all", "n": 1})
	restart()
	ch = t.Channel().Confirm()
	ch.DeclareExchange(wire.ExchangeDeclare{Exchange: to, Type: "headers", Durable: true, Arguments: Args{"alternate-exchange": "amq.fanout"}.Table()})
	ch.Publish(Message{Exchange: from, Key: "a.b", Body: "routed", Props: Props{Headers: Args{"n": 1}}})
	ch.Confirmed()
	ch.ExpectDrain(q, "routed")
}
