package index

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// fataler is a *testing.T, or rapid's.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

var (
	_ fataler = (*testing.T)(nil)
	_ fataler = (*rapid.T)(nil)
)

// piece is a block of a snapshot.
type piece struct {
	kind    byte
	payload []byte
}

// snapshotWriter writes a queue as a store does: piece by piece, between which
// the queue may change.
type snapshotWriter struct {
	q       *Queue
	exact   bool
	limit   int // entries a piece, and acks' chunks
	resolve func(uint64) uint64

	pieces   []piece
	stage    int
	from, to uint64
	end      uint64
}

// step writes the next piece and tells whether there was one to write.
func (w *snapshotWriter) step() bool {
	var b []byte
	kind := byte(0)
	switch w.stage {
	case 0:
		kind, b = BlockState, w.q.AppendState(nil, 7, w.exact)
		w.from, w.end = w.q.Floor(), w.q.Next()
		w.stage = 1
		if w.from == w.end {
			w.stage = 2
		}
	case 1:
		kind = BlockEntries
		if b, w.from = w.q.AppendEntries(nil, w.from, w.end, w.limit, w.exact); w.from >= w.end {
			w.stage = 2
		}
	case 2:
		kind = BlockRuns
		b, w.from, w.to = w.q.AppendRuns(nil, w.end, w.resolve)
		if w.stage = 3; w.from >= w.to {
			w.stage = 5
		}
	case 3:
		kind, b = BlockTimes, w.q.AppendTimes(nil, w.end)
		w.stage = 4
	case 4:
		kind = BlockAcks
		if b, w.from = w.q.AppendAcks(nil, w.from, w.to, w.limit); w.from >= w.to {
			w.stage = 5
		}
	default:
		return false
	}
	if len(b) > 0 {
		w.pieces = append(w.pieces, piece{kind, b})
	}
	return true
}

// loadPieces builds the queue again. tally counts, by address, what is to be
// found outside of runs.
func loadPieces(t fataler, pieces []piece, tally map[uint64]int) Queue {
	t.Helper()
	var l Loader
	for _, p := range pieces {
		var err error
		switch p.kind {
		case BlockState:
			_, l, err = LoadState(p.payload)
		case BlockEntries:
			err = l.LoadEntries(p.payload, func(e Entry) { tally[e.Addr]++ })
		case BlockRuns:
			err = l.LoadRuns(p.payload)
		case BlockTimes:
			err = l.LoadTimes(p.payload)
		case BlockAcks:
			err = l.LoadAcks(p.payload)
		}
		if err != nil {
			t.Fatalf("block of kind %d: %v", p.kind, err)
		}
	}
	return l.Done(func(e Entry) {
		if tally[e.Addr]--; tally[e.Addr] == 0 {
			delete(tally, e.Addr)
		}
	})
}

// logRecord is a record of a store's log, as far as it concerns one queue.
type logRecord struct {
	kind        string // publish, ack, count, mark, sealed, merged
	first, last uint64
	entry       Entry  // publish
	expires     int64  // publish
	count       uint32 // count
	mark        uint64 // mark
	segment     uint64 // sealed, merged
	from, to    uint64 // sealed: addresses
	olds        []uint64
}

// world is a queue, the log that tells what happened to it, and what a store
// knows besides.
type world struct {
	t       fataler
	q       *Queue
	log     []logRecord
	aliases map[uint64]uint64 // of merged segments that are not relabelled yet

	lsn     uint64 // of the next message
	segment uint64 // the last used
	retired uint64 // addresses below were retired
	uniform bool
	marked  map[uint64]bool // messages whose record said so
	times   map[uint64]int64
	bad     map[uint64]bool // addresses that retirement does not find readable
}

func newWorld(t fataler, r *rand.Rand) *world {
	return &world{t: t, q: new(Queue), lsn: 1000, uniform: r.IntN(2) == 0,
		aliases: map[uint64]uint64{}, marked: map[uint64]bool{}, times: map[uint64]int64{}, bad: map[uint64]bool{}}
}

