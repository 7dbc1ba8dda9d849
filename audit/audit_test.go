package audit

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func mustOpen(t *testing.T, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

var operator = Actor{User: "ops", From: "192.0.2.1:1234", Interface: "http"}

func created(name string) Event {
	return operator.Event("user.created", Object{Type: "user", Name: name}, map[string]any{"tags": "management"})
}

// users are the objects of what is in the log, oldest first.
func users(l *Log) (names []string) {
	for _, e := range l.Page(0, 10_000, "user").Items {
		names = append(names, e.Object.Name)
	}
	slices.Reverse(names)
	return names
}

// files are those of the folder that are the library's.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if _, ok := indexOf(f.Name()); ok {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	return paths
}

func TestEntriesOutliveTheProcessAndAreReadableLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := mustOpen(t, dir, Options{})
	if p := l.Page(0, 10, ""); len(p.Items) != 0 || p.First != 0 || p.Last != 0 || p.Next != nil {
		t.Errorf("a new log has %+v", p)
	}
	for _, name := range []string{"a", "b \"<\n", "c\xff"} {
		l.Append(created(name))
	}
	text, err := os.ReadFile(files(t, dir)[0]) // synced: not even closed
	if err != nil || bytes.Count(text, []byte("\n")) != 3 || !strings.Contains(string(text), `user.created`) {
		t.Errorf("%v %s", err, text)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, Options{})
	if got := users(l); !slices.Equal(got, []string{"a", "b \"<\n", "c\uFFFD"}) {
		t.Errorf("%q", got)
	}
	e := l.Page(2, 1, "").Items[0]
	if e.Index != 1 || e.User != "ops" || e.From != operator.From || e.Interface != "http" || e.Detail["tags"] != "management" || time.Since(e.Time) > time.Hour {
		t.Errorf("%+v", e)
	}
	l.Append(created("d"))
	if p := l.Page(0, 1, ""); p.Items[0].Index != 4 || p.First != 1 || p.Last != 4 || *p.Next != 4 {
		t.Errorf("%+v", p)
	}
}

func TestPagesGoBackwardsAndByKind(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{FileSize: 1000, Files: 1000})
	for i := range 1000 {
		e := created(fmt.Sprint(i + 1))
		if i%10 == 0 {
			e.Event = "policy.changed"
		}
		l.Append(e)
	}
	var got []uint64
	pages := 0
	for before := uint64(0); ; pages++ {
		p := l.Page(before, 7, "policy.changed")
		if len(p.Items) > 7 {
			t.Fatalf("%d items", len(p.Items))
		}
		for _, e := range p.Items {
			got = append(got, e.Index)
		}
		if p.Next == nil {
			break
		}
		before = *p.Next
	}
	var want []uint64
	for i := 99; i >= 0; i-- {
		want = append(want, uint64(i*10+1))
	}
	if !slices.Equal(got, want) || pages < 3 {
		t.Errorf("in %d pages %v, want %v", pages, got, want)
	}
	for kind, want := range map[string]int{"": 5, "policy": 5, "pol": 0, "policy.changed": 5, "policy.chang": 0, "nothing": 0} {
		if got := len(l.Page(0, 5, kind).Items); got != want {
			t.Errorf("kind %q has %d entries, want %d", kind, got, want)
		}
	}
	if p := l.Page(1, 5, ""); len(p.Items) != 0 || p.Next != nil {
		t.Errorf("before the first: %+v", p)
	}
	if p := l.Page(1<<60, 1, ""); p.Items[0].Index != 1000 {
		t.Errorf("after the last: %+v", p)
	}
}

