package amqpd_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// expectStates looks at how all connections fare, as operators see it.
func expectStates(t *testing.T, b *brokertest.Broker, want ...string) {
	t.Helper()
	var got []string
	for _, l := range b.Connections() {
		got = append(got, l.State)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("connections are %q, want %q", got, want)
	}
}

// tight is a file system with as much room as the test says.
type tight struct {
	vfs.FS
	free atomic.Uint64
}

func (fs *tight) Free(string) (uint64, error) { return fs.free.Load(), nil }

func TestLowDiskHoldsPublishersUpAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &tight{FS: vfs.NewMem()}
		fs.free.Store(1 << 40)
		b := brokertest.Start(t, brokertest.Options{
			NoListener: true, Dir: "data",
			Broker: broker.Options{Store: store.Options{FS: fs}},
		})
		defer b.Stop()
		pub, deaf, sub := login(t, b, 2), brokertest.NewClient(t, b.Pipe(t)), login(t, b, 0)
		deaf.Patience = time.Hour
		deaf.Capabilities = nil
		deaf.Login()
		sub.Open(1)
		q := sub.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		sub.Consume(1, wire.BasicConsume{Queue: q})
		for _, c := range []*brokertest.Client{pub, deaf} {
			c.Open(1)
			c.Publish(1, "", q, nil, "before")
			brokertest.Expect[*wire.BasicDeliver](sub, 1)
		}

		fs.free.Store(1000)
		stop := keepAlive(pub, time.Second)
		time.Sleep(3 * time.Second)
		pub.Send(1, &wire.BasicQos{}) // does not publish: is served
		brokertest.Expect[*wire.BasicQosOk](pub, 1)
		close(stop)
		synctest.Wait()
		// The publish that finds the alarm is taken, and is the last one.
		pub.Publish(1, "", q, nil, "the last")
		if m := brokertest.Expect[*wire.ConnectionBlocked](pub, 0); m.Reason != "low on disk" {
			t.Errorf("blocked for %q", m.Reason)
		}
		brokertest.Expect[*wire.BasicDeliver](sub, 1)
		deaf.Publish(1, "", q, nil, "of one that cannot be told")
		brokertest.Expect[*wire.BasicDeliver](sub, 1)
		go pub.Write(pub.Message(1, "", q, nil, "held up"))
		go deaf.Write(deaf.Message(1, "", q, nil, "held up"))
		sub.Send(1, ackUpTo(0), &wire.BasicQos{})
		brokertest.Expect[*wire.BasicQosOk](sub, 1)
		// It is the broker that does not read: silence is no reason to drop them,
		// and the publisher is still sent heartbeats.
		beat := time.Now()
		for range 10 {
			if e, err := pub.ReadEvent(); err != nil || e.Method != nil {
				t.Fatalf("got %v, %v", e, err)
			}
		}
		if lasted := time.Since(beat); lasted > 15*time.Second {
			t.Errorf("ten heartbeats took %v", lasted)
		}
		sub.ExpectNothing(time.Second)
		expectStates(t, b, "blocked", "blocked", "blocking")

		fs.free.Store(1 << 40)
		for {
			e, err := pub.ReadEvent()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := e.Method.(*wire.ConnectionUnblocked); ok {
				break
			}
		}
		for range 2 {
			brokertest.Expect[*wire.BasicDeliver](sub, 1)
		}

		synctest.Wait()
		expectStates(t, b, "running", "running", "running")

		// A held up connection can be closed by the server.
		fs.free.Store(1000)
		time.Sleep(3 * time.Second)
		deaf.Publish(1, "", q, nil, "held up again")
		synctest.Wait()
		for _, c := range []*brokertest.Client{pub, deaf, sub} {
			go func() {
				for {
					e, err := c.ReadEvent()
					if err != nil {
						return
					}
					if _, ok := e.Method.(*wire.ConnectionClose); ok {
						c.Send(0, &wire.ConnectionCloseOk{})
					}
				}
			}()
		}
	})
}
