package routing

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSetActsAsASetAndOldVersionsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			s    *set[int]
			want []int
		}
		var s *set[int]
		var want []int
		var versions []version
		next := 0
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			n := rapid.IntRange(1, 700).Draw(t, "n")
			if rapid.Bool().Draw(t, "add") {
				for range n {
					s = s.add(next, uint32(next))
					want = append(want, next)
					next++
				}
			} else {
				seed := rapid.Uint32().Draw(t, "pick")
				for ; n > 0 && len(want) > 0; n-- {
					i := int(seed) % len(want)
					s = s.remove(uint32(want[i]))
					want = slices.Delete(want, i, i+1)
					seed = seed*1664525 + 1013904223
				}
			}
			s = s.remove(1 << 31) // none has it
			versions = append(versions, version{s, slices.Clone(want)})
		}
		for _, v := range versions {
			got := v.s.appendTo(nil)
			slices.Sort(got)
			if !slices.Equal(got, v.want) || v.s.len() != len(v.want) {
				t.Fatalf("got %d (len %d), want %d", len(got), v.s.len(), len(v.want))
			}
			for i := range v.s.len() / chunkLen {
				if v.s.len()%chunkLen != 0 && len(v.s.full[i].dst) != chunkLen {
					t.Fatalf("chunk %d has %d", i, len(v.s.full[i].dst))
				}
			}
		}
	})
}

func TestRemovedDestinationIsNotKeptBySpareCapacity(t *testing.T) {
	var s *set[*int]
	gone := new(int)
	for i := range chunkLen + 10 {
		d := new(int)
		if i == 3 || i == chunkLen+3 {
			d = gone
		}
		s = s.add(d, uint32(i))
	}
	s = s.remove(3).remove(chunkLen + 3)
	for _, c := range append(s.full[:cap(s.full)], s.tail) {
		if slices.Contains(c.dst[:cap(c.dst)], gone) {
			t.Fatal("a removed destination is still referred to")
		}
	}
}

func TestMarksSurviveTheEpochsWrap(t *testing.T) {
	var m marks
	m.reset(4)
	m.mark(2)
	m.epoch = 1<<32 - 1
	m.mark(1)
	m.reset(4)
	for o := range uint32(4) {
		if !m.mark(o) || m.mark(o) {
			t.Fatalf("ordinal %d after the wrap", o)
		}
	}
}
