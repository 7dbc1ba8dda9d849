package broker

import (
	"errors"
	"fmt"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
)

// A large message's body goes from the front end into a file, and from there to
// each consumer, without ever being in memory as a whole.

// Upload is the body of a large message that is being received: see
// Session.NewUpload.
type Upload = store.Upload

// Large is a body in a file of its own, as deliveries have it. Who Retains it
// must Release it.
type Large = store.Large

// LargeReader reads such a body, in pieces, and checks each.
type LargeReader = store.LargeReader

// ErrTooManyUploads is NewUpload's error where too many are under way: take the
// body in memory.
var ErrTooManyUploads = store.ErrTooManyUploads

// ErrNotStored is Publish's error where a large body could not be kept: the
// message has no index and no effect, its publisher is to be told so (nack).
var ErrNotStored = errors.New("the message could not be stored")

// BodyDamaged tells whether a body that failed to be read cannot be had any more,
// rather than not at the moment.
func BodyDamaged(err error) bool { return store.Damaged(err) }

// LargeBytes is from where on a body is to be published by an Upload, in bytes.
func (b *Broker) LargeBytes() uint64 { return uint64(b.store.LargeBytes()) }

// NewUpload begins a large message: size is its body's length, props the
// properties that it comes with. Give it to Publish when the body is written, or
// Abort it.
func (s *Session) NewUpload(size uint64, props amqp.Properties) (*Upload, error) {
	return s.b.store.NewUpload(int64(size), props.DeliveryMode() == 2)
}

// publishLarge is the end of Publish for a message whose body is an upload. It
// waits until the body is on disk, if it is persistent.
func (b *Batch) publishLarge(p *Publishing, r *route, m store.Message, queues []*store.Queue) error {
	if len(r.delays) > 0 && b.kept != nil {
		m.Props = b.kept // it is a copy that gets on
	}
	l, err := p.Upload.Finish(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	i := 0
	if len(r.delays) > 0 {
		i = b.publishDelayed(r, m, l)
	} else {
		i = b.cur.PublishLarge(l, m, queues)
	}
	l.Release() // the batch holds it now
	b.index = append(b.index, int32(i))
	return nil
}

// FinishUpload makes an upload a body that can be sent back: a mandatory message
// that no queue takes. The caller Releases it.
func FinishUpload(p *Publishing) (*Large, error) {
	return p.Upload.Finish(store.Message{Exchange: p.Exchange, RoutingKey: p.RoutingKey, Props: p.Props})
}

// size is how many bytes the body has.
func (p *Publishing) size() int {
	if p.Upload != nil {
		return int(p.Upload.Size())
	}
	return len(p.Body)
}

func (q *localQueue) SetAside(seq uint64, cause error) {
	sq, n := q.lane(seq)
	sq.SetAside(n, cause)
}
