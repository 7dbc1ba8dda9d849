package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// TestKillNineWhileMessagesMove kills the broker while messages are on their way
// through queues, by what moves them without a client's doing or against its will: delays,
// times to live, bounds, rejections, returns too many. Each move is one record of the
// log, so that however often the broker was killed every message that was confirmed is in
// the end in one place, once.
func TestKillNineWhileMessagesMove(t *testing.T) {
	rounds := envInt(t, "CRASH_ROUNDS", 20)
	seed := uint64(envInt(t, "CRASH_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("CRASH_SEED=%d CRASH_ROUNDS=%d", seed, rounds)
	addr, err := child.FreeAddr()
	must(t, err)
	w := &way{t: t, rng: rand.New(rand.NewPCG(seed, 7)), dir: filepath.Join(t.TempDir(), "data"), addr: addr, sent: map[string]bool{}}
	t.Cleanup(func() {
		if w.broker != nil {
			w.broker.Kill()
			if t.Failed() {
				t.Logf("stderr of the last broker:\n%s", w.broker.Log())
			}
		}
	})
	for range rounds {
		w.restart()
		w.load(time.Duration(20+w.rng.IntN(250)) * time.Millisecond)
	}
	w.restart()
	w.check()
}

// way is the run: a data directory, a broker at a time, and what was published.
type way struct {
	t         *testing.T
	rng       *rand.Rand
	dir, addr string
	broker    *process

	mu   sync.Mutex
	n    int
	sent map[string]bool // by id: whether it was confirmed
}

// Messages come in at late, aged and ranked, and go on to the next, until they are at
// the end or among the few that bounded keeps.
var wayQueues = []struct {
	name string
	args amqp.Table
}{
	{"end", nil},
	{"returned", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "end"}},
	{"work", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "returned"}},
	{"bounded", amqp.Table{"x-max-length": 5, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work"}},
	{"aged", amqp.Table{"x-message-ttl": 40, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "bounded"}},
	{"ranked", amqp.Table{"x-max-priority": 9, "x-dead-letter-exchange": "again", "x-dead-letter-routing-key": "aged"}},
}

func (w *way) restart() {
	w.t.Helper()
	for {
		args := []string{"--large-bytes", fmt.Sprint(1 << (12 + w.rng.IntN(3)))}
		if w.rng.IntN(3) > 0 {
			args = append(args, "--wal-file-size", fmt.Sprint(1<<(16+w.rng.IntN(4))), "--checkpoint-bytes", fmt.Sprint(1<<(16+w.rng.IntN(4))),
				"--wal-budget", fmt.Sprint(1<<(16+w.rng.IntN(4))), "--retire-age", "1ms", "--compact-slack", fmt.Sprint(1<<(12+w.rng.IntN(6))), "--compact-age", "1ms")
		}
		var err error
		w.broker, err = launch(w.dir, w.addr, args...)
		must(w.t, err)
		if w.rng.IntN(4) > 0 {
			break
		}
		<-time.After(time.Duration(w.rng.IntN(40)) * time.Millisecond) // in the midst of its start, or soon after
		w.broker.Kill()
	}
	must(w.t, w.broker.awaitReady())
	conn := dialTo(w.t, w.broker.url())
	defer conn.Close()
	ch := open(w.t, conn)
	for _, kind := range []string{"late", "again"} {
		must(w.t, ch.ExchangeDeclare(kind, "x-delayed-message", true, false, false, false, amqp.Table{"x-delayed-type": "direct"}))
	}
	for _, q := range wayQueues {
		_, err := ch.QueueDeclare(q.name, true, false, false, false, q.args)
		must(w.t, err)
		bind(w.t, ch, q.name, q.name, "late", nil)
		bind(w.t, ch, q.name, q.name, "again", nil)
	}
}

// load publishes and rejects for a while, and kills the broker.
func (w *way) load(d time.Duration) {
	var all sync.WaitGroup
	url, until := w.broker.url(), time.Now().Add(d)
	for range 2 {
		seed := w.rng.Uint64()
		all.Go(func() { w.publish(url, rand.New(rand.NewPCG(seed, 1)), until) })
	}
	all.Go(func() { w.refuse(url) })
	<-time.After(time.Until(until))
	w.broker.Kill()
	all.Wait()
}

func (w *way) publish(url string, rng *rand.Rand, until time.Time) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil || ch.Confirm(false) != nil {
		return
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	var waiting []*amqp.DeferredConfirmation
	var ids []string
	for time.Now().Before(until) {
		waiting, ids = waiting[:0], ids[:0]
		for range 1 + rng.IntN(30) {
			w.mu.Lock()
			w.n++
			id := fmt.Sprint("m", w.n)
			w.sent[id] = false
			w.mu.Unlock()
			p := amqp.Publishing{DeliveryMode: amqp.Persistent, MessageId: id, Priority: uint8(rng.IntN(12)), Headers: amqp.Table{}}
			size := rng.IntN(200)
			if rng.IntN(20) == 0 {
				size = 1 << (11 + rng.IntN(4))
			}
			p.Body = []byte(strings.Repeat("x", size))
			key, exchange := "ranked", ""
			p.Expiration = fmt.Sprint(rng.IntN(100))
			switch rng.IntN(4) {
			case 0:
				key = "aged"
			case 1:
				exchange = "late"
				p.Headers["x-delay"] = rng.IntN(150)
			case 2:
				exchange, key = "late", "aged"
				p.Headers["x-delay"] = 1 + rng.IntN(20)
			}
			c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, p)
			if err != nil {
				return
			}
			waiting, ids = append(waiting, c), append(ids, id)
		}
		for i, c := range waiting {
			select {
			case <-c.Done():
			case <-closed:
				return
			}
			if c.Acked() {
				w.mu.Lock()
				w.sent[ids[i]] = true
				w.mu.Unlock()
			}
		}
	}
}

// refuse rejects all that comes to work, and gives back what comes to returned, until
// the connection ends.
func (w *way) refuse(url string) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return
	}
	_ = ch.Qos(50, 0, false)
	work, err := ch.Consume("work", "", false, false, false, false, nil)
	if err != nil {
		return
	}
	returned, err := ch.Consume("returned", "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for {
		var d amqp.Delivery
		var ok, again bool
		select {
		case d, ok = <-work:
		case d, ok = <-returned:
			again = true
		}
		if !ok || d.Nack(false, again) != nil {
			return
		}
	}
}

