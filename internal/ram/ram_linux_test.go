package ram

import (
	"testing"
	"testing/fstest"
)

func TestTheLeastLimitCounts(t *testing.T) {
	const gib = 1 << 30
	meminfo := "MemTotal:       16777216 kB\nMemFree:         1000 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"a machine alone": {nil, 16 * gib},
		"no limit, version 2": {map[string]string{
			"proc/self/cgroup": "0::/user.slice/a.scope\n", "sys/fs/cgroup/user.slice/a.scope/memory.max": "max\n",
		}, 16 * gib},
		"a service": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/leveret.service\n", "sys/fs/cgroup/system.slice/leveret.service/memory.max": "2147483648\n",
		}, 2 * gib},
		"memory.high": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "4294967296\n", "sys/fs/cgroup/a/memory.high": "3221225472\n",
		}, 3 * gib},
		"a group above": {map[string]string{
			"proc/self/cgroup": "0::/pod/container\n", "sys/fs/cgroup/pod/memory.max": "1073741824\n", "sys/fs/cgroup/pod/container/memory.max": "2147483648\n",
		}, gib},
		"a container that sees itself as the root": {map[string]string{
			"proc/self/cgroup": "0::/docker/12ab\n", "sys/fs/cgroup/memory.max": "1073741824\n",
		}, gib},
		"version 1": {map[string]string{
			"proc/self/cgroup": "12:cpu,cpuacct:/x\n5:memory:/docker/12ab\n0::/\n", "sys/fs/cgroup/memory/docker/12ab/memory.limit_in_bytes": "536870912\n",
		}, gib / 2},
		"version 1 without a limit": {map[string]string{
			"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 16 * gib},
		"more than there is": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "68719476736\n",
		}, 16 * gib},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "what\n0::\n5:memory\n0::/a\n", "sys/fs/cgroup/a/memory.max": "-3\n", "sys/fs/cgroup/memory.max": "x\n",
		}, 16 * gib},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got, err := readTotal(root); err != nil || got != c.want {
				t.Errorf("%d (%v), want %d", got, err, c.want)
			}
		})
	}
	for name, text := range map[string]string{"no line": "MemFree: 3 kB\n", "no number": "MemTotal: many kB\n", "none": "MemTotal: 0 kB\n"} {
		if n, err := readTotal(fstest.MapFS{"proc/meminfo": {Data: []byte(text)}}); err == nil {
			t.Errorf("%s: %d", name, n)
		}
	}
}

func TestThisMachineHasMemory(t *testing.T) {
	if n, err := Total(); err != nil || n < 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
