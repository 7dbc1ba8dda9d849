package wal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

var update = flag.Bool("update", false, "write the golden files anew: the format has changed, and so must its version")

// The bytes of a log, as of format version 1.
func TestFormatIsGolden(t *testing.T) {
	m := newMem(t)
	opts := Options{FileSize: 4096, Ahead: -1, nonce: counter(0x1122334455667788)}
	l := mustOpen(t, m, 0, opts)
	l.mustCommit(t, "first", "second record")
	l.mustCommit(t, "")
	l.mustAppend(t, Lazy, nil, "two batches")
	l.mustCommit(t, "in one frame")
	l.mustClose(t)
	l = mustOpen(t, m, 0, opts)
	l.mustCommit(t, "after a restart")
	l = mustOpen(t, m.Restart(), 0, opts) // killed: the last frame moves on
	fsys := l.fs

	var got strings.Builder
	for _, f := range l.Files() {
		data, err := vfs.ReadFile(fsys, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(filepath.Base(f.Name) + "\n" + hex.Dump(data) + "\n")
	}
	golden := filepath.Join("testdata", "format.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the format has changed; got\n%s\nwant\n%s", got.String(), want)
	}
}

// A log that an earlier release has written can be read.
func TestGoldenLogIsRead(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format.golden"))
	if err != nil {
		t.Fatal(err)
	}
	m := newMem(t)
	if err := m.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(golden)), "\n\n") {
		name, dump, _ := strings.Cut(part, "\n")
		writeFile(t, m, testDir+"/"+name, undump(t, dump))
	}
	recs, _, err := replayed(m, 0)
	want := "first,second record,,two batches,in one frame,after a restart"
	if got := strings.Join(recs, ","); err != nil || got != want {
		t.Errorf("replayed %q, %v; want %q", got, err, want)
	}
}

func undump(t *testing.T, dump string) (data []byte) {
	t.Helper()
	for line := range strings.SplitSeq(dump, "\n") {
		line = line[10:min(len(line), 58)]
		b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, b...)
	}
	return data
}

func TestFileNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		seq  uint64
		ok   bool
	}{
		{"00000000000000000001.wal", 1, true},
		{"18446744073709551615.wal", 1<<64 - 1, true},
		{"18446744073709551616.wal", 0, false},
		{"00000000000000000001.wal.tmp", 0, false},
		{"0000000000000000001.wal", 0, false},
		{"+0000000000000000001.wal", 0, false},
		{"-0000000000000000001.wal", 0, false},
		{"00000000000000000001", 0, false},
		{".wal", 0, false},
		{"", 0, false},
	} {
		seq, ok := parseFileName(tt.name)
		if ok != tt.ok || ok && (seq != tt.seq || fileName(seq) != tt.name) {
			t.Errorf("%q: %d, %v", tt.name, seq, ok)
		}
	}
}

func TestFileHeaderDecoding(t *testing.T) {
	var good [fileHeaderSize]byte
	fileHeader{nonce: 7, seq: 3, start: 64}.encode(&good)
	if h, err := decodeFileHeader(good[:]); err != nil || h != (fileHeader{nonce: 7, seq: 3, start: 64}) {
		t.Errorf("%+v, %v", h, err)
	}
	for off := range good {
		b := good
		b[off] ^= 1
		if _, err := decodeFileHeader(b[:]); err == nil {
			t.Errorf("byte %d may be anything", off)
		}
	}
	if _, err := decodeFileHeader(good[:63]); !errors.Is(err, errHeaderShort) {
		t.Error(err)
	}
	for _, start := range []LSN{1, 1 << 62, 1<<64 - 8} {
		b := good
		fileHeader{start: start}.encode(&b)
		if _, err := decodeFileHeader(b[:]); !errors.Is(err, errHeaderStart) {
			t.Errorf("start %d: %v", start, err)
		}
	}
}

func FuzzFileHeader(f *testing.F) {
	var b [fileHeaderSize]byte
	fileHeader{nonce: 7, seq: 3, start: 64}.encode(&b)
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fix := range []bool{false, true} {
			if fix && len(data) >= fileHeaderSize {
				data = bytes.Clone(data)
				putChecksum(data)
			}
			h, err := decodeFileHeader(data)
			if err != nil {
				continue
			}
			h.encode(&b)
			again, err := decodeFileHeader(b[:])
			if err != nil || again != h {
				t.Fatalf("%+v comes back as %+v, %v", h, again, err)
			}
		}
	})
}

// fixFrames sets the checksums of the frames that begin behind each other in
// body, which stands in the file of hdr, so that what the fuzzer makes of
// their insides is looked at. With place, nonces and LSNs are set too.
func fixFrames(body []byte, hdr fileHeader, place bool) {
	for off := 0; len(body)-off >= frameHeaderSize; {
		h := decodeFrameHeader(body[off:])
		if place {
			le.PutUint64(body[off+16:], hdr.nonce)
			le.PutUint64(body[off+24:], uint64(hdr.start)+uint64(off))
		}
		if h.size() > int64(len(body)-off) {
			break
		}
		end := off + int(h.size())
		le.PutUint32(body[off:], crc32.Checksum(body[off+4:end], castagnoli))
		off = end
	}
}

