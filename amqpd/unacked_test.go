package amqpd

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The ring against a map: any sequence of deliveries, acks, multiple acks and
// rollbacks leaves the same tags outstanding, in the same order.
func TestUnackedIsAMapByTag(t *testing.T) {
	k := &consumer{}
	rapid.Check(t, func(t *rapid.T) {
		var u unacked
		u.init()
		model := map[uint64]uint64{} // tag → seq
		var rolled []tagged
		next := uint64(1)
		outstanding := func() []uint64 {
			var tags []uint64
			for tag := range model {
				tags = append(tags, tag)
			}
			slices.Sort(tags)
			return tags
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				noAck := rapid.Bool().Draw(t, "noAck")
				for range rapid.IntRange(1, 80).Draw(t, "n") {
					if got := u.next(); got != next {
						t.Fatalf("next tag %d, want %d", got, next)
					}
					if noAck {
						u.skip()
					} else {
						u.push(pending{k, next * 10})
						model[next] = next * 10
					}
					next++
				}
			},
			"ack most": func(t *rapid.T) {
				keep := rapid.Uint64Range(2, 50).Draw(t, "keep")
				for _, tag := range outstanding() {
					if tag%keep == 0 {
						continue
					}
					p, ok := u.take(tag)
					if !ok || p.seq != model[tag] {
						t.Fatalf("take(%d) = %v, %v", tag, p, ok)
					}
					delete(model, tag)
					rolled = append(rolled, tagged{p, tag})
				}
			},
			"ack": func(t *rapid.T) {
				tag := rapid.Uint64Range(0, next+2).Draw(t, "tag")
				p, ok := u.take(tag)
				seq, want := model[tag]
				if ok != want || ok && p.seq != seq {
					t.Fatalf("take(%d) = %v, %v; want %v, %v", tag, p, ok, seq, want)
				}
				if ok {
					delete(model, tag)
					rolled = append(rolled, tagged{p, tag})
				}
			},
			"ack multiple": func(t *rapid.T) {
				tag := rapid.Uint64Range(0, next+2).Draw(t, "tag")
				list, ok := u.takeUpTo(nil, tag)
				_, known := model[tag]
				if ok != (known || tag == 0) {
					t.Fatalf("takeUpTo(%d) = %v", tag, ok)
				}
				if !ok {
					return
				}
				var want []uint64
				for _, o := range outstanding() {
					if o <= tag || tag == 0 {
						want = append(want, o)
					}
				}
				var got []uint64
				for _, l := range list {
					got = append(got, l.tag)
					if l.seq != model[l.tag] {
						t.Fatalf("tag %d has seq %d, want %d", l.tag, l.seq, model[l.tag])
					}
					delete(model, l.tag)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("takeUpTo(%d) = %v, want %v", tag, got, want)
				}
				rolled = append(rolled, list...)
			},
			"rollback": func(t *rapid.T) {
				for _, r := range rolled {
					u.restore(r)
					model[r.tag] = r.seq
				}
				rolled = nil
			},
			"commit": func(*rapid.T) { rolled = nil },
			"": func(t *rapid.T) {
				if live := u.live + u.earlyLive; live != len(model) {
					t.Fatalf("%d live, want %d", live, len(model))
				}
				if len(u.early) > 2*len(model)+1 {
					t.Fatalf("a list of %d for %d", len(u.early), len(model))
				}
				if len(model) == 0 && len(rolled) == 0 && u.n != 0 {
					t.Fatalf("%d slots held for nothing", u.n)
				}
			},
		})
	})
}

func TestUnackedGivesUpALargeRing(t *testing.T) {
	var u unacked
	u.init()
	k := &consumer{}
	for range 3 * keepRing {
		u.push(pending{k, 1})
	}
	list, ok := u.takeUpTo(nil, 0)
	if !ok || len(list) != 3*keepRing {
		t.Fatalf("took %d, %v", len(list), ok)
	}
	if u.ring != nil {
		t.Errorf("a ring of %d is kept for nothing", len(u.ring))
	}
}

// One delivery that is never acked costs itself, not all that came after it.
func TestOneHeldDeliveryKeepsTheRingSmall(t *testing.T) {
	for _, noAck := range []bool{false, true} {
		var u unacked
		u.init()
		k := &consumer{}
		u.push(pending{k, 1})
		for range 1_000_000 {
			if noAck {
				u.skip()
				continue
			}
			tag := u.next()
			u.push(pending{k, 2})
			u.take(tag)
		}
		if n := len(u.ring) + cap(u.early); n > 4*thinMin {
			t.Errorf("%d slots for one delivery", n)
		}
		if p, ok := u.take(1); !ok || p.seq != 1 {
			t.Errorf("the held one is %v, %v", p, ok)
		}
	}
}

func TestUnackedDoesNotAllocateAtSteadyState(t *testing.T) {
	var u unacked
	u.init()
	k := &consumer{}
	round := func() {
		for range 100 {
			u.push(pending{k, 1})
		}
		for range 100 {
			u.take(u.head)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
