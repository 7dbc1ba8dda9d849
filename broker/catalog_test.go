package broker

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The catalog outlives the program: what stands in it may change only so that
// older files can still be read.
func TestTheCatalogIsWhatItWas(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-length", 3))
	c.queue("ad", durable, autoDelete)
	c.queue("transient")
	c.queue("excl", durable, exclusive)
	c.exchange("x", "topic", durableX, alternate("fallback"))
	c.exchange("y", "headers", durableX, autoDeleteX, internalX)
	c.exchange("tx", "fanout")
	c.bind("q", "x", "a.*", "z", 1, "a", "v")
	c.bind("q", "tx", "")
	c.ok(c.s.BindExchange("y", "x", "y.#", nil))
	c.ok(w.b.AddVHost("other"))
	w.policy(policy.User, "p", "^q", 3, "max-length", 7, "dead-letter-exchange", "d")
	w.policy(policy.Operator, "o", ".*", -1, "expires", 1<<40)
	hash, err := access.ParseHash("Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", access.SHA256)
	c.ok(err)
	_, err = w.b.PutUser(access.User{Name: "guest", Hash: hash, Tags: []string{"administrator", "impersonator"}})
	c.ok(err)
	c.ok(w.b.SetUserLimit("guest", access.MaxChannels, 100))
	_, err = w.b.SetTopicPermissions(access.TopicPermissions{User: "guest", VHost: "/", Exchange: "amq.topic", Write: "^{username}", Read: ""})
	c.ok(err)
	_, err = w.b.PutVHost(VHost{Name: "third", Description: "of many", Tags: []string{"a", "b"}, QueueType: "quorum"})
	c.ok(err)
	c.ok(w.b.SetVHostLimit("third", access.MaxQueues, -1))
	_, err = w.b.SetParameter(Parameter{"third", "shovel", "s", raw(`{"a":1}`)})
	c.ok(err)
	_, err = w.b.SetGlobalParameter(GlobalParameter{"cluster_name", raw(`"shop"`)})
	c.ok(err)
	var got []string
	err = w.b.store.Catalog(func(key string, value []byte) error {
		got = append(got, fmt.Sprintf("%q\n\t%x\n\t%s\n", key, value, amqp.Nested(value)))
		return nil
	})
	c.ok(err)
	slices.Sort(got)
	text := []byte(strings.Join(got, ""))
	golden := filepath.Join("testdata", "catalog.golden")
	if *update {
		c.ok(os.MkdirAll("testdata", 0o777))
		c.ok(os.WriteFile(golden, text, 0o666))
	}
	want, err := os.ReadFile(golden)
	c.ok(err)
	if !bytes.Equal(text, want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestABrokenCatalogIsNamed(t *testing.T) {
	for name, each := range map[string]struct {
		key   string
		value []byte
		want  string
	}{
		"kind":     {"?x", nil, "is of no known kind"},
		"key":      {"q\x05ab", nil, `catalog key "q\x05ab" is malformed`},
		"names":    {catalog.Key(catalog.Queue, "/"), nil, "has 1 names, not 2"},
		"value":    {catalog.Key(catalog.Queue, "/", "q"), []byte{1, 2, 3}, "catalog record"},
		"vhost":    {catalog.Key(catalog.Queue, "nope", "q"), nil, "there is no vhost 'nope'"},
		"queue":    {catalog.Key(catalog.Queue, "/", "q"), amqp.NewTable(amqp.Field{Name: "id", Value: amqp.Int64(7)}), "queue 'q' in vhost '/' has the number 7, which the store lacks"},
		"exchange": {catalog.Key(catalog.Exchange, "/", "x"), amqp.NewTable(amqp.Field{Name: "type", Value: amqp.LongString("odd")}), "exchange 'x' in vhost '/' has the unknown type 'odd'"},
		"binding":  {catalog.Key(catalog.Binding, "/", "x", "q", "q", "k", ""), nil, "one end of the binding 'x' → 'q' is missing"},
		"source":   {catalog.Key(catalog.Binding, "/", "", "x", "amq.direct", "k", ""), nil, "one end of the binding '' → 'amq.direct' is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			batch := w.b.store.NewBatch()
			batch.Put(each.key, each.value)
			if err := w.b.applyNow(batch); err != nil {
				t.Fatal(err)
			}
			w.close()
			_, err := Open("data", w.opts)
			if err == nil || !strings.Contains(err.Error(), each.want) || !strings.Contains(err.Error(), "broker in data") {
				t.Errorf("got %v, want %q", err, each.want)
			}
		})
	}
}

func TestQueuesThatNoRecordNamesAreDropped(t *testing.T) {
	w := newBench(t)
	batch := w.b.store.NewBatch()
	batch.CreateQueue(true, store.QueueOptions{})
	if err := w.b.applyNow(batch); err != nil {
		t.Fatal(err)
	}
	w.restart()
	n := 0
	w.b.store.Queues(func(*store.Queue) bool { n++; return true })
	if n != 0 {
		t.Errorf("%d queues left", n)
	}
}

func TestVHostsAreWorldsOfTheirOwn(t *testing.T) {
	w := newBench(t)
	a := w.client()
	a.ok(w.b.AddVHost("other"))
	a.ok(w.b.AddVHost("other"))
	w.permit("guest", "other", ".*", ".*", ".*")
	b := w.login("guest", "other")
	a.queue("q", durable)
	a.bind("q", "amq.fanout", "")
	_, err := b.s.DeclareQueue(QueueSpec{Name: "q", Passive: true})
	b.refused(err, "NOT_FOUND - no queue 'q' in vhost 'other'")
	if b.publish("amq.fanout", "", "m") || b.publish("", "q", "m") {
		t.Error("routed into another vhost")
	}
	b.queue("q", durable)
	b.publish("", "q", "theirs")
	w.restart()
	a = w.client()
	b = w.login("guest", "other")
	if a.ready("q") != 0 || b.ready("q") != 1 {
		t.Error("vhosts were mixed up")
	}
}
