package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// sum adds up a run's intervals.
func sum(into *Interval) Watch {
	return Watch{Every: 20 * time.Millisecond, Each: func(v Interval) {
		into.Sent += v.Sent
		into.Confirmed += v.Confirmed
		into.Nacked += v.Nacked
		into.Returned += v.Returned
		into.Received += v.Received
		into.Confirm.Count += v.Confirm.Count
		into.Delivery.Count += v.Delivery.Count
	}}
}

func TestLoadsCountEachMessageOnce(t *testing.T) {
	leveret := brokertest.Start(t, brokertest.Options{}).URL()
	for _, c := range []struct {
		name               string
		cfg                Config
		sent, got, counted int // counted: with a confirm
		real               bool
	}{
		{"channels of several connections", Config{Scenario: Flow, Producers: 3, ProducerChannels: 4, Consumers: 2, ConsumerChannels: 3, Messages: 500}, 6000, 6000, 6000, false},
		{"the same, one outstanding", Config{Scenario: Flow, Producers: 2, ProducerChannels: 3, Outstanding: 1, Messages: 50}, 300, 300, 300, false},
		{"a queue of its own for each consumer", Config{Scenario: Load, Consumers: 3, Messages: 400, Topology: Topology{Exchange: "own", Type: "fanout", AutoDelete: true}}, 400, 1200, 400, false},
		{"all queues for each consumer", Config{Scenario: Load, Producers: 2, Messages: 300, Topology: Topology{Exchange: "all", Type: "direct", RoutingKey: "k", Queues: []string{"a", "b"}}}, 600, 1200, 600, true},
		{"queues in turn", Config{Scenario: Load, Producers: 4, Consumers: 2, Messages: 300, Topology: Topology{Exchange: "turn", Type: "direct", Spread: true, Queues: []string{"t1", "t2"}}}, 1200, 1200, 1200, true},
		{"a prefetch of the channel", Config{Scenario: Load, Prefetch: -1, GlobalPrefetch: 7, AckEvery: 7, Messages: 300, Topology: Topology{RoutingKey: "g", Queues: []string{"g"}}}, 300, 300, 300, true},
		{"nobody consumes", Config{Scenario: Load, Consumers: -1, Messages: 300, Topology: Topology{RoutingKey: "n", Queues: []string{"n"}}}, 300, 0, 300, true},
		{"without confirms", Config{Scenario: Load, NoConfirm: true, AutoAck: true, Messages: 3000, Topology: Topology{Exchange: "x", Type: "topic", RoutingKey: "a.b", AutoDelete: true}}, 3000, 3000, 0, true},
	} {
		for name, uri := range map[string]string{"leveret": leveret, "null": startNull(t, NullOptions{}).URI(), "null with a file": startNull(t, NullOptions{SyncDir: t.TempDir()}).URI()} {
			if c.real && name != "leveret" {
				continue
			}
			t.Run(c.name+", "+name, func(t *testing.T) {
				cfg, all := c.cfg, Interval{}
				cfg.URI = uri
				res, err := RunWatched(t.Context(), cfg, sum(&all))
				if err != nil {
					t.Fatal(err)
				}
				if int(res.Published) != c.sent || int(res.Consumed) != c.got || int(res.Confirmed) != c.counted {
					t.Errorf("sent %d, received %d, confirmed %d, want %d, %d and %d", res.Published, res.Consumed, res.Confirmed, c.sent, c.got, c.counted)
				}
				if int(all.Sent) != c.sent || int(all.Received) != c.got || int(all.Confirm.Count) != c.counted || int(all.Delivery.Count) != c.got {
					t.Errorf("the intervals have %+v", all)
				}
				if res.Disordered != 0 || res.Nacked != 0 || res.Returned != 0 {
					t.Errorf("disordered %d, nacked %d, returned %d", res.Disordered, res.Nacked, res.Returned)
				}
			})
		}
	}
}

func TestReturnedMessagesAreCounted(t *testing.T) {
	cfg := Config{URI: brokertest.Start(t, brokertest.Options{}).URL(), Scenario: Load, Mandatory: true, Messages: 200, Topology: Topology{RoutingKey: "nobody's"}}
	cfg.Consumers = -1
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Returned != 200 || res.Confirmed != 200 {
		t.Errorf("%d returned, %d confirmed of 200", res.Returned, res.Confirmed)
	}
}

