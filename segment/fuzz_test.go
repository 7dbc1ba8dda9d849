package segment

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// golden reads a file of testdata that is a hex dump.
func golden(f *testing.F, name string) []byte {
	f.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", name))
	must(f, err)
	var data []byte
	for line := range bytes.Lines(dump) {
		digits := bytes.ReplaceAll(line[10:60], []byte(" "), nil)
		b, err := hex.DecodeString(string(bytes.TrimSpace(digits)))
		must(f, err)
		data = append(data, b...)
	}
	return data
}

func FuzzFooter(f *testing.F) {
	data := golden(f, "format.golden")
	f.Add(data[len(data)-footerSize:], int64(len(data)))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) >= footerSize {
			b = slices.Clone(b[:footerSize])
			copy(b, footerMagic)
			le.PutUint32(b[8:], formatVersion)
			resum(b[:footerSize-4], b[footerSize-4:])
		}
		foot, err := decodeFooter(b, size)
		if err != nil {
			return
		}
		if foot.directory < fileHeaderSize || foot.directory+int64(foot.dirSize)+footerSize != size {
			t.Fatalf("%+v in a file of %d bytes", foot, size)
		}
		again, err := decodeFooter(foot.append(nil), size)
		if err != nil || again != foot {
			t.Fatalf("%+v comes back as %+v, %v", foot, again, err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	data := golden(f, "format.golden")
	foot, err := decodeFooter(data[len(data)-footerSize:], int64(len(data)))
	must(f, err)
	f.Add(data[foot.directory+blockHeaderSize:len(data)-footerSize], foot.directory, uint32(formatVersion))
	var l listing
	for i := range uint64(50) {
		l.sections = append(l.sections, listed{
			entry{first: i << (i % 60), last: i<<(i%60) + i, place: place{int64(40 + i*100), 60}, count: 1, expires: int64(i << (i % 45))}, uint32(i % 7), 1})
	}
	f.Add(l.directory(0, Info{}, func(listed) {}).append(nil), int64(1<<20), uint32(formatVersion))
	f.Add(l.directory(0, Info{}, func(listed) {}).append(nil), int64(1<<20), uint32(1))
	f.Fuzz(func(t *testing.T, p []byte, end int64, version uint32) {
		d, err := decodeDirectory(p, end, version)
		if err != nil {
			return
		}
		for i, row := range d.rows {
			list := d.entriesOf(i)
			if len(list) == 0 || !slices.Equal(list, d.of(row.queue)) {
				t.Fatalf("queue %d is not found", row.queue)
			}
			for j, e := range list {
				if e.first > e.last || uint64(e.count)-1 > e.last-e.first || e.off < fileHeaderSize || e.off+int64(e.size) > end {
					t.Fatalf("entry %+v", e)
				}
				if search(list, e.first) != j || search(list, e.last) != j {
					t.Fatalf("entry %+v is not found", e)
				}
			}
		}
		if len(d.entries)*48+len(d.rows)*24+len(d.shared)*16 > 48*len(p) {
			t.Fatalf("%d bytes take too much memory", len(p))
		}
		again, err := decodeDirectory(d.append(nil), end, formatVersion)
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Fatalf("%+v comes back as %+v, %v", d, again, err)
		}
	})
}

// FuzzBlock decodes blocks whose sums are right.
func FuzzBlock(f *testing.F) {
	data := golden(f, "format.golden")
	for off := fileHeaderSize; off < len(data)-footerSize; {
		h, err := decodeBlockHeader(data[off:], 0x1122334455667788, int64(off))
		must(f, err)
		f.Add(byte(h.kind), byte(h.codec), h.first, h.last, h.raw, h.count, h.queue, data[off+blockHeaderSize:][:h.stored])
		off += int(h.size())
	}
	e := newEncoder(Better)
	raw := appendRecord(appendRecord(nil, 0, make([]byte, 100)), 3, make([]byte, 200))
	stored, _ := pack(e, nil, raw)
	f.Add(byte(kindQueue), byte(codecZstd), uint64(5), uint64(9), uint32(len(raw)), uint32(2), uint32(1), stored)
	cache := NewCache(1 << 20)
	f.Fuzz(func(t *testing.T, k, c byte, first, last uint64, raw, count, queue uint32, payload []byte) {
		if raw > 8<<20 {
			return // right sums are not forged by a bad disk
		}
		h := blockHeader{kind: kind(k), codec: codec(c), first: first, last: last, raw: raw, count: count, queue: queue,
			stored: uint32(len(payload)), mark: 1000, payloadCRC: crc32.Checksum(payload, castagnoli)}
		b := append(make([]byte, blockHeaderSize), payload...)
		h.put(b)
		block, err := decodeBlock(cache, b, 0, 1000)
		if err != nil {
			return
		}
		defer block.Release()
		if len(block.data) != int(raw) {
			t.Fatalf("%d bytes of %d", len(block.data), raw)
		}
		if h.kind == kindShared {
			for i := range min(count, 100) {
				if _, ok := sharedPayload(block, i); !ok {
					t.Fatalf("payload %d of %d is not found", i, count)
				}
			}
			if _, ok := sharedPayload(block, count); ok {
				t.Fatal("there is one more")
			}
			return
		}
		records := uint32(0)
		_ = eachSection(&h, block.data, func(s section) {
			var cur Cursor
			cur.sec = section{queue: s.queue, first: s.first, last: s.last, count: s.count}
			if !cur.enter(block) {
				t.Fatalf("section %+v is not found", s)
			}
			n := uint32(1)
			for prev := cur.seq; cur.step(); prev, n = cur.seq, n+1 {
				if cur.seq <= prev {
					t.Fatalf("record %d behind %d", cur.seq, prev)
				}
			}
			if n != s.count || cur.seq != s.last {
				t.Fatalf("%d records up to %d in %+v", n, cur.seq, s)
			}
			records += n
		})
		if records != count {
			t.Fatalf("%d records of %d", records, count)
		}
	})
}

