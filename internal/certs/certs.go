package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Verify says what is asked of clients.
type Verify string

// What is asked of clients.
const (
	VerifyNone     Verify = "none"     // no certificate
	VerifyOptional Verify = "optional" // a good one, or none
	VerifyRequired Verify = "required" // a good one
)

// Options name the files and what is done with them.
type Options struct {
	// CertFile and KeyFile are PEM: the server's certificate with those between it
	// and the authority behind it, and its private key.
	CertFile, KeyFile string
	// CAFile holds, in PEM, the authorities that sign clients' certificates.
	CAFile string
	// Verify is what is asked of clients. Default VerifyNone.
	Verify Verify
	// MinVersion is the least version of TLS. Default tls.VersionTLS12.
	MinVersion uint16
}

// Validate says what of the options cannot work, whatever is in the files.
func (o Options) Validate() error {
	switch o.Verify {
	case "", VerifyNone:
	case VerifyOptional, VerifyRequired:
		if o.CAFile == "" {
			return fmt.Errorf("clients' certificates are %s, but there is no file with the authorities that sign them", o.Verify)
		}
	default:
		return fmt.Errorf("verification %q is none of %s, %s, %s", o.Verify, VerifyNone, VerifyOptional, VerifyRequired)
	}
	switch {
	case o.CertFile == "" || o.KeyFile == "":
		return fmt.Errorf("TLS needs a certificate and its key")
	case o.MinVersion != 0 && o.MinVersion < tls.VersionTLS12:
		return fmt.Errorf("TLS versions before 1.2 are not safe")
	}
	return nil
}

// Source is the TLS configuration of a listener, which may be read anew.
type Source struct {
	current atomic.Pointer[loaded]
}

type loaded struct {
	opts   Options
	config *tls.Config
	leaf   *x509.Certificate
}

// Load reads the files.
func Load(o Options) (*Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Source{}
	if err := s.Replace(o); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again. New handshakes see what they say; where they
// cannot be used, the error says why and all stays as it was.
func (s *Source) Reload() error {
	return s.Replace(s.current.Load().opts)
}

// Replace is Reload with other options.
func (s *Source) Replace(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	next, err := load(o)
	if err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// Config is for tls.NewListener. It follows Reload.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12, // that of the options is in what follows
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load().config, nil },
	}
}

// NotAfter is when the server's certificate ends.
func (s *Source) NotAfter() time.Time { return s.current.Load().leaf.NotAfter }

// Subject is whom the server's certificate names.
func (s *Source) Subject() string { return DistinguishedName(s.current.Load().leaf) }

func load(o Options) (*loaded, error) {
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", o.CertFile, o.KeyFile, err)
	}
	leaf := cert.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", o.CertFile, err)
		}
	}
	if now := time.Now(); now.After(leaf.NotAfter) {
		return nil, fmt.Errorf("certificate %s ended on %s", o.CertFile, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	config := &tls.Config{
		Certificates:           []tls.Certificate{cert},
		MinVersion:             max(o.MinVersion, tls.VersionTLS12),
		SessionTicketsDisabled: true,
		// A broker's connection carries much more than a page: no small records to begin with.
		DynamicRecordSizingDisabled: true,
	}
	if o.CAFile != "" {
		if config.ClientCAs, err = authorities(o.CAFile); err != nil {
			return nil, err
		}
	}
	switch o.Verify {
	case VerifyOptional:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case VerifyRequired:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return &loaded{o, config, leaf}, nil
}

// authorities reads the certificates of a PEM file, each of which must be good.
func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool, n := x509.NewCertPool(), 0
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authorities %s: certificate %d: %w", file, n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("authorities: there is no certificate in %s", file)
	}
	return pool, nil
}
