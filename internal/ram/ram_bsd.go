//go:build darwin || freebsd

package ram

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

func total() (int64, error) {
	name := "hw.physmem"
	if runtime.GOOS == "darwin" {
		name = "hw.memsize"
	}
	n, err := unix.SysctlUint64(name)
	if err != nil {
		return 0, fmt.Errorf("sysctl %s: %w", name, err)
	}
	return int64(n), nil
}
