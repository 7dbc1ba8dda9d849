package index

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// modelMessage is a message of a plain queue, the one that Queue must equal.
type modelMessage struct {
	entry     Entry
	state     string // ready, claimed, aside
	segment   uint64 // 0: in none
	bare      bool   // in a run, and never claimed
	delivered bool
	count     uint32
	expires   int64 // 0: never
}

type modelQueue struct {
	next uint64
	live map[uint64]*modelMessage
}

func (m *modelQueue) seqs(state string) []uint64 {
	var s []uint64
	for seq, msg := range m.live {
		if state == "" || msg.state == state {
			s = append(s, seq)
		}
	}
	slices.Sort(s)
	return s
}

// pair runs the queue and its model side by side.
type pair struct {
	q *Queue
	m modelQueue

	segment uint64 // the last number used
	uniform bool   // all messages are of one size
	// guessed: a message left a run without anybody having looked at its size.
	// Until no such message is left the sums are near the truth only.
	guessed bool
}

func (p *pair) guess(seqs []uint64) {
	for _, seq := range seqs {
		p.guessed = p.guessed || p.m.live[seq].bare && !p.uniform
	}
}

// sealed returns the messages in segments.
func (m *modelQueue) sealed() []uint64 {
	var s []uint64
	for _, seq := range m.seqs("") {
		if m.live[seq].segment != 0 {
			s = append(s, seq)
		}
	}
	return s
}

// checkPositions wants each message to be found by its place, and seen as it is.
func (p *pair) checkPositions(t *rapid.T) {
	q, k := p.q, 0
	from := uint64(0)
	for _, seq := range p.m.seqs("") {
		msg := p.m.live[seq]
		if msg.state == "aside" {
			continue
		}
		if got, ok := q.Seek(k); !ok || got != seq {
			t.Fatalf("at position %d is %d, %v; want %d", k, got, ok, seq)
		}
		s, ok := q.Sighted(from)
		claimed := msg.state == "claimed"
		again := s.Redelivered
		if !claimed {
			again = msg.delivered
		}
		if want := (Sight{Seq: seq, Claimed: claimed, Redelivered: again, Count: msg.count}); !ok || s != want {
			t.Fatalf("from %d on %+v, %v is seen; want %+v", from, s, ok, want)
		}
		if claimed && seq >= q.AllReadyFrom() {
			t.Fatalf("%d is claimed, and %d is said to be the end of such ones", seq, q.AllReadyFrom())
		}
		from = seq + 1
		k++
	}
	if _, ok := q.Seek(k); ok {
		t.Fatalf("there is something at position %d", k)
	}
	if s, ok := q.Sighted(from); ok {
		t.Fatalf("behind all is %+v", s)
	}
}

