package amqpd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// largeFrom is from where on bodies are large in these tests.
const largeFrom = 10_000

func startLarge(t *testing.T, fs vfs.FS) *brokertest.Broker {
	return brokertest.Start(t, brokertest.Options{
		Dir:    filepath.Join(t.TempDir(), "data"),
		Broker: broker.Options{Store: store.Options{FS: fs, LargeBytes: largeFrom}},
		Server: amqpd.Options{CloseTimeout: 100 * time.Millisecond}, // of clients that do not answer
	})
}

// largeBody is n bytes of which no two blocks are the same.
func largeBody(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

// noLargeFiles checks, once the broker has stopped, that none is left.
func noLargeFiles(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	b.Stop()
	list, err := os.ReadDir(filepath.Join(b.Dir(), "large"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, f := range list {
		t.Errorf("%s is left", f.Name())
	}
}

func TestLargeBodiesComeAsTheyWent(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
	props := brokertest.Props(func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropContentType, "text/plain") })
	sizes := []int{largeFrom - 1, largeFrom, 65536, 131064, 131065, 1_333_333, 5}
	tag := uint64(0)
	for _, size := range sizes {
		for _, p := range []amqp.Properties{brokertest.Persistent, props} {
			tag++
			c.Publish(1, "", "q", p, largeBody(size))
			if m := brokertest.Expect[*wire.BasicAck](c, 1); m.DeliveryTag != tag {
				t.Fatalf("confirmed %d, want %d", m.DeliveryTag, tag)
			}
		}
	}
	check := func(e brokertest.Event, i int) {
		t.Helper()
		if want := largeBody(sizes[i/2]); string(e.Body) != want {
			t.Errorf("message %d has %d bytes, or others than the %d that were sent", i, len(e.Body), len(want))
		}
		if persistent := e.Props.DeliveryMode() == 2; persistent != (i%2 == 0) {
			t.Errorf("message %d has lost its properties: %v", i, e.Props)
		}
	}
	for i := range 6 {
		c.Send(1, &wire.BasicGet{Queue: "q"})
		check(brokertest.ExpectEvent[*wire.BasicGetOk](c, 1), i)
	}
	c.Send(1, &wire.BasicAck{DeliveryTag: 6, Multiple: true})
	c.Consume(1, wire.BasicConsume{Queue: "q"})
	for i := 6; i < len(sizes)*2; i++ {
		e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1)
		check(e, i)
		c.Send(1, &wire.BasicAck{DeliveryTag: e.Method.(*wire.BasicDeliver).DeliveryTag})
	}
	c.Send(1, &wire.QueueDeclare{Queue: "q", Passive: true})
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	noLargeFiles(t, b)
}

func TestLargeMessagesSurviveARestart(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	for _, q := range []string{"q", "r"} {
		c.Declare(1, wire.QueueDeclare{Queue: q, Durable: true})
		c.Send(1, &wire.QueueBind{Queue: q, Exchange: "amq.fanout"})
		brokertest.Expect[*wire.QueueBindOk](c, 1)
	}
	c.Publish(1, "amq.fanout", "", brokertest.Persistent, largeBody(500_000))
	brokertest.Expect[*wire.BasicAck](c, 1)
	b.Restart()
	c = b.Client(t)
	c.Open(1)
	for _, q := range []string{"q", "r"} {
		c.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
		if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != largeBody(500_000) {
			t.Errorf("%s: got %d bytes", q, len(e.Body))
		}
	}
	noLargeFiles(t, b)
}

