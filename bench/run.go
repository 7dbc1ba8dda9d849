package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/process"
)

// settleTimeout bounds what comes after the measurement: confirms that are
// owed, a backlog that a consumer has still to eat.
const settleTimeout = 2 * time.Minute

// run is the state that the clients of one run share.
type run struct {
	cfg     *Config
	ctx     context.Context
	watch   Watch
	plan    *plan
	dialer  *dialer
	shift   int64 // from clock to what stamps tell
	exact   bool  // few enough keep to a schedule to be woken by the kernel
	ours    bool  // the queues and exchanges are deleted with the run
	exactly bool  // what is consumed must be what was published, no more and no less

	measuring  atomic.Bool
	published  tally // messages written to sockets
	confirmed  tally // acked or nacked by the broker; without confirms published
	consumed   tally // deliveries
	confirms   *recorder
	deliveries *recorder
	series     series

	producers  []*producer
	publishers []*publisher // of the producers
	receivers  []*receiver
	consumers  []*consumer // of the receivers
	wg         sync.WaitGroup
	fail       context.CancelCauseFunc
	held       *holder       // of what workers make and keep, else nil
	stopping   chan struct{} // closed when publishers are to stop
	hungry     atomic.Int64  // consumers that have not had all they are to
	sated      chan struct{} // closed when there is none

	mu      sync.Mutex
	clients []*client // under mu
}

// Watch follows a run.
type Watch struct {
	// Stop ends a run when it is closed, as if its time were over.
	Stop <-chan struct{}
	// Every is how often Each is called with what has happened since; the last time
	// when the run is over. Default a second.
	Every time.Duration
	Each  func(Interval)
}

func (w *Watch) setDefaults() {
	if w.Every <= 0 {
		w.Every = time.Second
	}
	if w.Each == nil {
		w.Each = func(Interval) {}
	}
}

func newRun(ctx context.Context, fail context.CancelCauseFunc, cfg *Config, w Watch) (*run, error) {
	w.setDefaults()
	r := &run{
		cfg: cfg, ctx: ctx, fail: fail, watch: w, confirms: newRecorder(), deliveries: newRecorder(),
		stopping: make(chan struct{}), sated: make(chan struct{}),
		exact:   cfg.publishers()*cfg.ProducerChannels <= 16,
		exactly: cfg.Scenario != Load,
	}
	if cfg.WallClock {
		r.shift = time.Now().UnixNano() - clock()
	}
	r.hungry.Store(int64(cfg.receivers() * cfg.ConsumerChannels))
	var err error
	if r.plan, err = newPlan(cfg); err != nil {
		return nil, err
	}
	r.dialer, err = newDialer(cfg)
	if conns := cfg.publishers() + cfg.receivers(); err == nil && conns > 0 {
		r.dialer.buf = max(4<<10, min(readBuffer, rowBytes/conns))
	}
	return r, err
}

// Run carries one scenario out and measures it.
func Run(ctx context.Context, cfg Config) (*Result, error) { return RunWatched(ctx, cfg, Watch{}) }

// RunWatched is Run with an eye on it.
func RunWatched(ctx context.Context, cfg Config, w Watch) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r, err := newRun(ctx, fail, &cfg, w)
	if err != nil {
		return nil, err
	}
	process.ForgetPeak(cfg.PID)
	stop := context.AfterFunc(ctx, r.interrupt)
	defer stop()

	res, err := r.withFloor(r.all)
	if err != nil {
		fail(err)
	}
	r.wg.Wait()
	for _, c := range r.clients {
		c.nc.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		r.cleanUp()
		err := fmt.Errorf("%s: %w", cfg.Scenario, cause)
		if sent, received := r.published.load(), r.consumed.load(); sent+received > 0 {
			err = fmt.Errorf("%w; until then %d messages were sent, %d confirmed, %d received", err, sent, r.confirmed.load(), received)
		}
		return nil, err
	}
	return res, nil
}

// cleanUp deletes, if it can, what a run that has failed would leave behind.
func (r *run) cleanUp() {
	if !r.ours {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTimeout)
	defer cancel()
	c, err := r.dialer.dial(ctx)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { c.nc.Close() })()
	_ = r.plan.remove(c) // the run's own error is what counts
	c.close()
}

// cleanUpTimeout is how long a broker has that has failed a run.
const cleanUpTimeout = 2 * time.Second

