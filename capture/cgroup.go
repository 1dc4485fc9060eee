package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct{ root, point, kind string }

func mounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMounts(f)
}

func readMounts(r io.Reader) ([]mount, error) {
	var all []mount
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for in.Scan() {
		front, back, ok := strings.Cut(in.Text(), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(b) < 1 {
			continue
		}
		all = append(all, mount{root: plain.Replace(f[3]), point: plain.Replace(f[4]), kind: b[0]})
	}
	return all, in.Err()
}

// mounted finds a file system by its kind; one that shows its root is
// preferred. "" when there is none.
func mounted(kind string) (string, error) {
	all, err := mounts()
	if err != nil {
		return "", err
	}
	best := ""
	for _, m := range all {
		if m.kind == kind && (best == "" || m.root == "/") {
			best = m.point
		}
	}
	return best, nil
}

// cgroup2 gives the folder of the version 2 hierarchy, alone (unified) or
// beside those of version 1 (hybrid).
func cgroup2() (string, error) {
	point, err := mounted("cgroup2")
	if err == nil && point == "" {
		err = errors.New("no cgroup2 file system is mounted")
	}
	return point, err
}

// ownCgroup gives the folder of this process's cgroup.
func ownCgroup(root string) (string, error) { return readCgroup(root, "self") }

// cgroupOf gives the folder of a process's cgroup.
func cgroupOf(pid int) (string, error) {
	root, err := cgroup2()
	if err != nil {
		return "", err
	}
	return readCgroup(root, strconv.Itoa(pid))
}

func readCgroup(root, process string) (string, error) {
	text, err := os.ReadFile("/proc/" + process + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(root, at), nil
		}
	}
	return "", errors.New("the process is in no cgroup of version 2")
}

// join moves the calling process into a cgroup, with all its threads. Sockets
// that exist stay with the cgroup that they were made in.
func join(cgroup string) error { return adopt(cgroup, 0) }

func adopt(cgroup string, pid int) error {
	return os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), fmt.Appendf(nil, "%d", pid), 0)
}

// populated says whether a process lives in the cgroup or below it; false when
// there is no such cgroup.
func populated(cgroup string) bool {
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.events"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return strings.Contains(string(text), "populated 1")
}

// dying says whether all who live in the cgroup are about to be gone.
func dying(cgroup string) bool {
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	return err == nil && len(text) == 0 && populated(cgroup)
}

// removeCgroup removes an empty cgroup and those below it.
func removeCgroup(cgroup string) error {
	entries, err := os.ReadDir(cgroup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(cgroup, e.Name())))
		}
	}
	if e := os.Remove(cgroup); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// escape makes a name for cgroupfs and bpffs, which allows no dot: letters,
// digits and "-" stand for themselves, every other byte is "_" and two hex
// digits. Different names stay different.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
