package index

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sample is a queue with one of everything that a snapshot holds.
func sample() *Queue {
	q := &Queue{}
	q.Skip(10)
	for i := range 8 {
		flags := uint32(Logged)
		if i == 6 {
			flags |= Marked
		}
		if i == 3 {
			flags = 0 // transient
		}
		q.Push(MakeEntry(4096+uint64(i)*150, 130, 100, flags))
	}
	q.Push(MakeEntry(1<<40, 1000, 900, Logged))
	q.Ack(11, 11, nil)
	for range 4 {
		take(q)
	}
	q.Requeue(12)
	q.RaiseMark(15)
	return q
}

// sampleOfRuns is one with all that a snapshot says of runs.
func sampleOfRuns() *Queue {
	q := &Queue{}
	q.Skip(10)
	for i := range uint64(12) {
		flags := uint32(Logged)
		if i == 3 {
			flags = 0 // transient
		}
		q.Push(MakeEntry(4096+i*150, 130, 100, flags))
	}
	q.Ack(11, 11, nil)
	q.Seal(10, 16, 300, all, nil)
	q.Seal(18, 22, 299, all, nil)
	for range 4 {
		if seq, e, _ := q.Peek(); e == nil {
			q.TakeSealed(seq, 130, 100)
		} else {
			q.Take(seq, e)
		}
	}
	q.Requeue(12)
	q.RaiseMark(15)
	return q
}

// sampleOfTimes is one with all that a snapshot says of when messages expire.
func sampleOfTimes() *Queue {
	q := &Queue{}
	for i := range uint64(12) {
		e := MakeEntry(4096+i*150, 130, 100, Logged)
		switch i {
		case 2, 6, 9:
			q.PushExpiring(e, 1000+int64(i))
		case 3, 7, 10:
			q.PushExpiring(e, 100+int64(i))
		case 11:
			q.PushExpiring(e, AtOnce)
		default:
			q.Push(e)
		}
	}
	q.Seal(0, 1, 1, all, nil)
	q.Seal(1, 4, 2, all, nil)
	q.Seal(5, 7, 3, all, nil)
	return q
}

// snapshot writes a checkpoint file with one queue.
func snapshot(q *Queue, exact bool) []byte {
	f := Header{Number: 3, Replay: 1 << 33, Catalog: 2, NextQueue: 8, NextSegment: 301}.Append(nil)
	w := snapshotWriter{q: q, exact: exact, limit: 1000}
	for w.step() {
	}
	for _, p := range w.pieces {
		at := len(f)
		f = append(BeginBlock(f, p.kind), p.payload...)
		EndBlock(f, at)
	}
	return AppendEnd(f, uint64(len(w.pieces)))
}

func TestSnapshotFormatIsWrittenDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		q     *Queue
		exact bool
		want  string
	}{
		{"as the log promised", sample(), false, goldenPromised},
		{"exact", sample(), true, goldenExact},
		{"runs as the log promised", sampleOfRuns(), false, goldenRunsPromised},
		{"runs exact", sampleOfRuns(), true, goldenRunsExact},
		{"times", sampleOfTimes(), false, goldenTimes},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := snapshot(c.q, c.exact); !bytes.Equal(got, want) {
				t.Errorf("the format changed; old data could not be read. Got\n%s", hex.Dump(got))
			}
		})
	}
}

const goldenRunsPromised = `
	894c5653 4e41500a 03000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 2d010000 00000000
	00000000 0e47dd23
	7e8f88be 04000000 01 07 0a 0c 0f
	be61f4af 0d000000 02 0a
	  7d 02 8201 1e 01
	  03 03 884e
	  02 28
	d7573452 0f000000 04 0a 06 d804 04 8804 78
	  02 04 01 04 8804 78
	b46fd9bc 07000000 05 0a 00 02 0b 00 01 00
	50923b1e 08000000 00 0400000000000000
`

const goldenRunsExact = `
	894c5653 4e41500a 03000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 2d010000 00000000
	00000000 0e47dd23
	5ab39be0 04000000 01 07 0a 0c 00
	b5d24e28 10000000 02 0a
	  5c 8201 1e
	  71 01 01
	  51 01
	  03 01 884e
	  02 28
	d7573452 0f000000 04 0a 06 d804 04 8804 78
	  02 04 01 04 8804 78
	b46fd9bc 07000000 05 0a 00 02 0b 00 01 00
	50923b1e 08000000 00 0400000000000000
`