func (p *pair) check(t *rapid.T) {
	q, m := p.q, p.m
	var bytes, sealedBytes, sealedBody int64
	var unackedBytes, transientBytes int64
	transient := 0
	sealed, bare := uint64(0), false
	for _, seq := range m.seqs("") {
		msg := m.live[seq]
		if msg.state == "ready" {
			bytes += msg.entry.Body()
		}
		if msg.state == "claimed" {
			unackedBytes += msg.entry.Body()
		}
		if !msg.entry.Logged() {
			transient++
			transientBytes += msg.entry.Body()
		}
		if bare = bare || msg.bare; msg.segment != 0 {
			sealed++
			sealedBytes += int64(msg.entry.Len)
			sealedBody += msg.entry.Body()
		}
	}
	if p.guessed = p.guessed && bare; p.guessed {
		bytes = q.ReadyBytes()
		if bytes < 0 {
			t.Fatalf("%d bytes are ready", bytes)
		}
	}
	if q.Ready() != len(m.seqs("ready")) || q.Unacked() != len(m.seqs("claimed")) || q.Aside() != len(m.seqs("aside")) || q.ReadyBytes() != bytes {
		t.Fatalf("ready %d (%d bytes), unacked %d, aside %d; want %d (%d), %d, %d", q.Ready(), q.ReadyBytes(), q.Unacked(), q.Aside(),
			len(m.seqs("ready")), bytes, len(m.seqs("claimed")), len(m.seqs("aside")))
	}
	if got := q.UnackedBytes(); got != unackedBytes && !p.guessed {
		t.Fatalf("%d bytes are claimed, want %d", got, unackedBytes)
	}
	if n, size := q.Transient(); n != transient || size != transientBytes {
		t.Fatalf("%d messages of %d bytes are transient, want %d of %d", n, size, transient, transientBytes)
	}
	p.checkPositions(t)
	if q.Next() != m.next {
		t.Fatalf("next is %d, want %d", q.Next(), m.next)
	}
	p.checkRuns(t, sealed, sealedBytes, sealedBody)
	unsealed := make([]Entry, min(m.next, 4096)+10) // beyond the end, too
	for i := range unsealed {
		unsealed[i].Addr = 1
	}
	q.Unsealed(0, unsealed[:3])
	q.Unsealed(3, unsealed[3:])
	if m.next <= 4096 && slices.ContainsFunc(unsealed[m.next:], func(e Entry) bool { return e != Entry{} }) {
		t.Fatalf("entries behind the last one: %+v", unsealed[m.next:])
	}
	for seq := uint64(0); seq < min(m.next, 4096); seq++ {
		msg := m.live[seq]
		if got := q.Gone(seq); got != (msg == nil) {
			t.Fatalf("message %d: gone is %v (floor %d)", seq, got, q.Floor())
		}
		e, ok := q.Get(seq)
		segment, in := q.InRun(seq)
		if msg == nil {
			msg = &modelMessage{bare: true}
		}
		if in != (msg.segment != 0) || segment != msg.segment || ok && e.Sealed() != in {
			t.Fatalf("message %d: segment %d, %v, entry %+v; want %+v", seq, segment, in, e, msg)
		}
		want := msg.entry
		if in {
			want.Addr = segment
			if p.guessed && ok {
				want = e // its size may be a guess from a delivery count that came first
			}
		}
		if ok == msg.bare || ok && (e.Addr != want.Addr || e.Len != want.Len || e.Body() != want.Body()) {
			t.Fatalf("message %d: entry %+v, %v; want %+v", seq, e, ok, msg)
		}
		if in {
			e = Entry{}
		}
		if unsealed[seq] != e {
			t.Fatalf("message %d: entry %+v among others, %+v by itself", seq, unsealed[seq], e)
		}
	}
	if len(m.live) == 0 && (q.Floor() != q.Next() || len(q.pages.refs) != 0 || q.sealed != nil || q.acks.chunks != nil || q.counts != nil || q.exp != nil) {
		t.Fatalf("an empty queue keeps state: %+v", q)
	}
}

// checkRuns compares the runs' sums, and what is found in them.
func (p *pair) checkRuns(t *rapid.T, live uint64, bytes, body int64) {
	var sum Run
	end := uint64(0)
	p.q.Runs(func(r Run) bool {
		if r.First < end || r.First >= r.End || r.Live == 0 || r.Live > r.End-r.First || r.Body < 0 || r.Bytes < r.Body {
			t.Fatalf("run %+v behind %d", r, end)
		}
		end = r.End
		sum.Live += r.Live
		sum.Bytes += r.Bytes
		sum.Body += r.Body
		return true
	})
	if p.guessed {
		bytes, body = sum.Bytes, sum.Body
	}
	if sum.Live != live || sum.Bytes != bytes || sum.Body != body {
		t.Fatalf("runs have %+v, want %d messages, %d bytes, %d of bodies", sum, live, bytes, body)
	}
	at, ok := p.q.NextSealed(0, p.m.next)
	for _, seq := range p.m.sealed() {
		if p.m.live[seq].bare {
			if !ok || at != seq {
				t.Fatalf("next in a run is %d, %v, want %d", at, ok, seq)
			}
			at, ok = p.q.NextSealed(seq+1, p.m.next)
		}
	}
	if ok {
		t.Fatalf("message %d is in a run", at)
	}
}

