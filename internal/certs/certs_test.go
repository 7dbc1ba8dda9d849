package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/certs/certtest"
)

// shake does a handshake over a pipe and returns what each side has to say.
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	clientErr = c.Handshake()
	if clientErr == nil {
		state = c.ConnectionState()
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			clientErr = err
		}
	}
	b.Close()
	return state, <-done, clientErr
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{CertFile: "c", KeyFile: "k"}, ""},
		{Options{CertFile: "c", KeyFile: "k", Verify: VerifyOptional, CAFile: "a", MinVersion: tls.VersionTLS13}, ""},
		{Options{CertFile: "c"}, "TLS needs a certificate and its key"},
		{Options{CertFile: "c", KeyFile: "k", Verify: VerifyRequired}, "clients' certificates are required, but there is no file with the authorities that sign them"},
		{Options{CertFile: "c", KeyFile: "k", Verify: "perhaps"}, `verification "perhaps" is none of none, optional, required`},
		{Options{CertFile: "c", KeyFile: "k", MinVersion: tls.VersionTLS11}, "TLS versions before 1.2 are not safe"},
	} {
		err := c.o.Validate()
		if got := ""; err != nil {
			if got = err.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%+v is taken", c.o)
		}
	}
}

// Each way in which a renewal can go wrong leaves what was there.
func TestABadReloadChangesNothing(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewAuthority(t, "authority")
	good := ca.Server()
	cert, key := good.Write(t, dir, "server")
	caFile := certtest.WriteFile(t, dir, "ca.pem", ca.PEM)
	s, err := Load(Options{CertFile: cert, KeyFile: key, CAFile: caFile, Verify: VerifyRequired})
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{ca.Client("c").TLS(t)}}
	serial := func() string {
		state, serverErr, clientErr := shake(t, s.Config(), client)
		if serverErr != nil || clientErr != nil {
			t.Fatal(serverErr, clientErr)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	was := serial()
	restore := func() {
		good.Write(t, dir, "server")
		certtest.WriteFile(t, dir, "ca.pem", ca.PEM)
	}
	other := ca.Server()
	old := ca.Sign(&x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	for name, spoil := range map[string]func(){
		"the key of another":        func() { certtest.WriteFile(t, dir, "server.key", other.Key) },
		"no key":                    func() { os.Remove(key) },
		"half a certificate":        func() { certtest.WriteFile(t, dir, "server.pem", good.Cert[:100]) },
		"one that has ended":        func() { old.Write(t, dir, "server") },
		"no authorities":            func() { certtest.WriteFile(t, dir, "ca.pem", []byte("nothing")) },
		"a broken authority":        func() { certtest.WriteFile(t, dir, "ca.pem", []byte(strings.Replace(string(ca.PEM), "M", "N", 3))) },
		"authorities that are gone": func() { os.Remove(caFile) },
	} {
		spoil()
		if err := s.Reload(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if serial() != was {
			t.Errorf("%s: another certificate is shown", name)
		}
		restore()
	}
	other.Write(t, dir, "server")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if serial() != other.X509.SerialNumber.String() {
		t.Error("the new certificate is not shown")
	}
}

func TestClientsAreVerifiedAsAsked(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := certtest.NewAuthority(t, "authority"), certtest.NewAuthority(t, "stranger")
	cert, key := ca.Server().Write(t, dir, "server")
	caFile := certtest.WriteFile(t, dir, "ca.pem", append([]byte("# a comment\n"), ca.PEM...))
	mine, theirs := ca.Client("c").TLS(t), stranger.Client("c").TLS(t)
	server := ca.Sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).TLS(t)
	for _, c := range []struct {
		verify Verify
		shown  *tls.Certificate
		ok     bool
	}{
		{VerifyNone, nil, true}, {VerifyNone, &theirs, true},
		{VerifyOptional, nil, true}, {VerifyOptional, &mine, true}, {VerifyOptional, &theirs, false},
		{VerifyRequired, nil, false}, {VerifyRequired, &mine, true}, {VerifyRequired, &theirs, false},
		{VerifyRequired, &server, false}, // a server's is no client's
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s, err := Load(Options{CertFile: cert, KeyFile: key, CAFile: caFile, Verify: c.verify})
			if err != nil {
				t.Fatal(err)
			}
			client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version}
			if c.shown != nil {
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.shown, nil }
			}
			if _, serverErr, _ := shake(t, s.Config(), client); (serverErr == nil) != c.ok {
				t.Errorf("%s, a certificate is shown %t, %s: %v", c.verify, c.shown != nil, tls.VersionName(version), serverErr)
			}
		}
	}
}

func TestTheLeastVersionIsKept(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewAuthority(t, "authority")
	cert, key := ca.Server().Write(t, dir, "server")
	for _, c := range []struct {
		least, offered uint16
		ok             bool
	}{
		{0, tls.VersionTLS11, false}, {0, tls.VersionTLS12, true}, {0, tls.VersionTLS13, true},
		{tls.VersionTLS13, tls.VersionTLS12, false}, {tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		s, err := Load(Options{CertFile: cert, KeyFile: key, MinVersion: c.least})
		if err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: c.offered}
		if _, err, _ := shake(t, s.Config(), client); (err == nil) != c.ok {
			t.Errorf("least %s, offered %s: %v", tls.VersionName(c.least), tls.VersionName(c.offered), err)
		}
	}
}

func TestTheNameInACertificate(t *testing.T) {
	ca := certtest.NewAuthority(t, "authority")
	u, err := url.Parse("spiffe://example/service")
	if err != nil {
		t.Fatal(err)
	}
	full := ca.Sign(&x509.Certificate{
		RawSubject: subject(t, [][]pkix.AttributeTypeAndValue{
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "DE"}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: `Hare, Leveret "& Co" `}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "#1"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "client"}},
			{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "c@example.org"}},
			{{Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "own"}},
		}),
		DNSNames: []string{"a.example", "b.example"}, EmailAddresses: []string{"m@example.org"},
		URIs: []*url.URL{u}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
	}).X509
	bare := ca.Sign(&x509.Certificate{}).X509
	for login, want := range map[Login]string{
		LoginDN:    `1.2.3.4=own,EMAILADDRESS=c@example.org,OU=\#1+CN=client,O=Hare\, Leveret \"& Co\"\ ,C=DE`,
		LoginCN:    "client",
		LoginDNS:   "a.example",
		LoginEmail: "m@example.org",
		LoginURI:   "spiffe://example/service",
		LoginIP:    "10.0.0.1",
	} {
		if got, ok := login.Name(full); got != want || !ok {
			t.Errorf("%s: got  %s\nwant %s", login, got, want)
		}
		if got, ok := login.Name(bare); ok {
			t.Errorf("%s: %q in a certificate without a name", login, got)
		}
	}
}

func subject(t *testing.T, seq [][]pkix.AttributeTypeAndValue) []byte {
	var rdns pkix.RDNSequence
	for _, set := range seq {
		rdns = append(rdns, set)
	}
	raw, err := asn1.Marshal(rdns)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
