package workloadapi

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/naru-mesh/naru/identity"
	"google.golang.org/grpc/credentials"
)

// caller is who is at the other end.
type caller struct {
	credentials.CommonAuthInfo
	identity.Process
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
	p, err := identity.PeerProcess(u)
	if err != nil {
		return nil, nil, err
	}
	return c, caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, Process: p}, nil
}

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
