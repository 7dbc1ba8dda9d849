package broker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// ChannelListing is a channel of a client's connection.
type ChannelListing struct {
	ID                       uint64
	Name                     string // "connection's name (number)"
	Connection               string // its name
	Number                   int
	User, VHost              string
	PeerHost                 string
	PeerPort                 int
	State                    string // running, blocked or closing
	Prefetch, GlobalPrefetch int    // of coming consumers, each; of the channel as a whole
	Confirm, Transactional   bool
	Unacked                  int // deliveries
	Unconfirmed              int // publishes
	Uncommitted              int // publishes of a transaction
	AcksUncommitted          int
	Consumers                int
	Counts                   stats.Counts
	IdleSince                time.Time // when something was counted last, or it was opened
}

// Channels are the clients' channels in all vhosts, by name of the connection and
// number.
func (b *Broker) Channels() []ChannelListing {
	list := []ChannelListing{}
	b.eachClient(func(s *Session, peer Client, _ *samples) bool {
		from := len(list)
		list = peer.Channels(list)
		l := ConnectionListing{}
		peer.Describe(&l)
		for i := from; i < len(list); i++ {
			c := &list[i]
			c.Connection, c.User, c.VHost, c.PeerHost, c.PeerPort = peer.Name(), s.user.Name, s.v.name, l.PeerHost, l.PeerPort
			c.Name = channelName(peer.Name(), c.Number)
		}
		return true
	})
	slices.SortFunc(list, func(x, y ChannelListing) int {
		return cmp.Or(cmp.Compare(x.Connection, y.Connection), cmp.Compare(x.Number, y.Number))
	})
	return list
}

func channelName(connection string, number int) string {
	return fmt.Sprintf("%s (%d)", connection, number)
}

// ConsumerListing is a consumer of a queue. Its table may not be changed.
type ConsumerListing struct {
	Tag, Queue, VHost string
	Connection        string // its name
	ConnectionID      uint64
	Channel           string // its name
	ChannelNumber     int
	User              string
	PeerHost          string
	PeerPort          int
	AckRequired       bool
	Exclusive         bool
	Prefetch          int
	Priority          int64
	Args              amqp.Table
	Active            bool   // not one that waits for another one's end
	ActivityStatus    string // up, single_active or waiting
}

// Consumers are those of a vhost's queues, by queue and then in the order of the
// queue's list, or ErrNoVHost.
func (b *Broker) Consumers(vhost string) ([]ConsumerListing, error) {
	queues, err := b.queuesOf(vhost)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(queues, byName)
	list := []ConsumerListing{}
	for _, q := range queues {
		if q.consumerCount() > 0 {
			list = append(list, listConsumers(q)...)
		}
	}
	return list, nil
}

// QueueConsumers are those of one queue.
func (b *Broker) QueueConsumers(vhost, queue string) ([]ConsumerListing, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	q := v.queue(queue)
	if q == nil {
		return nil, ErrNoQueue
	}
	return listConsumers(q), nil
}

func listConsumers(q Queue) []ConsumerListing {
	consumers, active := q.attached()
	single := q.def().settings().singleActive
	list := make([]ConsumerListing, 0, len(consumers))
	for _, c := range consumers {
		l := ConsumerListing{
			Tag: c.spec.Tag, Queue: q.Name(), VHost: q.VHost(), Connection: c.session.peer.Name(), ConnectionID: c.session.id,
			ChannelNumber: c.spec.Channel, Channel: channelName(c.session.peer.Name(), c.spec.Channel), User: c.session.user.Name,
			AckRequired: !c.spec.NoAck, Exclusive: c.spec.Exclusive, Prefetch: c.spec.Prefetch, Priority: c.priority, Args: c.spec.Args,
			Active: true, ActivityStatus: "up",
		}
		if single {
			if l.Active = c == active; l.Active {
				l.ActivityStatus = "single_active"
			} else {
				l.ActivityStatus = "waiting"
			}
		}
		if peer, ok := c.session.peer.(Client); ok {
			var at ConnectionListing
			peer.Describe(&at)
			l.PeerHost, l.PeerPort = at.PeerHost, at.PeerPort
		}
		list = append(list, l)
	}
	return list
}
