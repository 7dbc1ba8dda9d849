package bench

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// notThere answers a passive declare; the channel is closed by it.
var notThere = &wire.ChannelClose{ReplyCode: amqp.CodeNotFound, ReplyText: "NOT_FOUND - it was not declared"}

// outBound is how many bytes may wait for one connection's socket; who would
// add to more waits.
const outBound = 4 << 20

// nullConn is a connection of the null broker: a goroutine that reads, and one
// that writes what others have left in out.
type nullConn struct {
	b        *Null
	nc       net.Conn
	in       frameReader
	frameMax uint32

	mu      sync.Mutex
	wake    sync.Cond // out has become non-empty or small, or closed
	out     []byte    // under mu
	spare   []byte    // under mu: the memory that out will take next
	writing bool      // under mu: somebody is at the socket
	closed  bool      // under mu
	tags    []uint64  // under mu: of the newest delivery, by channel

	// The reading goroutine's.
	channels   []nullChannel
	publishing []uint16 // channels that have published in this read
	since      int      // where in the read buffer the committer has not seen it yet
	replies    []byte
	held       *nullConn   // whose mu this goroutine has, to add deliveries
	touched    []*nullConn // to be woken at the end of the read
	exchange   []byte      // the last publish's, if its targets are known
	routingKey []byte
	targets    []nullConsumer
	known      bool
	turn       int
}

// nullChannel is what a channel has published.
type nullChannel struct {
	confirms  bool
	published uint64 // confirm tag of the newest publish
	answered  uint64 // of the newest confirmed, or handed to the committer
}

func newNullConn(b *Null, nc net.Conn) *nullConn {
	c := &nullConn{b: b, nc: nc, in: newFrameReader(nc, readBuffer)}
	c.wake.L = &c.mu
	return c
}

func (c *nullConn) serve() {
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.read()
	c.b.gone(c)
	c.mu.Lock()
	c.closed = true
	c.wake.Broadcast()
	c.mu.Unlock()
	writer.Wait() // it writes what is left
	c.nc.Close()
}

// write sends what is left in out until the connection is closed.
func (c *nullConn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for (len(c.out) == 0 || c.writing) && !c.closed {
			c.wake.Wait()
		}
		if len(c.out) == 0 || !c.send() {
			return
		}
	}
}

// send writes out to the socket. The caller has mu, which is let go meanwhile,
// and has seen that nobody is writing.
func (c *nullConn) send() bool {
	buf := c.out
	c.out, c.spare = c.spare, nil
	c.writing = true
	c.mu.Unlock()
	_, err := c.nc.Write(buf)
	c.mu.Lock()
	c.writing = false
	c.spare = buf[:0]
	if err != nil {
		c.closed = true
		c.nc.Close()
	}
	c.wake.Broadcast()
	return err == nil
}

// answer adds to what the peer is owed and, where nobody is at the socket,
// writes it at once: for a lone request no hand-over stands between the two.
func (c *nullConn) answer(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b...)
	if !c.writing && !c.closed {
		c.send()
	}
}

// read runs until the peer hangs up or errs.
func (c *nullConn) read() {
	if err := c.header(); err != nil {
		return
	}
	for need := 1; ; {
		if c.in.fill(need) != nil {
			return
		}
		var err error
		c.since = c.in.start
		need, err = c.batch()
		c.finish()
		if err != nil {
			return
		}
	}
}

func (c *nullConn) header() error {
	for {
		n, err := wire.ParseProtocolHeader(c.in.pending())
		if err != nil {
			return err
		}
		if n <= len(c.in.pending()) {
			c.in.use(n)
			break
		}
		if err := c.in.fill(n); err != nil {
			return err
		}
	}
	c.answer(wire.AppendMethod(nil, 0, &wire.ConnectionStart{
		VersionMinor: 9,
		ServerProperties: amqp.NewTable(
			amqp.Field{Name: "product", Value: amqp.LongString("leveret bench null broker")},
			amqp.Field{Name: "capabilities", Value: amqp.Nested(amqp.NewTable(
				amqp.Field{Name: "publisher_confirms", Value: amqp.Bool(true)},
				amqp.Field{Name: "basic.nack", Value: amqp.Bool(true)},
			))},
		),
		Mechanisms: "PLAIN",
		Locales:    "en_US",
	}))
	return nil
}

