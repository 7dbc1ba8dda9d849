package amqpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// TLS is a net.Conn like another, but that a write or a close of it may wait for
// the peer: no lock is held for either. abort closes the socket below.

// external is the mechanism for who has shown a certificate.
const external = "EXTERNAL"

// socket is what carries nc.
func socket(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

// secure does the handshake of TLS, where there is one to do. The server's ticker
// ends one that takes too long.
func (c *conn) secure() error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	if err := t.HandshakeContext(context.Background()); err != nil {
		c.log().Info("no TLS with the client", "error", err)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := t.ConnectionState()
	if len(state.VerifiedChains) > 0 && c.opts.CertificateUser != nil {
		c.certificate = state.VerifiedChains[0][0]
	}
	c.log().Debug("TLS handshake done", "version", tls.VersionName(state.Version), "cipher", tls.CipherSuiteName(state.CipherSuite))
	return nil
}

// certificateUser is whom the client's certificate names.
func (c *conn) certificateUser() (name string, ok bool) {
	if c.certificate == nil {
		return "", false
	}
	return c.opts.CertificateUser(c.certificate)
}

// external logs in whom the certificate names.
func (c *conn) external() (*broker.User, error) {
	name, ok := c.certificateUser()
	if !ok {
		c.log().Warn("the client's certificate names no user", "subject", c.certificate.Subject.String())
		return nil, amqp.AccessRefused("no name found")
	}
	return c.srv.broker.LookUpUser(name, c.loopback())
}

// writeRecords writes all that the flight holds: a record of TLS for every 16 KiB
// and for the rest of a piece, most of which are 64 KiB, and together what they are
// to the socket.
func (c *conn) writeRecords() (err error) {
	if c.records != nil {
		c.records.Gather()
		defer func() {
			if flushed := c.records.Flush(); err == nil {
				err = flushed
			}
		}()
	}
	for c.flight.left() > 0 {
		n, err := c.nc.Write(c.flight.first())
		c.flight.advance(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// readRecords waits for a record, and reads as many as have come with it.
func (c *conn) readRecords() (int, error) {
	n, err := c.nc.Read(c.buf[c.w:])
	if err == nil && c.records != nil {
		n += c.records.More(c.nc, c.buf[c.w+n:])
	}
	return n, err
}