// FuzzFile reads files of any content.
func FuzzFile(f *testing.F) {
	f.Add(golden(f, "format.golden"))
	o, items := damagedItems()
	fs := memFS(f)
	b, err := create(fs, testDir, fileHeader{number: 3, nonce: 5}, o)
	must(f, err)
	must(f, add(b, items))
	_, err = b.Finish()
	must(f, err)
	data, err := vfs.ReadFile(fs, filepath.Join(testDir, Name(3)))
	must(f, err)
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := memFS(t)
		putFile(t, m, 3, data)
		r := Open(m, testDir, 3, nil)
		info, damage := r.Verify()
		records := 0
		var lastQueue uint32
		var lastSeq uint64
		lost := 0
		err := r.Scan(func(queue uint32, seq uint64, _ []byte) error {
			if records > 0 && (queue < lastQueue || queue == lastQueue && seq <= lastSeq) {
				t.Fatalf("%d/%d comes behind %d/%d", queue, seq, lastQueue, lastSeq)
			}
			records, lastQueue, lastSeq = records+1, queue, seq
			return nil
		}, func(*BlockError) error {
			lost++
			return nil
		})
		if damage == nil && (err != nil || lost > 0 || records != info.Records) {
			t.Fatalf("verified, and then %v; %d records of %d, %d damaged", err, records, info.Records, lost)
		}
		if damage != nil && !isDamageError(damage) || err != nil && !isDamageError(err) {
			t.Fatalf("%v, %v", damage, err)
		}
		must(t, r.Close())
	})
}

// building is a property: what was built is read, however it was written.
func building(t *rapid.T) {
	m := vfs.NewMem()
	if err := m.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	o := Options{
		BlockSize: rapid.IntRange(1, 3000).Draw(t, "block size"),
		Level:     Level(rapid.IntRange(0, 1).Draw(t, "level")),
	}
	o.Memory = o.BlockSize + rapid.IntRange(0, 10000).Draw(t, "memory")
	b, err := Create(m, testDir, 1, o)
	if err != nil {
		t.Fatal(err)
	}
	next := map[uint32]uint64{}
	var want []item
	var refs []Ref
	var shared []string
	payload := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 100), rapid.Map(rapid.IntRange(0, 5000), func(n int) []byte { return make([]byte, n) }))
	for range rapid.IntRange(0, 60).Draw(t, "records") {
		it := item{queue: rapid.SampledFrom([]uint32{0, 1, 2, 3, 1000, math.MaxUint32}).Draw(t, "queue")}
		it.seq = next[it.queue] + rapid.SampledFrom([]uint64{0, 0, 0, 1, 1000, 1 << 50}).Draw(t, "gap")
		next[it.queue] = it.seq + 1
		if rapid.IntRange(0, 4).Draw(t, "shared") > 0 {
			p := payload.Draw(t, "payload")
			it.payload = string(p)
			err = b.Add(it.queue, it.seq, p)
			clear(p) // it was copied
		} else {
			i := rapid.IntRange(0, len(refs)).Draw(t, "reference")
			if i == len(refs) {
				p := payload.Draw(t, "payload")
				r, err := b.AddShared(p)
				if err != nil {
					t.Fatal(err)
				}
				refs, shared = append(refs, r), append(shared, string(p))
			}
			it.payload = shared[i]
			err = b.AddRef(it.queue, it.seq, refs[i])
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, it)
	}
	info, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	want = plain(want)
	r := Open(m, testDir, 1, NewCache(int64(rapid.SampledFrom([]int{0, 10000, 1 << 20}).Draw(t, "cache"))))
	defer r.Close()
	if got, err := r.Verify(); err != nil || got != info || info.Records != len(want) {
		t.Fatalf("%+v, %v; built %+v of %d", got, err, info, len(want))
	}
	got, lost, err := salvage(r, want)
	if err != nil || len(lost) > 0 || len(got) != len(want) {
		t.Fatalf("%d records of %d, %v, %v", len(got), len(want), lost, err)
	}
	rewriteRapid(t, m, info.Size-5)
	r2 := Open(m, testDir, 1, nil)
	defer r2.Close()
	got, lost, err = salvage(r2, want)
	if err != nil || len(lost) > 0 || len(got) != len(want) || r2.Damage() == nil {
		t.Fatalf("rebuilt: %d records of %d, %v, %v", len(got), len(want), lost, err)
	}
	rebuilt, err := r2.Info()
	if err != nil || rebuilt != info {
		t.Fatalf("rebuilt: %+v, %v; built %+v", rebuilt, err, info)
	}
	l1, err1 := r.Queues()
	l2, err2 := r2.Queues()
	if err1 != nil || err2 != nil || !slices.Equal(l1, l2) {
		t.Fatalf("rebuilt: %v, %v; built %v, %v", l2, err2, l1, err1)
	}
}

func rewriteRapid(t *rapid.T, m *vfs.Mem, at int64) {
	if err := m.Corrupt(filepath.Join(testDir, Name(1)), func(data []byte) []byte {
		data[at] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasBuiltIsReadHoweverItLies(t *testing.T) { rapid.Check(t, building) }

func FuzzBuild(f *testing.F) { f.Fuzz(rapid.MakeFuzz(building)) }
