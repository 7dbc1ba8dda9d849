package store

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
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
	want  record
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
		want:  record{kind: recAck, queue: 7},
	},
	{
		name:  "requeue",
		bytes: `03 010000 07000000 2a00000000000000 02000000`,
		want:  record{kind: recRequeue, queue: 7},
	},
	{
		name:  "delivered",
		bytes: `04 000000 07000000 0010000000000000`,
		want:  record{kind: recDelivered, queue: 7, mark: 4096},
	},
	{name: "create", bytes: `05 000000 07000000`, want: record{kind: recCreateQueue, queue: 7}},
	{name: "delete", bytes: `06 000000 07000000`, want: record{kind: recDeleteQueue, queue: 7}},
	{name: "put", bytes: `07 030000 6b6579 76616c7565`, want: record{kind: recPut, key: []byte("key"), value: []byte("value")}},
	{name: "remove", bytes: `08 030000 6b6579`, want: record{kind: recDelete, key: []byte("key")}},
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
	p := make([]byte, m.blobSize())
	m.putBlob(p, 123456789, 0)
	if want := unhex(t, goldenBlob); !bytes.Equal(p, want) {
		t.Fatalf("the format changed; old data could not be read. Got\n%x\nwant\n%x", p, want)
	}
	if crc := m.blobCRC(uint32(len(p)), 123456789); crc != le.Uint32(p) {
		t.Errorf("in pieces the checksum is %x, want %x", crc, p[:4])
	}
	if err := checkBlob(p); err != nil {
		t.Error(err)
	}
	var it Item
	if err := it.parseBlob(p); err != nil {
		t.Fatal(err)
	}
	if it.Time != 123456789 || !it.Persistent || string(it.Exchange)+"|"+string(it.RoutingKey)+"|"+string(it.Props)+"|"+string(it.Body) != "ex|key|\x90\x00|body" {
		t.Errorf("read as %+v", it)
	}
	for i := range p {
		bad := bytes.Clone(p)
		bad[i] ^= 4
		if checkBlob(bad) == nil {
			t.Errorf("byte %d is wrong, and nobody sees it", i)
		}
		if checkBlob(p[:i]) == nil {
			t.Errorf("cut to %d bytes, and nobody sees it", i)
		}
	}
}

func TestRecordFormatsAreWrittenDown(t *testing.T) {
	// What the store writes.
	got := map[string][]byte{}
	p := make([]byte, recWord+2*recPair)
	putWord(p, recPublish, 2)
	putPair(p[recWord:], 7, 42, pairMarked)
	putPair(p[recWord+recPair:], 8, 1<<48, 0)
	got["publish"] = append(p, unhex(t, goldenBlob)...)
	p = make([]byte, recQueue+2*recRange)
	putQueueWord(p, recAck, 2, 7)
	putRange(p[recQueue:], 42, 3)
	putRange(p[recQueue+recRange:], 100, 1)
	got["ack"] = p
	p = make([]byte, recQueue+recRange)
	putQueueWord(p, recRequeue, 1, 7)
	putRange(p[recQueue:], 42, 2)
	got["requeue"] = p
	p = make([]byte, recMark)
	putQueueWord(p, recDelivered, 0, 7)
	le.PutUint64(p[recQueue:], 4096)
	got["delivered"] = p
	for name, kind := range map[string]byte{"create": recCreateQueue, "delete": recDeleteQueue} {
		p = make([]byte, recQueue)
		putQueueWord(p, kind, 0, 7)
		got[name] = p
	}
	for name, kind := range map[string]byte{"put": recPut, "remove": recDelete} {
		p = make([]byte, recWord)
		putWord(p, kind, 3)
		got[name] = append(p, "key"...)
	}
	got["put"] = append(got["put"], "value"...)

	for _, g := range goldenRecords {
		want := unhex(t, g.bytes)
		if !bytes.Equal(got[g.name], want) {
			t.Errorf("%s: the format changed; old data could not be read. Got\n%x\nwant\n%x", g.name, got[g.name], want)
		}
		rec, err := decodeRecord(want)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		switch g.name {
		case "publish":
			id, seq, flags := rec.pair(0)
			id2, seq2, flags2 := rec.pair(1)
			if id != 7 || seq != 42 || flags != pairMarked || id2 != 8 || seq2 != 1<<48 || flags2 != 0 || len(rec.pairs) != 2*recPair || !bytes.Equal(rec.blob, unhex(t, goldenBlob)) {
				t.Errorf("publish is read as %+v", rec)
			}
		case "ack":
			first, n := rec.item(0)
			second, n2 := rec.item(1)
			if first != 42 || n != 3 || second != 100 || n2 != 1 || len(rec.items) != 2*recRange || rec.queue != 7 {
				t.Errorf("ack is read as %+v", rec)
			}
		case "requeue":
			if seq, n := rec.item(0); seq != 42 || n != 2 || rec.queue != 7 {
				t.Errorf("requeue is read as %+v", rec)
			}
		default:
			if rec.kind != g.want.kind || rec.queue != g.want.queue || rec.mark != g.want.mark || !bytes.Equal(rec.key, g.want.key) || !bytes.Equal(rec.value, g.want.value) {
				t.Errorf("%s is read as %+v, want %+v", g.name, rec, g.want)
			}
		}
		for n := range want {
			if g.name == "put" && n >= recWord+3 {
				continue // a shorter value
			}
			if rec, err := decodeRecord(want[:n]); err == nil {
				if _, err := blobBody(rec.blob); g.name != "publish" || err == nil {
					t.Errorf("%s cut to %d bytes: no error", g.name, n)
				}
			}
		}
	}
	if _, err := decodeRecord([]byte{99, 0, 0, 0}); err == nil {
		t.Error("a record of unknown kind: no error")
	}
}

