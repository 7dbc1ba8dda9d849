package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leveret-mq/leveret/bench/machine"
	"github.com/leveret-mq/leveret/internal/peer"
)

// Config says what to measure.
type Config struct {
	// Leveret and NATS are binaries.
	Leveret, NATS string
	// Dir is where brokers keep their data, on the disk that is measured.
	Dir string
	// Scale multiplies numbers of messages, of objects and of seconds.
	Scale float64
	// Runs is of how many runs each median is.
	Runs int
	// Only selects measures by their names; nil takes all. Peers are who is measured
	// beside Leveret and the null brokers.
	Only  *regexp.Regexp
	Peers []string
	// Progress is told what is going on.
	Progress io.Writer
}

// Validate reports what cannot be measured.
func (c *Config) Validate() error {
	if _, err := os.Stat(c.Leveret); err != nil {
		return fmt.Errorf("the binary: %w", err)
	}
	if c.Only != nil && !slices.ContainsFunc(Measures(), c.Only.MatchString) {
		return fmt.Errorf("%v is none of %s", c.Only, strings.Join(Measures(), ", "))
	}
	for _, p := range c.Peers {
		if !slices.Contains(Peers(), p) {
			return fmt.Errorf("peer %q is none of %s", p, strings.Join(Peers(), ", "))
		}
	}
	switch {
	case c.Scale <= 0 || c.Scale > 100:
		return fmt.Errorf("scale %v is not between 0 and 100", c.Scale)
	case c.Runs < 1:
		return errors.New("at least one run")
	}
	return nil
}

