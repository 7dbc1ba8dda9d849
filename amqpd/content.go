package amqpd

import (
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// A publish is three kinds of frames: method, header, body. Where all of them
// lie in the read buffer the message is published from there; else its parts are
// copied together here as they come.

// stage is which frame a content waits for.
type stage uint8

const (
	contentNone   stage = iota
	contentHeader       // the header frame
	contentBody         // body frames
)

// content is a publish that came in pieces. Its memory grows with what has
// come, never with what was announced.
type content struct {
	stage  stage
	method wire.BasicPublish // slices of meta
	meta   []byte
	props  []byte
	size   uint64 // announced
	have   uint64 // of body
	body   []byte
	upload *broker.Upload // a large body's, instead
	lost   error          // why the body could not be kept
}

var contents = sync.Pool{New: func() any { return new(content) }}

// keepBody is the largest body buffer that is kept for the next message.
const keepBody = 256 << 10

// free gives a content back when nothing refers to it any more.
func (ct *content) free() {
	if ct.upload != nil {
		ct.upload.Abort() // does nothing to one that is published
		ct.upload = nil
	}
	if cap(ct.body) > keepBody {
		ct.body = nil
	}
	ct.stage, ct.method, ct.size, ct.have, ct.lost = contentNone, wire.BasicPublish{}, 0, 0, nil
	ct.meta, ct.props, ct.body = ct.meta[:0], ct.props[:0], ct.body[:0]
	contents.Put(ct)
}

// grow makes room for n more bytes of body: twice of what there is, and the whole
// body once a quarter of it has come. So what was copied, and is garbage until the
// next collection, is at most half of the body.
func (ct *content) grow(n int) {
	if need := len(ct.body) + n; need > cap(ct.body) {
		size := max(need, 2*cap(ct.body))
		if uint64(need) >= ct.size/4 { // need is not more: the caller has checked
			size = int(ct.size)
		}
		body := make([]byte, len(ct.body), size)
		copy(body, ct.body)
		ct.body = body
	}
}

// basicPublish begins a content. The common case is that the rest of it is in
// the buffer too.
func (c *conn) basicPublish(ch *channel, args []byte) {
	var m wire.BasicPublish
	if err := m.Decode(args); err != nil {
		c.failWith(err, wire.IDBasicPublish)
		return
	}
	if m.Immediate {
		c.failWith(amqp.NotImplemented("immediate=true"), wire.IDBasicPublish)
		return
	}
	var h wire.ContentHeader
	head, size, ok := c.peek(ch, c.r, wire.FrameHeader)
	if ok {
		var err error
		if h, err = wire.DecodeHeader(head); err != nil {
			c.failWith(err, wire.IDBasicPublish)
			return
		}
		next := c.r + size
		if h.BodySize > c.opts.MaxMessageSize || h.BodySize >= c.srv.largeBytes {
			ok = false // handleContent's business
		} else if h.BodySize == 0 {
			c.r = next
			c.gather(ch, &m, h.Properties, nil, nil, false)
			return
		}
		if body, size, whole := c.peek(ch, next, wire.FrameBody); ok && whole && uint64(len(body)) == h.BodySize {
			start := c.r - (frameOverhead + 4 + len(args))
			c.r = next + size
			if c.gather(ch, &m, h.Properties, body, nil, false) {
				c.same = repeat{ch: ch, head: c.buf[start : next+frameOverhead-1], size: len(body), method: m, props: h.Properties}
			}
			return
		}
	}
	ct := contents.Get().(*content)
	ct.meta = append(append(ct.meta[:0], m.Exchange...), m.RoutingKey...)
	ct.method = m
	ct.method.Exchange = ct.meta[:len(m.Exchange):len(m.Exchange)]
	ct.method.RoutingKey = ct.meta[len(m.Exchange):]
	ct.stage = contentHeader
	ch.content = ct
}

// peek looks at the frame at buf[at:]. It reports false where that is not whole,
// or not one of the type and channel that is asked for, or not well-formed;
// whoever comes to it in turn says which.
func (c *conn) peek(ch *channel, at int, typ uint8) (payload []byte, size int, ok bool) {
	f, size, err := wire.ParseFrame(c.buf[at:c.w], c.frameMax)
	if err != nil || size > c.w-at || f.Type != typ || f.Channel != ch.id {
		return nil, 0, false
	}
	return f.Payload, size, true
}

// handleContent acts on a frame of a channel that owes content.
func (c *conn) handleContent(ch *channel, f wire.Frame) {
	ct := ch.content
	if ct.stage == contentHeader {
		if f.Type != wire.FrameHeader {
			c.failUnexpected("expected content header for class 60, got non content header frame instead", wire.IDBasicPublish)
			return
		}
		h, err := wire.DecodeHeader(f.Payload)
		if err != nil {
			c.failWith(err, wire.IDBasicPublish)
			return
		}
		if h.BodySize > c.opts.MaxMessageSize {
			c.failMethod(ch, c.tooLarge(h.BodySize), wire.IDBasicPublish)
			return
		}
		ct.props = append(ct.props[:0], h.Properties...)
		ct.size = h.BodySize
		ct.stage = contentBody
		switch {
		case ct.size == 0:
			c.complete(ch)
		case ct.size >= c.srv.largeBytes:
			c.beginUpload(ct)
		}
		return
	}
	if f.Type != wire.FrameBody {
		c.failUnexpected("expected content body, got non content body frame instead", wire.IDBasicPublish)
		return
	}
	if uint64(len(f.Payload)) > ct.size-ct.have {
		c.failUnexpected("content body is longer than its header announced", wire.IDBasicPublish)
		return
	}
	ct.addBody(f.Payload)
	c.published = c.published || ct.upload != nil // an alarm stops it in its midst
	if ct.have == ct.size {
		c.complete(ch)
	}
}

// complete publishes a content that has all its parts. They are the batch's
// until it is flushed.
func (c *conn) complete(ch *channel) {
	ct := ch.content
	ch.content = nil
	if ct.upload != nil || ct.lost != nil {
		c.flush(false) // what came before it must not wait for its disk
	}
	c.bodies = append(c.bodies, ct)
	switch {
	case c.phase != running || ch.closing: // by what was flushed
	case ct.lost != nil:
		c.notStored(ch, ct.lost)
	default:
		c.gather(ch, &ct.method, ct.props, ct.body, ct.upload, false)
	}
}
