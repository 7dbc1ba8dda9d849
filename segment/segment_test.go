package segment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

const testDir = "/segments"

// memFS is a memory file system with the directory.
func memFS(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll(testDir))
	m.SyncAll()
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// item is a record as a test has it. Items with a share > 0 refer to the payload
// that is shared under this number.
type item struct {
	queue   uint32
	seq     uint64
	payload string
	share   int
}

func byKey(a, b item) int { return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.seq, b.seq)) }

// add gives items to a builder.
func add(b *Builder, items []item) error {
	refs := map[int]Ref{}
	for _, it := range items {
		if it.share == 0 {
			if err := b.Add(it.queue, it.seq, []byte(it.payload)); err != nil {
				return err
			}
			continue
		}
		r, ok := refs[it.share]
		if !ok {
			var err error
			if r, err = b.AddShared([]byte(it.payload)); err != nil {
				return err
			}
			refs[it.share] = r
		}
		if err := b.AddRef(it.queue, it.seq, r); err != nil {
			return err
		}
	}
	return nil
}

// build writes a segment.
func build(t testing.TB, fsys vfs.FS, number uint64, o Options, items []item) Info {
	t.Helper()
	b, err := Create(fsys, testDir, number, o)
	must(t, err)
	must(t, add(b, items))
	info, err := b.Finish()
	must(t, err)
	return info
}

// scan reads all of a segment.
func scan(t testing.TB, r *Reader) []item {
	t.Helper()
	var got []item
	must(t, r.Scan(func(queue uint32, seq uint64, payload []byte) error {
		got = append(got, item{queue: queue, seq: seq, payload: string(payload)})
		return nil
	}, nil))
	return got
}

// plain is what Scan should give for items.
func plain(items []item) []item {
	items = slices.Clone(items)
	for i := range items {
		items[i].share = 0
	}
	slices.SortFunc(items, byKey)
	return items
}

func same(t testing.TB, got, want []item) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d records, and the next should be %d/%d", len(got), want[i].queue, want[i].seq)
		case i >= len(want):
			t.Fatalf("%d records, and %d/%d beyond", len(want), got[i].queue, got[i].seq)
		case got[i] != want[i]:
			t.Fatalf("record %d is %d/%d %.40q, want %d/%d %.40q", i, got[i].queue, got[i].seq, got[i].payload,
				want[i].queue, want[i].seq, want[i].payload)
		}
	}
}

// half keeps the records with even seqs.
func half(_ uint32, seqs []uint64, _ int, live []bool) {
	for i, seq := range seqs {
		live[i] = seq%2 == 0
	}
}

