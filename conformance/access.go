package conformance

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 4 and 5: who may come in. What they may do then is in permissions.go.

const loginRefused = "ACCESS_REFUSED - Login was refused using authentication mechanism %s. For details see the broker logfile."

// refusedLogin logs in, which must end in a connection.close.
func (t *T) refusedLogin(l Login, code uint16, text string) {
	t.Helper()
	_, err := t.TryDial(l)
	var closed *Closed
	switch {
	case !errors.As(err, &closed) || !closed.Connection:
		t.Errorf("%+v: %v, want %d", l, err, code)
	case closed.Code != code || closed.Text != text:
		t.Errorf("%+v: %v, want %d %q", l, err, code, text)
	}
}

// credentials are a user made by T.User in a vhost.
func credentials(user, vhost string) Login { return Login{User: user, Password: user, VHost: vhost} }

func init() {
	register(
		Case{Behaviour: "4", Name: "a wrong password is 403 where the client wants to be told", Run: func(t *T) {
			own := t.Peer.url.User.Username()
			for _, l := range []Login{{User: own, Password: "wrong"}, {User: own}, {User: t.Name("nobody"), Password: "wrong"}} {
				t.refusedLogin(l, 403, fmt.Sprintf(loginRefused, "PLAIN"))
				l.Mechanism = "AMQPLAIN"
				t.refusedLogin(l, 403, fmt.Sprintf(loginRefused, "AMQPLAIN"))
			}
		}},
		Case{Behaviour: "4", Name: "a wrong password closes the socket where the client does not want to be told", Run: func(t *T) {
			_, err := t.TryDial(Login{User: t.Peer.url.User.Username(), Password: "wrong", Capabilities: []string{}})
			if !Hangup(err) {
				t.Errorf("the login ended with %v", err)
			}
		}},
		Case{Behaviour: "4", Name: "PLAIN and AMQPLAIN let the same users in", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			for _, mechanism := range []string{"PLAIN", "AMQPLAIN"} {
				l := credentials(u, v)
				l.Mechanism = mechanism
				t.DialAs(l).Channel().Sync()
			}
		}},
		Case{Behaviour: "4", Name: "a password that is changed holds from then on, and ends no connection", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			ch := t.DialAs(credentials(u, v)).Channel()
			t.Put(Path("users", u), JSON{"password": "another", "tags": ""})
			t.refusedLogin(credentials(u, v), 403, fmt.Sprintf(loginRefused, "PLAIN"))
			t.DialAs(Login{User: u, Password: "another", VHost: v})
			ch.Sync()
		}},
		Case{Behaviour: "4", Name: "a salted hash stands for a password", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			sum := sha256.Sum256([]byte("salt" + "secret"))
			hash := base64.StdEncoding.EncodeToString(append([]byte("salt"), sum[:]...))
			t.Put(Path("users", u), JSON{"password_hash": hash, "tags": ""})
			t.DialAs(Login{User: u, Password: "secret", VHost: v})
			t.refusedLogin(Login{User: u, Password: "salt", VHost: v}, 403, fmt.Sprintf(loginRefused, "PLAIN"))
		}},
		Case{Behaviour: "4", Name: "a user without a password cannot log in by one, nor by an empty one", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			for _, body := range []JSON{{"password_hash": "", "tags": ""}, {"password": "", "tags": ""}} {
				t.Put(Path("users", u), body)
				for _, password := range []string{"", u} {
					t.refusedLogin(Login{User: u, Password: password, VHost: v}, 403, fmt.Sprintf(loginRefused, "PLAIN"))
				}
			}
		}},
		Case{Behaviour: "4", Name: "a user that is deleted loses its connections, 320", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			c := t.DialAs(credentials(u, v))
			other := t.DialAs(Login{VHost: v}).Channel()
			t.tracked(u)
			t.Remove(Path("users", u))
			c.ExpectClose(320, "CONNECTION_FORCED - user '"+u+"' is deleted")
			other.Sync()
			t.refusedLogin(credentials(u, v), 403, fmt.Sprintf(loginRefused, "PLAIN"))
		}},

		Case{Behaviour: "5", Name: "an unknown vhost is 530", Run: func(t *T) {
			v := t.Name("nowhere")
			t.refusedLogin(Login{VHost: v}, 530, "NOT_ALLOWED - vhost "+v+" not found")
		}},
		Case{Behaviour: "5", Name: "a vhost without permission is 530", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("administrator")
			refused := fmt.Sprintf("NOT_ALLOWED - access to vhost '%s' refused for user '%s'", v, u)
			t.refusedLogin(credentials(u, v), 530, refused)
			t.Permit(v, u, "", "", "") // that lets in, and no more
			t.DialAs(credentials(u, v)).Channel().Sync()
			t.Remove(Path("permissions", v, u))
			t.refusedLogin(credentials(u, v), 530, refused)
		}},
		Case{Behaviour: "5", Name: "a vhost that is deleted closes its connections, 320, and is empty when it is made again", Needs: Management, Run: func(t *T) {
			v := t.VHost()
			c := t.DialAs(Login{VHost: v})
			ch := c.Channel().Confirm()
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "q", Durable: true})
			Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: "x", Type: "topic", Durable: true})
			ch.Bind("q", "x", "k", nil)
			ch.Publish(Message{Exchange: "x", Key: "k", Body: "gone", Props: Props{DeliveryMode: 2}})
			ch.Confirmed()
			other := t.Channel()
			t.Remove(Path("vhosts", v))
			c.ExpectClose(320, "CONNECTION_FORCED - vhost '"+v+"' is ")
			other.Sync()
			t.refusedLogin(Login{VHost: v}, 530, "NOT_ALLOWED - vhost "+v+" not found")
			t.Put(Path("vhosts", v), JSON{})
			t.Permit(v, t.Peer.url.User.Username(), ".*", ".*", ".*")
			ch = t.DialAs(Login{VHost: v}).Channel()
			if ch.Exists("q") || ch.ExchangeExists("x") {
				t.Errorf("the old queue or exchange is there")
			}
		}},
		Case{Behaviour: "5", Name: "connections over a vhost's limit are 530", Needs: Management, Run: func(t *T) {
			v := t.VHost()
			own := t.Peer.url.User.Username()
			refused := "NOT_ALLOWED - access to vhost '" + v + "' refused for user '" + own + "': connection limit (%d) is reached"
			t.VHostLimit(v, "max-connections", 1)
			c := t.DialAs(Login{VHost: v})
			t.eventuallyFull(Login{VHost: v}, fmt.Sprintf(refused, 1))
			c.Channel().Sync() // who is there stays
			t.VHostLimit(v, "max-connections", 0)
			t.refusedLogin(Login{VHost: v}, 530, fmt.Sprintf(refused, 0))
			t.VHostLimit(v, "max-connections", -1)
			t.DialAs(Login{VHost: v})
		}},
		Case{Behaviour: "5", Name: "a closed connection makes room under a vhost's limit", Needs: Management, Run: func(t *T) {
			v := t.VHost()
			t.VHostLimit(v, "max-connections", 1)
			t.DialAs(Login{VHost: v}).Close()
			t.Eventually(func() bool {
				_, err := t.TryDial(Login{VHost: v})
				return err == nil
			}, "the vhost is still full")
		}},
		Case{Behaviour: "5", Name: "connections over a user's limit are 530, in all vhosts together", Needs: Management, Run: func(t *T) {
			v, w, u := t.VHost(), t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			t.Permit(w, u, "", "", "")
			t.UserLimit(u, "max-connections", 1)
			t.DialAs(credentials(u, v))
			t.eventuallyFull(credentials(u, w), fmt.Sprintf("NOT_ALLOWED - connection refused for user '%s': user connection limit (1) is reached", u))
			t.UserLimit(u, "max-connections", -1)
			t.DialAs(credentials(u, w))
		}},
		Case{Behaviour: "5", Name: "channels over a user's limit are 530", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			t.UserLimit(u, "max-channels", 2)
			c := t.DialAs(credentials(u, v))
			c.Channel().Close()
			c.Channel()
			c.Channel()
			t.Eventually(func() bool { // RabbitMQ counts channels a moment later
				c := t.DialAs(credentials(u, v))
				c.ExpectingEnd()
				c.On(1).Send(&wire.ChannelOpen{})
				e, err := c.await(1, deadline(), isMethod(wire.IDChannelOpenOk))
				if err == nil {
					c.SendMethod(e.Channel, &wire.ChannelClose{ReplyCode: 200})
					_, _ = c.await(e.Channel, deadline(), isMethod(wire.IDChannelCloseOk))
					return false
				}
				var closed *Closed
				if want := fmt.Sprintf("NOT_ALLOWED - number of channels opened for user '%s' has reached the maximum allowed user limit of (2)", u); !errors.As(err, &closed) || closed.Code != 530 || closed.Text != want {
					t.Fatalf("a channel over the limit: %v, want %q", err, want)
				}
				return true
			}, "channels are still taken")
		}},
		Case{Behaviour: "5", Name: "queues over a vhost's limit are 406", Needs: Management, Run: func(t *T) {
			v := t.VHost()
			t.VHostLimit(v, "max-queues", 1)
			ch := t.DialAs(Login{VHost: v}).Channel()
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "one"})
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "one"})
			refused := "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost '" + v + "' (1) is reached"
			for _, m := range []*wire.QueueDeclare{{Queue: "two"}, {Queue: "two", Exclusive: true}} {
				ch.Refused(m, 406, refused)
			}
			ch.Delete("one")
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "two"})
		}},

		Case{Behaviour: "5", Name: "users, vhosts, permissions and limits survive kill -9", Needs: Management | Kill, Run: func(t *T) {
			v, u := t.VHost(), t.User("impersonator")
			t.Permit(v, u, "^one$", "^(one|amq\\.topic|amq\\.default)$", "^(one|amq\\.topic)$")
			t.Put(Path("topic-permissions", v, u), JSON{"exchange": "amq.topic", "write": "^mine$", "read": ".*"})
			t.VHostLimit(v, "max-queues", 1)
			t.UserLimit(u, "max-channels", 20)
			gone := t.User("")
			t.Remove(Path("users", gone))
			t.Kill()
			t.refusedLogin(credentials(gone, v), 403, fmt.Sprintf(loginRefused, "PLAIN"))
			ch := t.DialAs(credentials(u, v)).Channel().Confirm()
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "one", Durable: true})
			ch.Bind("one", "amq.topic", "mine", nil)
			ch.Publish(Message{Exchange: "amq.topic", Key: "mine", Props: Props{UserID: "other"}})
			ch.Confirmed()
			ch.Refused(&wire.QueueDeclare{Queue: "two"}, 403, "ACCESS_REFUSED - access to queue 'two'")
			ch.PublishRefused(Message{Exchange: "amq.topic", Key: "theirs"}, 403, "ACCESS_REFUSED - access to topic 'theirs'")
			ch = t.DialAs(Login{VHost: v}).Channel()
			ch.Refused(&wire.QueueDeclare{Queue: "two"}, 406, "PRECONDITION_FAILED - cannot declare queue 'two': queue limit")
			var limits []struct{ Value map[string]int }
			t.Fetch(Path("user-limits", u), &limits)
			if len(limits) != 1 || limits[0].Value["max-channels"] != 20 {
				t.Errorf("the user's limits are %v", limits)
			}
		}},

		Case{Behaviour: "30", Name: "a user-id that is not the connection's user is 406", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			own := t.Peer.url.User.Username()
			ch.Publish(Message{Key: q, Props: Props{UserID: own}})
			ch.Confirmed()
			if got, _ := ch.Get(q, true); string(got.Props.UserID()) != own {
				t.Errorf("user-id %q came back", got.Props.UserID())
			}
			ch.PublishRefused(Message{Key: q, Props: Props{UserID: "other"}}, 406,
				"PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was '"+own+"'")
		}},
		Case{Behaviour: "30", Name: "an impersonator may set any user-id", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("impersonator")
			t.Permit(v, u, ".*", ".*", ".*")
			ch := t.DialAs(credentials(u, v)).Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Props: Props{UserID: "other"}})
			ch.Confirmed()
			if got, _ := ch.Get(q, true); string(got.Props.UserID()) != "other" {
				t.Errorf("user-id %q came back", got.Props.UserID())
			}
		}},
		Case{Behaviour: "30", Name: "an expiration that is no number of milliseconds is 406", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			for _, good := range []string{"0", "1", "+5", "4294967296", "315360000000"} {
				ch.Publish(Message{Key: q, Props: Props{Expiration: good}})
				ch.Confirmed()
			}
			for bad, why := range map[string]string{"x": "no_integer", "-1": "{value_negative,-1}", "1.5": `{leftover_string,".5"}`,
				"1 ": `{leftover_string," "}`, "315360000001": "{value_too_large,315360000001}"} {
				ch.PublishRefused(Message{Key: q, Props: Props{Expiration: bad}}, 406,
					"PRECONDITION_FAILED - invalid expiration '"+bad+"': "+why)
				ch.Confirm()
			}
		}},
		Case{Behaviour: "30", Name: "a body over the limit is 406, one at it is taken", Needs: Own, Run: func(t *T) {
			t.Start(Options{Leveret: []string{"--max-message-size", "1000"}, RabbitMQ: []string{"max_message_size = 1000"}})
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, strings.Repeat("x", 1000))
			ch.PublishRefused(Message{Key: q, Body: strings.Repeat("x", 1001)}, 406,
				"PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000")
			if n, _ := ch.Count(q); n != 1 {
				t.Errorf("%d messages", n)
			}
		}},
	)
}

// tracked waits until the management API lists a connection of the user's: RabbitMQ
// closes only those that it has come to know.
func (t *T) tracked(user string) {
	t.Helper()
	if t.Peer.Kind != RabbitMQ {
		return
	}
	t.Eventually(func() bool {
		var list []struct{ User string }
		t.Fetch("/api/connections?columns=user", &list)
		for _, c := range list {
			if c.User == user {
				return true
			}
		}
		return false
	}, "the connection of %s is not listed", user)
}

// eventuallyFull waits until a login is refused with 530 and that text: RabbitMQ counts
// a connection a moment after it has let it in.
func (t *T) eventuallyFull(l Login, text string) {
	t.Helper()
	t.Eventually(func() bool {
		c, err := t.TryDial(l)
		if err == nil {
			c.Close()
			return false
		}
		var closed *Closed
		if !errors.As(err, &closed) || closed.Code != 530 || closed.Text != text {
			t.Fatalf("a login over the limit: %v, want %q", err, text)
		}
		return true
	}, "logins are not refused")
}