const goldenPromised = `
	894c5653 4e41500a 03000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 2d010000 00000000
	00000000 0e47dd23
	d576a0e3 04000000 01 07 0a 09 0f
	c341da68 1c000000 02 0a
	  1e 8040 8201 1e
	  33 01 d402 01
	  11 01
	  02 28
	  10
	  00
	  0e c8adffffff3f e807 64
	73ea5ead 08000000 00 0200000000000000
`

const goldenExact = `
	894c5653 4e41500a 03000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 2d010000 00000000
	00000000 0e47dd23
	f14ab3bd 04000000 01 07 0a 09 00
	d099f371 1c000000 02 0a
	  1e 8040 8201 1e
	  33 01 d402 01
	  11 01
	  02 28
	  00
	  00
	  0e c8adffffff3f e807 64
	73ea5ead 08000000 00 0200000000000000
`

const goldenTimes = `
	894c5653 4e41500a 03000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 2d010000 00000000
	00000000 0e47dd23
	92dfa597 04000000 01 07 00 0c 00
	d5e0a42e 19000000 02 00
	  0f 04 b049 8201 1e
	  83 02 8005 d601
	  02 28
	  80 8c0e
	  80 850e
	  80 d901
	005ce0b7 15000000 04 00 01 02 01 8201 1e
	  00 03 02 03 8603 5a
	  01 02 02 02 8402 3c
	cb2369ef 08000000 06 01 03 ce01
	  01 02 8e0e
	38ee32e5 01000000 05 00
	77ef0757 08000000 00 0500000000000000
`

