package figures

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/leveret-mq/leveret/bench"
)

const queue = "storebench"

// publish fills the queue.
func (s *session) publish(ctx context.Context, p *running, n, size int) (*bench.Result, error) {
	res, err := bench.Run(ctx, bench.Config{
		URI: p.URL, Scenario: bench.Publish, Queue: queue, Keep: true,
		Messages: n, Size: size, Content: bench.JSON, PID: p.PID(),
	})
	if err != nil {
		return nil, err
	}
	return res, s.depth(ctx, p, n)
}

// depth checks how many messages are ready.
func (s *session) depth(ctx context.Context, p *running, want int) error {
	n, err := bench.Depth(ctx, p.URL, queue)
	if err == nil && n != want {
		err = fmt.Errorf("%d messages are queued, want %d", n, want)
	}
	return err
}

// drainBroker consumes all.
func (s *session) drainBroker(ctx context.Context, p *running, n, size int) (*bench.Result, error) {
	return bench.Run(ctx, bench.Config{
		URI: p.URL, Scenario: bench.Drain, Queue: queue, Keep: true, Messages: n, Size: size, Content: bench.JSON,
	})
}

// backlog measures restarts and memory with 10,000,000 messages of 100 bytes.
func (s *session) backlog(ctx context.Context) error {
	n := s.count(10_000_000)
	dir, remove, err := s.room("backlog")
	if err != nil {
		return err
	}
	defer remove()
	what := fmt.Sprintf("%s × 100 B queued", thousands(n))

	p, err := s.start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { p.Close() }()
	fresh := p.Took()
	peak := p.watchRSS()
	res, err := s.publish(ctx, p, n, 100)
	if err != nil {
		return err
	}
	rss := peak()
	s.add(most("resident memory while "+what+" are published", float64(rss), 128e6, mb(rss), "under 128 MB",
		fmt.Sprintf("%s msg/s, broker's processor %.2f µs a message", thousands(int(res.PublishRate)), res.BrokerCPU)))
	p.Close()

	killed := dir + "-killed"
	if err := os.Rename(dir, killed); err != nil {
		return err
	}
	p, err = s.restarts(ctx, killed, dir, n, "restart after kill -9, "+what, 300*time.Millisecond, fresh)
	if err != nil {
		return err
	}

	// The broker that was started last still runs.
	peak = p.watchRSS()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
	}
	rss = peak()
	s.add(most("resident memory after the restart, "+what, float64(rss), 128e6, mb(rss), "under 128 MB", "the most of the first 3 s"))
	used, err := diskUse(dir)
	if err != nil {
		return err
	}
	s.add(Row{Measure: "disk, " + what, Figure: mb(used), Note: fmt.Sprintf("%.0f %% of the bodies", 100*float64(used)/float64(n)/100)})

	took, err := p.stop()
	if err != nil {
		return err
	}
	stopped := dir + "-stopped"
	if err := os.Rename(dir, stopped); err != nil {
		return err
	}
	p, err = s.restarts(ctx, stopped, dir, n, "restart after a graceful stop, "+what, 100*time.Millisecond, fresh)
	if err != nil {
		return err
	}
	s.add(Row{Measure: "graceful stop, " + what, Figure: ms(took)})

	peak = p.watchRSS()
	drained, err := s.drainBroker(ctx, p, n, 100)
	if err != nil {
		return err
	}
	rss = peak()
	s.add(Row{Measure: "drain through AMQP, " + what, Figure: thousands(int(drained.ConsumeRate)) + " msg/s",
		Note: fmt.Sprintf("resident memory meanwhile %s; %d redelivered, %d out of order", mb(rss), drained.Redelivered, drained.Disordered)})
	return nil
}

// restarts measures starts, each on a copy of one directory, and leaves the last
// one running on dir.
func (s *session) restarts(ctx context.Context, from, dir string, n int, name string, aim, fresh time.Duration) (*running, error) {
	sample := func(cold bool) (*running, error) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := copyDir(from, dir); err != nil {
			return nil, err
		}
		// The copy is to be on disk, as the original is: not what the start waits for.
		if err := forgetPages(dir); err != nil {
			return nil, err
		}
		if !cold {
			if err := warm(dir); err != nil {
				return nil, err
			}
		}
		p, err := s.start(ctx, dir)
		if err != nil {
			return nil, err
		}
		if err := s.depth(ctx, p, n); err != nil {
			p.Close()
			return nil, err
		}
		return p, nil
	}
	p, err := sample(true)
	if err != nil {
		return nil, err
	}
	cold := p.Took()
	var took []time.Duration
	for range s.Runs {
		p.Close()
		if p, err = sample(false); err != nil {
			return nil, err
		}
		took = append(took, p.Took())
	}
	m := median(took)
	s.add(most(name, float64(m), float64(aim), ms(m), "under "+ms(aim),
		fmt.Sprintf("%s; files not in the page cache: %s; an empty broker starts in %s", samples(took), ms(cold), ms(fresh))))
	return p, errors.Join(os.RemoveAll(from), ctx.Err())
}

