package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/process"
)

// What can be churned.
const (
	Connections = "connections"
	Channels    = "channels"
	Queues      = "queues"
	Bindings    = "bindings"
	Declares    = "declares" // queues, which come and do not go before the end
)

// Churns lists them.
var Churns = []string{Connections, Channels, Queues, Bindings, Declares}

// ChurnConfig is a run in which objects come and go. Of the Config within, the URI,
// TLS, Producers (workers, each with a connection; default 1), Rate (of each, in pairs
// of operations a second), Messages (pairs of each), Duration (default 5 s unless
// Messages is given), Outstanding (requests before the first answer is read; default 1;
// connections one at a time), Queue (a prefix), Transient (queues that are not
// durable), QueueArgs and QueueType mean something. Declares are no pairs; Producers is
// 16 then by default, Outstanding 100.
type ChurnConfig struct {
	Config
	What string
	// Hold is how long declared queues stay before the broker's memory is taken.
	Hold time.Duration
}

// Churn opens and closes, or declares and deletes. The counts and latencies of the
// result, and of the intervals, are of operations: each pair is two. Of declares only
// they are measured; the queues are deleted in the end unless Keep says otherwise.
func Churn(ctx context.Context, cfg ChurnConfig, w Watch) (*Result, error) {
	if !slices.Contains(Churns, cfg.What) {
		return nil, fmt.Errorf("churn of %q is none of %q", cfg.What, Churns)
	}
	producers, outstanding := 1, 1
	if cfg.What == Declares {
		producers, outstanding = 16, declareAhead
	}
	if cfg.Outstanding == 0 || cfg.What == Connections {
		cfg.Outstanding = outstanding
	}
	if cfg.Producers == 0 {
		cfg.Producers = producers
	}
	cfg.Scenario, cfg.Consumers = Load, -1
	if cfg.Duration == 0 && cfg.Messages == 0 {
		cfg.Duration = 5 * time.Second
	}
	var h *holder
	if cfg.What == Declares {
		h = &holder{hold: max(cfg.Hold, time.Nanosecond)}
		h.left.Add(cfg.Producers)
	}
	return work(ctx, cfg.Config, w, func(r *run, i int) (worker, error) {
		return newChurner(r, cfg.What, i, h)
	}, "churn of "+cfg.What)
}

// Hold opens Producers connections with ProducerChannels channels each, no more than
// Outstanding (default 50) at a time and Rate a second together (0: as fast as may be),
// and keeps them for Duration (without one until it is told to stop) after the last.
// The counts, rates and latencies are of connections and their channels, opened.
func Hold(ctx context.Context, cfg Config, w Watch) (*Result, error) {
	hold := cfg.Duration
	if cfg.Outstanding == 0 {
		cfg.Outstanding = 50
	}
	n := max(1, cfg.Producers)
	workers := min(cfg.Outstanding, n)
	inner := cfg
	inner.Scenario, inner.Consumers, inner.Producers, inner.Duration, inner.ProducerChannels = Load, -1, workers, 0, max(1, cfg.ProducerChannels)
	inner.Messages = 1 // not by time
	inner.Rate /= float64(workers)
	h := &holder{hold: hold}
	res, err := work(ctx, inner, w, func(r *run, i int) (worker, error) {
		h.left.Add(1)
		r.held = h
		return &opener{r: r, first: n * i / workers, past: n * (i + 1) / workers, h: h}, nil
	}, "connections")
	if res != nil {
		res.Config.Producers, res.Config.Duration = n, hold
	}
	return res, err
}

// worker does operations until it is stopped.
type worker interface {
	work(s *shard) error
	// end leaves nothing behind, when all have worked and figures are taken.
	end() error
}

// work runs workers as a run's publishers.
func work(ctx context.Context, cfg Config, w Watch, each func(r *run, i int) (worker, error), name string) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	cfg.NoConfirm = false
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r, err := newRun(ctx, fail, &cfg, w)
	if err != nil {
		return nil, err
	}
	r.dialer.buf = 4 << 10
	process.ForgetPeak(cfg.PID)
	defer context.AfterFunc(ctx, r.interrupt)()
	res, err := r.workers(each)
	if err != nil {
		fail(err)
	}
	r.wg.Wait()
	r.interrupt()
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("%s: %w", name, cause)
	}
	return res, nil
}

