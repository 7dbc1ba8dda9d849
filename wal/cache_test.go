package wal

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// cached is what the cache holds at lsn, "" for nothing.
func (l *Log) cached(lsn LSN, n int) string {
	l.Pin()
	defer l.Unpin()
	return string(l.Cached(lsn, n))
}

func TestRecordsAreCachedFromPutOn(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	if err := l.Begin(10, 1); err != nil {
		t.Fatal(err)
	}
	lsn, p := l.Put(10)
	copy(p, "0123456789")
	if got := l.cached(lsn, 10); got != "0123456789" {
		t.Errorf("before End: %q", got)
	}
	l.End(Lazy, nil)
	if got := l.cached(lsn+2, 3); got != "234" {
		t.Errorf("staged: %q", got)
	}
	l.Lead()
	if got := l.cached(lsn, 10); got != "0123456789" {
		t.Errorf("durable: %q", got)
	}
}

func TestCacheKeepsTheNewestWithinItsSize(t *testing.T) {
	opts := tiny()
	l := mustOpen(t, newMem(t), 0, opts)
	type rec struct {
		lsn  LSN
		text string
	}
	var recs []rec
	for i := range 100 {
		text := fill(i, 300)
		lsns, end := l.mustAppend(t, Lazy, nil, text)
		if err := l.Wait(end); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec{lsns[0], text})
		var bytes int64
		for _, c := range *l.ring.Load() {
			bytes += int64(len(c.buf))
		}
		if bytes > opts.CacheSize {
			t.Fatalf("cache holds %d bytes", bytes)
		}
	}
	n := 0
	for i, r := range recs {
		got := l.cached(r.lsn, len(r.text))
		switch {
		case got == "" && n > 0:
			t.Errorf("record %d is gone, and older ones are not", i)
		case got != "" && got != r.text:
			t.Errorf("record %d is %.20q", i, got)
		case got != "":
			n++
		}
		p := make([]byte, len(r.text))
		if err := l.ReadAt(p, r.lsn); err != nil || string(p) != r.text {
			t.Errorf("record %d read as %.20q, %v", i, p, err)
		}
	}
	if n < 8 {
		t.Errorf("%d records in the cache, want 2 a chunk in 4 chunks", n)
	}
}

func TestStagedChunksStayInTheCacheBeyondItsSize(t *testing.T) {
	opts := tiny()
	opts.CacheSize = 1
	l, g, _ := gated(t, opts)
	l.mustAppend(t, Group, nil, "first")
	<-g.entered
	var lsns []LSN
	for i := range 6 {
		at, _ := l.mustAppend(t, Lazy, nil, fill(i, 900))
		lsns = append(lsns, at...)
	}
	for i, lsn := range lsns {
		if got := l.cached(lsn, 900); got != fill(i, 900) {
			t.Errorf("record %d is %.20q", i, got)
		}
	}
	close(g.open)
	l.mustClose(t)
}

func TestMemoryIsNotUsedAgainWhilePinned(t *testing.T) {
	opts := tiny()
	opts.CacheSize = 2048
	l := mustOpen(t, newMem(t), 0, opts)
	lsns, _ := l.mustAppend(t, Lazy, nil, fill(0, 500))
	l.Lead()
	l.Pin()
	b := l.Cached(lsns[0], 500)
	for i := range 100 {
		l.mustCommit(t, fill(i+1, 500))
	}
	if string(b) != fill(0, 500) {
		t.Error("a pinned slice has changed")
	}
	l.Unpin()
	if got := l.cached(lsns[0], 500); got != "" {
		t.Error("the record is still in the cache")
	}
	// Without pins the memory goes round.
	seen := map[*byte]bool{}
	for i := range 50 {
		l.mustCommit(t, fill(i+1, 900))
		seen[&l.cur.buf[0]] = true
	}
	if len(seen) > 2+spareMax+1 {
		t.Errorf("%d chunks of memory for a cache of 2", len(seen))
	}
}

