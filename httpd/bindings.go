package httpd

import (
	"encoding/base64"
	"hash/crc32"
	"net/url"
	"strings"

	"github.com/leveret-mq/leveret/broker"
)

// bindingPaths are what this file answers.
var bindingPaths = map[string]resource{
	"/api/queues/{vhost}/{queue}/bindings":                   {get: action{management, listBindings}},
	"/api/exchanges/{vhost}/{source}/bindings/source":        {get: action{management, listBindings}},
	"/api/exchanges/{vhost}/{exchange}/bindings/destination": {get: action{management, listBindings}},
	"/api/bindings":                                 {get: action{management, listBindings}},
	"/api/bindings/{vhost}":                         {get: action{management, listBindings}},
	"/api/bindings/{vhost}/e/{source}/q/{queue}":    {get: action{management, listBindings}},
	"/api/bindings/{vhost}/e/{source}/e/{exchange}": {get: action{management, listBindings}},
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