// dial makes a connection that interrupt knows.
func (r *run) dial() (*client, error) {
	c, err := r.dialer.dial(r.ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		c.nc.Close()
		return nil, context.Cause(r.ctx)
	}
	r.clients = append(r.clients, c)
	return c, nil
}

// interrupt makes everybody stop: the context has ended.
func (r *run) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.nc.Close()
	}
}

// start runs fn beside the others; its error ends the run.
func (r *run) start(fn func() error) {
	r.wg.Go(func() {
		if err := fn(); err != nil {
			r.fail(err)
		}
	})
}

// wait waits for a channel, no longer than d, or for the run's failure.
func (r *run) wait(ch <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ch:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-t.C:
		return errTimeout
	}
}

var errTimeout = errors.New("timed out")

// all is the whole run.
func (r *run) all() (*Result, error) {
	cfg := r.cfg
	admin, err := r.dial()
	if err != nil {
		return nil, err
	}
	keep := cfg.Keep || !r.exactly
	if !keep && cfg.named {
		if err := r.plan.unused(r); err != nil {
			return nil, err
		}
	}
	r.ours = !keep
	if err := r.plan.declare(r, admin); err != nil {
		return nil, err
	}
	if cfg.Scenario == Drain {
		if err := r.backlog(admin); err != nil {
			return nil, err
		}
	}
	if err := r.connect(); err != nil {
		return nil, err
	}
	res, err := r.measure()
	if err != nil {
		return nil, err
	}
	if !keep {
		if err := r.plan.remove(admin); err != nil {
			return nil, err
		}
		r.ours = false
	}
	admin.close()
	return res, nil
}

// backlog fills the queue up to what a drain is to eat.
func (r *run) backlog(c *client) error {
	have, err := r.depth(c)
	if err != nil {
		return err
	}
	if n := r.cfg.Messages - have; n > 0 {
		cfg := *r.cfg
		cfg.Messages, cfg.Producers, cfg.ProducerChannels, cfg.Rate = n, 1, 1, 0
		fill, err := newRun(r.ctx, r.fail, &cfg, Watch{})
		if err != nil {
			return err
		}
		p, err := newProducer(fill, 0, "", r.plan.queues[0].name)
		if err != nil {
			return err
		}
		defer context.AfterFunc(r.ctx, fill.interrupt)()
		if err := p.publish(); err != nil {
			return err
		}
		if have, err = r.depth(c); err != nil {
			return err
		}
	}
	if have < r.cfg.Messages {
		return fmt.Errorf("the queue has %d messages after %d were published: the broker does not keep them", have, r.cfg.Messages)
	}
	return nil
}

// depth is the number of ready messages.
func (r *run) depth(c *client) (int, error) {
	ok, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Queue: r.plan.queues[0].name, Passive: true})
	if err != nil {
		return 0, err
	}
	return int(ok.MessageCount), nil
}

// connect makes publishers and consumers, and starts the latter.
func (r *run) connect() error {
	for i := range r.cfg.receivers() {
		k, err := newReceiver(r, i*r.cfg.ConsumerChannels, r.plan.consume[i%len(r.plan.consume)])
		if err != nil {
			return err
		}
		r.receivers = append(r.receivers, k)
		r.consumers = append(r.consumers, k.channels...)
	}
	for i := range r.cfg.publishers() {
		to := r.plan.publish[i%len(r.plan.publish)]
		p, err := newProducer(r, i*r.cfg.ProducerChannels, to.exchange, to.key)
		if err != nil {
			return err
		}
		r.producers = append(r.producers, p)
		r.publishers = append(r.publishers, p.channels...)
	}
	return nil
}

