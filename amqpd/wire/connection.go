package wire

import "github.com/leveret-mq/leveret/internal/amqp"

// ConnectionStart is connection.start.
type ConnectionStart struct {
	VersionMajor     uint8
	VersionMinor     uint8
	ServerProperties amqp.Table
	Mechanisms       string
	Locales          string
}

// ID returns IDConnectionStart.
func (*ConnectionStart) ID() ID { return IDConnectionStart }

func (m *ConnectionStart) fields(c *coder) {
	c.octet(&m.VersionMajor)
	c.octet(&m.VersionMinor)
	c.table(&m.ServerProperties)
	c.longstr(&m.Mechanisms)
	c.longstr(&m.Locales)
}

// ConnectionStartOk is connection.start-ok.
type ConnectionStartOk struct {
	ClientProperties amqp.Table
	Mechanism        string
	Response         string
	Locale           string
}

// ID returns IDConnectionStartOk.
func (*ConnectionStartOk) ID() ID { return IDConnectionStartOk }

func (m *ConnectionStartOk) fields(c *coder) {
	c.table(&m.ClientProperties)
	c.shortstr(&m.Mechanism)
	c.longstr(&m.Response)
	c.shortstr(&m.Locale)
}

// ConnectionSecure is connection.secure.
type ConnectionSecure struct {
	Challenge string
}

// ID returns IDConnectionSecure.
func (*ConnectionSecure) ID() ID { return IDConnectionSecure }

func (m *ConnectionSecure) fields(c *coder) {
	c.longstr(&m.Challenge)
}

// ConnectionSecureOk is connection.secure-ok.
type ConnectionSecureOk struct {
	Response string
}

// ID returns IDConnectionSecureOk.
func (*ConnectionSecureOk) ID() ID { return IDConnectionSecureOk }

func (m *ConnectionSecureOk) fields(c *coder) {
	c.longstr(&m.Response)
}

// ConnectionTune is connection.tune.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID returns IDConnectionTune.
func (*ConnectionTune) ID() ID { return IDConnectionTune }

func (m *ConnectionTune) fields(c *coder) {
	c.short(&m.ChannelMax)
	c.long(&m.FrameMax)
	c.short(&m.Heartbeat)
}

// ConnectionTuneOk is connection.tune-ok.
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID returns IDConnectionTuneOk.
func (*ConnectionTuneOk) ID() ID { return IDConnectionTuneOk }

func (m *ConnectionTuneOk) fields(c *coder) {
	c.short(&m.ChannelMax)
	c.long(&m.FrameMax)
	c.short(&m.Heartbeat)
}

// ConnectionOpen is connection.open.
type ConnectionOpen struct {
	VirtualHost string
}

// ID returns IDConnectionOpen.
func (*ConnectionOpen) ID() ID { return IDConnectionOpen }

func (m *ConnectionOpen) fields(c *coder) {
	c.shortstr(&m.VirtualHost)
	c.reserved(ShortString)
	c.bits(nil)
}

// ConnectionOpenOk is connection.open-ok.
type ConnectionOpenOk struct{}

// ID returns IDConnectionOpenOk.
func (*ConnectionOpenOk) ID() ID { return IDConnectionOpenOk }

func (*ConnectionOpenOk) fields(c *coder) {
	c.reserved(ShortString)
}

// ConnectionClose is connection.close.
type ConnectionClose struct {
	ReplyCode uint16
	ReplyText string
	ClassID   uint16
	MethodID  uint16
}

// ID returns IDConnectionClose.
func (*ConnectionClose) ID() ID { return IDConnectionClose }

func (m *ConnectionClose) fields(c *coder) {
	c.short(&m.ReplyCode)
	c.shortstr(&m.ReplyText)
	c.short(&m.ClassID)
	c.short(&m.MethodID)
}

// ConnectionCloseOk is connection.close-ok.
type ConnectionCloseOk struct{}

// ID returns IDConnectionCloseOk.
func (*ConnectionCloseOk) ID() ID { return IDConnectionCloseOk }

func (*ConnectionCloseOk) fields(*coder) {}

// ConnectionBlocked is connection.blocked.
type ConnectionBlocked struct {
	Reason string
}

// ID returns IDConnectionBlocked.
func (*ConnectionBlocked) ID() ID { return IDConnectionBlocked }

func (m *ConnectionBlocked) fields(c *coder) {
	c.shortstr(&m.Reason)
}

// ConnectionUnblocked is connection.unblocked.
type ConnectionUnblocked struct{}

// ID returns IDConnectionUnblocked.
func (*ConnectionUnblocked) ID() ID { return IDConnectionUnblocked }

func (*ConnectionUnblocked) fields(*coder) {}

// ConnectionUpdateSecret is connection.update-secret.
type ConnectionUpdateSecret struct {
	NewSecret string
	Reason    string
}

// ID returns IDConnectionUpdateSecret.
func (*ConnectionUpdateSecret) ID() ID { return IDConnectionUpdateSecret }

func (m *ConnectionUpdateSecret) fields(c *coder) {
	c.longstr(&m.NewSecret)
	c.shortstr(&m.Reason)
}

// ConnectionUpdateSecretOk is connection.update-secret-ok.
type ConnectionUpdateSecretOk struct{}

// ID returns IDConnectionUpdateSecretOk.
func (*ConnectionUpdateSecretOk) ID() ID { return IDConnectionUpdateSecretOk }

func (*ConnectionUpdateSecretOk) fields(*coder) {}
