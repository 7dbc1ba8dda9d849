package amqpd_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/certs"
)

// hollow is a client's connection that seals its records itself, and sends one with
// nothing in it behind all that it writes, at once.
type hollow struct {
	*tls.Conn
	below net.Conn
	aead  cipher.AEAD
	iv    []byte
	seq   uint64
}

// newHollow takes over from a client that has done its handshake, in TLS 1.3, and has
// written nothing since. secrets is its key log.
func newHollow(t *testing.T, c *tls.Conn, secrets string) *hollow {
	t.Helper()
	newHash, size := sha256.New, 16
	switch suite := c.ConnectionState().CipherSuite; suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		newHash, size = sha512.New384, 32
	default:
		t.Fatalf("cipher suite %s", tls.CipherSuiteName(suite))
	}
	_, line, _ := strings.Cut(secrets, "CLIENT_TRAFFIC_SECRET_0 ")
	line, _, _ = strings.Cut(line, "\n")
	_, text, _ := strings.Cut(line, " ")
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) == 0 {
		t.Fatalf("no secret in %q: %v", secrets, err)
	}
	block, err := aes.NewCipher(expand(t, newHash, secret, "key", size))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &hollow{Conn: c, below: c.NetConn(), aead: aead, iv: expand(t, newHash, secret, "iv", 12)}
}

// expand is HKDF-Expand-Label without a context.
func expand(t *testing.T, newHash func() hash.Hash, secret []byte, label string, n int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len(label))), label...)
	out, err := hkdf.Expand(newHash, secret, string(append(info, 0)), n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seal appends a record of application data.
func (h *hollow) seal(out, p []byte) []byte {
	plain := append(bytes.Clone(p), 23)
	head := []byte{23, 3, 3}
	head = binary.BigEndian.AppendUint16(head, uint16(len(plain)+h.aead.Overhead()))
	nonce := bytes.Clone(h.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, h.seq) {
		nonce[4+i] ^= b
	}
	h.seq++
	return h.aead.Seal(append(out, head...), nonce, plain, head)
}

func (h *hollow) Write(p []byte) (int, error) {
	_, err := h.below.Write(h.seal(h.seal(nil, p), nil))
	return len(p), err
}

// What has come is answered, though behind it stands a record that TLS makes nothing
// of: no other may follow before the answer.
func TestARecordWithNothingInItHoldsNoAnswerUp(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{})
	var secrets bytes.Buffer
	config := e.config()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &secrets
	nc := tls.Client(e.dial(), config)
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, newHollow(t, nc, secrets.String()))
	c.Login()
	c.Open(1)
	for range 100 {
		c.Declare(1, wire.QueueDeclare{Queue: "q"})
	}
}
