package bench

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

var epoch = time.Now()

// clock is the monotonic time in nanoseconds since the program began.
func clock() int64 { return int64(time.Since(epoch)) }

// stampSize is what a stamp takes of a body: when the message was sent and its
// number in its queue. Smaller bodies go without, and the delivery's latency
// and order are not known.
const stampSize = 16

func putStamp(body []byte, at int64, seq uint64) {
	binary.LittleEndian.PutUint64(body, uint64(at))
	binary.LittleEndian.PutUint64(body[8:], seq)
}

func stamp(body []byte) (at int64, seq uint64) {
	return int64(binary.LittleEndian.Uint64(body)), binary.LittleEndian.Uint64(body[8:])
}

// burstBytes is about how much a publisher writes at once.
const burstBytes = 128 << 10

// burst is a row of publishes, encoded once. To send n of them the stamps are put
// in and the front is written as it is: that is how the publisher costs a few
// nanoseconds a message. Documents take several rows, in turn.
type burst struct {
	rows  [][]byte
	row   int // the next
	size  int // bytes of one publish
	count int // in a row
	body  int // where the stamp is in a publish; 0 without one
}

func newBurst(cfg *Config, frameMax uint32, exchange, key string) *burst {
	props := amqp.Properties{0x10, 0x00, 2} // delivery-mode persistent
	if cfg.Transient {
		props[2] = 1
	}
	m := &wire.BasicPublish{Exchange: []byte(exchange), RoutingKey: []byte(key)}
	one := wire.AppendPublish(nil, channel, frameMax, m, props, patternBody(cfg.Size))
	b := &burst{size: len(one), rows: make([][]byte, 1)}
	b.count = max(1, burstBytes/b.size)
	if cfg.Content == JSON {
		docs := NewDocuments(1, cfg.Size)
		b.rows = make([][]byte, max(1, contentBytes/(b.count*b.size)))
		for i := range b.rows {
			for range b.count {
				b.rows[i] = wire.AppendPublish(b.rows[i], channel, frameMax, m, props, docs.Next())
			}
		}
		return b
	}
	if cfg.Size >= stampSize {
		b.body = len(wire.AppendPublish(nil, channel, frameMax, m, props, nil)) + wire.FrameOverhead - 1
	}
	for range b.count {
		b.rows[0] = append(b.rows[0], one...)
	}
	return b
}

// take returns n publishes, ready to be written, numbered from seq.
func (b *burst) take(n int, at int64, seq uint64) []byte {
	buf := b.rows[b.row]
	b.row = (b.row + 1) % len(b.rows)
	if b.body > 0 {
		for i := range n {
			putStamp(buf[i*b.size+b.body:], at, seq+uint64(i))
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