func TestWhatIsNackedIsNotConfirmed(t *testing.T) {
	cfg := Config{URI: brokertest.Start(t, brokertest.Options{}).URL(), Scenario: Load, Consumers: -1, Messages: 200, QueueArgs: "x-max-length=10,x-overflow=reject-publish"}
	cfg.Topology = Topology{RoutingKey: "short", Queues: []string{"short"}}
	all := Interval{}
	res, err := RunWatched(t.Context(), cfg, sum(&all))
	if err != nil {
		t.Fatal(err)
	}
	if res.Published != 200 || res.Confirmed != 10 || res.Nacked != 190 || all.Confirmed != 10 || all.Nacked != 190 {
		t.Errorf("%d sent, %d confirmed and %d nacked, by interval %d and %d; want 200, 10 and 190", res.Published, res.Confirmed, res.Nacked, all.Confirmed, all.Nacked)
	}
}

func TestConsumersEndAtTheirNumber(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	cfg := Config{URI: b.URL(), Scenario: Load, Messages: 1000, ConsumerMessages: 130, Consumers: 2, Prefetch: 50, AckEvery: 50, Topology: Topology{RoutingKey: "d", Queues: []string{"d"}}}
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Consumed != 260 {
		t.Errorf("%d consumed, want 260", res.Consumed)
	}
	if n, err := Depth(t.Context(), b.URL(), "d"); err != nil || n != 740 {
		t.Errorf("%d are left, %v, want 740", n, err)
	}
}

func TestPredeclaredObjectsAreTakenAsTheyAre(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c, err := dial(t.Context(), b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Queue: "there", Durable: true}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{URI: b.URL(), Scenario: Load, Messages: 10, Topology: Topology{RoutingKey: "there", Queues: []string{"there"}}}
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "PRECONDITION") {
		t.Errorf("declared otherwise: %v", err)
	}
	cfg.Topology.Predeclared = true
	if res, err := Run(t.Context(), cfg); err != nil || res.Consumed != 10 {
		t.Errorf("%+v, %v", res, err)
	}
	cfg.Topology.Queues, cfg.Topology.RoutingKey = []string{"not there"}, "not there"
	if res, err := Run(t.Context(), cfg); err != nil || res.Consumed != 10 {
		t.Errorf("a queue that is not there: %+v, %v", res, err)
	}
}

func TestStopEndsARunWithItsFigures(t *testing.T) {
	for _, scenario := range []string{Load, Flow} {
		stop := make(chan struct{})
		var once sync.Once
		cfg := Config{URI: startNull(t, NullOptions{}).URI(), Scenario: scenario, Duration: time.Hour, Topology: Topology{RoutingKey: "q", Queues: []string{"q"}}}
		cfg.Warmup = time.Nanosecond
		res, err := RunWatched(t.Context(), cfg, Watch{Stop: stop, Every: time.Millisecond, Each: func(v Interval) {
			if v.Received > 0 {
				once.Do(func() { close(stop) })
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if res.Published == 0 || res.Confirmed != res.Published || scenario == Flow && res.Consumed != res.Published {
			t.Errorf("%s: published %d, confirmed %d, consumed %d", scenario, res.Published, res.Confirmed, res.Consumed)
		}
	}
}

// TestAScheduleIsKeptHoweverItIsAsked counts what is due whenever the publisher looks.
func TestAScheduleIsKeptHoweverItIsAsked(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 1000, 33333, 1e6} {
		p := pace{start: 17, rate: rate}
		sent := uint64(0)
		for now := int64(0); now < int64(3*time.Second); now += int64(7 * time.Millisecond) {
			n := p.count(now)
			if n < sent {
				t.Fatalf("rate %v: %d are due after %d", rate, n, sent)
			}
			sent = n
			if most := float64(now-17)*rate/1e9 + 1; now >= 17 && (float64(n) > most+1e-6 || float64(n) < most-1) {
				t.Fatalf("rate %v: %d are due after %v", rate, n, time.Duration(now))
			}
			if sent > 0 && p.due(sent-1) > now+1 || p.due(sent) < now-1 {
				t.Fatalf("rate %v: at %d, message %d is due at %d, the next at %d", rate, now, sent-1, p.due(sent-1), p.due(sent))
			}
		}
	}
}

func TestALimitIsNotPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limit{gap: int64(10 * time.Millisecond)}
		began := time.Now()
		for i := range 300 {
			if i == 100 {
				time.Sleep(2 * time.Second) // nothing to take: that does not add up
			}
			time.Sleep(l.take(int64(time.Since(began))))
		}
		if d := time.Since(began); d < 4*time.Second || d > 5*time.Second {
			t.Errorf("300 at 100 a second, with 2 s of nothing, take %v", d)
		}
	})
}

