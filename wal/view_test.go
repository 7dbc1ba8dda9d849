package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// seen is what a walk through all files of a view tells.
type seen struct {
	recs, loose []string
	damage      []Damage
	read        int64
}

func look(t testing.TB, fs vfs.FS) seen {
	t.Helper()
	v, err := OpenView(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var s seen
	for i := range v.Files() {
		_, err := v.Walk(i, 0, Walker{
			Record: func(lsn LSN, rec []byte, whole bool) error {
				if !whole {
					s.loose = append(s.loose, string(rec))
					return nil
				}
				s.recs = append(s.recs, string(rec))
				got := make([]byte, len(rec))
				if err := v.ReadAt(got, lsn); err != nil || string(got) != string(rec) {
					t.Errorf("at lsn %d ReadAt gives %q (%v), Walk %q", lsn, got, err, rec)
				}
				return nil
			},
			Damage: func(d Damage) error { s.damage = append(s.damage, d); return nil },
			Read:   func(n int64) error { s.read += n; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestAViewReadsWhatReplayReads(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	for i := range 60 {
		l.mustCommit(t, fill(i, 100+i))
	}
	s := look(t, m) // in use
	want, _, err := replayed(m, 0)
	if err != nil || !slices.Equal(s.recs, want) || len(s.damage) > 0 {
		t.Fatalf("%d records, damage %v; replay has %d (%v)", len(s.recs), s.damage, len(want), err)
	}
	l.mustClose(t)
	l = mustOpen(t, m, 0, tiny()) // copies nothing: the seal proves the tail
	l.mustCommit(t, "more")
	if s = look(t, m); !slices.Equal(s.recs, append(want, "more")) || len(s.damage) > 0 {
		t.Fatalf("%d records, damage %v", len(s.recs), s.damage)
	}
}

// TestAViewReadsWhatItTellsOf: the log has grown since the view was made, by the
// length of its file, or within it where that is written over an older one.
func TestAViewReadsWhatItTellsOf(t *testing.T) {
	t.Run("fresh file", func(t *testing.T) { viewReadsWhatItTellsOf(t, 0) })
	t.Run("file that was longer", func(t *testing.T) { viewReadsWhatItTellsOf(t, 1<<20) })
}

func viewReadsWhatItTellsOf(t *testing.T, length int64) {
	m := newMem(t)
	l := mustOpen(t, m, 0, Options{FileSize: 1 << 20, nonce: counter(1)})
	l.mustCommit(t, fill(0, 100))
	if length > 0 {
		h, err := m.OpenRW(l.Files()[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.WriteAt([]byte{1}, length-1); err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	v, err := OpenView(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i := range 50 {
		l.mustCommit(t, fill(i, 1000))
	}
	n := 0
	end, err := v.Walk(len(v.Files())-1, 0, Walker{Record: func(lsn LSN, rec []byte, whole bool) error {
		n++
		got := make([]byte, len(rec))
		if err := v.ReadAt(got, lsn); err != nil || string(got) != string(rec) {
			return fmt.Errorf("record %d at lsn %d: %w", n, lsn, err)
		}
		if _, _, ok := v.Locate(lsn); !ok {
			return fmt.Errorf("record %d at lsn %d is nowhere", n, lsn)
		}
		return nil
	}})
	if files := v.Files(); err != nil || n != 51 || files[len(files)-1].End != end {
		t.Errorf("%d records up to %d of %+v: %v", n, end, files, err)
	}
	l.mustClose(t)
}

func TestAViewGoesOnBehindDamage(t *testing.T) {
	one := func() *image { return newImage(1, 0).frame("a", "b").frame("c", "d").frame("e") }
	end := one().end()
	for name, c := range map[string]struct {
		files  []*image
		recs   string
		loose  string
		damage []string // parts of the damages, in order
	}{
		"whole":             {[]*image{one()}, "abcde", "", nil},
		"torn tail":         {[]*image{one().damage(-1)}, "abcd", "", []string{"torn"}},
		"filled ahead":      {[]*image{one().bytes(make([]byte, 64)...)}, "abcde", "", []string{"torn blank zeros"}},
		"torn tail of zero": {[]*image{one().bytes(append(make([]byte, 64), 1)...)}, "abcde", "", []string{"torn zeros"}},
		"second of a group torn, third whole": {
			[]*image{newImage(1, 0).frame("a").group(56-8, "b").damage(-9).group(56-8, "c")}, "a", "", []string{"torn"}},
		"record in the middle":    {[]*image{one().damage(64 + 56 + 40 + 4)}, "abe", "\x9cd", []string{"frame has a wrong checksum"}},
		"nonce in the middle":     {[]*image{one().damage(64 + 56 + 16)}, "abe", "cd", []string{"foreign nonce"}},
		"length in the middle":    {[]*image{one().damage(64 + 56 + 4)}, "abe", "cd", []string{"longer than the rest"}},
		"number of records":       {[]*image{one().damage(64 + 56 + 12)}, "abe", "cd", []string{"wrong checksum"}},
		"header":                  {[]*image{one().damage(20)}, "abcde", "", []string{"file header has a wrong checksum"}},
		"header and first frame":  {[]*image{one().damage(20).damage(64)}, "cde", "ab", []string{"file header has a wrong checksum", "frame has a wrong checksum"}},
		"nothing but zeros":       {[]*image{one().zero(0, 64+int(end))}, "", "", []string{"wrong magic"}},
		"two frames in a row":     {[]*image{one().damage(64 + 44).damage(64 + 56 + 44)}, "e", "\x9eb\x9cd", []string{"wrong checksum"}},
		"last of the first file":  {[]*image{one().damage(-9), newImage(2, end).frame("f")}, "abcdf", "e", []string{"wrong checksum"}},
		"first file is cut":       {[]*image{one().cut(48), newImage(2, end).frame("f")}, "abcdf", "", []string{"this one ends early"}},
		"first file has a tail":   {[]*image{one().bytes(1, 2, 3, 4), newImage(2, end).frame("f")}, "abcdef", "", nil},
		"tail is copied":          {[]*image{one(), newImage(2, end-48).frame("e", "f")}, "abcdef", "", nil},
		"middle file removed":     {[]*image{one(), newImage(3, end+800).frame("f")}, "abcdef", "", nil},
		"torn, then file removed": {[]*image{one().damage(-9), newImage(3, end+800).frame("f")}, "abcdf", "", nil},
		"middle header unknown": {[]*image{one(), newImage(2, end).zero(0, 64).bytes(make([]byte, 100)...), newImage(3, end+800).frame("f")},
			"abcdef", "", []string{"wrong magic"}},
		"empty last file":     {[]*image{one(), newImage(2, end).cut(20)}, "abcde", "", nil},
		"file before another": {[]*image{newImage(1, 800).frame("a"), newImage(2, 400).frame("b")}, "a", "", []string{"file begins at 400, before"}},
		"unknown type": {[]*image{newImage(1, 0).frame("a").raw(frameHeader{kind: 9, nonce: 1001, first: 56 - 8, synced: 48}, nil).frame("b")},
			"ab", "", []string{"unknown type 9"}},
		"wrong count": {[]*image{newImage(1, 0).raw(frameHeader{kind: frameRecords, records: 3, nonce: 1001}, payload("a")).frame("b")},
			"ab", "", []string{"has 1 records and should have 3"}},
		"passes the next": {[]*image{one(), newImage(2, end-8).frame("f")}, "abcdf", "", []string{"passes 152, where the next file begins"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := look(t, writeImages(t, c.files...))
			if got := strings.Join(s.recs, ""); got != c.recs {
				t.Errorf("records %q, want %q", got, c.recs)
			}
			if got := strings.Join(s.loose, ""); got != c.loose {
				t.Errorf("records of bad frames %q, want %q", got, c.loose)
			}
			if len(s.damage) != len(c.damage) {
				t.Fatalf("damage %v, want %d", s.damage, len(c.damage))
			}
			for i, want := range c.damage {
				part, torn := strings.CutPrefix(want, "torn")
				part, blank := strings.CutPrefix(part, " blank")
				if d := s.damage[i]; d.Torn != torn || d.Blank != blank || !strings.Contains(d.Error(), strings.TrimSpace(part)) {
					t.Errorf("damage %+v, want %q", d, want)
				}
			}
		})
	}
}

func TestAViewOfANewerFormatIsRefused(t *testing.T) {
	im := newImage(1, 0).frame("a")
	im.data[8] = 9
	putChecksum(im.data[:fileHeaderSize])
	_, err := OpenView(writeImages(t, im), testDir)
	if err == nil || !strings.Contains(err.Error(), "format version 9") {
		t.Errorf("got %v", err)
	}
}

// Every byte of a log is damaged in turn. What the other frames hold is read, and
// nothing that was never written.
func TestAViewOfALogWithAnyByteWrong(t *testing.T) {
	var all []string
	build := func() []*image {
		a := newImage(1, 0).frame("0-aaaa", "1-bb").frame("2-c").frame("3-dddd", "4-eee")
		b := newImage(2, a.end()).frame("5-ffffff").frame("6-g", "7-hh")
		return []*image{a, b, newImage(3, b.end()).frame("8-ii").frame("9-j")}
	}
	all = look(t, writeImages(t, build()...)).recs
	for f, im := range build() {
		for off := range im.data {
			images := build()
			images[f].damage(off)
			s := look(t, writeImages(t, images...))
			what := fmt.Sprintf("file %d, byte %d", f+1, off)
			padding := len(s.recs) == len(all) && len(s.damage) == 0
			if len(s.damage) == 0 && (!padding || off >= fileHeaderSize) {
				// At the very end there is nothing that proves that a frame was whole.
				t.Errorf("%s: no damage, records %q", what, s.recs)
			}
			lost := 0
			at := 0
			for _, r := range all {
				if at < len(s.recs) && s.recs[at] == r {
					at++
				} else {
					lost++
				}
			}
			if at < len(s.recs) {
				t.Errorf("%s: invented %q", what, s.recs[at:])
			}
			if lost > 2 {
				t.Errorf("%s: lost %d records: %v, damage %v", what, lost, s.recs, s.damage)
			}
		}
	}
}

func TestReadAtOfAViewKnowsItsBounds(t *testing.T) {
	a := newImage(1, 0).frame("abc")
	m := writeImages(t, a, newImage(3, a.end()+400).frame("d"))
	v, err := OpenView(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, c := range []struct {
		lsn LSN
		n   int
		ok  bool
	}{
		{0, int(a.end()), true}, {0, int(a.end()) + 1, false}, {a.end(), 1, false}, {a.end() + 399, 1, false},
		{a.end() + 400, 48, true}, {a.end() + 448, 1, false}, {1 << 60, 1, false},
	} {
		err := v.ReadAt(make([]byte, c.n), c.lsn)
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrNotFound) {
			t.Errorf("%d bytes at %d: %v", c.n, c.lsn, err)
		}
		_, off, ok := v.Locate(c.lsn)
		if c.ok && (!ok || off < fileHeaderSize) {
			t.Errorf("lsn %d is not located", c.lsn)
		}
	}
}

func FuzzView(f *testing.F) {
	f.Add(newImage(1, 0).frame("a", "b").frame("c").data, newImage(2, 104).frame("d").data)
	f.Add(newImage(1, 0).frame("a").damage(70).frame("b").data, []byte{})
	f.Add(newImage(1, 8).frame("a").damage(3).frame("b").data, newImage(2, 0).data)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		m := vfs.NewMem()
		if err := m.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		writeFile(t, m, testDir+"/"+fileName(1), one)
		writeFile(t, m, testDir+"/"+fileName(2), two)
		v, err := OpenView(m, testDir)
		if err != nil {
			return
		}
		defer v.Close()
		total := 0
		for i := range v.Files() {
			_, err := v.Walk(i, 0, Walker{Record: func(_ LSN, rec []byte, _ bool) error {
				total += len(rec)
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if total > 2*(len(one)+len(two)) {
			t.Fatalf("%d bytes of records in %d of files", total, len(one)+len(two))
		}
	})
}
