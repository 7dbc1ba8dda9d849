package peers

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/leveret-mq/leveret/bench/machine"
	"github.com/leveret-mq/leveret/internal/peer"
)

// broker is who is measured.
type broker struct {
	name  string
	title string
	args  string // for leveret bench
	// peer is somebody else's, which is slower, and started once.
	peer bool
	// server is the broker whose process it shares; default its own.
	server  string
	start   func(*session, context.Context) (*peer.Broker, error)
	version func(*session, context.Context) string
}

var brokers = []broker{
	{name: leveret, title: "Leveret",
		start: func(s *session, ctx context.Context) (*peer.Broker, error) {
			return peer.Leveret(ctx, s.Leveret, s.options())
		},
		version: func(s *session, ctx context.Context) string { return machine.Version(ctx, s.Leveret) }},
	{name: nullSync, title: "ceiling", start: func(s *session, ctx context.Context) (*peer.Broker, error) {
		return peer.Null(ctx, s.Leveret, true, s.options())
	}},
	{name: null, title: "ceiling, no fdatasync", start: func(s *session, ctx context.Context) (*peer.Broker, error) {
		return peer.Null(ctx, s.Leveret, false, s.options())
	}},
	{name: classic, title: "RabbitMQ classic", peer: true,
		start: func(s *session, ctx context.Context) (*peer.Broker, error) {
			if err := peer.InstallRabbitMQ(); err != nil {
				return nil, err
			}
			return peer.RabbitMQ(ctx, s.options())
		},
		version: func(*session, context.Context) string { return peer.RabbitMQVersion() }},
	{name: quorum, title: "RabbitMQ quorum", peer: true, server: classic, args: "-qq"},
	{name: jet, title: "JetStream", peer: true,
		start: func(s *session, ctx context.Context) (*peer.Broker, error) {
			return peer.NATS(ctx, s.NATS, s.options())
		},
		version: natsVersion},
	{name: jetSync, title: "JetStream, synced", peer: true, start: func(s *session, ctx context.Context) (*peer.Broker, error) {
		o := s.options()
		o.Config = append(o.Config, "sync_interval: always")
		return peer.NATS(ctx, s.NATS, o)
	}},
}

func natsVersion(s *session, ctx context.Context) string {
	out, err := exec.CommandContext(ctx, s.NATS, "--version").Output()
	if err != nil {
		return ""
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ": v")
	return version
}

// serves is the broker whose process it is.
func (b *broker) serves() *broker {
	if b.server != "" {
		return brokerOf(b.server)
	}
	return b
}

// brokerOf finds one by name.
func brokerOf(name string) *broker {
	for i := range brokers {
		if brokers[i].name == name {
			return &brokers[i]
		}
	}
	panic(fmt.Sprintf("broker %q is not known", name))
}

// Peers are who can be left out, by name.
func Peers() (names []string) {
	for _, b := range brokers {
		if b.peer {
			names = append(names, b.name)
		}
	}
	return names
}
