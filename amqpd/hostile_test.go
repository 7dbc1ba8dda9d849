package amqpd_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// bystander publishes and consumes for as long as the others misbehave, and
// tells how it went.
func bystander(t *testing.T, b *brokertest.Broker) (stop func() int) {
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	c.Consume(1, wire.BasicConsume{Queue: q})
	done := make(chan struct{})
	rounds := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for { // once at least, however short the others' time is
			c.Publish(1, "", q, nil, "ping")
			e, err := c.ReadEvent()
			if err != nil {
				t.Errorf("the bystander: %v", err)
				return
			}
			c.Write(wire.AppendAck(nil, 1, e.Method.(*wire.BasicDeliver).DeliveryTag, false))
			rounds++
			select {
			case <-done:
				return
			default:
			}
		}
	})
	return func() int {
		close(done)
		wg.Wait()
		return rounds
	}
}

func TestRandomBytesHarmNobody(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{CloseTimeout: 50 * time.Millisecond}})
	stop := bystander(t, b)
	rnd := rand.New(rand.NewPCG(4, 5))
	garbage := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		return p
	}
	var wg sync.WaitGroup
	send := func(c *brokertest.Client, parts ...[]byte) {
		wg.Go(func() {
			for _, p := range parts {
				if _, err := c.Conn.Write(p); err != nil {
					break
				}
			}
			c.Conn.(*net.TCPConn).CloseWrite()
			c.ExpectEnd()
			c.Close()
		})
	}
	for range 50 {
		send(brokertest.NewClient(t, b.Dial(t)), garbage(rnd.IntN(5000)))
		send(brokertest.NewClient(t, b.Dial(t)), []byte(wire.ProtocolHeader), garbage(rnd.IntN(5000)))
		c := b.Client(t)
		c.Open(1)
		send(c, garbage(rnd.IntN(5000)))
		// Frames that are whole, with nonsense in them.
		c = b.Client(t)
		c.Open(1)
		var stream []byte
		for range 50 {
			p := garbage(rnd.IntN(60))
			if rnd.IntN(2) == 0 && len(p) > 4 {
				defs := wire.Definitions()
				id := defs[rnd.IntN(len(defs))].ID
				p[0], p[1], p[2], p[3] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
			}
			stream = append(wire.AppendFrameHead(stream, uint8(1+rnd.IntN(3)), uint16(rnd.IntN(3)), len(p)), p...)
			stream = append(stream, wire.FrameEnd)
		}
		send(c, stream)
	}
	wg.Wait()
	if n := stop(); n == 0 {
		t.Error("the bystander got nowhere")
	}
}

// A good session, cut off after every byte, or with one byte changed.
func TestTruncatedAndDamagedSessionsHarmNobody(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{CloseTimeout: 20 * time.Millisecond}})
	stop := bystander(t, b)
	record := brokertest.NewClient(t, nil)
	var session []byte
	session = append(session, wire.ProtocolHeader...)
	session = wire.AppendMethod(session, 0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: wire.EncodePlain("guest", "guest"), Locale: "en_US"})
	session = wire.AppendMethod(session, 0, &wire.ConnectionTuneOk{})
	session = wire.AppendMethod(session, 0, &wire.ConnectionOpen{VirtualHost: "/"})
	session = wire.AppendMethod(session, 1, &wire.ChannelOpen{})
	session = wire.AppendMethod(session, 1, &wire.QueueDeclare{Queue: "q", Exclusive: true})
	session = wire.AppendMethod(session, 1, &wire.BasicConsume{Queue: "q", ConsumerTag: "t"})
	session = append(session, record.Message(1, "", "q", nil, "body")...)
	session = wire.AppendAck(session, 1, 1, false)
	session = wire.AppendMethod(session, 0, &wire.ConnectionClose{})

	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	try := func(p []byte) {
		slots <- struct{}{}
		nc := b.Dial(t)
		wg.Go(func() {
			defer func() { <-slots }()
			nc.Write(p)
			nc.(*net.TCPConn).CloseWrite()
			nc.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("still open: %v", err)
			}
			nc.Close()
		})
	}
	for i := range session {
		try(session[:i])
		damaged := append([]byte(nil), session...)
		damaged[i] ^= 1 << (i % 8)
		try(damaged)
	}
	wg.Wait()
	if n := stop(); n == 0 {
		t.Error("the bystander got nowhere")
	}
	eventually(t, func() bool { return b.Server.Connections() <= 1 })
}

