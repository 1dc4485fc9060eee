package overload

import (
	"testing"
	"testing/fstest"
)

func files(m map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range m {
		fs[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return fs
}

// TestCgroups reads bounds of both versions, on the way up, and of containers.
func TestCgroups(t *testing.T) {
	t.Parallel()
	const v1none = "9223372036854771712"
	for name, c := range map[string]struct {
		files           map[string]string
		memory, sockets int64
		processors      float64
	}{
		"none":     {nil, 0, 0, 8},
		"no bound": {map[string]string{"proc/self/cgroup": "0::/a", "sys/fs/cgroup/cgroup.controllers": "cpu memory", "sys/fs/cgroup/a/memory.max": "max", "sys/fs/cgroup/a/cpu.max": "max 100000"}, 0, 0, 8},
		"version 2": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/naru.service", "sys/fs/cgroup/cgroup.controllers": "cpu memory",
			"sys/fs/cgroup/system.slice/memory.max": "1073741824", "sys/fs/cgroup/system.slice/cpu.max": "150000 100000",
			"sys/fs/cgroup/system.slice/naru.service/memory.max": "2147483648", "sys/fs/cgroup/system.slice/naru.service/cpu.max": "400000 100000",
			"sys/fs/cgroup/system.slice/naru.service/memory.stat": "anon 10\nsock 4096\nsock_x 1",
		}, 1 << 30, 4096, 1.5},
		"a container": {map[string]string{
			"proc/self/cgroup": "0::/", "sys/fs/cgroup/cgroup.controllers": "memory", "sys/fs/cgroup/memory.max": "536870912", "sys/fs/cgroup/cpu.max": "50000 100000",
		}, 512 << 20, 0, 0.5},
		"version 1": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
		}, 256 << 20, 0, 0.25},
		"version 1 without bounds": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n3:cpu:/a", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": v1none, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1",
			"sys/fs/cgroup/memory/a/memory.kmem.tcp.usage_in_bytes": "8192",
		}, 0, 8192, 8},
		"nonsense": {map[string]string{"proc/self/cgroup": "x\n0:\n::\n0::/../../etc", "sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/memory.max": "-5", "sys/fs/cgroup/cpu.max": "a b"}, 0, 0, 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := FindCgroups(files(c.files))
			if m := g.MemoryLimit(); m != c.memory {
				t.Errorf("memory %d, want %d", m, c.memory)
			}
			if m := g.SocketMemory(); m != c.sockets {
				t.Errorf("sockets %d, want %d", m, c.sockets)
			}
			if p := g.Processors(8); p != c.processors {
				t.Errorf("processors %v, want %v", p, c.processors)
			}
		})
	}
}
