package monitor

import (
	"bytes"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// readProcess fills in what the system tells of the process.
func (n *NodeFigures) readProcess() {
	if dir, err := os.Open("/proc/self/fd"); err == nil {
		names, _ := dir.Readdirnames(-1)
		_ = dir.Close()
		n.FDs = max(len(names)-1, 0) // but for dir itself
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur <= math.MaxInt32 {
		n.FDLimit = int(limit.Cur)
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(text); len(f) > 1 {
			pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
			n.Resident = pages * int64(os.Getpagesize())
		}
	}
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err == nil {
		n.ContextSwitches = uint64(use.Nvcsw + use.Nivcsw)
	}
}
