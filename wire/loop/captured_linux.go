package loop

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
// (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
const soOriginalDst = 80

// original finds out where a connection that was brought to this listening
// wanted to go. One whose destination was rewritten is told by
// SO_ORIGINAL_DST: connection tracking answers, or the programs of package
// capture. One that was given to this socket as it came (sk_lookup, TPROXY)
// has its destination as its local address.
func (c *conn) original(listening netip.AddrPort) {
	var name sockaddr
	level, want := uintptr(unix.IPPROTO_IP), unsafe.Sizeof(unix.RawSockaddrInet4{})
	if !c.peer.Remote.Addr().Is4() {
		level, want = unix.IPPROTO_IPV6, unsafe.Sizeof(unix.RawSockaddrInet6{})
	}
	to := netip.AddrPort{}
	if originalName(c.fd, level, &name, want) == 0 {
		to = decode(&name)
	}
	var own sockaddr
	if socketName(c.fd, &own) != 0 {
		return
	}
	local := decode(&own)
	c.peer.Local = local
	switch at := listening.Addr().Unmap(); {
	case to.IsValid() && to != local:
		// Connection tracking names our own address where nothing was rewritten.
		c.peer.Original = to
	case local.Port() != listening.Port(), !at.IsUnspecified() && local.Addr().WithZone("") != at.WithZone(""):
		c.peer.Original = local
	}
}

func originalName(fd int32, level uintptr, name *sockaddr, size uintptr) syscall.Errno {
	n := uint32(size)
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), level, soOriginalDst,
		uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&n)), 0)
	return e
}
