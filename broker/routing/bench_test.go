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

// benchKeys is 10,000 bindings to one destination of a topic table, and keys in turn.
func benchKeys(b *testing.B, pattern func(i int) string, n int, key func(i int) string) {
	tab, d := New[*int]("topic", nil), new(int)
	for i := range 10_000 {
		tab.Add(d, pattern(i), nil)
	}
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = []byte(key(i))
	}
	var dst []*int
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if dst = tab.Match(keys[i%n], nil, dst[:0]); len(dst) != 1 {
			b.Fatalf("%s: %d destinations", keys[i%n], len(dst))
		}
	}
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
	b.Run("topic/100", func(b *testing.B) {
		bench10k(b, "topic", topic, noArgs, "orders.r42.new", nil, 100)
	})
	for name, keys := range map[string]int{"one key": 1, "10000 keys": 10_000, "new keys": 1 << 20} {
		// 100 patterns of eight words for each of 100 groups.
		pattern := func(i int) string {
			p := fmt.Sprintf("g%d", i/100)
			for w := range 7 {
				p += [...]string{".*", ".w" + fmt.Sprint(w)}[i%100>>w&1]
			}
			return p + ".#"
		}
		b.Run("topic/100 stars/"+name, func(b *testing.B) {
			benchKeys(b, pattern, keys, func(i int) string { return fmt.Sprintf("g%d.w0.w1.w2.w3.w4.w5.w6.%d", i%100, i/100) })
		})
		b.Run("topic/1/"+name, func(b *testing.B) {
			benchKeys(b, func(i int) string { return fmt.Sprintf("device.%d.*", i) }, keys,
				func(i int) string { return fmt.Sprintf("device.%d.%d", i%10_000, i/10_000) })
		})
	}
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
