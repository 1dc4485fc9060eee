package attest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Workload is what tells a workload's processes from others.
type Workload struct {
	Name   string
	PID    int    // who has started it
	Cgroup string // folder; "" without
}

// Of gives the workload of a process, nil where it is of none: by the cgroup
// that it is in, or by whom it was started. A workload may have started
// another, which is not it.
func Of(all []Workload, pid int) *Workload {
	return inmost(all, ancestry(pid), cgroupOf(pid), cgroupOf)
}

// inmost is Of, by the process's ancestors, itself the first, and its cgroup.
func inmost(all []Workload, before []int, cgroup string, of func(pid int) string) *Workload {
	var caged, nearest *Workload
	at := len(before)
	for i := range all {
		w := &all[i]
		if within(cgroup, w.Cgroup) {
			caged = w
		}
		if j := slices.Index(before, w.PID); j >= 0 && j < at {
			nearest, at = w, j
		}
	}
	switch {
	case caged == nil:
		return nearest
	case nearest == nil || nearest.Cgroup != "":
		// What has lost its parents has its cgroup still, whoever adopts it.
		return caged
	case within(of(nearest.PID), caged.Cgroup):
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

// ancestry is a process, who has started it, who has started that, and so on.
func ancestry(pid int) (all []int) {
	for range 64 {
		if pid <= 1 {
			break
		}
		all = append(all, pid)
		if pid = parentOf(pid); pid == 0 {
			break
		}
	}
	return all
}

// parentOf is who has started a process, 0 where that cannot be told.
func parentOf(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state parent ...; the name may have anything in it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// processes are those of w: what its process has started, that and so on, and
// what is in its cgroup. Some may belong to a workload inside of it.
func (w *Workload) processes() (all []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			parent := parentOf(pid)
			children[parent] = append(children[parent], pid)
		}
	}
	all = append(all, w.PID)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
		delete(children, all[i])
	}
	if w.Cgroup == "" {
		return all
	}
	_ = filepath.WalkDir(w.Cgroup, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "cgroup.procs" {
			text, _ := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && !slices.Contains(all, pid) {
					all = append(all, pid)
				}
			}
		}
		return nil
	})
	return all
}

// holds says whether a process has a socket open.
func holds(pid int, inode uint32) (bool, error) {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(folder)
	if err != nil {
		return false, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, n := range names {
		if to, err := os.Readlink(folder + "/" + n); err == nil && to == want {
			return true, nil
		}
	}
	return false, nil
}

// Visible says why the connections of a process could not be told from others',
// nil where they can: it takes the same user, or root.
func Visible(pid int) error {
	_, err := holds(pid, 0)
	return err
}
