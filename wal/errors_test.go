package wal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// failing runs a workload over a file system that fails at some call, and
// reports what was promised before. Whatever fails, no call may panic, hang,
// or promise what is not so.
func failing(c *crasher, fs vfs.FS) (errs []error) {
	note := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	l, n, err := c.h.check(fs, c.opts)
	if !note(err) {
		return errs
	}
	c.h.batches = c.h.batches[:n]
	c.h.confirmed = max(c.h.confirmed, l.Durable())
	w := &notes{}
	batches := 0
	var ends []LSN
	for i := range 25 {
		end, err := c.append(l, 1+i%3, 150*(1+i%4), Lazy, w)
		if !note(err) {
			break
		}
		batches++
		ends = append(ends, end)
		switch {
		case i%3 == 0:
			l.Lead()
		case i%3 == 1:
			note(l.Wait(end))
		}
		if c.removes {
			if from := l.Boundary(); i%3 == 1 && l.Durable() >= from {
				c.h.from = max(c.h.from, from)
				for _, f := range l.Files() {
					if f.End <= from && !f.Active {
						note(l.Remove(f.Seq))
					}
				}
			}
			continue
		}
		if i%8 == 7 { // something old, out of the cache
			b := c.h.batches[0]
			p := make([]byte, len(b.recs[0]))
			if note(l.ReadAt(p, b.lsns[0])) && string(p) != b.recs[0] {
				c.t.Error("read something else")
			}
			note(l.Rotate())
			note(c.h.scan(l, l.Files()[0]))
		}
	}
	sticky := l.Err()
	durable := l.Durable()
	c.recycled += l.Stats().Recycled
	note(l.Close())
	if sticky != nil {
		if err := l.Err(); err != sticky {
			c.t.Errorf("failed with %v, then with %v", sticky, err)
		}
		if l.Durable() != durable {
			c.t.Error("durable moved after the failure")
		}
	}
	// Each batch was told its fate, once, and no failure was called a success.
	if len(w.errs) != batches {
		c.t.Errorf("%d batches, %d calls of waiters", batches, len(w.errs))
	}
	for i, err := range w.errs {
		if err == nil && w.durable[i] < ends[i] {
			c.t.Errorf("batch %d up to %d was confirmed at %d", i, ends[i], w.durable[i])
		}
		if err == nil {
			c.h.confirmed = max(c.h.confirmed, ends[i])
		}
	}
	c.h.confirmed = max(c.h.confirmed, l.Durable())
	return errs
}

func TestFailureOfAnyCall(t *testing.T) { failureOfAnyCall(t, false) }

// The same where files are written over older ones.
func TestFailureOfAnyCallOverOlderFiles(t *testing.T) { failureOfAnyCall(t, true) }

