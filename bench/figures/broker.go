package figures

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leveret-mq/leveret/bench"
)

// process is a broker that runs.
type process struct {
	cmd  *exec.Cmd
	addr string
	// ready is how long it took from its start until a client was accepted.
	ready time.Duration

	mu    sync.Mutex
	lines []string // the last of its standard error

	exited  chan struct{}
	waitErr error
}

// startLimit bounds how long a broker may take.
const startLimit = 5 * time.Minute

// start runs the broker on a directory until clients are accepted.
func (s *session) start(ctx context.Context, dir string) (*process, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{addr: ln.Addr().String(), exited: make(chan struct{})}
	ln.Close()
	p.cmd = exec.Command(s.Binary, "serve", "--data-dir", dir, "--amqp-addr", p.addr, "--http-addr", "", "--metrics-addr", "", "--log-level", "warn")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch(bufio.NewScanner(out))
	for {
		err := bench.Ping(ctx, p.uri())
		if err == nil {
			p.ready = time.Since(begin)
			return p, nil
		}
		select {
		case <-p.exited:
			return nil, fmt.Errorf("the broker ends: %w: %s", p.waitErr, p.last())
		case <-ctx.Done():
			p.kill()
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
		if time.Since(begin) > startLimit {
			p.kill()
			return nil, fmt.Errorf("the broker accepts nobody: %w: %s", err, p.last())
		}
	}
}

func (p *process) watch(lines *bufio.Scanner) {
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.lines = p.lines[max(0, len(p.lines)-20):]
		p.mu.Unlock()
	}
	p.waitErr = p.cmd.Wait()
	if p.waitErr == nil {
		p.waitErr = errors.New("without an error")
	}
	close(p.exited)
}

func (p *process) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

func (p *process) uri() string { return "amqp://guest:guest@" + p.addr + "/" }

// kill ends it as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// stop asks it to end, and says how long it took.
func (p *process) stop() (time.Duration, error) {
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.kill()
		return 0, fmt.Errorf("the broker does not stop: %s", p.last())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return 0, fmt.Errorf("the broker stops with status %d: %s", code, p.last())
	}
	return time.Since(begin), nil
}

// proc reads a number from a line "name: value" of a file in /proc.
func (p *process) proc(file, name string) int64 {
	value := strings.Fields(field(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file), name))
	n, _ := strconv.ParseInt(value[0], 10, 64)
	return n
}

// rss is the resident memory in bytes.
func (p *process) rss() int64 { return p.proc("status", "VmRSS") << 10 }

// written is how many bytes were sent to the disk: by everybody, to the device that
// dir is on, where that counts them (device is true then), else by the process.
func (p *process) written(dir string) (bytes int64, device bool) {
	if n, err := sectors(dir); err == nil {
		return n * 512, true
	}
	return p.proc("io", "write_bytes"), false
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
func (p *process) watchRSS() (most func() int64) {
	var peak atomic.Int64
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), p.rss()))
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
