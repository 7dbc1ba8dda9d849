package peers

// measure is what is run against each broker in a turn.
type measure struct {
	name  string
	on    []string // brokers
	loads []load
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
	{"flow-100", everyone, []load{{args: "flow -s 100 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 100, window: 1000}}}},
	{"flow-1k", everyone, []load{{args: "flow -s 1024 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 1024, window: 1000}}}},
	{"flow-16k", everyone, []load{{args: "flow -s 16384 -c 100 -z {5}", brief: "-z {3}", stream: &stream{kind: flow, size: 16384, window: 100}}}},
	{"transient", []string{leveret, null, classic}, []load{{args: "transient -s 100 -z {5}", brief: "-z {3}"}}},
	{"one", durable, []load{{args: "one -s 100 -z {4} --sync {dir}", brief: "-z {3}", stream: &stream{kind: publish, size: 100, window: 1}}}},
	{"many", durable, []load{{args: "queues -s 100 -x 64 -z {4}", brief: "-z {3}", stream: &stream{kind: publish, size: 100, window: 1, queues: 64}}}},
	{"backlog", []string{leveret, nullSync, classic, quorum, jet}, []load{
		{args: "backlog -s 100 -C {5000000} -u backlog --keep", brief: "-C {60000}", by: own, stream: &stream{kind: publish, size: 100, window: 1000, messages: 100_000}},
		{name: "drain", args: "drain -s 100 -C {5000000} -u backlog --keep", brief: "-C {60000}", by: own, not: []string{nullSync}, stream: &stream{kind: drain, size: 100, window: 1000, messages: 100_000}},
	}},
	{"fanout", []string{leveret, nullSync, classic, quorum}, []load{{args: "fanout -s 1024 -y 10 -z {4}", brief: "-z {3}"}}},
	{"latency", []string{leveret, nullSync, classic, quorum}, []load{{args: "latency -s 100 -r 20000 -z {10}", brief: "-r 2000"}}},
	{"topic", []string{leveret, classic}, []load{
		{args: "topic -s 100 -z {4}", brief: "-z {3}"},
		{name: "direct", args: "direct -s 100 -z {4}", brief: "-z {3}"},
	}},
	{"connections", []string{leveret, classic}, []load{{args: "connections -x {10000} -z {3}", brief: "-x {1000}"}}},
	{"declare", []string{leveret, classic}, []load{{args: "declare -x 16 -C {6250} -z {5}", brief: "-C {60}"}}},
}