func failureOfAnyCall(t *testing.T, removes bool) {
	for _, rule := range []vfs.Rule{
		{Err: syscall.EIO},
		{Err: syscall.EIO, Sticky: true},
		{Err: syscall.ENOSPC, Ops: vfs.OpWrite, Short: -1},
		{Err: syscall.ENOSPC, Ops: vfs.OpWrite, Short: 1, Sticky: true},
		{Err: syscall.EIO, After: true},
	} {
		t.Run(fmt.Sprintf("%v sticky=%v short=%d after=%v", rule.Err, rule.Sticky, rule.Short, rule.After), func(t *testing.T) {
			opts := tiny()
			opts.CacheSize = 1
			// A log that was killed, so that the recovery has work to do.
			c := &crasher{t: t, opts: opts, removes: removes}
			killed := newMem(t)
			l := c.open(killed)
			killed.OnOp(nil)
			for range 12 {
				end, err := c.append(l, 2, 200, Lazy, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.Wait(end); err != nil {
					t.Fatal(err)
				}
			}
			killed = c.kill(killed)

			before := c.h
			failures := 0
			for k := 1; ; k++ {
				c.h = before
				c.h.batches = slices.Clip(c.h.batches)
				m := killed.Restart()
				handles := &handleFS{FS: m}
				efs := vfs.NewErrFS(handles)
				rule := rule
				rule.At = k
				inj := efs.Add(rule)
				errs := failing(c, efs)
				if inj.Failed() == 0 {
					break // the workload has fewer calls than k
				}
				failures++
				for _, err := range errs {
					if !errors.Is(err, rule.Err) {
						t.Errorf("call %d: error %q does not tell its cause", k, err)
					}
				}
				if n := handles.open.Load(); n != 0 {
					t.Errorf("call %d: %d handles left open", k, n)
				}

				// The next process sees all that was promised, and so does the one
				// after a power cut, with or without a recovery in between.
				for _, restart := range []bool{true, false} {
					m, h := m.Restart(), c.h
					if restart {
						l, n, err := h.check(m, opts)
						if err != nil {
							t.Fatalf("call %d: %v", k, err)
						}
						h.batches, h.confirmed = h.batches[:n], max(h.confirmed, l.Durable())
						l.Close()
					}
					for name, im := range m.Images(vfs.ImageOptions{MaxImages: 10, Seed: uint64(k)}) {
						l, _, err := h.check(im, opts)
						if err != nil {
							t.Fatalf("call %d, restart %v, %s: %v", k, restart, name, err)
						}
						l.Close()
					}
				}
				if t.Failed() {
					return
				}
			}
			if failures < 25 {
				t.Errorf("only %d calls to fail", failures)
			}
			t.Logf("%d calls", failures)
		})
	}
}

// A failed write or sync ends the log: nothing is retried.
func TestFailureIsSticky(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync} {
		t.Run(op.String(), func(t *testing.T) {
			efs := vfs.NewErrFS(newMem(t))
			var text strings.Builder
			opts := tiny()
			opts.Logger = slog.New(slog.NewTextHandler(&text, nil))
			l := mustOpen(t, efs, 0, opts)
			good := l.mustCommit(t, "good")
			inj := efs.Add(vfs.Rule{Ops: op, At: 1})
			w := &notes{}
			_, end := l.mustAppend(t, Lazy, w, "bad")
			l.mustAppend(t, Lazy, w, "bad too")
			l.Lead()
			if len(w.errs) != 2 || !errors.Is(w.errs[0], syscall.EIO) || !errors.Is(w.errs[1], syscall.EIO) || w.durable[0] > end {
				t.Errorf("waiters got %v", w.errs)
			}
			for name, err := range map[string]error{
				"Begin": l.Begin(1, 1), "Wait": l.Wait(end), "Err": l.Err(),
			} {
				if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), ".wal") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := l.Wait(good); err != nil {
				t.Errorf("Wait for what was durable before: %v", err)
			}
			if got := l.cached(good-4, 4); got != "good" {
				t.Errorf("read %q", got)
			}
			calls := inj.Calls()
			l.Lead()
			if err := l.Close(); !errors.Is(err, syscall.EIO) {
				t.Errorf("Close: %v", err)
			}
			if n := inj.Calls(); n != calls {
				t.Errorf("%d more calls after the failure", n-calls)
			}
			if !strings.Contains(text.String(), "write-ahead log failed") {
				t.Errorf("logged %q", text.String())
			}
		})
	}
}

// What is staged behind a commit that fails shares its fate, and those who
// wait for room or for durability are released.
func TestFailureReachesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, efs := gated(t, tiny())
		w := &notes{}
		l.mustAppend(t, Group, w, "first")
		synctest.Wait() // the committer is in its sync
		staged := 1
		for int64(l.Appended()) < tiny().MaxStaged-1000 {
			l.mustAppend(t, Lazy, w, fill(1, 500))
			staged++
		}
		errs := make(chan error, 3)
		go func() { errs <- l.Begin(5000, 1) }()
		go func() { errs <- l.Wait(l.Appended()) }()
		go func() { errs <- l.Wait(1 << 40) }()
		synctest.Wait()
		efs.Add(vfs.Rule{Ops: vfs.OpWrite, At: 1})
		close(g.open)
		synctest.Wait()
		if len(errs) != 3 {
			t.Fatalf("%d of 3 have returned", len(errs))
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, syscall.EIO) {
				t.Error(err)
			}
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if w.count() != staged || w.errs[0] != nil || !errors.Is(w.errs[staged-1], syscall.EIO) {
			t.Errorf("%d calls for %d batches: %v", w.count(), staged, w.errs)
		}
	})
}

// A WriterAt that breaks its contract must not be believed.
func TestShortWriteWithoutAnErrorIsAFailure(t *testing.T) {
	short := &shortFS{FS: newMem(t)}
	l := mustOpen(t, short, 0, tiny())
	short.on = true
	_, end := l.mustAppend(t, Lazy, nil, "record")
	if err := l.Wait(end); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
	if _, err := Open(short, testDir, 0, tiny(), nil); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}

type shortFS struct {
	vfs.FS
	on bool
}

func (s *shortFS) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	return shortFile{f, s}, err
}

func (s *shortFS) OpenRW(name string) (vfs.File, error) {
	f, err := s.FS.OpenRW(name)
	return shortFile{f, s}, err
}

type shortFile struct {
	vfs.File
	fs *shortFS
}

func (f shortFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if f.fs.on {
		n--
	}
	return n, err
}

func TestFullDiskAtRotation(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	m.SetCapacity(10000)
	var err error
	n := 0
	for ; err == nil; n++ {
		var end LSN
		if _, end, err = l.Append([]byte(fill(n, 500)), Lazy, nil); err == nil {
			err = l.Wait(end)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	l.Close()
	m.SetCapacity(1 << 30)
	recs, _, err := replayed(m, 0)
	if err != nil || len(recs) < n-1 {
		t.Fatalf("%d of %d records, %v", len(recs), n-1, err)
	}
}
