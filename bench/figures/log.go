package figures

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	tidwall "github.com/tidwall/wal"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// appendTime is how long a sample of a log takes.
const appendTime = 2 * time.Second

// logs compares the log with tidwall/wal as it comes, which syncs each write.
// Their samples alternate.
func (s *session) logs(ctx context.Context) error {
	for _, c := range []struct {
		appenders int
		aim       float64
		words     string
	}{{64, 10, "at least 10 times"}, {1, 1, "at least equal"}} {
		var ours, theirs, ratio []float64
		for range s.Runs {
			a, err := s.appendRate(ctx, openOurs, c.appenders)
			if err != nil {
				return err
			}
			b, err := s.appendRate(ctx, openTidwall, c.appenders)
			if err != nil {
				return err
			}
			ours, theirs, ratio = append(ours, a), append(theirs, b), append(ratio, a/b)
		}
		plural := "appenders"
		if c.appenders == 1 {
			plural = "appender"
		}
		s.add(least(fmt.Sprintf("log, %d %s of 128 B, each waiting for its sync, against tidwall/wal", c.appenders, plural),
			median(ratio), c.aim, fmt.Sprintf("%.2f times", median(ratio)), c.words,
			fmt.Sprintf("%s records/s, theirs %s", thousands(int(median(ours))), thousands(int(median(theirs))))))
	}
	return nil
}

// durable is a log whose append returns when the record is on disk.
type durable interface {
	append(rec []byte) error
	Close() error
}

// appendRate is records a second.
func (s *session) appendRate(ctx context.Context, open func(dir string) (durable, error), appenders int) (float64, error) {
	dir, remove, err := s.room("log")
	if err != nil {
		return 0, err
	}
	defer remove()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	l, err := open(filepath.Join(dir, "wal"))
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, max(100*time.Millisecond, time.Duration(min(s.Scale, 1)*float64(appendTime))))
	defer cancel()
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for range appenders {
		wg.Go(func() {
			rec := make([]byte, 128)
			for ctx.Err() == nil {
				if err := l.append(rec); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	rate := float64(n.Load()) / time.Since(begin).Seconds()
	if err := l.Close(); err != nil {
		return 0, err
	}
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return rate, nil
}

type ourLog struct{ *wal.Log }

func openOurs(dir string) (durable, error) {
	l, err := wal.Open(vfs.OS(), dir, 0, wal.Options{}, nil)
	return ourLog{l}, err
}

func (l ourLog) append(rec []byte) error {
	_, end, err := l.Append(rec, wal.Lazy, nil)
	if err != nil {
		return err
	}
	return l.Wait(end)
}

type tidwallLog struct {
	mu  sync.Mutex
	log *tidwall.Log
	idx uint64
}

func openTidwall(dir string) (durable, error) {
	l, err := tidwall.Open(dir, nil)
	return &tidwallLog{log: l}, err
}

func (l *tidwallLog) append(rec []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idx++
	return l.log.Write(l.idx, rec)
}

func (l *tidwallLog) Close() error { return l.log.Close() }