// seal moves what the log holds between two places to a segment.
func (p *pair) seal(t *rapid.T) {
	if p.m.next == 0 {
		return
	}
	first := rapid.Uint64Range(0, p.m.next-1).Draw(t, "first")
	end := first + rapid.SampledFrom([]uint64{1, 3, 70, 500}).Draw(t, "span")
	from := rapid.Uint64Range(first, min(end, p.m.next)).Draw(t, "from") * 1000
	to := end * 1000
	if rapid.Bool().Draw(t, "all") {
		from = first * 1000
	}
	if rapid.Bool().Draw(t, "new") || p.segment == 0 {
		p.segment++
	}
	var want, got []uint64
	for _, seq := range p.m.seqs("") {
		msg := p.m.live[seq]
		a := msg.entry.Addr
		if seq < first || seq >= end || msg.segment != 0 || !msg.entry.Logged() || a < from || a >= to {
			continue
		}
		want = append(want, seq)
		msg.segment = p.segment
		if r, ok := p.q.RunOf(seq); ok {
			t.Fatalf("message %d is in %+v", seq, r)
		}
		e, _ := p.q.Get(seq)
		msg.bare = e.Flags&(aside|Delivered|counted) == 0
	}
	p.q.Seal(first, end, p.segment, func(addr uint64) bool { return from <= addr && addr < to }, func(seq uint64, e Entry) {
		if e.Addr != p.m.live[seq].entry.Addr {
			t.Fatalf("message %d was at %d", seq, e.Addr)
		}
		got = append(got, seq)
	})
	if !slices.Equal(got, want) {
		t.Fatalf("seal of [%d, %d) at [%d, %d) moved %v, want %v", first, end, from, to, got, want)
	}
}

// merge makes one segment of some.
func (p *pair) merge(t *rapid.T) {
	if p.segment == 0 {
		return
	}
	olds := rapid.SliceOfNDistinct(rapid.Uint64Range(1, p.segment), 1, -1, rapid.ID).Draw(t, "olds")
	p.segment++
	for _, msg := range p.m.live {
		if slices.Contains(olds, msg.segment) {
			msg.segment = p.segment
		}
	}
	p.q.Relabel(func(segment uint64) uint64 {
		if slices.Contains(olds, segment) {
			return p.segment
		}
		return segment
	})
}

func (p *pair) push(t *rapid.T) {
	n := rapid.IntRange(1, 200).Draw(t, "n")
	flags := uint32(0)
	if rapid.Bool().Draw(t, "logged") {
		flags = Logged
	}
	expiring := rapid.Bool().Draw(t, "expiring")
	for range n {
		e := MakeEntry(p.m.next*1000, 100+uint32(n), uint32(n), flags)
		if p.uniform {
			e = MakeEntry(p.m.next*1000, 150, 60, flags)
		}
		seq, expires := uint64(0), int64(0)
		if expiring && rapid.IntRange(0, 2).Draw(t, "expires") > 0 {
			expires = rapid.OneOf(rapid.Just(int64(AtOnce)), rapid.Int64Range(AtOnce, 1000)).Draw(t, "at")
			seq = p.q.PushExpiring(e, expires)
		} else {
			seq = p.q.Push(e)
		}
		if seq != p.m.next {
			t.Fatalf("number %d, want %d", seq, p.m.next)
		}
		p.m.live[p.m.next] = &modelMessage{entry: e, state: "ready", expires: expires}
		p.m.next++
	}
}

