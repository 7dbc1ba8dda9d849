package conformance

import (
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Behaviours 3, 8, 9, 10 and 11: connections and channels.

// tuned logs in with an answer to connection.tune, which may be refused.
func (t *T) tuned(m wire.ConnectionTuneOk) (*Conn, error) {
	t.Helper()
	return t.TryDial(Login{Tune: &m})
}

func init() {
	register(
		Case{Behaviour: "3", Name: "the server proposes 2047 channels, frames of 128 KiB, a heartbeat of a minute", Run: func(t *T) {
			if got := *t.Dial().Tune; got != (wire.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}) {
				t.Errorf("%+v", got)
			}
		}},
		Case{Behaviour: "3", Name: "a client may ask for less", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 2, FrameMax: 4096, Heartbeat: 10})
			t.Must(err)
			c.Channel()
			c.Channel()
			c.On(3).Send(&wire.ChannelOpen{})
			c.ExpectClose(530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")
		}},
		Case{Behaviour: "3", Name: "frames under 4096 bytes are 530", Plus: "RabbitMQ answers a tuning that it does not take after three seconds, by hanging up without a word", Run: func(t *T) {
			t.tuneRefused(&wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4095}, 530, "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)")
		}},
		Case{Behaviour: "3", Name: "frames over the server's are 530", Plus: "RabbitMQ answers a tuning that it does not take after three seconds, by hanging up without a word", Run: func(t *T) {
			t.tuneRefused(&wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 131073}, 530, "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)")
		}},
		Case{Behaviour: "3", Name: "channels over the server's are 530", Plus: "RabbitMQ answers a tuning that it does not take after three seconds, by hanging up without a word", Run: func(t *T) {
			t.tuneRefused(&wire.ConnectionTuneOk{ChannelMax: 2048, FrameMax: 4096}, 530, "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)")
		}},
		Case{Behaviour: "3", Name: "a client without limits of its own has the server's", Plus: "RabbitMQ takes 0, a client's having no limit, for one that is higher than its own, and hangs up", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{})
			t.Must(err)
			c.Tuned.FrameMax = c.Tune.FrameMax
			ch := c.Channel()
			q := ch.Queue(nil)
			ch.Put(q, strings.Repeat("x", 300_000))
			if d := ch.Take(q); len(d.Frames) != 3 {
				t.Errorf("came in frames of %d", d.Frames)
			}
		}},

		Case{Behaviour: "8", Name: "heartbeats come at half the interval", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: 1})
			t.Must(err)
			done := make(chan struct{})
			t.Cleanup(func() { close(done) })
			go c.beat(300*time.Millisecond, done)
			var times []time.Time
			for len(times) < 5 {
				e, err := c.await(0, deadline(), func(e Event) bool { return e.Method == nil && e.Raw == nil })
				t.Must(err)
				times = append(times, e.At)
			}
			if took := times[4].Sub(times[0]); took < time.Second || took > 3500*time.Millisecond {
				t.Errorf("five heartbeats came within %v", took)
			}
		}},
		Case{Behaviour: "8", Name: "a client silent for two intervals is dropped, and what it held returns", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: 1})
			t.Must(err)
			ch := c.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "held")
			ch.Get(q, false)
			c.ExpectingEnd()
			started := time.Now()
			c.ExpectEnd()
			if took := time.Since(started); took < 1500*time.Millisecond || took > 8*time.Second {
				t.Errorf("dropped after %v", took)
			}
			other := t.Channel()
			if d := other.AwaitMessage(q); d.Body != "held" || !d.Redelivered {
				t.Errorf("%+v came back", d)
			}
		}},
		Case{Behaviour: "8", Name: "any traffic keeps a connection alive", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: 1})
			t.Must(err)
			ch := c.Channel()
			q := ch.Queue(nil)
			for range 12 {
				ch.Publish(Message{Key: q, Body: "m"})
				time.Sleep(350 * time.Millisecond)
			}
			ch.Sync()
		}},
		Case{Behaviour: "8", Name: "without a heartbeat none comes and nobody is dropped", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
			t.Must(err)
			time.Sleep(3 * time.Second)
			if e, ok := c.find(0, func(e Event) bool { return e.Method == nil }); ok {
				t.Errorf("%v came", e)
			}
			c.Channel().Sync()
		}},

		Case{Behaviour: "9", Name: "a channel that is opened twice is 504", Run: func(t *T) {
			ch := t.Channel()
			ch.Send(&wire.ChannelOpen{})
			ch.Conn.ExpectClose(504, "CHANNEL_ERROR - second 'channel.open' seen")
		}},
		Case{Behaviour: "9", Name: "a method on a channel that is not open is 504", Run: func(t *T) {
			c := t.Dial()
			c.On(5).Send(&wire.BasicQos{PrefetchCount: 1})
			c.ExpectClose(504, "CHANNEL_ERROR - expected 'channel.open'")
		}},
		Case{Behaviour: "9", Name: "a channel's number can be used again after its close", Run: func(t *T) {
			c := t.Dial()
			for range 3 {
				ch := c.OpenChannel(9)
				ch.Sync()
				ch.Close()
			}
			c.On(9).Send(&wire.BasicQos{PrefetchCount: 1})
			c.ExpectClose(504)
		}},
		Case{Behaviour: "9", Name: "any number may be a channel's, also one over channel_max", Run: func(t *T) {
			c, err := t.tuned(wire.ConnectionTuneOk{ChannelMax: 3, FrameMax: 4096})
			t.Must(err)
			c.OpenChannel(65535).Sync()
			c.OpenChannel(4).Sync()
		}},
		Case{Behaviour: "9", Name: "after channel.close from the server all but close-ok is ignored", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			ch.Consume(q, Consume{})
			tag := ch.Deliveries(2)[1].Tag
			b := wire.AppendMethod(nil, ch.ID, &wire.QueueDeclare{Queue: ch.t.Name("missing"), Passive: true})
			b = wire.AppendAck(b, ch.ID, tag, true)
			b = wire.AppendAck(b, ch.ID, 99, false)
			b = wire.AppendPublish(b, ch.ID, 4096, &wire.BasicPublish{Exchange: []byte("missing")}, nil, []byte("late"))
			b = wire.AppendMethod(b, ch.ID, &wire.QueuePurge{Queue: q})
			ch.Conn.Send(b)
			ch.ExpectClose(404)
			ch.Reopen()
			ch.Await(q, 2)
			for _, body := range []string{"1", "2"} {
				if d := ch.Take(q); d.Body != body || !d.Redelivered {
					t.Errorf("%+v came back", d)
				}
			}
		}},
		Case{Behaviour: "9", Name: "what comes right behind a client's channel.close is dropped", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "m")
			d, _ := ch.Get(q, false)
			b := wire.AppendMethod(nil, ch.ID, &wire.ChannelClose{ReplyCode: 200})
			b = wire.AppendAck(b, ch.ID, d.Tag, false)
			b = wire.AppendPublish(b, ch.ID, 4096, &wire.BasicPublish{RoutingKey: []byte(q)}, amqp.NoProperties, []byte("late"))
			ch.Conn.Send(b)
			Expect[*wire.ChannelCloseOk](ch)
			other := ch.Conn.Channel()
			other.Await(q, 1)
			other.ExpectDrain(q, "m")
		}},
		Case{Behaviour: "9", Name: "an error on one channel is nothing to another", Run: func(t *T) {
			c := t.Dial()
			bad, good := c.Channel(), c.Channel()
			q := good.Queue(nil)
			good.Consume(q, Consume{NoAck: true})
			bad.Refused(&wire.QueuePurge{Queue: t.Name("missing")}, 404)
			bad.Put(q, "m")
			good.ExpectBodies("m")
		}},
		Case{Behaviour: "9", Name: "channel.close from both sides at once", Run: func(t *T) {
			ch := t.Channel()
			b := wire.AppendMethod(nil, ch.ID, &wire.QueueDeclare{Queue: t.Name("missing"), Passive: true})
			ch.Conn.Send(wire.AppendMethod(b, ch.ID, &wire.ChannelClose{ReplyCode: 200}))
			Expect[*wire.ChannelCloseOk](ch)
			ch.Send(&wire.ChannelCloseOk{})
			ch.Reopen()
			ch.Sync()
		}},

		Case{Behaviour: "10", Name: "who publishes while the disk is low is told, and not read; others go on", Needs: Own, Run: func(t *T) {
			t.Start(Options{Leveret: []string{"--disk-free-limit", "1000TB"}, RabbitMQ: []string{"disk_free_limit.absolute = 900000GB"}})
			bystander := t.Channel()
			q := bystander.Queue(nil)
			publisher := t.Dial()
			ch := publisher.Channel()
			// The broker looks at the disk now and then, and blocks who publishes after it has.
			var blocked Event
			t.Eventually(func() (ok bool) {
				ch.Publish(Message{Key: q, Body: "m"})
				blocked, ok = Has[*wire.ConnectionBlocked](publisher.On(0))
				return ok
			}, "a publisher is not told of the alarm")
			if m := blocked.Method.(*wire.ConnectionBlocked); !strings.Contains(m.Reason, "low on disk") {
				t.Errorf("the reason is %q", m.Reason)
			}
			publisher.ExpectingEnd()
			// Who does not know of connection.blocked is held up without a word.
			mute := t.DialAs(Login{Capabilities: []string{"basic.nack"}})
			muteCh := mute.Channel()
			mute.ExpectingEnd()
			// What came in one read with the publish that blocks its connection is served.
			for _, held := range []*Channel{ch, muteCh} {
				t.Eventually(func() bool {
					held.Publish(Message{Key: q, Body: "m"})
					held.Send(&wire.QueueDeclare{Queue: q, Passive: true})
					_, read := Within[*wire.QueueDeclareOk](held, 500*time.Millisecond)
					return !read
				}, "a publisher is still read")
			}
			for range 20 {
				bystander.Consume(q, Consume{})
				bystander.Sync()
			}
			if e, ok := Has[*wire.ConnectionBlocked](mute.On(0)); ok {
				t.Errorf("%v came to who does not know it", e)
			}
			publisher.Conn.Close()
			mute.Conn.Close()
		}},

		Case{Behaviour: "11", Name: "connection.update-secret is answered", Run: func(t *T) {
			c := t.Dial()
			Call[*wire.ConnectionUpdateSecretOk](c.On(0), &wire.ConnectionUpdateSecret{NewSecret: "guest", Reason: "renewed"})
			c.Channel().Sync()
		}},
		Case{Behaviour: "11", Name: "channel.flow that is to stop the server is 540, one that is not is answered", Run: func(t *T) {
			ch := t.Channel()
			if m := Call[*wire.ChannelFlowOk](ch, &wire.ChannelFlow{Active: true}); !m.Active {
				t.Errorf("%+v", m)
			}
			ch.Send(&wire.ChannelFlow{Active: false})
			ch.Conn.ExpectClose(540, "NOT_IMPLEMENTED - active=false")
		}},
		Case{Behaviour: "11", Name: "a graceful stop is 320", Needs: Own, Run: func(t *T) {
			t.Start(Options{})
			if t.Peer.Restart == nil {
				t.NotRun("the peer of the case cannot be stopped")
			}
			c := t.Dial()
			c.Channel()
			stopped := make(chan error, 1)
			go func() { stopped <- t.Peer.Restart(false) }()
			c.ExpectClose(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
			t.Must(<-stopped)
			t.Channel().Sync()
		}},
	)
}

// tuneRefused answers connection.tune with what must close the connection.
func (t *T) tuneRefused(m *wire.ConnectionTuneOk, code uint16, texts ...string) {
	t.Helper()
	c := t.Raw()
	c.Send([]byte(wire.ProtocolHeader))
	Expect[*wire.ConnectionStart](c.On(0))
	user := t.Peer.url.User
	password, _ := user.Password()
	c.SendMethod(0, Login{User: user.Username(), Password: password}.startOk())
	Expect[*wire.ConnectionTune](c.On(0))
	c.SendMethod(0, m)
	c.ExpectClose(code, texts...)
}

// beat sends heartbeats.
func (c *Conn) beat(every time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			c.Send(wire.AppendHeartbeat(nil))
		}
	}
}
