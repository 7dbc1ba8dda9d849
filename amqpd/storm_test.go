package amqpd_test

import (
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A thousand clients that come back at once must not cost a thousand argon2, which
// would take the processors for a minute.
func TestAStormOfReconnectsCostsOnePasswordCheck(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	hash := access.HashPassword("secret")
	if _, err := b.PutUser(access.User{Name: "u", Hash: hash}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetPermissions(access.Permissions{User: "u", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		t.Fatal(err)
	}
	before := b.PasswordChecks()
	const clients, atOnce = 1000, 50
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for range clients / atOnce {
				c := brokertest.NewClient(t, b.Dial(t))
				c.Start()
				c.Send(0, startOkAs("u", "secret"))
				brokertest.Expect[*wire.ConnectionTune](c, 0)
				c.Send(0, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "/"})
				brokertest.Expect[*wire.ConnectionOpenOk](c, 0)
			}
		})
	}
	all.Wait()
	if n := b.PasswordChecks() - before; n != 1 {
		t.Errorf("%d logins cost %d checks", clients, n)
	}
	if got := b.Server.Connections(); got != clients {
		t.Errorf("%d connections", got)
	}
	if got := b.Logins()[0]; got.Attempts != clients || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	// Who is deleted loses all of them, and cannot come back.
	if err := b.DeleteUser("u"); err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, b.Dial(t))
	c.Start()
	c.Send(0, startOkAs("u", "secret"))
	c.ExpectClose(403)
	if n := b.PasswordChecks() - before; n != 2 {
		t.Errorf("a user that is gone cost %d checks", n-1)
	}
}
