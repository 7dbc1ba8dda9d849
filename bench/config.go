package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The scenarios.
const (
	Flow    = "flow"    // publishers and consumers on one queue
	Latency = "latency" // one publisher with one outstanding confirm, no consumer
	Many    = "many"    // publishers on queues of their own, one outstanding confirm each
	Publish = "publish" // one publisher, no consumer: a backlog
	Drain   = "drain"   // one consumer eats a backlog
	Fanout  = "fanout"  // one publisher, a fanout exchange, a consumer a queue
	Topic   = "topic"   // one publisher, a topic exchange with many bindings, a consumer a queue
	Direct  = "direct"  // the same messages by a direct exchange, to as many queues
	// Load is what Config's fields say, and nothing that they do not: objects are
	// declared as PerfTest declares them and left as they are, and messages that stay
	// queued are no failure.
	Load = "load"
)

// Scenarios lists them.
var Scenarios = []string{Flow, Latency, Many, Publish, Drain, Fanout, Topic, Direct, Load}

// Config is one run. The zero value of a field takes its default; -1 says none
// where none is not the default.
type Config struct {
	// URI is the broker's, amqp or amqps. Several, separated by commas, take
	// connections in turn.
	URI string `json:"uri"`
	// TLSCA is a PEM file with the authorities that amqps trusts, by default the
	// system's. Insecure trusts everybody.
	TLSCA    string `json:"tls_ca,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
	Scenario string `json:"scenario"` // default flow

	Size int `json:"size"` // bytes of a body; default 100. For an empty body -1
	// Content is what bodies are made of: Pattern (the default) or JSON.
	Content     string `json:"content"`
	Transient   bool   `json:"transient"`   // delivery-mode 1 instead of 2
	NoConfirm   bool   `json:"no_confirm"`  // no publisher confirms; the socket alone bounds the publisher
	Outstanding int    `json:"outstanding"` // unconfirmed messages a publisher may have; default 1000, for latency and many 1
	Mandatory   bool   `json:"mandatory,omitempty"`
	// Properties of the messages: key=value, separated by commas, see
	// [ParseProperties].
	Properties string `json:"properties,omitempty"`

	Prefetch       int  `json:"prefetch"`                  // of a consumer; default 1000, -1: any number
	GlobalPrefetch int  `json:"global_prefetch,omitempty"` // of a channel; default any number
	AckEvery       int  `json:"ack_every"`                 // multiple=true after so many deliveries; default 100, at most Prefetch
	AutoAck        bool `json:"auto_ack"`

	// Producers and Consumers are connections, each with so many channels, each of
	// which is a publisher or a consumer; all that is said of those is of each. The
	// default is the scenario's, and one channel.
	Producers        int `json:"producers"`
	Consumers        int `json:"consumers"`
	ProducerChannels int `json:"producer_channels"`
	ConsumerChannels int `json:"consumer_channels"`

	// Rate is messages a second of each publisher, which keeps to a schedule: what a
	// stall has held up is sent as fast as may be when it is over, and latencies run
	// from when a message was due. 0: as fast as may be.
	Rate float64 `json:"rate,omitempty"`
	// ConsumerRate is the most that a consumer takes a second; ConsumerLatency is how
	// long it takes over each message.
	ConsumerRate    float64       `json:"consumer_rate,omitempty"`
	ConsumerLatency time.Duration `json:"consumer_latency,omitempty"`

	// Queues is the number of queues, and by default of publishers, in many (default
	// 64), of queues and by default consumers in fanout (default 10), topic and direct
	// (default 1), else 1.
	Queues int `json:"queues"`

	// Bindings is how many the exchange of topic and direct has (default 10,000), of
	// which Match in a hundred (default 1) match any message, those of every queue
	// among them: each message gets once into each queue. Keys is how many routing keys
	// messages have, in turn; 1: always the same; default as many as the bindings of a
	// queue. A direct exchange has one binding a queue that matches, the others have the
	// other keys, of which there are no more than bindings of a queue.
	Bindings int     `json:"bindings,omitempty"`
	Match    float64 `json:"match,omitempty"`
	Keys     int     `json:"keys,omitempty"`

	// QueueType is the argument x-queue-type, if any. QueueArgs are more arguments,
	// key=value, separated by commas, see [ParseArguments]; ConsumerArgs are those of
	// basic.consume.
	QueueType    string `json:"queue_type,omitempty"`
	QueueArgs    string `json:"queue_args,omitempty"`
	ConsumerArgs string `json:"consumer_args,omitempty"`
	// Queue names the queue; with several, -0, -1 and so on follow. Default:
	// leveret-bench and, without Keep, six random digits. Keep uses queues that are
	// there, and leaves them; else there must be none of these names, and they are
	// deleted in the end.
	Queue string `json:"queue"`
	Keep  bool   `json:"keep,omitempty"`
	named bool   // Queue was given

	// Topology is what load declares and uses.
	Topology Topology `json:"topology,omitzero"`

	// A run ends after Messages published by each publisher (in drain: consumed by
	// all together; default there 1,000,000), after ConsumerMessages by each consumer
	// (in load only), after Duration, or when it is told to. Without any of them
	// Duration is 5 s, in load unlimited. Of a run by time alone Warmup (default a
	// tenth, in load nothing) is not measured.
	Messages         int           `json:"messages,omitempty"`
	ConsumerMessages int           `json:"consumer_messages,omitempty"`
	Duration         time.Duration `json:"duration"`
	Warmup           time.Duration `json:"warmup"`

	// ConfirmTimeout bounds the wait for confirms at the end; default two minutes.
	// SettleTimeout is how long load waits for what has been published by number to
	// be consumed; default 5 s.
	ConfirmTimeout time.Duration `json:"confirm_timeout,omitempty"`
	SettleTimeout  time.Duration `json:"settle_timeout,omitempty"`

	// WallClock stamps messages with the time of day, so that latencies mean
	// something between machines whose clocks agree.
	WallClock bool `json:"wall_clock,omitempty"`

	// FloorDir, in latency, is a folder: what one fdatasync of a file in it and one
	// loopback round trip take is measured before and after the run, see [Floor].
	FloorDir string `json:"floor_dir,omitempty"`

	// PID is the broker's process, if its processor time and memory are to be
	// measured too. Linux only.
	PID int `json:"pid,omitempty"`
}

// Topology is where load publishes to and consumes from.
type Topology struct {
	// Exchange is declared with Type unless it is the default one (empty) or a
	// predefined one (amq.).
	Exchange string `json:"exchange"`
	Type     string `json:"type,omitempty"`
	// RoutingKey is what queues are bound with and messages published with.
	RoutingKey string `json:"routing_key,omitempty"`
	// Queues are what every consumer consumes from. Without any, each consumer has
	// a queue of its own that the server names.
	Queues []string `json:"queues,omitempty"`
	// Spread gives producers and consumers one queue each, in turn, with the
	// queue's name as routing key.
	Spread bool `json:"spread,omitempty"`

	Durable     bool `json:"durable,omitempty"`
	AutoDelete  bool `json:"auto_delete,omitempty"`
	Exclusive   bool `json:"exclusive,omitempty"`
	Predeclared bool `json:"predeclared,omitempty"`  // what is there already is not declared
	SkipBinding bool `json:"skip_binding,omitempty"` // queues are not bound
}

func (c *Config) setDefaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if c.Scenario == "" {
		c.Scenario = Flow
	}
	if c.Content == "" {
		c.Content = Pattern
	}
	if c.Size < 0 {
		c.Size = 0
	} else {
		set(&c.Size, 100)
	}
	switch c.Scenario {
	case Latency, Many:
		set(&c.Outstanding, 1)
	default:
		set(&c.Outstanding, 1000)
	}
	switch c.Scenario {
	case Many:
		set(&c.Queues, 64)
	case Fanout:
		set(&c.Queues, 10)
	default:
		set(&c.Queues, 1)
	}
	switch c.Scenario {
	case Flow, Load:
		set(&c.Producers, 1)
		set(&c.Consumers, 1)
	case Latency, Publish:
		set(&c.Producers, 1)
	case Many:
		set(&c.Producers, c.Queues)
	case Drain:
		set(&c.Consumers, 1)
		set(&c.Messages, 1_000_000)
	case Fanout, Topic, Direct:
		set(&c.Producers, 1)
		set(&c.Consumers, c.Queues)
	}
	if c.routed() {
		set(&c.Bindings, 10_000)
		if c.Match == 0 {
			c.Match = 1
		}
		set(&c.Keys, newRoutes(c).direct())
	}
	set(&c.ProducerChannels, 1)
	set(&c.ConsumerChannels, 1)
	set(&c.Prefetch, 1000)
	most := 100
	if c.Prefetch > 0 {
		most = min(most, c.Prefetch)
	}
	if c.GlobalPrefetch > 0 {
		most = min(most, c.GlobalPrefetch)
	}
	set(&c.AckEvery, most)
	if c.named = c.Queue != ""; !c.named {
		c.Queue = "leveret-bench"
		if !c.Keep {
			c.Queue += fmt.Sprintf("-%06x", rand.N(1<<24))
		}
	}
	if c.Duration == 0 && c.Messages == 0 && c.Scenario != Load {
		c.Duration = 5 * time.Second
	}
	if c.Warmup == 0 && c.Scenario != Load && c.Messages == 0 {
		c.Warmup = c.Duration / 10
	}
	if c.ConfirmTimeout == 0 {
		c.ConfirmTimeout = settleTimeout
	}
	if c.SettleTimeout == 0 {
		c.SettleTimeout = 5 * time.Second
	}
}

// publishers and receivers are how many connections of each kind there are.
func (c *Config) publishers() int { return max(0, c.Producers) }
func (c *Config) receivers() int  { return max(0, c.Consumers) }

// routed is whether the run is of an exchange with many bindings.
func (c *Config) routed() bool { return c.Scenario == Topic || c.Scenario == Direct }

// uris are the brokers, of which connections take one in turn.
func (c *Config) uris() []string { return strings.Split(c.URI, ",") }

// Validate reports what can not be run. Defaults need not be set.
func (c Config) Validate() error {
	c.setDefaults()
	if c.PID != 0 {
		if p, err := os.FindProcess(c.PID); err != nil || p.Signal(syscall.Signal(0)) == os.ErrProcessDone {
			return fmt.Errorf("there is no process %d (--pid)", c.PID)
		}
	}
	for _, uri := range c.uris() {
		if _, err := parseAddress(uri); err != nil {
			return err
		}
	}
	if _, err := ParseProperties(c.Properties); err != nil {
		return err
	}
	for _, args := range []string{c.QueueArgs, c.ConsumerArgs} {
		if _, err := ParseArguments(args); err != nil {
			return err
		}
	}
	window := c.Prefetch
	if window < 0 || c.GlobalPrefetch > 0 && c.GlobalPrefetch < window {
		window = c.GlobalPrefetch
	}
	switch {
	case !slices.Contains(Scenarios, c.Scenario):
		return fmt.Errorf("scenario %q is none of %q", c.Scenario, Scenarios)
	case c.Content != Pattern && c.Content != JSON:
		return fmt.Errorf("content %q is neither %q nor %q", c.Content, Pattern, JSON)
	case c.Size > 128<<20:
		return fmt.Errorf("size %d is more than 128 MiB", c.Size)
	case c.Outstanding < 1 || c.Outstanding > 1<<20 || c.Queues < 1 || c.Messages < 0 || c.ConsumerMessages < 0:
		return errors.New("outstanding (at most 1,048,576) and queues must be positive, messages not negative")
	case c.Prefetch < -1 || c.Prefetch > 65535:
		return fmt.Errorf("prefetch %d is not in 1 to 65535", c.Prefetch)
	case c.GlobalPrefetch < 0 || c.GlobalPrefetch > 65535:
		return fmt.Errorf("global prefetch %d is not in 0 to 65535", c.GlobalPrefetch)
	case c.AckEvery < 1 || window > 0 && c.AckEvery > window && !c.AutoAck:
		return fmt.Errorf("ack-every (-A) %d is not in 1 to the prefetch (-q) of %d: the consumer would starve", c.AckEvery, window)
	case c.Duration < 0 || c.Warmup < 0 || c.Duration > 0 && c.Messages == 0 && c.Warmup >= c.Duration:
		return fmt.Errorf("warm-up of %v in a run of %v", c.Warmup, c.Duration)
	case c.Queues > 1 && c.Scenario != Many && c.Scenario != Fanout && !c.routed():
		return fmt.Errorf("scenario %s has one queue, not %d", c.Scenario, c.Queues)
	case c.NoConfirm && (c.Scenario == Latency || c.Scenario == Many):
		return fmt.Errorf("scenario %s waits for confirms", c.Scenario)
	case c.FloorDir != "" && c.Scenario != Latency:
		return fmt.Errorf("scenario %s is not one that a sync and a round trip are the least of", c.Scenario)
	case !c.routed() && (c.Bindings != 0 || c.Match != 0 || c.Keys != 0):
		return fmt.Errorf("scenario %s has not a number of bindings", c.Scenario)
	case c.ConsumerMessages > 0 && c.Scenario != Load:
		return fmt.Errorf("scenario %s consumes all that is published", c.Scenario)
	case c.publishers()+c.receivers() == 0:
		return errors.New("neither a producer nor a consumer")
	case c.publishers()*c.ProducerChannels > maxPublishers:
		return fmt.Errorf("%d × %d publishers are more than %d", c.Producers, c.ProducerChannels, maxPublishers)
	case c.ProducerChannels < 1 || c.ConsumerChannels < 1 || c.ProducerChannels > 65535 || c.ConsumerChannels > 65535:
		return errors.New("a connection has 1 to 65535 channels")
	case !(c.Rate >= 0 && c.Rate <= 1e9) || !(c.ConsumerRate >= 0) || c.ConsumerLatency < 0: // NaN is neither
		return errors.New("a rate or a latency can not be negative, nor a rate more than 1e9")
	case c.Scenario == Drain && c.publishers() > 0:
		return errors.New("scenario drain has no producers: it publishes its backlog first")
	case c.routed():
		return newRoutes(&c).validate(&c)
	}
	return nil
}
