//go:build !race

package segment

import (
	"errors"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"slices"
	"testing"
)

func TestEachFlippedByteIsDetected(t *testing.T) {
	o, items := damagedItems()
	want := plain(items)
	for _, c := range []struct {
		name   string
		number uint64
		opts   Options
	}{{"many blocks", 1, o}, {"one of each", 2, Options{}}} {
		t.Run(c.name, func(t *testing.T) {
			data := goldenFile(t, fileHeader{number: c.number, nonce: 0xfeedbeef}, c.opts, items)
			damaged := 0
			for at := range data {
				for _, bits := range []byte{0x01, 0x80, 0xff} {
					m := memFS(t)
					bad := slices.Clone(data)
					bad[at] ^= bits
					putFile(t, m, c.number, bad)
					r := Open(m, testDir, c.number, nil)
					if _, err := r.Verify(); !isDamageError(err) {
						t.Fatalf("byte %d ^ %#x: Verify says %v", at, bits, err)
					}
					got, lost, err := salvage(r, want)
					if err != nil {
						t.Fatalf("byte %d ^ %#x: %v", at, bits, err)
					}
					// Only what is said to be damaged is missing.
					if n := covered(want, lost); len(got)+n != len(want) {
						t.Fatalf("byte %d ^ %#x: %d records read and %d damaged of %d; %v", at, bits, len(got), n, len(want), lost)
					}
					if len(lost) > 0 {
						damaged++
					}
					must(t, r.Close())
				}
			}
			if damaged < len(data) {
				t.Errorf("only %d of %d flips hurt", damaged, 3*len(data))
			}
		})
	}
}

// covered counts the records that are said to be damaged.
func covered(want []item, lost []*BlockError) int {
	n := 0
	for _, it := range want {
		if slices.ContainsFunc(lost, func(e *BlockError) bool {
			return e.Queue == it.queue && e.First <= it.seq && it.seq <= e.Last
		}) {
			n++
		}
	}
	return n
}

// A file without its end has all records of the blocks that are left.
func TestEachTruncationIsDetected(t *testing.T) {
	o, items := damagedItems()
	want := plain(items)
	data := goldenFile(t, fileHeader{number: 1, nonce: 0xfeedbeef}, o, items)
	least := 0
	for n := range data {
		m := memFS(t)
		putFile(t, m, 1, data[:n])
		r := Open(m, testDir, 1, nil)
		if _, err := r.Verify(); !isDamageError(err) {
			t.Fatalf("%d bytes: Verify says %v", n, err)
		}
		got, lost, err := salvage(r, want)
		if err != nil && (n >= fileHeaderSize || !isDamageError(err)) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if len(got) < least { // more of the file is never less
			t.Fatalf("%d bytes: %d records, and %d of one byte less", n, len(got), least)
		}
		least = len(got)
		if len(got)+len(lost) > 0 && r.Damage() == nil {
			t.Fatalf("%d bytes: no damage is told", n)
		}
		must(t, r.Close())
	}
	if least != len(want) {
		t.Errorf("without the last byte of the footer there are %d records of %d", least, len(want))
	}
}

func TestWithoutDirectoryOnlyBadBlocksAreLost(t *testing.T) {
	o, items := damagedItems()
	want := plain(items)
	data := goldenFile(t, fileHeader{number: 1, nonce: 0xfeedbeef}, o, items)
	var starts []int
	for off := fileHeaderSize; off < len(data)-footerSize; {
		h, err := decodeBlockHeader(data[off:], 0xfeedbeef, int64(off))
		must(t, err)
		starts = append(starts, off)
		off += int(h.size())
	}
	blocks, directory := starts[:len(starts)-1], starts[len(starts)-1]
	if len(blocks) < 8 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	for _, c := range []struct {
		name string
		hurt []int // in all files
	}{
		{"footer", []int{len(data) - 20}},
		{"directory's header", []int{directory + 20}},
		{"directory's payload", []int{directory + blockHeaderSize + 3}},
		{"file header and footer", []int{14, len(data) - 20}},
		{"file header and directory", []int{14, directory}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, start := range blocks {
				for _, at := range []int{-1, start, start + 10, start + blockHeaderSize} {
					m := memFS(t)
					bad := slices.Clone(data)
					for _, at := range c.hurt {
						bad[at] ^= 0x55
					}
					if at >= 0 {
						bad[at] ^= 0x55
					}
					putFile(t, m, 1, bad)
					r := Open(m, testDir, 1, nil)
					got, lost, err := salvage(r, want)
					if i == 0 && at >= 0 && at < start+blockHeaderSize && c.name == "file header and footer" {
						var corrupt *CorruptError
						if !errors.As(err, &corrupt) {
							t.Fatalf("nothing knows the nonce, and the error is %v", err)
						}
						continue
					}
					must(t, err)
					if r.Damage() == nil {
						t.Fatal("no damage is told")
					}
					missing := len(want) - len(got)
					if at == -1 && missing > 0 || missing > 20 {
						t.Fatalf("block %d hurt at %d: %d records are missing, %v", i, at, missing, lost)
					}
				}
			}
		})
	}
}

