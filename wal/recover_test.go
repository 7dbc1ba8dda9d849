package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Frames in these tables hold one record of 8 bytes unless said otherwise, so
// that each is 40 + 4 + 8 + 4 of padding = 56 bytes.
const oneFrame = 56

// A recovery must replay want and, where torn is set, have stopped there; or
// refuse at corrupt, for a cause that contains cause.
type recoveryCase struct {
	name    string
	files   []*image
	from    LSN
	want    string // records, joined by spaces
	torn    string // file:offset
	corrupt string // file:offset
	cause   string
}

var recoveries = append([]recoveryCase{
	{name: "no files"},
	{
		name:  "one file",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2", "record-3")},
		want:  "record-1 record-2 record-3",
	},
	{
		name:  "two files",
		files: []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).frame("record-2")},
		want:  "record-1 record-2",
	},
	{
		name:  "a gap in the numbers",
		files: []*image{newImage(1, 0).frame("record-1"), newImage(7, oneFrame).frame("record-2")},
		want:  "record-1 record-2",
	},
	{
		name:  "the oldest files were removed",
		files: []*image{newImage(3, 560).frame("record-1")},
		want:  "record-1",
	},
	{
		name:  "closed in good order",
		files: []*image{newImage(1, 0).frame("record-1").sealFrame()},
		want:  "record-1",
	},
	{
		name:  "closed in good order, then opened and never used",
		files: []*image{newImage(1, 0).frame("record-1").sealFrame(), newImage(2, oneFrame)},
		want:  "record-1",
	},
	{
		name:  "records of no bytes",
		files: []*image{newImage(1, 0).frame("", "record-1", "")},
		want:  " record-1 ",
	},

	// A file that was being created.
	{
		name:  "last file of no length",
		files: []*image{newImage(1, 0).frame("record-1"), {hdr: fileHeader{seq: 2}}},
		want:  "record-1",
	},
	{
		name:  "only file of no length",
		files: []*image{{hdr: fileHeader{seq: 1}}},
	},
	{
		name:  "last file ends inside its header",
		files: []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).cut(1)},
		want:  "record-1",
	},
	{
		name:  "last file has zeros for a header and nothing else",
		files: []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).zero(0, fileHeaderSize)},
		want:  "record-1",
	},
	{
		name:    "last file has a bad header before a frame",
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).frame("record-2").damage(20)},
		corrupt: "2:0", cause: "header has a wrong checksum",
	},
	{
		name:    "last file has zeros for a header before zeros",
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).frame("record-2").zero(0, 120)},
		corrupt: "2:0", cause: "wrong magic number",
	},
	{
		name:    "file in the middle has a bad header",
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).damage(20), newImage(3, oneFrame)},
		corrupt: "2:0", cause: "header has a wrong checksum",
	},
	{
		name:    "file in the middle of no length",
		files:   []*image{newImage(1, 0).frame("record-1"), {hdr: fileHeader{seq: 2}}, newImage(3, oneFrame)},
		corrupt: "2:0", cause: "header is incomplete",
	},
	{
		name:    "file under another's name",
		files:   []*image{{hdr: fileHeader{seq: 4}, data: newImage(3, 0).frame("record-1").data}},
		corrupt: "4:0", cause: "header is that of file 3",
	},
	{
		name:    "start that is no multiple of eight",
		files:   []*image{newImage(1, 4).frame("record-1")},
		corrupt: "1:0", cause: "impossible start",
	},
	{
		name:    "starts that fall",
		files:   []*image{newImage(1, 560), newImage(2, 552)},
		corrupt: "2:0", cause: "begins before the one before it",
	},

	// Torn tails: what a power cut leaves of the last commit.
	{
		name:  "tail ends inside a frame's header",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").cut(oneFrame - 8)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail ends inside a frame's payload",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").cut(5)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail ends inside a frame's padding",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").cut(1)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail of a wrong checksum",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail whose padding is not zero",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-1)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail whose header was lost and whose payload was not",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").zero(120, 40)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail whose payload was lost and whose header was not",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").zero(160, 16)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail of a wild length",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(127)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail of zeros",
		files: []*image{newImage(1, 0).frame("record-1").bytes(make([]byte, 3<<20)...)},
		want:  "record-1",
	},
	{
		name:  "tail of fewer zeros than a header has",
		files: []*image{newImage(1, 0).frame("record-1").bytes(make([]byte, 30)...)},
		want:  "record-1",
	},
	{
		name:  "tail of zeros and something behind them",
		files: []*image{newImage(1, 0).frame("record-1").bytes(append(make([]byte, 3<<20), 1)...)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "tail of a few bytes",
		files: []*image{newImage(1, 0).frame("record-1").bytes(1, 2, 3)},
		want:  "record-1", torn: "1:120",
	},
	{
		name:  "nothing but a torn tail",
		files: []*image{newImage(1, 0).frame("record-1").damage(-10)},
		torn:  "1:64",
	},
	{
		name: "torn group of frames, a later one whole",
		files: []*image{newImage(1, 0).frame("record-1").
			group(56, "record-2").group(56, "record-3").group(56, "record-4").damage(64 + 2*56 + 42)},
		want: "record-1 record-2", torn: "1:176",
	},
	{
		name: "torn commit whose first frame is the bad one",
		files: []*image{newImage(1, 0).frame("record-1").
			group(56, "record-2").group(56, "record-3").damage(64 + 56 + 42)},
		want: "record-1", torn: "1:120",
	},
	{
		name: "torn frame behind which stands another file's frame",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10).
			raw(frameHeader{kind: frameRecords, records: 1, nonce: 77, first: 112, synced: 112}, payload("foreign!"))},
		want: "record-1", torn: "1:120",
	},
	{
		name: "torn frame behind which stands a frame from another place",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10).
			raw(frameHeader{kind: frameRecords, records: 1, nonce: 1001, first: 56, synced: 112}, payload("moved..."))},
		want: "record-1", torn: "1:120",
	},
	{
		name: "torn frame with a frame inside its payload",
		files: []*image{newImage(1, 0).frame("record-1").
			frame(string(newImage(1, 0).frame("inner..1").frame("inner..2").data)).damage(-1)},
		want: "record-1", torn: "1:120",
	},
	{
		name: "torn tail, then an empty file",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10),
			newImage(2, oneFrame)},
		want: "record-1",
	},
	{
		name: "torn tail, then a file that went on",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10),
			newImage(2, oneFrame).frame("record-3").frame("record-4")},
		want: "record-1 record-3 record-4",
	},
	{
		name: "torn tail twice",
		files: []*image{newImage(1, 0).frame("record-1").bytes(1, 2, 3),
			newImage(2, oneFrame).frame("record-2").frame("record-3").cut(9),
			newImage(3, 2*oneFrame).frame("record-4").cut(1)},
		want: "record-1 record-2", torn: "3:64",
	},
	{
		name: "torn tail, then a file of no length",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10),
			{hdr: fileHeader{seq: 2}}},
		want: "record-1", torn: "1:120",
	},

	// The tail that a recovery wrote again.
	{
		name: "unproved tail with its copy",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2"),
			newImage(2, oneFrame).frame("record-2")},
		want: "record-1 record-2",
	},
	{
		name: "unproved tail with its copy, and the first did not survive",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10),
			newImage(2, oneFrame).frame("record-2").frame("record-3")},
		want: "record-1 record-2 record-3",
	},
	{
		name: "a file that is all copied",
		files: []*image{newImage(1, 0).frame("record-1"),
			newImage(2, 0).frame("record-1"), newImage(3, 0).frame("record-1").frame("record-2")},
		want: "record-1 record-2",
	},
	{
		name: "a copy that begins inside a frame",
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2"),
			newImage(2, oneFrame+8).frame("record-2")},
		corrupt: "1:120", cause: "frame passes 64, where the next file begins",
	},

	// Damage that no power cut explains.
	{
		name:    "bad frame before one that was written after its sync",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").frame("record-3").damage(64 + 56 + 42)},
		corrupt: "1:120", cause: "frame has a wrong checksum, yet the frame at 112 says that all below 112 was on disk",
	},
	{
		name:    "first frame bad",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").zero(64, 56)},
		corrupt: "1:64", cause: "zeros where a frame should be",
	},
	{
		name:    "two bad frames before a good one",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").frame("record-3").zero(70, 100)},
		corrupt: "1:64", cause: "foreign nonce",
	},
	{
		name:    "frame of a damaged length before a good one",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(64 + 7)},
		corrupt: "1:64", cause: "longer than the rest of the file",
	},
	{
		name: "bad group before a frame that proves it",
		files: []*image{newImage(1, 0).group(0, "record-1").group(0, "record-2").group(0, "record-3").
			frame("record-4").damage(64 + 56 + 42)},
		want:    "record-1",
		corrupt: "1:120", cause: "yet the frame at 168 says that all below 168 was on disk",
	},
	{
		name:    "last frame bad in a log that was closed in good order",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10).sealFrame()},
		corrupt: "1:120", cause: "all below 112 was on disk",
	},
	{
		name: "bad frame, and far behind it a good one",
		files: []*image{newImage(1, 0).frame("record-1").frame(strings.Repeat("x", 5<<20)).frame("record-2").
			damage(64 + 56 + 1<<20)},
		corrupt: "1:120", cause: "yet the frame at",
	},
	{
		name:    "bad frame in a file before the last",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10), newImage(2, 2*oneFrame)},
		corrupt: "1:120", cause: "yet the next file begins later, at 112",
	},
	{
		name:    "file before the last is shorter by a frame",
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(2, 2*oneFrame).frame("record-3")},
		corrupt: "1:120", cause: "the next file begins at 112, and this one ends early",
	},
	{
		name:    "file before the last is shorter by some bytes",
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").cut(3), newImage(2, 2*oneFrame).frame("record-3")},
		corrupt: "1:120", cause: "frame is longer than the rest of the file, yet the next file begins later",
	},
	{
		name:    "file in the middle is missing",
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(3, 2*oneFrame).frame("record-3")},
		corrupt: "1:120", cause: "this one ends early",
	},
	{
		name: "frame of an unknown type",
		files: []*image{newImage(1, 0).frame("record-1").
			raw(frameHeader{kind: 9, nonce: 1001, first: 56, synced: 56}, nil)},
		corrupt: "1:120", cause: "unknown type 9",
	},
	{
		name: "seal in a file that was gone on with",
		files: []*image{newImage(1, 0).frame("record-1").sealFrame(),
			newImage(2, oneFrame+frameHeaderSize).frame("record-2")},
		corrupt: "1:120", cause: "unknown type 2",
	},
	{
		name: "frame that claims to be synced before it was written",
		files: []*image{newImage(1, 0).frame("record-1").
			raw(frameHeader{kind: frameRecords, nonce: 1001, first: 56, synced: 64}, nil)},
		corrupt: "1:120", cause: "claims that all below 64 was synced",
	},
	{
		name: "frame that claims a sync inside a frame",
		files: []*image{newImage(1, 0).frame("record-1").
			raw(frameHeader{kind: frameRecords, nonce: 1001, first: 56, synced: 8}, nil)},
		corrupt: "1:120", cause: "claims that all below 8 was synced",
	},
	{
		name: "record that passes its frame",
		files: []*image{newImage(1, 0).
			raw(frameHeader{kind: frameRecords, records: 1, nonce: 1001}, []byte{9, 0, 0, 0, 'x'})},
		corrupt: "1:64", cause: "record 0 of the frame at 0 passes the frame's end",
	},
	{
		name: "record without a whole length",
		files: []*image{newImage(1, 0).
			raw(frameHeader{kind: frameRecords, records: 1, nonce: 1001}, []byte{1, 0, 0, 0, 'x', 0, 0})},
		corrupt: "1:64", cause: "record 1 of the frame at 0 is incomplete",
	},
	{
		name: "frame of fewer records than it says",
		files: []*image{newImage(1, 0).
			raw(frameHeader{kind: frameRecords, records: 2, nonce: 1001}, payload("x"))},
		corrupt: "1:64", cause: "has 1 records and should have 2",
	},

	// Replay from a checkpoint.
	{
		name: "from a frame in the middle", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").frame("record-3")},
		want:  "record-2 record-3",
	},
	{
		name: "what lies below is not read", from: 2 * oneFrame,
		files: []*image{newImage(1, 0).frame("record-1").damage(-10), newImage(2, oneFrame).frame("record-2").damage(-10).frame("record-3")},
		want:  "record-3",
	},
	{
		name: "files below may be missing", from: 5 * oneFrame,
		files: []*image{newImage(1, 0).frame("record-1"), newImage(6, 5*oneFrame).frame("record-6")},
		want:  "record-6",
	},
	{
		name: "from the start of a file", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame).frame("record-2")},
		want:  "record-2",
	},
	{
		name: "from the end", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1")},
	},
	{
		name: "from the end, and the file was closed", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1").sealFrame()},
	},
	{
		name: "from the end, and the tail behind it is torn", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10)},
		torn:  "1:120",
	},
	{
		name: "from the end, where an empty file begins", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1"), newImage(2, oneFrame)},
	},
	{
		name: "from the end, where a file was being created", from: oneFrame,
		files: []*image{newImage(1, 0).frame("record-1"), {hdr: fileHeader{seq: 2}}},
	},
	{
		name: "from beyond the end", from: 2 * oneFrame,
		files:   []*image{newImage(1, 0).frame("record-1")},
		corrupt: "1:120", cause: "the replay should begin here, and the file ends before",
	},
	{
		name: "from beyond the end of a file in the middle", from: 2 * oneFrame,
		files:   []*image{newImage(1, 0).frame("record-1"), newImage(2, 3*oneFrame)},
		corrupt: "1:176", cause: "this one ends early",
	},
	{
		name: "from before the oldest file", from: oneFrame,
		files:   []*image{newImage(2, 2*oneFrame).frame("record-3")},
		corrupt: "2:0", cause: "the oldest log file begins at 112",
	},
	{
		name: "from somewhere, and there is no log", from: oneFrame,
		corrupt: "-:0", cause: "there are no log files",
	},
	{
		name: "bad header below", from: 2 * oneFrame,
		files:   []*image{newImage(1, 0).frame("record-1").damage(20), newImage(2, oneFrame).frame("record-2").frame("record-3")},
		corrupt: "1:0", cause: "wrong checksum",
	},
	{
		name: "bad frame at the place to begin, before one that proves it", from: oneFrame,
		files:   []*image{newImage(1, 0).frame("record-1").frame("record-2").damage(-10).frame("record-3")},
		corrupt: "1:120", cause: "all below 112 was on disk",
	},
}, overOlderFiles...)

