package amqpd

import (
	"bytes"
	"net"
	"runtime"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/identity"
)

// product and its version say which behaviour a client may expect: clients switch on
// them. Who we are stands in platform and leveret_version.
const product = "RabbitMQ"

// clientProperties is what we heed of a client's.
type clientProperties struct {
	name             string // connection_name
	authFailureClose bool   // reads a connection.close after a refused login
	cancelNotify     bool   // reads basic.cancel
	blocked          bool   // reads connection.blocked
	mechanism        string // of the login
	all              amqp.Table
}

// protocolHeader checks how the peer begins. It reports whether there is more to
// parse.
func (c *conn) protocolHeader() bool {
	n, err := wire.ParseProtocolHeader(c.buf[c.r:c.w])
	if err != nil {
		c.log().Info("not AMQP 0-9-1", "error", err)
		c.bid([]byte(wire.ProtocolHeader))
		return false
	}
	if n > c.w-c.r {
		return false
	}
	c.r += n
	c.phase = awaitStartOK
	mechanisms := "PLAIN AMQPLAIN"
	if c.certificate != nil {
		mechanisms += " EXTERNAL"
	}
	start := startFrame(c.srv.broker.ClusterName(), c.opts.LeveretVersion, mechanisms)
	c.mu.Lock()
	c.out.write(start)
	c.mu.Unlock()
	return true
}

// startFrame is connection.start.
func startFrame(cluster, leveret, mechanisms string) []byte {
	capabilities := amqp.NewTable()
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close",
		"per_consumer_qos", "direct_reply_to",
	} {
		capabilities = capabilities.With(name, amqp.Bool(true))
	}
	return wire.AppendMethod(nil, 0, &wire.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9,
		ServerProperties: amqp.NewTable(
			amqp.Field{Name: "capabilities", Value: amqp.Nested(capabilities)},
			amqp.Field{Name: "cluster_name", Value: amqp.LongString(cluster)},
			amqp.Field{Name: "product", Value: amqp.LongString(product)},
			amqp.Field{Name: "version", Value: amqp.LongString(identity.RabbitMQ)},
			amqp.Field{Name: "platform", Value: amqp.LongString("Leveret " + leveret + ", " + runtime.Version())},
			amqp.Field{Name: "leveret_version", Value: amqp.LongString(leveret)},
			amqp.Field{Name: "information", Value: amqp.LongString("Leveret, compatible with RabbitMQ's AMQP 0-9-1")},
		),
		Mechanisms: mechanisms,
		Locales:    "en_US",
	})
}

// handleEarly acts on a frame before connection.open and after
// connection.close.
func (c *conn) handleEarly(f wire.Frame) {
	if c.phase == closing {
		if f.Type == wire.FrameMethod && f.Channel == 0 {
			switch id, _, _ := wire.CutID(f.Payload); id {
			case wire.IDConnectionClose:
				c.bid(closeOkFrame)
			case wire.IDConnectionCloseOk:
				c.phase = ended
			}
		}
		return
	}
	if f.Type != wire.FrameMethod || f.Channel != 0 {
		c.failUnexpected("expected a method of class connection", 0)
		return
	}
	id, args, err := wire.CutID(f.Payload)
	if err != nil {
		c.failWith(err, 0)
		return
	}
	m, err := decode(id, args)
	if err != nil {
		c.failWith(err, id)
		return
	}
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		if c.phase == awaitStartOK {
			c.startOk(m)
			return
		}
	case *wire.ConnectionTuneOk:
		if c.phase == awaitTuneOK {
			c.tuneOk(m)
			return
		}
	case *wire.ConnectionOpen:
		if c.phase == awaitOpen {
			c.open(m)
			return
		}
	case *wire.ConnectionClose:
		c.bid(closeOkFrame)
		return
	}
	c.failWith(amqp.ChannelError("unexpected method in connection state opening"), id)
}