// While a channel gets a large body, other channels go on, and what that channel
// has to say comes behind it.
func TestAStreamLeavesRoomForOthers(t *testing.T) {
	b := startLarge(t, nil)
	c := brokertest.NewClient(t, b.Pipe(t)) // no socket buffers: what is written is read
	c.Login()
	c.Open(1)
	c.Open(2)
	c.Open(3)
	c.Confirm(1)
	c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
	const size = 3 << 20
	for range 2 {
		c.Publish(1, "", "q", brokertest.Persistent, largeBody(size))
		brokertest.Expect[*wire.BasicAck](c, 1)
	}
	c.Consume(1, wire.BasicConsume{Queue: "q"})
	if f, err := c.Frame(); err != nil || f.Type != wire.FrameMethod || f.Channel != 1 {
		t.Fatalf("got %v, %v", f, err)
	}
	c.Send(1, &wire.QueueDeclare{Queue: "q", Passive: true})
	c.Send(2, &wire.QueueDeclare{Queue: "q", Passive: true})
	c.Send(3, &wire.BasicQos{PrefetchCount: 1})
	var before [4]int64 // bytes of channel 1's bodies before a method on each channel
	got, methods := int64(0), 0
	for methods < 3 {
		f, err := c.Frame()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Type == wire.FrameBody && f.Channel == 1:
			got += int64(len(f.Payload))
		case f.Type == wire.FrameMethod && f.Channel == 1:
			if got%size != 0 {
				t.Fatalf("a method within the body, at %d", got)
			}
			if id, _, _ := wire.CutID(f.Payload); id == wire.IDBasicDeliver {
				continue
			}
			before[1] = got
			methods++
		case f.Type == wire.FrameMethod:
			before[f.Channel] = got
			methods++
		}
	}
	if before[2] >= size || before[3] >= size {
		t.Errorf("others waited for %v bytes of the body", before)
	}
	if before[1] == 0 {
		t.Error("the channel's own reply came before its body")
	}
	b.Stop()
}

func TestStreamsOfOneConnectionTakeTurns(t *testing.T) {
	b := startLarge(t, nil)
	c := brokertest.NewClient(t, b.Pipe(t))
	c.Login()
	const size, channels = 2 << 20, 3
	for ch := uint16(1); ch <= channels; ch++ {
		c.Open(ch)
		q := c.Declare(ch, wire.QueueDeclare{Queue: fmt.Sprint("q", ch)}).Queue
		c.Publish(ch, "", q, nil, largeBody(size))
		c.Send(ch, &wire.BasicQos{PrefetchCount: 1})
		brokertest.Expect[*wire.BasicQosOk](c, ch)
	}
	for ch := uint16(1); ch <= channels; ch++ {
		c.Send(ch, &wire.BasicConsume{Queue: fmt.Sprint("q", ch)})
	}
	got := map[uint16]int{}
	for ended := 0; ended < channels; {
		f, err := c.Frame()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type != wire.FrameBody {
			continue
		}
		if got[f.Channel] += len(f.Payload); got[f.Channel] == size {
			if ended++; ended == 1 {
				for ch, n := range got {
					if n < size/2 {
						t.Errorf("the first is through, and channel %d has got %d bytes", ch, n)
					}
				}
			}
		}
	}
}

func TestLargeMessageThatNobodyTakesComesBack(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	c.Publish(1, "", "nowhere", brokertest.Persistent, largeBody(200_000))
	brokertest.Expect[*wire.BasicAck](c, 1)
	c.Write(wire.AppendPublish(nil, 1, c.Tune.FrameMax,
		&wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, brokertest.Persistent, []byte(largeBody(2_000_000))))
	if e := brokertest.ExpectEvent[*wire.BasicReturn](c, 1); string(e.Body) != largeBody(2_000_000) || e.Props.DeliveryMode() != 2 {
		t.Errorf("%d bytes came back", len(e.Body))
	}
	if m := brokertest.Expect[*wire.BasicAck](c, 1); m.DeliveryTag != 2 {
		t.Errorf("confirmed %d", m.DeliveryTag)
	}
	c.Publish(1, "no exchange", "", brokertest.Persistent, largeBody(20_000))
	c.ExpectChannelClose(1, 404)
	noLargeFiles(t, b)
}

func TestLargePublishThatIsCutShortLeavesNothing(t *testing.T) {
	b := startLarge(t, nil)
	for _, whole := range []bool{false, true} {
		c := b.Client(t)
		c.Open(1)
		c.Open(2)
		q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
		m := c.Message(1, "", q, brokertest.Persistent, largeBody(1_000_000))
		cut := 0
		for cut < 600_000 {
			_, n, err := wire.ParseFrame(m[cut:], 0)
			if err != nil {
				t.Fatal(err)
			}
			cut += n
		}
		c.Write(m[:cut])
		if !whole {
			c.Send(2, &wire.ChannelClose{}) // another channel's frame in its midst
			brokertest.Expect[*wire.ChannelCloseOk](c, 2)
			c.Close()
			continue
		}
		c.Send(0, &wire.ConnectionClose{})
		c.ReadEvent()
		c.Close()
	}
	noLargeFiles(t, b)
}

