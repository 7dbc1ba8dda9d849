package bench

import (
	"encoding/binary"
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// clock is a monotonic time in nanoseconds. It begins with the machine, so that
// programs on one machine understand each other's stamps.
func clock() int64 { return monotonic() }

// stampSize is what a stamp takes of a body: when the message was sent, or should
// have been, and its number among its publisher's. Smaller bodies go without, and the
// delivery's latency and order are not known.
const stampSize = 16

// A number is a publisher's in its high bits.
const (
	publisherShift = 48
	maxPublishers  = 1 << (64 - publisherShift)
	numberMask     = 1<<publisherShift - 1
)

func putStamp(body []byte, at int64, seq uint64) {
	binary.LittleEndian.PutUint64(body, uint64(at))
	binary.LittleEndian.PutUint64(body[8:], seq)
}

func stamp(body []byte) (at int64, seq uint64) {
	return int64(binary.LittleEndian.Uint64(body)), binary.LittleEndian.Uint64(body[8:])
}

const (
	// burstBytes is about how much a publisher writes at once.
	burstBytes = 128 << 10
	// rowBytes is what the rows of all publishers may take of memory, but for one
	// message each.
	rowBytes = 256 << 20
)

// target is where a publisher's messages go.
type target struct {
	channel       uint16
	exchange, key string
}

// burst is a row of publishes, encoded once. To send n of them the stamps are put
// in and the front is written as it is: that is how the publisher costs a few
// nanoseconds a message. Documents and routing keys that differ take several rows,
// of which all is sent in turn.
type burst struct {
	rows  [][]byte
	row   int // the next
	at    int // bytes of it that have been sent, where there are several
	size  int // bytes of one publish
	count int // the most in a row
	body  int // where the stamp is in a publish; 0 without one
}

func newBurst(cfg *Config, frameMax uint32, to target) (*burst, error) {
	props, err := properties(cfg)
	if err != nil {
		return nil, err
	}
	m := &wire.BasicPublish{Exchange: []byte(to.exchange), RoutingKey: []byte(to.key), Mandatory: cfg.Mandatory}
	keys := newKeys(cfg, to.key)
	m.RoutingKey = keys.next()
	publish := func(dst, body []byte) []byte {
		return wire.AppendPublish(dst, to.channel, frameMax, m, props, body)
	}
	one := publish(nil, patternBody(cfg.Size))
	publishers := max(1, cfg.publishers()*cfg.ProducerChannels)
	b := &burst{size: len(one), rows: make([][]byte, 1)}
	b.count = max(1, min(burstBytes, rowBytes/publishers)/b.size)
	if !cfg.NoConfirm {
		b.count = min(b.count, cfg.Outstanding)
	}
	if cfg.Content == JSON {
		docs := NewDocuments(1, cfg.Size)
		b.rows = make([][]byte, max(1, min(contentBytes, rowBytes/publishers)/(b.count*b.size)))
		for i := range b.rows {
			for range b.count {
				b.rows[i] = publish(b.rows[i], docs.Next())
				m.RoutingKey = keys.next()
			}
		}
		return b, nil
	}
	if cfg.Size >= stampSize {
		b.body = len(publish(nil, nil)) + wire.FrameOverhead - 1
	}
	if keys.n > 1 {
		// Whole turns of the keys, so that they are equally many.
		left := keys.n * max(1, b.count/keys.n)
		b.rows = b.rows[:0]
		for keys.i = 0; left > 0; {
			var row []byte
			for range min(b.count, left) {
				m.RoutingKey = keys.next()
				row = publish(row, patternBody(cfg.Size))
				left--
			}
			b.rows = append(b.rows, row)
		}
		return b, nil
	}
	for range b.count {
		b.rows[0] = append(b.rows[0], one...)
	}
	return b, nil
}

// properties are those of every message.
func properties(cfg *Config) (amqp.Properties, error) {
	props, err := ParseProperties(cfg.Properties)
	if err != nil || props.Has(amqp.PropDeliveryMode) {
		return props, err
	}
	mode := uint8(2)
	if cfg.Transient {
		mode = 1
	}
	return props.Edit().SetDeliveryMode(mode).Properties()
}

// left is how many may be taken at once now.
func (b *burst) left() int { return (len(b.rows[b.row]) - b.at) / b.size }

// take returns n publishes, no more than are left, ready to be written, numbered from
// seq. They are stamped with the time, or each with when it was due, later by shift on a
// clock that is not the process's own.
func (b *burst) take(n int, at int64, due *pace, shift int64, seq uint64) []byte {
	buf := b.rows[b.row][b.at:]
	if len(b.rows) > 1 {
		if b.at += n * b.size; n*b.size == len(buf) {
			b.row, b.at = (b.row+1)%len(b.rows), 0
		}
	}
	if b.body > 0 {
		for i := range n {
			if due != nil {
				at = due.due((seq + uint64(i)) & numberMask)
			}
			putStamp(buf[i*b.size+b.body:], at+shift, seq+uint64(i))
		}
	}
	return buf[:n*b.size]
}

// tally is a counter that can be waited for. It is added to once a read or
// write, not once a message.
type tally struct {
	mu      sync.Mutex
	n       uint64
	want    uint64
	reached chan struct{} // not nil while somebody waits
}

func (t *tally) add(n uint64) {
	t.mu.Lock()
	t.n += n
	if t.reached != nil && t.n >= t.want {
		close(t.reached)
		t.reached = nil
	}
	t.mu.Unlock()
}

func (t *tally) load() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// reach returns a channel that is closed when the tally is at least n. One
// caller at a time.
func (t *tally) reach(n uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch := make(chan struct{})
	if t.n >= n {
		close(ch)
		return ch
	}
	t.want, t.reached = n, ch
	return ch
}
