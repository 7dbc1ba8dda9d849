package store

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// giveWay lets others run in the midst of work in the background: other goroutines, and
// other threads, of this process and of others. Where every processor has something to
// do, Linux lets a thread work on for some 3 ms while the one waits that a client's
// message has woken, unless it says that it is in no hurry.
func giveWay() {
	_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // never fails
	runtime.Gosched()
}