// Measures lists what can be selected, in order.
func Measures() (names []string) {
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

// session is one run of the whole.
type session struct {
	Config
	results *Results
	// kept are the servers of peers, which run, paused, until the end.
	kept map[string]*peer.Broker
}

// Run measures. What fails is left out of the results, and in the error.
func Run(ctx context.Context, c Config) (*Results, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	s := &session{Config: c, results: &Results{Machine: machine.Describe(c.Dir), Versions: map[string]string{}}, kept: map[string]*peer.Broker{}}
	defer func() {
		for _, b := range s.kept {
			b.Close()
		}
	}()
	var failed error
	for _, m := range measures {
		if ctx.Err() == nil && (c.Only == nil || c.Only.MatchString(m.name)) {
			failed = errors.Join(failed, s.measure(ctx, m))
		}
	}
	return s.results, errors.Join(failed, context.Cause(ctx))
}

func (s *session) say(format string, args ...any) {
	fmt.Fprintln(s.Progress, wrapped(fmt.Sprintf(format, args...), strings.Repeat(" ", 19)))
}

// options are those of every broker.
func (s *session) options() peer.Options { return peer.Options{Temp: s.Dir, Bare: true} }

// chosen are the brokers of a measure that are wanted.
func (s *session) chosen(m measure) (chosen []*broker) {
	for _, name := range m.on {
		b := brokerOf(name)
		if !b.peer || slices.Contains(s.Peers, name) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}

// measure takes the turns of one measure.
func (s *session) measure(ctx context.Context, m measure) error {
	began := time.Now()
	on := s.chosen(m)
	var loads []Load
	for _, l := range m.loads {
		of := Load{Name: l.as(m), Began: began.UTC().Truncate(time.Second), Scale: s.Scale, LoadAverage: machine.Load(), Version: machine.Version(ctx, s.Leveret)}
		for _, b := range on {
			of.Brokers = append(of.Brokers, Runs{Broker: b.name})
		}
		loads = append(loads, of)
	}
	if median, _, err := machine.SyncTime(s.Dir); err == nil {
		loads[0].Sync = round(float64(median) / 1e6)
	}
	s.say("%s: %d loads, %d brokers, %d runs each", m.name, len(loads), len(on), s.Runs)
	var failed error
	for turn := range s.Runs {
		for i, b := range on {
			if broken(loads, i) {
				continue
			}
			if err := s.turn(ctx, m, b, loads, i); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s, %s, run %d: %w", m.name, b.name, turn+1, err))
				s.say("  %-16s failed: %v", b.name, err)
				s.down(b) // it may be gone, or hold what others are not to find
				for j := range loads {
					loads[j].Brokers[i].Failure = err.Error()
				}
			}
			if ctx.Err() != nil {
				return failed
			}
		}
	}
	for _, l := range loads {
		l.Took = round(time.Since(began).Seconds())
		l.Sync = loads[0].Sync
		l.Brokers = slices.DeleteFunc(l.Brokers, func(r Runs) bool { return len(r.Samples) == 0 && r.Failure == "" })
		s.results.Loads = append(s.results.Loads, l)
	}
	s.say("  took %.0f s", time.Since(began).Seconds())
	return failed
}

// broken is whether a broker has failed a turn.
func broken(loads []Load, broker int) bool {
	return slices.ContainsFunc(loads, func(l Load) bool { return l.Brokers[broker].Failure != "" })
}

// turn is one run of all loads of a measure against one broker.
func (s *session) turn(ctx context.Context, m measure, b *broker, loads []Load, i int) error {
	if m.anew {
		s.down(b)
	}
	at, done, err := s.up(ctx, b)
	if err != nil {
		return err
	}
	defer done()
	for j := range m.loads {
		l := &m.loads[j]
		if slices.Contains(l.not, b.name) {
			continue
		}
		unix.Sync()
		var sample Sample
		var command string
		switch {
		case !strings.HasPrefix(at.URL, "nats:"):
			args := l.command(b, s.Scale, s.Dir)
			command = "leveret bench " + strings.Join(args, " ")
			sample, err = s.run(ctx, at, args)
		case l.stream != nil:
			command = l.stream.String()
			sample, err = l.stream.run(ctx, at, s.Scale)
		default:
			continue
		}
		if err != nil {
			return err
		}
		of := &loads[j].Brokers[i]
		of.Command, of.Samples = command, append(of.Samples, sample)
		s.say("  %-16s %s", b.name, sample)
	}
	return nil
}

// up is a broker that runs. What is started anew is closed when it is done with, what
// is kept is paused.
func (s *session) up(ctx context.Context, b *broker) (at *peer.Broker, done func(), err error) {
	server := b.serves()
	if at = s.kept[server.name]; at == nil {
		if at, err = server.start(s, ctx); err != nil {
			return nil, nil, err
		}
		if server.version != nil {
			s.results.Versions[server.name] = server.version(s, ctx)
		}
	}
	if !b.peer {
		return at, at.Close, nil
	}
	s.kept[server.name] = at
	at.Resume()
	return at, at.Pause, nil
}

// down ends a server that is kept.
func (s *session) down(b *broker) {
	name := b.serves().name
	if at := s.kept[name]; at != nil {
		at.Close()
		delete(s.kept, name)
	}
}

// String is a sample on a line.
func (s Sample) String() string {
	var b strings.Builder
	figure := func(v float64, u unit, name string) {
		if v > 0 {
			fmt.Fprintf(&b, "  %s %s", u.format(v), name)
		}
	}
	figure(s.Published, perSecond, "published")
	figure(s.Consumed, perSecond, "consumed")
	figure(s.Confirm.P50, millis, "confirm p50")
	figure(s.Confirm.P99, millis, "p99")
	figure(s.Delivery.P50, millis, "delivery p50")
	figure(s.Delivery.P99, millis, "p99")
	figure(s.Delivery.P999, millis, "p99.9")
	figure(s.BrokerCPU, micros, "broker")
	figure(s.ClientCPU, micros, "client")
	figure(s.Peak, megabytes, "peak")
	figure(s.Each, kilobytes, "each")
	figure(s.Floor, millis, "floor")
	return strings.TrimSpace(b.String())
}
