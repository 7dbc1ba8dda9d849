package broker

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// accessModel is what the broker should say, as simply as it can be said.
type accessModel struct {
	users  map[string]bool
	vhosts map[string]bool
	all    map[[2]string]access.Permissions      // by vhost, user
	topics map[[3]string]access.TopicPermissions // by vhost, user, exchange
	open   map[*Session]*told
	batch  map[*Session]*Batch // kept, so that what they remember is put to the test
}

var (
	someUsers    = []string{"a", "b", "guest"}
	someVHosts   = []string{"/", "v"}
	someNames    = []string{"q", "qq", "amq.topic", ""}
	somePatterns = []string{"", ".*", "^q$", "q", "amq", "^amq\\.default$"}
)

// may is RabbitMQ's rule, by the regexp package alone.
func (m *accessModel) may(vhost, user string, p access.Permission, name string) bool {
	rights, ok := m.all[[2]string{vhost, user}]
	if !ok {
		return false
	}
	pattern := []string{rights.Configure, rights.Write, rights.Read}[p]
	if pattern == "" {
		pattern = "^$"
	}
	if name == "" {
		name = "amq.default"
	}
	return regexp.MustCompile(pattern).MatchString(name)
}

func (m *accessModel) mayPublish(vhost, user, exchange, key string) bool {
	if !m.may(vhost, user, access.Write, exchange) {
		return false
	}
	t, ok := m.topics[[3]string{vhost, user, exchange}]
	pattern := t.Write
	if pattern == "" {
		pattern = "^$"
	}
	return exchange != "amq.topic" || !ok || regexp.MustCompile(pattern).MatchString(key)
}