func (w *world) resolve(segment uint64) uint64 {
	for w.aliases[segment] != 0 {
		segment = w.aliases[segment]
	}
	return segment
}

func (w *world) claimedSeq(r *rand.Rand) (uint64, bool) {
	var list []uint64
	for seq := w.q.Floor(); seq < w.q.Next(); seq++ {
		if e := w.q.entry(seq); e != nil && e.state() == claimed {
			list = append(list, seq)
		}
	}
	if len(list) == 0 {
		return 0, false
	}
	return list[r.IntN(len(list))], true
}

func (w *world) record(l logRecord) { w.log = append(w.log, l) }

// steps are the things that happen under the queue's lock at a stroke.
var steps = []func(w *world, r *rand.Rand){
	(*world).publish,
	(*world).claim,
	func(w *world, r *rand.Rand) { // ack
		if seq, ok := w.claimedSeq(r); ok {
			w.ack(seq, seq)
		}
	},
	func(w *world, r *rand.Rand) { // ack a range, of whatever is there
		if next := w.q.Next(); next > 0 {
			first := next - 1 - r.Uint64N(min(next, 20))
			w.ack(first, first+r.Uint64N(4))
		}
	},
	func(w *world, r *rand.Rand) { // ack what is at the front
		w.ack(w.q.Floor(), w.q.Floor()+r.Uint64N(10))
	},
	func(w *world, r *rand.Rand) { // requeue
		if seq, ok := w.claimedSeq(r); ok {
			count, e, _ := w.q.Requeue(seq)
			if e.Logged() {
				w.record(logRecord{kind: "count", first: seq, count: count})
			}
		}
	},
	func(w *world, r *rand.Rand) { // unclaim
		if seq, ok := w.claimedSeq(r); ok {
			w.q.Untake(seq, seq < w.q.past)
		}
	},
	func(w *world, r *rand.Rand) { // set aside
		if seq, ok := w.claimedSeq(r); ok {
			w.q.SetAside(seq)
		}
	},
	func(w *world, r *rand.Rand) { // purge
		removed := w.q.Purge(func(first, last uint64) { w.record(logRecord{kind: "ack", first: first, last: last}) })
		removed.Each(func(Entry) {})
	},
	func(w *world, r *rand.Rand) { // trim
		w.q.Trim(int64(max(0, w.q.Ready()-1-r.IntN(3))), -1, func(uint64, Entry) {}, func(first, last uint64) {
			w.record(logRecord{kind: "ack", first: first, last: last})
		})
	},
	(*world).seal,
	(*world).merge,
	func(w *world, r *rand.Rand) { // relabel
		w.q.Relabel(w.resolve)
		clear(w.aliases)
	},
}

// script is how likely each step is: each script has a bent of its own, so that
// rare things come together.
type script [13]int

func newScript(r *rand.Rand) (s script) {
	for i := range s {
		s[i] = [...]int{0, 1, 1, 2, 4}[r.IntN(5)]
	}
	s[0]++
	return s
}

func (w *world) step(r *rand.Rand, s *script) {
	sum := 0
	for _, n := range s {
		sum += n
	}
	at := r.IntN(sum)
	for i, n := range s {
		if at -= n; at < 0 {
			steps[i](w, r)
			return
		}
	}
}

