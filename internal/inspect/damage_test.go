package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// opens tells whether a store takes the directory.
func opens(m vfs.FS) error {
	s, err := store.Open(dataDir, tiny(m))
	if err == nil {
		s.Close()
	}
	return err
}

// within fails where what was saved was never there, or is out of order. It
// returns how many messages are missing, and how many came back that were acked.
func within(t *testing.T, what string, f *frozen, got, want, ever content) (missing, again int) {
	t.Helper()
	for id, name := range f.ids {
		alias := fmt.Sprintf("%s%d", nameless, id)
		if lines, ok := got[alias]; ok {
			got[name] = lines
			delete(got, alias)
		}
	}
	found := got[largeQueue] // of anybody's
	delete(got, largeQueue)
	body := func(line string) string { return strings.Join(strings.Fields(line)[:3], " ") }
	for name, lines := range got {
		if name == "catalog" {
			continue
		}
		at := 0
		all := ever[name]
		for _, line := range lines {
			for at < len(all) && body(all[at]) != body(line) {
				at++
			}
			if at == len(all) {
				t.Errorf("%s: queue %q: %q is out of order, or was never there", what, name, line)
				return
			}
			at++
			if !slices.ContainsFunc(want[name], func(l string) bool { return body(l) == body(line) }) {
				again++
			}
		}
	}
	for name, lines := range want {
		if name == "catalog" {
			continue
		}
		for _, line := range lines {
			same := func(l string) bool { return body(l) == body(line) }
			if !slices.ContainsFunc(got[name], same) && !slices.ContainsFunc(found, same) {
				missing++
			}
		}
	}
	return missing, again
}

// history is a stopped directory, what it holds, and what its queues ever held.
func history(t *testing.T, build func(w *world), end func(w *world)) (f *frozen, want, ever content) {
	w := newWorld(t)
	build(w)
	end(w)
	f = freeze(t, w.fs)
	f.ids = map[uint32]string{}
	for q, name := range w.names {
		f.ids[q.ID()] = name
	}
	want = read(t, f.copy(nil), dataDir)
	return f, want, w.ever
}

// Each byte of each file is damaged in turn: that is seen, and what is saved
// then is what was there.
func TestAnyByteThatIsWrongIsSeen(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) { anyByteThatIsWrongIsSeen(t, h.build) })
	}
}

func anyByteThatIsWrongIsSeen(t *testing.T, build func(w *world)) {
	f, want, ever := history(t, build, endings["stopped"])
	logs := f.names("wal/")
	last, step := logs[len(logs)-1], 0
	for _, name := range f.names("") {
		for off := range f.files[name] {
			step++
			if (strings.Contains(name, "wal/") || strings.Contains(name, "segments/")) && step%31 != 0 || strings.Contains(name, "large/") && step%2003 != 0 {
				continue // packages wal, segment and large have tests of them all
			}
			what := fmt.Sprintf("%s, byte %d", name, off)
			m := f.damaged(name, func(data []byte) []byte { data[off] ^= 0x41; return data })
			v, err := Verify(dataDir, Options{FS: m})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			// The seal at the very end says that all before it was synced, and
			// nothing proves the seal.
			if v.Found == 0 && !(name == last && off >= len(f.files[name])-40) {
				t.Errorf("%s: no problem", what)
			}
			refused := opens(f.damaged(name, func(data []byte) []byte { data[off] ^= 0x41; return data }))
			if (refused != nil) != v.Fatal {
				t.Errorf("%s: verify says fatal=%v %v, and the store says %v", what, v.Fatal, v.Problems, refused)
			}
			if step%17 != 0 {
				continue
			}
			r, got := mustSalvage(t, m)
			missing, again := within(t, what, f, got, want, ever)
			if int64(missing) != r.Lost && !r.Unknown || missing > 40 {
				t.Errorf("%s: %d messages are missing, and the report is %+v", what, missing, r)
			}
			if again > 0 && !r.Unknown && !r.Again {
				t.Errorf("%s: %d messages that were acked are back, and the report is %+v", what, again, r)
			}
			if !reflect.DeepEqual(got["catalog"], want["catalog"]) && !r.Unknown && !r.Topology {
				t.Errorf("%s: catalog %q", what, got["catalog"])
			}
		}
	}
}

func TestAFileThatIsMissingIsNamed(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) { aFileThatIsMissingIsNamed(t, h.build) })
	}
}

