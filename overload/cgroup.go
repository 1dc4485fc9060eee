package overload

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Cgroups reads what the process may use from a file system with /proc and
// /sys/fs/cgroup (cgroups(7)): version 2, and 1 where a controller is there. A
// group's bound holds for those below it, so the smallest on the way up counts.
type Cgroups struct {
	root fs.FS
	// Folders of the process's groups from the lowest up: of memory and of
	// processors, and whether they are version 2's.
	memory, cpu   []string
	memory2, cpu2 bool
}

// FindCgroups finds the process's groups in root; there may be none.
func FindCgroups(root fs.FS) *Cgroups {
	g := &Cgroups{root: root}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return g
	}
	const mount = "sys/fs/cgroup"
	for line := range strings.Lines(string(text)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		for _, controller := range strings.Split(part[1], ",") {
			switch {
			case part[0] == "0" && controller == "":
				if _, err := fs.Stat(root, mount+"/cgroup.controllers"); err != nil {
					continue // version 1's tree; what it has no controller for is bounded by none
				}
				if g.memory == nil {
					g.memory, g.memory2 = upwards(mount, part[2]), true
				}
				if g.cpu == nil {
					g.cpu, g.cpu2 = upwards(mount, part[2]), true
				}
			case controller == "memory":
				g.memory, g.memory2 = upwards(mount+"/memory", part[2]), false
			case controller == "cpu":
				g.cpu, g.cpu2 = upwards(mount+"/cpu", part[2]), false
			}
		}
	}
	return g
}

// upwards lists the folders of a group and those above it, the mount last. In a
// container the group may have another name than outside: then the mount, which
// is there in any case, is the group.
func upwards(mount, group string) []string {
	var all []string
	for at := path.Clean("/" + group); at != "/"; at = path.Dir(at) {
		all = append(all, mount+at)
	}
	return append(all, mount)
}

// MemoryLimit is the smallest bound in bytes, 0 where there is none.
func (g *Cgroups) MemoryLimit() int64 {
	name, least := "memory.limit_in_bytes", int64(0)
	if g.memory2 {
		name = "memory.max"
	}
	for _, folder := range g.memory {
		// Version 1 writes no bound as the largest number of pages.
		if n, ok := g.number(folder + "/" + name); ok && n > 0 && n < 1<<60 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// SocketMemory is what the kernel keeps in sockets of the lowest group, in bytes;
// 0 where it does not say.
func (g *Cgroups) SocketMemory() int64 {
	if len(g.memory) == 0 {
		return 0
	}
	if !g.memory2 {
		n, _ := g.number(g.memory[0] + "/memory.kmem.tcp.usage_in_bytes")
		return n
	}
	text, err := fs.ReadFile(g.root, g.memory[0]+"/memory.stat")
	if err != nil {
		return 0
	}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		if value, ok := strings.CutPrefix(in.Text(), "sock "); ok {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

// Processors is how many the process may use, of n that there are.
func (g *Cgroups) Processors(n int) float64 {
	least := float64(n)
	for _, folder := range g.cpu {
		if v, ok := g.quota(folder); ok {
			least = min(least, v)
		}
	}
	return least
}

// quota is how many processors a group may use.
func (g *Cgroups) quota(folder string) (float64, bool) {
	var quota, period int64
	if g.cpu2 {
		text, err := fs.ReadFile(g.root, folder+"/cpu.max")
		words := strings.Fields(string(text))
		if err != nil || len(words) != 2 {
			return 0, false
		}
		quota, _ = strconv.ParseInt(words[0], 10, 64) // "max" is 0
		period, _ = strconv.ParseInt(words[1], 10, 64)
	} else {
		quota, _ = g.number(folder + "/cpu.cfs_quota_us")
		period, _ = g.number(folder + "/cpu.cfs_period_us")
	}
	if quota <= 0 || period <= 0 {
		return 0, false
	}
	return float64(quota) / float64(period), true
}

// number reads a file of one number; false where it is not there or is "max".
func (g *Cgroups) number(name string) (int64, bool) {
	text, err := fs.ReadFile(g.root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(min(n, math.MaxInt64)), true
}