func TestLargeMessagesInTransactions(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	c.Publish(1, "", q, brokertest.Persistent, largeBody(300_000))
	c.Send(1, &wire.TxRollback{})
	brokertest.Expect[*wire.TxRollbackOk](c, 1)
	c.Publish(1, "", q, brokertest.Persistent, largeBody(200_000))
	c.Write(wire.AppendPublish(nil, 1, c.Tune.FrameMax,
		&wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, nil, []byte(largeBody(100_000))))
	if n := c.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}).MessageCount; n != 0 {
		t.Errorf("%d messages before the commit", n)
	}
	c.Send(1, &wire.TxCommit{})
	if e := brokertest.ExpectEvent[*wire.BasicReturn](c, 1); string(e.Body) != largeBody(100_000) {
		t.Errorf("%d bytes came back", len(e.Body))
	}
	brokertest.Expect[*wire.TxCommitOk](c, 1)
	c.Send(1, &wire.BasicGet{Queue: q})
	if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != largeBody(200_000) {
		t.Errorf("got %d bytes", len(e.Body))
	}
	c.Send(1, &wire.BasicAck{DeliveryTag: 1})
	c.Send(1, &wire.TxCommit{})
	brokertest.Expect[*wire.TxCommitOk](c, 1)
	c.Publish(1, "", q, brokertest.Persistent, largeBody(300_000)) // and never committed
	c.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	noLargeFiles(t, b)
}

func TestLargeMessageOnAFullDiskIsNacked(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir} {
		fs := vfs.NewErrFS(vfs.OS())
		b := startLarge(t, fs)
		c := b.Client(t)
		c.Open(1)
		c.Confirm(1)
		q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
		c.Publish(1, "", q, brokertest.Persistent, largeBody(20_000))
		brokertest.Expect[*wire.BasicAck](c, 1)
		name := "*.msg"
		if op == vfs.OpSyncDir {
			name = "large"
		}
		fs.Add(vfs.Rule{Ops: op, Name: name, At: 1, Err: syscall.ENOSPC, Sticky: true})
		c.Write(append(c.Message(1, "", q, brokertest.Persistent, "small"), c.Message(1, "", q, brokertest.Persistent, largeBody(300_000))...))
		if m := brokertest.Expect[*wire.BasicAck](c, 1); m.DeliveryTag != 2 {
			t.Errorf("%v: confirmed %d", op, m.DeliveryTag)
		}
		if m := brokertest.Expect[*wire.BasicNack](c, 1); m.DeliveryTag != 3 {
			t.Errorf("%v: nacked %d", op, m.DeliveryTag)
		}
		c.Open(2) // without confirms
		c.Publish(2, "", q, brokertest.Persistent, largeBody(100_000))
		c.ExpectClose(541)
		fs.Clear()
		c = b.Client(t)
		c.Open(1)
		c.Confirm(1)
		c.Publish(1, "", q, brokertest.Persistent, largeBody(100_000))
		brokertest.Expect[*wire.BasicAck](c, 1)
		if n := c.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}).MessageCount; n != 3 {
			t.Errorf("%v: %d messages", op, n)
		}
		c.Send(1, &wire.QueueDelete{Queue: q})
		brokertest.Expect[*wire.QueueDeleteOk](c, 1)
		noLargeFiles(t, b)
	}
}

