package broker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// fakeClient is a peer that is a client's connection.
type fakeClient struct {
	fakePeer
	closed *amqp.Error
}

func (c *fakeClient) Channels(list []ChannelListing) []ChannelListing { return list }

func (c *fakeClient) Describe(l *ConnectionListing) { l.State = "running" }
func (c *fakeClient) Close(err *amqp.Error)         { c.closed = err }

func TestConnectionsAreClientsOnly(t *testing.T) {
	w := newBench(t)
	if list := w.b.Connections(); list == nil || len(list) != 0 {
		t.Errorf("without any: %v", list)
	}
	var clients []*fakeClient
	for i, name := range []string{"c", "a", "b"} {
		peer := &fakeClient{fakePeer: fakePeer(name)}
		s, err := w.b.NewSession("/", &User{Name: "guest"}, peer)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, peer)
		if i == 2 {
			s.Close()
		}
	}
	w.client() // no Client
	if _, err := w.b.NewSession("/", &User{Name: "guest"}, nil); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range w.b.Connections() {
		names = append(names, fmt.Sprint(l.Name, l.User, l.VHost, l.State))
	}
	if want := []string{"aguest/running", "cguest/running"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if _, err := w.b.Connection("b"); err != ErrNoConnection {
		t.Errorf("of one that has ended: %v", err)
	}
	l, err := w.b.Connection("a")
	if err != nil {
		t.Fatal(err)
	}
	l.Close("100% \xff")
	if e := clients[1].closed; e == nil || e.Code != amqp.CodeConnectionForced || e.Text != "100% \uFFFD" {
		t.Errorf("closed with %v", e)
	}
	if clients[0].closed != nil {
		t.Errorf("another was closed with %v", clients[0].closed)
	}
}