func (r *run) workers(each func(r *run, i int) (worker, error)) (*Result, error) {
	var all []worker
	for i := range r.cfg.publishers() {
		k, err := each(r, i)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	r.measuring.Store(true)
	before := r.sample()
	r.series.begin(r, before.at)
	var busy sync.WaitGroup
	for i, k := range all {
		busy.Add(1)
		r.start(func() error {
			defer busy.Done()
			return k.work(r.confirms.shard(i))
		})
	}
	ended := make(chan struct{})
	r.wg.Go(func() {
		busy.Wait()
		close(ended)
	})
	d := never
	if r.cfg.Duration > 0 {
		d = r.cfg.Duration
	}
	how, err := r.last(d, ended)
	if err != nil {
		return nil, err
	}
	if how != byCount {
		close(r.stopping)
	}
	if err := r.wait(ended, settleTimeout); err != nil {
		return nil, err
	}
	after := r.sample()
	if h := r.held; h != nil && !h.made.at.IsZero() {
		// Of what is held its making alone is timed.
		after = h.made
	}
	r.series.end(r)
	res := r.result(before, after)
	if r.held != nil && res.Published > 0 && res.BrokerRSS > res.BrokerRSSBefore {
		res.MemoryEach = float64(res.BrokerRSS-res.BrokerRSSBefore) / float64(res.Published)
	}
	for _, k := range all {
		r.start(k.end)
	}
	r.wg.Wait()
	return res, context.Cause(r.ctx)
}

// stopped is whether workers are to end.
func (r *run) stopped() bool {
	select {
	case <-r.stopping:
		return true
	case <-r.ctx.Done():
		return true
	default:
		return false
	}
}

// churner makes and removes objects of one kind.
type churner struct {
	r     *run
	what  string
	c     *client // nil for connections
	name  string
	plan  *plan
	ahead int
	h     *holder // nil but for declares
	made  int     // declares that are answered
}

func newChurner(r *run, what string, i int, h *holder) (*churner, error) {
	k := &churner{r: r, what: what, name: fmt.Sprintf("%s-%d", r.cfg.Queue, i), plan: r.plan, ahead: r.cfg.Outstanding, h: h}
	r.held = h
	if what == Connections {
		return k, nil
	}
	var err error
	if k.c, err = r.dial(); err != nil {
		return nil, err
	}
	if most := int(k.c.channelMax); what == Channels && most > 0 {
		k.ahead = min(k.ahead, most-1)
	}
	if what == Bindings {
		_, err = call[*wire.QueueDeclareOk](k.c, &wire.QueueDeclare{Queue: k.name, Durable: !r.cfg.Transient, Arguments: k.plan.args})
	}
	return k, err
}

// work implements worker.
func (k *churner) work(s *shard) error {
	err := k.churn(s)
	if k.h == nil {
		return err
	}
	k.h.left.Done()
	if err != nil {
		return err
	}
	return k.h.keep(k.r)
}

// churn does pairs until it is told to stop or has done its number.
func (k *churner) churn(s *shard) error {
	cfg := k.r.cfg
	var p *pace
	var timer *time.Timer
	if cfg.Rate > 0 {
		p = &pace{start: clock(), rate: cfg.Rate}
		timer = time.NewTimer(time.Hour)
		defer timer.Stop()
	}
	for done := 0; (cfg.Messages == 0 || done < cfg.Messages) && !k.r.stopped(); {
		n := k.ahead
		if cfg.Messages > 0 {
			n = min(n, cfg.Messages-done)
		}
		at := clock()
		if p != nil {
			// The last of a row is due when it is asked for.
			at = p.due(uint64(done + n - 1))
			if k.r.until(at, timer, k.r.exact); k.r.stopped() {
				break
			}
		}
		if err := k.pairs(n, at, s); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// pairs makes n objects and removes them.
func (k *churner) pairs(n int, at int64, s *shard) error {
	cfg := k.r.cfg
	switch k.what {
	case Connections:
		c, err := k.r.dialer.dial(k.r.ctx)
		if err != nil {
			return err
		}
		k.count(s, at)
		at = clock()
		c.close()
		k.count(s, at)
		return nil
	case Channels:
		if err := row[*wire.ChannelOpenOk](k, n, at, s, func(i int) (uint16, wire.Method) { return uint16(2 + i), &wire.ChannelOpen{} }); err != nil {
			return err
		}
		return row[*wire.ChannelCloseOk](k, n, clock(), s, func(i int) (uint16, wire.Method) {
			return uint16(2 + i), &wire.ChannelClose{ReplyCode: 200, ReplyText: "done"}
		})
	case Declares:
		err := row[*wire.QueueDeclareOk](k, n, at, s, func(i int) (uint16, wire.Method) {
			return channel, &wire.QueueDeclare{Queue: k.object(k.made + i), Durable: !cfg.Transient, Arguments: k.plan.args}
		})
		k.made += n
		return err
	case Queues:
		err := row[*wire.QueueDeclareOk](k, n, at, s, func(i int) (uint16, wire.Method) {
			return channel, &wire.QueueDeclare{Queue: k.object(i), Durable: !cfg.Transient, Arguments: k.plan.args}
		})
		if err != nil {
			return err
		}
		return row[*wire.QueueDeleteOk](k, n, clock(), s, func(i int) (uint16, wire.Method) {
			return channel, &wire.QueueDelete{Queue: k.object(i)}
		})
	default:
		err := row[*wire.QueueBindOk](k, n, at, s, func(i int) (uint16, wire.Method) {
			return channel, &wire.QueueBind{Queue: k.name, Exchange: "amq.topic", RoutingKey: k.object(i)}
		})
		if err != nil {
			return err
		}
		return row[*wire.QueueUnbindOk](k, n, clock(), s, func(i int) (uint16, wire.Method) {
			return channel, &wire.QueueUnbind{Queue: k.name, Exchange: "amq.topic", RoutingKey: k.object(i)}
		})
	}
}

func (k *churner) object(i int) string { return fmt.Sprintf("%s.%d", k.name, i) }

// row asks for n and then reads the answers.
func row[R wire.Method](k *churner, n int, at int64, s *shard, ask func(i int) (uint16, wire.Method)) error {
	c := k.c
	c.out = c.out[:0]
	for i := range n {
		ch, m := ask(i)
		c.out = wire.AppendMethod(c.out, ch, m)
	}
	if _, err := c.nc.Write(c.out); err != nil {
		return err
	}
	for range n {
		if _, err := expect[R](c); err != nil {
			return err
		}
		k.count(s, at)
	}
	return nil
}

// count is of an operation that was due at a moment.
func (k *churner) count(s *shard, at int64) {
	s.record(clock()-at, 1)
	k.r.published.add(1)
	k.r.confirmed.add(1)
}

// end implements worker.
func (k *churner) end() error {
	if k.c == nil {
		return nil
	}
	if k.what == Declares && !k.r.cfg.Keep {
		if err := k.deleteAll(); err != nil {
			return err
		}
	}
	if k.what == Bindings {
		if _, err := call[*wire.QueueDeleteOk](k.c, &wire.QueueDelete{Queue: k.name}); err != nil {
			return err
		}
	}
	k.c.close()
	return nil
}

// deleteAll removes what declares have made.
func (k *churner) deleteAll() error {
	for k.made > 0 {
		n := min(declareAhead, k.made)
		k.c.out = k.c.out[:0]
		for range n {
			k.made--
			k.c.out = wire.AppendMethod(k.c.out, channel, &wire.QueueDelete{Queue: k.object(k.made)})
		}
		if _, err := k.c.nc.Write(k.c.out); err != nil {
			return err
		}
		for range n {
			if _, err := expect[*wire.QueueDeleteOk](k.c); err != nil {
				return err
			}
		}
	}
	return nil
}

// holder keeps what workers have made.
type holder struct {
	hold time.Duration  // 0: until told to stop
	left sync.WaitGroup // those who make still
	once sync.Once
	made sample // when all was
}

// keep waits until all is made, and then for as long as it is to be kept.
func (h *holder) keep(r *run) error {
	h.left.Wait()
	h.once.Do(func() { h.made = r.sample() })
	d := never
	if h.hold > 0 {
		d = h.hold
	}
	err := r.wait(r.stopping, d)
	if errors.Is(err, errTimeout) {
		return nil
	}
	return err
}

// opener opens connections from first on, below past.
type opener struct {
	r           *run
	first, past int
	h           *holder
	opened      []*client
}

func (o *opener) work(s *shard) error {
	err := o.open(s)
	o.h.left.Done()
	if err != nil {
		return err
	}
	if err := o.h.keep(o.r); err != nil {
		return err
	}
	lost := 0
	for _, c := range o.opened {
		if c.gone() {
			lost++
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d connections were lost while they were held", lost)
	}
	return nil
}

// end implements worker: connections end with the run.
func (o *opener) end() error { return nil }

func (o *opener) open(s *shard) error {
	var p *pace
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	if o.r.cfg.Rate > 0 {
		p = &pace{start: clock(), rate: o.r.cfg.Rate}
	}
	for i := range o.past - o.first {
		at := clock()
		if p != nil {
			at = p.due(uint64(i))
			o.r.until(at, timer, o.r.exact)
		}
		if o.r.stopped() {
			return nil
		}
		c, err := o.r.dial()
		if err != nil {
			return fmt.Errorf("after %d connections: %w", o.r.published.load(), err)
		}
		if err := c.channels(o.r.cfg.ProducerChannels); err != nil {
			return err
		}
		c.in.buf = nil // it may be long until anything is read
		o.opened = append(o.opened, c)
		s.record(clock()-at, 1)
		o.r.published.add(1)
		o.r.confirmed.add(1)
	}
	return nil
}