// FuzzRecords replays arbitrary records, two of them, over a queue with
// something in it: an error or a store that works, never a panic and never
// much memory.
func FuzzRecords(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(unhex(f, g.bytes), unhex(f, goldenRecords[1].bytes))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := &Store{dir: testDir}
		s.live.init(0)
		r := replayer{s: s}
		q := s.newQueue(7)
		s.newQueue(8)
		for range 50 {
			q.ix.Push(index.MakeEntry(1, 100, 50, index.Logged))
		}
		for i, p := range [][]byte{a, b} {
			if err := r.record(wal.LSN(1000*i+1), p); err != nil {
				return
			}
		}
		s.Queues(func(q *Queue) bool {
			q.ix.Recovered()
			for seq, e := q.ix.Peek(); e != nil; seq, e = q.ix.Peek() {
				q.ix.Take(seq, e)
			}
			q.ix.Ack(0, q.ix.Next(), nil)
			if q.ix.Len() != 0 {
				t.Fatalf("queue %d: %d left", q.id, q.ix.Len())
			}
			return true
		})
	})
}

func FuzzBlob(f *testing.F) {
	f.Add(unhex(f, goldenBlob))
	f.Fuzz(func(t *testing.T, p []byte) {
		var it Item
		if it.parseBlob(p) == nil {
			if n := it.blobSize(); n != int64(len(p)) {
				t.Fatalf("%d bytes are read as a message of %d", len(p), n)
			}
		}
		blobBody(p)
		checkBlob(p)
	})
}

// TestReplayOverACheckpointThatHasItChangesNothing replays a whole log over the
// state that it led to: the worst that a fuzzy checkpoint can ask for.
func TestReplayOverACheckpointThatHasItChangesNothing(t *testing.T) {
	fs := vfs.NewMem()
	c := newScript(t, 11, tinyOptions(fs))
	c.o.WAL = wal.Options{FileSize: 64 << 20} // no file goes
	if err := c.open(); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.s.barrier(); err != nil {
		t.Fatal(err)
	}
	want := dump(t, c.s)
	c.s.Queues(func(q *Queue) bool { // as a restart would have it
		q.ix.Recovered()
		return true
	})
	r := replayer{s: c.s}
	sum, err := wal.Replay(fs, testDir+"/"+walFolder, 0, r.record)
	if err != nil || sum.Records < 200 {
		t.Fatalf("%d records: %v", sum.Records, err)
	}
	r.tally.flush(&c.s.live)
	if got := dump(t, c.s); got != want {
		t.Errorf("after the replay\n%s\n\nwas\n%s", got, want)
	}
	shut(t, c.s)
}
