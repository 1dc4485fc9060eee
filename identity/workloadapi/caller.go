package workloadapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc/credentials"
)

// caller is who is at the other end.
type caller struct {
	credentials.CommonAuthInfo
	pid, uid int
	began    string // when the process did, as the kernel counts; "" where it does not say
}

// AuthType implements credentials.AuthInfo.
func (caller) AuthType() string { return "unix" }

// peers asks the kernel who connects; nothing is encrypted, as nothing leaves
// the machine.
type peers struct{}

var errNoClient = errors.New("the workload api has a server only")

// ServerHandshake implements credentials.TransportCredentials.
func (peers) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var u *net.UnixConn
	switch c := c.(type) {
	case *held:
		u = c.UnixConn
	case *net.UnixConn:
		u = c
	default:
		return nil, nil, fmt.Errorf("a caller by %s cannot be identified", c.LocalAddr().Network())
	}
	cred, err := credentialsOf(u)
	if err != nil {
		return nil, nil, err
	}
	info := caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity},
		pid: int(cred.Pid), uid: int(cred.Uid), began: beginning(int(cred.Pid))}
	return c, info, nil
}

// beginning is when a process began, in ticks since the machine did, as
// /proc/PID/stat has it in field 22 (proc(5)); "" where there is no such process.
func beginning(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// Field 2 is the name in parentheses, which may hold anything.
	_, after, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// gone says whether the process that connected is not there any more.
func (c *caller) gone() bool { return c.began != beginning(c.pid) }

// ClientHandshake implements credentials.TransportCredentials.
func (peers) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errNoClient
}

// Info implements credentials.TransportCredentials.
func (peers) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

// Clone implements credentials.TransportCredentials.
func (p peers) Clone() credentials.TransportCredentials { return p }

// OverrideServerName implements credentials.TransportCredentials.
func (peers) OverrideServerName(string) error { return errNoClient }
