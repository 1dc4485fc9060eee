package attest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/naru-mesh/naru/identity"
)

// Workload is what tells a workload's processes from others.
type Workload struct {
	Name string
	By   identity.Process // who has started it
	// Cgroup is its folder, Netns the file of its network namespace; "" without.
	Cgroup, Netns string
	// Unseen: this process may not look into its processes (Visible). Its
	// connections are those of the user who has started it (Callers): who that is
	// the kernel tells everybody.
	Unseen bool
}

// Of gives the workload of a process, nil where it is of none: by the cgroup or
// the network namespace that it is in, or by whom it was started. A workload may
// have started another, which is not it.
func Of(all []Workload, pid int) *Workload {
	before := ancestry(pid)
	list := make([]inhabitant, len(all))
	for i := range all {
		w := &all[i]
		list[i] = inhabitant{of: w, pid: w.By.PID, abode: abode{cgroup: w.Cgroup, netns: inode(w.Netns)}}
		if slices.Contains(before, w.By.PID) && w.By.Gone() {
			list[i].pid = 0 // another process has its number, until its end is noticed
		}
	}
	if w := inmost(list, before, abodeOf(pid), abodeOf); w != nil {
		return w.of
	}
	return nil
}

// inhabitant is a Workload as the kernel has it at the moment.
type inhabitant struct {
	of    *Workload
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
	if err != nil || w.By.Gone() {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			parent := parentOf(pid)
			children[parent] = append(children[parent], pid)
		}
	}
	all = append(all, w.By.PID)
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
// nil where they can: it takes the same user, or root. With os.ErrPermission they
// can be told from those of other users (ByUser).
func Visible(pid int) error {
	_, err := holds(pid, 0)
	return err
}

// ByUser says why the connections of a user could not be told from others', nil
// where they can: one whom this user namespace does not know is shown as another
// (user_namespaces(7)).
func ByUser(uid uint32) error {
	nobody := uint64(65534)
	if text, err := os.ReadFile("/proc/sys/kernel/overflowuid"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32); err == nil {
			nobody = n
		}
	}
	if uint64(uid) == nobody {
		return fmt.Errorf("user %d may be anybody whom this machine does not know", uid)
	}
	return nil
}
