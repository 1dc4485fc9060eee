package attest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Holder is who listens on a port.
type Holder struct {
	// PID and Program are 0 and "" where the process may not be seen.
	PID     int
	Program string
	UID     uint32
}

// HolderOf gives who listens on a TCP port of this machine; false: nobody is seen.
// It looks at all processes.
func HolderOf(port uint16) (Holder, bool) {
	all := listeners(port)
	if len(all) == 0 {
		return Holder{}, false
	}
	pid, program := owner(all[0].inode)
	return Holder{pid, program, all[0].uid}, true
}

// UsersOf are the users whose sockets listen on a TCP port of this machine, each
// as often as it has such sockets.
func UsersOf(port uint16) (uids []uint32) {
	for _, l := range listeners(port) {
		uids = append(uids, l.uid)
	}
	return uids
}

// listener is a socket that listens.
type listener struct {
	inode string
	uid   uint32
}

// listeners are those of the network that the calling thread is in. /proc/net is
// that of the process's first thread, which may be elsewhere for a moment: package
// capture has threads enter the networks of workloads.
func listeners(port uint16) (all []listener) {
	// The kernel tells its sockets in pieces, and where others come and go meanwhile
	// it may leave one out: what is not there at first is looked for again.
	for range 3 {
		for _, name := range [...]string{"tcp", "tcp6"} {
			f, err := os.Open("/proc/thread-self/net/" + name)
			if err != nil {
				continue // without IPv6 there is no such file
			}
			all = append(all, listening(bufio.NewScanner(f), port)...)
			f.Close()
		}
		if len(all) > 0 {
			break
		}
	}
	return all
}

// listening finds the sockets that listen on a port in lines as of
// proc_pid_net(5): sl, local_address, rem_address, st, tx:rx, tr:when, retrnsmt,
// uid, timeout, inode.
func listening(lines *bufio.Scanner, port uint16) (all []listener) {
	const state = "0A"
	want := fmt.Sprintf(":%04X", port)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state || !strings.HasSuffix(f[1], want) {
			continue
		}
		if n, err := strconv.ParseUint(f[7], 10, 32); err == nil {
			all = append(all, listener{f[9], uint32(n)})
		}
	}
	return all
}

// owner finds a process that has a socket open; 0 where none may be seen.
func owner(inode string) (pid int, program string) {
	want := "socket:[" + inode + "]"
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, file := range files {
		if to, err := os.Readlink(file); err != nil || to != want {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			continue
		}
		name, err := os.ReadFile(process + "/comm")
		if err != nil {
			continue // it has just ended
		}
		return pid, strings.TrimSpace(string(name))
	}
	return 0, ""
}