// Whatever administrators do in whatever order, also over restarts and crashes, the
// broker and the model agree on who may do what, on sessions old and new.
func TestAccessIsAsTheModelSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newBench(t)
		defer w.close()
		w.fs.SyncAll()
		m := &accessModel{
			users: map[string]bool{"guest": true}, vhosts: map[string]bool{"/": true},
			all:    map[[2]string]access.Permissions{{"/", "guest"}: {User: "guest", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}},
			topics: map[[3]string]access.TopicPermissions{}, open: map[*Session]*told{}, batch: map[*Session]*Batch{},
		}
		user := func() string { return rapid.SampledFrom(someUsers).Draw(rt, "user") }
		vhost := func() string { return rapid.SampledFrom(someVHosts).Draw(rt, "vhost") }
		pattern := func() string { return rapid.SampledFrom(somePatterns).Draw(rt, "pattern") }
		want := func(err, wanted error) {
			if err != wanted {
				rt.Fatalf("%v, want %v", err, wanted)
			}
		}
		there := func(v, u string) error {
			switch {
			case !m.vhosts[v]:
				return ErrNoVHost
			case !m.users[u]:
				return ErrNoUser
			}
			return nil
		}
		closes := func(if_ func(s *Session) bool, text string) {
			for s, peer := range m.open {
				if if_(s) {
					if !slices.Equal(peer.why, []string{text}) {
						rt.Fatalf("closed with %q, want %q", peer.why, text)
					}
					s.Close()
					delete(m.open, s)
				} else if len(peer.why) > 0 {
					rt.Fatalf("closed with %q", peer.why)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put user": func(*rapid.T) {
				u := user()
				created, err := w.b.PutUser(access.User{Name: u})
				want(err, nil)
				if created == m.users[u] {
					rt.Fatalf("created: %v", created)
				}
				m.users[u] = true
			},
			"delete user": func(*rapid.T) {
				u := user()
				err := w.b.DeleteUser(u)
				if !m.users[u] {
					want(err, ErrNoUser)
					return
				}
				want(err, nil)
				delete(m.users, u)
				maps.DeleteFunc(m.all, func(k [2]string, _ access.Permissions) bool { return k[1] == u })
				maps.DeleteFunc(m.topics, func(k [3]string, _ access.TopicPermissions) bool { return k[1] == u })
				closes(func(s *Session) bool { return s.user.Name == u }, "CONNECTION_FORCED - user '"+u+"' is deleted")
			},
			"add vhost": func(*rapid.T) {
				v := vhost()
				want(w.b.AddVHost(v), nil)
				m.vhosts[v] = true
			},
			"delete vhost": func(*rapid.T) {
				v := vhost()
				err := w.b.DeleteVHost(v)
				if !m.vhosts[v] {
					want(err, ErrNoVHost)
					return
				}
				want(err, nil)
				delete(m.vhosts, v)
				maps.DeleteFunc(m.all, func(k [2]string, _ access.Permissions) bool { return k[0] == v })
				maps.DeleteFunc(m.topics, func(k [3]string, _ access.TopicPermissions) bool { return k[0] == v })
				closes(func(s *Session) bool { return s.v.name == v }, "CONNECTION_FORCED - vhost '"+v+"' is down")
			},
			"permit": func(*rapid.T) {
				p := access.Permissions{User: user(), VHost: vhost(), Configure: pattern(), Write: pattern(), Read: pattern()}
				_, err := w.b.SetPermissions(p)
				want(err, there(p.VHost, p.User))
				if err == nil {
					m.all[[2]string{p.VHost, p.User}] = p
				}
			},
			"forbid": func(*rapid.T) {
				v, u := vhost(), user()
				err := w.b.ClearPermissions(v, u)
				wanted := there(v, u)
				if _, ok := m.all[[2]string{v, u}]; !ok && wanted == nil {
					wanted = ErrNoPermissions
				}
				want(err, wanted)
				delete(m.all, [2]string{v, u})
			},
			"permit topics": func(*rapid.T) {
				p := access.TopicPermissions{User: user(), VHost: vhost(), Exchange: rapid.SampledFrom(someNames[1:3]).Draw(rt, "exchange"), Write: pattern(), Read: pattern()}
				_, err := w.b.SetTopicPermissions(p)
				want(err, there(p.VHost, p.User))
				if err == nil {
					m.topics[[3]string{p.VHost, p.User, p.Exchange}] = p
				}
			},
			"free topics": func(*rapid.T) {
				v, u := vhost(), user()
				err := w.b.ClearTopicPermissions(v, u)
				n := len(m.topics)
				maps.DeleteFunc(m.topics, func(k [3]string, _ access.TopicPermissions) bool { return k[0] == v && k[1] == u })
				wanted := there(v, u)
				if n == len(m.topics) && wanted == nil {
					wanted = ErrNoPermissions
				}
				want(err, wanted)
			},
			"connect": func(*rapid.T) {
				v, u := vhost(), user()
				peer := new(told)
				s, err := w.b.NewSession(v, &User{Name: u}, peer)
				_, ok := m.all[[2]string{v, u}]
				switch {
				case err == nil && ok:
					m.open[s], m.batch[s] = peer, s.NewBatch()
				case err == nil || ok || !strings.HasPrefix(err.Error(), "NOT_ALLOWED"):
					rt.Fatalf("%s in %s: %v", u, v, err)
				}
			},
			"again": func(*rapid.T) {
				for s := range m.open {
					s.Close()
				}
				clear(m.open)
				if rapid.Bool().Draw(rt, "crash") {
					w.crash()
				} else {
					w.restart()
				}
			},
			"": func(*rapid.T) {
				if got, want := fmt.Sprint(w.b.Permissions()), fmt.Sprint(sorted(m.all)); got != want {
					rt.Fatalf("permissions %s, want %s", got, want)
				}
				if got, want := fmt.Sprint(w.b.TopicPermissions()), fmt.Sprint(sorted(m.topics)); got != want {
					rt.Fatalf("topic permissions %s, want %s", got, want)
				}
				if len(w.b.Users()) != len(m.users) || len(w.b.VHosts()) != len(m.vhosts) {
					rt.Fatalf("%v %v, want %v %v", w.b.Users(), w.b.VHosts(), m.users, m.vhosts)
				}
				for s := range m.open {
					m.check(rt, s)
				}
			},
		})
	})
}

// check asks a session for everything. The errors for what is missing come only
// where the right is there.
func (m *accessModel) check(rt *rapid.T, s *Session) {
	b := m.batch[s]
	for _, name := range someNames {
		for _, p := range []access.Permission{access.Configure, access.Write, access.Read} {
			if got, want := s.may(p, resourceQueue, name) == nil, m.may(s.v.name, s.user.Name, p, name); got != want {
				rt.Fatalf("%s in %s may %s %q: %v", s.user.Name, s.v.name, p, name, got)
			}
		}
		for _, key := range []string{"q", "k"} {
			for _, p := range []amqp.Properties{nil, props(headers("a", 1))} {
				_, err := b.Publish(&Publishing{Exchange: []byte(name), RoutingKey: []byte(key), Props: p})
				refused := err != nil && strings.HasPrefix(err.Error(), "ACCESS_REFUSED")
				if want := m.mayPublish(s.v.name, s.user.Name, name, key); refused == want {
					rt.Fatalf("%s in %s publishes to %q with %q: %v", s.user.Name, s.v.name, name, key, err)
				}
			}
		}
	}
	b.Reset()
}

// sorted are a map's values in the order of its keys.
func sorted[K [2]string | [3]string, V any](m map[K]V) []V {
	list := []V{}
	for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b K) int { return strings.Compare(fmt.Sprintf("%q", a), fmt.Sprintf("%q", b)) }) {
		list = append(list, m[k])
	}
	return list
}