// load reads a snapshot's queues as a store would.
func load(b []byte) (Header, map[uint32]*Queue, error) {
	queues := map[uint32]*Queue{}
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return Header{}, nil, err
	}
	var l Loader
	done := func(id uint32) {
		if l.q != nil {
			q := l.Done(nil)
			queues[id] = &q
		}
	}
	var id uint32
	for {
		kind, p, err := r.Next()
		switch {
		case err == io.EOF:
			done(id)
			return r.Header, queues, nil
		case err != nil:
			return Header{}, nil, err
		case kind == BlockState:
			done(id)
			id, l, err = LoadState(p)
		case kind == BlockEntries && l.q != nil:
			err = l.LoadEntries(p, nil)
		case kind == BlockRuns && l.q != nil:
			err = l.LoadRuns(p)
		case kind == BlockTimes && l.q != nil:
			err = l.LoadTimes(p)
		case kind == BlockAcks && l.q != nil:
			err = l.LoadAcks(p)
		default:
			err = errors.New("block is not expected here")
		}
		if err != nil {
			return Header{}, nil, err
		}
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	h, queues, err := load(snapshot(sample(), false))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{Number: 3, Replay: 1 << 33, Catalog: 2, NextQueue: 8, NextSegment: 301}); h != want {
		t.Errorf("header %+v, want %+v", h, want)
	}
	q := queues[7]
	q.Recovered()
	if q.Ready() != 7 || q.Next() != 19 || q.Floor() != 10 || q.Mark() != 15 {
		t.Errorf("%d ready, next %d, floor %d, mark %d", q.Ready(), q.Next(), q.Floor(), q.Mark())
	}
	type item struct {
		seq         uint64
		redelivered bool
		count       uint32
	}
	var got []item
	for seq, e, ok := q.Peek(); ok; seq, e, ok = q.Peek() {
		redelivered, count := q.Take(seq, e)
		got = append(got, item{seq, redelivered, count})
	}
	want := []item{{10, true, 0}, {12, true, 1}, {14, true, 0}, {15, false, 0}, {16, true, 0}, {17, false, 0}, {18, false, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEachFlippedByteOfASnapshotIsFound(t *testing.T) {
	for _, q := range []*Queue{sample(), sampleOfRuns()} {
		flipEachByte(t, snapshot(q, false))
	}
}

func flipEachByte(t *testing.T, b []byte) {
	for i := range b {
		for _, x := range []byte{1, 0x80, 0xff} {
			bad := slices.Clone(b)
			bad[i] ^= x
			if _, _, err := load(bad); err == nil {
				t.Errorf("byte %d xor %#x: no error", i, x)
			}
		}
	}
	for n := range b {
		if _, _, err := load(b[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if _, _, err := load(append(b, 0)); err == nil {
		t.Error("a byte more: no error")
	}
}

func TestOtherFormatsAreNotTakenForDamage(t *testing.T) {
	for _, version := range []uint32{1, snapshotVersion + 1} {
		b := Header{Number: 1}.Append(nil)
		le.PutUint32(b[8:], version)
		le.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
		if _, _, err := load(b); !errors.Is(err, ErrVersion) {
			t.Errorf("version %d: %v, want %v", version, err, ErrVersion)
		}
	}
}

func TestSteadyStreamTakesAByteAMessage(t *testing.T) {
	var q Queue
	const n = 10_000
	for i := range uint64(n) {
		q.Push(MakeEntry(1<<30+i*144, 128, 100, Logged))
	}
	b, next := q.AppendEntries(nil, 0, q.Next(), n, false)
	if next != n || len(b) > n+16 {
		t.Errorf("%d bytes up to %d, want a byte a message", len(b), next)
	}
}

func TestImpossibleBlocksAreRefused(t *testing.T) {
	u := func(v ...uint64) []byte {
		var b []byte
		for _, x := range v {
			for ; x >= 0x80; x >>= 7 {
				b = append(b, byte(x)|0x80)
			}
			b = append(b, byte(x))
		}
		return b
	}
	for name, p := range map[string][]byte{
		"empty":            nil,
		"short":            u(7, 0, 5),
		"long":             u(7, 0, 5, 0, 0),
		"queue id":         u(1<<32, 0, 5, 0),
		"span":             u(7, 0, maxSpan+1, 0),
		"number overflows": u(7, 1<<64-1, 5, 0),
		"mark":             u(7, 0, 5, 1<<60),
	} {
		if _, _, err := LoadState(p); err == nil {
			t.Errorf("state with %s: no error", name)
		}
	}
	for name, p := range map[string][]byte{
		"short":              {0x80},
		"before":             u(9),
		"behind":             u(16),
		"tag":                append(u(10), 0x80),
		"gap":                append(u(10), tagGap, 5),
		"gap without number": append(u(10), tagGap),
		"gap that overflows": append(append(u(10), tagGap), u(1<<64-1)...),
		"length":             append(append(u(10), tagLen), u(1<<32)...),
		"overhead":           append(append(u(10), tagLen|tagOverhead), u(100, 101)...),
		"huge overhead":      append(append(u(10), tagOverhead), u(1<<24)...),
		"too many":           append(u(14), 0, 0),
		"address in a run":   append(u(10), tagSealed|tagAddr, 2),
	} {
		_, l, err := LoadState(u(7, 10, 5, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.LoadEntries(p, nil); err == nil {
			t.Errorf("entries with %s: no error", name)
		}
	}
}

func TestImpossibleRunsAreRefused(t *testing.T) {
	u := func(v ...uint64) (b []byte) {
		for _, x := range v {
			b = binary.AppendUvarint(b, x)
		}
		return b
	}
	load := func(runs, acks []byte) error {
		_, l, err := LoadState(u(7, 10, 90, 0))
		if err != nil {
			t.Fatal(err)
		}
		if runs != nil {
			if err := l.LoadRuns(runs); err != nil {
				return err
			}
		}
		return l.LoadAcks(acks)
	}
	good := u(10, 90, 2, 90, 900, 90)
	for name, runs := range map[string][]byte{
		"none":            nil,
		"short":           good[:4],
		"empty":           u(10, 0, 2, 0, 0, 0),
		"past the end":    u(10, 91, 2, 90, 900, 90),
		"overflow":        u(1<<64-1, 90, 2, 90, 900, 90),
		"wide overflow":   u(10, 1<<64-1, 2, 90, 900, 90),
		"overlap":         append(u(10, 90, 2, 90, 900, 90), u(1<<64-50, 1, 2, 1, 10, 1)...),
		"no message":      u(10, 90, 2, 0, 900, 90),
		"too many bytes":  u(10, 90, 2, 90, maxBytes+1, 90),
		"more than bytes": u(10, 90, 2, 90, 900, 901),
	} {
		if load(runs, u(10)) == nil {
			t.Errorf("runs with %s: no error", name)
		}
	}
	for name, acks := range map[string][]byte{
		"empty":          nil,
		"no number":      u(10, 0),
		"chunk":          u(10, 1, 1, 0, 5),
		"chunk overflow": u(10, 1<<64-1, 1, 0, 5),
		"order":          u(10, 0, 1, 0, 5, 0, 1, 0, 5),
		"range":          u(10, 0, 1, 65530, 6),
		"wide range":     u(10, 0, 1, 0, 1<<64-1),
		"short ranges":   u(10, 0, 2, 0, 5),
		"short bits":     append(u(10, 0, 0), make([]byte, 100)...),
	} {
		if load(good, acks) == nil {
			t.Errorf("acks with %s: no error", name)
		}
	}
	if err := load(good, u(200, 0, 1, 20, 5)); err != nil {
		t.Error(err)
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add(snapshot(sample(), false))
	f.Add(snapshot(sampleOfRuns(), false))
	f.Add(snapshot(new(Queue), true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, queues, err := load(b); err == nil {
			for _, q := range queues {
				q.Recovered()
			}
		}
	})
}

// FuzzBlocks is behind the checksums: whatever is accepted must be a queue that
// works and that is written again as it was read.
func FuzzBlocks(f *testing.F) {
	for _, q := range []*Queue{sample(), sampleOfRuns(), sampleOfTimes()} {
		var p [7][]byte
		w := snapshotWriter{q: q, limit: 1000}
		for w.step() {
		}
		for _, piece := range w.pieces {
			p[piece.kind] = piece.payload
		}
		f.Add(p[BlockState], p[BlockEntries], p[BlockRuns], p[BlockTimes], p[BlockAcks])
	}
	f.Add([]byte{1, 0, 0xff, 0xff, 3, 0}, []byte{0, tagGap | tagLen, 0xff, 0xff, 2, 9}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, state, entries, runs, times, acks []byte) {
		_, l, err := LoadState(state)
		if err != nil || l.q.next-l.q.floor > 1<<36 || l.LoadEntries(entries, nil) != nil {
			return // a gap of so many is what a real queue may have, and would take long to write
		}
		if len(runs) > 0 && (l.LoadRuns(runs) != nil || len(times) > 0 && l.LoadTimes(times) != nil || l.LoadAcks(acks) != nil) {
			return
		}
		q := l.Done(nil)
		write := func(q *Queue) []piece {
			w := snapshotWriter{q: q, limit: 1 << 30}
			for w.step() {
			}
			return w.pieces
		}
		again := write(&q)
		q2 := loadPieces(t, again, map[uint64]int{})
		if q2.Ready() != q.Ready() || q2.Next() != q.Next() || q2.Floor() != q.Floor() || q2.ReadyBytes() != q.ReadyBytes() {
			t.Fatalf("read again: %d ready, next %d, floor %d; was %d, %d, %d", q2.Ready(), q2.Next(), q2.Floor(), q.Ready(), q.Next(), q.Floor())
		}
		if b := write(&q2); !slices.EqualFunc(b, again, func(a, b piece) bool { return a.kind == b.kind && bytes.Equal(a.payload, b.payload) }) {
			t.Fatalf("it is written differently the second time: %x, then %x", again, b)
		}
		q.Recovered()
		if q.Next()-q.Floor() < 1<<12 {
			checkQueue(t, &q)
		}
		for range 1 << 12 {
			seq, e, ok := q.Peek()
			if !ok {
				break
			}
			if e != nil {
				q.Take(seq, e)
			} else {
				q.TakeSealed(seq, 100, 50)
			}
			if rand.N(2) == 0 {
				q.Ack(seq, seq, nil)
			}
		}
		purged := q.Purge(func(uint64, uint64) {})
		purged.Each(func(Entry) {})
		q.Ack(0, q.Next(), nil)
		if q.Len() != 0 || q.Floor() != q.Next() || q.ReadyBytes() != 0 {
			t.Fatalf("%d left with %d bytes, floor %d of %d", q.Len(), q.ReadyBytes(), q.Floor(), q.Next())
		}
	})
}
