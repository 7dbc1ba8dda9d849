package conformance

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Behaviour 34: what a message is made of comes back bit for bit.

// allProperties sets all fourteen properties but the user-id, which must be the
// user's.
func allProperties(user string) amqp.Properties {
	var e amqp.PropertiesEditor
	for _, p := range []amqp.Property{amqp.PropContentType, amqp.PropContentEncoding, amqp.PropCorrelationID, amqp.PropReplyTo,
		amqp.PropMessageID, amqp.PropType, amqp.PropAppID, amqp.PropClusterID} {
		e.SetString(p, "the "+p.String()+" ü 日本")
	}
	e.SetString(amqp.PropExpiration, "3600000").SetString(amqp.PropUserID, user)
	e.SetHeaders(everyType().Table()).SetDeliveryMode(2).SetPriority(7).SetTimestamp(math.MaxUint32 + 5)
	b, err := e.Properties()
	if err != nil {
		panic(err)
	}
	return b
}

// everyType is a table with a field of each type, and all of them again inside an
// array and a table.
func everyType() Args {
	plain := Args{
		"t": true, "t2": false, "b": int8(-128), "B": uint8(255), "s": int16(-32768), "u": uint16(65535), "I": int32(math.MinInt32),
		"i": uint32(math.MaxUint32), "l": int64(math.MinInt64), "f": float32(-1.5e-30), "d": math.Pi, "D": amqp.Decimal(3, 123456),
		"S": "long\x00string", "S0": "", "T": amqp.Timestamp(math.MaxUint32 + 9), "V": nil, "x": []byte{0, 1, 0xFF},
		"A0": []any{}, "F0": Args{},
	}
	all := Args{}
	list := []any{}
	for name, v := range plain {
		all[name] = v
		list = append(list, v)
	}
	all["A"] = []any{list, Args{"in an array": plain}}
	all["F"] = Args{"nested": Args{"nested": Args{"nested": plain, "list": list}}}
	return all
}

// echo publishes with the properties and returns the message that comes.
func echo(ch *Channel, props amqp.Properties, body string, persistent bool) Delivery {
	ch.t.Helper()
	q := ch.Declare(Queue{Transient: !persistent}).Queue
	ch.PublishRaw(Message{Key: q, Body: body}, props)
	ch.Confirmed()
	return ch.Take(q)
}

