package httpd

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/certs"
	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// connectionPaths are what this file answers.
var connectionPaths = map[string]resource{
	"/api/vhosts/{vhost}/connections":  {get: action{management, listConnections}},
	"/api/connections":                 {get: action{management, listConnections}},
	"/api/connections/{name}":          {get: action{management, getConnection}, del: action{management, deleteConnection}},
	"/api/connections/username/{user}": {get: action{management, listConnectionsOfUser}, del: action{management, deleteConnectionsOfUser}},
}

// connectionJSON is a connection in answers.
type connectionJSON struct {
	Name             string         `json:"name"`
	ProvidedName     string         `json:"user_provided_name,omitempty"`
	VHost            string         `json:"vhost"`
	User             string         `json:"user"`
	Performer        string         `json:"user_who_performed_action"`
	Node             string         `json:"node"`
	Type             string         `json:"type"`
	State            string         `json:"state"`
	Protocol         string         `json:"protocol"`
	Mechanism        string         `json:"auth_mechanism"`
	Channels         int            `json:"channels"`
	ChannelMax       int            `json:"channel_max"`
	FrameMax         uint32         `json:"frame_max"`
	Timeout          int64          `json:"timeout"`
	Host             string         `json:"host"`
	Port             int            `json:"port"`
	PeerHost         string         `json:"peer_host"`
	PeerPort         int            `json:"peer_port"`
	SSL              bool           `json:"ssl"`
	ClientProperties map[string]any `json:"client_properties"`
	Connected        int64          `json:"connected_at"` // ms since 1970
	ReceivedBytes    uint64         `json:"recv_oct"`
	ReceivedRate     detail         `json:"recv_oct_details"`
	Received         uint64         `json:"recv_cnt"`
	SentBytes        uint64         `json:"send_oct"`
	SentRate         detail         `json:"send_oct_details"`
	Sent             uint64         `json:"send_cnt"`
	Pending          int            `json:"send_pend"`
	Collection       collectionJSON `json:"garbage_collection"`
	Reductions       int            `json:"reductions"`
	ReductionsRate   detail         `json:"reductions_details"`
	tlsJSON
}

// tlsJSON is what TLS has come to, null without it.
type tlsJSON struct {
	Protocol *string `json:"ssl_protocol"`
	Exchange *string `json:"ssl_key_exchange"`
	Cipher   *string `json:"ssl_cipher"`
	Hash     *string `json:"ssl_hash"`
	Subject  *string `json:"peer_cert_subject"`
	Issuer   *string `json:"peer_cert_issuer"`
	Validity *string `json:"peer_cert_validity"`
}

// showTLS tells of it in RabbitMQ's words.
func showTLS(l *broker.ConnectionListing) (out tlsJSON) {
	s, ok := l.Secured()
	if !ok || !s.HandshakeComplete {
		return out
	}
	protocol := strings.ReplaceAll(strings.ToLower(tls.VersionName(s.Version)), " ", "v") // tlsv1.3
	exchange, cipher, hash := cipherParts(tls.CipherSuiteName(s.CipherSuite))
	out.Protocol, out.Exchange, out.Cipher, out.Hash = &protocol, &exchange, &cipher, &hash
	if len(s.PeerCertificates) > 0 {
		cert := s.PeerCertificates[0]
		subject, issuer := certs.DistinguishedName(cert), cert.Issuer.String()
		validity := cert.NotBefore.UTC().Format(time.RFC3339) + " - " + cert.NotAfter.UTC().Format(time.RFC3339)
		out.Subject, out.Issuer, out.Validity = &subject, &issuer, &validity
	}
	return out
}

// cipherParts takes apart a name such as TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384.
func cipherParts(name string) (exchange, cipher, hash string) {
	name = strings.ToLower(strings.TrimPrefix(name, "TLS_"))
	exchange, cipher, ok := strings.Cut(name, "_with_")
	if !ok {
		exchange, cipher = "any", name
	}
	at := strings.LastIndex(cipher, "_")
	if at < 0 {
		return exchange, cipher, ""
	}
	cipher, hash = cipher[:at], cipher[at+1:]
	if strings.HasSuffix(cipher, "gcm") || strings.HasSuffix(cipher, "poly1305") {
		hash = "aead"
	}
	return exchange, cipher, hash
}

