package routing

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// bench10k is 10,000 bindings of which a message matches 1 %: 100 destinations,
// or by a literal key.
func bench10k(b *testing.B, typ string, key func(i int) string, args func(i int) amqp.Table, message string, headers amqp.Table, want int) {
	tab := New[*int](typ, nil)
	for i := range 10_000 {
		tab.Add(new(int), key(i), args(i))
	}
	get := withHeaders(headers)
	dst := make([]*int, 0, 10_000)
	k := []byte(message)
	if dst = tab.Match(k, get, dst[:0]); len(dst) != want {
		b.Fatalf("%d destinations, want %d", len(dst), want)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		dst = tab.Match(k, get, dst[:0])
	}
	b.ReportMetric(float64(want), "matches")
}

func noArgs(int) amqp.Table { return nil }

func BenchmarkMatch(b *testing.B) {
	b.Run("direct/1", func(b *testing.B) {
		bench10k(b, "direct", func(i int) string { return fmt.Sprintf("queue-%d", i) }, noArgs, "queue-4711", nil, 1)
	})
	b.Run("direct/100", func(b *testing.B) {
		bench10k(b, "direct", func(i int) string { return fmt.Sprintf("key-%d", i%100) }, noArgs, "key-42", nil, 100)
	})
	b.Run("fanout/10000", func(b *testing.B) {
		bench10k(b, "fanout", func(int) string { return "" }, noArgs, "", nil, 10_000)
	})
	topic := func(i int) string {
		switch i % 4 {
		case 0:
			return fmt.Sprintf("orders.r%d.*", i/4%100)
		case 1:
			return fmt.Sprintf("orders.r%d.#", i/4%100)
		case 2:
			return fmt.Sprintf("#.r%d.new", i/4%100)
		default:
			return fmt.Sprintf("*.r%d.new", i/4%100)
		}
	}
	b.Run("topic/100/cached", func(b *testing.B) {
		bench10k(b, "topic", topic, noArgs, "orders.r42.new", nil, 100)
	})
	b.Run("topic/100/uncached", func(b *testing.B) {
		// Longer than the cache takes keys.
		long := "new"
		for len(long) <= cacheKey {
			long += "new"
		}
		bench10k(b, "topic", func(i int) string {
			if i%2 == 0 {
				return fmt.Sprintf("orders.r%d.*", i/2%50)
			}
			return fmt.Sprintf("orders.r%d.#", i/2%50)
		}, noArgs, "orders.r42."+long, nil, 200)
	})
	b.Run("topic/1/uncached", func(b *testing.B) {
		tab := New[*int]("topic", nil)
		for i := range 10_000 {
			tab.Add(new(int), fmt.Sprintf("device.%d.*", i), nil)
		}
		keys := make([][]byte, 10_000)
		for i := range keys {
			keys[i] = fmt.Appendf(nil, "device.%d.temperature", i)
		}
		var dst []*int
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			// A version of its own each time, as to the cache.
			st := tab.(*Topic[*int]).current.Load()
			s := tab.(*Topic[*int]).scratch.get()
			dst = st.match(s, keys[i%len(keys)], dst[:0])
			tab.(*Topic[*int]).scratch.put(s)
			i++
		}
	})
	b.Run("headers/100", func(b *testing.B) {
		bench10k(b, "headers", func(int) string { return "" },
			func(i int) amqp.Table { return table("type", "order", "shard", i%100) },
			"", table("type", "order", "shard", 42, "id", "x"), 100)
	})
	b.Run("headers/1", func(b *testing.B) {
		bench10k(b, "headers", func(int) string { return "" },
			func(i int) amqp.Table { return table("x-match", "any", "id", i, "other", -i-1) },
			"", table("type", "order", "shard", 42, "id", 4711), 1)
	})
}

// BenchmarkBind is the time to bind 100,000 queues to one exchange, one by one.
func BenchmarkBind(b *testing.B) {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("device.%d.queue", i)
	}
	queues := make([]int, n)
	for _, typ := range types {
		for _, shared := range []bool{false, true} {
			name := typ + "/own-keys"
			if shared {
				name = typ + "/one-key"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					tab := New[*int](typ, nil)
					for i := range queues {
						k, args := keys[i], amqp.Table(nil)
						if shared {
							k = "k"
						}
						if typ == "headers" {
							args = table("k", k)
						}
						tab.Add(&queues[i], k, args)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/binding")
			})
		}
	}
}

// BenchmarkUnbind takes 100,000 queues away again, the first bound first.
func BenchmarkUnbind(b *testing.B) {
	const n = 100_000
	queues := make([]int, n)
	for _, typ := range types {
		b.Run(typ, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				tab := New[*int](typ, nil)
				for i := range queues {
					tab.Add(&queues[i], "k", table("n", i))
				}
				b.StartTimer()
				for i := range queues {
					tab.RemoveDestination(&queues[i*7919%n])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/binding")
		})
	}
}
