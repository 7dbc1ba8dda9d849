package large

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

const testDir = "data/large"

func open(t testing.TB, fsys vfs.FS) (*Dir, []uint64) {
	t.Helper()
	d, numbers, err := Open(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	return d, numbers
}

func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := errors.Join(m.MkdirAll("data"), m.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	return m
}

// body is n bytes that differ from block to block.
func body(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n)})
	rng.Read(b)
	return b
}

// write makes a file, the body in pieces of that size.
func write(d *Dir, b []byte, head string, piece int, durable bool) (uint64, error) {
	w, err := d.Create(int64(len(b)), durable)
	if err != nil {
		return 0, err
	}
	for rest := b; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			w.Abort()
			return 0, err
		}
		rest = rest[n:]
	}
	return w.Commit([]byte(head))
}

func mustWrite(t testing.TB, d *Dir, b []byte, head string) uint64 {
	t.Helper()
	n, err := write(d, b, head, 100_000, true)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	d, _ := open(t, newMem(t))
	for _, size := range []int{0, 1, Block - 1, Block, Block + 1, 3*Block - 7, 4 * Block} {
		for _, piece := range []int{999, Block, 131064, 1 << 20} {
			want := body(size)
			n, err := write(d, want, fmt.Sprint("head", size), piece, piece == Block)
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Reader(n)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Head()) != fmt.Sprint("head", size) || r.Size() != int64(size) {
				t.Fatalf("head %q, %d bytes", r.Head(), r.Size())
			}
			for _, step := range []int{777, Block, 2 * Block, size + 1} {
				var got []byte
				for p := make([]byte, step); ; {
					n, err := r.ReadAt(p, int64(len(got)))
					got = append(got, p[:n]...)
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes in pieces of %d, read in steps of %d: something else was read", size, piece, step)
				}
			}
			if err := r.Verify(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// golden is a whole file: data that was written so must be read for ever.
const golden = `
	626f6479 68656164 50c93f26
	4c56 4c42 01000000 0100000000000000 0400000000000000 04000000 f66009db`

func TestFormatIsWrittenDown(t *testing.T) {
	m := newMem(t)
	d, _ := open(t, m)
	n := mustWrite(t, d, []byte("body"), "head")
	if d.Name(n) != "data/large/00000000000000000001.msg" {
		t.Errorf("the file is called %s", d.Name(n))
	}
	got, err := vfs.ReadFile(m, d.Name(n))
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(golden), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the format changed; old data could not be read. Got\n%x\nwant\n%x", got, want)
	}
}

func TestEachWrongByteIsSeen(t *testing.T) {
	m := newMem(t)
	d, _ := open(t, m)
	want := body(300)
	n := mustWrite(t, d, want, "the head")
	whole, err := vfs.ReadFile(m, d.Name(n))
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		if err := m.Remove(d.Name(n)); err != nil {
			t.Fatal(err)
		}
		f, err := m.Create(d.Name(n))
		if err == nil {
			_, err = f.WriteAt(b, 0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(what string) {
		t.Helper()
		r, err := d.Reader(n)
		if err == nil {
			var p [300]byte
			var k int
			if k, err = r.ReadAt(p[:], 0); !bytes.Equal(p[:k], want[:k]) {
				t.Errorf("%s: what is wrong was handed out", what)
			}
		}
		if bad := (*CorruptError)(nil); !errors.As(err, &bad) || bad.File != d.Name(n) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		put(b)
		fails(fmt.Sprintf("byte %d is wrong", i))
		put(whole[:i])
		fails(fmt.Sprintf("cut to %d bytes", i))
	}
	put(append(bytes.Clone(whole), 0))
	fails("a byte too long")
}

func TestFileOfAnotherNumberIsNotTaken(t *testing.T) {
	m := newMem(t)
	d, _ := open(t, m)
	n := mustWrite(t, d, body(10), "a")
	if err := m.Rename(d.Name(n), d.Name(9)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Reader(9); !errors.As(err, new(*CorruptError)) {
		t.Errorf("error is %v", err)
	}
	if _, err := d.Reader(n); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// A wrong bit in the version is a wrong checksum; another version is told as such.
func TestFileOfAnotherVersionIsNotTaken(t *testing.T) {
	m := newMem(t)
	d, _ := open(t, m)
	n := mustWrite(t, d, body(10), "a")
	for _, c := range []struct {
		sum  bool
		want string
	}{{false, "checksum"}, {true, "format version 2, and only 1 is known: use the release that wrote it"}} {
		err := m.Corrupt(d.Name(n), func(b []byte) []byte {
			le.PutUint32(b[len(b)-footerSize+4:], version+1)
			if c.sum {
				le.PutUint32(b[len(b)-4:], crc32.Checksum(b[10:len(b)-4], castagnoli))
			}
			return b
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Reader(n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

func TestBodyIsAsLongAsAnnounced(t *testing.T) {
	m := newMem(t)
	d, _ := open(t, m)
	w, err := d.Create(10, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body(11)); err == nil {
		t.Error("a longer body was taken")
	}
	if _, err := w.Commit(nil); err == nil {
		t.Error("and committed")
	}
	w, _ = d.Create(10, true)
	w.Write(body(9))
	if _, err := w.Commit(nil); err == nil {
		t.Error("a shorter body was committed")
	}
	w.Abort()
	if names, _ := m.ReadDir(testDir); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestNumbersAreUsedOnce(t *testing.T) {
	m := newMem(t)
	d, numbers := open(t, m)
	if len(numbers) > 0 {
		t.Error(numbers)
	}
	a, b := mustWrite(t, d, body(1), ""), mustWrite(t, d, body(2), "")
	if err := errors.Join(d.Remove(a), d.Remove(a)); err != nil {
		t.Fatal(err)
	}
	if f, err := m.Create(testDir + "/notes.txt"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	d, numbers = open(t, m)
	if !slices.Equal(numbers, []uint64{b}) {
		t.Errorf("there are %v", numbers)
	}
	d.Reserve(7)
	d.Reserve(3)
	if n := mustWrite(t, d, body(1), ""); n != 8 {
		t.Errorf("the next is %d", n)
	}
}

func TestWritersAreBounded(t *testing.T) {
	d, _ := open(t, newMem(t))
	var ws []*Writer
	for range MaxWriters {
		w, err := d.Create(10, false)
		if err != nil {
			t.Fatal(err)
		}
		ws = append(ws, w)
	}
	if _, err := d.Create(10, false); !errors.Is(err, ErrTooMany) {
		t.Errorf("error is %v", err)
	}
	for _, w := range ws {
		w.Abort()
		w.Abort()
	}
	mustWrite(t, d, body(10), "")
}

func TestEveryErrorIsToldAndLeavesNothing(t *testing.T) {
	for k := 1; ; k++ {
		m := newMem(t)
		e := vfs.NewErrFS(m)
		d, _ := open(t, e)
		in := e.Add(vfs.Rule{Ops: vfs.OpMutating, At: k, Err: errors.New("injected")})
		_, err := write(d, body(Block+5), "head", Block, true)
		if in.Failed() == 0 {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err == nil {
			t.Fatalf("operation %d failed, and nobody was told", k)
		}
		if names, _ := m.ReadDir(testDir); len(names) > 0 {
			t.Errorf("operation %d: left behind %v", k, names)
		}
		if d.writers.Load() != 0 {
			t.Errorf("operation %d: a writer is counted still", k)
		}
		// The next one works.
		mustWrite(t, d, body(100), "")
	}
}

func TestCommittedFileSurvivesEachPowerCut(t *testing.T) {
	want := body(2*Block + 100)
	m := newMem(t)
	d, _ := open(t, m)
	done := uint64(0)
	checked := 0
	m.OnOp(func(n int, op vfs.Op, name string) {
		for desc, img := range m.Images(vfs.ImageOptions{MaxImages: 60, Seed: uint64(n)}) {
			checked++
			d, numbers, err := Open(img, testDir)
			if err != nil {
				t.Fatalf("before %v %s, %s: %v", op, name, desc, err)
			}
			whole := false
			for _, k := range numbers {
				r, err := d.Reader(k)
				got := make([]byte, len(want))
				if err == nil {
					_, err = r.ReadAt(got, 0)
				}
				if err == nil && (!bytes.Equal(got, want) || string(r.Head()) != "head") {
					t.Fatalf("before %v %s, %s: file %d is whole and wrong", op, name, desc, k)
				}
				whole = whole || err == nil && k == done
			}
			if done != 0 && !whole {
				t.Fatalf("before %v %s, %s: file %d has gone", op, name, desc, done)
			}
		}
	})
	var err error
	if done, err = write(d, want, "head", 50_000, true); err != nil {
		t.Fatal(err)
	}
	if _, err := write(d, want, "head", 50_000, true); err != nil {
		t.Fatal(err)
	}
	if checked < 20 {
		t.Errorf("only %d images", checked)
	}
}

func FuzzReaderTakesAnyFile(f *testing.F) {
	m := newMem(f)
	d, _ := open(f, m)
	n := mustWrite(f, d, body(100), "head")
	whole, err := vfs.ReadFile(m, d.Name(n))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[50:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMem(t)
		d, _ := open(t, m)
		if err := d.make(); err != nil {
			t.Fatal(err)
		}
		file, err := m.Create(d.Name(1))
		if err != nil {
			t.Fatal(err)
		}
		file.WriteAt(b, 0)
		file.Close()
		r, err := d.Reader(1)
		if err != nil {
			return
		}
		if r.Size() > int64(len(b)) || len(r.Head()) > len(b) {
			t.Fatalf("a file of %d bytes has a body of %d and a head of %d", len(b), r.Size(), len(r.Head()))
		}
		r.Verify()
	})
}

func BenchmarkWrite(b *testing.B) {
	d, _, err := Open(vfs.OS(), b.TempDir()+"/large")
	if err != nil {
		b.Fatal(err)
	}
	p := body(16 << 20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		n, err := write(d, p, "head", 131064, true)
		if err != nil {
			b.Fatal(err)
		}
		d.Remove(n)
	}
}