func (p *pair) claim(t *rapid.T) {
	type took struct {
		seq         uint64
		redelivered bool
	}
	var items []took
	for range rapid.IntRange(1, 150).Draw(t, "n") {
		seq, e, ok := p.q.Peek()
		ready := p.m.seqs("ready")
		if len(ready) == 0 {
			if ok {
				t.Fatalf("message %d offered, none is ready", seq)
			}
			break
		}
		msg := p.m.live[ready[0]]
		if !ok || seq != ready[0] || (e == nil) != msg.bare {
			t.Fatalf("message %d offered (%v), want %d", seq, e, ready[0])
		}
		var redelivered bool
		var count uint32
		if e != nil {
			redelivered, count = p.q.Take(seq, e)
		} else {
			redelivered = p.q.TakeSealed(seq, msg.entry.Len, uint32(msg.entry.Body()))
			msg.bare = false
		}
		if redelivered != msg.delivered || count != msg.count {
			t.Fatalf("message %d: redelivered %v, count %d, want %v, %d", seq, redelivered, count, msg.delivered, msg.count)
		}
		items = append(items, took{seq, redelivered})
		msg.state, msg.delivered = "claimed", true
	}
	undo := rapid.IntRange(0, len(items)).Draw(t, "undo")
	for _, it := range slices.Backward(items[len(items)-undo:]) {
		if !p.q.Untake(it.seq, it.redelivered) {
			t.Fatalf("message %d cannot be unclaimed", it.seq)
		}
		p.m.live[it.seq].state, p.m.live[it.seq].delivered = "ready", it.redelivered
	}
}

// takeAt claims a message out of turn.
func (p *pair) takeAt(t *rapid.T) {
	ready := p.m.seqs("ready")
	if len(ready) == 0 {
		return
	}
	for range rapid.IntRange(1, 5).Draw(t, "n") {
		seq := rapid.SampledFrom(ready).Draw(t, "seq")
		e, isReady, ok := p.q.Lookup(seq)
		if !ok || isReady != (p.m.live[seq].state == "ready") {
			t.Fatalf("message %d is ready: %v, there: %v", seq, isReady, ok)
		}
		if isReady {
			p.takeOne(t, seq, e)
		}
		if rapid.IntRange(0, 3).Draw(t, "back") == 0 && p.q.Untake(seq, p.m.live[seq].delivered) {
			p.m.live[seq].state = "ready"
		}
	}
}

func (p *pair) takeOne(t *rapid.T, seq uint64, e *Entry) {
	msg := p.m.live[seq]
	if msg == nil || msg.state != "ready" || (e == nil) != msg.bare {
		t.Fatalf("message %d is taken, with the entry %+v, and is %+v", seq, e, msg)
	}
	if e != nil {
		p.q.TakeAt(seq, e)
	} else {
		p.q.TakeSealedAt(seq, msg.entry.Len, uint32(msg.entry.Body()))
		msg.bare = false
	}
	msg.state, msg.delivered = "claimed", true
}

// expire takes what has expired, as a store does.
func (p *pair) expire(t *rapid.T) {
	now := rapid.Int64Range(2, 1000).Draw(t, "now")
	ahead := rapid.Int64Range(0, 200).Draw(t, "ahead")
	want := slices.DeleteFunc(p.m.seqs("ready"), func(seq uint64) bool {
		at := p.m.live[seq].expires
		return at == 0 || at > now
	})
	if at := p.q.NextExpiry(); len(want) > 0 && (at == 0 || at > now) {
		t.Fatalf("at %d %v have expired, the next time is %d", now, want, at)
	}
	for span, ok := p.q.TakeSpan(now); ok; span, ok = p.q.TakeSpan(now) {
		// What reads the segment tells of what is near, and leaves the rest.
		span.Due = 0
		for seq, ok := p.q.NextInRun(span.First, span.End); ok; seq, ok = p.q.NextInRun(seq+1, span.End) {
			switch at := p.m.live[seq].expires; {
			case at == 0:
			case at <= now+ahead:
				p.q.SetExpiry(seq, at)
			case span.Due == 0 || at < span.Due:
				span.Due = at
			}
		}
		if span.Due != 0 {
			p.q.AddSpan(span)
		}
	}
	var got []uint64
	last := int64(0)
	for seq, e, ok := p.q.Expired(now); ok; seq, e, ok = p.q.Expired(now) {
		p.takeOne(t, seq, e)
		at := max(p.m.live[seq].expires, AtOnce+1)
		if n := len(got); at < last || at == last && seq < got[n-1] {
			t.Fatalf("message %d of %d comes behind those of %d: %v", seq, at, last, got)
		}
		got, last = append(got, seq), at
	}
	for seq, e, ok := p.q.ExpiredAtOnce(); ok; seq, e, ok = p.q.ExpiredAtOnce() {
		if at := p.m.live[seq].expires; at != AtOnce {
			t.Fatalf("message %d of %d has expired at once", seq, at)
		}
		p.takeOne(t, seq, e)
		got = append(got, seq)
	}
	if seq, _, ok := p.q.Expired(now); ok {
		t.Fatalf("message %d has expired, and was taken", seq)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("at %d %v have expired, want %v", now, got, want)
	}
	if at := p.q.NextExpiry(); at != 0 && at <= now {
		t.Fatalf("all is expired to %d, and the next time is %d", now, at)
	}
}

