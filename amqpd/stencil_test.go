package amqpd

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// However deliveries follow each other, their frames are those of the codec.
func TestDeliveriesThatAreCopiedAreAsThoseThatAreNot(t *testing.T) {
	const frameMax = 4096
	c := &conn{opts: &Options{OutBuffer: 1 << 30}, frameMax: frameMax}
	var consumers []*consumer
	for i, tag := range []string{"", "a", "another"} {
		consumers = append(consumers, &consumer{ch: &channel{conn: c, id: uint16(i + 1)}, tag: tag, name: []byte(tag)})
	}
	texts := [][]byte{nil, []byte("x"), []byte("y"), []byte("longer"), bytes.Repeat([]byte("k"), 255)}
	var props []amqp.Properties
	for _, each := range []func(*amqp.PropertiesEditor){
		func(e *amqp.PropertiesEditor) {},
		func(e *amqp.PropertiesEditor) { e.SetDeliveryMode(1) },
		func(e *amqp.PropertiesEditor) { e.SetDeliveryMode(2) },
		func(e *amqp.PropertiesEditor) {
			e.SetString(amqp.PropMessageID, string(bytes.Repeat([]byte("i"), 250)))
		},
	} {
		e := new(amqp.PropertiesEditor)
		each(e)
		p, err := e.Properties()
		if err != nil {
			t.Fatal(err)
		}
		props = append(props, p)
	}
	sizes := []int{0, 1, 100, 100, 1000, frameMax - 9, frameMax - 8, frameMax - 7, 10_000}
	rnd := rand.New(rand.NewPCG(1, 2))
	var d broker.Delivery
	k := consumers[0]
	copied := 0
	for tag := range uint64(20_000) {
		// One thing changes at a time, and often none but the body.
		switch rnd.IntN(24) {
		case 0:
			k = consumers[rnd.IntN(len(consumers))]
		case 1:
			d.Exchange = texts[rnd.IntN(len(texts))]
		case 2:
			d.RoutingKey = texts[rnd.IntN(len(texts))]
		case 3:
			d.Props = props[rnd.IntN(len(props))]
		case 4:
			d.Redelivered = !d.Redelivered
		}
		if rnd.IntN(3) == 0 {
			d.Body = make([]byte, sizes[rnd.IntN(len(sizes))])
		}
		for i := range d.Body {
			d.Body[i] = byte(rnd.Uint32())
		}
		if c.stencil.fits(k, &d) {
			copied++
		}
		c.deliver(k, &d, tag)
		want := wire.AppendDeliver(nil, k.ch.id, frameMax, &wire.BasicDeliver{
			ConsumerTag: k.name, DeliveryTag: tag, Redelivered: d.Redelivered, Exchange: d.Exchange, RoutingKey: d.RoutingKey,
		}, d.Props, d.Body)
		if got := bytes.Join(c.out.pieces, nil); !bytes.Equal(got, want) {
			t.Fatalf("delivery %d of %d bytes to %q:\ngot  %x\nwant %x", tag, len(d.Body), k.tag, got, want)
		}
		c.out.release()
	}
	if copied < 1000 {
		t.Errorf("%d deliveries were copied from the one before", copied)
	}
}
