package vfs

import (
	"fmt"
	"hash/maphash"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// dump is what a file system holds: full names with content, directories with
// a slash at their end.
func dump(t testing.TB, fsys FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fsys.ReadDir(dir)
		must(t, err)
		for _, name := range names {
			name = path.Join(dir, name)
			if data, err := ReadFile(fsys, name); err == nil {
				out[name] = string(data)
			} else {
				out[name+"/"] = ""
				walk(name)
			}
		}
	}
	walk("/")
	return out
}

// line is a dump in one comparable line.
func line(d map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d)) {
		fmt.Fprintf(&b, "%s=%q ", strings.TrimPrefix(name, "/"), d[name])
	}
	return strings.TrimSpace(b.String())
}

// lines collects the images, each as a line with its description.
func lines(t testing.TB, m *Mem, o ImageOptions) map[string]string {
	t.Helper()
	out := map[string]string{}
	for desc, img := range m.Images(o) {
		l := line(dump(t, img))
		if other, ok := out[l]; ok {
			t.Fatalf("%q and %q are the same image: %s", other, desc, l)
		}
		out[l] = desc
	}
	return out
}

func sameLines(t *testing.T, got map[string]string, want []string) {
	t.Helper()
	for _, w := range want {
		if _, ok := got[w]; !ok {
			t.Errorf("no image holds %s", w)
		}
	}
	for g, desc := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s: holds %s", desc, g)
		}
	}
}

func TestImagesOfNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T, m *Mem) // durable
		do    func(t *testing.T, m *Mem)
		want  []string
	}{
		{
			name: "nothing happened",
			want: []string{`a="A" b="B"`},
		}, {
			name: "a synced file whose name is not synced may be gone",
			do:   func(t *testing.T, m *Mem) { put(t, m, "c", "C") },
			want: []string{`a="A" b="B"`, `a="A" b="B" c="C"`},
		}, {
			name: "a synced name stays",
			do: func(t *testing.T, m *Mem) {
				put(t, m, "c", "C")
				must(t, m.SyncDir("/"))
			},
			want: []string{`a="A" b="B" c="C"`},
		}, {
			name: "a remove may be undone",
			do:   func(t *testing.T, m *Mem) { must(t, m.Remove("a")) },
			want: []string{`a="A" b="B"`, `b="B"`},
		}, {
			name: "a rename is done or undone",
			do:   func(t *testing.T, m *Mem) { must(t, m.Rename("a", "c")) },
			want: []string{`a="A" b="B"`, `b="B" c="A"`},
		}, {
			name: "a rename over a name replaces it or not",
			do:   func(t *testing.T, m *Mem) { must(t, m.Rename("a", "b")) },
			want: []string{`a="A" b="B"`, `b="A"`},
		}, {
			name: "two creates are independent",
			do: func(t *testing.T, m *Mem) {
				put(t, m, "c", "C")
				put(t, m, "d", "D")
			},
			want: []string{`a="A" b="B"`, `a="A" b="B" c="C"`, `a="A" b="B" d="D"`, `a="A" b="B" c="C" d="D"`},
		}, {
			name: "a later remove may outlive an earlier rename",
			do: func(t *testing.T, m *Mem) {
				put(t, m, "tmp", "new")
				must(t, m.Rename("tmp", "c"))
				must(t, m.Remove("a"))
			},
			want: []string{
				`a="A" b="B"`, `a="A" b="B" tmp="new"`, `a="A" b="B" c="new"`,
				`b="B"`, `b="B" tmp="new"`, `b="B" c="new"`,
			},
		}, {
			name: "a file renamed twice has one name",
			do: func(t *testing.T, m *Mem) {
				must(t, m.Rename("a", "x"))
				must(t, m.Rename("x", "y"))
			},
			want: []string{`a="A" b="B"`, `b="B" x="A"`, `b="B" y="A"`},
		}, {
			name: "a removed name that is used again holds the old or the new",
			do: func(t *testing.T, m *Mem) {
				must(t, m.Remove("a"))
				put(t, m, "a", "new")
			},
			want: []string{`a="A" b="B"`, `b="B"`, `a="new" b="B"`},
		}, {
			name: "a directory that is lost takes all with it",
			do: func(t *testing.T, m *Mem) {
				must(t, m.MkdirAll("d"))
				put(t, m, "d/f", "F")
				must(t, m.SyncDir("d"))
			},
			want: []string{`a="A" b="B"`, `a="A" b="B" d/="" d/f="F"`},
		}, {
			name: "directories are synced one by one",
			do: func(t *testing.T, m *Mem) {
				must(t, m.MkdirAll("d"))
				put(t, m, "d/f", "F")
				must(t, m.SyncDir("/"))
			},
			want: []string{`a="A" b="B" d/=""`, `a="A" b="B" d/="" d/f="F"`},
		}, {
			name:  "a rename between directories is two changes",
			start: func(t *testing.T, m *Mem) { must(t, m.MkdirAll("d")) },
			do:    func(t *testing.T, m *Mem) { must(t, m.Rename("a", "d/a")) },
			want: []string{
				`a="A" b="B" d/=""`, `a="A" b="B" d/="" d/a="A"`,
				`b="B" d/=""`, `b="B" d/="" d/a="A"`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			put(t, m, "a", "A")
			put(t, m, "b", "B")
			if c.start != nil {
				c.start(t, m)
			}
			m.SyncAll()
			if c.do != nil {
				c.do(t, m)
			}
			sameLines(t, lines(t, m, ImageOptions{}), c.want)
		})
	}
}

