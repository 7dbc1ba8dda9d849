package inspect

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/store"
)

// churnFS does something whenever the one who looks opens a file, or lists a directory.
type churnFS struct {
	*vfs.Mem
	before func(name string)
}

func (f churnFS) Open(name string) (vfs.File, error) {
	f.before(name)
	return f.Mem.Open(name)
}

func (f churnFS) ReadDir(name string) ([]string, error) {
	f.before(name)
	return f.Mem.ReadDir(name)
}

// looks has every tool look at the directory, and expects nothing to be wrong.
func looks(t *testing.T, o Options) {
	t.Helper()
	if v, err := Verify(dataDir, o); err != nil || v.Found > 0 {
		t.Errorf("verify: %v (%v)", v, err)
	}
	if st, err := ReadStat(dataDir, o); err != nil || len(st.Problems) > 0 {
		t.Errorf("stat: %+v (%v)", st, err)
	}
	if n, err := Dump(dataDir, DumpOptions{Options: o}, func(*Line) error { return nil }); err != nil || n > 0 {
		t.Errorf("dump: %d (%v)", n, err)
	}
}

// What is written between the listing of the log's files and their reading is
// behind the end that the listing has seen.
func TestMessagesWrittenDuringALookAreNotMissing(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	q := w.queue("a")
	w.publish(3, 100, q)
	looks(t, Options{FS: churnFS{w.fs, func(name string) {
		if filepath.Ext(name) != "" && filepath.Base(filepath.Dir(name)) == walFolder {
			w.publish(1, 10, q)
		}
	}}})
	w.close()
}

// A broker that gets on between any two files that a look opens: no look finds
// anything wrong, whatever was retired, merged or removed under it.
func TestABrokerBetweenAnyTwoStepsOfALook(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		w := newWorld(t)
		w.vhost("/")
		a, b := w.queue("a"), w.queue("b")
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		work := func() {
			switch rng.IntN(10) {
			case 0, 1:
				w.ok(w.s.Checkpoint())
			case 2, 3:
				w.ok(w.s.Retire(true))
			case 4:
				w.ok(w.s.Compact())
			case 5:
				w.do(func(batch *store.Batch) { batch.Purge(a) })
			case 6, 7:
				w.publish(1+rng.IntN(5), rng.IntN(900), a, b)
			default:
				var c store.Claim
				b.Claim(&c, 1+rng.IntN(20), true)
				var seqs []uint64
				for _, it := range c.Items {
					seqs = append(seqs, it.Seq)
				}
				c.Release()
				w.ack(b, seqs...)
			}
		}
		for range 30 {
			work()
		}
		every := 1 + seed%6
		steps := 0
		looks(t, Options{FS: churnFS{w.fs, func(string) {
			if steps++; steps%every == 0 {
				work()
			}
		}}})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		w.close()
	}
}