// batch handles all whole messages and methods that have been read. need is how
// many bytes must be there before it pays to call again.
func (c *nullConn) batch() (need int, err error) {
	for {
		buf := c.in.pending()
		f, n, err := wire.ParseFrame(buf, c.frameMax)
		if err != nil {
			return 0, err
		}
		if n > len(buf) {
			return n, nil
		}
		if f.Type != wire.FrameMethod {
			c.in.use(n)
			continue // heartbeats
		}
		id, args, err := wire.CutID(f.Payload)
		if err != nil {
			return 0, err
		}
		if id == wire.IDBasicAck {
			c.in.use(n)
			continue
		}
		if id != wire.IDBasicPublish {
			c.in.use(n)
			if err := c.method(f.Channel, id, args); err != nil {
				return 0, err
			}
			continue
		}
		// A message is handled when all of it lies in the buffer.
		size, whole, err := content(buf[n:], c.frameMax)
		if err != nil {
			return 0, err
		}
		if !whole {
			return n + size, nil
		}
		var m wire.BasicPublish
		if err := m.Decode(args); err != nil {
			return 0, err
		}
		if c.channel(f.Channel).published++; len(c.publishing) == 0 || c.publishing[len(c.publishing)-1] != f.Channel {
			c.publishing = append(c.publishing, f.Channel)
		}
		c.publish(&m, f.Channel, buf[n:n+size])
		c.in.use(n + size)
	}
}

// channel is the state of a channel, open or not.
func (c *nullConn) channel(ch uint16) *nullChannel {
	for len(c.channels) <= int(ch) {
		c.channels = append(c.channels, nullChannel{})
	}
	return &c.channels[ch]
}

// content measures the header and body frames at the start of buf. Where they
// are not whole, size is how many bytes they have at least.
func content(buf []byte, frameMax uint32) (size int, whole bool, err error) {
	f, n, err := wire.ParseFrame(buf, frameMax)
	if err != nil || n > len(buf) {
		return n, false, err
	}
	if f.Type != wire.FrameHeader || len(f.Payload) < 14 {
		return 0, false, errors.New("no content header after basic.publish")
	}
	size = n
	for owed := binary.BigEndian.Uint64(f.Payload[4:]); owed > 0; {
		f, n, err := wire.ParseFrame(buf[size:], frameMax)
		if err != nil {
			return 0, false, err
		}
		if n > len(buf)-size {
			return size + max(n, int(min(owed, 128<<20))), false, nil
		}
		if f.Type != wire.FrameBody || uint64(len(f.Payload)) > owed {
			return 0, false, errors.New("no body where one is owed")
		}
		owed -= uint64(len(f.Payload))
		size += n
	}
	return size, true, nil
}

// publish forwards a message, whose frames go on as they came.
func (c *nullConn) publish(m *wire.BasicPublish, ch uint16, frames []byte) {
	if !c.known || string(m.Exchange) != string(c.exchange) || string(m.RoutingKey) != string(c.routingKey) {
		c.resolve(m)
	}
	for i := range c.targets {
		c.deliver(&c.targets[i], m, ch, frames)
	}
}

// resolve finds the consumers for a publish and for those that follow with the
// same exchange and key in this read.
func (c *nullConn) resolve(m *wire.BasicPublish) {
	c.exchange = append(c.exchange[:0], m.Exchange...)
	c.routingKey = append(c.routingKey[:0], m.RoutingKey...)
	c.targets, c.known = c.targets[:0], true
	take := func(q *nullQueue) {
		if ks := q.all(); len(ks) > 0 {
			c.targets = append(c.targets, ks[c.turn%len(ks)])
		}
	}
	if len(m.Exchange) == 0 {
		take(c.b.queue(string(m.RoutingKey)))
		return
	}
	for _, q := range c.b.exchange(string(m.Exchange)).all() {
		take(q)
	}
}

func (c *nullConn) deliver(k *nullConsumer, m *wire.BasicPublish, ch uint16, frames []byte) {
	to := k.conn
	if c.held != to {
		c.release()
		to.mu.Lock()
		c.held = to
		c.touch(to)
	}
	for len(to.out) > outBound && !to.closed {
		to.wake.Broadcast()
		to.wake.Wait()
	}
	if to.closed {
		return
	}
	for len(to.tags) <= int(k.channel) {
		to.tags = append(to.tags, 0)
	}
	to.tags[k.channel]++
	size := 4 + 1 + len(k.tag) + 9 + 1 + len(m.Exchange) + 1 + len(m.RoutingKey)
	out := wire.AppendFrameHead(to.out, wire.FrameMethod, k.channel, size)
	out = binary.BigEndian.AppendUint32(out, uint32(wire.IDBasicDeliver))
	out = append(out, byte(len(k.tag)))
	out = append(out, k.tag...)
	out = binary.BigEndian.AppendUint64(out, to.tags[k.channel])
	out = append(out, 0, byte(len(m.Exchange)))
	out = append(out, m.Exchange...)
	out = append(out, byte(len(m.RoutingKey)))
	out = append(out, m.RoutingKey...)
	out = append(out, wire.FrameEnd)
	at := len(out)
	to.out = append(out, frames...)
	if k.channel != ch {
		for b := to.out[at:]; len(b) > 0; {
			binary.BigEndian.PutUint16(b[1:], k.channel)
			b = b[wire.FrameOverhead+binary.BigEndian.Uint32(b[3:]):]
		}
	}
}

