package amqpd_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// bubble runs a test on a clock of its own, with a broker that is reached by
// pipes.
func bubble(t *testing.T, o amqpd.Options, test func(t *testing.T, b *brokertest.Broker)) {
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t, brokertest.Options{NoListener: true, Server: o})
		test(t, b)
		b.Stop()
	})
}

// login makes a client with a heartbeat in seconds that reads for as long as
// it must.
func login(t *testing.T, b *brokertest.Broker, heartbeat uint16) *brokertest.Client {
	c := brokertest.NewClient(t, b.Pipe(t))
	c.Patience = time.Hour
	c.Tune.Heartbeat = heartbeat
	c.Login()
	return c
}

func TestAClientThatSaysNothingIsDroppedAfterTenSeconds(t *testing.T) {
	for name, said := range map[string]func(c *brokertest.Client){
		"nothing":               func(*brokertest.Client) {},
		"half a header":         func(c *brokertest.Client) { io.WriteString(c.Conn, "AMQP") },
		"the header":            func(c *brokertest.Client) { c.Start() },
		"as far as the tuning":  func(c *brokertest.Client) { c.Start(); c.StartOk(); brokertest.Expect[*wire.ConnectionTune](c, 0) },
		"half a frame":          func(c *brokertest.Client) { c.Start(); io.WriteString(c.Conn, "\x01\x00\x00\x00\x00\x0f\xff") },
		"a byte now and then":   nil,
		"a refusal, unanswered": func(c *brokertest.Client) { c.Password = "x"; c.Start(); c.StartOk() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, amqpd.Options{}, func(t *testing.T, b *brokertest.Broker) {
				c := brokertest.NewClient(t, b.Pipe(t))
				c.Patience = time.Hour
				start := time.Now()
				var trickle sync.WaitGroup
				if said != nil {
					said(c)
				} else {
					trickle.Go(func() {
						for i := range wire.ProtocolHeader {
							io.WriteString(c.Conn, wire.ProtocolHeader[i:i+1])
							time.Sleep(3 * time.Second)
						}
					})
				}
				c.ExpectEnd()
				defer trickle.Wait()
				if after := time.Since(start); after > 11*time.Second || after < 4*time.Second {
					t.Errorf("dropped after %v", after)
				}
				if c.Password != "x" && time.Since(start) < 10*time.Second {
					t.Errorf("dropped after %v", time.Since(start))
				}
			})
		})
	}
}

func TestHeartbeatsComeAtHalfTheInterval(t *testing.T) {
	for seconds, half := range map[uint16]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 4: 2 * time.Second, 10: 5 * time.Second,
	} {
		bubble(t, amqpd.Options{}, func(t *testing.T, b *brokertest.Broker) {
			c := login(t, b, seconds)
			stop := keepAlive(c, time.Second)
			last := time.Now()
			for i := range 5 {
				if e, err := c.ReadEvent(); err != nil || e.Method != nil {
					t.Fatalf("got %v, %v; want a heartbeat", e, err)
				}
				// The first one is counted from open-ok, which is no tick.
				if gap := time.Since(last); gap > half+500*time.Millisecond || i > 0 && gap != half {
					t.Errorf("interval %d s: a heartbeat after %v", seconds, gap)
				}
				last = time.Now()
			}
			close(stop)
		})
	}
}

// keepAlive sends heartbeats.
func keepAlive(c *brokertest.Client, every time.Duration) (stop chan struct{}) {
	stop = make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.Write(wire.AppendHeartbeat(nil))
			case <-stop:
				return
			}
		}
	}()
	return stop
}

func TestAPeerSilentForTwoIntervalsIsDroppedAndItsMessagesReturn(t *testing.T) {
	bubble(t, amqpd.Options{}, func(t *testing.T, b *brokertest.Broker) {
		watch := login(t, b, 0) // no heartbeats: may be silent for ever
		watch.Open(1)
		q := watch.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		fill(watch, 1, q, 1)
		c := login(t, b, 4)
		c.Open(1)
		c.Consume(1, wire.BasicConsume{Queue: q})
		brokertest.Expect[*wire.BasicDeliver](c, 1)
		start := time.Now()
		c.ExpectEnd()
		if after := time.Since(start); after < 8*time.Second || after > 9*time.Second {
			t.Errorf("dropped after %v", after)
		}
		synctest.Wait()
		time.Sleep(24 * time.Hour)
		watch.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
		if m := brokertest.Expect[*wire.BasicGetOk](watch, 1); !m.Redelivered {
			t.Error("not redelivered")
		}
	})
}

