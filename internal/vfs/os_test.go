package vfs

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

const holderEnv = "LEVERET_VFS_TEST_LOCK"

// TestMain lets the test binary be the other process that holds a lock.
func TestMain(m *testing.M) {
	if name := os.Getenv(holderEnv); name != "" {
		if _, err := OS().Lock(name); err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("locked\n")
		select {} // until killed
	}
	os.Exit(m.Run())
}

func TestLockEndsWithItsProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+name)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "locked\n" {
		t.Fatalf("the other process said %q, %v", said, err)
	}
	if _, err := OS().Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("while another process has it: %v", err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
	l, err := OS().Lock(name)
	must(t, err)
	must(t, l.Close())
}

func TestFilesAreNotForEverybody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	must(t, OS().MkdirAll(dir))
	put(t, OS(), filepath.Join(dir, "f"), "x")
	for name, allowed := range map[string]os.FileMode{dir: 0o750, filepath.Join(dir, "f"): 0o640} {
		st, err := os.Stat(name)
		must(t, err)
		if extra := st.Mode().Perm() &^ allowed; extra != 0 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
	}
}

func TestFreeIsWhatTheSystemSays(t *testing.T) {
	dir := t.TempDir()
	n, err := OS().Free(dir)
	must(t, err)
	if n < 1<<20 || n > 1<<60 {
		t.Errorf("Free = %d", n)
	}
}

// TestSyncAllocatesLittle: one sync a commit, so its cost is the system's.
func TestSyncAllocatesLittle(t *testing.T) {
	f := create(t, OS(), filepath.Join(t.TempDir(), "f"))
	defer f.Close()
	if n := testing.AllocsPerRun(20, func() {
		if err := f.Sync(); err != nil {
			t.Error(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations a sync", n)
	}
}

// What is flushed stays as it was written; only a system that can do it does anything.
func TestFlush(t *testing.T) {
	for name, fsys := range map[string]FS{"system": OS(), "memory": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, fsys.MkdirAll(dir))
			f := create(t, fsys, filepath.Join(dir, "f"))
			want := bytes.Repeat([]byte("0123456789"), 1000)
			for off := 0; off < len(want); off += 1000 {
				_, err := f.WriteAt(want[off:off+1000], int64(off))
				must(t, err)
				must(t, Flush(f, int64(off), 1000))
			}
			must(t, f.Sync())
			got := make([]byte, len(want))
			_, err := f.ReadAt(got, 0)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Error("other bytes are read than were written")
			}
			must(t, f.Close())
			if _, ok := f.(Flusher); ok {
				if err := Flush(f, 0, 1000); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("flush of a closed file: %v", err)
				}
			} else if runtime.GOOS == "linux" && name == "system" {
				t.Error("files of the system cannot be flushed")
			}
		})
	}
}
