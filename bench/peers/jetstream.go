package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/internal/peer"
	"github.com/leveret-mq/leveret/internal/process"
)

// stream is a load for JetStream: work-queue streams on disk, publishers that wait for
// their acks, a consumer that acks each message.
type stream struct {
	kind      string
	size      int
	window    int // messages that a publisher may have unacked, and so many a consumer
	queues    int // streams, each with a publisher; default 1
	consumers int // of a stream, each of which gets every message; default 1
	rate      int // messages a second; default: as fast as may be
	messages  int // published, or consumed; default: for as long as others run
	// transient is a stream in memory, consumed without acks. Publishers have theirs:
	// without them the server takes what it cannot deliver.
	transient bool
}

// The kinds.
const (
	flow    = "flow"
	publish = "publish"
	drain   = "drain"
)

// streamTime is how long a run lasts, streamWarmup what of its beginning is not measured.
const (
	streamTime   = 3 * time.Second
	streamWarmup = 300 * time.Millisecond
)

func (l *stream) String() string {
	s := fmt.Sprintf("nats.go %s, %d B, %d unacked", l.kind, l.size, l.window)
	if l.transient {
		s += ", in memory, consumed without acks"
	}
	for _, n := range []struct {
		n    int
		what string
	}{{l.queues, "streams"}, {l.consumers, "consumers"}, {l.rate, "messages a second"}, {l.messages, "messages"}} {
		if n.n > 0 {
			s += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	return s
}

// streaming is a run of it.
type streaming struct {
	stream
	epoch               time.Time
	published, consumed atomic.Int64
	measuring           atomic.Bool
	mu                  sync.Mutex
	confirms            []time.Duration // of publishes that wait for the one before
	deliveries          []time.Duration // since they were due
}

func (l *stream) run(ctx context.Context, at *peer.Broker, scale float64) (Sample, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &streaming{stream: *l, epoch: time.Now()}
	r.queues, r.consumers = max(1, r.queues), max(1, r.consumers)
	r.messages = int(float64(r.messages) * scale)
	for i := range r.queues {
		if err := r.declare(ctx, at.URL, i); err != nil {
			return Sample{}, err
		}
	}
	process.ForgetPeak(at.PID())
	measure := r.begin(at.PID())
	var wg, done sync.WaitGroup
	if l.kind != publish {
		stop, err := r.consume(ctx, at.URL)
		if err != nil {
			return Sample{}, err
		}
		defer stop()
	}
	stopping, stopped := context.WithCancel(ctx)
	defer stopped()
	if l.kind != drain {
		for i := range r.queues {
			done.Add(1)
			wg.Go(func() {
				defer done.Done()
				if err := r.publish(stopping, at.URL, i); err != nil {
					fail(err)
				}
			})
		}
	}
	var s Sample
	if r.messages > 0 {
		s = r.byNumber(ctx, measure, &done)
	} else {
		sleep(ctx, time.Duration(float64(streamWarmup)*scale))
		measure = r.begin(at.PID())
		r.measuring.Store(true)
		sleep(ctx, time.Duration(float64(streamTime)*scale))
		s = measure()
		r.measuring.Store(false)
	}
	stopped()
	wg.Wait()
	r.mu.Lock()
	s.Confirm, s.Delivery = quantiles(r.confirms), quantiles(r.deliveries)
	r.mu.Unlock()
	s.Peak = float64(process.Peak(at.PID()))
	if err := context.Cause(ctx); err != nil {
		return s, err
	}
	if l.kind == publish && r.messages > 0 {
		return s, nil // to be drained
	}
	return s, r.remove(ctx, at.URL)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// until waits for a moment as exactly as leveret bench does.
func until(ctx context.Context, due time.Time) {
	const exact = 2 * time.Millisecond
	for d := time.Until(due); d > 0 && ctx.Err() == nil; d = time.Until(due) {
		if d > exact {
			sleep(ctx, d-exact)
		} else {
			bench.Nap(d)
		}
	}
}

// byNumber is a run of a number of messages.
func (r *streaming) byNumber(ctx context.Context, measure func() Sample, published *sync.WaitGroup) Sample {
	published.Wait()
	for r.kind == drain && r.consumed.Load() < int64(r.messages) && ctx.Err() == nil {
		sleep(ctx, time.Millisecond)
	}
	return measure()
}

// begin begins a measurement, which the returned function ends.
func (r *streaming) begin(pid int) func() Sample {
	published, consumed, began, cpu, own := r.published.Load(), r.consumed.Load(), time.Now(), process.CPU(pid), ownTime()
	return func() Sample {
		seconds := time.Since(began).Seconds()
		p, c := float64(r.published.Load()-published), float64(r.consumed.Load()-consumed)
		s := Sample{Seconds: round(seconds), Published: round(p / seconds), Consumed: round(c / seconds)}
		n := p
		if n == 0 {
			n = c
		}
		if n > 0 {
			s.BrokerCPU = round(float64((process.CPU(pid) - cpu).Microseconds()) / n)
			s.ClientCPU = round(float64((ownTime() - own).Microseconds()) / n)
		}
		return s
	}
}

// quantiles are of latencies, which they sort.
func quantiles(took []time.Duration) Quantiles {
	n := len(took)
	if n == 0 {
		return Quantiles{}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return round(took[min(n-1, int(q*float64(n)))].Seconds() * 1e3) }
	return Quantiles{at(0.5), at(0.99), at(0.999)}
}

// ownTime is the processor time of this process.
func ownTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (r *streaming) name(i int) string { return fmt.Sprintf("bench-%d", i) }

// connect makes a connection of its own.
func connect(url string, o ...jetstream.JetStreamOpt) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, o...)
	return nc, js, err
}

// declare makes a stream, anew unless it is to be drained.
func (r *streaming) declare(ctx context.Context, url string, i int) error {
	if r.kind == drain {
		return nil
	}
	nc, js, err := connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := js.DeleteStream(ctx, r.name(i)); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	c := jetstream.StreamConfig{Name: r.name(i), Subjects: []string{r.name(i)}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage}
	if r.consumers > 1 {
		c.Retention = jetstream.InterestPolicy
	}
	if r.transient {
		c.Storage = jetstream.MemoryStorage
		c.MaxMsgs, c.Discard = 1<<20, jetstream.DiscardOld // nothing is acked
		c.Retention = jetstream.LimitsPolicy
	}
	_, err = js.CreateStream(ctx, c)
	return err
}

func (r *streaming) remove(ctx context.Context, url string) error {
	nc, js, err := connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	for i := range r.queues {
		if err := js.DeleteStream(ctx, r.name(i)); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes until it is told to stop or has done its number.
func (r *streaming) publish(ctx context.Context, url string, i int) error {
	nc, js, err := connect(url, jetstream.WithPublishAsyncMaxPending(r.window))
	if err != nil {
		return err
	}
	defer nc.Close()
	body := make([]byte, r.size)
	if r.window == 1 {
		var took []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if _, err = js.Publish(ctx, r.name(i), body); err != nil {
				break
			}
			if r.measuring.Load() {
				took = append(took, time.Since(began))
			}
			r.published.Add(1)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.confirms = append(r.confirms, took...)
		return unless(ctx, err)
	}
	acks := make(chan jetstream.PubAckFuture, r.window)
	failed := make(chan error, 1)
	go func() {
		var err error
		for f := range acks {
			select {
			case <-f.Ok():
				r.published.Add(1)
			case err = <-f.Err():
			}
		}
		failed <- err
	}()
	start := time.Now()
	for n := 0; ctx.Err() == nil && (r.messages == 0 || n < r.messages); n++ {
		if r.rate > 0 {
			due := start.Add(time.Duration(n) * time.Second / time.Duration(r.rate))
			until(ctx, due)
			body = binary.LittleEndian.AppendUint64(make([]byte, 0, r.size), uint64(due.Sub(r.epoch)))[:r.size]
		}
		f, err := js.PublishAsync(r.name(i), body, jetstream.WithStallWait(time.Minute))
		if err != nil {
			close(acks)
			return errors.Join(unless(ctx, err), <-failed)
		}
		acks <- f
	}
	close(acks)
	return <-failed
}

// unless is an error that the end of the run has not caused.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// consume consumes and acks until it is stopped.
func (r *streaming) consume(ctx context.Context, url string) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	for i := range r.consumers {
		nc, js, err := connect(url)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, nc.Close)
		of := jetstream.ConsumerConfig{Durable: fmt.Sprintf("bench-%d", i), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: r.window}
		if r.transient {
			of.AckPolicy, of.MaxAckPending = jetstream.AckNonePolicy, 0
		}
		c, err := js.CreateConsumer(ctx, r.name(0), of)
		if err == nil {
			_, err = c.Consume(r.take, jetstream.PullMaxMessages(r.window))
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// take is what a consumer does with a message.
func (r *streaming) take(m jetstream.Msg) {
	if !r.transient && m.Ack() != nil {
		return
	}
	r.consumed.Add(1)
	if r.rate > 0 && r.measuring.Load() {
		took := time.Since(r.epoch) - time.Duration(binary.LittleEndian.Uint64(m.Data()))
		r.mu.Lock()
		r.deliveries = append(r.deliveries, took)
		r.mu.Unlock()
	}
}
