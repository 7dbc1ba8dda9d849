package broker

import (
	"fmt"
	"testing"
)

// BenchmarkRoutes is messages, 100 a batch, whose routes change in different ways, to
// durable queues with a consumer each that acks nothing: what is measured is routing,
// and what a change of queue costs on the way to a consumer.
func BenchmarkRoutes(b *testing.B) {
	const bindings = 10_000
	keys := func(n int, format string) (keys [][]byte) {
		for i := range n {
			keys = append(keys, fmt.Appendf(nil, format, i))
		}
		return keys
	}
	for _, each := range []struct {
		name, exchange string
		queues         int
		pattern        func(i int) (queue int, key string) // of the i-th of 10,000 bindings
		keys           [][]byte
	}{
		{"direct/one queue", "amq.direct", 1, func(i int) (int, string) { return 0, fmt.Sprintf("k%d", i) }, keys(1, "k%d")},
		{"direct/64 in turn", "amq.direct", 64, func(i int) (int, string) { return i % 64, fmt.Sprintf("k%d", i) }, keys(64, "k%d")},
		{"direct/10000 keys in turn", "amq.direct", 1, func(i int) (int, string) { return 0, fmt.Sprintf("k%d", i) }, keys(bindings, "k%d")},
		{"default/64 in turn", "", 64, nil, keys(64, "q%d")},
		{"topic/one key", "amq.topic", 1, func(i int) (int, string) { return 0, fmt.Sprintf("k%d.*", i) }, keys(1, "k%d.x")},
		{"topic/64 in turn", "amq.topic", 64, func(i int) (int, string) { return i % 64, fmt.Sprintf("k%d.*", i) }, keys(64, "k%d.x")},
		{"topic/10000 keys in turn", "amq.topic", 1, func(i int) (int, string) { return 0, fmt.Sprintf("k%d.*", i) }, keys(bindings, "k%d.x")},
		{"topic/new keys", "amq.topic", 1, func(i int) (int, string) { return 0, fmt.Sprintf("k%d.*", i%100) }, keys(1_000_000, "k1.%d")},
	} {
		b.Run(each.name, func(b *testing.B) {
			br, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			w := &bench{t: b, b: br}
			defer w.close()
			c := w.client()
			sink := &lean{credit: 1 << 60}
			for i := range each.queues {
				name := fmt.Sprint("q", i)
				c.queue(name)
				cons, err := c.s.Consume(name, ConsumerSpec{NoAck: true}, sink)
				c.ok(err)
				cons.Touch()
			}
			for i := range bindings {
				if each.pattern != nil {
					q, key := each.pattern(i)
					c.ok(c.s.BindQueue(fmt.Sprint("q", q), each.exchange, key, nil))
				}
			}
			p := Publishing{Exchange: []byte(each.exchange), Body: make([]byte, 100)}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 100 {
				for i := range 100 {
					p.RoutingKey = each.keys[(n+i)%len(each.keys)]
					if routed, err := c.b.Publish(&p); err != nil || !routed {
						b.Fatal(routed, err)
					}
				}
				if _, err := c.b.Flush(nil, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
