package index

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func TestSkipFindsTheNextWholeBlock(t *testing.T) {
	file := Header{Number: 1}.Append(nil)
	var starts []int
	for i := range 5 {
		at := len(file)
		starts = append(starts, at)
		file = append(BeginBlock(file, BlockCatalog), fmt.Sprintf("record number %d", i)...)
		EndBlock(file, at)
	}
	file = AppendEnd(file, 5)
	read := func(file []byte) (got []string) {
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			r = NewHeadless(bytes.NewReader(file), int64(len(file)))
		}
		for {
			_, p, err := r.Next()
			if err == io.EOF {
				return got
			}
			if err == nil {
				got = append(got, string(p))
			} else if _, ok := r.Skip(); !ok {
				return got
			}
		}
	}
	if got := read(file); len(got) != 5 {
		t.Fatalf("the whole file has %q", got)
	}
	for off := range file {
		bad := bytes.Clone(file)
		bad[off] ^= 0x41
		want := 4
		if off < starts[0] || off >= starts[4]+len("record number 4")+blockHeader {
			want = 5 // the end block
		}
		got := read(bad)
		if len(got) != want {
			t.Errorf("with byte %d wrong %q are left", off, got)
		}
		for _, g := range got {
			if len(g) != len("record number 0") {
				t.Errorf("with byte %d wrong %q is invented", off, g)
			}
		}
	}
}
