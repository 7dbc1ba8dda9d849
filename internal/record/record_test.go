package record

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// sampleMessage has every part.
func sampleMessage() Message {
	return Message{Exchange: []byte("ex"), RoutingKey: []byte("key"), Props: []byte{0x90, 0}, Body: []byte("body"), Persistent: true}
}

// goldenRecords are the records' formats: data that was written so must be
// read for ever.
var goldenRecords = []struct {
	name  string
	bytes string
	want  Record
}{
	{
		name: "publish",
		bytes: `01 020000
			07000000 01 2a000000000000
			08000000 00 00000000000001 ` + // to queue 7 as 42, marked; to queue 8 as 2^48
			goldenBlob,
	},
	{
		name:  "ack",
		bytes: `02 020000 07000000 2a00000000000000 03000000 6400000000000000 01000000`,
		want:  Record{Kind: Ack, Queue: 7},
	},
	{
		name:  "requeue",
		bytes: `03 010000 07000000 2a00000000000000 02000000`,
		want:  Record{Kind: Requeue, Queue: 7},
	},
	{
		name:  "delivered",
		bytes: `04 000000 07000000 0010000000000000`,
		want:  Record{Kind: Delivered, Queue: 7, Mark: 4096},
	},
	{name: "create", bytes: `05 000000 07000000`, want: Record{Kind: CreateQueue, Queue: 7}},
	{name: "delete", bytes: `06 000000 07000000`, want: Record{Kind: DeleteQueue, Queue: 7}},
	{name: "put", bytes: `07 030000 6b6579 76616c7565`, want: Record{Kind: Put, Key: []byte("key"), Value: []byte("value")}},
	{name: "remove", bytes: `08 030000 6b6579`, want: Record{Kind: Delete, Key: []byte("key")}},
	{
		name: "sealed",
		bytes: `09 010000 0300000000000000 4000000000000000 0001000000000000
			07000000 0500000000000000 0900000000000000`,
	},
	{name: "merged", bytes: `0a 020000 0900000000000000 0300000000000000 0400000000000000`},
	{
		name: "large",
		bytes: `0b 010000 07000000 01 2a000000000000
			0200000000000000 00001000 20000000`,
	},
	{
		name: "large that expires",
		bytes: `0b 010000 07000000 01 2a000000000000
			0200000000000000 00001000 20000000 0000000000010000`,
		want: Record{Expires: 1 << 40},
	},
}

const goldenBlob = `
	6124349d 23000000 15cd5b0700000000 02 03 01 00 02000000
	6578 6b6579 9000 626f6479`

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBlobFormatIsWrittenDown(t *testing.T) {
	m := sampleMessage()
	p := make([]byte, m.BlobSize())
	m.PutBlob(p, 123456789, 0)
	if want := unhex(t, goldenBlob); !bytes.Equal(p, want) {
		t.Fatalf("the format changed; old data could not be read. Got\n%x\nwant\n%x", p, want)
	}
	if crc := m.BlobCRC(uint32(len(p)), 123456789); crc != le.Uint32(p) {
		t.Errorf("in pieces the checksum is %x, want %x", crc, p[:4])
	}
	if err := CheckBlob(p); err != nil {
		t.Error(err)
	}
	it, ms, err := Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	if ms != 123456789 || !it.Persistent || string(it.Exchange)+"|"+string(it.RoutingKey)+"|"+string(it.Props)+"|"+string(it.Body) != "ex|key|\x90\x00|body" {
		t.Errorf("read as %+v", it)
	}
	if again := AppendBlob([]byte("before"), p[BlobCheck:]); !bytes.Equal(again[len("before"):], p) {
		t.Errorf("of its payload comes the blob %x", again)
	}
	for i := range p {
		bad := bytes.Clone(p)
		bad[i] ^= 4
		if CheckBlob(bad) == nil {
			t.Errorf("byte %d is wrong, and nobody sees it", i)
		}
		if CheckBlob(p[:i]) == nil {
			t.Errorf("cut to %d bytes, and nobody sees it", i)
		}
	}
}

