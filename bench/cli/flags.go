package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/bench"
)

// options are the values of the flags.
type options struct {
	id, uri, uris, tlsCA                                            string
	insecure, autoAck, millis, predeclared, skip                    bool
	exclusive, jsonBody, asJSON, quorum, quiet, keep                bool
	producers, consumers, producerChannels, consumerChannels        int
	queue, pattern, exchange, kind, key, queueArgs                  string
	consumerArgs, properties, contentType, autoDelete, csv, html    string
	from, to, size, confirm, ackEvery, prefetch, global             int
	pmessages, cmessages, latency, pid                              int
	rate, consumerRate                                              float64
	flags                                                           []string
	interval, limit, confirmTimeout, shutdownTimeout, publishingGap seconds
	warmup                                                          seconds
	listen, syncDir                                                 string
	bindings, keys                                                  int
	match                                                           float64
}

// seconds is a duration that is given in seconds or, with a unit, as Go's are.
type seconds time.Duration

func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(n) || n < -1 || n > 1e8 {
			return errors.New("not in 0 to 1e8 seconds")
		}
		*s = seconds(n * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("neither a number of seconds nor a duration such as 1m30s")
	}
	*s = seconds(d)
	return nil
}

func (s *seconds) String() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'f', -1, 64)
}
func (s *seconds) Type() string { return "seconds" }

// none is a number that is not given.
const none = -1

