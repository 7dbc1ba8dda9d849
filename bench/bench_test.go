package bench

import (
	"os"
	"testing"
	"time"
)

// BenchmarkFlow and the others run b.N messages through the null broker, or
// through the one that BENCH_URI names.
func benchmark(b *testing.B, cfg Config, sync bool) {
	cfg.URI = os.Getenv("BENCH_URI")
	if cfg.URI == "" {
		o := NullOptions{}
		if sync {
			o.SyncDir = b.TempDir()
		}
		null, err := ListenNull(o)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		cfg.URI = null.URI()
	} else if sync {
		return // its own affair
	}
	cfg.Messages = b.N
	cfg.setDefaults()
	if cfg.Scenario == Many {
		cfg.Messages = max(1, b.N/cfg.Queues)
	}
	b.SetBytes(int64(cfg.Size))
	b.ReportAllocs()
	res, err := Run(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(res.PublishRate, "msg/s")
	b.ReportMetric(res.Confirm.P50*float64(time.Millisecond), "p50-ns")
	b.ReportMetric(res.Confirm.P99*float64(time.Millisecond), "p99-ns")
}

func BenchmarkFlow(b *testing.B) {
	b.Run("100B", func(b *testing.B) { benchmark(b, Config{}, false) })
	b.Run("1KiB", func(b *testing.B) { benchmark(b, Config{Size: 1 << 10}, false) })
	b.Run("16KiB", func(b *testing.B) { benchmark(b, Config{Size: 16 << 10, Outstanding: 100}, false) })
	b.Run("100B/sync", func(b *testing.B) { benchmark(b, Config{}, true) })
	b.Run("1KiB/sync", func(b *testing.B) { benchmark(b, Config{Size: 1 << 10}, true) })
}

func BenchmarkLatency(b *testing.B) {
	b.Run("100B", func(b *testing.B) { benchmark(b, Config{Scenario: Latency}, false) })
	b.Run("100B/sync", func(b *testing.B) { benchmark(b, Config{Scenario: Latency}, true) })
}

func BenchmarkMany(b *testing.B) {
	b.Run("100B", func(b *testing.B) { benchmark(b, Config{Scenario: Many}, false) })
	b.Run("100B/sync", func(b *testing.B) { benchmark(b, Config{Scenario: Many}, true) })
}

func BenchmarkFanout(b *testing.B) {
	b.Run("100B", func(b *testing.B) { benchmark(b, Config{Scenario: Fanout}, false) })
}

func BenchmarkPublish(b *testing.B) {
	b.Run("100B", func(b *testing.B) { benchmark(b, Config{Scenario: Publish}, false) })
}