func TestRecordFormatsAreWrittenDown(t *testing.T) {
	// What the store writes.
	got := map[string][]byte{}
	p := make([]byte, WordSize+2*PairSize)
	PutWord(p, Publish, 2)
	PutPair(p[WordSize:], 7, 42, PairMarked)
	PutPair(p[WordSize+PairSize:], 8, 1<<48, 0)
	got["publish"] = append(p, unhex(t, goldenBlob)...)
	p = make([]byte, QueueSize+2*RangeSize)
	PutQueueWord(p, Ack, 2, 7)
	PutRange(p[QueueSize:], 42, 3)
	PutRange(p[QueueSize+RangeSize:], 100, 1)
	got["ack"] = p
	p = make([]byte, QueueSize+RangeSize)
	PutQueueWord(p, Requeue, 1, 7)
	PutRange(p[QueueSize:], 42, 2)
	got["requeue"] = p
	p = make([]byte, MarkSize)
	PutQueueWord(p, Delivered, 0, 7)
	le.PutUint64(p[QueueSize:], 4096)
	got["delivered"] = p
	for name, kind := range map[string]byte{"create": CreateQueue, "delete": DeleteQueue} {
		p = make([]byte, QueueSize)
		PutQueueWord(p, kind, 0, 7)
		got[name] = p
	}
	for name, kind := range map[string]byte{"put": Put, "remove": Delete} {
		p = make([]byte, WordSize)
		PutWord(p, kind, 3)
		got[name] = append(p, "key"...)
	}
	got["put"] = append(got["put"], "value"...)
	p = make([]byte, SealedSize+SpanSize)
	PutSealed(p, 1, 3, 64, 256)
	PutSpan(p[SealedSize:], 7, 5, 9)
	got["sealed"] = p
	p = make([]byte, MergedSize+16)
	PutMerged(p, 9, []uint64{3, 4})
	got["merged"] = p
	p = make([]byte, WordSize+PairSize+LargeSize)
	PutWord(p, PublishLarge, 1)
	PutPair(p[WordSize:], 7, 42, PairMarked)
	PutLarge(p[WordSize+PairSize:], 2, 1<<20, 32, 0)
	got["large"] = p
	p = make([]byte, WordSize+PairSize+LargeEnd(1<<40))
	PutWord(p, PublishLarge, 1)
	PutPair(p[WordSize:], 7, 42, PairMarked)
	PutLarge(p[WordSize+PairSize:], 2, 1<<20, 32, 1<<40)
	got["large that expires"] = p

	for _, g := range goldenRecords {
		want := unhex(t, g.bytes)
		if !bytes.Equal(got[g.name], want) {
			t.Errorf("%s: the format changed; old data could not be read. Got\n%x\nwant\n%x", g.name, got[g.name], want)
		}
		rec, err := Decode(want)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		switch g.name {
		case "publish":
			id, seq, flags := rec.Pairs.At(0)
			id2, seq2, flags2 := rec.Pairs.At(1)
			if id != 7 || seq != 42 || flags != PairMarked || id2 != 8 || seq2 != 1<<48 || flags2 != 0 || len(rec.Pairs) != 2*PairSize || !bytes.Equal(rec.Blob, unhex(t, goldenBlob)) {
				t.Errorf("publish is read as %+v", rec)
			}
		case "ack":
			first, n := rec.Item(0)
			second, n2 := rec.Item(1)
			if first != 42 || n != 3 || second != 100 || n2 != 1 || len(rec.Items) != 2*RangeSize || rec.Queue != 7 {
				t.Errorf("ack is read as %+v", rec)
			}
		case "requeue":
			if seq, n := rec.Item(0); seq != 42 || n != 2 || rec.Queue != 7 {
				t.Errorf("requeue is read as %+v", rec)
			}
		case "sealed":
			if q, first, end := rec.Span(0); rec.Segment != 3 || rec.From != 64 || rec.To != 256 || q != 7 || first != 5 || end != 9 || len(rec.Items) != SpanSize {
				t.Errorf("sealed is read as %+v", rec)
			}
		case "merged":
			if rec.Segment != 9 || len(rec.Items) != 16 || rec.Old(0) != 3 || rec.Old(1) != 4 {
				t.Errorf("merged is read as %+v", rec)
			}
		case "large", "large that expires":
			if id, seq, flags := rec.Pairs.At(0); id != 7 || seq != 42 || flags != PairMarked || rec.File != 2 || rec.Length != 1<<20 || rec.Overhead != 32 || rec.Expires != g.want.Expires {
				t.Errorf("large is read as %+v", rec)
			}
		default:
			if rec.Kind != g.want.Kind || rec.Queue != g.want.Queue || rec.Mark != g.want.Mark || !bytes.Equal(rec.Key, g.want.Key) || !bytes.Equal(rec.Value, g.want.Value) {
				t.Errorf("%s is read as %+v, want %+v", g.name, rec, g.want)
			}
		}
		for n := range want {
			if g.name == "put" && n >= WordSize+3 {
				continue // a shorter value
			}
			if g.name == "large that expires" && n == WordSize+PairSize+LargeSize {
				continue // one that does not
			}
			if rec, err := Decode(want[:n]); err == nil {
				if _, _, err := BodyLen(rec.Blob); g.name != "publish" || err == nil {
					t.Errorf("%s cut to %d bytes: no error", g.name, n)
				}
			}
		}
	}
	if _, err := Decode([]byte{99, 0, 0, 0}); err == nil {
		t.Error("a record of unknown Kind: no error")
	}
}

func FuzzBlob(f *testing.F) {
	f.Add(unhex(f, goldenBlob))
	f.Fuzz(func(t *testing.T, p []byte) {
		if it, _, err := Parse(p); err == nil {
			if n := it.BlobSize(); n != int64(len(p)) {
				t.Fatalf("%d bytes are read as a message of %d", len(p), n)
			}
		}
		BodyLen(p)
		CheckBlob(p)
	})
}