func aFileThatIsMissingIsNamed(t *testing.T, build func(w *world)) {
	f, want, ever := history(t, build, endings["killed"])
	logs := f.names("wal/")
	for _, name := range f.names("") {
		if name == logs[len(logs)-1] {
			continue // nothing can tell that there was more, unless a checkpoint does
		}
		m := f.without(name)
		v := mustVerify(t, m)
		refused := opens(f.without(name))
		if (refused != nil) != v.Fatal {
			t.Errorf("without %s: verify says fatal=%v %v, and the store says %v", name, v.Fatal, v.Problems, refused)
		}
		r, got := mustSalvage(t, m)
		missing, again := within(t, "without "+name, f, got, want, ever)
		if missing > 0 && v.Found == 0 {
			t.Errorf("without %s %d messages are missing, and there is no problem", name, missing)
		}
		if missing > 0 && r.Lost == 0 && !r.Unknown || again > 0 && !r.Again && !r.Unknown {
			t.Errorf("without %s %d messages are missing, %d come again, and the report is %+v", name, missing, again, r)
		}
	}
}

func TestAFileThatIsCutIsSeen(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) { aFileThatIsCutIsSeen(t, h.build) })
	}
}

func aFileThatIsCutIsSeen(t *testing.T, build func(w *world)) {
	f, want, ever := history(t, build, endings["stopped"])
	for _, name := range f.names("") {
		size := len(f.files[name])
		for _, n := range []int{0, 1, 50, 63, 64, 65, size / 2, size - 100, size - 1} {
			if n < 0 || n >= size {
				continue
			}
			what := fmt.Sprintf("%s, cut to %d of %d bytes", name, n, size)
			cut := func(data []byte) []byte { return data[:n:n] }
			m := f.damaged(name, cut)
			v := mustVerify(t, m)
			if refused := opens(f.damaged(name, cut)); (refused != nil) != v.Fatal {
				t.Errorf("%s: verify says fatal=%v %v, and the store says %v", what, v.Fatal, v.Problems, refused)
			}
			r, got := mustSalvage(t, m)
			missing, _ := within(t, what, f, got, want, ever)
			if missing > 0 && r.Lost == 0 && !r.Unknown {
				t.Errorf("%s: %d messages are missing, and the report is %+v", what, missing, r)
			}
		}
	}
}

func TestWithoutCheckpointsAllComesBack(t *testing.T) {
	for _, h := range histories {
		for name, parts := range map[string][]string{
			"checkpoints": {"checkpoint-"},
			"both":        {"checkpoint-", "catalog-"},
			"first file":  {"checkpoint-", "00000000000000000001.wal"},
		} {
			t.Run(h.name+" "+name, func(t *testing.T) {
				f, want, ever := history(t, h.build, endings["stopped"])
				m := f.without(parts...)
				v := mustVerify(t, m)
				if refused := opens(f.without(parts...)); (refused != nil) != v.Fatal {
					t.Errorf("verify says fatal=%v %v, and the store says %v", v.Fatal, v.Problems, refused)
				}
				r, got := mustSalvage(t, m)
				missing, again := within(t, name, f, got, want, ever)
				if missing > 0 && r.Lost == 0 && len(f.names(parts[len(parts)-1])) == 0 || again > 0 && !r.Again {
					t.Errorf("missing %d, again %d, and the report is %+v", missing, again, r)
				}
				if name != "first file" && missing > 0 {
					t.Errorf("missing %d: %s, want %s", missing, render(got), render(want))
				}
			})
		}
	}
}

func TestQueuesWithoutNamesGetSome(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	old := w.queue("old")
	w.publish(3, 50, old)
	w.ok(w.s.Checkpoint())
	w.publish(100, 200, old) // files go by
	w.ack(old, w.claim(old, 90)...)
	w.ok(w.s.Checkpoint())
	w.ok(w.s.Checkpoint())
	w.publish(2, 60, old)
	w.close()
	f := freeze(t, w.fs)
	if len(f.names("wal/00000000000000000001.wal")) > 0 {
		t.Fatalf("the first file is still there: %v", f.names(""))
	}
	want := read(t, f.copy(nil), dataDir)
	m := f.without("catalog-", "checkpoint-")
	if err := opens(f.without("catalog-", "checkpoint-")); err == nil {
		t.Error("a store takes it")
	}
	v := mustVerify(t, m)
	if !v.Fatal {
		t.Errorf("problems %v", v.Problems)
	}
	r, got := mustSalvage(t, m)
	if len(r.Named) != 1 || r.Named[0].Name != (Name{VHost: "/", Queue: "salvaged-queue-1"}) || !r.Again || !r.Unknown {
		t.Errorf("report %+v", r)
	}
	// All that was not acked is there, perhaps with some that was.
	if missing, _ := within(t, "nameless", f, content{"old": got["salvaged-queue-1"]}, want, everything(w.n)); missing != 0 {
		t.Errorf("%d missing: %v", missing, got)
	}
	if !slices.Contains(got["catalog"], "vhost '/'") || !slices.Contains(got["catalog"], "queue 'salvaged-queue-1' in vhost '/'") {
		t.Errorf("catalog %q", got["catalog"])
	}
}