func TestImagesOfDataAreExact(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, f File)
		want []string // of a file that held AA, durable, with sectors of 2 bytes
	}{
		{
			name: "synced",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "bcd", 0)
				must(t, f.Sync())
			},
			want: []string{"bcd"},
		}, {
			name: "a sector is torn at any byte",
			do:   func(t *testing.T, f File) { writeAt(t, f, "bc", 0) },
			want: []string{"AA", "bA", "bc"},
		}, {
			name: "an append may leave zeros",
			do:   func(t *testing.T, f File) { writeAt(t, f, "bc", 2) },
			want: []string{"AA", "AA\x00", "AA\x00\x00", "AAb", "AAb\x00", "AAbc"},
		}, {
			name: "a later sector without an earlier",
			do:   func(t *testing.T, f File) { writeAt(t, f, "bcd", 1) },
			want: []string{
				"AA", "AA\x00", "AA\x00\x00", "AAc", "AAc\x00", "AAcd",
				"Ab", "Ab\x00", "Ab\x00\x00", "Abc", "Abc\x00", "Abcd",
			},
		}, {
			name: "a later write without an earlier",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "x", 0)
				writeAt(t, f, "y", 2)
			},
			want: []string{"AA", "xA", "AA\x00", "xA\x00", "AAy", "xAy"},
		}, {
			name: "writes of one sector come in order",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "x", 0)
				writeAt(t, f, "y", 1)
			},
			want: []string{"AA", "xA", "xy"},
		}, {
			name: "a sector written twice holds any of its states",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "bc", 0)
				writeAt(t, f, "de", 0)
			},
			want: []string{"AA", "bA", "bc", "dc", "de"},
		}, {
			name: "a write beyond the end",
			do:   func(t *testing.T, f File) { writeAt(t, f, "b", 4) },
			want: []string{"AA", "AA\x00", "AA\x00\x00", "AA\x00\x00\x00", "AA\x00\x00b"},
		}, {
			name: "what a failed sync has lost may be there or not, for good",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "b", 0)
				f.(*memFile).loseSync()
				must(t, f.Sync())
				writeAt(t, f, "c", 2)
				must(t, f.Sync())
			},
			want: []string{"AAc", "bAc"},
		}, {
			name: "what a failed sync has lost is mended by writing it again",
			do: func(t *testing.T, f File) {
				writeAt(t, f, "bcd", 0)
				f.(*memFile).loseSync()
				writeAt(t, f, "Cx", 1)
				must(t, f.Sync())
			},
			want: []string{"ACx", "bCx"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			f := create(t, m, "f")
			writeAt(t, f, "AA", 0)
			m.SyncAll()
			c.do(t, f)
			var want []string
			for _, w := range c.want {
				want = append(want, fmt.Sprintf("f=%q", w))
			}
			sameLines(t, lines(t, m, ImageOptions{Sector: 2}), want)
		})
	}
}

func TestNamesAndDataAreIndependent(t *testing.T) {
	m := NewMem()
	writeAt(t, create(t, m, "f"), "x", 0)
	writeAt(t, create(t, m, "g"), "y", 0)
	var want []string
	for _, f := range []string{"", `f=""`, `f="\x00"`, `f="x"`} {
		for _, g := range []string{"", `g=""`, `g="\x00"`, `g="y"`} {
			want = append(want, strings.TrimSpace(f+" "+g))
		}
	}
	sameLines(t, lines(t, m, ImageOptions{}), want)
}