func TestTheLogIsBoundedAndTrimmedFromTheFront(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{FileSize: 1000, Files: 3})
	for i := range 200 {
		l.Append(created(fmt.Sprint(i + 1)))
		if n := len(files(t, dir)); n > 3 {
			t.Fatalf("%d files after entry %d", n, i+1)
		}
	}
	p := l.Page(0, 1000, "")
	if p.Last != 200 || p.First < 180 || uint64(len(p.Items)) != p.Last-p.First+1 {
		t.Errorf("%d entries from %d to %d", len(p.Items), p.First, p.Last)
	}
	// A power cut in the midst of a trim has removed some of the oldest files.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for left := files(t, dir); len(left) > 1; left = left[1:] {
		if err := os.Remove(left[0]); err != nil {
			t.Fatal(err)
		}
		l := mustOpen(t, dir, Options{FileSize: 1000, Files: 3})
		p := l.Page(0, 1000, "")
		if len(p.Items) > 0 && (p.Last != 200 || uint64(len(p.Items)) != p.Last-p.First+1) {
			t.Errorf("%d entries from %d to %d", len(p.Items), p.First, p.Last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l = mustOpen(t, dir, Options{FileSize: 1000, Files: 3})
	l.Append(created("after all"))
	if p := l.Page(0, 1, ""); p.Items[0].Index != 201 {
		t.Errorf("an index was used twice: %+v", p)
	}
}

// image is a log of n users in its folder, and where the last line of it begins.
func image(t *testing.T, n int) (text []byte, last int) {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for i := range n {
		l.Append(created(fmt.Sprint(i + 1)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	return text, bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
}

// reopen opens a log whose only file has that text.
func reopen(t *testing.T, text []byte, logger *slog.Logger) (*Log, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName(1)), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, dir, Options{Logger: logger}), dir
}

func TestATailThatIsTornAtAnyByteIsSetAside(t *testing.T) {
	text, last := image(t, 3)
	for end := last; end <= len(text); end++ {
		for _, tail := range []string{"", "\x00\x00\x00\x00"} { // a file may have grown before its bytes came
			var told strings.Builder
			l, dir := reopen(t, append(slices.Clone(text[:end]), tail...), slog.New(slog.NewTextHandler(&told, nil)))
			whole, torn := []string{"1", "2"}, (end > last || tail != "") && (end < len(text) || tail != "")
			if end == len(text) {
				whole = append(whole, "3")
			}
			if got := users(l); !slices.Equal(got, whole) {
				t.Errorf("cut at %d: %q", end, got)
			}
			if torn != strings.Contains(told.String(), "is set aside") {
				t.Errorf("cut at %d: the log says %q", end, told.String())
			}
			if torn {
				aside, err := os.ReadFile(filepath.Join(dir, fileName(1)+".damaged-1"))
				if want := string(text[offset(text, len(whole)):end]) + tail; err != nil || string(aside) != want {
					t.Errorf("cut at %d: set aside is %q, %v", end, aside, err)
				}
				if p := l.Page(0, 1, ""); p.Items[0].Event.Event != eventDamaged {
					t.Errorf("cut at %d: the newest entry is %+v", end, p.Items[0])
				}
			}
			// It goes on, and is in order the next time.
			l.Append(created("next"))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			told.Reset()
			l = mustOpen(t, dir, Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
			if got := users(l); !slices.Equal(got, append(whole, "next")) || told.Len() > 0 {
				t.Errorf("cut at %d, and opened again: %q; %s", end, got, told.String())
			}
		}
	}
}

// offset is where the line after n lines begins.
func offset(text []byte, n int) (at int) {
	for range n {
		at += bytes.IndexByte(text[at:], '\n') + 1
	}
	return at
}

func TestDamageOfAnyByteStopsNobody(t *testing.T) {
	text, last := image(t, 3)
	for i := last; i < len(text); i++ {
		for _, bit := range []byte{1, 0x80} {
			bad := slices.Clone(text)
			bad[i] ^= bit
			l, _ := reopen(t, bad, nil)
			if got := users(l); len(got) < 2 || !slices.Equal(got[:2], []string{"1", "2"}) {
				t.Errorf("byte %d: %q", i, got)
			}
			l.Append(created("next"))
			if got := users(l); got[len(got)-1] != "next" {
				t.Errorf("byte %d: %q after the next entry", i, got)
			}
		}
	}
}

func TestAnOlderFileThatIsDamagedOrMissingIsOneEntry(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"garbage": func(path string) error { return os.WriteFile(path, []byte("{}\nnothing\n"), 0o600) },
		"half":    func(path string) error { return os.Truncate(path, 600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"missing": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, dir, Options{FileSize: 1000})
			for i := range 30 {
				l.Append(created(fmt.Sprint(i + 1)))
			}
			_ = l.Close()
			list := files(t, dir)
			if len(list) < 4 {
				t.Fatal("too few files")
			}
			if err := damage(list[1]); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, dir, Options{FileSize: 1000})
			p := l.Page(0, 100, "")
			unreadable, names := 0, users(l)
			if want := map[string]int{"half": 25}[name]; len(names) < max(want, 23) {
				t.Errorf("%d entries are there: %q", len(names), names)
			}
			for _, e := range p.Items {
				if e.Event.Event == eventUnreadable {
					unreadable++
				}
			}
			if p.Items[0].Index != 30 || p.Items[len(p.Items)-1].Index != 1 || unreadable != 1 {
				t.Errorf("%d unreadable of %d, from %d to %d", unreadable, len(p.Items), p.Items[len(p.Items)-1].Index, p.Items[0].Index)
			}
		})
	}
}

func TestALogThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		dir := filepath.Join(t.TempDir(), "audit")
		l := mustOpen(t, dir, Options{FileSize: 1, Logger: slog.New(slog.NewTextHandler(&told, nil))}) // each entry begins a file
		l.Append(created("1"))
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			l.Append(created("lost"))
			time.Sleep(retryAfter)
		}
		if n := strings.Count(told.String(), "cannot be written"); n != 1 || l.Stats().Failed != 5 {
			t.Errorf("told %d times of %d: %s", n, l.Stats().Failed, told.String())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		l.Append(created("2"))
		lost := l.Page(0, 10, eventLost).Items
		// The first that failed was written, and only the file after it could not be begun.
		if got := users(l); !slices.Contains(got, "1") || got[len(got)-1] != "2" || len(lost) != 1 || lost[0].Detail["entries"] != 5.0 {
			t.Errorf("%q, %+v", got, lost)
		}
		if !strings.Contains(told.String(), "is written again") {
			t.Error(told.String())
		}
	})
}

func TestAFolderThatCannotBeUsedStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{})
		if err == nil {
			t.Error("a file is taken for a folder")
		}
		l.Append(created("lost"))
		if p := l.Page(0, 10, ""); len(p.Items) != 0 {
			t.Errorf("%+v", p)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryAfter)
		l.Append(created("there"))
		if got := users(l); !slices.Equal(got, []string{"there"}) {
			t.Errorf("%q", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err == nil {
			t.Error("closed twice")
		}
	})
}

func refused(user, from string) Event {
	return Actor{User: user, From: from, Interface: "amqp"}.Event("login.refused", Object{Type: "user", Name: user}, nil)
}

// counted adds up refusals, and tells whose they are.
func counted(l *Log) (entries int, of map[string]float64) {
	of = map[string]float64{}
	for _, e := range l.Page(0, 10_000, "login.refused").Items {
		n, ok := e.Detail["count"].(float64)
		if !ok {
			n = 1
		}
		entries++
		of[e.User] += n
	}
	return entries, of
}

func TestRefusalsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, t.TempDir(), Options{})
		written := func(want uint64, when string) {
			t.Helper()
			synctest.Wait()
			if got := l.Stats().Entries; got != want {
				t.Errorf("%s %d entries, want %d", when, got, want)
			}
		}
		l.Append(refused("a", "192.0.2.1:1"))
		written(1, "at once")
		for i := range 1000 {
			l.Append(refused("a", fmt.Sprintf("192.0.2.1:%d", i+2)))
			l.Append(refused(fmt.Sprint(i), "192.0.2.2:1"))
		}
		written(1, "during the pause")
		time.Sleep(leastPause)
		written(1+maxGathers+1, "after the pause")
		l.Append(refused("late", "192.0.2.3:1"))
		time.Sleep(leastPause)
		written(1+maxGathers+1, "a second later, where the pause is longer,")
		entries, of := counted(l) // who reads sees all
		if entries != 1+maxGathers+1+1 || of["a"] != 1001 || of["late"] != 1 || of["0"] != 1 || of[""] != 1000-maxGathers+1 {
			t.Errorf("%d entries: %v", entries, of)
		}
		// An hour's attack is bounded, and then refusals are written at once again.
		before := l.Stats().Entries
		for range 3600 {
			for i := range 50 {
				l.Append(refused(fmt.Sprint(i), "192.0.2.2:1"))
			}
			time.Sleep(time.Second)
		}
		if n := l.Stats().Entries - before; n > 70*(maxGathers+1) || n < 60*(maxGathers+1) {
			t.Errorf("%d entries of an hour", n)
		}
		time.Sleep(quiet + mostPause)
		before = l.Stats().Entries
		l.Append(refused("b", "192.0.2.1:1"))
		written(before+1, "when it was quiet")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l.Append(refused("too late", "192.0.2.3:1"))
	})
}

func TestWhatIsGatheredIsWrittenAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for range 100 {
		l.Append(refused("a", "192.0.2.1:1"))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, of := counted(mustOpen(t, dir, Options{})); of["a"] != 100 {
		t.Errorf("%v", of)
	}
}

func TestLongNamesAndDetailsAreCut(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{})
	l.Append(operator.Event("user.created", Object{Name: strings.Repeat("é", 1000)}, map[string]any{"x": strings.Repeat("y", 100_000)}))
	l.Append(operator.Event("user.created", Object{}, map[string]any{"x": func() {}}))
	for _, e := range l.Page(0, 2, "").Items {
		if len(e.Object.Name) > maxName || strings.Contains(e.Object.Name, "\uFFFD") || e.Detail["x"] != nil || e.Detail["omitted_bytes"] == nil {
			t.Errorf("%+v", e)
		}
	}
}

func TestManyAtATime(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{FileSize: 2000, Files: 4})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				l.Append(created("x"))
				l.Append(refused("y", "192.0.2.1:1"))
				for _, e := range l.Page(0, 20, "").Items {
					if e.Event.Event == eventUnreadable {
						t.Errorf("%+v", e)
					}
				}
			}
		})
	}
	all.Wait()
	if got := l.Stats(); got.Failed != 0 || got.Entries < 200 {
		t.Errorf("%+v", got)
	}
}

func TestNoLogKeepsNothing(t *testing.T) {
	var l *Log
	l.Append(created("x"))
	if p := l.Page(0, 1, ""); p.Items == nil || len(p.Items) != 0 || l.Stats() != (Stats{}) || l.Close() != nil {
		t.Errorf("%+v", p)
	}
}
