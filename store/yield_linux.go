package store

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveWay lets others run in the midst of work in the background: other goroutines, and
// other threads, of this process and of others. Where every processor has something to
// do, Linux lets a thread work on for some 3 ms while the one waits that a client's
// message has woken, unless it says that it is in no hurry.
func giveWay() {
	_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // never fails
	yields.next()
}

// lookEvery is after how many calls of giveWay the network is looked at: it costs
// 5 µs or so, and the calls are 0.1 ms apart.
const lookEvery = 4

var yields yielder

// yielder lets other goroutines run, those too that the network would wake. Go's
// scheduler looks at the network when it finds nothing else to run; but whoever
// calls runtime.Gosched is found first. As long as each processor has a goroutine
// that works in the background and yields like that, clients wait until the runtime's
// monitor looks, every 10 ms. So from time to time the work in the background waits
// for the network itself: for a byte in a pipe, which it has just put there.
type yielder struct {
	calls atomic.Uint32

	mu     sync.Mutex // guards all below
	broken bool       // there will be no pipe
	r, w   *os.File
	conn   syscall.RawConn // of r
	sent   bool
	read   func(fd uintptr) bool // receive, bound once
	byte   [1]byte
}

func (y *yielder) next() {
	if y.calls.Add(1)%lookEvery != 0 {
		runtime.Gosched()
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if !y.open() {
		runtime.Gosched()
		return
	}
	y.sent = false
	if err := y.conn.Read(y.read); err != nil { // the network is not looked at for this pipe
		y.r.Close()
		y.w.Close()
		y.broken = true
	}
}

// open makes the pipe. It tells whether there is one: descriptors may be short.
func (y *yielder) open() bool {
	if y.conn != nil || y.broken {
		return !y.broken
	}
	r, w, err := os.Pipe()
	if err != nil {
		return false
	}
	conn, err := r.SyscallConn()
	if err != nil {
		r.Close()
		w.Close()
		return false
	}
	y.r, y.w, y.conn, y.read = r, w, conn, y.receive
	return true
}

// receive sends the byte when it is called first, and then is called again when the
// network was looked at, until it is there.
func (y *yielder) receive(fd uintptr) (done bool) {
	if !y.sent {
		y.sent = true
		_, err := y.w.Write(y.byte[:])
		return err != nil
	}
	n, err := unix.Read(int(fd), y.byte[:])
	return n > 0 || err != unix.EAGAIN // a byte that is left does no harm
}
