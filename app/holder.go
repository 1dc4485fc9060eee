package app

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// holderError is that a port is in use, and who has it.
type holderError struct {
	err  error
	whom string
}

func (e *holderError) Error() string { return e.err.Error() + ": " + e.whom }
func (e *holderError) Unwrap() error { return e.err }

// named says of an address that is in use who listens there, where that can be
// seen; any other error is given as it is.
func named(err error, port uint16) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	if whom := holder(port); whom != "" {
		return &holderError{err, whom}
	}
	return err
}

// holder says who listens on a TCP port of this machine: "process 4711 (nginx)
// listens on port 15008"; "" where that is not known.
func holder(port uint16) string {
	for _, name := range [...]string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue // without IPv6 there is no such file
		}
		inode, uid, ok := listening(bufio.NewScanner(f), port)
		f.Close()
		if !ok {
			continue
		}
		if pid, program := owner(inode); pid != 0 {
			if pid == os.Getpid() {
				return "" // it is in the way of itself: the error says enough
			}
			return fmt.Sprintf("process %d (%s) of user %s listens on port %d", pid, program, userName(uid), port)
		}
		return fmt.Sprintf("a program of user %s listens on port %d", userName(uid), port)
	}
	return ""
}

// listening finds the socket that listens on a port in lines as of
// proc_pid_net(5), as listener does.
func listening(lines *bufio.Scanner, port uint16) (inode string, uid uint32, ok bool) {
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