// flagSet binds the flags. What PerfTest spells with one dash and several letters is in
// short, by its long name.
func flagSet(o *options) *pflag.FlagSet {
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVarP(&o.uri, "uri", "h", "", "the broker (default amqp://guest:guest@127.0.0.1:5672/)")
	f.StringVarP(&o.uris, "uris", "H", "", "several brokers, separated by commas; connections take them in turn")
	f.StringVar(&o.tlsCA, "tls-ca", "", "trust the authorities in this PEM `file` for amqps://")
	f.BoolVar(&o.insecure, "insecure", false, "trust any certificate")
	f.StringVarP(&o.id, "id", "d", "", "name of the run, which begins each line (default test- and the time)")

	f.IntVarP(&o.producers, "producers", "x", 1, "connections that publish")
	f.IntVarP(&o.consumers, "consumers", "y", 1, "connections that consume")
	f.IntVarP(&o.producerChannels, "producer-channel-count", "X", 1, "channels of each connection that publishes; each is a publisher")
	f.IntVarP(&o.consumerChannels, "consumer-channel-count", "Y", 1, "channels of each connection that consumes; each is a consumer")

	f.StringVarP(&o.queue, "queue", "u", "", "the queue, or several, separated by commas, of which each consumer takes all (default: one that the server names for each consumer)")
	f.StringVar(&o.pattern, "queue-pattern", "", "many queues, such as work-%03d: producers and consumers have one each, in turn")
	f.IntVar(&o.from, "queue-pattern-from", none, "the first number of the pattern")
	f.IntVar(&o.to, "queue-pattern-to", none, "the last number of the pattern")
	f.StringVar(&o.queueArgs, "queue-args", "", "arguments of the queues: `key=value,…`")
	f.BoolVar(&o.quorum, "quorum-queue", false, "quorum queues: x-queue-type=quorum, durable, not auto-deleted")
	f.StringVar(&o.autoDelete, "auto-delete", "", "whether queues vanish with their last consumer: true or false (default true; scenarios delete theirs themselves)")
	f.BoolVarP(&o.exclusive, "exclusive", "E", false, "a queue for each consumer that only its connection may use")
	f.BoolVarP(&o.predeclared, "predeclared", "p", false, "use queues and exchanges that are there as they are")
	f.BoolVar(&o.skip, "skip-binding-queues", false, "do not bind queues to the exchange")
	f.StringVarP(&o.exchange, "exchange", "e", unset, "the exchange; amq.default or an empty name is the default one (default: the type's name)")
	f.StringVarP(&o.kind, "type", "t", "direct", "the exchange's type")
	f.StringVarP(&o.key, "routing-key", "k", "", "what queues are bound and messages published with (default the run's name)")

	f.IntVarP(&o.size, "size", "s", 16, "bytes of a body; below 16 latency is not measured")
	f.BoolVar(&o.jsonBody, "json-body", false, "bodies are JSON documents, all different; latency is not measured")
	f.StringArrayVarP(&o.flags, "flag", "f", nil, "persistent, transient (but in scenarios the default) or mandatory; may be given twice, or separated by a comma")
	f.StringVar(&o.properties, "message-properties", "", "properties and headers of the messages: `key=value,…`")
	f.StringVarP(&o.contentType, "body-content-type", "T", "", "content type of the messages")

	f.Float64VarP(&o.rate, "rate", "r", 0, "messages a second of each publisher, by a schedule: latencies run from when a message was due (0: as fast as may be)")
	f.Float64VarP(&o.consumerRate, "consumer-rate", "R", 0, "the most messages a second of each consumer (0: any number)")
	f.VarP(&o.publishingGap, "publishing-interval", "P", "seconds from one message of a publisher to its next, instead of a rate")
	f.IntVarP(&o.latency, "consumer-latency", "L", 0, "microseconds that a consumer takes over each message")
	f.IntVarP(&o.confirm, "confirm", "c", none, "messages that a publisher may have unconfirmed (-1: no confirms)")
	f.Var(&o.confirmTimeout, "confirm-timeout", "seconds to wait for the last confirms before the run has failed")
	f.BoolVarP(&o.autoAck, "autoack", "a", false, "consume without acks")
	f.IntVarP(&o.ackEvery, "multi-ack-every", "A", 0, "ack so many deliveries at once (0: each by itself)")
	f.IntVarP(&o.prefetch, "qos", "q", 0, "deliveries that a consumer may have unacked (0: any number)")
	f.IntVarP(&o.global, "global-qos", "Q", 0, "deliveries that a channel may have unacked (0: any number)")
	f.StringVar(&o.consumerArgs, "consumer-args", "", "arguments of basic.consume: `key=value,…`")

	f.IntVarP(&o.pmessages, "pmessages", "C", 0, "end after each publisher has sent so many (0: no end)")
	f.IntVarP(&o.cmessages, "cmessages", "D", 0, "end after each consumer has had so many (0: no end)")
	f.VarP(&o.limit, "time", "z", "end after so many seconds (0: no end, in scenarios 10)")
	f.Var(&o.warmup, "warmup", "seconds at the beginning that the summary's rates and latencies leave out, its counts do not (scenarios by time: a tenth of -z)")
	f.Var(&o.shutdownTimeout, "shutdown-timeout", "seconds that consumers have for what has been published by number")
	f.VarP(&o.interval, "interval", "i", "seconds from line to line")

	f.BoolVar(&o.millis, "use-millis", false, "stamp messages with the time of day and show milliseconds: for producers and consumers on different machines")
	f.StringVarP(&o.csv, "output-file", "o", "", "write a line an interval to this CSV `file`")
	f.StringVar(&o.html, "html", "", "write a report with charts to this `file`")
	f.BoolVar(&o.asJSON, "json", false, "write one JSON object at the end instead of lines")
	f.BoolVar(&o.quiet, "quiet", false, "write the summary alone")
	f.BoolVar(&o.keep, "keep", false, "scenarios: use the queue as it is, and leave it: backlog, then drain")
	f.IntVar(&o.pid, "pid", 0, "the broker's process on this machine, to measure its processor time and memory")
	f.StringVar(&o.listen, "listen", "", "scenario null: the `address` to serve at (default 127.0.0.1:5672)")
	f.StringVar(&o.syncDir, "sync", "", "scenario null: write to a file in this `folder` and fdatasync before each confirm; scenarios floor and one: measure there what a sync takes")
	f.IntVar(&o.bindings, "bindings", 10_000, "scenarios topic and direct: bindings of the exchange")
	f.Float64Var(&o.match, "match", 1, "scenarios topic and direct: how many of a hundred bindings match each message")
	f.IntVar(&o.keys, "keys", 0, "scenarios topic and direct: routing keys of the messages, in turn (1: always the same; 0: as many as a queue has bindings that differ)")

	o.confirmTimeout, o.shutdownTimeout, o.interval = seconds(30*time.Second), seconds(5*time.Second), seconds(time.Second)
	f.Lookup("exchange").DefValue = ""
	f.Lookup("confirm-timeout").DefValue, f.Lookup("shutdown-timeout").DefValue, f.Lookup("interval").DefValue = "30", "5", "1"
	for letters, name := range short {
		flag := f.Lookup(name)
		flag.Usage = "(-" + letters + ") " + flag.Usage
	}
	return f
}

