// Package machine says what a measurement was made on: without its conditions a figure
// says little.
package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what programs run on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     int64  `json:"memory"` // bytes
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"`
	Go         string `json:"go"`
}

// String is the machine on a line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %d GiB; %s; %s", m.CPU, m.Cores, (m.Memory+1<<29)>>30, m.Kernel, m.FileSystem)
}

// Describe looks at the machine and at the file system of a folder.
func Describe(dir string) Machine {
	m := Machine{CPU: Field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(), FileSystem: fileSystem(dir)}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// Load is the averages of runnable processes over 1, 5 and 15 minutes.
func Load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// Version is what a leveret says it is.
func Version(ctx context.Context, binary string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return "of unknown version"
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "leveret "), "\n")
	return version
}

// Field is the first value with that name in a file of "name : value" lines.
func Field(file, name string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// fileSystem is the type of the file system that a directory is on.
func fileSystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "unknown file system"
	}
	for magic, name := range map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", 0x2fc12fc1: "zfs",
	} {
		if int64(st.Type) == magic {
			return name
		}
	}
	return fmt.Sprintf("file system %#x", st.Type)
}

// SyncTime writes 4 KiB over a file of a folder that has its blocks, and syncs, a few
// hundred times: a file that grows costs the file system's journal more.
func SyncTime(dir string) (p50, p99 time.Duration, err error) {
	name := filepath.Join(dir, "leveret-bench-sync")
	f, err := os.Create(name)
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(name)
	defer f.Close()
	const times, size = 400, 4096
	if _, err := f.Write(make([]byte, times*size)); err != nil {
		return 0, 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, 0, err
	}
	buf := make([]byte, size)
	buf[0] = 1
	var took []time.Duration
	for i := range times {
		if _, err := f.WriteAt(buf, int64(i)*size); err != nil {
			return 0, 0, err
		}
		begin := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}