func init() {
	register(
		Case{Behaviour: "34", Name: "all fourteen properties come back bit for bit", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := allProperties(t.Peer.url.User.Username())
			for _, persistent := range []bool{true, false} {
				if d := echo(ch, props, "body", persistent); !bytes.Equal(d.Props, props) {
					t.Errorf("durable %v: sent %q\ngot %q", persistent, props, d.Props)
				}
			}
		}},
		Case{Behaviour: "34", Name: "each property alone comes back", Run: func(t *T) {
			ch := t.Channel().Confirm()
			var list []amqp.Properties
			for p := range amqp.Property(amqp.NumProperties) {
				var e amqp.PropertiesEditor
				switch p {
				case amqp.PropHeaders:
					e.SetHeaders(Args{"a": 1}.Table())
				case amqp.PropDeliveryMode:
					e.SetDeliveryMode(1)
				case amqp.PropPriority:
					e.SetPriority(0)
				case amqp.PropTimestamp:
					e.SetTimestamp(0)
				case amqp.PropExpiration:
					e.SetString(p, "60000")
				case amqp.PropUserID:
					e.SetString(p, t.Peer.url.User.Username())
				default:
					e.SetString(p, "")
				}
				props, err := e.Properties()
				t.Must(err)
				list = append(list, props)
			}
			for i, props := range append(list, amqp.NoProperties) {
				if d := echo(ch, props, "", true); !bytes.Equal(d.Props, props) {
					t.Errorf("property %d: sent %q, got %q", i, props, d.Props)
				}
			}
		}},
		Case{Behaviour: "34", Name: "every table type with nesting comes back bit for bit", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := t.props(Props{Headers: everyType(), DeliveryMode: 2})
			if d := echo(ch, props, "", true); !bytes.Equal(d.Props, props) {
				t.Errorf("sent %q\ngot %q", props, d.Props)
			}
		}},
		Case{Behaviour: "34", Name: "infinity and not-a-number come back bit for bit",
			Plus: "Erlang has no infinity and no not-a-number: RabbitMQ ends the connection with 541", Run: func(t *T) {
				ch := t.Channel().Confirm()
				props := t.props(Props{Headers: Args{"inf": math.Inf(-1), "nan": math.NaN(), "f": float32(math.Inf(1))}})
				if d := echo(ch, props, "", true); !bytes.Equal(d.Props, props) {
					t.Errorf("sent %q\ngot %q", props, d.Props)
				}
			}},
		Case{Behaviour: "34", Name: "the other letter of a long comes back as a long", Run: func(t *T) {
			ch := t.Channel().Confirm()
			// The table is made by hand, since no client of this suite would write it.
			table := amqp.Table("\x01nL\x00\x00\x00\x01\x00\x00\x00\x02")
			var e amqp.PropertiesEditor
			props, err := e.SetHeaders(table).Properties()
			t.Must(err)
			d := echo(ch, props, "", true)
			if n, ok := d.Props.Headers().Int("n"); !ok || n != 1<<32+2 {
				t.Errorf("got %v", d.Headers())
			}
		}},
		Case{Behaviour: "34", Name: "properties come back by deliver, get and return alike", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := allProperties(t.Peer.url.User.Username())
			q := ch.Queue(nil)
			ch.PublishRaw(Message{Key: q}, props)
			ch.PublishRaw(Message{Key: q}, props)
			ch.PublishRaw(Message{Key: t.Name("none"), Mandatory: true}, props)
			returned := ch.Return()
			got := ch.Take(q)
			ch.Consume(q, Consume{NoAck: true})
			delivered := ch.Delivery()
			for name, d := range map[string]Delivery{"returned": returned, "got": got, "delivered": delivered} {
				if !bytes.Equal(d.Props, props) {
					t.Errorf("%s: %q", name, d.Props)
				}
			}
		}},
		Case{Behaviour: "34", Name: "properties survive a requeue", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := allProperties(t.Peer.url.User.Username())
			q := ch.Queue(nil)
			ch.PublishRaw(Message{Key: q, Body: "b"}, props)
			ch.Confirmed()
			d, _ := ch.Get(q, false)
			ch.Nack(d.Tag, true)
			ch.Await(q, 1)
			if d := ch.Take(q); !bytes.Equal(d.Props, props) || !d.Redelivered {
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "34", Name: "bodies of all sizes come back byte for byte", Run: func(t *T) {
			ch := t.Channel().Confirm()
			noise := rand.NewChaCha8([32]byte{1})
			for _, n := range []int{0, 1, 4095, 4096, 131064, 131065, 300000, 5 << 20} {
				b := make([]byte, n)
				_, _ = noise.Read(b)
				if d := echo(ch, amqp.NoProperties, string(b), n%2 == 0); d.Body != string(b) {
					t.Errorf("a body of %d bytes came back as another of %d", n, len(d.Body))
				}
			}
		}},
		Case{Behaviour: "34", Name: "headers of nearly a frame come back", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := t.props(Props{Headers: Args{"long": strings.Repeat("h", 120000)}})
			if d := echo(ch, props, "b", true); !bytes.Equal(d.Props, props) {
				t.Errorf("got %d bytes of properties, sent %d", len(d.Props), len(props))
			}
		}},
		Case{Behaviour: "34", Name: "properties survive kill -9", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := allProperties(t.Peer.url.User.Username())
			q := ch.Queue(nil)
			ch.PublishRaw(Message{Key: q, Body: "b"}, props)
			ch.Confirmed()
			t.Kill()
			if d := t.Channel().Take(q); !bytes.Equal(d.Props, props) || d.Body != "b" {
				t.Errorf("got %+v", d)
			}
		}},
	)
}
