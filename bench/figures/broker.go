package figures

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/bench/machine"
	"github.com/leveret-mq/leveret/internal/peer"
	"github.com/leveret-mq/leveret/internal/process"
)

// running is a broker that runs.
type running struct{ *peer.Broker }

// start runs the broker on a directory until clients are accepted.
func (s *session) start(ctx context.Context, dir string) (*running, error) {
	b, err := peer.Leveret(ctx, s.Binary, peer.Options{Data: dir, Temp: s.Dir, Bare: true, Accepts: bench.Ping})
	if err != nil {
		return nil, err
	}
	return &running{b}, nil
}

// stop asks it to end, and says how long it took.
func (p *running) stop() (time.Duration, error) {
	defer p.Close()
	return p.Stop()
}

// rss is the resident memory in bytes.
func (p *running) rss() int64 { return int64(process.Resident(p.PID())) }

// written is how many bytes were sent to the disk: by everybody, to the device that
// dir is on, where that counts them (device is true then), else by the process.
func (p *running) written(dir string) (bytes int64, device bool) {
	if n, err := sectors(dir); err == nil {
		return n * 512, true
	}
	n, _ := strconv.ParseInt(machine.Field(fmt.Sprintf("/proc/%d/io", p.PID()), "write_bytes"), 10, 64)
	return n, false
}

// sectors is how many sectors of 512 bytes were written to the device of dir since
// it was attached, with all that is dirty now.
func sectors(dir string) (int64, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat))
	if len(fields) < 7 {
		return 0, fmt.Errorf("statistics of the device have %d fields", len(fields))
	}
	return strconv.ParseInt(fields[6], 10, 64)
}

// watchRSS samples the resident memory until the returned function is called,
// which says what the most was.
func (p *running) watchRSS() (most func() int64) {
	var peak atomic.Int64
	pid := p.PID()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), int64(process.Resident(pid))))
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		close(quit)
		<-done
		return peak.Load()
	}
}

// diskUse is the bytes of the blocks that a directory's files occupy. Files that
// vanish meanwhile count nothing.
func diskUse(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// copyDir copies a directory tree.
func copyDir(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }

// eachFile calls fn with each file of a directory tree, opened.
func eachFile(dir string, fn func(f *os.File) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(fn(f), f.Close())
	})
}

// forgetPages makes the kernel drop a directory's files from its cache, when
// they are on disk.
func forgetPages(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		if err := f.Sync(); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// warm reads a directory's files into the kernel's cache.
func warm(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		_, err := io.Copy(io.Discard, f)
		return err
	})
}
