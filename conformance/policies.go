package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 51, and 24 by policy.

// exactly is a pattern for one name.
func exactly(name string) string { return "^" + name + "$" }

// bounded waits until a queue keeps n of many messages, and empties it. A negative n
// is no bound.
func (ch *Channel) bounded(queue string, n int) {
	ch.t.Helper()
	const many = 8
	want := n
	if n < 0 {
		want = many
	}
	got := 0
	ch.t.Eventually(func() bool {
		for i := range many {
			ch.Publish(Message{Key: queue, Body: fmt.Sprint(i)})
		}
		got, _ = ch.Count(queue)
		ch.Purge(queue)
		return got == want
	}, "%s keeps %d of 8 messages, want %d", queue, &got, want)
}

// await waits for a message of a queue, which is to be acked.
func (ch *Channel) await(queue string) (d Delivery) {
	ch.t.Helper()
	ch.t.Eventually(func() (ok bool) {
		d, ok = ch.Get(queue, false)
		return ok
	}, "no message in %s", queue)
	return d
}

// rejected waits until a message that a consumer refuses goes from one queue to
// another, and returns it. Before that such messages are lost.
func (ch *Channel) rejected(from, to string) (d Delivery) {
	ch.t.Helper()
	ch.t.Eventually(func() bool {
		ch.Publish(Message{Key: from, Body: "refused"})
		ch.Reject(ch.await(from).Tag, false)
		var ok bool
		for wait := time.Now().Add(200 * time.Millisecond); !ok && time.Now().Before(wait); {
			d, ok = ch.Get(to, true)
		}
		return ok
	}, "what is refused in %s does not come to %s", from, to)
	return d
}

