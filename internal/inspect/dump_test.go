package inspect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

func dumped(t testing.TB, m vfs.FS, o DumpOptions) (lines []map[string]any, damaged int) {
	t.Helper()
	o.FS = m
	damaged, err := Dump(dataDir, o, func(l *Line) error {
		b, err := l.Append(nil)
		if err != nil || b[len(b)-1] != '\n' {
			t.Fatalf("%q: %v", b, err)
		}
		var line map[string]any
		if err := json.Unmarshal(b, &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, damaged
}

func kinds(lines []map[string]any) string {
	var list []string
	for _, l := range lines {
		list = append(list, l["kind"].(string))
	}
	return strings.Join(list, " ")
}

func TestDumpShowsTheLog(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	a, b := w.queue("a"), w.queue("b")
	w.publish(1, 20, a, b)
	w.upload(1000, a)
	seqs := w.claim(a, 2)
	w.ack(a, seqs[0])
	w.requeue(a, seqs[1])
	w.ok(w.s.Retire(true))
	w.remove(b, "b")
	lines, damaged := dumped(t, w.fs, DumpOptions{Bodies: true})
	if damaged != 0 {
		t.Errorf("%d damaged", damaged)
	}
	// What was retired is gone.
	if got := kinds(lines); !strings.HasSuffix(got, "sealed delete-queue delete") {
		t.Fatalf("got %s", got)
	}
	w.close()

	w = newWorld(t)
	w.vhost("/")
	a, b = w.queue("a"), w.queue("b")
	w.publish(1, 20, a, b)
	w.upload(1000, a)
	seqs = w.claim(a, 2)
	w.ack(a, seqs[0])
	w.requeue(a, seqs[1])
	w.remove(b, "b")
	lines, _ = dumped(t, w.fs, DumpOptions{Bodies: true})
	want := "put create-queue put create-queue put publish large-publish delivered delivered ack requeue delete-queue delete"
	if got := kinds(lines); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	get := func(i int, path string) string {
		v := any(lines[i])
		for part := range strings.SplitSeq(path, ".") {
			if list, ok := v.([]any); ok {
				var n int
				fmt.Sscan(part, &n)
				v = list[n]
			} else {
				v = v.(map[string]any)[part]
			}
		}
		return fmt.Sprint(v)
	}
	for _, c := range []struct {
		line int
		path string
		want string
	}{
		{0, "object", "vhost '/'"}, {1, "name", "a"}, {2, "object", "queue 'a' in vhost '/'"},
		{5, "queues.0.name", "a"}, {5, "queues.1.name", "b"}, {5, "queues.1.queue", "2"}, {5, "queues.0.seq", "0"},
		{5, "body", "m00001.bbbbbbbbbbbbb"}, {5, "routing_key", "key"}, {5, "body_bytes", "20"}, {5, "exchange", ""},
		{6, "large_file", "1"}, {6, "body_bytes", "1000"}, {6, "routing_key", "key"},
		{8, "mark", "2"}, {9, "ranges.0.1", "0"}, {9, "queue", "1"}, {10, "counts.0.1", "1"}, {11, "name", "b"},
	} {
		if got := get(c.line, c.path); got != c.want {
			t.Errorf("line %d: %s is %q, want %q", c.line, c.path, got, c.want)
		}
	}
	if year := get(5, "time"); !strings.HasPrefix(year, "20") || !strings.HasSuffix(year, "Z") {
		t.Errorf("time %q", year)
	}

	// Filters.
	for filter, want := range map[Filter]string{
		"a":    "create-queue put publish large-publish delivered delivered ack requeue",
		"1":    "create-queue put publish large-publish delivered delivered ack requeue",
		"b":    "create-queue put publish delete-queue delete",
		"none": "",
		"7":    "",
	} {
		lines, _ := dumped(t, w.fs, DumpOptions{Queue: filter})
		if got := kinds(lines); got != want {
			t.Errorf("of %q: %s, want %s", filter, got, want)
		}
	}
	all, _ := dumped(t, w.fs, DumpOptions{})
	at := func(i int) wal.LSN { return wal.LSN(all[i]["lsn"].(float64)) }
	for _, c := range []struct {
		from, to    wal.LSN
		first, last int
	}{
		{0, 0, 0, 12}, {at(3), 0, 3, 12}, {at(3) + 1, at(6), 4, 5}, {0, at(2), 0, 1}, {at(5), at(5) + 1, 5, 5},
	} {
		lines, _ := dumped(t, w.fs, DumpOptions{From: c.from, To: c.to})
		if len(lines) != c.last-c.first+1 || lines[0]["lsn"] != all[c.first]["lsn"] {
			t.Errorf("from %d to %d: %d lines", c.from, c.to, len(lines))
		}
	}
	w.close()
}

func TestDumpGoesOnBehindDamage(t *testing.T) {
	w := newWorld(t)
	q := w.queue("a")
	w.publish(20, 50, q)
	w.close()
	f := freeze(t, w.fs)
	whole, _ := dumped(t, f.copy(nil), DumpOptions{})
	bad, damaged := dumped(t, f.damaged("/data/wal/00000000000000000001.wal", func(b []byte) []byte { b[1000] ^= 1; return b }), DumpOptions{})
	if damaged != 1 || len(bad) != len(whole) || !strings.Contains(kinds(bad), "publish damage publish") {
		t.Errorf("%d damaged, %d lines of %d: %s", damaged, len(bad), len(whole), kinds(bad))
	}
	for _, l := range bad {
		if l["kind"] == "damage" && (l["file"] != "/data/wal/00000000000000000001.wal" || l["cause"] != "frame has a wrong checksum" || l["to_lsn"].(float64) <= l["lsn"].(float64)) {
			t.Errorf("damage is shown as %v", l)
		}
	}
}

// What expires, as what an exchange delays does, keeps its time in every way that leads
// through these tools.
func TestMessagesThatExpireAreSavedWithTheirTimes(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.vhost("/")
			var q *store.Queue
			w.do(func(b *store.Batch) {
				q = b.CreateQueue(true, store.QueueOptions{})
				b.Put(catalog.Key(catalog.Exchange, "/", "later"), amqp.NewTable(
					amqp.Field{Name: "type", Value: amqp.LongString("x-delayed-message")},
					amqp.Field{Name: catalog.Delays, Value: amqp.Int64(int64(q.ID()))},
				))
			})
			put := func(at int64) {
				w.do(func(b *store.Batch) {
					b.Publish(store.Message{Body: []byte(fmt.Sprint(at)), Expires: at, Persistent: true}, []*store.Queue{q})
				})
			}
			for i := range int64(50) {
				put(1000 + i)
			}
			w.ok(w.s.Retire(true)) // to a segment
			for i := range int64(20) {
				put(2000 + i)
			}
			u, err := w.s.NewUpload(5, true)
			w.ok(err)
			_, err = u.Write([]byte("large"))
			w.ok(err)
			l, err := u.Finish(store.Message{})
			w.ok(err)
			w.do(func(b *store.Batch) {
				b.PublishLarge(l, store.Message{Expires: 3000, Persistent: true}, []*store.Queue{q})
			})
			l.Release()
			w.ok(w.s.Checkpoint())
			put(4000)
			end(w)
			if v := mustVerify(t, w.fs); v.Found != 0 {
				t.Errorf("problems: %v", v.Problems)
			}
			lines, damaged := dumped(t, w.fs, DumpOptions{Queue: Filter(fmt.Sprint(q.ID()))})
			last := lines[len(lines)-1]
			if damaged != 0 || last["expires"] != "1970-01-01T00:00:04Z" || !strings.Contains(fmt.Sprint(last["queues"]), "delayed_by:later") {
				t.Errorf("%d damaged; the last line is %v", damaged, last)
			}
			st, err := ReadStat(dataDir, Options{FS: w.fs})
			w.ok(err)
			if len(st.Queues) != 1 || st.Queues[0].Name != (Name{VHost: "/", Exchange: "later"}) || st.Queues[0].Messages != 72 {
				t.Errorf("queues %+v", st.Queues)
			}
			r, _ := mustSalvage(t, w.fs)
			if r.Messages != 72 || len(r.Named)+len(r.Dropped) != 0 {
				t.Errorf("report %+v", r)
			}
			s, err := store.Open(newDir, tiny(w.fs))
			w.ok(err)
			defer s.Close()
			var c store.Claim
			var got []int64
			for s.Queue(q.ID()).ClaimExpired(&c, 3500, 10, true) == store.Claimed {
				for i := range c.Items {
					it := &c.Items[i]
					if it.Large == nil && string(it.Body) != fmt.Sprint(it.Expires) {
						t.Errorf("%q expires at %d", it.Body, it.Expires)
					}
					got = append(got, it.Expires)
				}
			}
			if len(got) != 71 || !slices.IsSorted(got) {
				t.Errorf("%d messages have expired: %v", len(got), got)
			}
		})
	}
}