// A damaged body is never delivered whole, and holds its queue up once.
func TestDamagedLargeBodyIsSetAside(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	c.Publish(1, "", q, brokertest.Persistent, largeBody(1_000_000))
	c.Publish(1, "", q, brokertest.Persistent, "next")
	for tag := uint64(0); tag < 2; {
		tag = brokertest.Expect[*wire.BasicAck](c, 1).DeliveryTag
	}
	files, _ := filepath.Glob(filepath.Join(b.Dir(), "large", "*.msg"))
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{0}, 700_000)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Consume(1, wire.BasicConsume{Queue: q})
	for {
		e, err := c.ReadEvent()
		if err != nil {
			break
		}
		if _, ok := e.Method.(*wire.BasicDeliver); ok && len(e.Body) > 10 {
			t.Fatal("the damaged body was delivered")
		}
	}
	c = b.Client(t)
	c.Open(1)
	c.Consume(1, wire.BasicConsume{Queue: q})
	if e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1); string(e.Body) != "next" {
		t.Errorf("got %d bytes", len(e.Body))
	}
}

// More large bodies at once than there may be files are taken in memory.
func TestManyLargeBodiesAtOnce(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	const channels = 80
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	var halves [channels + 1][2][]byte
	for ch := uint16(1); ch <= channels; ch++ {
		if ch > 1 {
			c.Open(ch)
		}
		c.Confirm(ch)
		m := wire.AppendPublish(nil, ch, 4096, &wire.BasicPublish{RoutingKey: []byte(q)}, brokertest.Persistent, []byte(largeBody(30_000)))
		first := m[:0:0]
		for len(first) < 10_000 { // whole frames
			_, n, err := wire.ParseFrame(m[len(first):], 0)
			if err != nil {
				t.Fatal(err)
			}
			first = m[:len(first)+n]
		}
		halves[ch] = [2][]byte{first, m[len(first):]}
	}
	for half := range 2 {
		for ch := 1; ch <= channels; ch++ {
			c.Write(halves[ch][half])
		}
	}
	for range channels {
		e := c.Next()
		if _, ok := e.Method.(*wire.BasicAck); !ok {
			t.Fatalf("got %v", e)
		}
	}
	c.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	for range channels {
		if e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1); string(e.Body) != largeBody(30_000) {
			t.Fatalf("got %d bytes", len(e.Body))
		}
	}
	noLargeFiles(t, b)
}

func TestAMessageOverTheLimitClosesItsChannel(t *testing.T) {
	for _, tt := range []struct {
		limit uint64
		size  uint64
		text  string
	}{
		{0, 128<<20 + 1, "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728"},
		{1000, 1001, "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000"},
		{amqpd.MaxMaxMessageSize, 512<<20 + 1, "PRECONDITION_FAILED - message size 536870913 is larger than max size 536870912"},
	} {
		b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{MaxMessageSize: tt.limit}})
		c := b.Client(t)
		c.Open(1)
		m := wire.AppendMethod(nil, 1, &wire.BasicPublish{RoutingKey: []byte("q")})
		// What the client sends of it until it knows is dropped.
		c.Write(wire.AppendBody(wire.AppendHeader(m, 1, nil, tt.size), 1, 4096, make([]byte, 5000)))
		if text := c.ExpectChannelClose(1, 406); text != tt.text {
			t.Errorf("text is %q", text)
		}
		c.Open(1)
	}
	if err := (amqpd.Options{MaxMessageSize: amqpd.MaxMaxMessageSize + 1}).Validate(); err == nil {
		t.Error("a larger limit is taken")
	}
}

// The memory of large bodies is bounded whatever their number: streams count
// towards the out buffer.
func TestAConnectionIsGivenFewStreamsAtOnce(t *testing.T) {
	b := startLarge(t, nil)
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	const n = 10
	for range n {
		c.Publish(1, "", q, brokertest.Persistent, largeBody(1<<20))
		brokertest.Expect[*wire.BasicAck](c, 1)
	}
	slow := brokertest.NewClient(t, b.Pipe(t))
	slow.Login()
	slow.Open(1)
	slow.Send(1, &wire.BasicConsume{Queue: q}) // and reads nothing
	deadline := time.Now().Add(5 * time.Second)
	for {
		left := c.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}).MessageCount
		if left < n {
			if n-left > 5 {
				t.Errorf("%d messages were given to a client that reads none", n-left)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is delivered")
		}
	}
	brokertest.Expect[*wire.BasicConsumeOk](slow, 1)
	for range n {
		if e := brokertest.ExpectEvent[*wire.BasicDeliver](slow, 1); len(e.Body) != 1<<20 {
			t.Errorf("got %d bytes", len(e.Body))
		}
	}
}
