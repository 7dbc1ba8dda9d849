package inspect

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// ways to leave a directory.
var endings = map[string]func(w *world){
	"stopped": func(w *world) { w.close() },
	"killed":  func(w *world) { w.kill() },
	"running": func(w *world) { w.t.Cleanup(func() { w.s.Close() }) },
}

// histories of a directory, and how many messages are left.
var histories = []struct {
	name     string
	build    func(w *world)
	messages int64
}{
	{"log", (*world).usual, 51},
	{"segments", (*world).sealed, 48},
	{"compaction", (*world).compacted, 39},
	{"large bodies", (*world).larges, 18},
}

// each runs a test for every history and ending.
func each(t *testing.T, test func(t *testing.T, w *world, messages int64)) {
	for _, h := range histories {
		for name, end := range endings {
			t.Run(h.name+" "+name, func(t *testing.T) {
				w := newWorld(t)
				h.build(w)
				end(w)
				test(t, w, h.messages)
			})
		}
	}
}

func TestAWholeDirectoryHasNoProblems(t *testing.T) {
	each(t, func(t *testing.T, w *world, messages int64) {
		v := mustVerify(t, w.fs)
		if v.Found != 0 || v.Fatal || v.Unreadable != 0 {
			t.Fatalf("problems: %v", v.Problems)
		}
		items := map[string]int64{}
		for _, c := range v.Checks {
			items[c.What] = c.Items
		}
		if items["messages"]+items["large bodies"] != messages || items["catalog"] < 3 {
			t.Errorf("checked %v", items)
		}
	})
}

func TestSalvageOfAWholeDirectoryIsTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world, messages int64) {
		f := freeze(t, w.fs)
		want := read(t, f.copy(nil), dataDir)
		m := f.copy(nil)
		r, got := mustSalvage(t, m)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", render(got), render(want))
		}
		if r.Lost != 0 || len(r.Losses)+len(r.Problems)+len(r.Named)+len(r.Dropped) != 0 || r.Unknown || r.Again {
			t.Errorf("report %+v", r)
		}
		if r.Queues < 2 || r.Messages != messages {
			t.Errorf("%d messages in %d queues", r.Messages, r.Queues)
		}
		// The old directory is as it was.
		if again := freeze(t, m); !reflect.DeepEqual(again.files, f.files) {
			t.Error("salvage changed the directory")
		}
	})
}

func render(c content) string {
	b, _ := json.MarshalIndent(c, "", " ")
	return string(b)
}

func TestStatCountsWhatIsThere(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.usual()
			end(w)
			st, err := ReadStat(dataDir, Options{FS: w.fs})
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Problems) != 0 {
				t.Fatalf("problems: %v", st.Problems)
			}
			got := map[string]int64{}
			for _, q := range st.Queues {
				got[q.VHost+q.Name.Queue] = q.Messages
				if q.InLog != q.Messages || q.Runs != 0 || q.Bytes < q.Messages*60 {
					t.Errorf("queue %+v", q)
				}
			}
			// Of a: 8+5+10+6 less 3; of b: 5+2+10+3; of c: 6 less 1.
			if want := (map[string]int64{"/a": 26, "/b": 20, "/c": 5}); !reflect.DeepEqual(got, want) {
				t.Errorf("queues %v, want %v", got, want)
			}
			if st.Log.Messages != 51 {
				t.Errorf("log %+v", st.Log)
			}
			if st.Checkpoint == nil || st.Log.Files < 2 || st.Log.Live <= 0 || st.Log.Live >= st.Log.Bytes || st.Total.Bytes != st.Log.Bytes+st.Snapshots.Bytes {
				t.Errorf("stat %+v", st)
			}
			sum := int64(0)
			for _, n := range w.fsFiles() {
				sum += n
			}
			if st.Total.Bytes != sum {
				t.Errorf("%d bytes, and the files have %d", st.Total.Bytes, sum)
			}
		})
	}
}

