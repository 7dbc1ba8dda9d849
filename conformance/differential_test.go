package conformance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// TestSameAsJudge does the same random things to two brokers and compares every answer.
// It runs where the environment names both:
//
//	CONFORMANCE_URL, CONFORMANCE_HTTP               the broker under test
//	CONFORMANCE_JUDGE_URL, CONFORMANCE_JUDGE_HTTP   a RabbitMQ
//	CONFORMANCE_PROGRAMS                            how many programs (100)
//	CONFORMANCE_SEED                                the first program's seed
//
// A program that shows a difference is made as short as it can be before it is shown.
func TestSameAsJudge(t *testing.T) {
	if os.Getenv("CONFORMANCE_JUDGE_URL") == "" {
		t.Skip("needs CONFORMANCE_JUDGE_URL")
	}
	peers := [2]*Peer{
		{URL: os.Getenv("CONFORMANCE_JUDGE_URL"), HTTP: os.Getenv("CONFORMANCE_JUDGE_HTTP")},
		{URL: os.Getenv("CONFORMANCE_URL"), HTTP: os.Getenv("CONFORMANCE_HTTP")},
	}
	for _, p := range peers {
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	programs, _ := strconv.Atoi(os.Getenv("CONFORMANCE_PROGRAMS"))
	if programs == 0 {
		programs = 100
	}
	seed, _ := strconv.ParseUint(os.Getenv("CONFORMANCE_SEED"), 10, 64)
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	known := map[string]bool{}
	for n := range uint64(programs) {
		ops := randomProgram(rand.New(rand.NewPCG(seed+n, 1)))
		diff, at := compareRuns(t, peers, ops, 0)
		if diff != "" {
			// A delivery that waits for the disk is no difference.
			diff, at = compareRuns(t, peers, ops, slack)
		}
		if diff == "" {
			continue
		}
		ops = ops[:at+1]
		for i := len(ops) - 2; i >= 0; i-- {
			shorter := slices.Delete(slices.Clone(ops), i, i+1)
			if d, at := compareRuns(t, peers, shorter, slack); d != "" {
				ops, diff = shorter[:at+1], d
				i = min(i, len(ops)-1)
			}
		}
		var b strings.Builder
		for _, op := range ops {
			fmt.Fprintf(&b, "\t%s\n", op.text)
		}
		if known[diff] {
			continue
		}
		known[diff] = true
		t.Errorf("seed %d:\n%s%s", seed+n, b.String(), diff)
	}
}

// slack is what a broker is given to settle where the answers seem to differ.
const slack = 25 * time.Millisecond

// operation is one thing to do to a broker.
type operation struct {
	text string
	do   func(w *world)
}

// world is a broker in a program's hands: two connections with two channels each.
type world struct {
	t     *T
	vhost string
	conns [2]*Conn
	chans [4]*Channel
	admin *Channel
}

func (w *world) connect(i int) {
	w.conns[i] = w.t.DialAs(Login{VHost: w.vhost})
	for j := range 2 {
		w.chans[2*i+j] = w.conns[i].Channel()
	}
}

var worldQueues = []string{"q1", "q2", "q3"}

// settle waits until all is quiet and returns what has come.
func (w *world) settle(wait time.Duration) string {
	var b strings.Builder
	for range 2 {
		time.Sleep(wait)
		for _, q := range worldQueues {
			w.admin.Exists(q)
		}
		for i, ch := range w.chans {
			// The channel or its connection may have been closed.
			ch.Send(&wire.BasicCancel{ConsumerTag: "nobody"})
			if _, err := ch.Conn.await(ch.ID, deadline(), func(e Event) bool {
				m, ok := e.Method.(*wire.BasicCancelOk)
				return ok && m.ConsumerTag == "nobody"
			}); err == nil {
				continue
			}
			if e, ok := ch.Conn.find(ch.ID, isMethod(wire.IDChannelClose)); ok {
				w.drain(&b, i, ch)
				fmt.Fprintf(&b, "%d: %s\n", i, render(e))
				ch.Send(&wire.ChannelCloseOk{})
				ch.Reopen()
				continue
			}
			c := ch.Conn
			if e, ok := c.find(0, isMethod(wire.IDConnectionClose)); ok {
				fmt.Fprintf(&b, "connection %d: %s\n", i/2, render(e))
				c.SendMethod(0, &wire.ConnectionCloseOk{})
			} else {
				fmt.Fprintf(&b, "connection %d: ended\n", i/2)
			}
			c.ExpectEnd()
			for j := range 2 {
				w.drain(&b, i/2*2+j, w.chans[i/2*2+j])
			}
			w.connect(i / 2)
		}
	}
	for i, ch := range w.chans {
		w.drain(&b, i, ch)
	}
	return b.String()
}

func (w *world) drain(b *strings.Builder, i int, ch *Channel) {
	// Confirms may be gathered or not.
	acked := map[uint64]string{}
	for {
		e, ok := ch.Conn.find(ch.ID, func(e Event) bool { return e.Method != nil && e.Method.ID() != wire.IDChannelClose })
		if !ok {
			break
		}
		switch m := e.Method.(type) {
		case *wire.BasicAck:
			ch.settle(m.DeliveryTag, m.Multiple, true)
			continue
		case *wire.BasicNack:
			ch.settle(m.DeliveryTag, m.Multiple, false)
			continue
		}
		fmt.Fprintf(b, "%d: %s\n", i, render(e))
	}
	for tag, ok := range ch.outcomes {
		acked[tag] = fmt.Sprint(ok)
	}
	if len(acked) > 0 {
		fmt.Fprintf(b, "%d: confirmed %v\n", i, acked)
	}
}

func render(e Event) string {
	s := fmt.Sprintf("%v %+v", e.Method.ID(), e.Method)
	if d, ok := e.Method.(*wire.BasicDeliver); ok {
		s = fmt.Sprintf("deliver %s tag %d redelivered %v %q %q", d.ConsumerTag, d.DeliveryTag, d.Redelivered, d.Exchange, d.RoutingKey)
	}
	if d, ok := e.Method.(*wire.BasicGetOk); ok {
		s = fmt.Sprintf("get-ok tag %d redelivered %v %q %q count %d", d.DeliveryTag, d.Redelivered, d.Exchange, d.RoutingKey, d.MessageCount)
	}
	if d, ok := e.Method.(*wire.BasicReturn); ok {
		s = fmt.Sprintf("return %d %s %q %q", d.ReplyCode, d.ReplyText, d.Exchange, d.RoutingKey)
	}
	if wire.Lookup(e.Method.ID()).Content {
		h := Plain(e.Props.Headers())
		hideTimes(h)
		p := slices.Clone(e.Props)
		if q, err := amqp.Properties(p).Edit().Remove(amqp.PropHeaders).Properties(); err == nil {
			p = q
		}
		s += fmt.Sprintf(" %q %v %q", p, h, e.Body)
	}
	return s
}

// hideTimes takes away what depends on the clock.
func hideTimes(h Args) {
	if list, ok := h["x-death"].([]any); ok {
		for _, x := range list {
			if a, ok := x.(Args); ok {
				delete(a, "time")
			}
		}
	}
	delete(h, "x-last-death-queue")
	delete(h, "x-last-death-reason")
	delete(h, "x-last-death-exchange")
}

// compareRuns runs a program on both and returns the first difference and the index of
// the operation that showed it.
func compareRuns(t *testing.T, peers [2]*Peer, ops []operation, wait time.Duration) (diff string, at int) {
	t.Helper()
	var logs [2][]string
	vhost := fmt.Sprintf("conformance-same-%08x", rand.Uint32())
	done := make(chan struct{}, 2)
	for i, p := range peers {
		tt := &T{Peer: p, Case: Case{Behaviour: "0"}}
		tt.Case.Run = func(t *T) {
			t.Cleanup(func() { t.Remove(Path("vhosts", vhost)) })
			t.Put(Path("vhosts", vhost), JSON{})
			t.Permit(vhost, p.url.User.Username(), ".*", ".*", ".*")
			w := &world{t: t, vhost: vhost}
			w.connect(0)
			w.connect(1)
			w.admin = t.DialAs(Login{VHost: vhost}).Channel()
			for _, op := range ops {
				op.do(w)
				logs[i] = append(logs[i], w.settle(wait))
			}
		}
		go func() {
			r := tt.run()
			if r.Status == Failed {
				logs[i] = append(logs[i], "failed: "+r.Text)
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	if len(ops) > 0 && len(logs[0]) > 0 && len(logs[1]) > 0 {
		// Where neither got to do anything, sameness says nothing.
		a, b := logs[0][0], logs[1][0]
		if strings.HasPrefix(a, "failed: ") && strings.HasPrefix(b, "failed: ") {
			t.Fatalf("neither broker could be asked:\njudge: %s\nunder test: %s", a, b)
		}
	}
	for i := range max(len(logs[0]), len(logs[1])) {
		var a, b string
		if i < len(logs[0]) {
			a = logs[0][i]
		}
		if i < len(logs[1]) {
			b = logs[1][i]
		}
		a, b = strings.ReplaceAll(a, vhost, "V"), strings.ReplaceAll(b, vhost, "V")
		if a != b {
			return fmt.Sprintf("judge:\n%sunder test:\n%s", a, b), min(i, len(ops)-1)
		}
	}
	return "", 0
}

const zeroTTL = 0

func pick[E any](r *rand.Rand, list ...E) E { return list[r.IntN(len(list))] }

// randomProgram makes a list of operations that often mean something.
func randomProgram(r *rand.Rand) []operation {
	var ops []operation
	exchanges := []string{"x1", "x2", "amq.direct", "amq.fanout", "amq.topic", "amq.headers"}
	keys := []string{"k1", "k2", "k1.k2", "*.k2", "#", ""}
	method := func(ch int, m wire.Method) operation {
		text := fmt.Sprintf("%d: %v %+v", ch, m.ID(), m)
		return operation{text, func(w *world) { w.chans[ch].Send(m) }}
	}
	headers := func() Args {
		return pick(r, nil, Args{"a": 1}, Args{"a": 1, "b": "two"}, Args{"x-match": "any", "a": 1, "b": "two"}, Args{"CC": []any{"q2", "k1"}}, Args{"BCC": []any{"q1"}})
	}
	serial := 0
	for range 4 + r.IntN(36) {
		ch := r.IntN(4)
		q := pick(r, append(slices.Clone(worldQueues), "")...)
		if q == "" && r.IntN(3) > 0 {
			q = "q1"
		}
		x := pick(r, exchanges...)
		rare := func() bool { return r.IntN(12) == 0 }
		switch n := r.IntN(106); {
		case n < 16:
			args := Args{}
			for range r.IntN(3) {
				switch r.IntN(11) {
				case 0:
					args["x-max-length"] = pick(r, 0, 1, 2, 3)
				case 1:
					args["x-overflow"] = pick(r, "drop-head", "reject-publish", "reject-publish-dlx", "nonsense")
				case 2:
					args["x-dead-letter-exchange"] = pick(r, "", "x1", "amq.fanout", "none")
				case 3:
					args["x-dead-letter-routing-key"] = pick(r, "q3", "k1")
				case 4:
					args["x-max-priority"] = pick(r, 1, 5)
				case 5:
					args["x-single-active-consumer"] = true
				case 6:
					args["x-message-ttl"] = pick(r, zeroTTL, 1, 3600000)
				case 7:
					args["x-queue-type"] = pick(r, "classic", "nonsense")
				case 8:
					args["x-max-length-bytes"] = pick(r, 0, 5, 10)
				case 9:
					args["x-queue-mode"] = pick(r, "lazy", "default", "nonsense")
				case 10:
					// Each value of a type that is no argument's.
					name := pick(r, "x-max-length", "x-expires", "x-message-ttl", "x-max-priority", "x-overflow",
						"x-dead-letter-exchange", "x-single-active-consumer", "x-queue-type", "x-max-length-bytes")
					args[name] = pick[any](r, -1, "", "5", true, 1.5, nil, int64(1)<<40)
				}
			}
			name := q
			if name == "" {
				name = "q3"
			}
			ops = append(ops, method(ch, &wire.QueueDeclare{Queue: name, Durable: !rare(), Exclusive: rare(), AutoDelete: rare(), Passive: rare(), Arguments: args.Table()}))
		case n < 22:
			name := pick(r, "x1", "x2", x)
			var args Args
			if r.IntN(3) == 0 {
				args = Args{"alternate-exchange": pick(r, "x1", "x2", "amq.fanout", "none")}
			}
			ops = append(ops, method(ch, &wire.ExchangeDeclare{Exchange: name, Type: pick(r, "direct", "fanout", "topic", "headers"), Durable: !rare(), AutoDelete: rare(), Internal: rare(), Passive: rare(), Arguments: args.Table()}))
		case n < 32:
			ops = append(ops, method(ch, &wire.QueueBind{Queue: q, Exchange: x, RoutingKey: pick(r, keys...), Arguments: headers().Table()}))
		case n < 35:
			ops = append(ops, method(ch, &wire.QueueUnbind{Queue: q, Exchange: x, RoutingKey: pick(r, keys...), Arguments: headers().Table()}))
		case n < 38:
			ops = append(ops, method(ch, &wire.ExchangeBind{Destination: x, Source: pick(r, exchanges...), RoutingKey: pick(r, keys...)}))
		case n < 39:
			ops = append(ops, method(ch, &wire.ExchangeUnbind{Destination: x, Source: pick(r, exchanges...), RoutingKey: pick(r, keys...)}))
		case n < 62:
			serial++
			m := Message{Key: pick(r, append(slices.Clone(worldQueues), keys...)...), Mandatory: r.IntN(3) == 0, Body: strconv.Itoa(serial)}
			if r.IntN(2) == 0 {
				m.Exchange = x
			} else {
				m.Key = pick(r, worldQueues...)
			}
			m.Props.Headers = headers()
			m.Props.DeliveryMode = uint8(1 + r.IntN(2))
			m.Props.Priority = r.IntN(7)
			if r.IntN(8) == 0 {
				m.Props.Expiration = pick(r, "0", "3600000", "nonsense")
			}
			ops = append(ops, operation{fmt.Sprintf("%d: publish %+v", ch, m), func(w *world) { w.chans[ch].Publish(m) }})
		case n < 70:
			ops = append(ops, method(ch, &wire.BasicGet{Queue: q, NoAck: r.IntN(3) == 0}))
		case n < 75:
			ops = append(ops, method(ch, &wire.BasicConsume{Queue: q, ConsumerTag: pick(r, "c1", "c2"), NoAck: r.IntN(3) == 0, Exclusive: rare(), Arguments: pick(r, nil, Args{"x-priority": 1}).Table()}))
		case n < 78:
			ops = append(ops, method(ch, &wire.BasicCancel{ConsumerTag: pick(r, "c1", "c2")}))
		case n < 84:
			ops = append(ops, method(ch, &wire.BasicAck{DeliveryTag: uint64(r.IntN(5)), Multiple: r.IntN(3) == 0}))
		case n < 88:
			ops = append(ops, method(ch, &wire.BasicNack{DeliveryTag: uint64(r.IntN(5)), Multiple: r.IntN(3) == 0, Requeue: r.IntN(2) == 0}))
		case n < 90:
			ops = append(ops, method(ch, &wire.BasicReject{DeliveryTag: uint64(r.IntN(5)), Requeue: r.IntN(2) == 0}))
		case n < 91:
			ops = append(ops, method(ch, &wire.BasicRecover{Requeue: !rare()}))
		case n < 93:
			ops = append(ops, method(ch, &wire.QueuePurge{Queue: q}))
		case n < 95:
			ops = append(ops, method(ch, &wire.QueueDelete{Queue: q, IfUnused: r.IntN(3) == 0, IfEmpty: r.IntN(3) == 0}))
		case n < 96:
			ops = append(ops, method(ch, &wire.ExchangeDelete{Exchange: x, IfUnused: r.IntN(2) == 0}))
		case n < 97:
			ops = append(ops, operation{fmt.Sprintf("%d: confirm", ch), func(w *world) {
				w.chans[ch].Send(&wire.ConfirmSelect{})
				w.chans[ch].confirming = true
				if w.chans[ch].outcomes == nil {
					w.chans[ch].outcomes = map[uint64]bool{}
				}
			}})
		case n < 98:
			ops = append(ops, method(ch, &wire.BasicQos{PrefetchCount: uint16(r.IntN(3)), Global: r.IntN(2) == 0}))
		case n < 99:
			ops = append(ops, method(ch, pick[wire.Method](r, &wire.TxSelect{}, &wire.TxCommit{}, &wire.TxRollback{})))
		case n < 105:
			ops = append(ops, randomPolicy(r))
		default:
			ops = append(ops, operation{fmt.Sprintf("%d: close and open", ch), func(w *world) { w.chans[ch].Close(); w.chans[ch].Reopen() }})
		}
	}
	return ops
}

// randomPolicy puts or removes a policy or an operator policy.
func randomPolicy(r *rand.Rand) operation {
	kind := pick(r, "policies", "policies", "operator-policies")
	name := pick(r, "p1", "p2")
	if r.IntN(4) == 0 {
		return operation{fmt.Sprintf("delete %s %s", kind, name), func(w *world) {
			w.t.Remove(Path(kind, w.vhost, name))
		}}
	}
	def := JSON{}
	for range 1 + r.IntN(3) {
		switch r.IntN(6) {
		case 0, 1:
			def["max-length"] = pick(r, 0, 1, 2, 3)
		case 2:
			def["max-length-bytes"] = pick(r, 0, 5)
		case 3:
			// A shorter one holds for what is there too, in RabbitMQ for what comes.
			def["message-ttl"] = 3600000
		case 4:
			if kind == "policies" {
				def["dead-letter-exchange"] = pick(r, "", "x1", "amq.fanout")
			}
		case 5:
			if kind == "policies" {
				def["overflow"] = pick(r, "drop-head", "reject-publish", "reject-publish-dlx")
			}
		}
	}
	if def["max-length"] != nil || def["max-length-bytes"] != nil {
		// RabbitMQ takes a new bound before the overflow that comes with it, and drops the head.
		delete(def, "overflow")
	}
	if len(def) == 0 {
		def["max-length"] = 2
	}
	body := JSON{"pattern": pick(r, ".", "^q1$", "q[12]"), "definition": def, "priority": r.IntN(3), "apply-to": "queues"}
	return operation{fmt.Sprintf("put %s %s %v", kind, name, body), func(w *world) {
		w.t.Put(Path(kind, w.vhost, name), body)
	}}
}
