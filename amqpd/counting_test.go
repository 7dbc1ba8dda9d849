package amqpd_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// counter is a client that fails its test where a method does.
type counter struct {
	*testing.T
	conn *amqp091.Connection
}

func (c *counter) channel() *amqp091.Channel {
	c.Helper()
	ch, err := c.conn.Channel()
	c.ok(err)
	return ch
}

func (c *counter) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *counter) queue(ch *amqp091.Channel, name string, args amqp091.Table) {
	c.Helper()
	_, err := ch.QueueDeclare(name, false, false, false, false, args)
	c.ok(err)
}

// publish publishes messages. On a channel with confirms it waits for each.
func (c *counter) publish(ch *amqp091.Channel, exchange, key string, mandatory bool, n int) {
	c.Helper()
	for range n {
		d, err := ch.PublishWithDeferredConfirm(exchange, key, mandatory, false, amqp091.Publishing{Body: []byte("hello")})
		c.ok(err)
		if d != nil {
			d.Wait()
		}
	}
}

func (c *counter) get(ch *amqp091.Channel, queue string, autoAck bool) amqp091.Delivery {
	c.Helper()
	d, _, err := ch.Get(queue, autoAck)
	c.ok(err)
	return d
}

// Each counter means what it means in RabbitMQ: what is expected here is what RabbitMQ
// 3.10's management API showed for the same steps.
func TestCountsAreRabbitMQs(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	_, before := b.Counts()
	conn, err := amqp091.Dial("amqp://guest:guest@" + b.Addr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t, conn}
	ch := c.channel()
	c.ok(ch.ExchangeDeclare("x", "topic", false, false, false, false, nil))
	c.ok(ch.ExchangeDeclare("y", "fanout", false, false, false, false, nil))
	c.queue(ch, "q1", nil)
	c.queue(ch, "q1", nil)
	_, err = ch.QueueDeclarePassive("q1", false, false, false, false, nil)
	c.ok(err)
	c.queue(ch, "q2", amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"})
	c.queue(ch, "dlq", nil)
	c.queue(ch, "full", amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	c.ok(ch.QueueBind("q1", "a.#", "x", false, nil))
	c.ok(ch.QueueBind("q2", "a.b", "x", false, nil))
	c.ok(ch.ExchangeBind("y", "a.b", "x", false, nil))
	c.ok(ch.QueueBind("dlq", "", "y", false, nil))
	pc := c.channel()
	c.ok(pc.Confirm(false))

	c.publish(ch, "", "q1", false, 3)
	c.publish(ch, "x", "a.b", false, 2)
	c.publish(ch, "x", "a.c", false, 1)
	c.publish(ch, "x", "none", false, 4)
	c.publish(ch, "x", "none", true, 2)
	c.publish(pc, "", "q1", false, 2)
	c.publish(pc, "x", "zzz", false, 1)
	c.publish(pc, "x", "zzz", true, 1)
	c.publish(pc, "", "full", false, 3)
	c.publish(ch, "y", "", false, 1)

	c.get(ch, "q1", true)
	c.ok(c.get(ch, "q1", false).Nack(false, true))
	c.ok(c.get(ch, "q1", false).Ack(false))
	c.queue(ch, "empty", nil)
	c.get(ch, "empty", false)
	c.get(ch, "empty", true)
	c.ok(c.get(ch, "q2", false).Reject(false))

	// All that was gathered has happened when a method is answered.
	c.queue(ch, "q1", nil)
	k := c.channel()
	c.ok(k.Qos(10, 0, false))
	got, err := k.Consume("q1", "worker", false, false, false, false, nil)
	c.ok(err)
	one, two := <-got, <-got
	for range 4 {
		<-got
	}
	c.ok(one.Ack(false))
	c.ok(two.Nack(false, true))
	<-got
	k2 := c.channel()
	got2, err := k2.Consume("dlq", "reader", true, false, false, false, nil)
	c.ok(err)
	for range 4 {
		<-got2
	}
	tx := c.channel()
	c.ok(tx.Tx())
	c.publish(tx, "", "empty", false, 1)
	c.ok(tx.TxRollback())
	c.publish(tx, "", "empty", false, 1)
	c.ok(tx.TxCommit())
	m := c.get(tx, "empty", false)
	c.ok(m.Ack(false))
	c.ok(tx.TxRollback())
	c.ok(m.Ack(false))
	c.ok(tx.TxCommit())

	want := map[string]stats.Counts{
		"exchange ":  {PublishIn: 9, PublishOut: 9},
		"exchange x": {PublishIn: 11, PublishOut: 7},
		"exchange y": {PublishIn: 1, PublishOut: 1},

		"queue dlq":   {Publish: 3, DeliverNoAck: 4},
		"queue empty": {Publish: 1, Get: 1, GetEmpty: 2, Ack: 1},
		"queue full":  {Publish: 3},
		"queue q1":    {Publish: 8, Deliver: 7, Get: 2, GetNoAck: 1, Redeliver: 2, Ack: 2},
		"queue q2":    {Publish: 2, Get: 1},

		"channel 1": {Publish: 13, DropUnroutable: 4, ReturnUnroutable: 2, Get: 3, GetNoAck: 1, GetEmpty: 2, Redeliver: 1, Ack: 1},
		"channel 2": {Publish: 7, Confirm: 5, DropUnroutable: 1, ReturnUnroutable: 1},
		"channel 3": {Deliver: 7, Redeliver: 1, Ack: 1},
		"channel 4": {DeliverNoAck: 4},
		"channel 5": {Publish: 1, Get: 1, Ack: 1},

		"vhost /": {Publish: 21, Confirm: 5, ReturnUnroutable: 3, DropUnroutable: 5, Get: 4, GetNoAck: 1, GetEmpty: 2,
			Deliver: 7, DeliverNoAck: 4, Redeliver: 2, Ack: 3},
	}
	var counts map[string]stats.Counts
	defer func() {
		if t.Failed() {
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if counts[key] != want[key] {
					t.Errorf("%s: %+v\nwant %+v", key, counts[key], want[key])
				}
			}
		}
	}()
	eventually(t, func() bool { // the last delivery comes before it is counted
		counts = countsOf(t, b.Broker)
		all := counts["vhost /"]
		all.PublishIn, all.PublishOut = 0, 0
		counts["vhost /"] = all
		return maps.Equal(counts, want)
	})
	if total, _ := b.Counts(); total != b.VHostCounts("/") {
		t.Errorf("the broker counted %+v, its only vhost %+v", total, b.VHostCounts("/"))
	}
	_, after := b.Counts()
	churn := stats.Churn{ConnectionCreated: after.ConnectionCreated - before.ConnectionCreated, ChannelCreated: after.ChannelCreated,
		QueueDeclared: after.QueueDeclared, QueueCreated: after.QueueCreated}
	if want := (stats.Churn{ConnectionCreated: 1, ChannelCreated: 5, QueueDeclared: 7, QueueCreated: 5}); churn != want {
		t.Errorf("churn %+v, want %+v", churn, want)
	}
	if g := b.GlobalCounts(); g.ReceivedConfirm != 7 || g.DeadLettered[stats.Classic][stats.AtMostOnce] != [stats.DeathReasons]uint64{stats.Rejected: 1} {
		t.Errorf("global counts %+v", g)
	}

	// A deleted object's counts are gone, those of its vhost are not.
	_, err = ch.QueueDelete("q1", false, false, false)
	c.ok(err)
	c.queue(ch, "q1", nil)
	was := b.VHostCounts("/")
	q, err := b.Queue("/", "q1")
	c.ok(err)
	if q.Counts != (stats.Counts{}) || was.Deliver != 7 {
		t.Errorf("the new queue has counted %+v, the vhost %+v", q.Counts, was)
	}
	c.ok(conn.Close())
	eventually(t, func() bool {
		_, churn := b.Counts()
		return churn.ConnectionClosed == 1 && churn.ChannelClosed == 5 && churn.QueueDeleted == 1
	})
}

// Replies by direct reply-to are published, and reach no queue; that they come counts
// for nobody. RabbitMQ 3.10 showed these counts.
func TestDirectRepliesAreNoDeliveries(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	conn, ch := dial(t, b)
	c := &counter{t, conn}
	c.queue(ch, "rpc", nil)
	replies, err := ch.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	c.ok(err)
	server := c.channel()
	c.ok(ch.Publish("", "rpc", false, false, amqp091.Publishing{ReplyTo: "amq.rabbitmq.reply-to"}))
	c.queue(ch, "rpc", nil) // it is there
	request := c.get(server, "rpc", true)
	c.publish(server, "", request.ReplyTo, false, 1)
	c.publish(server, "", request.ReplyTo, true, 1)
	<-replies
	<-replies
	want := map[string]stats.Counts{
		"exchange ": {PublishIn: 3, PublishOut: 1},
		"queue rpc": {Publish: 1, GetNoAck: 1},
		"channel 1": {Publish: 1},
		"channel 2": {Publish: 2, GetNoAck: 1, DropUnroutable: 1, ReturnUnroutable: 1},
		"vhost /":   {Publish: 3, PublishIn: 3, PublishOut: 1, GetNoAck: 1, DropUnroutable: 1, ReturnUnroutable: 1},
	}
	eventually(t, func() bool { return maps.Equal(countsOf(t, b.Broker), want) })
	for _, l := range b.Channels() {
		if l.Consumers != 0 {
			t.Errorf("channel %d has %d consumers", l.Number, l.Consumers)
		}
	}
	if list, err := b.Consumers("/"); err != nil || len(list) != 0 {
		t.Errorf("consumers %+v, %v", list, err)
	}
}

// countsOf is what was counted of objects, where that is something. Samples and lists
// say the same.
func countsOf(t *testing.T, b *broker.Broker) map[string]stats.Counts {
	t.Helper()
	counts, sampled := map[string]stats.Counts{}, map[string]stats.Counts{}
	add := func(to map[string]stats.Counts, name string, c stats.Counts) {
		if c != (stats.Counts{}) {
			to[name] = c
		}
	}
	exchanges, err := b.Exchanges("/")
	if err != nil {
		t.Fatal(err)
	}
	b.EachExchange(func(s broker.ExchangeSample) bool { add(sampled, "exchange "+s.Name, s.Counts); return true })
	b.EachQueue(func(s broker.QueueSample) bool { add(sampled, "queue "+s.Name, s.Counts); return true })
	b.EachChannel(func(s broker.ChannelSample) bool {
		add(sampled, "channel "+string(rune('0'+s.Number)), s.Counts)
		return true
	})
	for _, x := range exchanges {
		add(counts, "exchange "+x.Name, x.Counts)
	}
	queues, err := b.Queues("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		add(counts, "queue "+q.Name, q.Counts)
	}
	for _, ch := range b.Channels() {
		add(counts, "channel "+string(rune('0'+ch.Number)), ch.Counts)
	}
	add(counts, "vhost /", b.VHostCounts("/"))
	add(sampled, "vhost /", b.VHostCounts("/"))
	if !maps.Equal(counts, sampled) {
		t.Logf("lists: %+v\nsamples: %+v", counts, sampled)
		return nil
	}
	return counts
}

func TestChannelsAndConsumersAreListed(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Open(7)
	c.Declare(1, wire.QueueDeclare{Queue: "q"})
	c.Confirm(7)
	c.Send(7, &wire.BasicQos{PrefetchCount: 3})
	brokertest.Expect[*wire.BasicQosOk](c, 7)
	c.Send(7, &wire.BasicQos{PrefetchCount: 5, Global: true})
	brokertest.Expect[*wire.BasicQosOk](c, 7)
	c.Send(7, &wire.BasicConsume{Queue: "q", ConsumerTag: "t", Exclusive: true})
	brokertest.Expect[*wire.BasicConsumeOk](c, 7)
	for range 4 {
		c.Publish(1, "", "q", nil, "hello")
	}
	for range 3 {
		brokertest.Expect[*wire.BasicDeliver](c, 7)
	}
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	c.Publish(1, "", "q", nil, "hello")
	c.Publish(1, "", "q", nil, "hello")
	c.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true})

	list := b.Channels()
	if len(list) != 2 {
		t.Fatalf("%d channels: %+v", len(list), list)
	}
	one, seven := list[0], list[1]
	conn := b.Connections()[0]
	if one.Number != 1 || seven.Number != 7 || one.ID == seven.ID || one.Connection != conn.Name || one.Name != conn.Name+" (1)" ||
		one.User != "guest" || one.VHost != "/" || one.State != "running" || one.PeerPort != conn.PeerPort {
		t.Errorf("channels %+v", list)
	}
	if !one.Transactional || one.Uncommitted != 2 || one.Confirm || one.Consumers != 0 {
		t.Errorf("channel 1: %+v", one)
	}
	if !seven.Confirm || seven.Prefetch != 3 || seven.GlobalPrefetch != 5 || seven.Consumers != 1 || seven.Unacked != 3 || seven.Unconfirmed != 0 {
		t.Errorf("channel 7: %+v", seven)
	}
	if since := time.Since(seven.IdleSince); since > time.Minute {
		t.Errorf("channel 7 is idle for %v", since)
	}

	consumers, err := b.Consumers("/")
	if err != nil || len(consumers) != 1 {
		t.Fatalf("consumers %+v, %v", consumers, err)
	}
	k := consumers[0]
	if k.Tag != "t" || k.Queue != "q" || k.Channel != seven.Name || k.ChannelNumber != 7 || !k.AckRequired || !k.Exclusive ||
		k.Prefetch != 3 || !k.Active || k.ActivityStatus != "up" || k.PeerPort != conn.PeerPort || k.ConnectionID != conn.ID {
		t.Errorf("consumer %+v", k)
	}
	traffic := conn.Traffic
	if traffic.ReceivedBytes == 0 || traffic.Received == 0 || traffic.SentBytes == 0 || traffic.Sent == 0 || !strings.Contains(conn.Name, "->") {
		t.Errorf("connection %+v", conn)
	}
}
