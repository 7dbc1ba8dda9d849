package bench

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is CLOCK_MONOTONIC, which begins with the machine.
func monotonic() int64 { return int64(time.Since(epoch)) + sinceBoot }

var (
	epoch     = time.Now()
	sinceBoot = bootClock()
)

func bootClock() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() - int64(time.Since(epoch))
}

// Nap sleeps to within the kernel's timers, where the runtime's may be late by a
// millisecond. It holds a thread meanwhile. A signal ends it.
func Nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
