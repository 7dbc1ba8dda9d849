package httpd

import (
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// queuePaths are what this file answers.
var queuePaths = map[string]resource{
	"/api/queues":                 {get: action{management, listQueues}},
	"/api/queues/{vhost}":         {get: action{management, listQueues}},
	"/api/queues/{vhost}/{queue}": {get: action{management, getQueue}},
}

// queueJSON is a queue in answers.
type queueJSON struct {
	queueHead
	lengths
	BytesSum        int64             `json:"message_bytes"`
	ReadyBytes      int64             `json:"message_bytes_ready"`
	UnackedBytes    int64             `json:"message_bytes_unacknowledged"`
	Persistent      int               `json:"messages_persistent"`
	PersistentBytes int64             `json:"message_bytes_persistent"`
	InMemory        int               `json:"messages_ram"`
	InMemoryBytes   int64             `json:"message_bytes_ram"`
	Consumers       int               `json:"consumers"`
	Utilisation     float64           `json:"consumer_utilisation"`
	Capacity        float64           `json:"consumer_capacity"`
	Memory          int64             `json:"memory"`
	IdleSince       string            `json:"idle_since,omitempty"`
	Policy          *string           `json:"policy"`
	Operator        *string           `json:"operator_policy"`
	Effective       policy.Definition `json:"effective_policy_definition"`
	Owner           *ownerJSON        `json:"owner_pid_details,omitempty"`
	Stats           statList          `json:"message_stats,omitempty"`
	Collection      collectionJSON    `json:"garbage_collection"`
	Reductions      int               `json:"reductions"`
	ReductionsRate  detail            `json:"reductions_details"`
	*classicJSON
	*quorumJSON
	*queueDetailsJSON
}

// queueHead is what a queue is.
type queueHead struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Exclusive  bool           `json:"exclusive"`
	Arguments  map[string]any `json:"arguments"`
	Node       string         `json:"node"`
	State      string         `json:"state"`
}

// classicJSON is what RabbitMQ shows of classic queues alone.
type classicJSON struct {
	HeadTime      *int64           `json:"head_message_timestamp"`
	ExclusiveTag  *string          `json:"exclusive_consumer_tag"`
	Single        *string          `json:"single_active_consumer_tag"`
	Slaves        *string          `json:"recoverable_slaves"`
	ReadyInMemory int              `json:"messages_ready_ram"`
	UnackedMemory int              `json:"messages_unacknowledged_ram"`
	PagedOut      int              `json:"messages_paged_out"`
	PagedOutBytes int64            `json:"message_bytes_paged_out"`
	BackingQueue  backingQueueJSON `json:"backing_queue_status"`
}

// backingQueueJSON tells where RabbitMQ has a queue's messages. Here the engine sees to
// that for all of them: they count as being in q4.
type backingQueueJSON struct {
	Mode    string  `json:"mode"`
	Version int     `json:"version"`
	Len     int     `json:"len"`
	Q1      int     `json:"q1"`
	Q2      int     `json:"q2"`
	Q3      int     `json:"q3"`
	Q4      int     `json:"q4"`
	Delta   []any   `json:"delta"`
	Target  string  `json:"target_ram_count"`
	NextIn  uint64  `json:"next_seq_id"`
	NextOut uint64  `json:"next_deliver_seq_id"`
	In      float64 `json:"avg_ingress_rate"`
	Out     float64 `json:"avg_egress_rate"`
	AckIn   float64 `json:"avg_ack_ingress_rate"`
	AckOut  float64 `json:"avg_ack_egress_rate"`
}

var noDelta = []any{"delta", "undefined", 0, 0, "undefined"}

// quorumJSON is what it shows of quorum queues alone.
type quorumJSON struct {
	Leader    string         `json:"leader"`
	Members   []string       `json:"members"`
	Online    []string       `json:"online"`
	OpenFiles map[string]int `json:"open_files"`
	Dead      int            `json:"messages_dlx"`
	DeadBytes int64          `json:"message_bytes_dlx"`
	Single    *string        `json:"single_active_consumer_ctag"`
}

// queueDetailsJSON is what is shown of one queue and not in lists.
type queueDetailsJSON struct {
	Consumers  []consumerJSON `json:"consumer_details"`
	Deliveries []any          `json:"deliveries"`
	Incoming   []any          `json:"incoming"`
}

type ownerJSON struct {
	Name string `json:"name"`
}

// collectionJSON stands for the garbage collection of an Erlang process, which there is
// none of: typed clients expect the fields.
type collectionJSON struct {
	FullSweep int `json:"fullsweep_after"`
	MaxHeap   int `json:"max_heap_size"`
	MinBinary int `json:"min_bin_vheap_size"`
	MinHeap   int `json:"min_heap_size"`
	Minor     int `json:"minor_gcs"`
}

const (
	// queueMemory and messageMemory are about what a queue and an entry in it take, in
	// bytes.
	queueMemory   = 2048
	messageMemory = 24
	// idleAfter is for how long nothing must have happened to what is called idle.
	idleAfter = 5 * time.Second
)

func (c *call) showQueueHead(q *broker.QueueListing) queueHead {
	return queueHead{q.Name, q.VHost, q.Type, q.Durable, q.AutoDelete, q.Exclusive, showTable(q.Args), identity.Node, "running"}
}

