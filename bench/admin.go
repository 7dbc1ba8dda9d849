package bench

import (
	"context"
	"fmt"

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

// declareAhead is how many queues are asked for before the first answer is read.
const declareAhead = 1000

// DeclareQueues declares n durable queues, prefix-0 and so on.
func DeclareQueues(ctx context.Context, uri, prefix string, n int) error {
	c, err := dial(ctx, uri)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.nc.Close() })()
	defer c.close()
	for i := 0; i < n; i += declareAhead {
		most := min(declareAhead, n-i)
		c.out = c.out[:0]
		for j := range most {
			c.out = wire.AppendMethod(c.out, channel, &wire.QueueDeclare{Queue: fmt.Sprintf("%s-%d", prefix, i+j), Durable: true})
		}
		if _, err := c.nc.Write(c.out); err != nil {
			return err
		}
		for range most {
			if _, err := expect[*wire.QueueDeclareOk](c); err != nil {
				return err
			}
		}
	}
	return nil
}
