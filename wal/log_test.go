package wal

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestRecordsComeBackInOrder(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			m := vfs.NewMem()
			opts := Options{FileSize: 4096, ChunkSize: 1024, CacheSize: 4096, MaxStaged: 8192}
			var fs vfs.FS = m
			n := 0
			for round := range 4 {
				got := 0
				l, err := Open(fs, "/data/wal", 0, opts, func(lsn LSN, rec []byte) error {
					if want := fmt.Sprintf("record %d", got); string(rec[:len(want)]) != want {
						return fmt.Errorf("at %d: got %q, want %q", lsn, rec, want)
					}
					got++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if got != n {
					t.Fatalf("round %d: %d records came back, want %d", round, got, n)
				}
				var last LSN
				for range 200 {
					rec := append(fmt.Appendf(nil, "record %d", n), make([]byte, n*7%300)...)
					n++
					lsn, end, err := l.Append(rec, Mode(n%3), nil)
					if err != nil {
						t.Fatal(err)
					}
					if n%9 == 0 {
						l.Lead()
					}
					if n%17 == 0 {
						if err := l.Wait(end); err != nil {
							t.Fatal(err)
						}
					}
					p := make([]byte, len(rec))
					if err := l.ReadAt(p, lsn); err != nil || string(p) != string(rec) {
						t.Fatalf("read back %q, %v", p, err)
					}
					last = end
				}
				if err := l.Wait(last); err != nil {
					t.Fatal(err)
				}
				if !cut {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					m = m.Restart()
					fs = m
					l.Close()
				}
			}
		})
	}
}