func (p *pair) ack(t *rapid.T) {
	first := rapid.Uint64Range(0, p.m.next+10).Draw(t, "first")
	last := first + rapid.SampledFrom([]uint64{0, 0, 0, 1, 5, 70, 500}).Draw(t, "more")
	if claimed := p.m.seqs("claimed"); len(claimed) > 0 && rapid.Bool().Draw(t, "claimed") {
		first = rapid.SampledFrom(claimed).Draw(t, "seq")
		last = first
	}
	var want, got []uint64
	for _, seq := range p.m.seqs("") {
		if seq >= first && seq <= last {
			want = append(want, seq)
		}
	}
	p.guess(want)
	ack, told := p.q.Ack, want
	if rapid.Bool().Draw(t, "quietly") {
		ack = p.q.AckQuietly
		told = slices.DeleteFunc(slices.Clone(want), func(seq uint64) bool { return p.m.live[seq].bare })
	}
	ack(first, last, func(seq uint64, e Entry) {
		got = append(got, seq)
		p.checkGone(t, seq, e)
	})
	if !slices.Equal(got, told) {
		t.Fatalf("ack of %d to %d removed %v, want %v", first, last, got, want)
	}
	for _, seq := range want {
		delete(p.m.live, seq)
	}
}

// checkGone compares what is told of a message that goes.
func (p *pair) checkGone(t *rapid.T, seq uint64, e Entry) {
	msg := p.m.live[seq]
	want := msg.entry
	if msg.segment != 0 {
		want.Addr = msg.segment
	}
	if e.Sealed() != (msg.segment != 0) || e.Addr != want.Addr || !p.guessed && (e.Len != want.Len || e.Body() != want.Body()) {
		t.Fatalf("message %d went as %+v, want %+v", seq, e, msg)
	}
}

func (p *pair) requeue(t *rapid.T) {
	for _, seq := range p.m.seqs("claimed") {
		if !rapid.Bool().Draw(t, "requeue") {
			continue
		}
		msg := p.m.live[seq]
		msg.state = "ready"
		msg.count++
		if count, _, ok := p.q.Requeue(seq); !ok || count != msg.count {
			t.Fatalf("requeue of %d: count %d, %v, want %d", seq, count, ok, msg.count)
		}
	}
	if _, _, ok := p.q.Requeue(p.m.next); ok {
		t.Fatal("a message that is not there was requeued")
	}
}

func (p *pair) setAside(t *rapid.T) {
	if claimed := p.m.seqs("claimed"); len(claimed) > 0 {
		seq := rapid.SampledFrom(claimed).Draw(t, "seq")
		p.q.SetAside(seq)
		p.m.live[seq].state = "aside"
	}
}

