package vfs

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestBuffersShareWithoutHarm writes to buffers that thaw from each other's
// contents, and compares all of them with plain byte slices.
func TestBuffersShareWithoutHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct {
			b    buffer
			want []byte
		}
		type frozen struct {
			c    content
			want []byte
		}
		buffers := []*pair{{}}
		var contents []frozen
		offset := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(pageSize-3, pageSize+3),
			rapid.Int64Range(0, 4*pageSize))
		length := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(pageSize-3, 2*pageSize+3))
		fill := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p := buffers[rapid.IntRange(0, len(buffers)-1).Draw(t, "buffer")]
				off, n := offset.Draw(t, "offset"), length.Draw(t, "length")
				fill++
				data := bytes.Repeat([]byte{fill}, n)
				if n == 0 {
					return // Mem lets none through
				}
				p.b.writeAt(data, off)
				if end := int(off) + n; end > len(p.want) {
					p.want = append(p.want, make([]byte, end-len(p.want))...)
				}
				copy(p.want[off:], data)
			},
			"freeze": func(t *rapid.T) {
				p := buffers[rapid.IntRange(0, len(buffers)-1).Draw(t, "buffer")]
				contents = append(contents, frozen{p.b.freeze(), bytes.Clone(p.want)})
			},
			"thaw": func(t *rapid.T) {
				if len(contents) == 0 {
					return
				}
				c := contents[rapid.IntRange(0, len(contents)-1).Draw(t, "content")]
				buffers = append(buffers, &pair{c.c.thaw(), bytes.Clone(c.want)})
			},
			"": func(t *rapid.T) {
				for i, p := range buffers {
					if !bytes.Equal(p.b.bytes(), p.want) {
						t.Fatalf("buffer %d differs", i)
					}
				}
				for i, c := range contents {
					if !bytes.Equal(c.c.bytes(), c.want) {
						t.Fatalf("content %d differs", i)
					}
				}
			},
		})
	})
}

func TestReadAtAnyOffset(t *testing.T) {
	var b buffer
	want := make([]byte, 3*pageSize+100)
	for i := range want {
		want[i] = byte(i * 7)
	}
	clear(want[pageSize : 2*pageSize]) // a hole
	b.writeAt(want[:pageSize], 0)
	b.writeAt(want[2*pageSize:], 2*pageSize)
	for _, off := range []int{0, 1, pageSize - 1, pageSize, 2*pageSize - 1, 3 * pageSize, len(want) - 1, len(want)} {
		for _, n := range []int{0, 1, 2, pageSize, 2*pageSize + 1, len(want)} {
			got := bytes.Repeat([]byte{0xee}, n)
			k := b.readAt(got, int64(off))
			if w := want[off:min(len(want), off+n)]; k != len(w) || !bytes.Equal(got[:k], w) {
				t.Errorf("readAt(%d bytes, %d) = %d", n, off, k)
			}
		}
	}
}
