package exporter

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// scrapes counts the answers of each registry, as telemetry_scrape_… tells them.
type scrapes struct {
	mu sync.Mutex
	of map[string]*scraped
}

// scraped are the answers of one registry.
type scraped struct {
	count   uint64
	seconds float64
	bytes   int64
	encoded map[string]*encoded // by encoding
}

type encoded struct {
	count uint64
	bytes int64
}

func (s *scrapes) add(registry, encoding string, took time.Duration, bytes, sent int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.of[registry]
	if r == nil {
		r = &scraped{encoded: map[string]*encoded{}}
		if s.of == nil {
			s.of = map[string]*scraped{}
		}
		s.of[registry] = r
	}
	r.count++
	r.seconds += took.Seconds()
	r.bytes += bytes
	e := r.encoded[encoding]
	if e == nil {
		e = new(encoded)
		r.encoded[encoding] = e
	}
	e.count++
	e.bytes += sent
}

// write tells of the scrapes of a registry before this one.
func (s *scrapes) write(t *text, registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.of[registry]
	if r == nil {
		return
	}
	of := labels("registry", registry, "content_type", contentType)
	t.family("telemetry_scrape_duration_seconds", summary, "Time that the scrapes before this one took.")
	t.part("_sum", of, r.seconds)
	t.part("_count", of, float64(r.count))
	t.family("telemetry_scrape_size_bytes", summary, "Size of the answers before this one, without compression.")
	t.part("_sum", of, float64(r.bytes))
	t.part("_count", of, float64(r.count))
	t.family("telemetry_scrape_encoded_size_bytes", summary, "Size of the answers before this one, as sent.")
	for _, encoding := range slices.Sorted(maps.Keys(r.encoded)) {
		e := r.encoded[encoding]
		of := labels("registry", registry, "content_type", contentType, "encoding", encoding)
		t.part("_sum", of, float64(e.bytes))
		t.part("_count", of, float64(e.count))
	}
}
