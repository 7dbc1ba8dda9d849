package amqpd_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

func TestRefusedLoginsStandInTheAuditLog(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	trail, err := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trail.Close() })
	b.SetAudit(trail)
	addUser(t, b.Broker, "u")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Server.Serve(afar{ln}) }()
	login := func(user, password string) *brokertest.Client {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		c := brokertest.NewClient(t, nc)
		c.Start()
		c.Send(0, startOkAs(user, password))
		return c
	}
	login("guest", "guest").ExpectClose(403)
	login("u", "wrong").ExpectClose(403)
	login("nobody", "x").ExpectClose(403)
	c := login("u", "u")
	brokertest.Expect[*wire.ConnectionTune](c, 0)
	c.Send(0, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "nowhere"})
	c.ExpectClose(530)

	var got []string
	for _, e := range trail.Page(0, 10, "").Items {
		if e.From != "203.0.113.7:50000" || e.Interface != "amqp" {
			t.Errorf("%+v", e)
		}
		got = append(got, fmt.Sprint(e.Event.Event, " ", e.User, " ", e.Object, " ", e.Detail["cause"]))
	}
	slices.Sort(got)
	want := []string{
		"login.refused guest {user guest } the user may come from this machine only",
		"login.refused nobody {user nobody } wrong name or password",
		"login.refused u {user u } wrong name or password",
		"vhost.refused u {vhost nowhere } vhost nowhere not found",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := b.Logins()[0]; got != (broker.LoginCount{Protocol: "amqp091", Attempts: 4, Failed: 3}) {
		t.Errorf("%+v", got)
	}
	b.Stop()
	if err := <-served; !errors.Is(err, amqpd.ErrServerClosed) {
		t.Error(err)
	}
}
