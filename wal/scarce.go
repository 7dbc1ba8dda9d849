package wal

import (
	"errors"
	"syscall"
	"time"
)

// What the log does when the machine runs short of room or of descriptors,
// which passes: nothing that was promised is touched by it.

const (
	// rotateRetry is how long the old file is written on before a new one is
	// tried for again.
	rotateRetry = time.Second
	// fullDiskRetry is how often a write that found no room is tried again.
	fullDiskRetry = 200 * time.Millisecond
)

// scarce tells whether err is the want of something that may come back.
func scarce(err error) bool {
	return noRoom(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// tryRotate begins a new file at start, where the active one ends, over a spare
// if it may. fatal says
// that there is no way back: the new file may have its name, and recovery would
// take it for the log's continuation, or the error is none that passes. By the
// owner of busy, without mu.
func (l *Log) tryRotate(start LSN, over bool) (fatal bool, err error) {
	hdr := fileHeader{nonce: l.opts.nonce(), seq: l.files.active.seq + 1, start: start}
	f, named, err := l.newFile(hdr, over)
	if err != nil {
		return named || !scarce(err), err
	}
	l.files.closeIdle()
	l.files.add(f)
	l.files.active = f
	return false, nil
}

// postpone lets a commit go on in the old file where a new one cannot be had
// for now: FileSize is a wish and no promise. By the owner of busy.
func (l *Log) postpone(err error) {
	l.rotateAfter = time.Now().Add(rotateRetry)
	l.opts.Logger.Warn("no new log file can be made for now; the old one is written on",
		"file", l.files.active.name, "bytes", l.files.active.size(), "err", err)
}

// GiveUp ends the waiting for room on a full disk, now and for good: a commit
// that finds none fails the log. It is for those who are about to Close and have
// goroutines in Wait or Lead; Close does it itself.
func (l *Log) GiveUp() { l.giveUp.Do(func() { close(l.closing) }) }

// Full tells whether a commit is waiting for room on a full disk.
func (l *Log) Full() bool { return l.full.Load() }

// writeFrame writes a frame into its place in f, and waits where the disk is
// full: see Options.FullDiskWait. It tells how long it has waited. By the owner
// of busy, without mu.
func (l *Log) writeFrame(f *file, b []byte, lsn LSN) (waited time.Duration, err error) {
	err = f.write(b, lsn)
	if err != nil && noRoom(err) && l.DropSpares() > 0 {
		err = f.write(b, lsn)
	}
	if err == nil || !noRoom(err) || l.opts.FullDiskWait < 0 {
		return 0, err
	}
	l.opts.Logger.Warn("the disk is full; what waits for the log waits until there is room", "file", f.name, "err", err)
	l.full.Store(true)
	defer l.full.Store(false)
	var limit <-chan time.Time
	if l.opts.FullDiskWait > 0 {
		t := time.NewTimer(l.opts.FullDiskWait)
		defer t.Stop()
		limit = t.C
	}
	again := time.NewTicker(fullDiskRetry)
	defer again.Stop()
	for begin := time.Now(); ; {
		select {
		case <-again.C:
		case <-limit:
			return time.Since(begin), err
		case <-l.closing:
			return time.Since(begin), err
		}
		l.DropSpares() // one that was kept since
		if err = f.write(b, lsn); err == nil {
			waited := time.Since(begin)
			l.opts.Logger.Info("the disk has room again", "file", f.name, "waited", waited)
			return waited, nil
		}
		if !noRoom(err) {
			return time.Since(begin), err
		}
	}
}
