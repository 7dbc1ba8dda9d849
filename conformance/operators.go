package conformance

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 11, as operators bring it about: connections that the management API shows
// and closes.

func init() {
	register(
		Case{Behaviour: "11", Name: "an operator closes a connection, 320 with the reason", Needs: Management, Run: func(t *T) {
			v := t.VHost()
			c, other := t.DialAs(Login{VHost: v}), t.DialAs(Login{VHost: v})
			c.Channel()
			if code := t.ask(t.Peer.url.User, http.Header{"X-Reason": {"maintenance of the mill"}}, http.MethodDelete, Path("connections", t.listed(c)), nil, nil); code != 204 {
				t.Errorf("DELETE: %d", code)
			}
			c.ExpectClose(320, "CONNECTION_FORCED - maintenance of the mill")
			other.Channel().Sync()
			if code := t.API(http.MethodDelete, Path("connections", t.listed(other)), nil, nil); code != 204 {
				t.Errorf("DELETE: %d", code)
			}
			other.ExpectClose(320, "CONNECTION_FORCED - Closed via management plugin")
			if code := t.API(http.MethodDelete, Path("connections", "no such connection"), nil, nil); code != 404 {
				t.Errorf("DELETE of none: %d", code)
			}
		}},
		Case{Behaviour: "11", Name: "the management API shows a connection", Needs: Management, Run: func(t *T) {
			v, mine := t.VHost(), t.Name("mine")
			c := t.DialAs(Login{VHost: v, Properties: Args{"connection_name": mine, "odd": []any{1, nil, Args{"x": true}}},
				Tune: &wire.ConnectionTuneOk{ChannelMax: 77, FrameMax: 5000, Heartbeat: 1000}})
			c.Channel()
			name := t.listed(c)
			var got struct {
				Name, User, VHost, State, Protocol, Host, Type string
				ProvidedName                                   string `json:"user_provided_name"`
				Mechanism                                      string `json:"auth_mechanism"`
				PeerHost                                       string `json:"peer_host"`
				Properties                                     struct {
					Name string `json:"connection_name"`
					Odd  []any
				} `json:"client_properties"`
			}
			var numbers map[string]any
			t.Eventually(func() bool {
				t.Fetch(Path("connections", name), &numbers)
				return numbers["channels"] == 1.0
			}, "one channel is open, and it is not counted")
			t.Fetch(Path("connections", name), &got)
			want := got
			want.Name, want.User, want.VHost, want.State, want.Protocol = name, t.Peer.url.User.Username(), v, "running", "AMQP 0-9-1"
			want.Host, want.PeerHost, want.Type, want.ProvidedName, want.Mechanism = "127.0.0.1", "127.0.0.1", "network", mine, "PLAIN"
			want.Properties.Name = mine
			if !reflect.DeepEqual(got, want) || len(got.Properties.Odd) != 3 {
				t.Errorf("got %+v, want %+v", got, want)
			}
			for field, n := range map[string]float64{"channel_max": 77, "frame_max": 5000, "timeout": 1000} {
				if numbers[field] != n {
					t.Errorf("%s is %v, want %v", field, numbers[field], n)
				}
			}
			if numbers["ssl"] != false {
				t.Errorf("ssl is %v", numbers["ssl"])
			}
			var list []struct{ Name string }
			t.Fetch(Path("vhosts", v, "connections"), &list)
			if len(list) != 1 || list[0].Name != name {
				t.Errorf("the vhost has %v", list)
			}
		}},
		Case{Behaviour: "11", Name: "who is neither monitor nor administrator sees and closes its own connections alone", Needs: Management, Run: func(t *T) {
			v, user, monitor := t.VHost(), t.User("management"), t.User("monitoring")
			for _, each := range []string{user, monitor} {
				t.Permit(v, each, "", "", ".*")
			}
			own, other := t.DialAs(credentials(user, v)), t.DialAs(Login{VHost: v})
			owns, others := t.listed(own), t.listed(other)
			names := func(as string) (names []string) {
				var list []struct{ Name string }
				if code := t.APIAs(url.UserPassword(as, as), http.MethodGet, Path("vhosts", v, "connections"), nil, &list); code != 200 {
					t.Errorf("GET as %s: %d", as, code)
				}
				for _, each := range list {
					names = append(names, each.Name)
				}
				slices.Sort(names)
				return names
			}
			if got := names(user); !slices.Equal(got, []string{owns}) {
				t.Errorf("%s sees %q", user, got)
			}
			both := []string{owns, others}
			slices.Sort(both)
			if got := names(monitor); !slices.Equal(got, both) {
				t.Errorf("%s sees %q", monitor, got)
			}
			for _, ask := range []struct {
				as, method string
				code       int
			}{{user, http.MethodGet, 401}, {user, http.MethodDelete, 401}, {monitor, http.MethodGet, 200}, {monitor, http.MethodDelete, 401}} {
				if code := t.APIAs(url.UserPassword(ask.as, ask.as), ask.method, Path("connections", others), nil, nil); code != ask.code {
					t.Errorf("%s as %s: %d, want %d", ask.method, ask.as, code, ask.code)
				}
			}
			if code := t.APIAs(url.UserPassword(user, user), http.MethodDelete, Path("connections", owns), nil, nil); code != 204 {
				t.Errorf("DELETE of its own: %d", code)
			}
			own.ExpectClose(320)
			other.Channel().Sync()
		}},
	)
}

// listed waits until the management API knows a connection, and returns its name there:
// RabbitMQ does so some seconds later.
func (t *T) listed(c *Conn) (name string) {
	t.Helper()
	name = c.LocalAddr().String() + " -> " + c.RemoteAddr().String()
	t.Eventually(func() bool {
		var got struct{ Protocol string }
		return t.API(http.MethodGet, Path("connections", name), nil, &got) == 200 && got.Protocol != ""
	}, "the connection %s is not listed", name)
	return name
}
