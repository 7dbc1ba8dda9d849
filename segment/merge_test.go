//go:build !race

package segment

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scattered is a model of several segments: which records each holds, and which
// of them are alive there.
type scattered struct {
	items [][]item
	live  map[item]int // alive in which
}

func (s *scattered) keep(queue uint32, seqs []uint64, input int, live []bool) {
	for i, seq := range seqs {
		in, ok := s.live[item{queue: queue, seq: seq}]
		live[i] = ok && in == input
	}
}

func (s *scattered) any(queue uint32, first, last uint64, input int) bool {
	for k, in := range s.live {
		if in == input && k.queue == queue && first <= k.seq && k.seq <= last {
			return true
		}
	}
	return false
}

// want is what a merge should leave.
func (s *scattered) want() []item {
	var want []item
	for input, items := range s.items {
		for _, it := range items {
			if in, ok := s.live[item{queue: it.queue, seq: it.seq}]; ok && in == input {
				want = append(want, it)
			}
		}
	}
	return plain(want)
}

// draw makes segments whose queues overlap in any way, even with the same record
// in several of them: it is then alive in one at most.
func draw(t *rapid.T) *scattered {
	s := &scattered{live: map[item]int{}}
	alive := rapid.SampledFrom([]int{0, 1, 50, 99, 100}).Draw(t, "percent alive")
	for input := range rapid.IntRange(1, 4).Draw(t, "segments") {
		items := slices.Clone(sample(rapid.Uint64Range(0, 50).Draw(t, "seed"), rapid.IntRange(0, 200).Draw(t, "records")))
		shift := rapid.Uint64Range(0, 3).Draw(t, "shift") * 20
		stride := rapid.Uint64Range(1, 3).Draw(t, "stride")
		for i := range items {
			items[i].seq = items[i].seq*stride + shift
			if rapid.IntRange(1, 100).Draw(t, "alive") <= alive {
				s.live[item{queue: items[i].queue, seq: items[i].seq}] = input
			}
		}
		s.items = append(s.items, items)
	}
	return s
}

func TestMergeKeepsWhatIsAlive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt)
		o := Options{BlockSize: rapid.SampledFrom([]int{1, 500, 64 << 10}).Draw(rt, "block size"), Level: Level(rapid.IntRange(0, 1).Draw(rt, "level"))}
		m := memFS(t)
		var inputs []*Reader
		for i, items := range s.items {
			build(t, m, uint64(i), Options{BlockSize: 1000, Memory: 8000}, items)
			inputs = append(inputs, Open(m, testDir, uint64(i), nil))
		}
		opts := MergeOptions{Options: o, Keep: s.keep}
		if rapid.Bool().Draw(rt, "with Any") {
			opts.Any = s.any
		}
		info, err := Merge(m, testDir, 99, inputs, opts)
		must(t, err)
		want := s.want()
		if info.Records != len(want) || info.Number != 99 {
			rt.Fatalf("%+v for %d records", info, len(want))
		}
		r := Open(m, testDir, 99, nil)
		if len(want) == 0 {
			if _, err := r.Info(); !errors.Is(err, fs.ErrNotExist) {
				rt.Fatalf("a segment of nothing: %v", err)
			}
		} else {
			same(t, scan(t, r), want)
			got, err := r.Verify()
			must(t, err)
			if got != info {
				rt.Fatalf("Verify says %+v, Merge %+v", got, info)
			}
		}
		for _, r := range append(inputs, r) {
			must(t, r.Close())
		}
	})
}

func TestMergeKeepsSharing(t *testing.T) {
	m := memFS(t)
	long := strings.Repeat("0123456789", 1000)
	var items []item
	for q := range uint32(100) {
		items = append(items, item{queue: q, seq: 1, payload: long, share: 1})
	}
	before := build(t, m, 1, Options{}, items)
	r := Open(m, testDir, 1, nil)
	defer r.Close()
	info, err := Merge(m, testDir, 2, []*Reader{r}, MergeOptions{Keep: func(queue uint32, seqs []uint64, _ int, live []bool) {
		live[0] = queue%2 == 0
	}})
	must(t, err)
	if info.Records != 50 || info.Raw > before.Raw || before.Raw > 2*int64(len(long)) {
		t.Errorf("before %+v, after %+v", before, info)
	}
}

func TestMergeReadsNothingOfDeadBlocks(t *testing.T) {
	m := memFS(t)
	var items []item
	for i := range 10000 {
		items = append(items, item{queue: 1, seq: uint64(i), payload: "a payload of some bytes"})
	}
	info := build(t, m, 1, Options{BlockSize: 4000}, items)
	r := Open(m, testDir, 1, nil)
	defer r.Close()
	read, asked := 0, 0
	merged, err := Merge(m, testDir, 2, []*Reader{r}, MergeOptions{
		Keep: func(_ uint32, seqs []uint64, _ int, live []bool) {
			asked += len(seqs)
			for i, seq := range seqs {
				live[i] = seq == 5000
			}
		},
		Any: func(_ uint32, first, last uint64, _ int) bool { return first <= 5000 && 5000 <= last },
		Pace: func(n int) error {
			read += n
			return nil
		},
	})
	must(t, err)
	if merged.Records != 1 || int64(read) > info.Size/20 || asked > 300 {
		t.Errorf("read %d of %d bytes and asked about %d records for %+v", read, info.Size, asked, merged)
	}
}

