package app

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/naru-mesh/naru/identity"
)

// attest says who a process is: by the cgroup or the network namespace that it
// is in, or by whom it was started. A workload may have started another, which is not it.
func (n *node) attest(p identity.Process) ([]identity.ID, error) {
	before := ancestry(p.PID)
	own := abodeOf(p.PID)
	n.mu.Lock()
	all := make([]inhabitant, 0, len(n.locals))
	for _, r := range n.locals {
		w := inhabitant{id: r.id, pid: r.by.PID}
		if slices.Contains(before, w.pid) && r.by.Gone() {
			w.pid = 0 // another process has its number, until its end is noticed
		}
		if r.cage != nil {
			w.abode = abode{cgroup: r.cage.Cgroup, netns: inode(r.cage.Netns)}
		}
		all = append(all, w)
	}
	n.mu.Unlock()
	w := inmost(all, before, own, abodeOf)
	if w == nil {
		return nil, nil
	}
	return []identity.ID{w.id}, nil
}

// inhabitant is what tells a workload's processes from others.
type inhabitant struct {
	id    identity.ID
	pid   int   // who has started it
	abode abode // zero where it is not captured
}

// abode is where a process lives.
type abode struct {
	cgroup string // of a workload its folder, of a process as /proc tells
	netns  uint64 // inode of the network namespace; 0: not told
}

// in says whether a process lives where a workload does.
func (a abode) in(w abode) bool {
	return within(a.cgroup, w.cgroup) || a.netns != 0 && a.netns == w.netns
}

func abodeOf(pid int) abode {
	return abode{cgroupOf(pid), inode("/proc/" + strconv.Itoa(pid) + "/ns/net")}
}

// inode of a file; 0: there is none.
func inode(path string) uint64 {
	if info, err := os.Stat(path); path != "" && err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			return s.Ino
		}
	}
	return 0
}

// inmost gives the workload of a process, nil where it is of none, by its
// ancestors, itself the first, and where it lives.
func inmost(all []inhabitant, before []int, own abode, of func(pid int) abode) *inhabitant {
	var caged, nearest *inhabitant
	at := len(before)
	for i := range all {
		w := &all[i]
		if own.in(w.abode) {
			caged = w
		}
		if j := slices.Index(before, w.pid); j >= 0 && j < at {
			nearest, at = w, j
		}
	}
	switch {
	case caged == nil:
		return nearest
	case nearest == nil || nearest.abode != abode{}:
		// What has lost its parents has its place still, whoever adopts it.
		return caged
	case of(nearest.pid).in(caged.abode):
		return nearest // it was started inside, and stays there
	}
	return caged
}

// within says whether a cgroup, as /proc tells, is a folder.
func within(cgroup, folder string) bool {
	return folder != "" && cgroup != "" && cgroup != "/" && strings.HasSuffix(filepath.Clean(folder), cgroup)
}

// cgroupOf is the path of a process's cgroup (version 2), "" where there is
// none.
func cgroupOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return ""
}

// ancestry is a process, who has started it, who has started that, and so on. A
// parent that began after its child is another process with its number.
func ancestry(pid int) (all []int) {
	before := uint64(math.MaxUint64)
	for range 64 {
		if pid <= 1 {
			break
		}
		began, err := strconv.ParseUint(identity.Began(pid), 10, 64)
		if err != nil || began > before {
			break
		}
		all, before = append(all, pid), began
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			break
		}
		// pid (name) state parent ...; the name may have anything in it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return all
}