func (p *pair) purge(t *rapid.T) {
	ready := p.m.seqs("ready")
	want := append(ready, p.m.seqs("aside")...)
	slices.Sort(want)
	var gone, entries, sealed []uint64
	inRuns := map[uint64]Run{}
	for _, seq := range want {
		if msg := p.m.live[seq]; msg.segment != 0 {
			r := inRuns[msg.segment]
			r.Live++
			r.Bytes += int64(msg.entry.Len)
			r.Body += msg.entry.Body()
			inRuns[msg.segment] = r
			sealed = append(sealed, seq)
		}
	}
	last := -1
	r := p.q.Purge(func(a, b uint64) {
		if int(a) <= last || b < a {
			t.Fatalf("purge reports %d to %d behind %d", a, b, last)
		}
		last = int(b)
		for seq := a; seq <= b; seq++ {
			if p.m.live[seq] != nil {
				gone = append(gone, seq)
			}
		}
	})
	for _, run := range r.Runs {
		sum := inRuns[run.Segment]
		sum.Live -= run.Live
		sum.Bytes -= run.Bytes
		sum.Body -= run.Body
		inRuns[run.Segment] = sum
		if run.First >= run.End {
			t.Fatalf("purge took %+v", run)
		}
	}
	for segment, sum := range inRuns {
		if sum.Live != 0 || !p.guessed && sum != (Run{}) {
			t.Fatalf("purge of segment %d: wrong by %+v", segment, sum)
		}
	}
	r.Each(func(e Entry) { entries = append(entries, e.Addr/1000) })
	entries = append(entries, sealed...)
	slices.Sort(entries)
	if r.Ready != len(ready) || !slices.Equal(gone, want) || !slices.Equal(entries, want) {
		t.Fatalf("purge of %d: removed %d, ranges %v, entries %v, want %v", len(ready), r.Ready, gone, entries, want)
	}
	for _, seq := range want {
		delete(p.m.live, seq)
	}
}

func (p *pair) trim(t *rapid.T) {
	ready := p.m.seqs("ready")
	messages := rapid.Int64Range(-1, int64(len(ready))+1).Draw(t, "messages")
	bytes := rapid.SampledFrom([]int64{-1, -1, 0, 1000, 10000}).Draw(t, "bytes")
	left := p.q.ReadyBytes()
	var want, got, covered []uint64
	for messages >= 0 && int64(len(ready)-len(want)) > messages || bytes >= 0 && left > bytes {
		if len(want) == len(ready) {
			break // what is left is a guess
		}
		seq := ready[len(want)]
		if bytes >= 0 && p.m.live[seq].bare {
			break
		}
		left -= p.m.live[seq].entry.Body()
		want = append(want, seq)
	}
	p.guess(want)
	n := p.q.Trim(messages, bytes, func(seq uint64, e Entry) {
		got = append(got, seq)
		p.checkGone(t, seq, e)
	}, func(a, b uint64) {
		for seq := a; seq <= b; seq++ {
			if p.m.live[seq] != nil {
				covered = append(covered, seq)
			}
		}
	})
	if n != len(want) || !slices.Equal(got, want) || !slices.Equal(covered, want) {
		t.Fatalf("trim to %d messages and %d bytes removed %v, ranges %v, want %v", messages, bytes, got, covered, want)
	}
	for _, seq := range want {
		delete(p.m.live, seq)
	}
}

// measure tells the sizes of some messages in runs.
func (p *pair) measure(t *rapid.T) {
	from := rapid.Uint64Range(0, p.m.next).Draw(t, "from")
	for range rapid.IntRange(1, 50).Draw(t, "n") {
		seq, ok := p.q.NextSealed(from, p.m.next)
		if !ok {
			break
		}
		msg := p.m.live[seq]
		p.q.Measure(seq, msg.entry.Len, uint32(msg.entry.Body()))
		msg.bare = false
		from = seq + 1
	}
	p.q.Measure(from, 1, 1) // one of which the size is known, or nothing
	if msg := p.m.live[from]; msg != nil && msg.bare {
		msg.bare, p.guessed, p.uniform = false, true, false
		msg.entry = MakeEntry(msg.entry.Addr, 1, 1, Logged)
	}
}

func (p *pair) skip(t *rapid.T) {
	p.m.next += rapid.SampledFrom([]uint64{1, 10, 100, 1 << 16, 1 << 18}).Draw(t, "skip")
	p.q.Skip(p.m.next)
}