func TestAnyTrafficCountsAsAHeartbeat(t *testing.T) {
	bubble(t, amqpd.Options{}, func(t *testing.T, b *brokertest.Broker) {
		c := login(t, b, 2)
		c.Open(1)
		for range 20 {
			time.Sleep(1500 * time.Millisecond)
			c.Write([]byte{1}) // the start of a frame will do
			c.Write(c.Message(1, "", "nowhere", nil, "x")[1:])
			c.Send(1, &wire.BasicQos{})
			brokertest.Expect[*wire.BasicQosOk](c, 1)
		}
	})
}

// A client that sends a frame bit by bit holds a buffer and a place: it has a minute
// for each frame, heartbeats or not, and as many frames as it likes.
func TestAFrameThatDoesNotEndDropsItsClient(t *testing.T) {
	bubble(t, amqpd.Options{}, func(t *testing.T, b *brokertest.Broker) {
		watch := login(t, b, 0)
		watch.Open(1)
		q := watch.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		fill(watch, 1, q, 1)
		for _, heartbeat := range []uint16{0, 4} {
			c := login(t, b, heartbeat)
			c.Open(1)
			c.Consume(1, wire.BasicConsume{Queue: q})
			brokertest.Expect[*wire.BasicDeliver](c, 1)
			slow := c.Message(1, "", "nowhere", nil, strings.Repeat("x", 50))
			for i := range slow { // three frames, none of which takes a minute
				time.Sleep(900 * time.Millisecond)
				c.Write(slow[i : i+1])
			}
			start := time.Now()
			var trickle sync.WaitGroup
			trickle.Go(func() {
				for i := range slow {
					if _, err := c.Conn.Write(slow[i : i+1]); err != nil {
						return
					}
					time.Sleep(3 * time.Second)
				}
			})
			c.ExpectEnd()
			if after := time.Since(start); after < time.Minute || after > 62*time.Second {
				t.Errorf("dropped after %v", after)
			}
			trickle.Wait()
			synctest.Wait()
		}
		watch.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
		if m := brokertest.Expect[*wire.BasicGetOk](watch, 1); !m.Redelivered {
			t.Error("not redelivered")
		}
	})
}

func TestATellingCloseWaitsForItsAnswerForAWhile(t *testing.T) {
	bubble(t, amqpd.Options{CloseTimeout: 3 * time.Second}, func(t *testing.T, b *brokertest.Broker) {
		c := login(t, b, 0)
		c.Send(9, &wire.BasicQos{})
		brokertest.Expect[*wire.ConnectionClose](c, 0)
		start := time.Now()
		var talk sync.WaitGroup
		talk.Go(func() { // never says close-ok
			for range 100 {
				time.Sleep(100 * time.Millisecond)
				if _, err := c.Conn.Write(wire.AppendMethod(nil, 9, &wire.BasicQos{})); err != nil {
					return
				}
			}
		})
		defer talk.Wait()
		c.ExpectEnd()
		if after := time.Since(start); after < 3*time.Second || after > 4*time.Second {
			t.Errorf("hung up after %v", after)
		}
	})
}

// Nobody reads the other end of the pipe: no write ever ends.
func TestAClientThatReadsNothingIsNoHarmToTheServer(t *testing.T) {
	bubble(t, amqpd.Options{OutBuffer: 64 << 10}, func(t *testing.T, b *brokertest.Broker) {
		watch := login(t, b, 0)
		watch.Open(1)
		q := watch.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		c := login(t, b, 60)
		c.Open(1)
		c.Send(1, &wire.BasicConsume{Queue: q})
		synctest.Wait()
		body := strings.Repeat("x", 10_000)
		watch.Confirm(1)
		for range 100 {
			watch.Publish(1, "", q, nil, body)
			brokertest.Expect[*wire.BasicAck](watch, 1)
		}
		// What fits the out buffer is on its way to the deaf one; the rest is ready.
		left := watch.Declare(1, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount
		if left < 85 || left > 95 {
			t.Errorf("%d of 100 messages are left", left)
		}
		// It is dropped for silence, for it cannot even send; and all returns.
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if left := watch.Declare(1, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount; left != 100 {
			t.Errorf("%d of 100 messages are left", left)
		}
		if n := b.Server.Connections(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}
