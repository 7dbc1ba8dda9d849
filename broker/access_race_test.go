package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/access"
)

// While users, permissions and vhosts come and go, clients are served or refused,
// and when all is quiet what holds is what was said last.
func TestAccessChangesUnderLoad(t *testing.T) {
	w := newBench(t)
	const rounds = 30
	stop := make(chan struct{})
	var clients, admins sync.WaitGroup
	refusal := func(err error) bool {
		text := fmt.Sprint(err)
		return strings.HasPrefix(text, "ACCESS_REFUSED") || strings.HasPrefix(text, "NOT_ALLOWED") ||
			strings.HasPrefix(text, "NOT_FOUND") || strings.HasPrefix(text, "CONNECTION_FORCED")
	}
	for i := range 4 {
		user, vhost := fmt.Sprint("u", i%2), fmt.Sprint("v", i/2)
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				s, err := w.b.NewSession(vhost, &User{Name: user}, fakePeer("x"))
				if err != nil {
					if !refusal(err) {
						t.Error(err)
					}
					continue
				}
				b := s.NewBatch()
				for k := range 20 {
					name := fmt.Sprint("q", k%3)
					if _, err := s.DeclareQueue(QueueSpec{Name: name, Durable: true}); err != nil && !refusal(err) {
						t.Error(err)
					}
					if err := s.BindQueue(name, "amq.topic", name, nil); err != nil && !refusal(err) {
						t.Error(err)
					}
					if _, err := b.Publish(&Publishing{Exchange: []byte("amq.topic"), RoutingKey: []byte(name), Props: persistent, Body: []byte("m")}); err != nil && !refusal(err) {
						t.Error(err)
					}
					if _, err := b.Flush(nil, true); err != nil {
						t.Error(err)
					}
				}
				s.Close()
			}
		})
	}
	must := func(err error) {
		if err != nil && err != ErrNoUser && err != ErrNoVHost && err != ErrNoPermissions {
			t.Error(err)
		}
	}
	for i := range 2 {
		user, vhost := fmt.Sprint("u", i), fmt.Sprint("v", i)
		admins.Go(func() {
			for n := range rounds {
				_, err := w.b.PutUser(access.User{Name: user})
				must(err)
				must(w.b.AddVHost(vhost))
				for v := range 2 {
					_, err = w.b.SetPermissions(access.Permissions{User: user, VHost: fmt.Sprint("v", v), Configure: ".*", Write: "^(q|amq)", Read: ".*"})
					must(err)
					_, err = w.b.SetTopicPermissions(access.TopicPermissions{User: user, VHost: fmt.Sprint("v", v), Exchange: "amq.topic", Write: "^q[01]", Read: "."})
					must(err)
				}
				switch n % 4 {
				case 0:
					must(w.b.ClearPermissions(vhost, user))
				case 1:
					must(w.b.DeleteUser(user))
				case 2:
					must(w.b.DeleteVHost(vhost))
				case 3:
					must(w.b.SetVHostLimit(vhost, access.MaxConnections, n%3-1))
				}
			}
		})
	}
	admins.Wait()
	close(stop)
	clients.Wait()
	for i := range 2 {
		w.b.DeleteUser(fmt.Sprint("u", i))
		w.b.DeleteVHost(fmt.Sprint("v", i))
	}
	if len(w.b.Users()) != 1 || len(w.b.VHosts()) != 1 || len(w.b.Permissions()) != 1 || len(w.b.TopicPermissions()) != 0 {
		t.Error("something is left", w.b.Users(), w.b.VHosts(), w.b.Permissions())
	}
	for _, name := range []string{"v0", "v1"} {
		if left := w.records(name); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
	w.restart()
}
