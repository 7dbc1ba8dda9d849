package conformance

import (
	"slices"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Message is something to publish.
type Message struct {
	Exchange, Key        string
	Mandatory, Immediate bool
	Props                Props
	Body                 string
}

// Delivery is a message as it came: delivered, fetched or returned.
type Delivery struct {
	Tag         uint64
	Redelivered bool
	Consumer    string
	Exchange    string
	Key         string
	Count       int // of a get: messages that remain
	Code        uint16
	Text        string // of a return
	Props       amqp.Properties
	Body        string
	Frames      []int     // sizes of the body frames
	At          time.Time // when it was read
}

// Headers returns the headers as Go values; see Plain.
func (d Delivery) Headers() Args { return Plain(d.Props.Headers()) }

// Publish publishes and returns the publish's number where the channel confirms.
func (ch *Channel) Publish(m Message) uint64 {
	ch.t.Helper()
	ch.PublishRaw(m, ch.t.props(m.Props))
	return ch.published
}

// PublishRaw publishes with these properties instead of the message's.
func (ch *Channel) PublishRaw(m Message, props amqp.Properties) {
	ch.t.Helper()
	if ch.confirming {
		ch.published++
	}
	ch.Conn.Send(wire.AppendPublish(nil, ch.ID, ch.Conn.Tuned.FrameMax, &wire.BasicPublish{
		Exchange: []byte(m.Exchange), RoutingKey: []byte(m.Key), Mandatory: m.Mandatory, Immediate: m.Immediate,
	}, props, []byte(m.Body)))
}

// PublishRefused publishes, which must close the channel with the code, and opens
// the channel again.
func (ch *Channel) PublishRefused(m Message, code uint16, texts ...string) *Closed {
	ch.t.Helper()
	ch.Publish(m)
	closed := ch.ExpectClose(code, texts...)
	ch.Reopen()
	return closed
}

// Put publishes persistent messages to a queue, one a body, and waits until they
// are there: for their confirms on a channel that has them, else for the queue.
func (ch *Channel) Put(queue string, bodies ...string) {
	ch.t.Helper()
	for _, body := range bodies {
		ch.Publish(Message{Key: queue, Body: body, Props: Props{DeliveryMode: 2}})
	}
	if ch.confirming {
		ch.Confirmed()
		return
	}
	ch.Count(queue)
}

// Confirm puts the channel in confirm mode.
func (ch *Channel) Confirm() *Channel {
	ch.t.Helper()
	Call[*wire.ConfirmSelectOk](ch, &wire.ConfirmSelect{})
	ch.confirming, ch.outcomes = true, map[uint64]bool{}
	return ch
}

// Outcome waits for a publish's confirm and reports whether it was acked.
func (ch *Channel) Outcome(seq uint64) bool {
	ch.t.Helper()
	for {
		if acked, ok := ch.outcomes[seq]; ok {
			return acked
		}
		e, err := ch.Conn.await(ch.ID, time.Now().Add(Patience), isMethod(wire.IDBasicAck, wire.IDBasicNack))
		if err != nil {
			ch.t.Fatalf("waiting for the confirm of publish %d: %v%s", seq, err, ch.Conn.inboxText(ch.ID))
		}
		switch m := e.Method.(type) {
		case *wire.BasicAck:
			ch.settle(m.DeliveryTag, m.Multiple, true)
		case *wire.BasicNack:
			ch.settle(m.DeliveryTag, m.Multiple, false)
		}
	}
}

// settle notes an ack or nack and that no tag is confirmed twice.
func (ch *Channel) settle(tag uint64, multiple, acked bool) {
	ch.t.Helper()
	if tag == 0 && multiple {
		tag = ch.published
	}
	if tag == 0 || tag > ch.published {
		ch.t.Fatalf("confirm of tag %d, %d were published", tag, ch.published)
	}
	from := tag
	if multiple {
		from = ch.settled + 1
	}
	for seq := from; seq <= tag; seq++ {
		if _, twice := ch.outcomes[seq]; twice && !multiple {
			ch.t.Fatalf("publish %d was confirmed twice", seq)
		} else if !twice {
			ch.outcomes[seq] = acked
		}
	}
	for {
		if _, ok := ch.outcomes[ch.settled+1]; !ok {
			return
		}
		ch.settled++
	}
}

// Confirmed waits until all publishes so far have been acked.
func (ch *Channel) Confirmed() {
	ch.t.Helper()
	if nacked := ch.Nacked(); len(nacked) > 0 {
		ch.t.Fatalf("publishes %v were nacked", nacked)
	}
}

// Nacked waits until all publishes so far have their outcome and returns those
// that were nacked.
func (ch *Channel) Nacked() []uint64 {
	ch.t.Helper()
	var nacked []uint64
	for seq := uint64(1); seq <= ch.published; seq++ {
		if !ch.Outcome(seq) {
			nacked = append(nacked, seq)
		}
	}
	return nacked
}

// Consume is what basic.consume says.
type Consume struct {
	Tag              string // empty: the server makes one
	NoAck, Exclusive bool
	NoLocal          bool
	Args             Args
}

// Consume starts a consumer and returns its tag.
func (ch *Channel) Consume(queue string, c Consume) string {
	ch.t.Helper()
	return Call[*wire.BasicConsumeOk](ch, consume(queue, c)).ConsumerTag
}

// ConsumeRefused starts a consumer, which must close the channel with the code, and
// opens the channel again.
func (ch *Channel) ConsumeRefused(queue string, c Consume, code uint16, texts ...string) *Closed {
	ch.t.Helper()
	return ch.Refused(consume(queue, c), code, texts...)
}

func consume(queue string, c Consume) *wire.BasicConsume {
	return &wire.BasicConsume{Queue: queue, ConsumerTag: c.Tag, NoLocal: c.NoLocal, NoAck: c.NoAck, Exclusive: c.Exclusive, Arguments: c.Args.Table()}
}

// Cancel ends a consumer and waits for the answer.
func (ch *Channel) Cancel(tag string) {
	ch.t.Helper()
	Call[*wire.BasicCancelOk](ch, &wire.BasicCancel{ConsumerTag: tag})
}

// Delivery waits for the next delivery on the channel.
func (ch *Channel) Delivery() Delivery {
	ch.t.Helper()
	return delivery(ExpectEvent[*wire.BasicDeliver](ch))
}

// Delivered takes the next delivery if it is there already; see Barrier.
func (ch *Channel) Delivered() (Delivery, bool) {
	e, ok := Has[*wire.BasicDeliver](ch)
	if !ok {
		return Delivery{}, false
	}
	return delivery(e), true
}

// Deliveries waits for n deliveries.
func (ch *Channel) Deliveries(n int) []Delivery {
	ch.t.Helper()
	list := make([]Delivery, 0, n)
	for range n {
		list = append(list, ch.Delivery())
	}
	return list
}

// ExpectBodies waits for as many deliveries and checks their bodies, in order. It
// returns them.
func (ch *Channel) ExpectBodies(bodies ...string) []Delivery {
	ch.t.Helper()
	list := ch.Deliveries(len(bodies))
	if got := Bodies(list); !slices.Equal(got, bodies) {
		ch.t.Fatalf("delivered %q, want %q", got, bodies)
	}
	return list
}

// Bodies returns the bodies of deliveries.
func Bodies(list []Delivery) []string {
	var bodies []string
	for _, d := range list {
		bodies = append(bodies, d.Body)
	}
	return bodies
}

// Return waits for the next returned message.
func (ch *Channel) Return() Delivery {
	ch.t.Helper()
	return delivery(ExpectEvent[*wire.BasicReturn](ch))
}

// Get fetches a message; ok is false where the queue is empty.
func (ch *Channel) Get(queue string, noAck bool) (d Delivery, ok bool) {
	ch.t.Helper()
	ch.Send(&wire.BasicGet{Queue: queue, NoAck: noAck})
	e, err := ch.Conn.await(ch.ID, time.Now().Add(Patience), isMethod(wire.IDBasicGetOk, wire.IDBasicGetEmpty))
	if err != nil {
		ch.t.Fatalf("waiting for the answer to basic.get: %v%s", err, ch.Conn.inboxText(ch.ID))
	}
	if e.Method.ID() == wire.IDBasicGetEmpty {
		return Delivery{}, false
	}
	return delivery(e), true
}

// Take fetches a message that must be there, and acks it.
func (ch *Channel) Take(queue string) Delivery {
	ch.t.Helper()
	d, ok := ch.Get(queue, true)
	if !ok {
		ch.t.Fatalf("%s is empty", queue)
	}
	return d
}

// AwaitMessage fetches a message that will be there in time, and acks it.
func (ch *Channel) AwaitMessage(queue string) Delivery {
	ch.t.Helper()
	var d Delivery
	ch.t.Eventually(func() (ok bool) {
		d, ok = ch.Get(queue, true)
		return ok
	}, "%s is empty", queue)
	return d
}

// Drain fetches and acks all ready messages, and returns their bodies.
func (ch *Channel) Drain(queue string) []string {
	ch.t.Helper()
	var bodies []string
	for {
		d, ok := ch.Get(queue, true)
		if !ok {
			return bodies
		}
		bodies = append(bodies, d.Body)
	}
}

// ExpectDrain fetches all ready messages, whose bodies must be these, in order.
func (ch *Channel) ExpectDrain(queue string, bodies ...string) {
	ch.t.Helper()
	if got := ch.Drain(queue); !slices.Equal(got, bodies) {
		ch.t.Fatalf("%s held %q, want %q", queue, got, bodies)
	}
}

// Ack acks one delivery.
func (ch *Channel) Ack(tag uint64) {
	ch.t.Helper()
	ch.Send(&wire.BasicAck{DeliveryTag: tag})
}

// AckAll acks all deliveries up to the tag.
func (ch *Channel) AckAll(tag uint64) {
	ch.t.Helper()
	ch.Send(&wire.BasicAck{DeliveryTag: tag, Multiple: true})
}

// Nack gives one delivery back, or throws it away.
func (ch *Channel) Nack(tag uint64, requeue bool) {
	ch.t.Helper()
	ch.Send(&wire.BasicNack{DeliveryTag: tag, Requeue: requeue})
}

// Reject gives one delivery back, or throws it away.
func (ch *Channel) Reject(tag uint64, requeue bool) {
	ch.t.Helper()
	ch.Send(&wire.BasicReject{DeliveryTag: tag, Requeue: requeue})
}

func delivery(e Event) Delivery {
	d := Delivery{Props: e.Props, Body: string(e.Body), Frames: e.Frames, At: e.At}
	switch m := e.Method.(type) {
	case *wire.BasicDeliver:
		d.Tag, d.Redelivered, d.Consumer, d.Exchange, d.Key = m.DeliveryTag, m.Redelivered, string(m.ConsumerTag), string(m.Exchange), string(m.RoutingKey)
	case *wire.BasicGetOk:
		d.Tag, d.Redelivered, d.Exchange, d.Key, d.Count = m.DeliveryTag, m.Redelivered, string(m.Exchange), string(m.RoutingKey), int(m.MessageCount)
	case *wire.BasicReturn:
		d.Code, d.Text, d.Exchange, d.Key = m.ReplyCode, m.ReplyText, string(m.Exchange), string(m.RoutingKey)
	}
	return d
}