func TestRatesAreKept(t *testing.T) {
	cfg := Config{
		URI: startNull(t, NullOptions{}).URI(), Scenario: Load, Producers: 2, ProducerChannels: 2, Rate: 500, Messages: 250,
		Topology: Topology{RoutingKey: "q", Queues: []string{"q"}},
	}
	began := time.Now()
	var total uint64
	res, err := RunWatched(t.Context(), cfg, Watch{Every: 50 * time.Millisecond, Each: func(v Interval) {
		total += v.Sent
		// Four publishers of 500 a second, each with one at once.
		if most := uint64(time.Since(began).Seconds()*2000) + 4; total > most {
			t.Errorf("%d messages are sent after %v", total, time.Since(began))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); res.Consumed != 1000 || d < 498*time.Millisecond {
		t.Errorf("%d messages in %v", res.Consumed, d)
	}
}

func TestConsumersKeepToTheirRate(t *testing.T) {
	cfg := Config{
		URI: brokertest.Start(t, brokertest.Options{}).URL(), Scenario: Load, ConsumerRate: 1000, Messages: 300, Prefetch: 10, AckEvery: 1,
		Topology: Topology{RoutingKey: "q", Queues: []string{"q"}},
	}
	began := time.Now()
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); res.Consumed != 300 || d < 299*time.Millisecond-time.Duration(limitSlack) {
		t.Errorf("%d messages in %v", res.Consumed, d)
	}
}

// stallingProxy forwards to a broker, and holds its answers up once, for a while, after
// so many bytes of them.
func stallingProxy(t *testing.T, to string, after int64, stall time.Duration) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	var passed atomic.Int64
	var once sync.Once
	serve := func(client net.Conn) {
		server, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			client.Close()
			return
		}
		all.Go(func() {
			io.Copy(server, client)
			server.Close()
		})
		buf := make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if passed.Add(int64(n)) > after {
				once.Do(func() { time.Sleep(stall) })
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				client.Close()
				return
			}
		}
	}
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(client) })
		}
	})
	return ln.Addr().String()
}

