package identity

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Process is one of this machine. Its number may be another one's after it has
// ended; with its beginning it is the same for as long as the machine runs.
type Process struct {
	PID      int // 0: it cannot be seen from here (pid_namespaces(7))
	UID, GID uint32
	// Began is when it did, in ticks since the machine did, as /proc/PID/stat has
	// it in field 22 (proc_pid_stat(5)); "" where there is no such process.
	Began string
}

// errEnded is of whoever let somebody else speak for him.
var errEnded = errors.New("the process that connected has ended")

// Of linux/socket.h and asm-generic/unistd.h, since Linux 6.5 and 5.1.
const (
	soPeerPIDFD    = 77
	sysPidfdSignal = 424
)

// PeerProcess asks the kernel who has connected (unix(7)): it is that process
// also where another one holds the connection now. Where that one has ended
// already there is an error, before Linux 6.5 not in every case.
func PeerProcess(u *net.UnixConn) (Process, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return Process{}, err
	}
	var p Process
	var failed error
	if err := raw.Control(func(fd uintptr) { p, failed = peer(int(fd)) }); err != nil {
		return Process{}, err
	}
	if failed != nil {
		return Process{}, fmt.Errorf("who has connected cannot be told: %w", failed)
	}
	return p, nil
}

func peer(socket int) (Process, error) {
	cred, err := syscall.GetsockoptUcred(socket, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return Process{}, err
	}
	p := Process{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
	if p.PID <= 0 {
		return p, nil
	}
	fd, err := syscall.GetsockoptInt(socket, syscall.SOL_SOCKET, soPeerPIDFD)
	switch {
	case errors.Is(err, syscall.ENOPROTOOPT):
		p.Began = Began(p.PID)
		return p, nil
	case err != nil:
		return Process{}, errEnded
	}
	defer syscall.Close(fd)
	// Whoever has the number was it when its beginning was read, if it is there
	// still: a number is not given again before.
	p.Began = Began(p.PID)
	if _, _, e := syscall.Syscall6(sysPidfdSignal, uintptr(fd), 0, 0, 0, 0, 0); e == syscall.ESRCH {
		return Process{}, errEnded
	}
	return p, nil
}

// Began is as that of Process.
func Began(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// Field 2 is the name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// Gone says whether the process is not there any more.
func (p Process) Gone() bool { return p.Began == "" || p.Began != Began(p.PID) }
