package amqpd

import "testing"

// Memory follows what has come: a peer that announces much and sends little holds
// little, and a large body is not copied over and over.
func TestABodysMemoryFollowsWhatHasCome(t *testing.T) {
	const frame = 128 << 10
	for _, size := range []int{1, 1000, frame, frame + 1, 10 * frame, 64 << 20} {
		ct := &content{size: uint64(size)}
		garbage := 0
		for len(ct.body) < size {
			before := cap(ct.body)
			n := min(frame, size-len(ct.body))
			ct.grow(n)
			if cap(ct.body) != before {
				garbage += before
			}
			ct.body = ct.body[:len(ct.body)+n]
			if got := cap(ct.body); got > size || got > 4*len(ct.body)+3 {
				t.Fatalf("%d bytes held for %d of %d", got, len(ct.body), size)
			}
		}
		if garbage > size/2+frame {
			t.Errorf("%d bytes of garbage for a body of %d", garbage, size)
		}
	}
}
