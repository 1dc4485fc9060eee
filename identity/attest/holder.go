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

// tables are the kernel's lists of TCP sockets.
var tables = [...]string{"/proc/net/tcp", "/proc/net/tcp6"}

// HolderOf gives who listens on a TCP port of this machine; false: nobody is seen.
// It looks at all processes.
func HolderOf(port uint16) (Holder, bool) {
	// The kernel tells its sockets in pieces, and where others come and go meanwhile
	// it may leave one out: what is not there at first is looked for again.
	for i := range 3 * len(tables) {
		name := tables[i%len(tables)]
		f, err := os.Open(name)
		if err != nil {
			continue // without IPv6 there is no such file
		}
		inode, uid, ok := holding(bufio.NewScanner(f), port)
		f.Close()
		if ok {
			pid, program := owner(inode)
			return Holder{pid, program, uid}, true
		}
	}
	return Holder{}, false
}

// holding finds the socket that listens on a port in lines as of proc_pid_net(5).
func holding(lines *bufio.Scanner, port uint16) (inode string, uid uint32, ok bool) {
	const state = "0A"
	want := fmt.Sprintf(":%04X", port)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state || !strings.HasSuffix(f[1], want) {
			continue
		}
		if n, err := strconv.ParseUint(f[7], 10, 32); err == nil {
			return f[9], uint32(n), true
		}
	}
	return "", 0, false
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