func TestRecovery(t *testing.T) {
	for _, tt := range recoveries {
		t.Run(tt.name, func(t *testing.T) {
			m := writeImages(t, tt.files...)
			var got []string
			l, err := Open(m, testDir, tt.from, tiny(), func(lsn LSN, rec []byte) error {
				got = append(got, string(rec))
				return nil
			})
			if tt.corrupt != "" {
				checkCorrupt(t, err, tt.corrupt, tt.cause)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("replayed %q, want %q", s, tt.want)
			}
			torn := ""
			if tail := l.Recovered().Torn; tail != nil {
				torn = place(tail.File, tail.Offset)
			}
			if torn != tt.torn {
				t.Errorf("torn at %q, want %q", torn, tt.torn)
			}

			// It goes on, and the next recovery sees what this one saw.
			l.mustCommit(t, "one more")
			l.mustClose(t)
			again, _, err := replayed(m, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			if want := append(got, "one more"); !slices.Equal(again, want) {
				t.Errorf("the next recovery replayed %q, want %q", again, want)
			}
		})
	}
}

// The power is cut before each operation of each of these recoveries, and what
// it has replayed comes back whatever the disk then holds.
func TestRecoveryIsCutAnywhere(t *testing.T) {
	for _, tt := range recoveries {
		if tt.corrupt != "" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			m := writeImages(t, tt.files...).Restart()
			check := func(when string) {
				for name, im := range m.Images(vfs.ImageOptions{MaxImages: 30}) {
					recs, _, err := replayed(im, tt.from)
					if s := strings.Join(recs, " "); err != nil || s != tt.want {
						t.Fatalf("%s, %s: replayed %q, %v", when, name, s, err)
					}
				}
			}
			m.OnOp(func(n int, op vfs.Op, name string) { check(fmt.Sprintf("cut before %s of %s", op, name)) })
			mustOpen(t, m, tt.from, tiny())
			m.OnOp(nil)
			check("after the recovery")
		})
	}
}

