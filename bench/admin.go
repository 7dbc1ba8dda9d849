package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Ping connects, logs in, opens a channel and closes again.
func Ping(ctx context.Context, uri string) error {
	c, err := dial(ctx, uri)
	if err != nil {
		return err
	}
	c.close()
	return nil
}

// Depth is the number of ready messages in a queue.
func Depth(ctx context.Context, uri, queue string) (int, error) {
	c, err := dial(ctx, uri)
	if err != nil {
		return 0, err
	}
	defer c.close()
	ok, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Queue: queue, Passive: true})
	if err != nil {
		return 0, err
	}
	return int(ok.MessageCount), nil
}

const (
	// declareConns is on how many connections queues are declared: brokers sync
	// for each, and group what comes together.
	declareConns = 32
	// declareAhead is how many are asked for before the first answer is read.
	declareAhead = 100
)

// DeclareQueues declares n durable queues, prefix-0 and so on.
func DeclareQueues(ctx context.Context, uri, prefix string, n int) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for i := range declareConns {
		wg.Go(func() {
			if err := declare(ctx, uri, prefix, n*i/declareConns, n*(i+1)/declareConns); err != nil {
				fail(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// declare declares the queues from first on, below end.
func declare(ctx context.Context, uri, prefix string, first, end int) error {
	c, err := dial(ctx, uri)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.nc.Close() })()
	defer c.close()
	for first < end {
		most := min(declareAhead, end-first)
		c.out = c.out[:0]
		for j := range most {
			c.out = wire.AppendMethod(c.out, channel, &wire.QueueDeclare{Queue: fmt.Sprintf("%s-%d", prefix, first+j), Durable: true})
		}
		if _, err := c.nc.Write(c.out); err != nil {
			return err
		}
		for range most {
			if _, err := expect[*wire.QueueDeclareOk](c); err != nil {
				return err
			}
		}
		first += most
	}
	return nil
}
