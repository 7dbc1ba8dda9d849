package wal

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestNoNewFileForNowGoesOnInTheOldOne(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.ENOSPC} {
		for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync} {
			synctest.Test(t, func(t *testing.T) {
				m := newMem(t)
				efs := vfs.NewErrFS(m)
				inj := efs.Add(vfs.Rule{Ops: op, Name: "*02.wal.tmp", At: 1, Sticky: true, Err: cause})
				l := mustOpen(t, efs, 0, tiny())
				var recs []string
				add := func() {
					recs = append(recs, fill(len(recs), 500))
					_, end, err := l.Append([]byte(recs[len(recs)-1]), Lazy, nil)
					if err == nil {
						err = l.Wait(end)
					}
					if err != nil {
						t.Fatalf("record %d: %v", len(recs), err)
					}
				}
				for range 20 {
					add()
				}
				if n := len(l.Files()); n != 1 {
					t.Fatalf("%d files", n)
				}
				if n := inj.Failed(); n != 1 {
					t.Errorf("a new file was tried for %d times at one moment", n)
				}
				efs.Clear()
				time.Sleep(rotateRetry)
				for range 20 {
					add()
				}
				if n := len(l.Files()); n < 2 {
					t.Errorf("%d files after descriptors came back", n)
				}
				l.mustClose(t)
				got, _, err := replayed(m, 0)
				if err != nil || len(got) != len(recs) {
					t.Fatalf("%d of %d records, %v", len(got), len(recs), err)
				}
			})
		}
	}
}

// A new file that has its name but was not made durable may come back after a
// power cut, and would end the old one where it begins: no going on from there.
func TestNewFileThatMayHaveItsNameIsAFailure(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRename, vfs.OpSyncDir} {
		efs := vfs.NewErrFS(newMem(t))
		l := mustOpen(t, efs, 0, tiny())
		efs.Add(vfs.Rule{Ops: op, At: 1, Err: syscall.EMFILE})
		var err error
		for i := 0; err == nil && i < 20; i++ {
			var end LSN
			if _, end, err = l.Append([]byte(fill(i, 500)), Lazy, nil); err == nil {
				err = l.Wait(end)
			}
		}
		if !errors.Is(err, syscall.EMFILE) || l.Err() == nil {
			t.Errorf("%v: %v, log %v", op, err, l.Err())
		}
		l.Close()
	}
}

func TestFullDiskIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tiny()
		opts.FullDiskWait = 0
		m := newMem(t)
		l := mustOpen(t, m, 0, opts)
		m.SetCapacity(3000)
		w := &notes{}
		done := make(chan error, 1)
		var recs []string
		go func() {
			for i := range 10 {
				recs = append(recs, fill(i, 500))
				_, end, err := l.Append([]byte(recs[i]), Group, w)
				if err == nil {
					err = l.Wait(end)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		time.Sleep(time.Minute)
		select {
		case err := <-done:
			t.Fatalf("went on without room: %v", err)
		default:
		}
		if err := l.Err(); err != nil || !l.Full() {
			t.Fatal(err, l.Full())
		}
		m.SetCapacity(1 << 30)
		if err := <-done; err != nil || l.Full() {
			t.Fatal(err, l.Full())
		}
		l.mustClose(t) // all waiters are told
		for i, err := range w.errs {
			if err != nil {
				t.Errorf("waiter %d: %v", i, err)
			}
		}
		got, _, err := replayed(m, 0)
		if err != nil || len(got) != len(recs) {
			t.Fatalf("%d of %d records, %v", len(got), len(recs), err)
		}
	})
}

func TestFullDiskEndsWithCloseOrItsTime(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			opts := tiny()
			opts.FullDiskWait = limit
			m := newMem(t)
			l := mustOpen(t, m, 0, opts)
			m.SetCapacity(100)
			_, end, err := l.Append([]byte(fill(0, 500)), Group, nil)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- l.Wait(end) }()
			synctest.Wait()
			begin := time.Now()
			if limit == 0 {
				l.GiveUp()
				synctest.Wait()
				if err := l.Err(); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("given up, and the log says %v", err)
				}
				if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("Close: %v", err)
				}
			}
			if err := <-done; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("Wait: %v", err)
			}
			if waited := time.Since(begin); waited != limit {
				t.Errorf("waited %v, want %v", waited, limit)
			}
			if limit != 0 {
				l.Close()
			}
		})
	}
}