// Replay must come to the same conclusion, and change nothing.
func TestReplayAgreesWithOpen(t *testing.T) {
	for _, tt := range recoveries {
		t.Run(tt.name, func(t *testing.T) {
			m := writeImages(t, tt.files...)
			before := m.Ops()
			var got []string
			sum, err := Replay(m, testDir, tt.from, func(lsn LSN, rec []byte) error {
				got = append(got, string(rec))
				return nil
			})
			if n := m.Ops() - before; n != 0 {
				t.Errorf("made %d changes", n)
			}
			if tt.corrupt != "" {
				checkCorrupt(t, err, tt.corrupt, tt.cause)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("replayed %q, want %q", s, tt.want)
			}
			if (sum.Torn != nil) != (tt.torn != "") || sum.Records != len(got) {
				t.Errorf("summary %+v", sum)
			}
		})
	}
}

func place(file string, offset int64) string {
	if file == testDir {
		return fmt.Sprintf("-:%d", offset)
	}
	seq, _ := parseFileName(file[strings.LastIndexByte(file, '/')+1:])
	return fmt.Sprintf("%d:%d", seq, offset)
}

func checkCorrupt(t *testing.T, err error, want, cause string) {
	t.Helper()
	c := corruption(err)
	if c == nil {
		t.Fatalf("error %v is no CorruptError", err)
	}
	if got := place(c.File, c.Offset); got != want {
		t.Errorf("corrupt at %s, want %s: %v", got, want, err)
	}
	if !strings.Contains(c.Cause.Error(), cause) {
		t.Errorf("cause %q does not tell %q", c.Cause, cause)
	}
}