// everything is what publish gave a queue "old" above.
func everything(n int) content {
	var lines []string
	for i := 1; i <= n; i++ {
		for _, size := range []int{50, 200, 60} {
			lines = append(lines, fmt.Sprintf("m%05d %d key", i, size))
		}
	}
	return content{"old": lines}
}

func TestWhatRefersToNothingIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.usual()
	w.bind("nowhere", "a")
	w.do(func(b *store.Batch) {
		b.Put("?odd", []byte("x"))
		b.Put(queueKey(Name{VHost: "/", Queue: "ghost"}), []byte{1, 2, 3})
		b.Put(queueKey(Name{VHost: "other", Queue: "q"}), nil)
		b.Put(catalog.Key(catalog.User, "u"), nil)
		b.Put(catalog.Key(catalog.Once, "users"), nil)
		b.Put(catalog.Key(catalog.Access, "/", "u"), nil)
		b.Put(catalog.Key(catalog.Topics, "/", "u", "x"), nil)
		b.Put(catalog.Key(catalog.Access, "/", "gone"), nil)
		b.Put(catalog.Key(catalog.Topics, "/", "gone", "x"), nil)
	})
	w.close()
	f := freeze(t, w.fs)
	want := read(t, f.copy(nil), dataDir)
	v := mustVerify(t, w.fs)
	if !v.Fatal || v.Found != 6 {
		t.Errorf("problems %v", v.Problems)
	}
	r, got := mustSalvage(t, w.fs)
	if len(r.Dropped) != 6 || !slices.Contains(r.Dropped, "permissions of user 'gone' in vhost '/': there is no user 'gone'") ||
		!slices.Contains(r.Dropped, "topic permissions of user 'gone' for exchange 'x' in vhost '/': there is no user 'gone'") {
		t.Errorf("left out: %q", r.Dropped)
	}
	for _, q := range []string{"a", "b", "c"} {
		if !reflect.DeepEqual(got[q], want[q]) {
			t.Errorf("queue %s: %q, want %q", q, got[q], want[q])
		}
	}
	if len(got["catalog"]) != 12 { // and the vhost of q
		t.Errorf("catalog %q", got["catalog"])
	}
}

func TestSalvageWritesToNewDirectoriesAlone(t *testing.T) {
	w := newWorld(t)
	w.usual()
	w.close()
	for _, to := range []string{dataDir, dataDir + "/sub", dataDir + "/wal", "/"} {
		if _, err := Salvage(dataDir, to, Options{FS: dirFS{w.fs}}); err == nil {
			t.Errorf("saved to %s", to)
		}
	}
}

// An interrupted salvage must not look like a data directory.
func TestASalvageThatWasInterruptedIsRefused(t *testing.T) {
	w := newWorld(t)
	w.usual()
	w.close()
	f := freeze(t, w.fs)
	whole := f.copy(nil)
	before := whole.Ops()
	if _, err := Salvage(dataDir, newDir, Options{FS: dirFS{whole}}); err != nil {
		t.Fatal(err)
	}
	ops := whole.Ops() - before
	if ops < 10 {
		t.Fatalf("%d operations", ops)
	}
	want := read(t, whole, newDir)
	for n := 1; n < ops; n++ {
		m := f.copy(nil)
		m.CutAt(m.Ops() + n)
		_, err := Salvage(dataDir, newDir, Options{FS: dirFS{m}})
		after := m.Restart()
		s, oerr := store.Open(newDir, tiny(after))
		if oerr != nil {
			continue // as it should be
		}
		s.Close()
		got := read(t, after, newDir)
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("cut at %d: salvaged, and then %s", n, render(got))
		}
		empty := true
		for _, lines := range got {
			empty = empty && len(lines) == 0
		}
		if !empty && !reflect.DeepEqual(got, want) {
			t.Errorf("cut at %d: a part of it is taken: %s", n, render(got))
		}
	}
}

// One byte that is wrong in a frame of many messages costs one message.
func TestOneBadByteCostsOneMessage(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	q := w.queue("a")
	w.do(func(b *store.Batch) {
		for i := range 20 {
			b.Publish(store.Message{RoutingKey: []byte("key"), Props: []byte{0, 0}, Body: fmt.Appendf(nil, "m%05d.%s", i, strings.Repeat("x", 10)), Persistent: true}, []*store.Queue{q})
		}
	})
	w.publish(1, 50, q) // proves that the frame was whole
	w.kill()
	f := freeze(t, w.fs)
	log := f.names("wal/")[0]
	off := strings.Index(string(f.files[log]), "m00007.") + 9
	m := f.damaged(log, func(b []byte) []byte { b[off] ^= 1; return b })
	r, got := mustSalvage(t, m)
	if len(got["a"]) != 20 || !r.Unknown || r.Messages != 20 {
		t.Errorf("%d of 21 messages were saved: %+v", len(got["a"]), r)
	}
	for _, line := range got["a"] {
		if strings.HasPrefix(line, "m00007 ") {
			t.Errorf("saved %q", line)
		}
	}
}