// However much a broker does meanwhile, what is lost is found, and as much of it
// as is lost.
func TestWhatIsLostIsFoundWhileABrokerWorks(t *testing.T) {
	for name, lose := range map[string]func(w *world, q *store.Queue) string{
		"a segment": func(w *world, q *store.Queue) string {
			w.publish(6, 100, q)
			w.ok(w.s.Retire(true))
			return filepath.Join(dataDir, segmentFolder, segment.Name(1))
		},
		"a file of the log": func(w *world, q *store.Queue) string {
			w.publish(6, 100, q)
			names, err := w.fs.ReadDir(filepath.Join(dataDir, walFolder))
			w.ok(err)
			return filepath.Join(dataDir, walFolder, names[len(names)-1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.vhost("/")
			q, other := w.queue("a"), w.queue("b")
			file := lose(w, q)
			busy := func() {
				w.publish(8, 1000, other)
				w.ack(other, w.claim(other, 8)...)
				w.ok(w.s.Checkpoint())
			}
			for range 3 {
				busy()
			}
			w.ok(w.fs.Remove(file))
			steps := 0
			v, err := Verify(dataDir, Options{FS: churnFS{w.fs, func(string) {
				if steps++; steps%9 == 0 {
					busy()
				}
			}}})
			if err != nil || v.Unreadable != 6 {
				t.Errorf("%+v (%v)", v, err)
			}
			w.s.Close() // which may miss the file too
		})
	}
}

// A file that is missing once, and then is not needed any more, is no problem;
// one that is still needed by a state read later is one.
func TestAFileIsMissingOnlyIfALaterStateNeedsIt(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	q := w.queue("a")
	w.publish(5, 100, q)
	w.ok(w.s.Retire(true))
	w.ok(w.s.Checkpoint())
	first := filepath.Join(dataDir, segmentFolder, segment.Name(1))
	moves := 0
	o := Options{FS: churnFS{w.fs, func(name string) {
		// The segment that is asked for is emptied and removed just before.
		if strings.HasSuffix(name, ".seg") && moves < 40 {
			moves++
			w.ack(q, w.claim(q, 5)...)
			w.publish(5, 100, q)
			w.ok(w.s.Retire(true))
			w.ok(w.s.Checkpoint())
		}
	}}}
	v, err := Verify(dataDir, o)
	if err != nil || v.Found > 0 {
		t.Errorf("%+v (%v)", v, err)
	}
	if f, err := w.fs.Open(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", first, err)
		f.Close()
	}
	if moves < 2 {
		t.Errorf("%d moves", moves)
	}
	w.close()
}

// flaky fails the first reads of a large file.
type flaky struct {
	vfs.File
	left *int
}

func (f flaky) ReadAt(p []byte, off int64) (int, error) {
	if off == 0 && *f.left > 0 {
		*f.left--
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, off)
}

// A disk that gives up a large file only when asked for long: what could not be
// copied is lost, and said to be so, though it can be read later.
func TestALargeFileThatIsReadOnlyTheSecondTimeIsLost(t *testing.T) {
	w := newWorld(t)
	w.vhost("/")
	q := w.queue("a")
	w.upload(1000, q)
	left := 2 // the copy asks twice
	r, err := Salvage(dataDir, newDir, Options{FS: dirFS{w.fs}})
	if err != nil || r.Lost != 0 {
		t.Fatalf("%+v (%v)", r, err)
	}
	r, err = Salvage(dataDir, newDir+"2", Options{FS: flakyFS{dirFS{w.fs}, &left, func() { w.publish(1, 10, q) }}})
	if err != nil || r.Lost != 1 || r.Messages != 0 {
		t.Errorf("%+v (%v)", r, err)
	}
	w.close()
}

type flakyFS struct {
	dirFS
	left   *int
	before func()
}

func (f flakyFS) Open(name string) (vfs.File, error) {
	h, err := f.dirFS.Open(name)
	if err != nil || !strings.HasPrefix(name, dataDir) || filepath.Ext(name) != ".msg" {
		return h, err
	}
	f.before()
	return flaky{h, f.left}, nil
}

// A segment with an old message and a new one, between which billions have gone.
func TestWhatIsGoneWithinARunCostsNoTime(t *testing.T) {
	const far = 1 << 34
	m := vfs.NewMem()
	dir := filepath.Join(dataDir, segmentFolder)
	if err := errors.Join(m.MkdirAll(dir), m.MkdirAll(filepath.Join(dataDir, largeFolder))); err != nil {
		t.Fatal(err)
	}
	b, err := segment.Create(m, dir, 1, segment.Options{})
	if err == nil {
		err = errors.Join(b.Add(1, 0, []byte("old")), b.Add(1, far, []byte("new")))
	}
	if err == nil {
		_, err = b.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{id: 1}
	q.ix.Restore(0, index.MakeEntry(8, 3, 3, index.Logged))
	q.ix.Restore(far, index.MakeEntry(16, 3, 3, index.Logged))
	q.ix.Seal(0, far+1, 1, func(uint64) bool { return true }, nil)
	s := &state{dir: dataDir, opts: Options{FS: m}.withDefaults()}
	src, err := s.sources()
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	read, lost := "", uint64(0)
	for range 2 {
		err = src.run(q, q.runs()[0], 0, far+1, func(seq uint64, payload []byte) error {
			read += string(payload)
			return nil
		}, func(l loss) error {
			if l.first != 0 || l.last != far {
				t.Errorf("%+v", l)
			}
			lost += l.n
			return l.each(q, func(seq uint64) error { lost++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		src.close()
		clear(src.readers)
		m.Remove(filepath.Join(dir, segment.Name(1)))
	}
	if read != "oldnew" || lost != 4 {
		t.Errorf("read %q, %d lost", read, lost)
	}
}