// config is what the flags say.
func (o *options) config() (bench.Config, error) {
	c := bench.Config{
		URI: o.uri, TLSCA: o.tlsCA, Insecure: o.insecure, Scenario: bench.Load, Size: o.size, Transient: true, NoConfirm: o.confirm < 0,
		Outstanding: o.confirm, Properties: o.properties, Prefetch: o.prefetch, GlobalPrefetch: o.global,
		AckEvery: max(1, o.ackEvery), AutoAck: o.autoAck, Producers: o.producers, Consumers: o.consumers,
		ProducerChannels: o.producerChannels, ConsumerChannels: o.consumerChannels, Rate: o.rate, ConsumerRate: o.consumerRate,
		ConsumerLatency: time.Duration(o.latency) * time.Microsecond, QueueArgs: o.queueArgs, ConsumerArgs: o.consumerArgs,
		Messages: o.pmessages, ConsumerMessages: o.cmessages, Duration: time.Duration(o.limit), Warmup: time.Duration(o.warmup),
		ConfirmTimeout: time.Duration(o.confirmTimeout), SettleTimeout: time.Duration(o.shutdownTimeout), WallClock: o.millis, PID: o.pid,
	}
	for _, n := range []struct {
		name string
		n    int
	}{{"--producers", o.producers}, {"--consumers", o.consumers}, {"--pmessages", o.pmessages}, {"--cmessages", o.cmessages},
		{"--size", o.size}, {"--qos", o.prefetch}, {"--global-qos", o.global}, {"--multi-ack-every", o.ackEvery}, {"--consumer-latency", o.latency},
		{"--time", int(o.limit)}, {"--warmup", int(o.warmup)}, {"--publishing-interval", int(o.publishingGap)}} {
		if n.n < 0 {
			return c, fmt.Errorf("%s can not be negative", n.name)
		}
	}
	if o.interval <= 0 {
		return c, errors.New("--interval must be more than nothing")
	}
	// What is nothing by default here is a default of Config's.
	for _, p := range []*int{&c.Size, &c.Producers, &c.Consumers, &c.Prefetch} {
		if *p == 0 {
			*p = none
		}
	}
	if c.NoConfirm {
		c.Outstanding = 0
	} else if o.confirm == 0 {
		c.Outstanding = 1 << 16 // confirms, and no window to speak of
	}
	if o.uris != "" {
		c.URI = strings.ReplaceAll(o.uris, " ", "")
	}
	if c.URI == "" {
		c.URI = "amqp://guest:guest@127.0.0.1:5672/"
	}
	if o.publishingGap > 0 {
		if o.rate > 0 {
			return c, errors.New("--rate and --publishing-interval say the same: give one")
		}
		c.Rate = 1 / time.Duration(o.publishingGap).Seconds()
	}
	if o.jsonBody {
		c.Content = bench.JSON
	}
	if o.contentType != "" {
		c.Properties = strings.TrimPrefix(c.Properties+",content-type="+o.contentType, ",")
	}
	for _, flag := range o.flags {
		for _, flag := range strings.Split(flag, ",") {
			switch strings.TrimSpace(flag) {
			case "persistent":
				c.Transient, c.Topology.Durable = false, true
			case "transient":
				c.Transient, c.Topology.Durable = true, false
			case "mandatory":
				c.Mandatory = true
			default:
				return c, fmt.Errorf("--flag %q is none of persistent, transient and mandatory", flag)
			}
		}
	}
	return c, o.topology(&c)
}

// topology is where messages go.
func (o *options) topology(c *bench.Config) error {
	t := &c.Topology
	t.Exchange, t.Type, t.RoutingKey = o.exchange, o.kind, o.key
	t.Exclusive, t.Predeclared, t.SkipBinding, t.AutoDelete = o.exclusive, o.predeclared, o.skip, true
	switch o.exchange {
	case unset:
		t.Exchange = o.kind
	case "amq.default":
		t.Exchange = ""
	}
	if o.autoDelete != "" {
		var err error
		if t.AutoDelete, err = strconv.ParseBool(o.autoDelete); err != nil {
			return fmt.Errorf("--auto-delete %q is neither true nor false", o.autoDelete)
		}
	}
	if o.quorum {
		if o.exclusive {
			return errors.New("a quorum queue can not be exclusive")
		}
		c.QueueType, t.Durable, t.AutoDelete = "quorum", true, false
	}
	if o.queue != "" && !o.exclusive {
		for _, q := range strings.Split(o.queue, ",") {
			t.Queues = append(t.Queues, strings.TrimSpace(q))
		}
	}
	switch {
	case o.pattern == "" && o.from == none && o.to == none:
	case o.pattern == "" || o.from < 0 || o.to < 0:
		return errors.New("--queue-pattern, --queue-pattern-from and --queue-pattern-to go together")
	case o.from > o.to:
		return fmt.Errorf("--queue-pattern-from %d is behind --queue-pattern-to %d", o.from, o.to)
	case o.queue != "":
		return errors.New("--queue and --queue-pattern exclude each other")
	default:
		for i := o.from; i <= o.to; i++ {
			name := fmt.Sprintf(o.pattern, i)
			if strings.Contains(name, "%!") {
				return fmt.Errorf("--queue-pattern %q has not one number, such as %%d, in it", o.pattern)
			}
			t.Queues = append(t.Queues, name)
		}
		t.Spread = true
	}
	if t.RoutingKey == "" && !t.Spread {
		t.RoutingKey = o.id
		if t.Exchange == "" && len(t.Queues) == 1 {
			t.RoutingKey = t.Queues[0]
		}
	}
	return nil
}

// unset is an exchange that nobody has named: an empty name is one.
const unset = "\x00"
