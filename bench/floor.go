package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Floor is what a message that is confirmed when it is on disk takes at least on a
// machine, whatever the broker: one sync and one round trip.
type Floor struct {
	// Sync is 4 KiB written to a file that has its blocks, with fdatasync.
	Sync Latencies `json:"sync"`
	// RoundTrip is over a loopback connection between two threads that do nothing
	// but read and write.
	RoundTrip Latencies `json:"round_trip"`
	// Milliseconds is the sum of the two medians. Ratio is the run's own median,
	// measured in it.
	Milliseconds float64 `json:"ms"`
	Ratio        float64 `json:"ratio,omitempty"`
}

func (f *Floor) String() string {
	text := fmt.Sprintf("p50 %.3f ms: fdatasync %.3f (p99 %.3f), loopback round trip %.3f (p99 %.3f)",
		f.Milliseconds, f.Sync.P50, f.Sync.P99, f.RoundTrip.P50, f.RoundTrip.P99)
	if f.Ratio > 0 {
		text += fmt.Sprintf("; the run's p50 is %.2f times that", f.Ratio)
	}
	return text
}

// floorTime is how long a floor is measured before a run, and again after it.
const floorTime = time.Second

// MeasureFloor measures for a time, or until the context ends, with a file in dir.
func MeasureFloor(ctx context.Context, dir string, d time.Duration) (*Floor, error) {
	m := newFloorMeter()
	if err := m.measure(ctx, dir, d); err != nil {
		return nil, err
	}
	return m.floor(), nil
}

// withFloor runs with the floor measured before and after, where that is asked for.
func (r *run) withFloor(all func() (*Result, error)) (*Result, error) {
	if r.cfg.FloorDir == "" {
		return all()
	}
	m := newFloorMeter()
	if err := m.measure(r.ctx, r.cfg.FloorDir, floorTime); err != nil {
		return nil, err
	}
	res, err := all()
	if err != nil {
		return nil, err
	}
	if err := m.measure(r.ctx, r.cfg.FloorDir, floorTime); err != nil {
		return nil, err
	}
	if res.Floor = m.floor(); res.Floor.Milliseconds > 0 {
		res.Floor.Ratio = res.Confirm.P50 / res.Floor.Milliseconds
	}
	return res, nil
}

type floorMeter struct {
	syncs, trips *hdrhistogram.Histogram
}

func newFloorMeter() *floorMeter { return &floorMeter{newHistogram(), newHistogram()} }

func (m *floorMeter) floor() *Floor {
	f := &Floor{Sync: latencies(m.syncs), RoundTrip: latencies(m.trips)}
	f.Milliseconds = f.Sync.P50 + f.RoundTrip.P50
	return f
}

const (
	floorWrite = 4 << 10
	floorFile  = 16 << 20
	floorAsk   = 160 // about what a publish of 100 B takes on the wire,
	floorReply = 21  // and its confirm
)

// measure takes one round trip and one sync after the other, as a broker's client
// does.
func (m *floorMeter) measure(ctx context.Context, dir string, d time.Duration) (err error) {
	f, err := os.CreateTemp(dir, "leveret-bench-*.floor")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := allocate(f, floorFile); err != nil {
		return err
	}
	near, far, err := loopback()
	if err != nil {
		return err
	}
	echoed := make(chan error, 1)
	go func() { echoed <- echo(far) }()
	defer func() { err = errors.Join(err, near.Close(), <-echoed, far.Close()) }()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd := int(near.Fd())
	ask, reply, page := make([]byte, floorAsk), make([]byte, floorReply), make([]byte, floorWrite)
	var at int64
	for end := clock() + int64(d); ctx.Err() == nil; {
		begin := clock()
		if begin > end {
			break
		}
		if _, err := syscall.Write(fd, ask); err != nil {
			return err
		}
		if err := readFull(fd, reply); err != nil {
			return err
		}
		asked := clock()
		page[0]++
		if _, err := f.WriteAt(page, at); err != nil {
			return err
		}
		if err := syncData(f); err != nil {
			return err
		}
		synced := clock()
		at = (at + floorWrite) % floorFile
		_ = m.trips.RecordValue(min(asked-begin, int64(longest))) // in range: no error
		_ = m.syncs.RecordValue(min(synced-asked, int64(longest)))
	}
	return nil
}

// echo answers each request until the other end hangs up.
func echo(far *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd := int(far.Fd())
	ask, reply := make([]byte, floorAsk), make([]byte, floorReply)
	for {
		if err := readFull(fd, ask); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				return nil
			}
			return err
		}
		if _, err := syscall.Write(fd, reply); err != nil {
			return err
		}
	}
}

// readFull reads from a socket that blocks: no thread but the kernel's stands between
// the two ends.
func readFull(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := syscall.Read(fd, buf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		}
		buf = buf[n:]
	}
	return nil
}

// loopback is a TCP connection's two ends, whose Fd makes them block.
func loopback() (near, far *os.File, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	b, err := ln.Accept()
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	if near, err = a.(*net.TCPConn).File(); err != nil {
		return nil, nil, err
	}
	if far, err = b.(*net.TCPConn).File(); err != nil {
		near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// allocate gives a file its blocks, written, so that to write them again changes
// nothing but what they hold.
func allocate(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
