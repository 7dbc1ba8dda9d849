package httpd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// connected is a managed broker with a listener of AMQP.
type connected struct {
	*managed
	amqp *brokertest.Broker
}

func newConnected(t *testing.T) *connected {
	b := brokertest.Start(t, brokertest.Options{Dir: "data", Broker: broker.Options{Reserve: -1, Store: store.Options{FS: vfs.NewMem()}}})
	c := &connected{manage(t, b.Broker), b}
	if _, err := b.PutVHost(broker.VHost{Name: "v"}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"guest", "umanagement", "umonitoring", "upolicymaker"} {
		for _, vhost := range []string{"/", "v"} {
			if vhost == "v" && user == "umonitoring" {
				continue
			}
			if _, err := b.SetPermissions(access.Permissions{User: user, VHost: vhost, Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// login connects, and returns the connection's name, too.
func (c *connected) login(user, vhost string) (client *brokertest.Client, name string) {
	c.t.Helper()
	nc := c.amqp.Dial(c.t)
	client = brokertest.NewClient(c.t, nc)
	client.VHost = vhost
	if user != "guest" {
		client.User, client.Password = user, "pw"
	}
	client.Login()
	return client, nc.LocalAddr().String() + " -> " + nc.RemoteAddr().String()
}

func connectionPath(name string) string { return "/api/connections/" + url.PathEscape(name) }

// get asks for JSON as a user.
func get[T any](m *managed, user, path string) (v T) {
	m.t.Helper()
	w := m.as(user, "GET", path, "")
	if w.Code != 200 {
		m.t.Fatalf("GET %s as %s: %d %s", path, user, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		m.t.Fatalf("GET %s as %s: %v in %s", path, user, err, w.Body)
	}
	return v
}

// sees expects the users of the connections in an answer, in any order.
func (c *connected) sees(user, path string, want ...string) {
	c.t.Helper()
	got := map[string]int{}
	for _, l := range get[[]struct{ User, VHost string }](c.managed, user, path) {
		got[l.User+"@"+l.VHost]++
	}
	for _, w := range want {
		got[w]--
	}
	for _, n := range got {
		if n != 0 {
			c.t.Errorf("%s sees at %s %v more than %q", user, path, got, want)
			return
		}
	}
}

func TestAConnectionIsShown(t *testing.T) {
	c := newConnected(t)
	before := time.Now().Add(-time.Minute).UnixMilli()
	client := brokertest.NewClient(t, c.amqp.Dial(t))
	client.Tune = wire.ConnectionTuneOk{ChannelMax: 12, FrameMax: 8192, Heartbeat: 50}
	client.Start()
	client.Send(0, &wire.ConnectionStartOk{
		ClientProperties: amqp.NewTable(
			amqp.Field{Name: "product", Value: amqp.LongString("test")},
			amqp.Field{Name: "connection_name", Value: amqp.LongString("mine")}),
		Mechanism: "PLAIN", Response: wire.EncodePlain("guest", "guest"), Locale: "en_US",
	})
	brokertest.Expect[*wire.ConnectionTune](client, 0)
	client.Send(0, &client.Tune, &wire.ConnectionOpen{VirtualHost: "v"})
	brokertest.Expect[*wire.ConnectionOpenOk](client, 0)
	client.Open(1)
	client.Open(7)

	ours, theirs := client.Conn.LocalAddr().String(), client.Conn.RemoteAddr().String()
	name := ours + " -> " + theirs
	got := get[map[string]any](c.managed, "guest", connectionPath(name))
	if at, _ := got["connected_at"].(float64); int64(at) < before || int64(at) > time.Now().UnixMilli() {
		t.Errorf("connected at %v", got["connected_at"])
	}
	for _, name := range []string{"recv_oct", "send_oct", "recv_cnt", "send_cnt"} {
		if n, _ := got[name].(float64); n <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
		delete(got, name)
	}
	delete(got, "connected_at")
	port := func(addr string) float64 {
		var n float64
		_ = json.Unmarshal([]byte(addr[strings.LastIndex(addr, ":")+1:]), &n)
		return n
	}
	still := map[string]any{"rate": 0.0}
	want := map[string]any{
		"name": name, "user_provided_name": "mine", "vhost": "v", "user": "guest", "user_who_performed_action": "guest",
		"node": "leveret@localhost", "type": "network", "state": "running", "protocol": "AMQP 0-9-1", "auth_mechanism": "PLAIN",
		"channels": 2.0, "channel_max": 12.0, "frame_max": 8192.0, "timeout": 50.0,
		"host": "127.0.0.1", "port": port(theirs), "peer_host": "127.0.0.1", "peer_port": port(ours), "ssl": false,
		"client_properties": map[string]any{"product": "test", "connection_name": "mine"},
		"recv_oct_details":  still, "send_oct_details": still, "reductions_details": still, "reductions": 0.0, "send_pend": 0.0,
		"ssl_protocol": nil, "ssl_key_exchange": nil, "ssl_cipher": nil, "ssl_hash": nil,
		"peer_cert_subject": nil, "peer_cert_issuer": nil, "peer_cert_validity": nil,
		"garbage_collection": map[string]any{"fullsweep_after": 0.0, "max_heap_size": 0.0, "min_bin_vheap_size": 0.0, "min_heap_size": 0.0, "minor_gcs": 0.0},
	}
	if g, w := asJSON(t, got), asJSON(t, want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}

	client.Send(7, &wire.ChannelClose{ReplyCode: 200})
	brokertest.Expect[*wire.ChannelCloseOk](client, 7)
	c.expect("GET", "/api/connections?columns=channels,client_properties.product", "", 200, `[{"channels":1,"client_properties":{"product":"test"}}]`)
	c.expect("GET", "/api/connections?name=127.0.0.1&page=1&page_size=1&columns=user", "", 200, `…"total_count":1`)
	// Who declares over HTTP is no connection.
	c.expect("PUT", "/api/queues/v/q", `{}`, 201, "")
	c.sees("guest", "/api/connections", "guest@v")

	client.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](client, 0)
	c.expect("GET", connectionPath(name), "", 404, notFound)
	c.expect("GET", "/api/connections", "", 200, "[]")
}

func asJSON(t *testing.T, v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The answers were taken from RabbitMQ 3.10.8, but where it has 500 for who asks for
// another user's connections.
func TestTagsSayWhoseConnectionsAreSeen(t *testing.T) {
	c := newConnected(t)
	_, guests := c.login("guest", "/")
	own, owns := c.login("umanagement", "/")
	c.login("guest", "v")
	all := []string{"guest@/", "umanagement@/", "guest@v"}
	for user, want := range map[string][]string{
		"umanagement": {"umanagement@/"}, "upolicymaker": nil, "umonitoring": all, "uadministrator": all,
	} {
		c.sees(user, "/api/connections", want...)
	}
	c.sees("umanagement", "/api/vhosts/%2F/connections", "umanagement@/")
	c.sees("umanagement", "/api/vhosts/v/connections")
	c.sees("umonitoring", "/api/vhosts/%2F/connections", "guest@/", "umanagement@/")
	c.sees("umanagement", "/api/connections/username/umanagement", "umanagement@/")
	c.sees("umonitoring", "/api/connections/username/guest", "guest@/", "guest@v")
	c.sees("umonitoring", "/api/connections/username/nobody")
	c.expect("GET", "/api/connections/username/umanagement", "", 200, asTracked(owns, "/", "umanagement"))
	c.expect("GET", "/api/vhosts/nope/connections", "", 404, notFound)

	const other, outside = "User not authorised to access object", "User not authorised to access virtual host"
	for _, ask := range []struct{ user, method, path, reason string }{
		{"u", "GET", "/api/connections", "Not management user"},
		{"u", "DELETE", connectionPath(guests), "Not management user"},
		{"umonitoring", "GET", "/api/vhosts/v/connections", outside},
		{"umanagement", "GET", connectionPath(guests), other},
		{"umanagement", "GET", "/api/connections/username/guest", other},
		{"umanagement", "DELETE", connectionPath(guests), other},
		{"umanagement", "DELETE", "/api/connections/username/guest", other},
		{"upolicymaker", "DELETE", connectionPath(guests), other},
		{"umonitoring", "DELETE", connectionPath(guests), other},
		{"umonitoring", "DELETE", "/api/connections/username/guest", other},
	} {
		w := c.as(ask.user, ask.method, ask.path, "")
		if want := `{"error":"not_authorised","reason":"` + ask.reason + `"}`; w.Code != 401 || w.Body.String() != want {
			t.Errorf("%s %s as %s: %d %s", ask.method, ask.path, ask.user, w.Code, w.Body)
		}
	}
	if w := c.as("umanagement", "DELETE", connectionPath(owns), ""); w.Code != 204 || w.Body.Len() > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := own.ExpectClose(320); text != "CONNECTION_FORCED - Closed via management plugin" {
		t.Error(text)
	}
}

func asTracked(name, vhost, user string) string {
	return `[{"name":"` + name + `","vhost":"` + vhost + `","user":"` + user + `","node":"leveret@localhost"}]`
}

func TestAnOperatorClosesConnections(t *testing.T) {
	c := newConnected(t)
	shut := func(path string, reason ...string) int {
		r := httptest.NewRequest(http.MethodDelete, path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:15672"
		r.SetBasicAuth("guest", "guest")
		if reason != nil {
			r.Header["X-Reason"] = reason
		}
		w := httptest.NewRecorder()
		c.s.http.Handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, x := range []struct {
		reason []string
		want   string
	}{
		{[]string{"100%s for a test", "another"}, " - 100%s for a test"},
		{[]string{""}, ""},
		{nil, " - Closed via management plugin"},
		{[]string{strings.Repeat("x", 300)}, " - " + strings.Repeat("x", 252-len("CONNECTION_FORCED - ")) + "..."},
		{[]string{"no UTF-8: \xff"}, " - no UTF-8: \uFFFD"},
	} {
		client, name := c.login("guest", "/")
		client.Open(1)
		client.Declare(1, wire.QueueDeclare{Queue: "own", Exclusive: true})
		if code := shut(connectionPath(name), x.reason...); code != 204 {
			t.Fatalf("%q: %d", x.reason, code)
		}
		if text := client.ExpectClose(320); text != "CONNECTION_FORCED"+x.want {
			t.Errorf("for %q it was told %q", x.reason, text)
		}
		// When the client is told, the connection has let go of what it had.
		if code := shut(connectionPath(name)); code != 404 {
			t.Errorf("a connection that is gone: %d", code)
		}
		c.expect("GET", "/api/queues/%2F/own", "", 404, notFound)
	}

	a, _ := c.login("guest", "/")
	b, _ := c.login("guest", "v")
	other, name := c.login("umanagement", "/")
	if code := shut("/api/connections/username/guest", "all of them"); code != 204 {
		t.Error(code)
	}
	for _, client := range []*brokertest.Client{a, b} {
		if text := client.ExpectClose(320); text != "CONNECTION_FORCED - all of them" {
			t.Error(text)
		}
	}
	if code := shut("/api/connections/username/nobody"); code != 204 {
		t.Error(code)
	}
	other.Open(1)
	c.expect("GET", "/api/connections/username/umanagement", "", 200, asTracked(name, "/", "umanagement"))
}

// FuzzClientProperties shows what a client may say of itself, which is any table that
// the codec takes.
func FuzzClientProperties(f *testing.F) {
	deep := amqp.NewTable()
	for range amqp.MaxDepth - 1 {
		deep = amqp.NewTable(amqp.Field{Name: "in", Value: amqp.Nested(deep)})
	}
	f.Add([]byte(deep))
	f.Add([]byte(amqp.NewTable(amqp.Field{Name: "twice", Value: amqp.Bool(true)}, amqp.Field{Name: "twice", Value: amqp.LongString("\xff\x00<\u2028")})))
	f.Add([]byte("\x01\xffV\x01\xfeV\x00d\x7f\xf8\x00\x00\x00\x00\x00\x00\x01fd\xff\x80\x00\x00\x01DD\x09\xff\xff\xff\xff\x01TT\xff\xff\xff\xff\xff\xff\xff\xff\x01AA\x00\x00\x00\x02VV"))
	f.Fuzz(func(t *testing.T, table []byte) {
		said := amqp.Table(table)
		if said.Validate() != nil {
			return
		}
		w := httptest.NewRecorder()
		for _, query := range []string{"", "?sort=client_properties.in&columns=name,client_properties"} {
			c := &call{w: w, r: httptest.NewRequest("GET", "/api/connections"+query, nil), s: mustServer(t, Options{})}
			w.Body.Reset()
			if err := listAs(c, []broker.ConnectionListing{{Name: "a", ClientProperties: said}, {Name: "b"}}, func(l broker.ConnectionListing) connectionJSON { return c.showConnection(l, windows{}) }); err != nil {
				t.Fatal(err)
			}
			var got []map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 2 {
				t.Errorf("%q is shown as %s", table, w.Body)
			}
		}
	})
}
