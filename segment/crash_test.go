//go:build !race

package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// smallWrites makes a builder write and sync in small steps.
func smallWrites(t *testing.T) {
	w, s := writeSize, syncEvery
	writeSize, syncEvery = 700, 2000
	t.Cleanup(func() { writeSize, syncEvery = w, s })
}

func halfOf(items []item) []item {
	return slices.DeleteFunc(plain(items), func(it item) bool { return it.seq%2 != 0 })
}

// The power is cut before every operation of building, merging and removing, and
// every image that the disk could then hold is looked at. What must hold: where
// a segment's name is there the whole segment is, and the name is there from
// the moment at which that was promised until its removal began.
func TestEveryCutLeavesWholeSegments(t *testing.T) {
	smallWrites(t)
	var first, second []item
	for _, it := range sample(1, 60) {
		if it.queue += 1000; it.seq%3 == 0 {
			it.queue -= 1000
		}
		first = append(first, it)
	}
	for _, it := range sample(2, 60) {
		it.seq += 1 << 20
		second = append(second, it)
	}
	want := map[uint64][]item{1: plain(first), 2: plain(second), 3: halfOf(append(slices.Clone(first), second...))}

	m := memFS(t)
	there := map[uint64]bool{}   // promised
	removed := map[uint64]bool{} // its removal has begun
	images := 0
	m.OnOp(func(n int, op vfs.Op, name string) {
		for what, img := range m.Images(vfs.ImageOptions{Seed: uint64(n), MaxImages: 30}) {
			images++
			if err := look(img, want, there, removed); err != nil {
				t.Fatalf("cut before operation %d (%s %s), %s: %v", n, op, name, what, err)
			}
		}
	})
	o := Options{BlockSize: 512, Memory: 2048}
	build(t, m, 1, o, first)
	there[1] = true
	build(t, m, 2, o, second)
	there[2] = true
	r1, r2 := Open(m, testDir, 1, nil), Open(m, testDir, 2, nil)
	_, err := Merge(m, testDir, 3, []*Reader{r1, r2}, MergeOptions{Options: o, Keep: half})
	must(t, err)
	there[3] = true
	for i, r := range []*Reader{r1, r2} {
		must(t, r.Close())
		removed[uint64(i+1)] = true
		must(t, Remove(m, testDir, uint64(i+1)))
	}
	must(t, m.SyncDir(testDir))
	delete(there, 1)
	delete(there, 2)
	must(t, m.Remove(filepath.Join(testDir, Name(3)))) // for the last images
	t.Logf("%d operations, %d images", m.Ops(), images)
}

// look checks an image, and that every number that is free can be built again.
func look(img *vfs.Mem, want map[uint64][]item, there, removed map[uint64]bool) error {
	names, err := img.ReadDir(testDir)
	if err != nil {
		return err
	}
	found := map[uint64]bool{}
	for _, name := range names {
		number, temp, ok := ParseName(name)
		switch {
		case !ok:
			return fmt.Errorf("a file %s", name)
		case temp:
			b, err := Create(img, testDir, number, Options{})
			if errors.Is(err, fs.ErrExist) {
				continue // whole, and renamed from a directory entry that came back
			} else if err != nil {
				return err
			}
			b.Abandon()
			continue
		}
		found[number] = true
		r := Open(img, testDir, number, nil)
		if _, err := r.Verify(); err != nil {
			return err
		}
		got, lost, err := salvage(r, want[number])
		if err != nil || len(lost) > 0 || len(got) != len(want[number]) {
			return fmt.Errorf("segment %d has %d records of %d: %v, %v", number, len(got), len(want[number]), lost, err)
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	for number := range there {
		if !found[number] && !removed[number] {
			return fmt.Errorf("segment %d is missing", number)
		}
	}
	return nil
}

// Each call to the file system fails in its turn.
func TestEveryFailureLeavesNothing(t *testing.T) {
	smallWrites(t)
	items := sample(3, 60)
	o := Options{BlockSize: 512, Memory: 2048}
	for _, sticky := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			cause := syscall.ENOSPC
			if after {
				cause = syscall.EIO
			}
			for k, done := 1, false; !done; k++ {
				m := memFS(t)
				build(t, m, 1, o, items)
				e := vfs.NewErrFS(m)
				inj := e.Add(vfs.Rule{At: k, Sticky: sticky, Err: cause, Short: -1, After: after})
				merged := false
				err := func() error {
					b, err := Create(e, testDir, 2, o)
					if err != nil {
						return err
					}
					if err := add(b, items); err != nil {
						b.Abandon()
						return err
					}
					if _, err := b.Finish(); err != nil {
						return err
					}
					r := Open(e, testDir, 1, nil)
					_, err = Merge(e, testDir, 3, []*Reader{r}, MergeOptions{Options: o, Keep: half})
					merged = err == nil
					return errors.Join(err, r.Close())
				}()
				done = inj.Failed() == 0
				if done && err != nil || err != nil && !errors.Is(err, cause) || isDamageError(err) {
					t.Fatalf("call %d: %v", k, err)
				}
				whole := err == nil // though perhaps a read was tried twice
				names, err := m.ReadDir(testDir)
				must(t, err)
				if whole && len(names) != 3 {
					t.Fatalf("call %d is said to have succeeded, and leaves %v", k, names)
				}
				for _, name := range names {
					number, temp, _ := ParseName(name)
					if !sticky && (temp || number == 3 && !merged) {
						t.Fatalf("call %d leaves %s", k, name)
					}
					if temp {
						continue
					}
					r := Open(m, testDir, number, nil)
					if _, err := r.Verify(); err != nil {
						t.Fatalf("call %d: %v", k, err)
					}
					must(t, r.Close())
				}
				// What failed succeeds the next time.
				for _, number := range []uint64{2, 3} {
					if !slices.Contains(names, Name(number)) {
						build(t, m, number, o, items)
					}
				}
			}
		}
	}
}

// A read that fails passes, and hurts nobody.
func TestEveryFailedReadPasses(t *testing.T) {
	m := memFS(t)
	items := sample(4, 300)
	want := plain(items)
	build(t, m, 1, Options{BlockSize: 2000, Memory: 16 << 10}, items)
	for k, done := 1, false; !done; k++ {
		e := vfs.NewErrFS(m)
		inj := e.Add(vfs.Rule{Ops: vfs.OpRead | vfs.OpOpen | vfs.OpSize, At: k})
		r := Open(e, testDir, 1, NewCache(8<<10))
		var c Cursor
		failed := 0
		for _, it := range want {
			err := r.Find(&c, it.queue, it.seq, true)
			if err != nil {
				if failed++; !errors.Is(err, syscall.EIO) || isDamageError(err) {
					t.Fatalf("read %d: %v", k, err)
				}
				err = r.Find(&c, it.queue, it.seq, true)
			}
			must(t, err)
			if c.Seq() != it.seq || string(c.Payload()) != it.payload {
				t.Fatalf("read %d: %d for %d", k, c.Seq(), it.seq)
			}
		}
		if done = inj.Failed() == 0; failed > inj.Failed() {
			t.Fatalf("read %d: %d failures were felt", k, failed)
		}
		must(t, r.Damage())
		c.Reset()
		must(t, r.Close())
	}
}
