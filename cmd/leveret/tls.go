package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/certs"
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
		return fmt.Errorf("--tls-min-version %q is neither 1.2 nor 1.3", c.TLSMinVersion)
	case !slices.Contains(certs.Logins, certs.Login(c.TLSLoginFrom)):
		return fmt.Errorf("--tls-login-from %q is none of %v", c.TLSLoginFrom, certs.Logins)
	case !c.encrypted():
		if c.TLSCA != "" || c.TLSVerify != string(certs.VerifyNone) {
			return errors.New("--tls-ca and --tls-verify mean nothing without --tls-cert and --tls-key")
		}
		return nil
	case c.TLSCert == "" || c.TLSKey == "":
		return errors.New("TLS needs both --tls-cert and --tls-key")
	}
	if err := c.certificates().Validate(); err != nil {
		return fmt.Errorf("--tls-verify %s: %w (--tls-ca)", c.TLSVerify, err)
	}
	if _, _, err := net.SplitHostPort(c.amqpsAddr()); err != nil {
		return fmt.Errorf("--amqps-addr %q is not HOST:PORT: %w", c.AMQPSAddr, err)
	}
	return nil
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
		ls = append(ls, listener{tls.NewListener(ln, source.Config()), "amqps"})
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

// reloadOnHangup reads the certificates again at each SIGHUP. What cannot be used
// changes nothing. Without TLS the signal is told of and does nothing: it must not
// end a broker that somebody takes for one with certificates.
func reloadOnHangup(source *certs.Source, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-hangups:
			}
			if source == nil {
				log.Info("SIGHUP: there are no certificates to read again")
			} else if err := source.Reload(); err != nil {
				log.Error("certificates cannot be used: the former ones stay", "error", err)
			} else {
				tellCertificate(log, "certificate reloaded", source)
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
		<-ended
	}
}
