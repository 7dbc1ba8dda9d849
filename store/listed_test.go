package store

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// readAll reads the messages of seqs and returns their bodies.
func readAll(t tb, q *Queue, seqs []uint64) (got []string) {
	t.Helper()
	var c Claim
	for len(seqs) > 0 {
		n, err := q.Read(&c, seqs)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if n == 0 {
			t.Fatalf("nothing was done of %d messages", len(seqs))
		}
		for i := range c.Items {
			checkItem(t, &c.Items[i])
			got = append(got, string(c.Items[i].Body))
		}
		c.Release()
		seqs = seqs[n:]
	}
	return got
}

func TestMessagesAreReadWhereverTheyLie(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q, other := newQueue(t, s, true), newQueue(t, s, false)
	var want []string
	put := func(n int, m func(string) Message) {
		for range n {
			body := fmt.Sprint("message ", len(want), strings.Repeat(".", 50))
			if m == nil {
				publishLarge(t, s, body, q)
			} else {
				publish(t, s, m(body), q, other)
			}
			want = append(want, body)
		}
	}
	put(40, text)
	retire(t, s)
	put(100, text) // most of which has left the cache
	put(1, nil)
	put(10, transient)
	put(3, text)

	taken := claim(t, s, q, 60) // in segments and in the log
	apply(t, s, func(b *Batch) {
		b.Ack(q, taken[3].seq)
		b.Ack(q, taken[50].seq)
	})
	ready, unacked, bytes := q.Counts()
	var seqs []uint64
	for i := range want {
		seqs = append(seqs, uint64(i))
	}
	left := slices.Concat(want[:3], want[4:50], want[51:])
	if got := readAll(t, q, seqs); !slices.Equal(got, left) {
		t.Errorf("read %d messages, want %d: %q", len(got), len(left), got)
	}
	slices.Reverse(seqs)
	slices.Reverse(left)
	if got := readAll(t, q, seqs); !slices.Equal(got, left) {
		t.Errorf("backwards: read %d messages, want %d", len(got), len(left))
	}
	if r, u, n := q.Counts(); r != ready || u != unacked || n != bytes {
		t.Errorf("reading made %d, %d and %d of %d, %d and %d", r, u, n, ready, unacked, bytes)
	}
	if got := readAll(t, other, []uint64{2, 1 << 40, 0}); !slices.Equal(got, []string{want[2], want[0]}) {
		t.Errorf("of a transient queue: %q", got)
	}
}

func TestDamagedMessageIsLeftOutOfARead(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.Logger = logTo(new(bytes.Buffer))
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 100 {
		publish(t, s, text(fmt.Sprint("damage", i)), q)
	}
	taken := claim(t, s, q, 2)
	damageBlob(t, s, fs, q, taken[0].seq)
	damageBlob(t, s, fs, q, 5)
	if got := readAll(t, q, []uint64{0, 1, 4, 5, 6}); !slices.Equal(got, []string{"damage1", "damage4", "damage6"}) {
		t.Errorf("read %q", got)
	}
	shut(t, s)
}

// damageBlob damages a message that lies in a file of the log.
func damageBlob(t *testing.T, s *Store, fs *vfs.Mem, q *Queue, seq uint64) {
	t.Helper()
	q.mu.Lock()
	e, ok := q.ix.Get(seq)
	q.mu.Unlock()
	if !ok || !e.Logged() || e.Sealed() {
		t.Fatalf("message %d is not in the log", seq)
	}
	name, off, ok := s.log.Locate(wal.LSN(e.Addr))
	if !ok {
		t.Fatalf("message %d is in no file", seq)
	}
	if err := fs.Corrupt(name, func(data []byte) []byte {
		data[off+int64(e.Len)-1] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
}
