package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestOpenRWWritesOverWhatIsThere(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		if _, err := fsys.OpenRW(name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a file that is not there: %v", err)
		}
		put(t, fsys, name, "old bytes")
		f, err := fsys.OpenRW(name)
		must(t, err)
		writeAt(t, f, "new", 0)
		writeAt(t, f, "!", 9)
		must(t, f.Sync())
		must(t, f.Close())
		if got := contentOf(t, fsys, name); got != "new bytes!" {
			t.Fatalf("the file holds %q", got)
		}
	})
}

// What is written over synced bytes is there after a power cut or is not,
// sector by sector, and the file is never shorter than it was.
func TestImagesOfBytesThatAreWrittenOver(t *testing.T) {
	m := NewMem()
	put(t, m, "f", "aabbcc")
	must(t, m.SyncDir("/"))
	f, err := m.OpenRW("f")
	must(t, err)
	writeAt(t, f, "AA", 0)
	writeAt(t, f, "CC", 4)
	sameLines(t, lines(t, m, ImageOptions{Sector: 2}), []string{
		`f="aabbcc"`, `f="Aabbcc"`, `f="AAbbcc"`,
		`f="aabbCc"`, `f="AabbCc"`, `f="AAbbCc"`,
		`f="aabbCC"`, `f="AabbCC"`, `f="AAbbCC"`,
	})
	must(t, f.Sync())
	sameLines(t, lines(t, m, ImageOptions{Sector: 2}), []string{`f="AAbbCC"`})
}

// A file that has two lives is found, after a cut, under a name of its second
// one only with the bytes that were synced before it got that name.
func TestImagesOfAFileThatIsUsedAgain(t *testing.T) {
	m := NewMem()
	put(t, m, "1", "old")
	must(t, m.SyncDir("/"))
	must(t, m.Rename("1", "spare"))
	must(t, m.SyncDir("/"))
	f, err := m.OpenRW("spare")
	must(t, err)
	writeAt(t, f, "NEW", 0)
	sameLines(t, lines(t, m, ImageOptions{Sector: 4}), []string{`spare="old"`, `spare="Nld"`, `spare="NEd"`, `spare="NEW"`})
	must(t, f.Sync())
	must(t, m.Rename("spare", "2"))
	sameLines(t, lines(t, m, ImageOptions{Sector: 4}), []string{`spare="NEW"`, `2="NEW"`})
}
