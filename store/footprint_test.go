package store

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// footprint is an action of the model: each message is in one place.
func (m *model) footprint(t *rapid.T) {
	q := m.pick(t)
	if q == nil {
		return
	}
	f := q.q.Footprint()
	n, raw, segments := f.Log.Messages+f.Large.Messages+f.Memory.Messages+f.Spilled.Messages, int64(0), int64(0)
	for _, s := range f.Segments {
		n += int(s.Messages)
		raw += s.Raw
		segments += s.Messages
		if s.Err != nil || s.Messages <= 0 || s.Stored < 0 || s.Bytes <= 0 || s.Stored > s.Bytes {
			t.Fatalf("segment %+v", s)
		}
	}
	if n != len(q.msgs) {
		t.Fatalf("%d messages in all places, want %d: %+v", n, len(q.msgs), f)
	}
	if (f.Log.Files > 0) != (f.Log.Messages > 0) || f.Large.Files != f.Large.Messages || (raw > 0) != (segments > 0) {
		t.Fatalf("footprint %+v", f)
	}
	if !q.durable && f.Log.Messages+len(f.Segments) > 0 {
		t.Fatalf("a transient queue is in the log: %+v", f)
	}
}

func TestFootprint(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	defer shut(t, s)
	q, other := newQueue(t, s, true), newQueue(t, s, true)
	apply(t, s, func(b *Batch) {
		for i := range 1000 {
			b.Publish(text(strings.Repeat("word ", 40)), []*Queue{q})
			if i%2 == 0 {
				b.Publish(text(noise(i, 300)), []*Queue{other})
			}
		}
	})
	retire(t, s)
	publishLarge(t, s, strings.Repeat("l", 5000), q, other)
	publish(t, s, text("in the log"), q)
	publish(t, s, transient("in memory"), q)
	got := q.Footprint()
	if got.Log.Files != 1 || got.Log.Messages != 1 || got.Memory.Messages != 1 || got.Spilled.Messages != 0 || got.Large.Messages != 1 || got.Large.Bytes < 5000 {
		t.Errorf("footprint %+v", got)
	}
	sum := func(f Footprint) (messages, raw, stored int64) {
		for _, s := range f.Segments {
			messages += s.Messages
			raw += s.Raw
			stored += s.Stored
		}
		return messages, raw, stored
	}
	messages, raw, stored := sum(got)
	if messages != 1000 || raw < 200_000 || stored == 0 || raw < 5*stored {
		t.Errorf("%d messages in segments, of %d bytes, %d compressed", messages, raw, stored)
	}
	noisy, noisyRaw, noisyStored := sum(other.Footprint())
	if noisy != 500 || noisyStored < noisyRaw/2 {
		t.Errorf("of the other queue %d messages in segments, of %d bytes, %d compressed", noisy, noisyRaw, noisyStored)
	}
	// All files belong to the two.
	if size := segmentBytes(t, fs); stored+noisyStored > size || stored+noisyStored < size*8/10 {
		t.Errorf("both queues take %d of %d bytes", stored+noisyStored, size)
	}
	ackAll(t, s, q, func(seq uint64) bool { return seq%2 == 0 })
	if half, halfRaw, halfStored := sum(q.Footprint()); half != 500 || halfRaw > raw*6/10 || halfStored > stored*6/10 || halfStored < stored*4/10 {
		t.Errorf("half of it is %d messages, of %d bytes, %d compressed", half, halfRaw, halfStored)
	}
}