func (w *world) publish(r *rand.Rand) {
	for range 1 + r.IntN(6) {
		length := uint32(150)
		if !w.uniform {
			length = 100 + r.Uint32N(100)
		}
		if r.IntN(4) == 0 {
			w.q.Push(MakeEntry(1<<63|w.lsn, length, 60, 0))
			continue
		}
		e := MakeEntry(w.lsn, length, 60, Logged)
		if r.IntN(2) == 0 {
			e.Flags |= Marked
		}
		if r.IntN(8) == 0 {
			w.bad[w.lsn] = true
		}
		w.lsn += uint64(length)
		if r.IntN(8) == 0 {
			e.Addr |= 1 << 62 // a file of its own: it stays
		}
		seq, expires := w.q.Next(), int64(0)
		if r.IntN(3) == 0 {
			expires = 1 + r.Int64N(1000)
			w.q.PushExpiring(e, expires)
		} else {
			w.q.Push(e)
		}
		w.marked[seq], w.times[seq] = e.Marked(), expires
		w.record(logRecord{kind: "publish", first: seq, entry: e, expires: expires})
	}
}

// claim takes some messages, or moves the mark on so that the next can be.
func (w *world) claim(r *rand.Rand) {
	for range 1 + r.IntN(4) {
		q := w.q
		seq, e, ok := q.Peek()
		if !ok {
			return
		}
		if (e == nil || e.Logged() && !e.Marked()) && seq >= q.mark {
			mark := min(seq+1+r.Uint64N(3), q.next)
			q.RaiseMark(mark)
			w.record(logRecord{kind: "mark", mark: mark})
			return
		}
		if e != nil {
			q.Take(seq, e)
		} else {
			q.TakeSealed(seq, 150, 60)
		}
	}
}

func (w *world) ack(first, last uint64) {
	logged := false
	if w.q.Next() == 0 {
		return
	}
	last = min(last, w.q.Next()-1)
	w.q.Ack(first, last, func(_ uint64, e Entry) { logged = logged || e.Logged() })
	if logged {
		w.record(logRecord{kind: "ack", first: first, last: last})
	}
}

// seal retires a piece of the log, as a store does: in the order of the log,
// but for messages that it cannot read.
func (w *world) seal(r *rand.Rand) {
	if r.IntN(8) == 0 { // what it could not read is tried again
		w.retired = 0
		clear(w.bad)
	}
	from, to := w.retired, min(w.lsn, w.retired+1000+r.Uint64N(2000))
	if w.retired = to; r.IntN(3) > 0 || w.segment == 0 {
		w.segment++
	}
	first, end := uint64(0), uint64(0)
	flush := func() {
		if first == end {
			return
		}
		w.q.Seal(first, end, w.segment, func(a uint64) bool { return from <= a && a < to }, nil)
		w.record(logRecord{kind: "sealed", first: first, last: end, segment: w.segment, from: from, to: to})
		first = end
	}
	for seq := w.q.Floor(); seq < w.q.Next(); seq++ {
		e, ok := w.q.Get(seq)
		if !ok || e.Sealed() || e.Addr < from || e.Addr >= to {
			continue
		}
		if w.bad[e.Addr] {
			flush()
			first, end = seq+1, seq+1
			continue
		}
		if first == end {
			first = seq
		}
		end = seq + 1
	}
	flush()
}

func (w *world) merge(r *rand.Rand) {
	var olds []uint64
	w.q.Runs(func(run Run) bool {
		s := w.resolve(run.Segment)
		if r.IntN(2) == 0 && !slices.Contains(olds, s) {
			olds = append(olds, s)
		}
		return true
	})
	if len(olds) > 0 {
		w.segment++
		for _, s := range olds {
			w.aliases[s] = w.segment
		}
		w.record(logRecord{kind: "merged", segment: w.segment, olds: olds})
	}
}

