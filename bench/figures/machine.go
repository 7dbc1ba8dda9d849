package figures

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is the conditions of a run.
type Machine struct {
	CPU         string        `json:"cpu"`
	Cores       int           `json:"cores"`
	Memory      int64         `json:"memory"` // bytes
	Kernel      string        `json:"kernel"`
	FileSystem  string        `json:"file_system"`
	Go          string        `json:"go"`
	Version     string        `json:"version"` // of the broker
	Load        string        `json:"load"`    // average over 1, 5, 15 minutes, before the run
	SyncMedian  time.Duration `json:"sync_median_ns"`
	SyncP99     time.Duration `json:"sync_p99_ns"`
	Scale       float64       `json:"scale"`
	Runs        int           `json:"runs"`
	SyncFailure string        `json:"sync_failure,omitempty"`
}

func (m *Machine) lines() []string {
	sync := fmt.Sprintf("fdatasync of 4 KiB %s at the median, %s at p99", ms(m.SyncMedian), ms(m.SyncP99))
	if m.SyncFailure != "" {
		sync = "fdatasync not measured: " + m.SyncFailure
	}
	lines := []string{
		fmt.Sprintf("leveret %s, %s", m.Version, m.Go),
		fmt.Sprintf("%s, %d cores, %d GiB; %s; %s; %s", m.CPU, m.Cores, m.Memory>>30, m.Kernel, m.FileSystem, sync),
		fmt.Sprintf("load before the run %s; clients on the same cores; medians of %d", m.Load, m.Runs),
	}
	if m.Scale != 1 {
		lines = append(lines, fmt.Sprintf("SCALE %v: all numbers of messages and queues are multiplied by it; this is a trial", m.Scale))
	}
	return lines
}

// describe looks at the machine.
func describe(ctx context.Context, c *Config) Machine {
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Load: strings.Join(strings.Fields(first("/proc/loadavg"))[:3], " "), Scale: c.Scale, Runs: c.Runs,
		Version: "of unknown version",
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if v, err := exec.CommandContext(ctx, c.Binary, "version").Output(); err == nil {
		m.Version, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(v)), "leveret "), "\n")
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	m.FileSystem = fileSystem(c.Dir)
	var err error
	if m.SyncMedian, m.SyncP99, err = syncTime(c.Dir); err != nil {
		m.SyncFailure = err.Error()
	}
	return m
}

func first(name string) string {
	b, err := os.ReadFile(name)
	if err != nil || len(strings.Fields(string(b))) < 3 {
		return "? ? ?"
	}
	return string(b)
}

// field is the first value with that name in a file of "name : value" lines.
func field(file, name string) string {
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

// syncTime appends 4 KiB and syncs, a few hundred times.
func syncTime(dir string) (p50, p99 time.Duration, err error) {
	name := filepath.Join(dir, "storebench-sync")
	f, err := os.Create(name)
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(name)
	defer f.Close()
	buf := make([]byte, 4096)
	var took []time.Duration
	for i := range 400 {
		if _, err := f.WriteAt(buf, int64(i)*4096); err != nil {
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