// TestEveryTearOfAFrame looks for the tears that a log must survive, in a
// frame of several sectors behind synced ones, written at once or in pieces.
func TestEveryTearOfAFrame(t *testing.T) {
	for _, size := range []int{900, 70} {
		t.Run(fmt.Sprintf("in writes of %d", size), func(t *testing.T) { everyTear(t, size) })
	}
}

func everyTear(t *testing.T, size int) {
	m := NewMem()
	f := create(t, m, "f")
	synced := strings.Repeat("s", 700)
	frame := strings.Repeat("abcdefghi", 100)
	writeAt(t, f, synced, 0)
	m.SyncAll()
	for off := 0; off < len(frame); off += size {
		writeAt(t, f, frame[off:min(len(frame), off+size)], int64(700+off))
	}
	got := map[string]bool{}
	for _, img := range m.Images(ImageOptions{MaxImages: 10000}) {
		data := contentOf(t, img, "f")
		if !strings.HasPrefix(data, synced) {
			t.Fatal("synced data is harmed")
		}
		got[data[700:]] = true
	}
	has := func(what, data string) {
		t.Helper()
		if !got[data] {
			t.Errorf("no image with %s", what)
		}
	}
	zeros := strings.Repeat("\x00", len(frame))
	for n := range len(frame) {
		has(fmt.Sprintf("the first %d bytes", n), frame[:n])
		has(fmt.Sprintf("the first %d bytes and zeros", n), frame[:n]+zeros[n:])
	}
	has("all", frame)
	// The frame covers the end of sector 1, sector 2 and the start of 3.
	const a, b = 1024 - 700, 1536 - 700
	has("only the last sector", zeros[:b]+frame[b:])
	has("only the middle sector", zeros[:a]+frame[a:b])
	has("the middle sector and zeros", zeros[:a]+frame[a:b]+zeros[b:])
	has("all but the first sector", zeros[:a]+frame[a:])
	has("all but the middle sector", frame[:a]+zeros[a:b]+frame[b:])
}

// TestTearsOfALargeWriteAreSampled: the kinds of tear stand in a small sample
// too.
func TestTearsOfALargeWriteAreSampled(t *testing.T) {
	m := NewMem()
	f := create(t, m, "f")
	m.SyncAll()
	const sectors = 2000
	data := strings.Repeat("x", sectors*512)
	writeAt(t, f, data, 0)
	var head, border, inside, zeros, lostOne, late int
	for _, img := range m.Images(ImageOptions{MaxImages: 200}) {
		got := contentOf(t, img, "f")
		kept := len(got) - len(strings.TrimLeft(got, "x"))
		rest := strings.TrimLeft(got[kept:], "\x00")
		switch {
		case rest == "" && kept < len(got):
			zeros++
		case rest == "" && kept%512 == 0:
			border++
		case rest == "" && kept <= headBytes:
			head++
		case rest == "":
			inside++
		case kept == 0 && strings.Trim(rest, "x") == "":
			late++
		case strings.Count(got, "\x00") == 512:
			lostOne++
		}
	}
	for what, n := range map[string]int{
		"head": head, "border": border, "inside": inside, "zeros": zeros, "lostOne": lostOne, "late": late,
	} {
		if n == 0 {
			t.Errorf("no tear of kind %q", what)
		}
	}
}

func TestImagesAreBoundedAndRepeatable(t *testing.T) {
	m := NewMem()
	for i := range 10 {
		f := create(t, m, fmt.Sprintf("f%d", i))
		for j := range 10 {
			writeAt(t, f, strings.Repeat("x", 1000+i*j), int64(j)*5000)
		}
	}
	type image struct {
		desc string
		sum  uint64
	}
	seed := maphash.MakeSeed()
	collect := func(o ImageOptions) (all []image) {
		for desc, img := range m.Images(o) {
			var h maphash.Hash
			h.SetSeed(seed)
			d := dump(t, img)
			for _, name := range slices.Sorted(maps.Keys(d)) {
				fmt.Fprintln(&h, name, len(d[name]))
				_, _ = h.WriteString(d[name])
			}
			all = append(all, image{desc, h.Sum64()})
		}
		return all
	}
	first := collect(ImageOptions{MaxImages: 200, Seed: 1})
	if len(first) != 200 {
		t.Errorf("%d images", len(first))
	}
	if again := collect(ImageOptions{MaxImages: 200, Seed: 1}); !slices.Equal(first, again) {
		t.Error("the same options gave other images")
	}
	if other := collect(ImageOptions{MaxImages: 200, Seed: 2}); slices.Equal(first, other) {
		t.Error("another seed gave the same images")
	}
	seen := map[uint64]string{}
	for _, img := range first {
		if other, ok := seen[img.sum]; ok {
			t.Errorf("%s is the same as %s", img.desc, other)
		}
		seen[img.sum] = img.desc
	}
}