// recover builds the queue from a snapshot and the log from a place on.
func (w *world) recover(pieces []piece, boundary int) *world {
	again := *w
	again.aliases = map[uint64]uint64{}
	tally := map[uint64]int{}
	count := func(e Entry, n int) {
		if e.Sealed() {
			return
		}
		if tally[e.Addr] += n; tally[e.Addr] == 0 {
			delete(tally, e.Addr)
		}
	}
	q := loadPieces(w.t, pieces, tally)
	checkQueue(w.t, &q)
	for _, l := range w.log[boundary:] {
		switch l.kind {
		case "publish":
			restored := false
			if l.expires != 0 {
				restored = q.RestoreExpiring(l.first, l.entry, l.expires)
			} else {
				restored = q.Restore(l.first, l.entry)
			}
			if restored {
				count(l.entry, 1)
			}
		case "ack":
			q.AckQuietly(l.first, l.last, func(_ uint64, e Entry) { count(e, -1) })
		case "count":
			q.SetCount(l.first, l.count)
		case "mark":
			q.RaiseMark(l.mark)
		case "sealed":
			q.Seal(l.first, l.last, l.segment, func(a uint64) bool { return l.from <= a && a < l.to }, func(_ uint64, e Entry) { count(e, -1) })
		case "merged":
			for _, s := range l.olds {
				again.aliases[s] = l.segment
			}
		}
		checkQueue(w.t, &q)
	}
	q.Relabel(again.resolve)
	clear(again.aliases)
	checkQueue(w.t, &q)
	q.Recovered()
	again.q = &q
	for seq := range q.Next() {
		if e := q.pages.get(seq); e != nil {
			count(*e, -1)
		}
	}
	if len(tally) != 0 {
		w.t.Fatalf("of what lies in the log, this is counted wrongly: %v", tally)
	}
	return &again
}

// equal checks that a recovered queue has what the log's truth has.
func (w *world) equal(again *world) {
	q, r := w.q, again.q
	alive := 0
	for seq := range max(q.Next(), r.Next()) {
		e := q.entry(seq)
		want := seq < q.Next() && !q.Gone(seq) && (e == nil || e.Logged())
		if got := seq < r.Next() && !r.Gone(seq); got != want {
			w.t.Fatalf("message %d: alive is %v, want %v", seq, got, want)
		}
		if !want {
			continue
		}
		alive++
		w.checkTime(q, seq)
		w.checkTime(r, seq)
		segment, in := q.InRun(seq)
		segment2, in2 := r.InRun(seq)
		if in != in2 || w.resolve(segment) != segment2 {
			w.t.Fatalf("message %d: in segment %d, %v; want %d, %v", seq, segment2, in2, w.resolve(segment), in)
		}
		if !in && r.pages.get(seq).Addr != e.Addr {
			w.t.Fatalf("message %d is at %d, want %d", seq, r.pages.get(seq).Addr, e.Addr)
		}
		if q.Count(seq) != r.Count(seq) {
			w.t.Fatalf("message %d: count %d, want %d", seq, r.Count(seq), q.Count(seq))
		}
		must := seq < q.past || e != nil && e.Flags&Delivered != 0
		may := must || seq < q.mark || w.marked[seq]
		e2 := r.entry(seq)
		got := seq < r.past || e2 != nil && e2.Flags&Delivered != 0
		if must && !got || got && !may {
			w.t.Fatalf("message %d: redelivered is %v; must be %v, may be %v", seq, got, must, may)
		}
	}
	if r.Ready() != alive || r.Unacked() != 0 || r.Aside() != 0 {
		w.t.Fatalf("%d ready, %d unacked, %d aside; want %d ready", r.Ready(), r.Unacked(), r.Aside(), alive)
	}
	if r.Mark() != q.Mark() {
		w.t.Fatalf("mark %d, want %d", r.Mark(), q.Mark())
	}
	if w.uniform {
		r.Runs(func(run Run) bool {
			if run.Bytes != int64(run.Live)*150 || run.Body != int64(run.Live)*60 {
				w.t.Fatalf("sizes of %+v", run)
			}
			return true
		})
	}
}

