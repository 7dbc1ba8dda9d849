package vfs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// crashModel is a second account of what a power cut may leave, kept by byte
// and by name instead of by write and by change: coarser, so that it says what
// must never be seen, and too simple to be wrong in the same way as Mem.
type crashModel struct {
	names map[string]*nameModel // by full path, of files and directories
	files map[uint64]*fileModel // by inode
}

// nameModel is the history of a name since its directory was synced: inodes,
// 0 where it was free. The last is what it is now.
type nameModel struct{ history []uint64 }

func (n *nameModel) now() uint64 { return n.history[len(n.history)-1] }

type fileModel struct {
	bytes  []byteModel
	synced int // durable length
}

// byteModel is the history of a byte since it was synced. Failed syncs have
// passed over the first lost of its values after the durable one.
type byteModel struct {
	history []byte
	lost    int
}

func (m *crashModel) set(name string, id uint64) {
	n := m.names[name]
	if n == nil {
		n = &nameModel{history: []uint64{0}}
		m.names[name] = n
	}
	n.history = append(n.history, id)
}

func (m *crashModel) write(id uint64, p []byte, off int) {
	f := m.files[id]
	for len(f.bytes) < off+len(p) {
		f.bytes = append(f.bytes, byteModel{history: []byte{0}})
	}
	for i, b := range p {
		f.bytes[off+i].history = append(f.bytes[off+i].history, b)
	}
}

func (f *fileModel) sync() {
	for i := range f.bytes {
		b := &f.bytes[i]
		if len(b.history) > 1+b.lost { // written since the last failure
			*b = byteModel{history: b.history[len(b.history)-1:]}
			f.synced = max(f.synced, i+1)
		}
	}
}

func (f *fileModel) loseSync() {
	for i := range f.bytes {
		f.bytes[i].lost = len(f.bytes[i].history) - 1
	}
}

func (m *crashModel) syncDir(dir string) {
	for name, n := range m.names {
		if path.Dir(name) == dir {
			n.history = n.history[len(n.history)-1:]
		}
	}
}

