package httpd

import (
	"encoding/base64"
	"hash/crc32"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// queueJSON is a queue in answers.
type queueJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Exclusive  bool           `json:"exclusive"`
	Arguments  map[string]any `json:"arguments"`
	Node       string         `json:"node"`
	State      string         `json:"state"`
	counts
	ReadyBytes int64             `json:"message_bytes_ready"`
	Consumers  int               `json:"consumers"`
	Policy     *string           `json:"policy"`
	Operator   *string           `json:"operator_policy"`
	Effective  policy.Definition `json:"effective_policy_definition"`
	Owner      *ownerJSON        `json:"owner_pid_details,omitempty"`
}

type ownerJSON struct {
	Name string `json:"name"`
}

func (c *call) showQueue(q broker.QueueListing) queueJSON {
	out := queueJSON{
		Name: q.Name, VHost: q.VHost, Type: q.Type, Durable: q.Durable, AutoDelete: q.AutoDelete, Exclusive: q.Exclusive,
		Arguments: showTable(q.Args), Node: c.s.node(), State: "running",
		counts: counts{q.Ready + q.Unacked, q.Ready, q.Unacked}, ReadyBytes: q.ReadyBytes, Consumers: q.Consumers,
		Policy: nameOf(q.Policy), Operator: nameOf(q.Operator), Effective: policy.Effective(q.Policy, q.Operator),
	}
	if q.Owner != "" {
		out.Owner = &ownerJSON{q.Owner}
	}
	return out
}

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
	var found []broker.QueueListing
	for _, vhost := range vhosts {
		if queues, err := c.b.Queues(vhost); err == nil {
			found = append(found, queues...)
		}
	}
	return listAs(c, found, c.showQueue)
}

func getQueue(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	q, err := c.b.Queue(vhost, c.r.PathValue("queue"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.showQueue(q))
}

// exchangeJSON is an exchange in answers.
type exchangeJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
	Policy     *string        `json:"policy,omitempty"`
}

func showExchange(x broker.ExchangeListing) exchangeJSON {
	return exchangeJSON{x.Name, x.VHost, x.Type, x.Durable, x.AutoDelete, x.Internal, showTable(x.Args), nameOf(x.Policy)}
}

func listExchanges(c *call) error {
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	var found []broker.ExchangeListing
	for _, vhost := range vhosts {
		if exchanges, err := c.b.Exchanges(vhost); err == nil {
			found = append(found, exchanges...)
		}
	}
	return listAs(c, found, showExchange)
}

// exchangeName is an exchange that a path names: the default one, which has no name,
// is amq.default there.
func exchangeName(name string) string {
	if name == "amq.default" {
		return ""
	}
	return name
}

func getExchange(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	x, err := c.b.Exchange(vhost, exchangeName(c.r.PathValue("exchange")))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showExchange(x))
}

// bindingJSON is a binding in answers.
type bindingJSON struct {
	Source      string         `json:"source"`
	VHost       string         `json:"vhost"`
	Destination string         `json:"destination"`
	Kind        string         `json:"destination_type"`
	Key         string         `json:"routing_key"`
	Arguments   map[string]any `json:"arguments"`
	Properties  string         `json:"properties_key"`
}

func showBinding(b broker.BindingListing) bindingJSON {
	out := bindingJSON{b.Source, b.VHost, b.Destination, "queue", b.Key, showTable(b.Args), propertiesKey(b)}
	if b.ToExchange {
		out.Kind = "exchange"
	}
	return out
}

// propertiesKey tells apart the bindings between two ends: the routing key, percent-encoded
// as RabbitMQ does it, ~ where that is empty, and, where there are arguments, ~ and a hash
// of them.
func propertiesKey(b broker.BindingListing) string {
	key := strings.ReplaceAll(url.QueryEscape(b.Key), "~", "%7E")
	if key == "" {
		key = "~"
	}
	if b.Args.Len() == 0 {
		return key
	}
	sum := crc32.ChecksumIEEE(b.Args.Canonical(nil))
	return key + "~" + base64.RawURLEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// listBindings shows the bindings of a vhost, or of all.
func listBindings(c *call) error {
	found, err := c.bindings()
	if err != nil {
		return err
	}
	return listAs(c, found, showBinding)
}

// bindings are those of a vhost, or of all; those from {source}, to {queue} or to
// {exchange} where the path says so.
func (c *call) bindings() ([]broker.BindingListing, error) {
	vhosts, err := c.vhosts()
	if err != nil {
		return nil, err
	}
	source, queue, exchange := c.r.PathValue("source"), c.r.PathValue("queue"), c.r.PathValue("exchange")
	if queue != "" {
		if _, err := c.b.Queue(vhosts[0], queue); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{source, exchange} {
		if name != "" {
			if _, err := c.b.Exchange(vhosts[0], exchangeName(name)); err != nil {
				return nil, err
			}
		}
	}
	var found []broker.BindingListing
	for _, vhost := range vhosts {
		bindings, err := c.b.Bindings(vhost)
		if err != nil {
			continue // deleted meanwhile
		}
		for _, b := range bindings {
			if (source == "" || b.Source == exchangeName(source)) &&
				(queue == "" || !b.ToExchange && b.Destination == queue) &&
				(exchange == "" || b.ToExchange && b.Destination == exchange) {
				found = append(found, b)
			}
		}
	}
	return found, nil
}

// showTable is a field table as JSON.
func showTable(t amqp.Table) map[string]any {
	out := make(map[string]any, t.Len())
	for name, v := range t.All() {
		out[string(name)] = showValue(v)
	}
	return out
}

func showValue(v amqp.Value) any {
	if n, ok := v.Int(); ok {
		return n
	}
	if f, ok := v.Float(); ok {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
		return f
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if b, ok := v.Bytes(); ok {
		if utf8.Valid(b) {
			return string(b)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	if n, ok := v.Timestamp(); ok {
		return n
	}
	if t, ok := v.Table(); ok {
		return showTable(t)
	}
	if a, ok := v.Array(); ok {
		out := []any{}
		for each := range a.All() {
			out = append(out, showValue(each))
		}
		return out
	}
	if scale, n, ok := v.Decimal(); ok {
		return strconv.FormatUint(uint64(n), 10) + "e-" + strconv.Itoa(int(scale))
	}
	return nil
}