// checkTime checks that a message's time is not forgotten.
func (w *world) checkTime(q *Queue, seq uint64) {
	at := w.times[seq]
	known := q.exp.time(seq)
	if at == 0 || known == at || known != 0 && q.runOf(seq) != nil && known <= at {
		if at == 0 && known != 0 {
			w.t.Fatalf("message %d never expires, and is to at %d", seq, known)
		}
		if e := q.entry(seq); at > AtOnce && (e == nil || e.ready()) && q.NextExpiry() > at {
			w.t.Fatalf("message %d expires at %d, the queue says %d", seq, at, q.NextExpiry())
		}
		return
	}
	if q.exp != nil && q.runOf(seq) != nil {
		for _, s := range q.exp.spans {
			if s.First <= seq && seq < s.End && s.Due <= at {
				return
			}
		}
	}
	w.t.Fatalf("message %d expires at %d: it is forgotten (%d is known)", seq, at, known)
}

// checkQueue checks all that must hold of a queue at any moment.
func checkQueue(t fataler, q *Queue) {
	t.Helper()
	var ready, unacked int
	var bytes int64
	sums := map[uint64][2]uint64{} // by run: bare, held
	for seq := q.floor; seq < q.next; seq++ {
		tail := q.pages.get(seq)
		e := q.entry(seq)
		r := q.runOf(seq)
		if q.Gone(seq) {
			if e != nil {
				t.Fatalf("message %d is gone and has %+v", seq, e)
			}
			continue
		}
		if seq == q.floor && q.floor == q.next || e == nil && r == nil {
			t.Fatalf("message %d is nowhere (floor %d)", seq, q.floor)
		}
		if tail != nil && (tail.Sealed() || q.sealed != nil && q.sealed.held.get(seq) != nil) {
			t.Fatalf("message %d has two entries, or of the wrong kind: %+v", seq, tail)
		}
		if r != nil {
			s := sums[r.first]
			if e == nil {
				s[0]++
				if seq < q.cursor {
					t.Fatalf("message %d is below the cursor, %d, without entry", seq, q.cursor)
				}
			} else {
				s[1]++
			}
			sums[r.first] = s
		}
		switch {
		case e == nil:
			ready++
		case e.state() == claimed:
			unacked++
		case e.state() != aside:
			ready++
			bytes += e.Body()
		}
	}
	end := uint64(0)
	if q.sealed != nil {
		if len(q.sealed.runs) == 0 {
			t.Fatalf("no runs are kept")
		}
		held := uint64(0)
		for _, r := range q.sealed.runs {
			if s := sums[r.first]; r.first < end || r.end <= r.first || r.bare.n != s[0] || r.held.n != s[1] || s[0]+s[1] == 0 {
				t.Fatalf("run %+v behind %d has %v", r, end, s)
			}
			if r.bare.n == 0 && r.bare != (size{}) || r.bare.bytes < 0 || r.bare.body < 0 || r.bare.body > r.bare.bytes {
				t.Fatalf("run %+v", r)
			}
			end = r.end
			bytes += r.bare.body
			held += r.held.n
		}
		for seq, e := q.sealed.held.next(0, q.next); e != nil; seq, e = q.sealed.held.next(seq+1, q.next) {
			held--
		}
		if held != 0 {
			t.Fatalf("%d entries too few are held", int64(held))
		}
	}
	if ready != q.ready || unacked != q.unacked || bytes != q.readyBytes {
		t.Fatalf("%d ready with %d bytes, %d unacked; counted %d, %d, %d", q.ready, q.readyBytes, q.unacked, ready, bytes, unacked)
	}
}

// interleave runs a script: some steps, and then some more while a snapshot is
// written. choose says which of both goes on.
func interleave(t fataler, seed uint64, before, during int, choose func() bool) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, r)
	limit, back := 1+r.IntN(8), r.IntN(4)
	first, then := newScript(r), newScript(r)
	for range before {
		w.step(r, &first)
		checkQueue(t, w.q)
		if r.IntN(20) == 0 {
			w = w.restart(r)
		}
	}
	boundary := max(0, len(w.log)-back)
	s := snapshotWriter{q: w.q, limit: limit, resolve: w.resolve}
	writing := true
	for writing || during > 0 {
		if writing && (during == 0 || choose()) {
			writing = s.step()
			continue
		}
		w.step(r, &then)
		during--
	}
	w.equal(w.recover(s.pieces, boundary))
}