// check says what is wrong with an image.
func (m *crashModel) check(img *Mem) error {
	seen := map[string]uint64{}
	var walk func(dir string, ino *inode) error
	walk = func(dir string, ino *inode) error {
		for base, e := range ino.entries {
			name := path.Join(dir, base)
			seen[name] = e.id
			n := m.names[name]
			if n == nil || !slices.Contains(n.history, e.id) {
				return fmt.Errorf("%s is inode %d, which it never was", name, e.id)
			}
			if e.isDir() {
				if err := walk(name, e); err != nil {
					return err
				}
			} else if err := m.files[e.id].check(e.live.bytes()); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	if err := walk("/", img.root); err != nil {
		return err
	}
	for name, n := range m.names {
		dir := path.Dir(name)
		_, there := seen[name]
		if _, hasDir := seen[dir]; !there && (hasDir || dir == "/") && !slices.Contains(n.history, 0) {
			return fmt.Errorf("%s is gone, though synced", name)
		}
	}
	return nil
}

func (f *fileModel) check(data []byte) error {
	if len(data) < f.synced || len(data) > len(f.bytes) {
		return fmt.Errorf("length %d is not in [%d, %d]", len(data), f.synced, len(f.bytes))
	}
	for i, b := range data {
		// A byte that was not synced starts as zero in its history.
		if !slices.Contains(f.bytes[i].history, b) {
			return fmt.Errorf("byte %d is %#x, which it never was", i, b)
		}
	}
	return nil
}

// adopt starts again from an image: all that it holds is durable.
func (m *crashModel) adopt(img *Mem) {
	m.names, m.files = map[string]*nameModel{}, map[uint64]*fileModel{}
	var walk func(dir string, ino *inode)
	walk = func(dir string, ino *inode) {
		for base, e := range ino.entries {
			name := path.Join(dir, base)
			m.names[name] = &nameModel{history: []uint64{e.id}}
			if e.isDir() {
				walk(name, e)
				continue
			}
			f := &fileModel{synced: int(e.live.size)}
			for _, b := range e.live.bytes() {
				f.bytes = append(f.bytes, byteModel{history: []byte{b}})
			}
			m.files[e.id] = f
		}
	}
	walk("/", img.root)
}

// TestImagesAgreeWithAModel drives a Mem at random, goes on from images and
// restarts, and checks every image on the way.
func TestImagesAgreeWithAModel(t *testing.T) {
	dirs := []string{"/", "/d", "/d/e"}
	bases := []string{"x", "y", "z"}
	sectors := []int{1, 4, 512}
	rapid.Check(t, func(t *rapid.T) {
		m := NewMem()
		model := &crashModel{}
		model.adopt(m)
		type handle struct {
			f  *memFile
			id uint64
		}
		var open []handle
		next := byte(0)
		// live lists the names of files, or of directories, as they are now.
		live := func(dirs bool) (names []string) {
			for name, n := range model.names {
				_, file := model.files[n.now()]
				if n.now() != 0 && file != dirs {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		}
		anyDir := func(t *rapid.T) string {
			return rapid.SampledFrom(append(live(true), "/")).Draw(t, "dir")
		}
		anyName := func(t *rapid.T) string {
			return path.Join(anyDir(t), rapid.SampledFrom(bases).Draw(t, "base"))
		}
		check := func(t *rapid.T) (images []*Mem) {
			o := ImageOptions{
				Sector:    rapid.SampledFrom(sectors).Draw(t, "sector"),
				MaxImages: 60, Seed: rapid.Uint64().Draw(t, "seed"),
			}
			for desc, img := range m.Images(o) {
				if err := model.check(img); err != nil {
					t.Fatalf("%s: %v", desc, err)
				}
				images = append(images, img)
			}
			return images
		}
		anyHandle := func(t *rapid.T) handle {
			if len(open) == 0 {
				t.Skip("no file is open")
			}
			return open[rapid.IntRange(0, len(open)-1).Draw(t, "file")]
		}
		anyFile := func(t *rapid.T) string {
			files := live(false)
			if len(files) == 0 {
				t.Skip("no file")
			}
			return rapid.SampledFrom(files).Draw(t, "name")
		}
		fatal := func(t *rapid.T, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"mkdir": func(t *rapid.T) {
				dir := rapid.SampledFrom(dirs[1:]).Draw(t, "dir")
				fatal(t, m.MkdirAll(dir))
				for _, d := range dirs[1:] {
					ino, err := m.find(d)
					if n := model.names[d]; err == nil && (n == nil || n.now() != ino.id) {
						model.set(d, ino.id)
					}
				}
			},
			"create": func(t *rapid.T) {
				name := anyName(t)
				f, err := m.Create(name)
				if n := model.names[name]; n != nil && n.now() != 0 {
					if err == nil {
						t.Fatalf("%s was created twice", name)
					}
					return
				}
				fatal(t, err)
				id := f.(*memFile).ino.id
				model.set(name, id)
				model.files[id] = &fileModel{}
				open = append(open, handle{f.(*memFile), id})
			},
			"write": func(t *rapid.T) {
				h := anyHandle(t)
				next++
				data := make([]byte, rapid.IntRange(1, 9).Draw(t, "length"))
				for i := range data {
					data[i] = next
				}
				off := rapid.IntRange(0, 12).Draw(t, "offset")
				_, err := h.f.WriteAt(data, int64(off))
				fatal(t, err)
				model.write(h.id, data, off)
			},
			"sync": func(t *rapid.T) {
				h := anyHandle(t)
				fatal(t, h.f.Sync())
				model.files[h.id].sync()
			},
			"failing sync": func(t *rapid.T) {
				h := anyHandle(t)
				h.f.loseSync()
				model.files[h.id].loseSync()
			},
			"rename": func(t *rapid.T) {
				from, to := anyFile(t), anyName(t)
				fatal(t, m.Rename(from, to))
				id := model.names[from].now()
				if n := model.names[to]; n == nil || n.now() != id {
					model.set(to, id)
					model.set(from, 0)
				}
			},
			"remove": func(t *rapid.T) {
				name := anyFile(t)
				fatal(t, m.Remove(name))
				model.set(name, 0)
			},
			"syncdir": func(t *rapid.T) {
				dir := anyDir(t)
				fatal(t, m.SyncDir(dir))
				model.syncDir(dir)
			},
			"restart": func(t *rapid.T) {
				m = m.Restart()
				for i := range open {
					f, err := reopen(m, open[i].id)
					if err != nil { // has no name any more
						open[i] = handle{}
						continue
					}
					open[i].f = f
				}
				open = slices.DeleteFunc(open, func(h handle) bool { return h.f == nil })
			},
			"power cut": func(t *rapid.T) {
				images := check(t)
				m = images[rapid.IntRange(0, len(images)-1).Draw(t, "image")]
				model.adopt(m)
				open = nil
				for _, name := range live(false) {
					id := model.names[name].now()
					if f, err := reopen(m, id); err == nil {
						open = append(open, handle{f, id})
					}
				}
			},
			"": func(t *rapid.T) {
				check(t)
				var used int64
				seen := map[uint64]bool{}
				for _, name := range live(false) {
					id := model.names[name].now()
					if !seen[id] {
						seen[id] = true
						used += int64(len(model.files[id].bytes))
					}
				}
				if m.used != used {
					t.Fatalf("%d bytes are used, not %d", m.used, used)
				}
			},
		})
	})
}

// reopen opens a file by its inode for writing, whatever its name.
func reopen(m *Mem, id uint64) (*memFile, error) {
	var found *memFile
	var walk func(ino *inode)
	walk = func(ino *inode) {
		for _, e := range ino.entries {
			if e.id == id {
				found = &memFile{fs: m, ino: e, name: e.name, writable: true}
			}
			walk(e)
		}
	}
	walk(m.root)
	if found == nil {
		return nil, ErrLocked
	}
	return found, nil
}

// TestImagesAreExactlyTheModel compares all images of one small file with an
// enumeration that is nothing but the rule: each sector takes on the states it
// went through, byte by byte.
func TestImagesAreExactlyTheModel(t *testing.T) {
	const unit = 4
	rapid.Check(t, func(t *rapid.T) {
		m := NewMem()
		f, err := m.Create("f")
		if err != nil {
			t.Fatal(err)
		}
		old := rapid.SliceOfN(rapid.Just(byte('o')), 0, 6).Draw(t, "old")
		if _, err := f.WriteAt(old, 0); err != nil {
			t.Fatal(err)
		}
		m.SyncAll()

		// states[s] are the states of sector s, each with how far it reaches.
		type sectorState struct {
			data  [unit]byte
			reach int
		}
		var states [3][]sectorState
		for s := range states {
			var first sectorState
			if s*unit < len(old) {
				copy(first.data[:], old[s*unit:])
			}
			states[s] = []sectorState{first}
		}
		length := len(old)
		for i := range rapid.IntRange(0, 3).Draw(t, "writes") {
			off := rapid.IntRange(0, 7).Draw(t, "offset")
			data := slices.Repeat([]byte{byte('a' + i)}, rapid.IntRange(1, 4).Draw(t, "length"))
			if _, err := f.WriteAt(data, int64(off)); err != nil {
				t.Fatal(err)
			}
			length = max(length, off+len(data))
			for j, b := range data {
				s := (off + j) / unit
				state := states[s][len(states[s])-1]
				state.data[(off+j)%unit] = b
				state.reach = max(state.reach, off+j+1)
				states[s] = append(states[s], state)
			}
		}
		want := map[string]bool{}
		for _, a := range states[0] {
			for _, b := range states[1] {
				for _, c := range states[2] {
					whole := slices.Concat(a.data[:], b.data[:], c.data[:])
					for n := max(len(old), a.reach, b.reach, c.reach); n <= length; n++ {
						want[string(whole[:n])] = true
					}
				}
			}
		}
		got := map[string]bool{}
		for desc, img := range m.Images(ImageOptions{Sector: unit, MaxImages: 1 << 20}) {
			data, err := ReadFile(img, "f")
			if err != nil {
				t.Fatal(err)
			}
			if !want[string(data)] {
				t.Fatalf("%s: %q", desc, data)
			}
			got[string(data)] = true
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%d images, %d expected: %q and %q", len(got), len(want),
				slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	})
}

// TestSampledImagesAgreeWithTheModel is the same for files too large to
// enumerate: many pages, writes over and behind each other.
func TestSampledImagesAgreeWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMem()
		model := &crashModel{}
		model.adopt(m)
		f, err := m.Create("f")
		if err != nil {
			t.Fatal(err)
		}
		id := f.(*memFile).ino.id
		model.set("/f", id)
		model.files[id] = &fileModel{}
		for i := range rapid.IntRange(1, 6).Draw(t, "writes") {
			off := rapid.IntRange(0, 3*pageSize).Draw(t, "offset")
			data := slices.Repeat([]byte{byte(i + 1)}, rapid.IntRange(1, pageSize).Draw(t, "length"))
			if _, err := f.WriteAt(data, int64(off)); err != nil {
				t.Fatal(err)
			}
			model.write(id, data, off)
			if rapid.IntRange(0, 4).Draw(t, "sync") == 0 {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
				model.files[id].sync()
			}
		}
		for desc, img := range m.Images(ImageOptions{MaxImages: 40, Seed: rapid.Uint64().Draw(t, "seed")}) {
			if err := model.check(img); err != nil {
				t.Fatalf("%s: %v", desc, err)
			}
		}
	})
}