// restart writes the queue out in small pieces and reads it again.
func (p *pair) restart(t *rapid.T) {
	exact := rapid.Bool().Draw(t, "exact")
	limit := rapid.IntRange(1, 300).Draw(t, "limit")
	if rapid.Bool().Draw(t, "mark") {
		p.q.RaiseMark(p.q.Cursor() + 3)
	}
	w := snapshotWriter{q: p.q, exact: exact, limit: limit}
	for w.step() {
	}
	again := loadPieces(t, w.pieces, map[uint64]int{})
	mark := p.q.Mark()
	if exact {
		mark = p.q.past
	}
	p.clear(t)
	p.q = &again
	p.q.Recovered()
	p.m.next = max(p.m.next, mark)
	for seq, msg := range p.m.live {
		if !msg.entry.Logged() {
			delete(p.m.live, seq)
			continue
		}
		msg.delivered = msg.delivered || seq < mark
		msg.state = "ready"
		if _, ok := p.q.Get(seq); !ok && msg.segment != 0 {
			msg.bare = true
		}
	}
}

// clear empties the queue and checks what it says.
func (p *pair) clear(t *rapid.T) {
	tail, runs := len(p.m.live)-len(p.m.sealed()), uint64(len(p.m.sealed()))
	r := p.q.Clear()
	for _, run := range r.Runs {
		runs -= run.Live
	}
	r.Each(func(Entry) { tail-- })
	if tail != 0 || runs != 0 {
		t.Fatalf("%d entries and %d messages of runs are missing from what was removed", tail, runs)
	}
}

func TestQueueEqualsAPlainOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{q: new(Queue), m: modelQueue{live: map[uint64]*modelMessage{}}}
		p.uniform = rapid.Bool().Draw(t, "uniform")
		t.Repeat(map[string]func(*rapid.T){
			"":        p.check,
			"push":    p.push,
			"push2":   p.push,
			"claim":   p.claim,
			"claim2":  p.claim,
			"ack":     p.ack,
			"ack2":    p.ack,
			"requeue": p.requeue,
			"aside":   p.setAside,
			"purge":   p.purge,
			"trim":    p.trim,
			"measure": p.measure,
			"takeAt":  p.takeAt,
			"expire":  p.expire,
			"skip":    p.skip,
			"seal":    p.seal,
			"seal2":   p.seal,
			"merge":   p.merge,
			"restart": p.restart,
		})
	})
}

// TestAcksEqualAPlainSet drives the bitmap over several chunks, which the
// queue's model is too small for.
func TestAcksEqualAPlainSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a acks
		floor := rapid.Uint64Range(0, 3*chunkSize).Draw(t, "floor")
		base := floor
		set := make([]bool, 6*chunkSize) // from base on
		for range rapid.IntRange(1, 60).Draw(t, "ops") {
			from := floor + rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64Range(0, 4*chunkSize)).Draw(t, "from")
			to := from + rapid.SampledFrom([]uint64{1, 1, 1, 7, 64, 1000, chunkSize, chunkSize + 9}).Draw(t, "n")
			to = min(to, base+uint64(len(set)))
			if from >= to {
				continue
			}
			if from == floor {
				floor = a.rise(floor, to)
			} else {
				a.add(floor, from, to)
			}
			for i := from; i < to; i++ {
				set[i-base] = true
			}
			want := base
			for want-base < uint64(len(set)) && set[want-base] {
				want++
			}
			if floor != max(want, base) {
				t.Fatalf("floor %d, want %d", floor, want)
			}
			if len(a.chunks) > 0 && (a.chunks[0].n == 0 || a.chunks[len(a.chunks)-1].n == 0 || a.near != 0) {
				t.Fatalf("an empty chunk is kept: %d chunks, near %x", len(a.chunks), a.near)
			}
		}
		for i, gone := range set {
			if seq := base + uint64(i); seq > floor && a.has(floor, seq) != gone {
				t.Fatalf("number %d: %v, want %v (floor %d)", seq, !gone, gone, floor)
			}
		}
		a.reset()
		b, c := blockPool.Get().(*bitBlock), chunkPool.Get().(*chunkBits)
		if *b != (bitBlock{}) || *c != (chunkBits{}) {
			t.Fatal("what is in the pools is not zero")
		}
		blockPool.Put(b)
		chunkPool.Put(c)
	})
}