// restart is a crash right behind a checkpoint.
func (w *world) restart(r *rand.Rand) *world {
	s := snapshotWriter{q: w.q, limit: 1 + r.IntN(8), resolve: w.resolve}
	for s.step() {
	}
	again := w.recover(s.pieces, max(0, len(w.log)-r.IntN(4)))
	w.equal(again)
	return again
}

// TestSnapshotsAtEveryInterleaving takes each way in which a few steps and the
// pieces of a snapshot can follow each other.
func TestSnapshotsAtEveryInterleaving(t *testing.T) {
	const scripts, most = 30, 4000
	total := 0
	for seed := range uint64(scripts) {
		// A path says for each choice which way it went; the next one takes the
		// last choice that can go the other way.
		var path []bool
		for range most {
			n := 0
			interleave(named{t, "script", seed}, seed, 40, 5, func() bool {
				if n == len(path) {
					path = append(path, false)
				}
				n++
				return path[n-1]
			})
			total++
			path = path[:n]
			for len(path) > 0 && path[len(path)-1] {
				path = path[:len(path)-1]
			}
			if len(path) == 0 {
				break
			}
			path[len(path)-1] = true
		}
	}
	t.Logf("%d ways", total)
}

// TestSnapshotsAmongManySteps goes some ways of many longer scripts.
func TestSnapshotsAmongManySteps(t *testing.T) {
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 2))
		one := 1 + r.IntN(10)
		interleave(named{t, "seed", seed}, seed, 10+r.IntN(60), r.IntN(20), func() bool { return r.IntN(one+1) == 0 })
	}
}

// named says which run has failed.
type named struct {
	*testing.T
	what string
	seed uint64
}

func (n named) Fatalf(format string, args ...any) {
	n.Helper()
	n.T.Fatalf("%s %d: "+format, append([]any{n.what, n.seed}, args...)...)
}

// TestARunThatGoesWhileItIsWrittenStaysGone: what was acked before the snapshot
// is not replayed, so the acks block must have it even if the run is no more.
func TestARunThatGoesWhileItIsWrittenStaysGone(t *testing.T) {
	q := &Queue{}
	for i := range uint64(10) {
		q.Push(MakeEntry(i*100, 100, 50, Logged))
	}
	q.Seal(3, 8, 1, all, nil)
	q.Ack(5, 6, nil) // not replayed
	w := snapshotWriter{q: q, limit: 100}
	for w.stage < 3 {
		w.step()
	}
	q.Ack(3, 7, nil) // replayed
	if runs := runsOf(q); len(runs) != 0 {
		t.Fatalf("runs %+v", runs)
	}
	for w.step() {
	}
	again := loadPieces(t, w.pieces, map[uint64]int{})
	checkQueue(t, &again)
	again.Ack(3, 4, nil)
	again.Ack(7, 7, nil)
	if again.Ready() != 5 || again.Gone(2) || !again.Gone(5) || !again.Gone(6) {
		t.Errorf("%d messages are ready, want 5; runs %+v", again.Ready(), runsOf(&again))
	}
}

// FuzzInterleaving is the same with scripts of any length.
func FuzzInterleaving(f *testing.F) {
	f.Add(uint64(1), uint8(50), uint8(20), uint64(0x5555))
	f.Fuzz(func(t *testing.T, seed uint64, before, during uint8, choices uint64) {
		r := rand.New(rand.NewPCG(choices, seed))
		one := 1 + r.IntN(10)
		interleave(t, seed, int(before), int(during), func() bool { return r.IntN(one+1) == 0 })
	})
}