// showQueue is what is shown of a queue; w says of what there are to be samples.
func (c *call) showQueue(q broker.QueueListing, w windows) queueJSON {
	o := monitor.Object{Kind: monitor.Queue, ID: q.ID}
	out := queueJSON{
		queueHead: c.showQueueHead(&q), lengths: showLengths(q.Ready, q.Unacked, c.figures(o, w.lengths)),
		BytesSum: q.Bytes, ReadyBytes: q.ReadyBytes, UnackedBytes: q.UnackedBytes,
		Persistent: q.Persistent, PersistentBytes: q.PersistentBytes,
		InMemory: q.Ready + q.Unacked - q.Persistent, InMemoryBytes: q.Bytes - q.PersistentBytes,
		Consumers: q.Consumers, Utilisation: max(round(q.Utilisation), 0), Capacity: max(round(q.Utilisation), 0),
		Memory: memoryOf(&q),
		Policy: nameOf(q.Policy), Operator: nameOf(q.Operator), Effective: policy.Effective(q.Policy, q.Operator),
	}
	if !q.IdleSince.IsZero() && time.Since(q.IdleSince) > idleAfter {
		out.IdleSince = rabbitTime(q.IdleSince)
	}
	if q.Owner != "" {
		out.Owner = &ownerJSON{q.Owner}
	}
	f := c.figures(o, w.rates)
	out.Stats = messageStats(&q.Counts, f, false)
	var single *string
	if q.Single != "" {
		single = &q.Single
	}
	if q.Type == "quorum" {
		node := identity.Node
		out.quorumJSON = &quorumJSON{Leader: node, Members: []string{node}, Online: []string{node}, OpenFiles: map[string]int{node: 0}, Single: single}
		return out
	}
	transient := out.InMemory
	out.classicJSON = &classicJSON{
		HeadTime: c.headTime(&q),
		Single:   single, ReadyInMemory: min(transient, q.Ready), UnackedMemory: min(transient, q.Unacked),
		BackingQueue: backingQueueJSON{
			Mode: "default", Version: 1, Len: q.Ready, Q4: q.Ready, Target: "infinity", Delta: noDelta,
			NextIn: q.Counts.Publish, NextOut: q.Counts.DeliverGet(),
			In: round(f.rates.Of(monitor.Publish)), Out: round(f.rates.Of(monitor.DeliverGet)),
			AckIn: round(f.rates.Of(monitor.Deliver) + f.rates.Of(monitor.Get)), AckOut: round(f.rates.Of(monitor.Ack)),
		},
	}
	return out
}

// maxHeads is of how many queues an answer tells the time of the head, which may have to
// be read from disk.
const maxHeads = 1000

// headTime is the property timestamp of the message at a queue's head; nil where there
// is none.
func (c *call) headTime(q *broker.QueueListing) *int64 {
	if q.Ready == 0 || c.heads >= maxHeads {
		return nil
	}
	c.heads++
	if at, ok := c.b.HeadTime(q.VHost, q.Name); ok {
		return &at
	}
	return nil
}

// memoryOf is about what a queue takes of memory.
func memoryOf(q *broker.QueueListing) int64 {
	return queueMemory + messageMemory*int64(q.Ready+q.Unacked) + q.Bytes - q.PersistentBytes
}

// rabbitTime is a time as RabbitMQ writes it in idle_since.
func rabbitTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+00:00") }

// nameOf is a policy's name; nil where none applies.
func nameOf(p *policy.Policy) *string {
	if p == nil {
		return nil
	}
	return &p.Name
}

func listQueues(c *call) error {
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	w, err := c.windows()
	if err != nil {
		return err
	}
	var found []broker.QueueRef
	for _, vhost := range vhosts {
		if queues, err := c.b.QueueRefs(vhost); err == nil {
			found = append(found, queues...)
		}
	}
	if plain, totals := c.plain(); plain {
		return listAs(c, found, func(r broker.QueueRef) plainQueue {
			q := r.List()
			return c.showPlainQueue(&q, totals)
		})
	}
	return listAs(c, found, func(r broker.QueueRef) queueJSON { return c.showQueue(r.List(), w) })
}

// plainQueue is a queue without what changes.
type plainQueue struct {
	queueHead
	*counts
	Leader  string   `json:"leader,omitempty"`
	Members []string `json:"members,omitempty"`
	Online  []string `json:"online,omitempty"`
}

func (c *call) showPlainQueue(q *broker.QueueListing, totals bool) plainQueue {
	out := plainQueue{queueHead: c.showQueueHead(q)}
	if totals {
		out.counts = &counts{q.Ready + q.Unacked, q.Ready, q.Unacked}
	}
	if q.Type == "quorum" {
		out.Leader, out.Members, out.Online = out.Node, []string{out.Node}, []string{out.Node}
	}
	return out
}

func getQueue(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	w, err := c.windows()
	if err != nil {
		return err
	}
	q, err := c.b.Queue(vhost, c.r.PathValue("queue"))
	if err != nil {
		return err
	}
	if plain, totals := c.plain(); plain {
		return c.one(c.showPlainQueue(&q, totals))
	}
	out := c.showQueue(q, w)
	details := queueDetailsJSON{Consumers: []consumerJSON{}, Deliveries: []any{}, Incoming: []any{}}
	consumers, err := c.b.QueueConsumers(vhost, q.Name)
	if err != nil {
		return err
	}
	for i := range consumers {
		each := &consumers[i]
		if each.Exclusive && out.classicJSON != nil {
			out.ExclusiveTag = &each.Tag
		}
		details.Consumers = append(details.Consumers, c.showConsumer(each))
	}
	out.queueDetailsJSON = &details
	return c.one(out)
}
