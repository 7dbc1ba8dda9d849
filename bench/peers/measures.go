package peers

import "strings"

// measure is what is run against each broker in a turn.
type measure struct {
	name  string
	on    []string // brokers
	loads []load
	anew  bool // what a peer has held before would show: its server is started anew
}

// load is one run. Several of a measure follow each other on one broker.
type load struct {
	name string // of its figures; default the measure's
	// args are those of leveret bench. Numbers in braces are multiplied by the scale;
	// {dir} is the folder on the disk that is measured.
	args string
	// brief is added for peers, which are slower.
	brief string
	// by is added for one broker.
	by map[string]string
	// stream is what nats.go does instead; nil where JetStream has no such thing.
	stream *stream
	// not are brokers that have no such thing.
	not []string
}

// eased tells whether peers have less to do than Leveret, but for time.
func (l load) eased() bool {
	words := strings.Fields(l.brief)
	return len(words) > 2 || len(words) == 2 && words[0] != "-z"
}

// The brokers, by which figures are named.
const (
	leveret  = "leveret"
	nullSync = "null+sync"
	null     = "null"
	classic  = "rabbitmq"
	quorum   = "rabbitmq-quorum"
	jet      = "jetstream"
	jetSync  = "jetstream-sync"
)

// own are the names of queues that are kept from one run to the next: a node has both
// kinds.
var own = map[string]string{quorum: "-u backlog-quorum"}

var (
	everyone = []string{leveret, nullSync, null, classic, quorum, jet, jetSync}
	durable  = []string{leveret, nullSync, classic, quorum, jet, jetSync}
)

var measures = []measure{
	{name: "flow-100", on: everyone, loads: []load{{args: "flow -s 100 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 100, window: 1000}}}},
	{name: "flow-1k", on: everyone, loads: []load{{args: "flow -s 1024 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 1024, window: 1000}}}},
	{name: "flow-16k", on: everyone, loads: []load{{args: "flow -s 16384 -c 100 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 16384, window: 100}}}},
	{name: "transient", on: []string{leveret, null, classic, jet}, loads: []load{{args: "transient -s 100 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 100, window: 1000, transient: true}}}},
	{name: "one", on: durable, loads: []load{{args: "one -s 100 -z {4} --sync {dir}", brief: "-z {3}", stream: &stream{kind: publish, size: 100, window: 1}}}},
	{name: "many", on: durable, loads: []load{{args: "queues -s 100 -x 64 -z {4}", brief: "-z {3}", stream: &stream{kind: publish, size: 100, window: 1, queues: 64}}}},
	{name: "backlog", on: []string{leveret, nullSync, classic, quorum, jet}, loads: []load{
		{args: "backlog -s 100 -C {5000000} -u backlog --keep", brief: "-C {60000}", by: own, stream: &stream{kind: publish, size: 100, window: 1000, messages: 100_000}},
		{name: "drain", args: "drain -s 100 -C {5000000} -u backlog --keep", brief: "-C {60000}", by: own, not: []string{nullSync}, stream: &stream{kind: drain, size: 100, window: 1000, messages: 100_000}},
	}},
	{name: "fanout", on: []string{leveret, nullSync, classic, quorum, jet}, loads: []load{{args: "fanout -s 1024 -y 10 -z {4}", brief: "-z {3}", stream: &stream{kind: flow, size: 1024, window: 1000, consumers: 10}}}},
	{name: "latency", on: []string{leveret, nullSync, classic, quorum, jet}, loads: []load{{args: "latency -s 100 -r 20000 -z {10}", brief: "-r 2000", stream: &stream{kind: flow, size: 100, window: 1000, rate: 2000}}}},
	{name: "topic", on: []string{leveret, classic}, loads: []load{
		{args: "topic -s 100 -z {4}", brief: "-z {3} --bindings 1000"},
		{name: "direct", args: "direct -s 100 -z {4}", brief: "-z {3} --bindings 1000"},
	}},
	{name: "connections", on: []string{leveret, classic}, loads: []load{{args: "connections -x {10000} -z {3}", brief: "-x {1000}"}}, anew: true},
	{name: "declare", on: []string{leveret, classic}, loads: []load{{args: "declare -x 16 -C {6250} -z {10}", brief: "-C {60} -z {2}"}}, anew: true},
}