func TestImagesStopWhenTheReaderDoes(t *testing.T) {
	m := NewMem()
	writeAt(t, create(t, m, "f"), "0123456789", 0)
	n := 0
	for range m.Images(ImageOptions{}) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d images", n)
	}
}

func TestImagesAreOfTheMomentOfTheCall(t *testing.T) {
	m := NewMem()
	f := create(t, m, "f")
	writeAt(t, f, "old", 0)
	m.SyncAll()
	images := m.Images(ImageOptions{})
	writeAt(t, f, "new", 0)
	must(t, m.Remove("f"))
	must(t, m.SyncDir("/"))
	for range 2 { // a second look is the same
		for desc, img := range images {
			if got := line(dump(t, img)); got != `f="old"` {
				t.Errorf("%s: %s", desc, got)
			}
		}
	}
}

func TestImagesDoNotTouchEachOther(t *testing.T) {
	m := NewMem()
	f := create(t, m, "f")
	big := strings.Repeat("0123456789abcdef", 3*pageSize/16)
	writeAt(t, f, big, 0)
	m.SyncAll()
	writeAt(t, f, "new", pageSize-1)
	want := dump(t, m)
	wantSynced := line(map[string]string{"f": big})
	var images []*Mem
	for _, img := range m.Images(ImageOptions{}) {
		images = append(images, img)
		g := create(t, img, "g")
		writeAt(t, g, "image", 0)
		must(t, img.Rename("g", "f"))
	}
	for _, img := range images {
		must(t, img.Remove("f"))
	}
	if got := dump(t, m); !maps.Equal(got, want) {
		t.Error("the original has changed")
	}
	found := false
	for _, img := range m.Images(ImageOptions{}) {
		found = found || line(dump(t, img)) == wantSynced
	}
	if !found {
		t.Error("the synced content has changed")
	}
}

func TestImagesAreDurableAndWhole(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("d"))
	put(t, m, "d/f", "F")
	m.SyncAll()
	writeAt(t, create(t, m, "d/g"), "0123456789", 0)
	_, err := m.Lock("LOCK")
	must(t, err)
	m.Cut()
	for desc, img := range m.Images(ImageOptions{}) {
		want := line(dump(t, img))
		if img.Ops() != 0 {
			t.Errorf("%s: counts from %d", desc, img.Ops())
		}
		if got := lines(t, img, ImageOptions{}); len(got) != 1 || got[want] == "" {
			t.Errorf("%s: a second cut leaves other images: %q", desc, got)
		}
		l, err := img.Lock("LOCK")
		if err != nil {
			t.Errorf("%s: %v", desc, err)
			continue
		}
		must(t, l.Close())
	}
}

func TestDescriptionsNameTheImage(t *testing.T) {
	m := NewMem()
	put(t, m, "old", "O")
	m.SyncAll()
	f := create(t, m, "tmp")
	writeAt(t, f, strings.Repeat("x", 1200), 0)
	must(t, m.Rename("tmp", "new"))
	must(t, m.Remove("old"))
	var all []string
	for desc := range m.Images(ImageOptions{MaxImages: 5000}) {
		all = append(all, desc)
	}
	for _, want := range []string{
		"image 1: names as made; /new: all 1200 unsynced bytes, size 1200",
		"image 2: names as made; /new: nothing unsynced, size 0",
		"image 3: names as made; /new: nothing unsynced, size 1200 (zeros from 0)",
		"image 4: names as synced",
		"lost of 3 changes of names: remove /old; /new: ",
		"lost of 3 changes of names: rename /tmp to new, remove /old; /new: ",
		"the first 17 of 1200 unsynced bytes, size 17",
		"the first 17 of 1200 unsynced bytes, size 1200 (zeros from 17)",
		"688 of 1200 unsynced bytes: [0,512) lost, [512,1536) kept, size 1200",
	} {
		if !slices.ContainsFunc(all, func(d string) bool { return strings.Contains(d, want) }) {
			t.Errorf("no description with %q", want)
		}
	}
	if t.Failed() {
		for _, d := range all[:min(40, len(all))] {
			t.Log(d)
		}
	}
}