// disk measures what a backlog of JSON documents takes, and what is left of it
// when it is drained.
func (s *session) disk(ctx context.Context) error {
	n, size := s.count(1_000_000), 1024
	bodies := int64(n) * int64(size)
	dir, remove, err := s.room("disk")
	if err != nil {
		return err
	}
	defer remove()
	p, err := s.start(ctx, dir)
	if err != nil {
		return err
	}
	defer p.Close()
	peak := p.watchRSS()
	res, err := s.publish(ctx, p, n, size)
	if err != nil {
		return err
	}
	rss := peak()
	at, err := diskUse(dir)
	if err != nil {
		return err
	}
	share := func(used int64) float64 { return float64(used) / float64(bodies) }
	// It has settled when it is within its aim and has not changed for 5 s, or
	// after two minutes.
	limit := 2 * time.Minute
	if s.Scale < 0.1 {
		limit = 15 * time.Second
	}
	used, took, err := s.settle(ctx, dir, limit, func(used int64) bool { return share(used) <= 0.4 })
	if err != nil {
		return err
	}
	s.add(most(fmt.Sprintf("disk for %s × 1 KiB of JSON", thousands(n)), share(used), 0.4, fmt.Sprintf("%.1f %%", 100*share(used)), "at most 40 % of the bodies",
		fmt.Sprintf("%s after %.0f s; %.1f %% when the last was confirmed; %s msg/s, resident memory at most %s", mb(used), took.Seconds(), 100*share(at), thousands(int(res.PublishRate)), mb(rss))))

	if _, err := s.drainBroker(ctx, p, n, size); err != nil {
		return err
	}
	const bound = 2 * 64 << 20
	at, err = diskUse(dir)
	if err != nil {
		return err
	}
	used, took, err = s.settle(ctx, dir, 5*time.Second, func(used int64) bool { return used < bound })
	if err != nil {
		return err
	}
	s.add(most("disk within 5 s after draining it", float64(used), bound, mb(used), "under 2 log files (134 MB)",
		fmt.Sprintf("after %.1f s; %s when the last was acked", took.Seconds(), mb(at))))
	_, err = p.stop()
	return err
}

// settle waits until what a directory takes is as wanted and has not changed for
// 5 s, no longer than limit, or, where the limit is not longer than that, until
// it is as wanted. It returns the last size, and when it was first so small.
func (s *session) settle(ctx context.Context, dir string, limit time.Duration, wanted func(int64) bool) (used int64, took time.Duration, err error) {
	begin := time.Now()
	since := begin
	for last := int64(-1); ; {
		if used, err = diskUse(dir); err != nil {
			return 0, 0, err
		}
		if used != last {
			last, since = used, time.Now()
		}
		quiet := time.Since(since) >= 5*time.Second || limit <= 5*time.Second
		if wanted(used) && quiet || time.Since(begin) >= limit {
			return used, since.Sub(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// flow measures how often a message that is consumed at once is written.
func (s *session) flow(ctx context.Context) error {
	for _, size := range []int{100, 1024} {
		if err := s.flowOf(ctx, size); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) flowOf(ctx context.Context, size int) error {
	dir, remove, err := s.room("flow")
	if err != nil {
		return err
	}
	defer remove()
	p, err := s.start(ctx, dir)
	if err != nil {
		return err
	}
	defer p.Close()
	before, device := p.written(dir)
	res, err := bench.Run(ctx, bench.Config{
		URI: p.URL, Scenario: bench.Flow, Queue: queue, Size: size, Content: bench.JSON, Messages: s.count(5_000_000 * 100 / size),
	})
	if err != nil {
		return err
	}
	after, _ := p.written(dir)
	wrote := after - before
	by := "the process, whole pages"
	if device {
		by = "the device"
	}
	// What a message is to the engine, as in store.Metrics: its body, its
	// properties, its key, and a header of 24 bytes.
	message := int64(size + len(queue) + 3 + 24)
	all := int64(res.Published) * message
	amp := float64(wrote) / float64(all)
	name := fmt.Sprintf("write amplification of a flow that is consumed at once, %d B", size)
	s.add(most(name, amp, 1.3, fmt.Sprintf("%.2f", amp), "at most 1.3",
		fmt.Sprintf("%.1f B to the disk, as %s counts, a message of %d B (body, key, properties, header); by bodies alone %.2f; %s msg/s",
			float64(wrote)/float64(res.Published), by, message, float64(wrote)/float64(res.Published)/float64(size), thousands(int(res.ConsumeRate)))))
	_, err = p.stop()
	return err
}

// queues measures restarts with 100,000 durable queues.
func (s *session) queues(ctx context.Context) error {
	n := s.count(100_000)
	dir, remove, err := s.room("queues")
	if err != nil {
		return err
	}
	defer remove()
	p, err := s.start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { p.Close() }()
	fresh := p.Took()
	begin := time.Now()
	if err := bench.DeclareQueues(ctx, p.URL, queue, n); err != nil {
		return err
	}
	s.add(Row{Measure: fmt.Sprintf("declaring %s durable queues, 32 connections", thousands(n)), Figure: ms(time.Since(begin))})
	last := fmt.Sprintf("%s-%d", queue, n-1)
	for _, graceful := range []bool{false, true} {
		how := "after kill -9"
		if graceful {
			how = "after a graceful stop"
		}
		var took []time.Duration
		for range s.Runs {
			if !graceful {
				p.Close()
			} else if _, err := p.stop(); err != nil {
				return err
			}
			if p, err = s.start(ctx, dir); err != nil {
				return err
			}
			took = append(took, p.Took())
			if _, err := bench.Depth(ctx, p.URL, last); err != nil {
				return err
			}
		}
		m := median(took)
		s.add(most(fmt.Sprintf("restart with %s durable queues %s", thousands(n), how), m.Seconds(), 1, ms(m), "under 1 s",
			fmt.Sprintf("%s; resident memory %s; an empty broker starts in %s", samples(took), mb(p.rss()), ms(fresh))))
	}
	return nil
}