// measure runs the load and takes the figures.
func (r *run) measure() (*Result, error) {
	cfg := r.cfg
	timed := cfg.Messages == 0 && cfg.ConsumerMessages == 0
	r.measuring.Store(cfg.Warmup == 0)
	before := r.sample()
	for _, k := range r.receivers {
		r.start(k.consume)
	}
	for _, k := range r.receivers {
		if err := r.wait(k.ready, settleTimeout); err != nil {
			return nil, err
		}
	}
	if cfg.Scenario != Drain { // whose consumers are at work already
		before = r.sample()
	}
	r.series.begin(r, before.at)
	var pubs sync.WaitGroup
	r.schedule()
	for _, p := range r.producers {
		pubs.Add(1)
		r.start(func() error {
			defer pubs.Done()
			return p.publish()
		})
	}
	ended := make(chan struct{})
	if !timed {
		r.wg.Go(func() {
			defer close(ended)
			if cfg.Messages > 0 {
				pubs.Wait()
			}
			if cfg.ConsumerMessages > 0 && len(r.receivers) > 0 {
				select {
				case <-r.sated:
				case <-r.stopping:
				case <-r.ctx.Done():
				}
			}
		})
	}
	stopped := false
	if cfg.Warmup > 0 {
		if end, err := r.last(cfg.Warmup, ended); err != nil {
			return nil, err
		} else if stopped = end != byTime; !stopped {
			r.measuring.Store(true)
			before = r.sample()
		}
	}
	how := byStop
	if !stopped {
		rest := never
		if cfg.Duration > 0 {
			rest = cfg.Duration - cfg.Warmup
		}
		var err error
		if how, err = r.last(rest, ended); err != nil {
			return nil, err
		}
	}
	after := r.sample()
	if how != byCount {
		if timed || !r.exactly {
			r.measuring.Store(false)
		}
		close(r.stopping)
		for _, p := range r.publishers {
			p.stop()
		}
	}
	if err := r.settle(&pubs, how); err != nil {
		return nil, err
	}
	if !timed && r.exactly || how == byCount && r.settled() {
		after = r.sample()
	}
	r.measuring.Store(false)
	for _, k := range r.receivers {
		if err := k.hangUp(); err != nil {
			return nil, err
		}
	}
	r.series.end(r)
	r.wg.Wait()
	return r.result(before, after), context.Cause(r.ctx)
}

// schedule gives the publishers of a fixed rate their beginnings, evenly apart.
func (r *run) schedule() {
	if r.cfg.Rate == 0 {
		return
	}
	now, gap := clock(), 1e9/r.cfg.Rate
	for i, p := range r.publishers {
		p.pace = &pace{start: now + int64(gap*float64(i)/float64(len(r.publishers))), rate: r.cfg.Rate}
	}
}

// How a run may end.
type ending int

const (
	byTime ending = iota
	byCount
	byStop
)

// never is longer than any run.
const never = 1000000 * time.Hour

// last waits for the end of a run.
func (r *run) last(d time.Duration, ended <-chan struct{}) (ending, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
		return byCount, context.Cause(r.ctx)
	case <-r.watch.Stop:
		return byStop, nil
	case <-t.C:
		return byTime, nil
	case <-r.ctx.Done():
		return byStop, context.Cause(r.ctx)
	}
}

// expected is how many deliveries all that was published makes.
func (r *run) expected() uint64 {
	if r.cfg.Scenario == Drain {
		return uint64(r.cfg.Messages)
	}
	if len(r.receivers) == 0 {
		return 0
	}
	want := r.published.load()
	for _, p := range r.publishers {
		want -= p.lost()
	}
	return want * uint64(r.plan.copies)
}

// settled is whether all that was published has been consumed.
func (r *run) settled() bool { return r.consumed.load() >= r.expected() }

// settle waits until all that was published is confirmed and consumed. A run by
// number of messages is still being measured, and takes as long as it takes; of a
// load messages may stay queued.
func (r *run) settle(pubs *sync.WaitGroup, how ending) error {
	limit := r.cfg.ConfirmTimeout
	if how == byCount && r.exactly {
		limit = never
	}
	done := make(chan struct{})
	go func() {
		pubs.Wait()
		close(done)
	}()
	if err := r.wait(done, limit); err != nil {
		return fmt.Errorf("%d of %d messages confirmed: %w", r.confirmed.load(), r.published.load(), err)
	}
	want := r.expected()
	switch {
	case want == 0:
		return nil
	case !r.exactly && (how != byCount || r.cfg.ConsumerMessages > 0):
		return nil
	case !r.exactly:
		if err := r.wait(r.consumed.reach(want), r.cfg.SettleTimeout); err != errTimeout {
			return err
		}
		return nil
	case how == byStop && r.cfg.Scenario == Drain:
		return nil
	}
	if err := r.wait(r.consumed.reach(want), limit); err != nil {
		return fmt.Errorf("%d of %d messages consumed: %w", r.consumed.load(), want, err)
	}
	return nil
}