func (c *nullConn) touch(to *nullConn) {
	for _, t := range c.touched {
		if t == to {
			return
		}
	}
	c.touched = append(c.touched, to)
}

func (c *nullConn) release() {
	if c.held != nil {
		c.held.mu.Unlock()
		c.held = nil
	}
}

// finish ends a read: wakes the consumers' writers, and confirms.
func (c *nullConn) finish() {
	c.release()
	for _, t := range c.touched {
		t.wake.Broadcast()
	}
	c.touched = c.touched[:0]
	c.known = false // queues and consumers may change between reads
	c.turn++
	for _, ch := range c.publishing {
		k := &c.channels[ch]
		n := k.published - k.answered
		if n == 0 || !k.confirms {
			continue
		}
		k.answered = k.published
		if c.b.commit == nil {
			c.replies = wire.AppendAck(c.replies, ch, k.published, true)
			continue
		}
		// All that this read brought goes with its first channel.
		c.b.commit.append(c.in.buf[c.since:c.in.start], promise{c, ch, k.published}, n)
		c.since = c.in.start
	}
	c.publishing = c.publishing[:0]
	if len(c.replies) > 0 {
		c.answer(c.replies)
		c.replies = c.replies[:0]
	}
}

// method answers everything but the hot ones. Nothing is ever refused.
func (c *nullConn) method(ch uint16, id wire.ID, args []byte) error {
	m, err := wire.Decode(id, args)
	if err != nil {
		return err
	}
	c.known = false
	reply := func(m wire.Method) { c.replies = wire.AppendMethod(c.replies, ch, m) }
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		reply(&wire.ConnectionTune{ChannelMax: 2047, FrameMax: 131072})
	case *wire.ConnectionTuneOk:
		c.frameMax = m.FrameMax
	case *wire.ConnectionOpen:
		reply(&wire.ConnectionOpenOk{})
	case *wire.ConnectionClose:
		reply(&wire.ConnectionCloseOk{})
		c.finish()
		return io.EOF
	case *wire.ChannelOpen:
		reply(&wire.ChannelOpenOk{})
	case *wire.ChannelClose:
		*c.channel(ch) = nullChannel{}
		reply(&wire.ChannelCloseOk{})
	case *wire.ExchangeDeclare:
		if m.Passive && !c.b.knows(m.Exchange, "") {
			reply(notThere)
			break
		}
		c.b.exchange(m.Exchange)
		reply(&wire.ExchangeDeclareOk{})
	case *wire.ExchangeDelete:
		c.b.deleteExchange(m.Exchange)
		reply(&wire.ExchangeDeleteOk{})
	case *wire.QueueDeclare:
		if m.Queue == "" {
			m.Queue = c.b.newName()
		}
		if m.Passive && !c.b.knows("", m.Queue) {
			reply(notThere)
			break
		}
		reply(&wire.QueueDeclareOk{Queue: m.Queue, ConsumerCount: uint32(len(c.b.queue(m.Queue).all()))})
	case *wire.QueueBind:
		c.b.exchange(m.Exchange).bind(c.b.queue(m.Queue))
		reply(&wire.QueueBindOk{})
	case *wire.QueueUnbind:
		reply(&wire.QueueUnbindOk{})
	case *wire.BasicCancel:
		c.b.cancel(c, ch, m.ConsumerTag)
		if !m.NoWait {
			reply(&wire.BasicCancelOk{ConsumerTag: m.ConsumerTag})
		}
	case *wire.QueuePurge:
		reply(&wire.QueuePurgeOk{})
	case *wire.QueueDelete:
		c.b.deleteQueue(m.Queue)
		reply(&wire.QueueDeleteOk{})
	case *wire.BasicQos:
		reply(&wire.BasicQosOk{})
	case *wire.BasicConsume:
		if m.ConsumerTag == "" {
			m.ConsumerTag = "amq.ctag-null"
		}
		c.finish() // what is owed goes first
		// The consumer is there when the answer says so, and the answer goes
		// before the first delivery: nobody can add one while mu is held.
		c.mu.Lock()
		c.out = wire.AppendMethod(c.out, ch, &wire.BasicConsumeOk{ConsumerTag: m.ConsumerTag})
		c.b.queue(m.Queue).add(nullConsumer{c, ch, m.ConsumerTag})
		c.wake.Broadcast()
		c.mu.Unlock()
	case *wire.BasicGet:
		reply(&wire.BasicGetEmpty{})
	case *wire.ConfirmSelect:
		c.channel(ch).confirms = true
		reply(&wire.ConfirmSelectOk{})
	}
	return nil
}