// What sums say is right may still be wrong: then it was written so.
func TestWellSummedNonsenseIsDetected(t *testing.T) {
	items := []item{{queue: 5, seq: 10, payload: "a"}, {queue: 5, seq: 12, payload: "b"}, {queue: 5, seq: 13, payload: "shared", share: 1}}
	good := goldenFile(t, fileHeader{number: 1, nonce: 77}, Options{}, items)
	at := fileHeaderSize
	for _, c := range []struct {
		name string
		do   func(h *blockHeader, p []byte)
	}{
		{"another queue", func(h *blockHeader, p []byte) { h.queue = 6 }},
		{"another first", func(h *blockHeader, p []byte) { h.first = 9 }},
		{"another last", func(h *blockHeader, p []byte) { h.last = 14 }},
		{"another count", func(h *blockHeader, p []byte) { h.count = 2 }},
		{"no records", func(h *blockHeader, p []byte) { h.count = 0 }},
		{"another kind", func(h *blockHeader, p []byte) { h.kind = kindMixed }},
		{"a shared block", func(h *blockHeader, p []byte) { h.kind = kindShared }},
		{"compressed", func(h *blockHeader, p []byte) { h.codec, h.raw = codecZstd, h.raw+1 }},
		{"a length too long", func(h *blockHeader, p []byte) { p[1] = 100 }},
		{"a length too short", func(h *blockHeader, p []byte) { p[1] = 1 }},
		{"a gap at first", func(h *blockHeader, p []byte) { p[0] = 1 }},
		{"a gap without end", func(h *blockHeader, p []byte) { p[0] = 0x80 }},
		{"a reference to nowhere", func(h *blockHeader, p []byte) { p[len(p)-2] = 3 }},
		{"a reference to too many", func(h *blockHeader, p []byte) { p[len(p)-1] = 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := slices.Clone(good)
			h, err := decodeBlockHeader(data[at:], 77, int64(at))
			must(t, err)
			p := data[at+blockHeaderSize:][:h.stored]
			c.do(&h, p)
			h.payloadCRC = crc32.Checksum(p, castagnoli)
			h.put(data[at:])
			m := memFS(t)
			putFile(t, m, 1, data)
			r := Open(m, testDir, 1, nil)
			defer r.Close()
			if _, err := r.Verify(); !isDamageError(err) {
				t.Errorf("Verify: %v", err)
			}
			_, lost, err := salvage(r, plain(items))
			if err != nil || len(lost) == 0 {
				t.Errorf("read as if nothing was: %v, %v", lost, err)
			}
		})
	}
}

// A record that looks like a block is not taken for one.
func TestForgedBlocksAreNotFound(t *testing.T) {
	forged := make([]byte, blockHeaderSize)
	h := blockHeader{kind: kindQueue, queue: 5, first: 1000, last: 1000, count: 1, stored: 3, raw: 3, mark: 1}
	payload := []byte{0, 2, 'x'}
	h.payloadCRC = crc32.Checksum(payload, castagnoli)
	h.put(forged)
	items := []item{{queue: 5, seq: 1, payload: string(forged) + string(payload)}, {queue: 5, seq: 2, payload: "real"}}
	m := memFS(t)
	build(t, m, 1, Options{BlockSize: 1}, items)
	rewrite(t, m, 1, func(data []byte) []byte {
		data[fileHeaderSize]++ // the block around it
		return data[:len(data)-1]
	})
	r := Open(m, testDir, 1, nil)
	defer r.Close()
	same(t, scan(t, r), plain(items[1:]))
	if err := r.Find(new(Cursor), 5, 1000, true); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestAFileOfAnotherNumberIsRefused(t *testing.T) {
	m := memFS(t)
	build(t, m, 1, Options{}, goldenItems())
	must(t, m.Rename(filepath.Join(testDir, Name(1)), filepath.Join(testDir, Name(2))))
	r := Open(m, testDir, 2, nil)
	defer r.Close()
	var corrupt *CorruptError
	if _, err := r.Info(); !errors.As(err, &corrupt) {
		t.Errorf("Info: %v", err)
	}
	if _, err := r.Verify(); !errors.As(err, &corrupt) {
		t.Errorf("Verify: %v", err)
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	m := memFS(t)
	build(t, m, 3, Options{}, []item{{queue: 5, seq: 10, payload: "a"}, {queue: 5, seq: math.MaxUint32, payload: "b"}})
	rewrite(t, m, 3, func(data []byte) []byte {
		data[fileHeaderSize+blockHeaderSize]++
		return data
	})
	r := Open(m, testDir, 3, nil)
	defer r.Close()
	err := r.Find(new(Cursor), 5, 0, true)
	const want = "segment /segments/00000000000000000003.seg: block at offset 32, with messages 10 to 4294967295 of queue 5, is damaged: wrong checksum"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	_, err = r.Verify()
	if err == nil || err.Error() != want {
		t.Errorf("Verify: %v", err)
	}
}
