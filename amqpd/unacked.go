package amqpd

import (
	"cmp"
	"slices"
)

// pending is one delivery that waits for its acknowledgement: the consumer it
// went to (basic.get has one of its own) and its place in the consumer's queue.
type pending struct {
	consumer *consumer
	seq      uint64
}

// unacked is a channel's ring of deliveries by tag. Tags are dense, so a tag is
// found by its distance from the head; one that was settled out of order leaves
// a hole (no consumer) until the head passes it. Where holes are most of a full
// ring, since one delivery is held while others come and go, what is left moves
// to a sorted list: memory follows what is unacked, not how far apart it is. The
// connection's mutex guards it.
type unacked struct {
	early     []tagged // by tag, all below head; holes too, but few
	earlyLive int      // of them, not holes

	head  uint64 // tag of the oldest slot; the next delivery's tag is head+n
	ring  []pending
	start int // index of the oldest slot; len(ring) is a power of two
	n     int // slots in use, holes included
	live  int // slots that are not holes
}

// minRing is the ring's first length; one prefetch of a small worker.
const minRing = 16

// keepRing is the largest ring that an empty unacked keeps.
const keepRing = 4096

func (u *unacked) init() { u.head = 1 }

// next is the tag that the coming delivery gets.
func (u *unacked) next() uint64 { return u.head + uint64(u.n) }

// push records a delivery under the tag that next returned.
func (u *unacked) push(p pending) {
	if u.n == len(u.ring) && !u.thinOut() {
		u.grow()
	}
	u.ring[(u.start+u.n)&(len(u.ring)-1)] = p
	u.n++
	u.live++
}

// skip spends a tag on a delivery that nobody acknowledges.
func (u *unacked) skip() {
	if u.n == 0 {
		u.head++
		return
	}
	u.push(pending{})
	u.live--
	u.trim() // the push may have thinned the ring out
}

func (u *unacked) grow() {
	ring := make([]pending, max(minRing, 2*len(u.ring)))
	k := copy(ring, u.ring[u.start:])
	copy(ring[k:], u.ring[:u.start])
	u.ring, u.start = ring, 0
}

// thinMin is the shortest ring whose holes are worth thinning out.
const thinMin = 64

// thinOut moves what is live in a full ring to early, where that is less than
// half of it, and leaves the ring empty.
func (u *unacked) thinOut() bool {
	if u.n < thinMin || u.live >= u.n/2 {
		return false
	}
	for ; u.n > 0; u.n-- {
		p := &u.ring[u.start]
		if p.consumer != nil {
			u.early = append(u.early, tagged{*p, u.head})
			u.earlyLive++
			*p = pending{}
		}
		u.start = (u.start + 1) & (len(u.ring) - 1)
		u.head++
	}
	u.live = 0
	return true
}

// find returns the place of an outstanding delivery, or nil.
func (u *unacked) find(tag uint64) *pending {
	if tag < u.head {
		i, ok := u.findEarly(tag)
		if !ok || u.early[i].consumer == nil {
			return nil
		}
		return &u.early[i].pending
	}
	d := tag - u.head
	if d >= uint64(u.n) {
		return nil
	}
	p := &u.ring[(u.start+int(d))&(len(u.ring)-1)]
	if p.consumer == nil {
		return nil
	}
	return p
}

func (u *unacked) findEarly(tag uint64) (int, bool) {
	return slices.BinarySearchFunc(u.early, tag, func(t tagged, tag uint64) int { return cmp.Compare(t.tag, tag) })
}

// oldest is the outstanding delivery with the lowest tag; nil: there is none.
func (u *unacked) oldest() (tag uint64, p *pending) {
	switch {
	case len(u.early) > 0: // the first of which is no hole
		return u.early[0].tag, &u.early[0].pending
	case u.n > 0:
		return u.head, &u.ring[u.start]
	}
	return 0, nil
}

// take settles one tag. It reports false for a tag that is not outstanding.
func (u *unacked) take(tag uint64) (pending, bool) {
	p := u.find(tag)
	if p == nil {
		return pending{}, false
	}
	out := *p
	*p = pending{}
	if tag < u.head {
		u.earlyLive--
		u.trimEarly()
	} else {
		u.live--
		u.trim()
	}
	return out, true
}

// takeUpTo settles tag and all before it, oldest first. Like RabbitMQ it fails,
// and settles nothing, where tag itself is not outstanding; tag 0 is all.
func (u *unacked) takeUpTo(dst []tagged, tag uint64) ([]tagged, bool) {
	if tag == 0 {
		tag = u.head + uint64(u.n) - 1
	} else if u.find(tag) == nil {
		return dst, false
	}
	if len(u.early) > 0 {
		for i := range u.early {
			t := &u.early[i]
			if t.tag > tag {
				break
			}
			if t.consumer != nil {
				dst = append(dst, *t)
				t.pending = pending{}
				u.earlyLive--
			}
		}
		u.trimEarly()
	}
	for u.n > 0 && u.head <= tag {
		p := &u.ring[u.start]
		if p.consumer != nil {
			dst = append(dst, tagged{*p, u.head})
			*p = pending{}
			u.live--
		}
		u.start = (u.start + 1) & (len(u.ring) - 1)
		u.n--
		u.head++
	}
	u.trim()
	return dst, true
}

// restore puts back what a rolled back transaction had settled.
func (u *unacked) restore(t tagged) {
	if t.tag >= u.head {
		u.ring[(u.start+int(t.tag-u.head))&(len(u.ring)-1)] = t.pending
		u.live++
		return
	}
	i, ok := u.findEarly(t.tag)
	if ok {
		u.early[i] = t
	} else {
		u.early = slices.Insert(u.early, i, t)
	}
	u.earlyLive++
}

// trim moves the head past holes. The ring of a consumer that had very much
// unacked is given up when that is settled.
func (u *unacked) trim() {
	for u.n > 0 && u.ring[u.start].consumer == nil {
		u.start = (u.start + 1) & (len(u.ring) - 1)
		u.n--
		u.head++
	}
	if u.n == 0 && len(u.ring) > keepRing {
		u.ring, u.start = nil, 0
	}
}

// trimEarly takes holes out of early: those in front at once, the others where
// they are most of it.
func (u *unacked) trimEarly() {
	switch {
	case u.earlyLive == 0:
		u.early = nil
		return
	case u.earlyLive < len(u.early)/2:
		u.early = slices.DeleteFunc(u.early, func(t tagged) bool { return t.consumer == nil })
		return
	}
	for u.early[0].consumer == nil {
		u.early = u.early[1:]
	}
}

// tagged is a settled delivery with the tag that it had.
type tagged struct {
	pending
	tag uint64
}
