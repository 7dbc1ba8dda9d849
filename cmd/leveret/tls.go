package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/internal/certs"
	"github.com/leveret-mq/leveret/internal/tlsio"
)

// encrypted tells whether there is a listener with TLS.
func (c *Config) encrypted() bool { return c.TLSCert != "" || c.TLSKey != "" || c.AMQPSAddr != "" }

// tlsVersions are what --tls-min-version may say.
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (c *Config) certificates() certs.Options {
	return certs.Options{
		CertFile: c.TLSCert, KeyFile: c.TLSKey, CAFile: c.TLSCA,
		Verify: certs.Verify(c.TLSVerify), MinVersion: tlsVersions[c.TLSMinVersion],
	}
}

// amqpsAddr is where the listener with TLS is.
func (c *Config) amqpsAddr() string {
	if c.AMQPSAddr == "" {
		return ":5671"
	}
	return c.AMQPSAddr
}

func (c *Config) validateTLS() error {
	switch {
	case tlsVersions[c.TLSMinVersion] == 0:
		return badOption("tls-min-version", "%q is neither 1.2 nor 1.3", c.TLSMinVersion)
	case !slices.Contains(certs.Logins, certs.Login(c.TLSLoginFrom)):
		return badOption("tls-login-from", "%q is none of %v", c.TLSLoginFrom, certs.Logins)
	case !c.encrypted():
		if c.TLSCA != "" {
			return badOption("tls-ca", "means nothing without --tls-cert and --tls-key")
		}
		if c.TLSVerify != string(certs.VerifyNone) {
			return badOption("tls-verify", "means nothing without --tls-cert and --tls-key")
		}
		return nil
	case c.TLSCert == "":
		return badOption("tls-cert", "is not given: TLS needs both --tls-cert and --tls-key")
	case c.TLSKey == "":
		return badOption("tls-key", "is not given: TLS needs both --tls-cert and --tls-key")
	}
	if err := c.certificates().Validate(); err != nil {
		return badOption("tls-verify", "%s: %v (--tls-ca)", c.TLSVerify, err)
	}
	return checkAddr("amqps-addr", c.amqpsAddr())
}

// listener is one of AMQP's, with what it is called.
type listener struct {
	net.Listener
	kind string
}

type listeners []listener

func (ls listeners) close() {
	for _, l := range ls {
		l.Close()
	}
}

// addr is where the listener of a kind is; empty where there is none.
func (ls listeners) addr(kind string) string {
	for _, l := range ls {
		if l.kind == kind {
			return l.Addr().String()
		}
	}
	return ""
}

// listen opens AMQP's listeners. The certificates are nil where there is no TLS.
func (c *Config) listen(log *slog.Logger) (ls listeners, source *certs.Source, err error) {
	open := func(flag, addr string) (net.Listener, error) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, explainListen(flag, addr, err)
		}
		return ln, nil
	}
	if c.encrypted() {
		if source, err = certs.Load(c.certificates()); err != nil {
			return nil, nil, err
		}
		tellCertificate(log, "certificate loaded", source)
		ln, err := open("--amqps-addr", c.amqpsAddr())
		if err != nil {
			return nil, nil, err
		}
		ls = append(ls, listener{tls.NewListener(tlsio.Listen(ln), source.Config()), "amqps"})
	}
	if c.AMQPAddr != "" {
		ln, err := open("--amqp-addr", c.AMQPAddr)
		if err != nil {
			ls.close()
			return nil, nil, err
		}
		ls = append(ls, listener{ln, "amqp"})
	}
	return ls, source, nil
}

// expiresSoon is when the log begins to warn of a certificate's end.
const expiresSoon = 14 * 24 * time.Hour

func tellCertificate(log *slog.Logger, what string, source *certs.Source) {
	level := slog.LevelInfo
	if left := time.Until(source.NotAfter()); left < expiresSoon {
		level = slog.LevelWarn
		what += ", and ends soon"
	}
	log.Log(context.Background(), level, what, "subject", source.Subject(), "until", source.NotAfter().UTC().Format(time.RFC3339))
}