// text is n bytes that compress, about as JSON does.
func text(rng *rand.Rand, n int) string {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"id":%d,"name":"user-%d","active":true},`, rng.Uint32(), rng.IntN(1000))
	}
	return b.String()[:n]
}

// noise is n bytes that do not compress.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// sample is records of many queues: some with much, many with little, gaps,
// empty and long payloads, and shared ones.
func sample(seed uint64, n int) []item {
	rng := rand.New(rand.NewPCG(seed, 1))
	next := map[uint32]uint64{}
	var items []item
	for i := range n {
		it := item{queue: uint32(rng.IntN(3))}
		if rng.IntN(4) == 0 {
			it.queue = uint32(100 + rng.IntN(200))
		}
		switch rng.IntN(20) {
		case 0:
		case 1:
			it.payload = noise(rng, rng.IntN(2000))
		case 2:
			it.payload = text(rng, rng.IntN(20000))
		case 3:
			it.payload, it.share = text(rng, 4096+rng.IntN(4096)), i+1
		default:
			it.payload = text(rng, rng.IntN(300))
		}
		for range 1 + min(it.share, 1)*3 {
			seq := next[it.queue]
			if rng.IntN(10) == 0 {
				seq += uint64(rng.IntN(1000))
			}
			it.seq = seq
			next[it.queue] = seq + 1
			items = append(items, it)
			it.queue++
		}
	}
	return items
}

// resum writes the checksum of p.
func resum(p, sum []byte) { le.PutUint32(sum, crc32.Checksum(p, castagnoli)) }

// salvage reads all that can be read of a segment and tells which records are
// said to be damaged. It fails where a read gives what was never written.
func salvage(r *Reader, want []item) (got []item, lost []*BlockError, err error) {
	err = r.Scan(func(queue uint32, seq uint64, payload []byte) error {
		it := item{queue: queue, seq: seq, payload: string(payload)}
		i, ok := slices.BinarySearchFunc(want, it, byKey)
		if !ok || want[i] != it {
			return fmt.Errorf("%d/%d %.40q was never written", queue, seq, payload)
		}
		got = append(got, it)
		return nil
	}, func(e *BlockError) error {
		lost = append(lost, e)
		return nil
	})
	return got, lost, err
}

// damagedItems make a small file with all kinds of blocks, some compressed.
func damagedItems() (Options, []item) {
	items := goldenItems()
	for i := range 40 {
		items = append(items, item{queue: 20, seq: uint64(i), payload: "again and again and again and again"})
	}
	for i := range 10 {
		items = append(items, item{queue: uint32(30 + i), seq: uint64(i), payload: "a little"})
	}
	return Options{BlockSize: 96 * 4}, items
}

// isDamageError tells whether an error is all about damage.
func isDamageError(err error) bool {
	var corrupt *CorruptError
	var block *BlockError
	return errors.As(err, &corrupt) || errors.As(err, &block)
}

// rewrite changes a finished segment.
func rewrite(t *testing.T, m *vfs.Mem, number uint64, fn func(data []byte) []byte) {
	t.Helper()
	must(t, m.Corrupt(filepath.Join(testDir, Name(number)), fn))
}

func TestWhatWasAddedIsRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  Options
		items []item
	}{
		{"nothing", Options{}, nil},
		{"one empty record", Options{}, []item{{queue: 0, seq: 0}}},
		{"the largest numbers", Options{}, []item{
			{queue: math.MaxUint32, seq: 0, payload: "a"}, {queue: math.MaxUint32, seq: math.MaxUint64 - 1, payload: "b"},
			{queue: math.MaxUint32, seq: math.MaxUint64, payload: "c"}}},
		{"a block each", Options{BlockSize: 1}, sample(1, 100)},
		{"small blocks", Options{BlockSize: 1000}, sample(2, 1000)},
		{"little memory", Options{BlockSize: 1000, Memory: 4000}, sample(3, 1000)},
		{"as it is", Options{}, sample(4, 5000)},
		{"better", Options{Level: Better, Memory: 256 << 10}, sample(5, 5000)},
		{"a long record", Options{}, []item{{queue: 1, seq: 1, payload: text(rand.New(rand.NewPCG(6, 6)), 3<<20)},
			{queue: 1, seq: 2, payload: "x"}, {queue: 1, seq: 3, payload: noise(rand.New(rand.NewPCG(6, 6)), 3<<20)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := memFS(t)
			info := build(t, m, 7, c.opts, c.items)
			r := Open(m, testDir, 7, NewCache(1<<20))
			want := plain(c.items)
			same(t, scan(t, r), want)
			if info.Records != len(want) || info.Number != 7 {
				t.Errorf("%+v for %d records", info, len(want))
			}
			if got, err := r.Info(); err != nil || got != info {
				t.Errorf("the reader says %+v, %v; the builder %+v", got, err, info)
			}
			if got, err := r.Verify(); err != nil || got != info {
				t.Errorf("Verify: %+v, %v", got, err)
			}
			must(t, r.Damage())
			must(t, r.Close())
		})
	}
}

func TestCursorsFindTheirWay(t *testing.T) {
	m := memFS(t)
	items := sample(1, 4000)
	build(t, m, 1, Options{BlockSize: 4000, Memory: 64 << 10}, items)
	want := plain(items)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, bytes := range []int64{0, 20 << 10, 1 << 20} {
		r := Open(m, testDir, 1, NewCache(bytes))
		var c Cursor
		var last *Block
		var kept string
		for range 5000 {
			// A place in order, a little ahead, or anywhere.
			i := rng.IntN(len(want))
			queue, seq := want[i].queue, want[i].seq+uint64(rng.IntN(3))
			if c.Payload() != nil && rng.IntN(4) > 0 {
				queue, seq = c.queue, c.Seq()+uint64(rng.IntN(3))
			}
			i, _ = slices.BinarySearchFunc(want, item{queue: queue, seq: seq}, byKey)
			err := r.Find(&c, queue, seq, true)
			if i == len(want) || want[i].queue != queue {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("behind the end: %v", err)
				}
				continue
			}
			must(t, err)
			for {
				if c.Seq() != want[i].seq || string(c.Payload()) != want[i].payload {
					t.Fatalf("at %d, want %d", c.Seq(), want[i].seq)
				}
				if rng.IntN(3) > 0 || !c.Next() {
					break
				}
				i++
			}
			if last != nil {
				last.Release()
				last = nil
			}
			if rng.IntN(3) == 0 {
				last, kept = c.Retain(), string(c.Payload())
				p := c.Payload()
				must(t, r.Find(&c, want[0].queue, 0, true))
				if string(p) != kept {
					t.Fatal("a retained payload changed")
				}
			}
		}
		if last != nil {
			last.Release()
		}
		c.Reset()
		must(t, r.Close())
		if s := r.cache.Stats(); s.Blocks != 0 || s.Bytes != 0 || r.cache.ahead != 0 {
			t.Errorf("left in the cache: %+v, %d", s, r.cache.ahead)
		}
		if err := r.Find(&c, 0, 0, true); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}