// What memory held before must not reach the disk between frames.
func TestPaddingIsZero(t *testing.T) {
	opts := tiny()
	opts.CacheSize = 1
	m := newMem(t)
	l := mustOpen(t, m, 0, opts)
	for i := range 100 {
		l.mustCommit(t, strings.Repeat("x", 90+i%8))
	}
	for _, info := range l.Files() {
		data, err := vfs.ReadFile(m, info.Name)
		if err != nil {
			t.Fatal(err)
		}
		for off := fileHeaderSize; off < len(data); {
			h := decodeFrameHeader(data[off:])
			end := off + int(h.size())
			for _, b := range data[off+frameHeaderSize+int(h.length) : end] {
				if b != 0 {
					t.Fatalf("padding of the frame at %d: %x", h.first, b)
				}
			}
			off = end
		}
	}
}

func TestCachedRefusesWhatIsNotThere(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	for i := range 30 {
		l.mustCommit(t, fill(i, 500))
	}
	last := (*l.ring.Load())[1]
	for _, tt := range []struct {
		lsn LSN
		n   int
	}{
		{0, 10}, {last.base - 4, 10}, {last.base, 2000}, {1 << 62, 1}, {l.Appended(), 1 << 40}, {last.base, -1},
	} {
		if got := l.cached(tt.lsn, tt.n); got != "" {
			t.Errorf("%d bytes at %d: got some", tt.n, tt.lsn)
		}
	}
}

