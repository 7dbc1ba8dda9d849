package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// settleTimeout bounds what comes after the measurement: confirms that are
// owed, a backlog that a consumer has still to eat.
const settleTimeout = 2 * time.Minute

// run is the state that the clients of one run share.
type run struct {
	cfg *Config
	ctx context.Context

	measuring atomic.Bool
	published tally // messages written to sockets
	confirmed tally // acked or nacked by the broker; without confirms published
	consumed  tally // deliveries

	publishers []*publisher
	consumers  []*consumer
	wg         sync.WaitGroup
	fail       context.CancelCauseFunc

	mu      sync.Mutex
	clients []*client // under mu
}

// Run carries one scenario out and measures it.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{cfg: &cfg, ctx: ctx, fail: fail}
	stop := context.AfterFunc(ctx, r.interrupt)
	defer stop()

	res, err := r.all()
	if err != nil {
		fail(err)
	}
	r.wg.Wait()
	for _, c := range r.clients {
		c.nc.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Scenario, cause)
	}
	return res, nil
}

// dial makes a connection that interrupt knows.
func (r *run) dial() (*client, error) {
	c, err := dial(r.ctx, r.cfg.URI)
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
	if err := r.topology(admin); err != nil {
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
	if !cfg.Keep {
		if err := r.remove(admin); err != nil {
			return nil, err
		}
	}
	admin.close()
	return res, nil
}

func (r *run) queue(i int) string {
	if r.cfg.Queues == 1 {
		return r.cfg.Queue
	}
	return fmt.Sprintf("%s-%d", r.cfg.Queue, i)
}

// exchange is the name of the fanout exchange, which only that scenario has.
func (r *run) exchange() string {
	if r.cfg.Scenario == Fanout {
		return r.cfg.Queue
	}
	return ""
}

func (r *run) topology(c *client) error {
	if !r.cfg.Keep {
		if err := r.remove(c); err != nil {
			return err
		}
	}
	x := r.exchange()
	if x != "" {
		if _, err := call[*wire.ExchangeDeclareOk](c, &wire.ExchangeDeclare{Exchange: x, Type: "fanout", Durable: true}); err != nil {
			return err
		}
	}
	var args amqp.Table
	if t := r.cfg.QueueType; t != "" {
		args = amqp.NewTable(amqp.Field{Name: "x-queue-type", Value: amqp.LongString(t)})
	}
	for i := range r.cfg.Queues {
		if _, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Queue: r.queue(i), Durable: true, Arguments: args}); err != nil {
			return err
		}
		if x == "" {
			continue
		}
		if _, err := call[*wire.QueueBindOk](c, &wire.QueueBind{Queue: r.queue(i), Exchange: x}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) remove(c *client) error {
	for i := range r.cfg.Queues {
		if _, err := call[*wire.QueueDeleteOk](c, &wire.QueueDelete{Queue: r.queue(i)}); err != nil {
			return err
		}
	}
	if x := r.exchange(); x != "" {
		if _, err := call[*wire.ExchangeDeleteOk](c, &wire.ExchangeDelete{Exchange: x}); err != nil {
			return err
		}
	}
	return nil
}

// backlog fills the queue up to what a drain is to eat.
func (r *run) backlog(c *client) error {
	have, err := r.depth(c)
	if err != nil {
		return err
	}
	if n := r.cfg.Messages - have; n > 0 {
		cfg := *r.cfg
		cfg.Messages = n
		fill := &run{cfg: &cfg, ctx: r.ctx, fail: r.fail}
		p, err := newPublisher(fill, "", r.queue(0))
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
	ok, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Queue: r.queue(0), Passive: true})
	if err != nil {
		return 0, err
	}
	return int(ok.MessageCount), nil
}

// connect makes publishers and consumers, and starts the latter.
func (r *run) connect() error {
	for i := range r.cfg.Queues {
		switch r.cfg.Scenario {
		case Flow, Fanout, Drain:
			k, err := newConsumer(r, r.queue(i))
			if err != nil {
				return err
			}
			r.consumers = append(r.consumers, k)
		}
		if r.cfg.Scenario == Drain || r.cfg.Scenario == Fanout && i > 0 {
			continue
		}
		p, err := newPublisher(r, r.exchange(), r.queue(i))
		if err != nil {
			return err
		}
		r.publishers = append(r.publishers, p)
	}
	return nil
}

// measure runs the load and takes the figures.
func (r *run) measure() (*Result, error) {
	timed := r.cfg.Messages == 0
	r.measuring.Store(!timed)
	before := r.sample()
	for _, k := range r.consumers {
		r.start(k.consume)
	}
	var pubs sync.WaitGroup
	for _, p := range r.publishers {
		pubs.Add(1)
		r.start(func() error {
			defer pubs.Done()
			return p.publish()
		})
	}
	var after sample
	if timed {
		if err := r.wait(nil, r.cfg.Warmup); err != errTimeout {
			return nil, err
		}
		r.measuring.Store(true)
		before = r.sample()
		if err := r.wait(nil, r.cfg.Duration-r.cfg.Warmup); err != errTimeout {
			return nil, err
		}
		after = r.sample()
		r.measuring.Store(false)
		for _, p := range r.publishers {
			p.stop()
		}
	}
	if err := r.settle(&pubs, timed); err != nil {
		return nil, err
	}
	if !timed {
		after = r.sample()
	}
	for _, k := range r.consumers {
		if err := k.hangUp(); err != nil {
			return nil, err
		}
	}
	r.wg.Wait()
	return r.result(before, after), context.Cause(r.ctx)
}

// settle waits until all that was published is confirmed and consumed. A run by
// number of messages is still being measured, and takes as long as it takes.
func (r *run) settle(pubs *sync.WaitGroup, timed bool) error {
	limit := settleTimeout
	if !timed {
		limit = 24 * time.Hour
	}
	done := make(chan struct{})
	go func() {
		pubs.Wait()
		close(done)
	}()
	if err := r.wait(done, limit); err != nil {
		return fmt.Errorf("%d of %d messages confirmed: %w", r.confirmed.load(), r.published.load(), err)
	}
	want := r.published.load()
	for _, p := range r.publishers {
		want -= p.nacked
	}
	if r.cfg.Scenario == Drain {
		want = uint64(r.cfg.Messages)
	}
	if want *= uint64(len(r.consumers)); want == 0 {
		return nil
	}
	if err := r.wait(r.consumed.reach(want), limit); err != nil {
		return fmt.Errorf("%d of %d messages consumed: %w", r.consumed.load(), want, err)
	}
	return nil
}