func init() {
	register(
		Case{Behaviour: "51", Name: "a policy applies to queues that are there and to those that come", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			name := t.Name("q")
			old := ch.Declare(Queue{Name: name + "-old"}).Queue
			ch.Put(old, "1", "2", "3", "4")
			t.Policy(Policy{Pattern: "^" + name, Definition: JSON{"max-length": 2}})
			ch.Await(old, 2)
			ch.ExpectDrain(old, "3", "4")
			fresh := ch.Declare(Queue{Name: name + "-new"}).Queue
			ch.Put(fresh, "1", "2", "3", "4")
			ch.ExpectDrain(fresh, "3", "4")
		}},
		Case{Behaviour: "51", Name: "what a policy said is gone with it", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			name := t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 2}})
			ch.bounded(q, 2)
			t.RemovePolicy(name)
			ch.bounded(q, -1)
		}},
		Case{Behaviour: "51", Name: "a policy is replaced by one of its name", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			name := t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 2}})
			ch.bounded(q, 2)
			t.Policy(Policy{Name: name, Pattern: exactly(q), Definition: JSON{"max-length": 5}})
			ch.bounded(q, 5)
			t.Policy(Policy{Name: name, Pattern: exactly(q + "-other"), Definition: JSON{"max-length": 5}})
			ch.bounded(q, -1)
		}},
		Case{Behaviour: "51", Name: "of the policies that match, the one of the highest priority applies, and that alone", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 2}, Priority: 1})
			ch.bounded(q, 2)
			high := t.Policy(Policy{Pattern: q, Definition: JSON{"max-length-bytes": 3}, Priority: 7})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 1}, Priority: -1})
			ch.bounded(q, 3)
			t.RemovePolicy(high)
			ch.bounded(q, 2)
		}},
		Case{Behaviour: "51", Name: "a pattern is searched for in the name", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			name := t.Name("q")
			in, out := ch.Declare(Queue{Name: "a." + name + ".b"}).Queue, ch.Declare(Queue{Name: "no." + name + ".b"}).Queue
			t.Policy(Policy{Pattern: "^(?!no\\.).*" + name, Definition: JSON{"max-length": 1}})
			ch.bounded(in, 1)
			ch.bounded(out, -1)
		}},
		Case{Behaviour: "51", Name: "a policy for exchanges does not apply to queues", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 1}, Priority: 9, ApplyTo: "exchanges"})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 3}, Priority: 2, ApplyTo: "queues"})
			ch.bounded(q, 3)
		}},
		Case{Behaviour: "51", Name: "a policy applies in its vhost only", Needs: Management, Run: func(t *T) {
			vhost := t.VHost()
			here, there := t.Channel(), t.DialAs(Login{VHost: vhost}).Channel()
			name := t.Name("q")
			here.Declare(Queue{Name: name})
			there.Declare(Queue{Name: name})
			t.Policy(Policy{VHost: vhost, Pattern: exactly(name), Definition: JSON{"max-length": 1}})
			there.bounded(name, 1)
			here.bounded(name, -1)
		}},
		Case{Behaviour: "51", Name: "of the lengths that an argument and a policy say the lower one holds", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			low, high := ch.Queue(Args{"x-max-length": 2}), ch.Queue(Args{"x-max-length": 5})
			t.Policy(Policy{Pattern: "^(" + low + "|" + high + ")$", Definition: JSON{"max-length": 3}})
			ch.bounded(high, 3)
			ch.bounded(low, 2)
			bytes := ch.Queue(Args{"x-max-length-bytes": 5})
			t.Policy(Policy{Pattern: exactly(bytes), Definition: JSON{"max-length-bytes": 4}})
			ch.bounded(bytes, 4)
		}},
		Case{Behaviour: "51", Name: "of the times to live that an argument and a policy say the lower one holds", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			a, b := ch.Queue(Args{"x-message-ttl": 3_600_000}), ch.Queue(Args{"x-message-ttl": 100})
			t.Policy(Policy{Pattern: exactly(a), Definition: JSON{"message-ttl": 100}})
			t.Policy(Policy{Pattern: exactly(b), Definition: JSON{"message-ttl": 3_600_000}})
			n := 0
			for _, q := range []string{a, b} {
				t.Eventually(func() bool {
					ch.Publish(Message{Key: q, Body: "m"})
					time.Sleep(300 * time.Millisecond) // time is the subject
					n, _ = ch.Count(q)
					ch.Purge(q)
					return n == 0
				}, "a message in %s does not expire: %d are left", q, &n)
			}
		}},
		Case{Behaviour: "51", Name: "a queue expires by policy", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			kept := ch.Queue(Args{"x-expires": 3_600_000})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"expires": 200}})
			expired := func(q string) func() bool {
				return func() bool {
					time.Sleep(400 * time.Millisecond) // to look at it may be a use
					return !ch.Exists(q)
				}
			}
			t.Eventually(expired(q), "%s does not expire", q)
			t.Policy(Policy{Pattern: exactly(kept), Definition: JSON{"expires": 200}})
			t.Eventually(expired(kept), "%s does not expire", kept)
		}},
		Case{Behaviour: "51", Name: "dead letters go where a policy says, with its routing key", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q, dead := ch.Queue(nil), ch.Queue(nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"dead-letter-exchange": "", "dead-letter-routing-key": dead}})
			if d := ch.rejected(q, dead); d.Body != "refused" || d.Headers()["x-first-death-queue"] != q {
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "51", Name: "an argument's dead-letter exchange wins over a policy's, whose routing key it takes", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			mine, other, dead, wrong := ch.Exchange("direct", nil), ch.Exchange("fanout", nil), ch.Queue(nil), ch.Queue(nil)
			ch.Bind(dead, mine, "by policy", nil)
			ch.Bind(wrong, other, "", nil)
			q := ch.Queue(Args{"x-dead-letter-exchange": mine})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"dead-letter-exchange": other, "dead-letter-routing-key": "by policy"}})
			if d := ch.rejected(q, dead); d.Exchange != mine || d.Key != "by policy" {
				t.Errorf("got %+v", d)
			}
			if n, _ := ch.Count(wrong); n != 0 {
				t.Errorf("%d dead letters went where the policy says", n)
			}
		}},
		Case{Behaviour: "51", Name: "a classic queue's overflow argument wins over a policy's", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-length": 2, "x-overflow": "reject-publish"})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"overflow": "drop-head", "max-length": 1}})
			t.Eventually(func() bool { // until the policy's bound holds
				ch.Purge(q)
				ch.Publish(Message{Key: q, Body: "a"})
				return !ch.Outcome(ch.Publish(Message{Key: q, Body: "b"}))
			}, "%s takes more than the policy lets it", q)
			ch.ExpectDrain(q, "a")
		}},
		Case{Behaviour: "51", Name: "a quorum queue's overflow is the policy's", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"})
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"overflow": "drop-head"}})
			t.Eventually(func() bool { // what is refused is refused a little late
				ch.Purge(q)
				for i := range 10 {
					if !ch.Outcome(ch.Publish(Message{Key: q, Body: fmt.Sprint(i)})) {
						return false
					}
				}
				return true
			}, "%s refuses though the policy says to drop", q)
			ch.ExpectDrain(q, "9")
		}},
		Case{Behaviour: "51", Name: "a quorum queue's delivery limit can be a policy's", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q, dead := ch.Queue(Args{"x-queue-type": "quorum"}), ch.Queue(nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"delivery-limit": 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead}})
			t.effective(q, JSON{"delivery-limit": 1., "dead-letter-exchange": "", "dead-letter-routing-key": dead})
			ch.Publish(Message{Key: q, Body: "m"})
			for range 2 {
				ch.Nack(ch.await(q).Tag, true)
			}
			if d := ch.AwaitMessage(dead); d.Headers()["x-first-death-reason"] != "delivery_limit" {
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "51", Name: "a policy says nothing to a queue whose type does not know one of its keys", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q, quorum := ch.Queue(nil), ch.Queue(Args{"x-queue-type": "quorum"})
			both := "^(" + q + "|" + quorum + ")$"
			t.Policy(Policy{Pattern: both, Definition: JSON{"max-length": 1, "delivery-limit": 9}, Priority: 5})
			t.Policy(Policy{Pattern: both, Definition: JSON{"max-length": 2, "queue-mode": "lazy"}, Priority: 4})
			ch.bounded(q, 2)
			ch.bounded(quorum, 1)
		}},
		Case{Behaviour: "51", Name: "policies do not count in the equivalence of a redeclare", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 2}})
			ch.bounded(q, 2)
			ch.Declare(Queue{Name: q})
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-max-length": 2}}, 406,
				"inequivalent arg 'x-max-length' for queue '"+q+"' in vhost '/': received the value '2' of type 'signedint' but current is none")
		}},

		Case{Behaviour: "51", Name: "an operator policy bounds what policies and arguments say", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			none, low, high := ch.Queue(nil), ch.Queue(Args{"x-max-length": 2}), ch.Queue(Args{"x-max-length": 7})
			all := "^(" + none + "|" + low + "|" + high + ")$"
			t.OperatorPolicy(Policy{Pattern: all, Definition: JSON{"max-length": 4}})
			ch.bounded(none, 4)
			ch.bounded(low, 2)
			ch.bounded(high, 4)
			name := t.Policy(Policy{Pattern: all, Definition: JSON{"max-length": 3}})
			ch.bounded(none, 3)
			t.Policy(Policy{Name: name, Pattern: all, Definition: JSON{"max-length": 6}})
			ch.bounded(none, 4)
		}},
		Case{Behaviour: "51", Name: "policy and operator policy are merged key by key", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			name := t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 9, "message-ttl": 1000, "overflow": "reject-publish"}})
			operator := t.OperatorPolicy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 5, "message-ttl": 9000, "expires": 3_600_000}})
			info := t.effective(q, JSON{"max-length": 5., "message-ttl": 1000., "overflow": "reject-publish", "expires": 3_600_000.})
			if info.Policy != name || info.OperatorPolicy != operator {
				t.Errorf("%s has the policies %q and %q", q, info.Policy, info.OperatorPolicy)
			}
			t.RemovePolicy(name)
			t.effective(q, JSON{"max-length": 5., "message-ttl": 9000., "expires": 3_600_000.})
		}},
		Case{Behaviour: "51", Name: "a policy that says what no policy may is 400", Needs: Management, Run: func(t *T) {
			for _, c := range []struct {
				kind string
				body JSON
				want string
			}{
				{"policies", JSON{"pattern": "x", "definition": JSON{}}, "no policy provided"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"max-length": -1}}, "-1 is not a valid maximum length"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"message-ttl": 1.5}}, "1.5 is not a valid message TTL"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"expires": 0}}, "0 is not a valid queue expiry"},
				{"policies", JSON{"pattern": "(", "definition": JSON{"max-length": 1}}, "pattern should be regular expression but is invalid"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"max-length": 1}, "apply-to": "people"}, "apply-to 'people' unrecognised"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"max-length": 1}, "priority": "high"}, "priority should be a number"},
				{"policies", JSON{"pattern": "x", "definition": JSON{"max-priority": 3}}, "are not recognised policy settings"},
				{"policies", JSON{"pattern": "x"}, "{key_missing,definition}"},
				{"operator-policies", JSON{"pattern": "x", "definition": JSON{"overflow": "drop-head"}}, "are not recognised policy settings"},
				{"operator-policies", JSON{"pattern": "x", "definition": JSON{"dead-letter-exchange": "x"}}, "are not recognised policy settings"},
			} {
				var answer struct{ Error, Reason string }
				path := Path(c.kind, t.Peer.vhost(), t.Name("policy"))
				if code := t.API(http.MethodPut, path, c.body, &answer); code != 400 || answer.Error != "bad_request" || !strings.Contains(answer.Reason, c.want) {
					t.Errorf("%s %v: %d %+v, want %q", c.kind, c.body, code, answer, c.want)
				}
				if code := t.API(http.MethodGet, path, nil, nil); code != 404 {
					t.Errorf("%s %v: it is there, %d", c.kind, c.body, code)
				}
			}
		}},
		Case{Behaviour: "51", Name: "policies and what they say survive kill -9", Needs: Management | Kill, Run: func(t *T) {
			ch := t.Channel()
			q, x, alternate, caught := ch.Queue(nil), ch.Exchange("direct", nil), ch.Exchange("fanout", nil), ch.Queue(nil)
			ch.Bind(caught, alternate, "", nil)
			t.Policy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 3}})
			t.OperatorPolicy(Policy{Pattern: exactly(q), Definition: JSON{"max-length": 2}})
			t.Policy(Policy{Pattern: exactly(x), Definition: JSON{"alternate-exchange": alternate}})
			ch.bounded(q, 2)
			t.Kill()
			ch = t.Channel().Confirm()
			ch.bounded(q, 2)
			ch.Publish(Message{Exchange: x, Body: "caught"})
			ch.Confirmed()
			ch.ExpectDrain(caught, "caught")
		}},

		Case{Behaviour: "24", Name: "an alternate exchange by policy, given to an exchange that is there and taken again", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, alternate, caught := ch.Exchange("direct", nil), ch.Exchange("fanout", nil), ch.Queue(nil)
			ch.Bind(caught, alternate, "", nil)
			comes := func() bool { // a message that x cannot route, to caught
				ch.Publish(Message{Exchange: x, Key: "nowhere", Body: "m", Mandatory: true})
				ch.Confirmed()
				if _, returned := Has[*wire.BasicReturn](ch); returned {
					return false
				}
				ch.ExpectDrain(caught, "m")
				return true
			}
			if comes() {
				t.Fatalf("it was routed without an alternate exchange")
			}
			name := t.Policy(Policy{Pattern: exactly(x), Definition: JSON{"alternate-exchange": alternate}})
			t.Eventually(comes, "%s gets no alternate exchange", x)
			t.RemovePolicy(name)
			t.Eventually(func() bool { return !comes() }, "%s keeps its alternate exchange", x)
		}},
		Case{Behaviour: "24", Name: "an alternate exchange by argument wins over a policy's", Needs: Management, Run: func(t *T) {
			ch := t.Channel().Confirm()
			mine, other, caught, wrong := ch.Exchange("fanout", nil), ch.Exchange("fanout", nil), ch.Queue(nil), ch.Queue(nil)
			ch.Bind(caught, mine, "", nil)
			ch.Bind(wrong, other, "", nil)
			plain := t.Name("x")
			t.Policy(Policy{Pattern: plain, Definition: JSON{"alternate-exchange": other}, ApplyTo: "exchanges"})
			// One that is declared later shows when the policy applies.
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: plain + "-plain", Type: "direct", Durable: true})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: plain, Type: "direct", Durable: true, Arguments: Args{"alternate-exchange": mine}.Table()})
			ch.Publish(Message{Exchange: plain + "-plain", Key: "k", Body: "by policy"})
			ch.Publish(Message{Exchange: plain, Key: "k", Body: "by argument"})
			ch.Confirmed()
			ch.ExpectDrain(wrong, "by policy")
			ch.ExpectDrain(caught, "by argument")
		}},
	)
}

// queueInfo is what the management API says of a queue.
type queueInfo struct {
	Type           string
	Policy         string
	OperatorPolicy string `json:"operator_policy"`
	Effective      JSON   `json:"effective_policy_definition"`
}

// effective waits until the management API says that policies give a queue these
// values. RabbitMQ tells with its statistics, every five seconds.
func (t *T) effective(queue string, want JSON) queueInfo {
	t.Helper()
	var info queueInfo
	var got string
	t.Eventually(func() bool {
		info = queueInfo{}
		t.Fetch(Path("queues", t.Peer.vhost(), queue), &info)
		got = fmt.Sprint(info.Effective)
		return got == fmt.Sprint(want)
	}, "%s has the effective policy %v, want %v", queue, &got, want)
	return info
}