// memory is the heap in use, collected.
func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// A client that asks and asks and never reads an answer is not read itself
// beyond a bound, whatever its answers amount to.
func TestAClientThatNeverReadsIsBounded(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10}})
	stop := bystander(t, b)
	c := b.Client(t)
	c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
	body := strings.Repeat("x", 100_000)
	for range 100 {
		c.Publish(1, "", q, nil, body)
	}
	before := memory()
	// Each round asks for 10 MB and gives it back.
	var ask []byte
	for range 100 {
		ask = wire.AppendMethod(ask, 1, &wire.BasicGet{Queue: q})
	}
	ask = wire.AppendNack(ask, 1, 0, true, true)
	stuck := false
	for range 50_000 {
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.Conn.Write(ask); err != nil {
			stuck = true
			break
		}
	}
	if !stuck {
		t.Error("ten gigabytes of answers were taken on")
	}
	if after := memory(); after > before+16<<20 {
		t.Errorf("memory went from %d to %d KiB", before>>10, after>>10)
	}
	if n := stop(); n == 0 {
		t.Error("the bystander got nowhere")
	}
}

// A consumer that stops reading holds up neither its queue's other consumers
// nor its publishers, and goes on where it was when it reads again.
func TestAConsumerThatStopsReadingHoldsNobodyUp(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10}})
	stop := bystander(t, b)
	slow, fast, pub := b.Client(t), b.Client(t), b.Client(t)
	slow.Open(1)
	q := slow.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
	slow.Consume(1, wire.BasicConsume{Queue: q})
	fast.Open(1)
	fast.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	pub.Open(1)
	const n, size = 3000, 10_000
	var wg sync.WaitGroup
	wg.Go(func() {
		body := strings.Repeat("x", size)
		for i := range n {
			pub.Publish(1, "", q, nil, fmt.Sprintf("%05d%s", i, body))
		}
	})
	got := make(chan string, n+1)
	read := func(c *brokertest.Client) {
		for {
			e, err := c.ReadEvent()
			if err != nil {
				return
			}
			got <- string(e.Body[:5])
		}
	}
	wg.Go(func() { read(fast) })
	// The slow one's share is what its sockets and its out buffer hold.
	seen := map[string]bool{}
	for len(seen) < n {
		if len(seen) == n/2 {
			wg.Go(func() { read(slow) })
		}
		body := <-got
		if seen[body] {
			t.Fatalf("%s came twice", body)
		}
		seen[body] = true
	}
	slow.Close()
	fast.Close()
	wg.Wait()
	if stop() == 0 {
		t.Error("the bystander got nowhere")
	}
}

// What an idle connection with an open channel costs: two goroutines' stacks
// and its own state, and no buffer.
func TestAnIdleConnectionCostsLittle(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	const n = 200
	clients := make([]*brokertest.Client, 0, n)
	grow := func() {
		c := b.Client(t)
		c.Open(1)
		c.Declare(1, wire.QueueDeclare{Queue: "q"})
		c.Confirm(1)
		c.Publish(1, "", "q", nil, strings.Repeat("x", 3000))
		brokertest.Expect[*wire.BasicAck](c, 1)
		c.Send(1, &wire.BasicGet{Queue: "q", NoAck: true})
		brokertest.Expect[*wire.BasicGetOk](c, 1)
		c.Drop()
		clients = append(clients, c)
	}
	grow()
	before := memory()
	for range n {
		grow()
	}
	each := (memory() - before) / n
	t.Logf("%d bytes a connection", each)
	if each > 24<<10 && !raceEnabled {
		t.Errorf("an idle connection costs %d bytes", each)
	}
	runtime.KeepAlive(clients)
}