func (c *call) showConnection(l broker.ConnectionListing, w windows) connectionJSON {
	f := c.figures(monitor.Object{Kind: monitor.Connection, ID: l.ID}, w.data)
	t := &l.Traffic
	name, _ := l.ClientProperties.LongString("connection_name")
	return connectionJSON{
		Name: l.Name, ProvidedName: name, VHost: l.VHost, User: l.User, Performer: l.User, Node: identity.Node, Type: "network",
		State: l.State, Protocol: l.Protocol, Mechanism: l.Mechanism,
		Channels: l.Channels, ChannelMax: l.ChannelMax, FrameMax: l.FrameMax, Timeout: int64(l.Heartbeat.Seconds()),
		Host: l.Host, Port: l.Port, PeerHost: l.PeerHost, PeerPort: l.PeerPort, SSL: l.TLS,
		ClientProperties: showTable(l.ClientProperties), Connected: l.Connected.UnixMilli(),
		ReceivedBytes: t.ReceivedBytes, ReceivedRate: f.detail(monitor.ReceivedBytes, float64(t.ReceivedBytes)), Received: t.Received,
		SentBytes: t.SentBytes, SentRate: f.detail(monitor.SentBytes, float64(t.SentBytes)), Sent: t.Sent, Pending: t.Pending,
		tlsJSON: showTLS(&l),
	}
}

// trackedJSON is a connection in the list of a user's.
type trackedJSON struct {
	Name  string `json:"name"`
	VHost string `json:"vhost"`
	User  string `json:"user"`
	Node  string `json:"node"`
}

func (c *call) showTracked(l broker.ConnectionListing) trackedJSON {
	return trackedJSON{l.Name, l.VHost, l.User, identity.Node}
}

// ownOr tells whether a connection is the user's own, or the user has the role for
// those of others.
func (c *call) ownOr(others role, user string) bool { return user == c.user.Name || c.has(others) }

// connections are those that the user sees and that are wanted.
func (c *call) connections(want func(l *broker.ConnectionListing) bool) []broker.ConnectionListing {
	return slices.DeleteFunc(c.b.Connections(), func(l broker.ConnectionListing) bool {
		return !c.ownOr(monitoring, l.User) || !want(&l)
	})
}

func listConnections(c *call) error {
	vhost := ""
	if c.r.PathValue("vhost") != "" {
		var err error
		if vhost, err = c.vhost(); err != nil {
			return err
		}
	}
	w, err := c.windows()
	if err != nil {
		return err
	}
	found := c.connections(func(l *broker.ConnectionListing) bool { return vhost == "" || l.VHost == vhost })
	return listAs(c, found, func(l broker.ConnectionListing) connectionJSON { return c.showConnection(l, w) })
}

func listConnectionsOfUser(c *call) error {
	user := c.r.PathValue("user")
	if !c.ownOr(monitoring, user) {
		return errNotYours
	}
	return listAs(c, c.connections(func(l *broker.ConnectionListing) bool { return l.User == user }), c.showTracked)
}

var errNotYours = notAuthorised("User not authorised to access object")

// connection is the one that the path names, if the user may have it: others' need a
// role.
func (c *call) connection(others role) (l broker.ConnectionListing, err error) {
	if l, err = c.b.Connection(c.r.PathValue("name")); err == nil && !c.ownOr(others, l.User) {
		err = errNotYours
	}
	return l, err
}

func getConnection(c *call) error {
	l, err := c.connection(monitoring)
	if err != nil {
		return err
	}
	w, err := c.windows()
	if err != nil {
		return err
	}
	return c.one(c.showConnection(l, w))
}

func deleteConnection(c *call) error {
	l, err := c.connection(administrator)
	if err != nil {
		return err
	}
	c.close(l)
	return c.done(false)
}

func deleteConnectionsOfUser(c *call) error {
	user := c.r.PathValue("user")
	if !c.ownOr(administrator, user) {
		return errNotYours
	}
	for _, l := range c.connections(func(l *broker.ConnectionListing) bool { return l.User == user }) {
		c.close(l)
	}
	return c.done(false)
}

// close ends a connection for the reason that the request's header gives.
func (c *call) close(l broker.ConnectionListing) {
	reason := "Closed via management plugin" // RabbitMQ's words
	if given, ok := c.r.Header["X-Reason"]; ok {
		reason = given[0]
	}
	c.s.opts.Logger.Info("connection is closed by an operator", "connection", l.Name, "by", c.user.Name, "reason", reason)
	l.Close(reason)
}