func (w *world) fsFiles() map[string]int64 {
	sizes := map[string]int64{}
	for _, name := range tree(w.t, w.fs, dataDir) {
		sizes[name] = int64(sizeIn(w.t, w.fs, name))
	}
	return sizes
}

func TestDirectoriesOfOthersAreNamed(t *testing.T) {
	m := vfs.NewMem()
	if err := m.MkdirAll("/other/folder"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/nowhere", "/other"} {
		for what, err := range map[string]error{
			"stat":   second(ReadStat(dir, Options{FS: m})),
			"verify": second(Verify(dir, Options{FS: m})),
			"dump":   second(Dump(dir, DumpOptions{Options: Options{FS: m}}, nil)),
			"save":   second(Salvage(dir, newDir, Options{FS: m})),
		} {
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), ErrNoData.Error()) {
				t.Errorf("%s of %s: %v", what, dir, err)
			}
		}
	}
	if _, err := m.ReadDir(newDir); err == nil {
		t.Error("a salvage of nothing has left a directory")
	}
}

func second[T any](_ T, err error) error { return err }

func TestLanesOfAPriorityQueueAreNamedWithTheirPriority(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	var lowest, lane *store.Queue
	w.do(func(b *store.Batch) {
		lowest, lane = b.CreateQueue(true, store.QueueOptions{}), b.CreateQueue(true, store.QueueOptions{})
		b.Put(queueKey(Name{VHost: "/", Queue: "q"}), catalog.QueueValue(lowest.ID(), false, nil, catalog.Lane{Priority: 7, ID: lane.ID()}))
	})
	w.publish(3, 100, lowest)
	w.publish(2, 100, lane)
	w.ok(w.s.Close())
	st, err := ReadStat(dataDir, Options{FS: w.fs})
	if err != nil {
		t.Fatal(err)
	}
	got := map[Name]int64{}
	for _, q := range st.Queues {
		got[q.Name] = q.Messages
	}
	if want := (map[Name]int64{{VHost: "/", Queue: "q"}: 3, {VHost: "/", Queue: "q", Priority: 7}: 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("queues %v, want %v", got, want)
	}
	if v := mustVerify(t, w.fs); v.Found != 0 {
		t.Errorf("problems: %v", v.Problems)
	}
	if r, _ := mustSalvage(t, w.fs); r.Queues != 2 || r.Messages != 5 || len(r.Named)+len(r.Dropped) != 0 {
		t.Errorf("report %+v", r)
	}
}

// A file of the log that is filled with zeros ahead of what is written is no
// problem, and no torn commit.
func TestALogThatIsFilledAheadIsWhole(t *testing.T) {
	fs := vfs.NewMem()
	o := tiny(fs)
	o.WAL.Ahead = 8192 // of which a small commit fills a quarter
	s, err := store.Open(dataDir, o)
	if err != nil {
		t.Fatal(err)
	}
	b := s.NewBatch()
	q := b.CreateQueue(true, store.QueueOptions{})
	b.Publish(store.Message{Body: []byte("hare"), Persistent: true}, []*store.Queue{q})
	lsn, err := s.Apply(b, wal.Group, nil)
	if err == nil {
		err = s.Wait(lsn)
	}
	if err != nil {
		t.Fatal(err)
	}
	fs.SyncAll()
	killed := fs.Restart()
	defer s.Close()

	st, err := ReadStat(dataDir, Options{FS: killed})
	if err != nil || st.Torn || len(st.Problems) > 0 || len(st.Queues) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if log := st.Files[len(st.Files)-1]; log.Bytes < 2048 {
		t.Errorf("the log's file has %d bytes: not the case to test", log.Bytes)
	}
	v, err := Verify(dataDir, Options{FS: killed})
	if err != nil || v.Torn || slices.ContainsFunc(v.Problems, func(p Problem) bool { return strings.Contains(p.File, "/wal/") }) {
		t.Errorf("%+v, %v", v, err)
	}
}
