package index

import (
	"bytes"
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

// snapshot writes a checkpoint file with one queue.
func snapshot(q *Queue, exact bool) []byte {
	f := Header{Number: 3, Replay: 1 << 33, Catalog: 2, NextQueue: 8}.Append(nil)
	at := len(f)
	f = q.AppendState(BeginBlock(f, BlockState), 7, exact)
	EndBlock(f, at)
	at = len(f)
	f, _ = q.AppendEntries(BeginBlock(f, BlockEntries), q.Floor(), q.Next(), 1000, exact)
	EndBlock(f, at)
	return AppendEnd(f, 2)
}

func TestSnapshotFormatIsWrittenDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		exact bool
		want  string
	}{
		{"as the log promised", false, goldenPromised},
		{"exact", true, goldenExact},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := snapshot(sample(), c.exact); !bytes.Equal(got, want) {
				t.Errorf("the format changed; old data could not be read. Got\n%s", hex.Dump(got))
			}
		})
	}
}

const goldenPromised = `
	894c5653 4e41500a 02000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 00000000 00000000
	00000000 57777a9c
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
	894c5653 4e41500a 02000000 08000000
	03000000 00000000 00000000 02000000
	02000000 00000000 00000000 00000000
	00000000 57777a9c
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
			if id, l, err = LoadState(p); err != nil {
				return Header{}, nil, err
			}
		case kind == BlockEntries && l.q != nil:
			if err := l.LoadEntries(p, nil); err != nil {
				return Header{}, nil, err
			}
		default:
			return Header{}, nil, errors.New("block is not expected here")
		}
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	h, queues, err := load(snapshot(sample(), false))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{Number: 3, Replay: 1 << 33, Catalog: 2, NextQueue: 8}); h != want {
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
	b := snapshot(sample(), false)
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

func TestNewerFormatIsNotTakenForDamage(t *testing.T) {
	b := Header{Number: 1}.Append(nil)
	le.PutUint32(b[8:], snapshotVersion+1)
	le.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	if _, _, err := load(b); !errors.Is(err, ErrVersion) {
		t.Errorf("%v, want %v", err, ErrVersion)
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

func FuzzSnapshot(f *testing.F) {
	f.Add(snapshot(sample(), false))
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
	q := sample()
	entries, _ := q.AppendEntries(nil, q.Floor(), q.Next(), 1000, false)
	f.Add(q.AppendState(nil, 7, false), entries)
	f.Add([]byte{1, 0, 0xff, 0xff, 3, 0}, []byte{0, tagGap | tagLen, 0xff, 0xff, 2, 9})
	f.Fuzz(func(t *testing.T, state, entries []byte) {
		id, l, err := LoadState(state)
		if err != nil || l.LoadEntries(entries, nil) != nil {
			return
		}
		q := l.Done(nil)
		again, _ := q.AppendEntries(nil, q.Floor(), q.Next(), 1<<30, false)
		id2, l2, err := LoadState(q.AppendState(nil, id, false))
		if err != nil || id2 != id {
			t.Fatalf("state of %d: %v", id, err)
		}
		if err := l2.LoadEntries(again, nil); err != nil {
			t.Fatalf("entries: %v", err)
		}
		q2 := l2.Done(nil)
		if q2.Ready() != q.Ready() || q2.Next() != q.Next() || q2.Floor() != q.Floor() || q2.ReadyBytes() != q.ReadyBytes() {
			t.Fatalf("read again: %d ready, next %d, floor %d; was %d, %d, %d", q2.Ready(), q2.Next(), q2.Floor(), q.Ready(), q.Next(), q.Floor())
		}
		if b, _ := q2.AppendEntries(nil, q2.Floor(), q2.Next(), 1<<30, false); !bytes.Equal(b, again) {
			t.Fatal("entries are written differently the second time")
		}
		q.Recovered()
		for seq, e, ok := q.Peek(); ok; seq, e, ok = q.Peek() {
			q.Take(seq, e)
			if rand.N(2) == 0 {
				q.Ack(seq, seq, nil)
			}
		}
		q.Ack(0, q.Next(), nil)
		if q.Len() != 0 || q.Floor() != q.Next() {
			t.Fatalf("%d left, floor %d of %d", q.Len(), q.Floor(), q.Next())
		}
	})
}