// Whatever byte of the log is inverted, recovery notices, and where a power
// cut does not explain it, says so.
func TestEveryInvertedByteIsNoticed(t *testing.T) {
	const sealed, last = 64 + 3*56, 64 + 2*56
	build := func() *image {
		return newImage(1, 0).frame("record-1").frame("record-2").frame("record-3")
	}
	for _, seal := range []bool{false, true} {
		im := build()
		if seal {
			im.sealFrame()
		}
		for off := range im.data {
			im := build()
			if seal {
				im.sealFrame()
			}
			recs, _, err := replayed(writeImages(t, im.damage(off)), 0)
			n := 3
			switch {
			case off < last || seal && off < sealed:
				if corruption(err) == nil {
					t.Fatalf("seal %v: byte %d: error %v is no CorruptError", seal, off, err)
				}
				continue
			case off < sealed:
				n = 2
			}
			if err != nil || len(recs) != n {
				t.Fatalf("seal %v: byte %d: replayed %q, %v; want %d", seal, off, recs, err, n)
			}
		}
	}
}

// A last file that is cut anywhere yields the whole frames before the cut.
func TestEveryTruncationIsATornTail(t *testing.T) {
	whole := newImage(1, 0).frame("record-1").frame("record-2").frame("record-3")
	for n := range len(whole.data) + 1 {
		im := newImage(1, 0)
		im.data = slices.Clone(whole.data[:n])
		recs, _, err := replayed(writeImages(t, im), 0)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if want := max(0, n-fileHeaderSize) / oneFrame; len(recs) != want {
			t.Fatalf("cut at %d: replayed %q, want %d", n, recs, want)
		}
	}
}

