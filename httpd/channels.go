package httpd

import (
	"slices"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// channelPaths are what this file answers.
var channelPaths = map[string]resource{
	"/api/channels":                    {get: action{management, listChannels}},
	"/api/channels/{name}":             {get: action{management, getChannel}},
	"/api/vhosts/{vhost}/channels":     {get: action{management, listChannels}},
	"/api/connections/{name}/channels": {get: action{management, listChannelsOfConnection}},
	"/api/consumers":                   {get: action{management, listConsumers}},
	"/api/consumers/{vhost}":           {get: action{management, listConsumers}},
}

// channelJSON is a channel in answers.
type channelJSON struct {
	Name            string           `json:"name"`
	Number          int              `json:"number"`
	Node            string           `json:"node"`
	VHost           string           `json:"vhost"`
	User            string           `json:"user"`
	Performer       string           `json:"user_who_performed_action"`
	State           string           `json:"state"`
	Connection      connectionOfJSON `json:"connection_details"`
	Consumers       int              `json:"consumer_count"`
	Prefetch        int              `json:"prefetch_count"`
	GlobalPrefetch  int              `json:"global_prefetch_count"`
	Confirm         bool             `json:"confirm"`
	Transactional   bool             `json:"transactional"`
	Unacked         int              `json:"messages_unacknowledged"`
	Unconfirmed     int              `json:"messages_unconfirmed"`
	Uncommitted     int              `json:"messages_uncommitted"`
	AcksUncommitted int              `json:"acks_uncommitted"`
	Pending         int              `json:"pending_raft_commands"`
	IdleSince       string           `json:"idle_since,omitempty"`
	Stats           statList         `json:"message_stats,omitempty"`
	Collection      collectionJSON   `json:"garbage_collection"`
	Reductions      int              `json:"reductions"`
	ReductionsRate  detail           `json:"reductions_details"`
	*channelDetailsJSON
}

// connectionOfJSON is a channel's connection.
type connectionOfJSON struct {
	Name     string `json:"name"`
	PeerHost string `json:"peer_host"`
	PeerPort int    `json:"peer_port"`
}

// channelDetailsJSON is what is shown of one channel and not in lists.
type channelDetailsJSON struct {
	Consumers  []consumerJSON `json:"consumer_details"`
	Deliveries []any          `json:"deliveries"`
	Publishes  []any          `json:"publishes"`
}

func (c *call) showChannel(l broker.ChannelListing, w windows) channelJSON {
	out := channelJSON{
		Name: l.Name, Number: l.Number, Node: identity.Node, VHost: l.VHost, User: l.User, Performer: l.User, State: l.State,
		Connection: connectionOfJSON{l.Connection, l.PeerHost, l.PeerPort}, Consumers: l.Consumers,
		Prefetch: l.Prefetch, GlobalPrefetch: l.GlobalPrefetch, Confirm: l.Confirm, Transactional: l.Transactional,
		Unacked: l.Unacked, Unconfirmed: l.Unconfirmed, Uncommitted: l.Uncommitted, AcksUncommitted: l.AcksUncommitted,
		Stats: messageStats(&l.Counts, c.figures(monitor.Object{Kind: monitor.Channel, ID: l.ID}, w.rates), true),
	}
	if !l.IdleSince.IsZero() && time.Since(l.IdleSince) > idleAfter {
		out.IdleSince = rabbitTime(l.IdleSince)
	}
	return out
}

// channels are those that the user sees and that are wanted.
func (c *call) channels(want func(l *broker.ChannelListing) bool) []broker.ChannelListing {
	return slices.DeleteFunc(c.b.Channels(), func(l broker.ChannelListing) bool {
		return !c.ownOr(monitoring, l.User) || !want(&l)
	})
}

func (c *call) listChannels(want func(l *broker.ChannelListing) bool) error {
	w, err := c.windows()
	if err != nil {
		return err
	}
	return listAs(c, c.channels(want), func(l broker.ChannelListing) channelJSON { return c.showChannel(l, w) })
}

func listChannels(c *call) error {
	if err := c.needsStats(); err != nil {
		return err
	}
	vhost := ""
	if c.r.PathValue("vhost") != "" {
		var err error
		if vhost, err = c.vhost(); err != nil {
			return err
		}
	}
	return c.listChannels(func(l *broker.ChannelListing) bool { return vhost == "" || l.VHost == vhost })
}

func listChannelsOfConnection(c *call) error {
	if err := c.needsStats(); err != nil {
		return err
	}
	of, err := c.connection(monitoring)
	if err != nil {
		return err
	}
	return c.listChannels(func(l *broker.ChannelListing) bool { return l.Connection == of.Name })
}

func getChannel(c *call) error {
	if err := c.needsStats(); err != nil {
		return err
	}
	w, err := c.windows()
	if err != nil {
		return err
	}
	name := c.r.PathValue("name")
	all := c.b.Channels()
	at := slices.IndexFunc(all, func(l broker.ChannelListing) bool { return l.Name == name })
	if at < 0 {
		return errNotFound
	}
	l := all[at]
	if !c.ownOr(monitoring, l.User) {
		return errNotYours
	}
	out := c.showChannel(l, w)
	out.channelDetailsJSON = &channelDetailsJSON{Consumers: []consumerJSON{}, Deliveries: []any{}, Publishes: []any{}}
	if l.Consumers > 0 {
		consumers, err := c.b.Consumers(l.VHost)
		if err != nil {
			return err
		}
		for i := range consumers {
			if consumers[i].Channel == l.Name {
				out.channelDetailsJSON.Consumers = append(out.channelDetailsJSON.Consumers, c.showConsumer(&consumers[i]))
			}
		}
	}
	return c.one(out)
}

// consumerJSON is a consumer in answers.
type consumerJSON struct {
	Tag         string         `json:"consumer_tag"`
	Queue       queueOfJSON    `json:"queue"`
	Channel     channelOfJSON  `json:"channel_details"`
	AckRequired bool           `json:"ack_required"`
	Exclusive   bool           `json:"exclusive"`
	Active      bool           `json:"active"`
	Status      string         `json:"activity_status"`
	Prefetch    int            `json:"prefetch_count"`
	Arguments   map[string]any `json:"arguments"`
}

// queueOfJSON is a consumer's queue.
type queueOfJSON struct {
	Name  string `json:"name"`
	VHost string `json:"vhost"`
}

// channelOfJSON is a consumer's channel.
type channelOfJSON struct {
	Name       string `json:"name"`
	Number     int    `json:"number"`
	Connection string `json:"connection_name"`
	Node       string `json:"node"`
	PeerHost   string `json:"peer_host"`
	PeerPort   int    `json:"peer_port"`
	User       string `json:"user"`
}

func (c *call) showConsumer(l *broker.ConsumerListing) consumerJSON {
	return consumerJSON{
		Tag: l.Tag, Queue: queueOfJSON{l.Queue, l.VHost},
		Channel:     channelOfJSON{l.Channel, l.ChannelNumber, l.Connection, identity.Node, l.PeerHost, l.PeerPort, l.User},
		AckRequired: l.AckRequired, Exclusive: l.Exclusive, Active: l.Active, Status: l.ActivityStatus,
		Prefetch: l.Prefetch, Arguments: showTable(l.Args),
	}
}

func listConsumers(c *call) error {
	if err := c.needsStats(); err != nil {
		return err
	}
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	found := []broker.ConsumerListing{}
	for _, vhost := range vhosts {
		if consumers, err := c.b.Consumers(vhost); err == nil {
			found = append(found, consumers...)
		}
	}
	return listAs(c, found, func(l broker.ConsumerListing) consumerJSON { return c.showConsumer(&l) })
}