// check looks where everything is when nothing moves any more.
func (w *way) check() {
	go w.refuse(w.broker.url())
	conn := dialTo(w.t, w.broker.url())
	defer conn.Close()
	ch := open(w.t, conn)
	confirmed := 0
	for _, ok := range w.sent {
		if ok {
			confirmed++
		}
	}
	ready := func(queue string) int {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		must(w.t, err)
		return q.Messages
	}
	still := 0
	for at, last := time.Now().Add(patience), -1; time.Now().Before(at) && still < 20; {
		n := ready("end") + ready("bounded")
		if n == last && n >= confirmed && ready("aged")+ready("ranked")+ready("work")+ready("returned") == 0 {
			still++
		} else {
			still = 0
		}
		last = n
		<-time.After(25 * time.Millisecond) // longer than the longest delay in all
	}
	seen := map[string]int{}
	for _, queue := range []string{"end", "bounded", "aged", "ranked", "work", "returned"} {
		for {
			d, ok, err := ch.Get(queue, true)
			must(w.t, err)
			if !ok {
				break
			}
			seen[d.MessageId]++
		}
	}
	lost, twice := 0, 0
	for id, ok := range w.sent {
		switch n := seen[id]; {
		case n > 1:
			if twice++; twice < 5 {
				w.t.Errorf("%s is there %d times", id, n)
			}
		case n == 0 && ok:
			if lost++; lost < 5 {
				w.t.Errorf("%s was confirmed, and is lost", id)
			}
		}
	}
	w.t.Logf("%d published, %d confirmed, %d there; %d lost, %d more than once", len(w.sent), confirmed, len(seen), lost, twice)
	if confirmed == 0 {
		w.t.Error("nothing was published")
	}
}