func TestUnknownVersionIsNotCalledDamage(t *testing.T) {
	im := newImage(1, 0).frame("record-1")
	im.data[8] = 2
	var b [fileHeaderSize]byte
	copy(b[:], im.data)
	putChecksum(b[:])
	copy(im.data, b[:])
	_, _, err := replayed(writeImages(t, im), 0)
	if err == nil || !strings.Contains(err.Error(), "format version 2, and only 1 is known") {
		t.Fatal(err)
	}
}

func TestReplayErrorIsHandedBack(t *testing.T) {
	m := writeImages(t, newImage(1, 0).frame("record-1"))
	cause := errors.New("no room in the inn")
	if _, err := Open(m, testDir, 0, tiny(), func(LSN, []byte) error { return cause }); err != cause {
		t.Fatal(err)
	}
}

func TestReplayFromNoBoundaryIsRefused(t *testing.T) {
	m := writeImages(t, newImage(1, 0).frame("record-1"))
	if _, _, err := replayed(m, 20); err == nil || corruption(err) != nil {
		t.Fatal(err)
	}
}

func TestReplayOfAMissingDirectory(t *testing.T) {
	if _, err := Replay(vfs.NewMem(), testDir, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// A name that is not the log's is left alone.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	m := writeImages(t, newImage(1, 0).frame("record-1"))
	names := []string{"1.wal", "notes.txt", "00000000000000000002.wal.bak", "0000000000000000000x.wal"}
	for _, name := range names {
		writeFile(t, m, testDir+"/"+name, []byte("hello"))
	}
	writeFile(t, m, testDir+"/00000000000000000002.wal.tmp", []byte("a file that was being created"))
	if recs, _, err := replayed(m, 0); err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	left, err := m.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !slices.Contains(left, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if slices.Contains(left, "00000000000000000002.wal.tmp") {
		t.Error("the leftover of a creation is still there")
	}
}

// A restart leaves no file behind that holds nothing.
func TestRestartsDoNotPileUpFiles(t *testing.T) {
	m := vfs.NewMem()
	mustOpen(t, m, 0, tiny()).mustCommit(t, "record")
	for range 5 {
		m = m.Restart() // killed
		if recs, _, err := replayed(m, 0); err != nil || len(recs) != 1 {
			t.Fatal(recs, err)
		}
	}
	names, err := m.ReadDir(testDir)
	if err != nil || len(names) > 2 {
		t.Fatal(names, err)
	}
}

// What recovery hands out must outlive the next power cut, even where an fsync
// had failed and the system shows bytes that it will never write.
func TestRecoveredTailSurvivesAnFsyncThatLied(t *testing.T) {
	m := newMem(t)
	efs := vfs.NewErrFS(m)
	l := mustOpen(t, efs, 0, tiny())
	l.mustCommit(t, "first")
	efs.Add(vfs.Rule{Ops: vfs.OpSync, At: 1})
	_, end := l.mustAppend(t, Lazy, nil, "second")
	if err := l.Wait(end); err == nil {
		t.Fatal("the sync did not fail")
	}
	m = m.Restart()
	recs, _, err := replayed(m, 0)
	if err != nil || strings.Join(recs, " ") != "first second" {
		t.Fatal(recs, err)
	}
	n := 0
	for name, im := range m.Images(vfs.ImageOptions{}) {
		n++
		after, _, err := replayed(im, 0)
		if err != nil || !slices.Equal(after, recs) {
			t.Fatalf("%s: replayed %q, %v", name, after, err)
		}
	}
	if n == 0 {
		t.Fatal("no images")
	}
}

// A damaged length must not cost the memory that it asks for, nor a long tail
// of zeros the memory that it takes on disk.
func TestRecoveryMemoryIsBounded(t *testing.T) {
	im := newImage(1, 0).frame("record-1")
	h := frameHeader{kind: frameRecords, length: math.MaxUint32 - 100, nonce: 1001, first: 56, synced: 56}
	b := make([]byte, frameHeaderSize)
	h.seal(b)
	im.bytes(b...)
	m := writeImages(t, im)
	sparse := &sparseFS{FS: m, size: 6 << 30, limit: 200 << 20}
	before := allocated()
	sum, err := Replay(sparse, testDir, 0, nil)
	if took := allocated() - before; took > 16<<20 {
		t.Errorf("recovery allocated %d MiB", took>>20)
	}
	if !errors.Is(err, errReadEnough) {
		t.Fatal(sum, err)
	}
}
