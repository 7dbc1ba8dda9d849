package segment

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// expiresAs reads a payload as the time when it expires.
func expiresAs(payload []byte) int64 {
	n, _ := strconv.ParseInt(string(payload), 10, 64)
	return n
}

// earliest is what the blocks of a queue say, each with its first seq.
func earliest(t *testing.T, r *Reader, queue uint32) (blocks []string) {
	t.Helper()
	for seq := uint64(0); ; {
		b, err := r.BlockOf(queue, seq)
		if errors.Is(err, io.EOF) {
			return blocks
		}
		must(t, err)
		if b.Last < seq || b.First > b.Last {
			t.Fatalf("behind %d comes %+v", seq, b)
		}
		blocks = append(blocks, fmt.Sprintf("%d-%d:%d", b.First, b.Last, b.Expires))
		seq = b.Last + 1
	}
}

// TestBlocksKnowWhenTheirFirstRecordExpires goes with the records through a merge, and
// through the loss of the directory.
func TestBlocksKnowWhenTheirFirstRecordExpires(t *testing.T) {
	m := memFS(t)
	o := Options{BlockSize: 40, Expires: expiresAs}
	write := func(number uint64, fn func(b *Builder)) *Reader {
		b, err := Create(m, testDir, number, o)
		must(t, err)
		fn(b)
		_, err = b.Finish()
		must(t, err)
		r := Open(m, testDir, number, nil)
		t.Cleanup(func() { r.Close() })
		return r
	}
	one := write(1, func(b *Builder) {
		for seq, at := range []string{"3000", "never", "2000", "2500", "never", "never", "never", "never", "900", "99999999999999999"} {
			must(t, b.Add(7, uint64(seq), []byte(at)))
		}
		ref, err := b.AddShared([]byte("500"))
		must(t, err)
		must(t, b.AddRef(8, 1, ref))
		must(t, b.Add(9, 1, []byte("never")))
	})
	want := map[uint32]string{
		7: "[0-0:3000 1-1:0 2-3:2000 4-4:0 5-5:0 6-6:0 7-8:900 9-9:281474976710655]",
		8: "[1-1:500]", 9: "[1-1:0]",
	}
	check := func(what string, r *Reader) {
		t.Helper()
		for queue, blocks := range want {
			if got := fmt.Sprint(earliest(t, r, queue)); got != blocks {
				t.Errorf("%s: queue %d has %s, want %s", what, queue, got, blocks)
			}
		}
	}
	check("as it was written", one)
	if _, err := one.Verify(); err != nil {
		t.Error(err)
	}
	data, err := vfs.ReadFile(m, filepath.Join(testDir, Name(1)))
	must(t, err)
	data = append([]byte(nil), data...)
	data[len(data)-footerSize-3] ^= 1 // the directory
	other := memFS(t)
	putFile(t, other, 1, data)
	damaged := Open(other, testDir, 1, nil)
	defer damaged.Close()
	check("rebuilt", damaged)
	if damaged.Damage() == nil {
		t.Error("the directory is sound")
	}

	two := write(2, func(b *Builder) { must(t, b.Add(7, 20, []byte("100"))) })
	keep := func(_ uint32, seqs []uint64, _ int, live []bool) {
		for i, seq := range seqs {
			live[i] = seq != 8
		}
	}
	mo := MergeOptions{Options: Options{Expires: expiresAs}, Keep: keep}
	_, err = Merge(m, testDir, 3, []*Reader{one, two}, mo)
	must(t, err)
	merged := Open(m, testDir, 3, nil)
	defer merged.Close()
	want = map[uint32]string{7: "[0-20:100]"}
	check("merged", merged)
	for _, queue := range []uint32{8, 9} { // all three share a block
		if got := fmt.Sprint(earliest(t, merged, queue)); got != "[1-1:100]" {
			t.Errorf("merged: queue %d has %s", queue, got)
		}
	}
}
