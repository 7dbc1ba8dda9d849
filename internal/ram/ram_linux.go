package ram

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

func total() (int64, error) { return readTotal(os.DirFS("/")) }

// readTotal looks at /proc and /sys below root.
func readTotal(root fs.FS) (int64, error) {
	least, err := machine(root)
	if err != nil {
		return 0, err
	}
	for _, name := range limits(root) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue // that controller is not there, or not for us to see
		}
		// "max", and in version 1 a number of about 2^63, are no limit.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	return least, nil
}

// machine reads the memory of the machine.
func machine(root fs.FS) (int64, error) {
	const name = "proc/meminfo"
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil || n <= 0 || n > 1<<50 {
				return 0, fmt.Errorf("/%s: %q is no size", name, f[1])
			}
			return n << 10, nil
		}
	}
	return 0, errors.New("/" + name + " has no line MemTotal")
}

// limits lists the files that may bound this process: those of its control group
// and of all groups above it, in versions 1 and 2. Where the container's file
// system shows its own group as the root, the root is what is found.
func limits(root fs.FS) []string {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var names []string
	add := func(mount, group string, files ...string) {
		for dir := path.Join("/", group); ; dir = path.Dir(dir) {
			for _, f := range files {
				names = append(names, path.Join(mount, dir, f))
			}
			if dir == "/" {
				return
			}
		}
	}
	// hierarchy:controllers:group
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) != 3:
		case f[0] == "0" && f[1] == "":
			add("sys/fs/cgroup", f[2], "memory.max", "memory.high")
		case slices.Contains(strings.Split(f[1], ","), "memory"):
			add("sys/fs/cgroup/memory", f[2], "memory.limit_in_bytes")
		}
	}
	return names
}