func TestMergeCanBeStopped(t *testing.T) {
	m := memFS(t)
	build(t, m, 1, Options{BlockSize: 500}, sample(1, 500))
	r := Open(m, testDir, 1, nil)
	defer r.Close()
	stop := errors.New("stop")
	calls := 0
	_, err := Merge(m, testDir, 2, []*Reader{r}, MergeOptions{Keep: half, Pace: func(int) error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	names, err := m.ReadDir(testDir)
	must(t, err)
	if len(names) != 1 {
		t.Errorf("left: %v", names)
	}
}

func TestMergeRefusesDamageAndDoubles(t *testing.T) {
	m := memFS(t)
	build(t, m, 1, Options{}, goldenItems())
	build(t, m, 2, Options{}, goldenItems())
	all := func(_ uint32, _ []uint64, _ int, live []bool) {
		for i := range live {
			live[i] = true
		}
	}
	r1, r2 := Open(m, testDir, 1, nil), Open(m, testDir, 2, nil)
	if _, err := Merge(m, testDir, 3, []*Reader{r1, r2}, MergeOptions{Keep: all}); err == nil || isDamageError(err) {
		t.Errorf("doubles: %v", err)
	}
	rewrite(t, m, 2, func(data []byte) []byte {
		data[fileHeaderSize+blockHeaderSize]++
		return data
	})
	must(t, r2.Close())
	r2 = Open(m, testDir, 2, nil)
	var bad *BlockError
	if _, err := Merge(m, testDir, 3, []*Reader{r2}, MergeOptions{Keep: all}); !errors.As(err, &bad) {
		t.Errorf("damage: %v", err)
	}
	names, err := m.ReadDir(testDir)
	must(t, err)
	if len(names) != 2 {
		t.Errorf("left: %v", names)
	}
	must(t, r1.Close())
	must(t, r2.Close())
}

func TestBuilderRefusesWhatIsWrong(t *testing.T) {
	m := memFS(t)
	b, err := Create(m, testDir, 1, Options{})
	must(t, err)
	must(t, b.Add(1, 5, []byte("a")))
	for _, seq := range []uint64{0, 4, 5} {
		if b.Add(1, seq, nil) == nil {
			t.Errorf("seq %d was taken behind 5", seq)
		}
	}
	if b.AddRef(1, 6, Ref{}) == nil {
		t.Error("a reference to nothing was taken")
	}
	ref, err := b.AddShared([]byte("shared"))
	must(t, err)
	must(t, b.AddRef(1, 6, ref))
	if b.AddRef(1, 7, Ref{block: ref.block, index: ref.index + 1}) == nil || b.AddRef(1, 7, Ref{block: ref.block + 1}) == nil {
		t.Error("a reference to nothing was taken")
	}
	must(t, b.Add(2, 0, nil)) // and it goes on
	info, err := b.Finish()
	must(t, err)
	if info.Records != 3 {
		t.Errorf("%+v", info)
	}
	if _, err := b.Finish(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Finish: %v", err)
	}
	if err := b.Add(9, 9, nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Add after Finish: %v", err)
	}
	if _, err := b.AddShared(nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("AddShared after Finish: %v", err)
	}
	b.Abandon()
	if _, err := Create(m, testDir, 1, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a segment that is there: %v", err)
	}
	for _, o := range []Options{{BlockSize: -1}, {BlockSize: MaxPayload + 1}, {Level: 2}, {Memory: 1}, {Memory: -1}} {
		if _, err := Create(m, testDir, 2, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestBuilderKeepsToItsMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		queues int
		size   int
	}{{"few queues", 10, 100}, {"some", 500, 100}, {"many", 20000, 100}, {"long records", 50, 20000}} {
		t.Run(c.name, func(t *testing.T) {
			const memory = 1 << 20
			m := memFS(t)
			b, err := Create(m, testDir, 1, Options{Memory: memory})
			must(t, err)
			payload := make([]byte, c.size)
			for i := range 4 << 20 / c.size {
				if err := b.Add(uint32(i%c.queues), uint64(i), payload); err != nil {
					t.Fatal(err)
				}
				held := 0
				if i%97 == 0 {
					for _, p := range b.queues {
						held += cap(p.buf)
					}
					if held != b.held || held > memory {
						t.Fatalf("%d bytes are held, and %d counted, of %d", held, b.held, memory)
					}
				}
			}
			spare := 0
			for _, list := range b.spares {
				for _, p := range list {
					spare += cap(p)
				}
			}
			if spare > 2*memory {
				t.Errorf("%d bytes are kept", spare)
			}
			info, err := b.Finish()
			must(t, err)
			if c.queues > info.Blocks && info.Raw/int64(info.Blocks) < 8<<10 {
				t.Errorf("blocks are tiny: %+v", info)
			}
			r := Open(m, testDir, 1, nil)
			defer r.Close()
			_, err = r.Verify()
			must(t, err)
			list, err := r.Queues()
			must(t, err)
			if len(list) != c.queues || !slices.IsSortedFunc(list, func(a, b QueueInfo) int { return cmp.Compare(a.Queue, b.Queue) }) {
				t.Errorf("%d queues are listed", len(list))
			}
			records, raw := 0, int64(0)
			for _, q := range list {
				records, raw = records+q.Records, raw+q.Raw
			}
			if records != info.Records || raw > info.Raw {
				t.Errorf("%d records, %d bytes are listed of %+v", records, raw, info)
			}
		})
	}
}
