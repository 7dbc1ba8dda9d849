package e2e

import (
	"errors"
	"net/url"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A container names its administrator by the environment or by flags; there is no
// guest then, and the password outlives a kill.
func TestTheFirstUserIsTheOneThatServeNames(t *testing.T) {
	dir := t.TempDir()
	p := startBroker(t, dir, "--default-user", "admin", "--default-pass", "pass word", "--loopback-users", "")
	as := func(p *process, user, password string) error {
		u := url.URL{Scheme: "amqp", User: url.UserPassword(user, password), Host: p.addr, Path: "/"}
		conn, err := amqp.Dial(u.String())
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	check := func(p *process) {
		t.Helper()
		must(t, as(p, "admin", "pass word"))
		for user, password := range map[string]string{"admin": "password", "guest": "guest"} {
			var refused *amqp.Error
			if err := as(p, user, password); !errors.As(err, &refused) || refused.Code != 403 {
				t.Errorf("%s with %q: %v", user, password, err)
			}
		}
	}
	check(p)
	p.Kill()
	check(startBroker(t, dir, "--default-user", "late", "--default-pass", "x"))
}