func TestReadAtAnyRangeOfAFile(t *testing.T) {
	opts := tiny()
	opts.CacheSize = 1
	m := newMem(t)
	l := mustOpen(t, m, 0, opts)
	for i := range 60 {
		l.mustCommit(t, fill(i, 200))
	}
	for _, f := range l.Files() {
		data, err := vfs.ReadFile(m, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		for lsn := f.Start; lsn < f.End; lsn += 37 {
			n := min(700, int(f.End-lsn))
			p := make([]byte, n)
			if err := l.ReadAt(p, lsn); err != nil {
				t.Fatal(err)
			}
			off := fileHeaderSize + int(lsn-f.Start)
			if string(p) != string(data[off:off+n]) {
				t.Fatalf("%d bytes at %d differ", n, lsn)
			}
			name, at, ok := l.Locate(lsn)
			if name != f.Name || at != int64(off) || !ok {
				t.Fatalf("%d is at %s:%d", lsn, name, at)
			}
		}
		if err := l.ReadAt(make([]byte, 10), f.End-5); f.End < l.Durable() && !errors.Is(err, ErrNotFound) {
			t.Errorf("range that leaves its file: %v", err)
		}
	}
	for _, tt := range []struct {
		lsn LSN
		n   int
	}{{l.Durable(), 1000000}, {1 << 62, 1}, {l.Durable() - 1, 1000000}, {^LSN(0), 1}} {
		if err := l.ReadAt(make([]byte, tt.n), tt.lsn); !errors.Is(err, ErrNotFound) {
			t.Errorf("%d bytes at %d: %v", tt.n, tt.lsn, err)
		}
	}
	if _, _, ok := l.Locate(l.Durable()); ok {
		t.Error("located what is not written")
	}
}

func TestRecoveredRecordsAreReadFromFiles(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	for i := range 60 {
		l.mustCommit(t, fill(i, 200))
	}
	m = m.Restart() // killed, so that the last commit is copied
	recs, lsns, err := replayed(m, 0)
	if err != nil || len(recs) != 60 {
		t.Fatal(len(recs), err)
	}
	l = mustOpen(t, m, 0, tiny())
	for i, lsn := range lsns {
		p := make([]byte, len(recs[i]))
		if err := l.ReadAt(p, lsn); err != nil || string(p) != recs[i] {
			t.Errorf("record %d read as %.20q, %v", i, p, err)
		}
	}
}

func TestRemove(t *testing.T) {
	opts := tiny()
	opts.CacheSize = 1
	m := newMem(t)
	l := mustOpen(t, m, 0, opts)
	for i := range 60 {
		l.mustCommit(t, fill(i, 200))
	}
	files := l.Files()
	if err := l.Remove(files[1].Seq); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(files[1].Seq); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if err := l.Remove(files[len(files)-1].Seq); err == nil || !strings.Contains(err.Error(), "is being written") {
		t.Errorf("the active file: %v", err)
	}
	if len(l.Files()) != len(files)-1 {
		t.Errorf("files %+v", l.Files())
	}
	p := make([]byte, 10)
	if err := l.ReadAt(p, files[1].Start); !errors.Is(err, ErrNotFound) {
		t.Errorf("read of what was removed: %v", err)
	}
	for _, lsn := range []LSN{files[0].Start, files[2].Start} {
		if err := l.ReadAt(p, lsn); err != nil {
			t.Errorf("its neighbour at %d: %v", lsn, err)
		}
	}
	// A gap does not hinder a recovery that begins behind it.
	end := l.Boundary()
	l.mustClose(t)
	l = mustOpen(t, m, end, opts)
	if n := len(l.Files()); n != len(files)-1+1 {
		t.Errorf("%d files after recovery", n)
	}
	if err := l.ReadAt(p, files[0].Start); err != nil {
		t.Error(err)
	}
}

// A read that is under way when its file is removed ends well.
func TestRemoveDuringARead(t *testing.T) {
	handles := &handleFS{FS: newMem(t)}
	efs := vfs.NewErrFS(handles)
	opts := tiny()
	opts.CacheSize = 1
	l := mustOpen(t, efs, 0, opts)
	for i := range 60 {
		l.mustCommit(t, fill(i, 200))
	}
	f := l.Files()[0]
	before := handles.open.Load()
	reading, removed := make(chan struct{}), make(chan struct{})
	efs.Add(vfs.Rule{Ops: vfs.OpRead, Before: func(vfs.Call) {
		close(reading)
		<-removed
	}})
	done := make(chan error)
	go func() { done <- l.ReadAt(make([]byte, 100), f.Start) }()
	<-reading
	if err := l.Remove(f.Seq); err != nil {
		t.Error(err)
	}
	close(removed)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if g := l.files.find(f.Start); g != nil {
		t.Error("the file is still there")
	}
	if n := handles.open.Load(); n != before-1 {
		t.Errorf("%d handles are open, want %d", n, before-1)
	}
}

func TestHandlesAreBounded(t *testing.T) {
	counting := &handleFS{FS: newMem(t)}
	opts := tiny()
	opts.CacheSize = 1
	l := mustOpen(t, counting, 0, opts)
	var lsns []LSN
	for i := range 2 * maxIdle {
		at, end := l.mustAppend(t, Lazy, nil, fill(i, 4000)) // one a file
		if err := l.Wait(end); err != nil {
			t.Fatal(err)
		}
		lsns = append(lsns, at[0])
	}
	l.mustClose(t)
	if n := counting.open.Load(); n != 0 {
		t.Errorf("%d handles after Close", n)
	}
	l = mustOpen(t, counting, 0, opts)
	for round := range 2 {
		for i, lsn := range lsns {
			p := make([]byte, 4000)
			if err := l.ReadAt(p, lsn); err != nil || string(p) != fill(i, 4000) {
				t.Fatalf("round %d, record %d: %v", round, i, err)
			}
			if n := counting.open.Load(); n > maxIdle+1 {
				t.Fatalf("%d handles", n)
			}
		}
	}
	l.mustClose(t)
	if n := counting.open.Load(); n != 0 {
		t.Errorf("%d handles after Close", n)
	}
}

func TestRotationKeepsHandlesBounded(t *testing.T) {
	counting := &handleFS{FS: newMem(t)}
	l := mustOpen(t, counting, 0, tiny())
	for i := range 3 * maxIdle {
		l.mustCommit(t, fill(i, 4000))
		if n := counting.open.Load(); n > maxIdle+2 {
			t.Fatalf("%d handles after %d files", n, i)
		}
	}
	l.mustClose(t)
	if n := counting.open.Load(); n != 0 {
		t.Errorf("%d handles after Close", n)
	}
}
