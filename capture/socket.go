package capture

import (
	"golang.org/x/sys/unix"
)

// familiesOf says which of the maps of listening sockets a socket belongs to:
// one that takes both families to both.
func familiesOf(fd int) []string {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return nil
	}
	if family == unix.AF_INET {
		return []string{"inbound4"}
	}
	if only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err == nil && only == 0 {
		return []string{"inbound4", "inbound6"}
	}
	return []string{"inbound6"}
}

// kindOf is what is set in the key of a socket's port.
func kindOf(fd int) uint32 {
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_DGRAM {
		return datagrams
	}
	return 0
}