func (c *conn) startOk(m *wire.ConnectionStartOk) {
	capabilities, _ := m.ClientProperties.Table("capabilities")
	able := func(name string) bool {
		yes, _ := capabilities.Bool(name)
		return yes
	}
	c.client.name, _ = m.ClientProperties.LongString("connection_name")
	c.client.authFailureClose = able("authentication_failure_close")
	c.client.cancelNotify = able("consumer_cancel_notify")
	c.client.blocked = able("connection.blocked")

	var user, password string
	var err error
	switch m.Mechanism {
	case "PLAIN":
		user, password, err = wire.DecodePlain(m.Response)
	case "AMQPLAIN":
		user, password, err = wire.DecodeAMQPlain(m.Response)
	case external:
		if c.certificate == nil {
			err = amqp.NotAllowed("unknown authentication mechanism '%s'", m.Mechanism)
		}
		user, _ = c.certificateUser()
	default:
		err = amqp.NotAllowed("unknown authentication mechanism '%s'", m.Mechanism)
	}
	switch {
	case err != nil:
	case c.certificate != nil && m.Mechanism == external:
		c.user, err = c.external()
	default:
		c.user, err = c.srv.broker.Authenticate(user, password, c.loopback())
	}
	by := audit.Actor{User: user, From: c.nc.RemoteAddr().String(), Interface: "amqp"}
	if err != nil {
		if e := amqp.AsError(err); e.Code == amqp.CodeAccessRefused {
			err = amqp.AccessRefused("Login was refused using authentication mechanism %s. For details see the broker logfile.", m.Mechanism)
			what, cause := "login refused", "wrong name or password"
			switch {
			case !c.srv.broker.MayComeFrom(user, c.loopback()):
				what += ": the user may come from this machine only (--loopback-users)"
				cause = "the user may come from this machine only"
			case m.Mechanism == external:
				cause = "no user has the certificate's name"
			}
			c.srv.broker.Tried(by, cause)
			c.log().Warn(what, "user", user, "mechanism", m.Mechanism)
			c.refused = true
		}
		c.failWith(err, 0)
		return
	}
	c.srv.broker.Tried(by, "")
	c.client.mechanism = m.Mechanism
	c.client.all = bytes.Clone(m.ClientProperties) // the read buffer moves on
	c.phase = awaitTuneOK
	c.reply(0, &wire.ConnectionTune{
		ChannelMax: c.opts.ChannelMax, FrameMax: c.opts.FrameMax, Heartbeat: c.opts.heartbeatSeconds(),
	})
}

// loopback reports whether the peer is on this machine.
func (c *conn) loopback() bool {
	switch addr := c.nc.RemoteAddr().(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	default:
		return addr.Network() == "pipe" // net.Pipe: this very process
	}
}

func (c *conn) tuneOk(m *wire.ConnectionTuneOk) {
	frameMax, channelMax := m.FrameMax, m.ChannelMax
	if frameMax == 0 {
		frameMax = c.opts.FrameMax // no limit of its own
	}
	if channelMax == 0 {
		channelMax = c.opts.ChannelMax
	}
	var err error
	switch {
	case frameMax < minFrameMax:
		err = amqp.NotAllowed("negotiated frame_max = %d is lower than the minimum allowed value (%d)", frameMax, minFrameMax)
	case frameMax > c.opts.FrameMax:
		err = amqp.NotAllowed("negotiated frame_max = %d is higher than the maximum allowed value (%d)", frameMax, c.opts.FrameMax)
	case channelMax > c.opts.ChannelMax:
		err = amqp.NotAllowed("negotiated channel_max = %d is higher than the maximum allowed value (%d)", channelMax, c.opts.ChannelMax)
	}
	if err != nil {
		c.failWith(err, wire.IDConnectionTuneOk)
		return
	}
	c.frameMax, c.channelMax = frameMax, int(channelMax)
	c.heartbeat.Store(int64(time.Duration(m.Heartbeat) * time.Second))
	c.phase = awaitOpen
}

func (c *conn) open(m *wire.ConnectionOpen) {
	session, err := c.srv.broker.NewSession(m.VirtualHost, c.user, c)
	if err != nil {
		c.srv.broker.AuditLog().Append(audit.Actor{User: c.user.Name, From: c.nc.RemoteAddr().String(), Interface: "amqp"}.Event(
			"vhost.refused", audit.Object{Type: "vhost", Name: m.VirtualHost}, map[string]any{"cause": amqp.AsError(err).Text}))
		c.failWith(err, wire.IDConnectionOpen)
		return
	}
	session.Ahead()
	c.session = session
	c.mu.Lock()
	c.counter = session
	c.mu.Unlock()
	c.batch = session.NewBatch()
	c.phase = running
	c.established.Store(true)
	c.reply(0, &wire.ConnectionOpenOk{})
	c.log().Debug("connection open", "user", c.user.Name, "vhost", m.VirtualHost, "client", c.client.name)
}

// handleConnection acts on a frame of channel 0 of a running connection.
func (c *conn) handleConnection(f wire.Frame) {
	if f.Type != wire.FrameMethod {
		c.failUnexpected("content on channel 0", 0)
		return
	}
	id, args, err := wire.CutID(f.Payload)
	if err != nil {
		c.failWith(err, 0)
		return
	}
	m, err := decode(id, args)
	if err != nil {
		c.failWith(err, id)
		return
	}
	switch m.(type) {
	case *wire.ConnectionClose:
		c.endSession()
		if c.phase == running {
			c.bid(closeOkFrame)
		}
	case *wire.ConnectionUpdateSecret:
		c.reply(0, &wire.ConnectionUpdateSecretOk{})
	default:
		c.failWith(amqp.ChannelError("unexpected method in connection state running"), id)
	}
}
