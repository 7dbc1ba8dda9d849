package amqpd

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/wal"
)

// Whatever order batches, commits and answers come in, each tag is settled once
// and in order; it is acked only when its LSN is durable, and what the log has
// lost is nacked.
func TestConfirmsFollowTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &conn{opts: &Options{}, wake: make(chan struct{}, 1)}
		type owed struct {
			lsn  wal.LSN
			nack bool
		}
		const channels = 3
		var chs [channels]*channel
		var tags [channels][]owed
		var settled [channels]int
		for i := range chs {
			chs[i] = &channel{conn: c, id: uint16(i + 1)}
		}
		var appended, durable wal.LSN
		failed := false
		answers := func(t *rapid.T) {
			c.settleConfirms()
			stream := bytes.Join(c.out.pieces, nil)
			c.out.release()
			for len(stream) > 0 {
				f, n, err := wire.ParseFrame(stream, 0)
				if err != nil {
					t.Fatal(err)
				}
				stream = stream[n:]
				m, err := wire.DecodeMethod(f.Payload)
				if err != nil {
					t.Fatal(err)
				}
				var tag uint64
				var multiple, nack bool
				switch m := m.(type) {
				case *wire.BasicAck:
					tag, multiple = m.DeliveryTag, m.Multiple
				case *wire.BasicNack:
					tag, multiple, nack = m.DeliveryTag, m.Multiple, true
				}
				i := f.Channel - 1
				if int(tag) <= settled[i] || int(tag) > len(tags[i]) || !multiple && int(tag) != settled[i]+1 {
					t.Fatalf("tag %d (multiple %v) after %d of %d", tag, multiple, settled[i], len(tags[i]))
				}
				for settled[i] < int(tag) {
					o := tags[i][settled[i]]
					settled[i]++
					lost := failed && o.lsn > durable
					if o.lsn > durable && !failed {
						t.Fatalf("tag %d answered before %d is durable", settled[i], o.lsn)
					}
					if nack != (o.nack || lost) {
						t.Fatalf("tag %d: nack %v; refused %v, lost %v", settled[i], nack, o.nack, lost)
					}
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"flush": func(t *rapid.T) {
				lsn := wal.LSN(0)
				if rapid.Bool().Draw(t, "persistent") && !failed {
					appended += wal.LSN(rapid.IntRange(1, 100).Draw(t, "bytes"))
					lsn = appended
				}
				for range rapid.IntRange(1, 4).Draw(t, "runs") {
					i := rapid.IntRange(0, channels-1).Draw(t, "channel")
					nack := rapid.IntRange(0, 3).Draw(t, "refused") == 0
					n := rapid.IntRange(1, 3).Draw(t, "n")
					for range n {
						tags[i] = append(tags[i], owed{lsn, nack})
					}
					c.promise(chs[i], lsn, uint64(len(tags[i])), nack)
				}
			},
			"commit": func(t *rapid.T) {
				if failed {
					return
				}
				durable += wal.LSN(rapid.Uint64Range(0, uint64(appended-durable)).Draw(t, "durable"))
				c.Committed(durable, nil)
			},
			"log fails": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 && !failed {
					failed = true
					c.Committed(durable, errors.New("no more"))
				}
			},
			"answer": answers,
			"": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "look") {
					answers(t)
				}
			},
		})
		// In the end all is durable, or lost, and all is answered.
		if !failed {
			durable = appended
			c.Committed(durable, nil)
		}
		answers(t)
		for i := range tags {
			if settled[i] != len(tags[i]) {
				t.Fatalf("channel %d: %d of %d are settled", i+1, settled[i], len(tags[i]))
			}
		}
	})
}

func TestAClosedChannelIsConfirmedNothing(t *testing.T) {
	c := &conn{opts: &Options{}, wake: make(chan struct{}, 1)}
	gone, there := &channel{conn: c, id: 1}, &channel{conn: c, id: 2}
	c.promise(gone, 10, 5, false)
	c.promise(there, 10, 7, true)
	c.promise(gone, 20, 6, false)
	gone.closed = true
	c.promise(gone, 20, 7, false)
	c.Committed(20, nil)
	c.settleConfirms()
	want := wire.AppendNack(nil, 2, 7, true, false)
	if got := bytes.Join(c.out.pieces, nil); !bytes.Equal(got, want) {
		t.Errorf("sent %x, want %x", got, want)
	}
	if c.promises.n != 0 || gone.confirm.promised != 0 {
		t.Errorf("%d promises left", c.promises.n)
	}
}
