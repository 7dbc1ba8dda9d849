package amqpd_test

import (
	"net"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// afar is a listener whose clients seem to come from another machine.
type afar struct{ net.Listener }

func (l afar) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return farConn{nc}, err
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000} }

// addUser makes a user who may do everything in '/', whose password is the name.
func addUser(t *testing.T, b *broker.Broker, name string, tags ...string) {
	t.Helper()
	if _, err := b.PutUser(access.User{Name: name, Hash: access.HashKnown(name), Tags: tags}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetPermissions(access.Permissions{User: name, VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		t.Fatal(err)
	}
}

// loginAs is a connection of some user's with channel 1 open.
func loginAs(t *testing.T, b *brokertest.Broker, user string) *brokertest.Client {
	t.Helper()
	c := brokertest.NewClient(t, b.Dial(t))
	c.Start()
	c.Send(0, startOkAs(user, user))
	brokertest.Expect[*wire.ConnectionTune](c, 0)
	c.Send(0, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "/"})
	brokertest.Expect[*wire.ConnectionOpenOk](c, 0)
	c.Open(1)
	return c
}

func startOkAs(user, password string) *wire.ConnectionStartOk {
	can := amqp.NewTable(amqp.Field{Name: "authentication_failure_close", Value: amqp.Bool(true)})
	return &wire.ConnectionStartOk{
		ClientProperties: amqp.NewTable(amqp.Field{Name: "capabilities", Value: amqp.Nested(can)}),
		Mechanism:        "PLAIN", Response: wire.EncodePlain(user, password), Locale: "en_US",
	}
}

func TestGuestIsRefusedFromAfar(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addUser(t, b.Broker, "u")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Server.Serve(afar{ln}) }()
	login := func(user string) *brokertest.Client {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		c := brokertest.NewClient(t, nc)
		c.Start()
		c.Send(0, startOkAs(user, user))
		return c
	}
	if text := login("guest").ExpectClose(403); text != "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile." {
		t.Errorf("closed with %q", text)
	}
	u := login("u")
	brokertest.Expect[*wire.ConnectionTune](u, 0)
	u.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](u, 0)
	b.Stop()
	<-served
}

// What a deleted user's connection held goes back, as with any other end of one.
func TestTheConnectionsOfADeletedUserEnd(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addUser(t, b.Broker, "u")
	c, other := loginAs(t, b, "u"), loginAs(t, b, "guest")
	other.Declare(1, wire.QueueDeclare{Queue: "q"})
	other.Publish(1, "", "q", nil, "m")
	other.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true})
	c.Send(1, &wire.BasicConsume{Queue: "q"})
	brokertest.Expect[*wire.BasicConsumeOk](c, 1)
	brokertest.Expect[*wire.BasicDeliver](c, 1)
	if err := b.Broker.DeleteUser("u"); err != nil {
		t.Fatal(err)
	}
	if text := c.ExpectClose(320); text != "CONNECTION_FORCED - user 'u' is deleted" {
		t.Errorf("closed with %q", text)
	}
	if ok := other.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}); ok.MessageCount != 1 || ok.ConsumerCount != 0 {
		t.Errorf("%d messages, %d consumers", ok.MessageCount, ok.ConsumerCount)
	}
}

// A refused publish closes its channel, and what the same read brought before it on
// that channel and others is published.
func TestARefusedPublishHarmsNoOther(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addUser(t, b.Broker, "u")
	if _, err := b.Broker.SetPermissions(access.Permissions{User: "u", VHost: "/", Configure: ".*", Write: "^amq.default$", Read: ".*"}); err != nil {
		t.Fatal(err)
	}
	c := loginAs(t, b, "u")
	c.Open(2)
	c.Declare(1, wire.QueueDeclare{Queue: "q"})
	publish := func(channel uint16, exchange string) []byte { return c.Message(channel, exchange, "q", nil, "m") }
	var all []byte
	for _, p := range [][]byte{publish(1, ""), publish(2, ""), publish(1, "amq.fanout"), publish(1, ""), publish(2, "")} {
		all = append(all, p...)
	}
	c.Write(all)
	if text := c.ExpectChannelClose(1, 403); text != "ACCESS_REFUSED - access to exchange 'amq.fanout' in vhost '/' refused for user 'u'" {
		t.Errorf("closed with %q", text)
	}
	if ok := c.Declare(2, wire.QueueDeclare{Queue: "q", Passive: true}); ok.MessageCount != 3 {
		t.Errorf("%d messages, want 3", ok.MessageCount)
	}
}

func TestChannelsCountForTheirUserUntilTheyAreGone(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addUser(t, b.Broker, "u")
	if err := b.Broker.SetUserLimit("u", access.MaxChannels, 2); err != nil {
		t.Fatal(err)
	}
	a, c := loginAs(t, b, "u"), loginAs(t, b, "u")
	// One that is closed by an error makes room when it is gone.
	a.Send(1, &wire.QueueDeclare{Queue: "nope", Passive: true})
	a.ExpectChannelClose(1, 404)
	a.Open(1)
	c.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	a.Open(2)
	c.Send(1, &wire.ChannelOpen{})
	if text := c.ExpectClose(530); text != "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (2)" {
		t.Errorf("closed with %q", text)
	}
	a.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](a, 0)
	d := loginAs(t, b, "u")
	d.Open(2)
}
