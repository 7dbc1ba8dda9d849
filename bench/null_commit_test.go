package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheCeilingsFileIsWrittenOverInACircle(t *testing.T) {
	const size = 1000
	f, err := os.Create(filepath.Join(t.TempDir(), "circle"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := newCommitter(f, size)
	if err != nil {
		t.Fatal(err)
	}
	var want [size]byte
	at := 0
	for i, n := range []int{1, 998, 1, 700, 301, 1000, 3333, 0, 5} {
		group := bytes.Repeat([]byte{byte('a' + i)}, n)
		if err := k.write(group); err != nil {
			t.Fatal(err)
		}
		for _, b := range group {
			want[at] = b
			at = (at + 1) % size
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, want[:]) {
			t.Fatalf("after group %d of %d bytes the file of %d bytes is another, %v", i, n, len(got), err)
		}
	}
	if err := k.close(); err != nil {
		t.Error(err)
	}
}