// TestAStallIsMeasuredByAllItHolds has a broker that answers nothing for 400 ms of two
// seconds. One message at a time waits for it; a publisher that counts only what it
// has sent sees a single slow one.
func TestAStallIsMeasuredByAllItHolds(t *testing.T) {
	const stall = 400 * time.Millisecond
	run := func(rate float64) *Result {
		null := startNull(t, NullOptions{})
		addr := stallingProxy(t, null.ln.Addr().String(), 2000, stall)
		res, err := Run(t.Context(), Config{URI: "amqp://" + addr, Scenario: Load, Consumers: -1, Outstanding: 1, Rate: rate, Messages: 2000, Topology: Topology{RoutingKey: "q"}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	// 400 of the 2,000 were due in the stall, and waited for 200 ms on average.
	if l := run(1000).Confirm; l.P90 < 150 || l.Max < 390 {
		t.Errorf("at a fixed rate: %+v", l)
	}
	if res := run(0); res.Confirm.Max < 390 {
		t.Errorf("as fast as may be: %+v", res.Confirm)
	} else {
		slow := int64(0)
		for _, p := range res.ConfirmCurve {
			if p.Latency < 150 {
				slow = res.Confirm.Count - p.Count
			}
		}
		if slow > 100 {
			t.Errorf("%d of %d waited for 150 ms, of one at a time", slow, res.Confirm.Count)
		}
	}
}

// TestTheClientAllocatesNothingAMessage goes through what is done for each message by
// either role.
func TestTheClientAllocatesNothingAMessage(t *testing.T) {
	cfg := &Config{Size: 100, AckEvery: 10, Outstanding: 1000, Producers: 1, ProducerChannels: 1}
	k := testConsumer(cfg)
	k.run.measuring.Store(true)
	k.c.nc, k.c.frameMax = discard{}, 131072
	k.c.handle(channel, k)
	body := make([]byte, 100)
	var read []byte
	tag, seq := uint64(0), uint64(0)
	deliver := func() {
		read = read[:0]
		for range 100 {
			tag++
			putStamp(body, clock(), seq)
			seq++
			read = wire.AppendDeliver(read, channel, 131072, &wire.BasicDeliver{DeliveryTag: tag}, amqp.NoProperties, body)
		}
		for buf := read; len(buf) > 0; {
			f, n, err := wire.ParseFrame(buf, 0)
			if err == nil {
				err = k.c.frame(f)
			}
			if err != nil {
				t.Fatal(err)
			}
			buf = buf[n:]
		}
		if err := k.c.drained(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, deliver); n >= 1 {
		t.Errorf("a hundred deliveries allocate %v times", n)
	}

	for _, due := range []*pace{nil, {rate: 1000}} {
		b, err := newBurst(cfg, 131072, target{channel, "", "q"})
		if err != nil {
			t.Fatal(err)
		}
		r := &run{cfg: cfg, confirms: newRecorder()}
		r.measuring.Store(true)
		p := &publisher{c: k.c, cfg: cfg, run: r, burst: b, pace: due, sentAt: make([]int64, 8192), confirms: r.confirms.shard(0)}
		p.room.L = &p.mu
		ack := make([]byte, 0, 64)
		publish := func() {
			from := p.sent
			p.sent += 100
			p.open += 100
			now := clock()
			for tag := from + 1; tag <= p.sent; tag++ {
				p.sentAt[tag&8191] = now
			}
			p.c.nc.Write(b.take(100, now, due, 0, from))
			ack = wire.AppendAck(ack[:0], channel, p.sent, true)
			f, _, _ := wire.ParseFrame(ack, 0)
			if err := p.frame(f); err != nil {
				t.Fatal(err)
			}
			if err := p.drained(); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(100, publish); n >= 1 {
			t.Errorf("a hundred publishes allocate %v times", n)
		}
	}
}

type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestChurnsCountTheirOperations(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for _, what := range Churns {
		for _, ahead := range []int{1, 20} {
			t.Run(fmt.Sprint(what, ", ", ahead, " at once"), func(t *testing.T) {
				var all Interval
				cfg := ChurnConfig{What: what, Config: Config{URI: b.URL(), Producers: 3, Messages: 30, Outstanding: ahead}}
				res, err := Churn(t.Context(), cfg, sum(&all))
				if err != nil {
					t.Fatal(err)
				}
				want := 180
				if what == Declares {
					want = 90
				}
				if res.Published != uint64(want) || res.Confirm.Count != int64(want) || all.Sent != uint64(want) {
					t.Errorf("%d operations, %d latencies, %d in the intervals, of %d", res.Published, res.Confirm.Count, all.Sent, want)
				}
			})
		}
	}
	if left, err := b.Queues("/"); err != nil || len(left) != 0 {
		t.Errorf("%d queues are left, %v", len(left), err)
	}
	if _, err := Churn(t.Context(), ChurnConfig{What: "butter"}, Watch{}); err == nil {
		t.Error("anything can be churned")
	}
}

func TestChurnKeepsToItsRate(t *testing.T) {
	began := time.Now()
	cfg := ChurnConfig{What: Channels, Config: Config{URI: startNull(t, NullOptions{}).URI(), Messages: 50, Rate: 200}}
	if _, err := Churn(t.Context(), cfg, Watch{}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d < 245*time.Millisecond {
		t.Errorf("50 at 200 a second take %v", d)
	}
}

func TestHeldConnectionsAreAllThere(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	stop := make(chan struct{})
	var open int
	sent := uint64(0)
	res, err := Hold(t.Context(), Config{URI: b.URL(), Producers: 70, ProducerChannels: 2}, Watch{Stop: stop, Every: 5 * time.Millisecond, Each: func(v Interval) {
		if sent += v.Sent; sent == 70 && open == 0 {
			open = len(b.Connections())
			close(stop)
		}
	}})
	if err != nil || open != 70 || res.Published != 70 {
		t.Errorf("%d are open, %v", open, err)
	}
	if _, err := Hold(t.Context(), Config{URI: b.URL(), Producers: 3, Duration: time.Millisecond}, Watch{}); err != nil {
		t.Error(err)
	}
	if _, err := Hold(t.Context(), Config{URI: "amqp://127.0.0.1:1/", Producers: 3}, Watch{}); err == nil {
		t.Error("nobody is there, and no error")
	}
}

func TestArgumentsAndProperties(t *testing.T) {
	args, err := ParseArguments("x-max-length=10, x-queue-type=quorum,x-single-active-consumer=true")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := args.Int("x-max-length"); n != 10 {
		t.Errorf("x-max-length %d", n)
	}
	if s, _ := args.LongString("x-queue-type"); s != "quorum" {
		t.Errorf("x-queue-type %q", s)
	}
	if b, _ := args.Bool("x-single-active-consumer"); !b {
		t.Error("x-single-active-consumer")
	}
	props, err := ParseProperties("priority=5,contentType=text/plain,app-id=me,timestamp=7,colour=blue")
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := props.Priority(); p != 5 || string(props.ContentType()) != "text/plain" || string(props.AppID()) != "me" {
		t.Errorf("%x", props)
	}
	if s, _ := props.Headers().LongString("colour"); s != "blue" {
		t.Errorf("headers %x", props.Headers())
	}
	for _, bad := range []string{"x", "=1", "priority=high", "priority=256", "timestamp=-1"} {
		if _, err := ParseProperties(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A scenario deletes what it declares, and so refuses what somebody else has declared.
func TestAScenarioLeavesTheQueuesOfOthersAlone(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	load := Config{URI: b.URL(), Scenario: Load, Consumers: -1, Messages: 7, Topology: Topology{RoutingKey: "mine", Queues: []string{"mine"}, Durable: true}}
	if _, err := Run(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	cfg := Config{URI: b.URL(), Scenario: Publish, Queue: "mine", Messages: 10}
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "queue mine is there already") {
		t.Errorf("publish to a queue that is there: %v", err)
	}
	if n, err := Depth(t.Context(), b.URL(), "mine"); err != nil || n != 7 {
		t.Errorf("%d messages are left, %v, want 7", n, err)
	}
	cfg.Keep = true
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if n, err := Depth(t.Context(), b.URL(), "mine"); err != nil || n != 17 {
		t.Errorf("%d messages are there, %v, want 17", n, err)
	}
	cfg.Keep, cfg.Scenario, cfg.Queue, cfg.Queues = false, Fanout, "news", 3
	for range 2 {
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Error(err)
		}
	}
	if _, err := Depth(t.Context(), b.URL(), "news-0"); err == nil {
		t.Error("a scenario's queue is left")
	}
}

// Two runs at a time do not meet.
func TestRunsBesideEachOther(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			res, err := Run(t.Context(), Config{URI: b.URL(), Scenario: Flow, Messages: 2000})
			if err != nil || res.Published != 2000 || res.Consumed != 2000 || res.Disordered != 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
	wg.Wait()
}

// A run that fails tells how far it came, and leaves nothing.
func TestAFailedRunCleansUp(t *testing.T) {
	b := startNull(t, NullOptions{})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var once sync.Once
	_, err := RunWatched(ctx, Config{URI: b.URI(), Scenario: Flow, Duration: time.Hour}, Watch{Every: time.Millisecond, Each: func(v Interval) {
		if v.Received > 0 {
			once.Do(func() { cancel(errors.New("enough")) })
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "flow: enough; until then ") {
		t.Errorf("the run ended with %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queues) != 0 {
		t.Errorf("left: %v", b.queues)
	}
}

// A consumer that waits for more messages than come ends with the run's time.
func TestARunsTimeEndsItsConsumers(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	cfg := Config{URI: b.URL(), Scenario: Load, Messages: 10, ConsumerMessages: 100, Duration: 100 * time.Millisecond, Topology: Topology{RoutingKey: "d", Queues: []string{"d"}}}
	if res, err := Run(t.Context(), cfg); err != nil || res.Consumed != 10 {
		t.Errorf("%+v, %v", res, err)
	}
	stop := make(chan struct{})
	cfg.Duration = 0
	var once sync.Once
	res, err := RunWatched(t.Context(), cfg, Watch{Stop: stop, Every: time.Millisecond, Each: func(v Interval) {
		if v.Received > 0 {
			once.Do(func() { close(stop) })
		}
	}})
	if err != nil || res.Consumed != 10 {
		t.Errorf("stopped: %+v, %v", res, err)
	}
}

func TestLostConnectionsAreNotHeld(t *testing.T) {
	b, err := ListenNull(NullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	made := uint64(0)
	_, err = Hold(t.Context(), Config{URI: b.URI(), Producers: 20}, Watch{Stop: stop, Every: time.Millisecond, Each: func(v Interval) {
		if made += v.Confirmed; made == 20 && v.Confirmed > 0 {
			b.Close()
			close(stop)
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "connections were lost while they were held") {
		t.Errorf("the run ended with %v", err)
	}
}