// Any bytes where a frame should be: an error or a frame, which then says all
// that is in it.
func FuzzFrame(f *testing.F) {
	im := newImage(1, 0)
	for _, rec := range [][]string{{"record-1"}, {"", "x"}, {}, {strings.Repeat("long", 100)}} {
		f.Add(newImage(1, 0).frame(rec...).data[fileHeaderSize:])
	}
	f.Add(newImage(1, 0).sealFrame().data[fileHeaderSize:])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fix := range []bool{false, true} {
			if fix {
				data = bytes.Clone(data)
				fixFrames(data, im.hdr, true)
			}
			m := vfs.NewMem()
			writeFile(t, m, "/f", append(bytes.Clone(im.data), data...))
			h, err := m.Open("/f")
			if err != nil {
				t.Fatal(err)
			}
			file := &file{nonce: im.hdr.nonce, name: "/f"}
			w := window{h: h, name: "/f", size: int64(fileHeaderSize + len(data))}
			hdr, bad, err := w.frame(file, 0)
			if err != nil {
				t.Fatal(err)
			}
			if bad != nil {
				continue
			}
			body := data[frameHeaderSize : frameHeaderSize+int(hdr.length)]
			var recs []string
			err = hdr.eachRecord(body, func(lsn LSN, rec []byte) error {
				at := int(lsn)
				if !bytes.Equal(data[at:at+len(rec)], rec) {
					t.Fatalf("record at %d is not what is there", lsn)
				}
				recs = append(recs, string(rec))
				return nil
			})
			if err == nil && !bytes.Equal(payload(recs...), body) {
				t.Fatal("records do not make up the frame")
			}
		}
	})
}

// Any bytes for log files: recovery never panics, allocates no more than they
// are long, agrees with Replay, and what it accepts it accepts again, and scans.
func FuzzRecovery(f *testing.F) {
	for _, tt := range recoveries {
		if len(tt.files) == 0 || len(tt.files) > 2 || len(tt.files[0].data) > 10000 || len(tt.files[0].data) < fileHeaderSize {
			continue
		}
		body2, start2 := []byte(nil), LSN(0)
		if len(tt.files) == 2 && len(tt.files[1].data) >= fileHeaderSize {
			body2, start2 = tt.files[1].data[fileHeaderSize:], tt.files[1].hdr.start
		}
		f.Add(tt.files[0].data[fileHeaderSize:], body2, uint16(start2), uint16(tt.from), len(tt.files) == 2, byte(0))
	}
	f.Add([]byte{}, []byte{}, uint16(0), uint16(0), true, byte(7))
	f.Fuzz(func(t *testing.T, body1, body2 []byte, start2, from uint16, second bool, fix byte) {
		from &^= 7
		if len(body1)+len(body2) > 1<<16 {
			return
		}
		one, two := newImage(1, 0), newImage(2, LSN(start2)&^7)
		body1, body2 = bytes.Clone(body1), bytes.Clone(body2)
		if fix&1 != 0 {
			fixFrames(body1, one.hdr, fix&2 != 0)
			fixFrames(body2, two.hdr, fix&2 != 0)
		}
		files := []*image{one.bytes(body1...)}
		if second {
			files = append(files, two.bytes(body2...))
		}
		m := writeImages(t, files...)

		n := 0
		before := allocated()
		sum, rerr := Replay(m, testDir, LSN(from), func(lsn LSN, rec []byte) error { n++; return nil })
		if took := allocated() - before; took > 64<<10+uint64(4*(len(body1)+len(body2))) {
			t.Errorf("%d bytes allocated for %d", took, len(body1)+len(body2))
		}
		recs, _, err := replayed(m, LSN(from))
		if (err == nil) != (rerr == nil) || err == nil && (len(recs) != n || sum.Records != n) {
			t.Fatalf("Open: %d records, %v; Replay: %d records, %v", len(recs), err, n, rerr)
		}
		if err != nil {
			if corruption(err) == nil {
				t.Fatal(err)
			}
			return
		}
		l := mustOpen(t, m, LSN(from), tiny())
		for _, f := range l.Files() {
			if f.Active {
				break
			}
			if err := l.Scan(f.Seq, func(LSN, []byte) error { return nil }); err != nil && (corruption(err) == nil || f.Start >= LSN(from)) {
				t.Fatalf("Scan of %s, replayed from %d: %v", f.Name, from, err)
			}
		}
		l.mustCommit(t, "one more")
		l.mustClose(t)
		again, _, err := replayed(m, LSN(from))
		if err != nil || len(again) != n+1 || again[n] != "one more" {
			t.Fatalf("then %d records, %v, after %d", len(again), err, n)
		}
	})
}