func TestAfterAFailedLogAllIsRedelivered(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	w.publish(2, 50, w.queue("a"))
	w.close()
	f := freeze(t, w.fs)
	f.files[dataDir+"/FAILED"] = []byte{}
	_, got := mustSalvage(t, f.copy(nil))
	for _, line := range got["a"] {
		if !strings.Contains(line, "redelivered=true") {
			t.Errorf("saved %q", line)
		}
	}
}

// badDisk fails every read of a part of one file.
type badDisk struct {
	dirFS
	name     string
	from, to int64
}

type badFile struct {
	vfs.File
	disk *badDisk
}

func (d *badDisk) Open(name string) (vfs.File, error) {
	h, err := d.dirFS.Open(name)
	if err != nil || name != d.name {
		return h, err
	}
	return badFile{h, d}, nil
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if off < f.disk.to && off+int64(len(p)) > f.disk.from {
		return 0, fmt.Errorf("read %s: %w", f.disk.name, syscall.EIO)
	}
	return f.File.ReadAt(p, off)
}

// A sector of each file in turn cannot be read: that is a problem with its place,
// and costs what is in it alone.
func TestWhatTheDiskCannotReadIsLost(t *testing.T) {
	for _, h := range histories {
		f, want, ever := history(t, h.build, endings["killed"])
		for _, name := range f.names("") {
			size := int64(len(f.files[name]))
			if size == 0 {
				continue
			}
			from := size / 2
			disk := &badDisk{dirFS{f.copy(nil)}, name, from, from + 1}
			v, err := Verify(dataDir, Options{FS: disk})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			what := func(p Problem) bool { return p.File == name && strings.Contains(p.Cause, "input/output error") }
			if !slices.ContainsFunc(v.Problems, what) && !strings.Contains(name, "large/") { // or it is not needed
				t.Errorf("%s: %v", name, v.Problems)
			}
			r, err := Salvage(dataDir, newDir, Options{FS: disk})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := read(t, disk.Mem, newDir)
			missing, again := within(t, name, f, got, want, ever)
			if int64(missing) != r.Lost && !r.Unknown || again > 0 && !r.Unknown && !r.Again || missing > 0 && !slices.ContainsFunc(r.Problems, what) {
				t.Errorf("%s: %d missing, %d again: %+v", name, missing, again, r)
			}
		}
	}
}

// lockedFS may not open what ends like this.
type lockedFS struct {
	dirFS
	suffix string
}

func (f lockedFS) Open(name string) (vfs.File, error) {
	if strings.HasPrefix(name, dataDir) && strings.HasSuffix(name, f.suffix) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.dirFS.Open(name)
}

// Lack of rights is no damage: nothing is said to be lost.
func TestWhatMayNotBeOpenedIsNotLost(t *testing.T) {
	w := newWorld(t)
	w.larges()
	w.close()
	for i, suffix := range []string{".seg", ".msg", ".wal"} {
		o := Options{FS: lockedFS{dirFS{w.fs}, suffix}}
		_, err := Verify(dataDir, o)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: verify: %v", suffix, err)
		}
		if _, err := ReadStat(dataDir, o); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: stat: %v", suffix, err)
		}
		if _, err := Salvage(dataDir, fmt.Sprint(newDir, i), o); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: salvage: %v", suffix, err)
		}
	}
}

// A file of the log that is missing is told in one line a queue, however many
// messages were in it.
func TestAMissingFileOfTheLogIsOneLine(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	q := w.queue("a")
	w.publish(100, 100, q)
	w.ok(w.s.Checkpoint())
	w.publish(40, 100, q)
	w.ok(w.s.Checkpoint())
	names, err := w.fs.ReadDir(dataDir + "/wal")
	w.ok(err)
	w.close()
	w.ok(w.fs.Remove(dataDir + "/wal/" + names[1]))
	v, err := Verify(dataDir, Options{FS: w.fs})
	if err != nil || v.Unreadable < 5 || v.Found != 1 || !strings.Contains(v.Problems[0].Cause, "messages from") {
		t.Errorf("%+v (%v)", v, err)
	}
	r, err := Salvage(dataDir, newDir, Options{FS: dirFS{w.fs}})
	if err != nil || r.Lost != v.Unreadable || len(r.Losses) != 1 || int64(r.Losses[0].Messages) != r.Lost {
		t.Errorf("%+v (%v)", r, err)
	}
}
