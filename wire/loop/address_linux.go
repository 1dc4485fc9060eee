package loop

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is room for the address of either family.
type sockaddr = unix.RawSockaddrInet6

// encode writes addr as the kernel wants it and says how long that is. The
// family follows the address: an IPv4-mapped IPv6 address stays IPv6.
func encode(addr netip.AddrPort, to *sockaddr) (size uintptr, err error) {
	port := [2]byte{byte(addr.Port() >> 8), byte(addr.Port())}
	if ip := addr.Addr(); ip.Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		four.Family = unix.AF_INET
		four.Port = binary.NativeEndian.Uint16(port[:])
		four.Addr = ip.As4()
		return unsafe.Sizeof(*four), nil
	}
	to.Family = unix.AF_INET6
	to.Port = binary.NativeEndian.Uint16(port[:])
	to.Addr = addr.Addr().As16()
	if zone := addr.Addr().Zone(); zone != "" {
		if to.Scope_id, err = scope(zone); err != nil {
			return 0, err
		}
	}
	return unsafe.Sizeof(*to), nil
}

// decode reads what the kernel wrote. An IPv4 client of a dual-stack socket is
// given as IPv4.
func decode(from *sockaddr) netip.AddrPort {
	var port [2]byte
	binary.NativeEndian.PutUint16(port[:], from.Port)
	number := uint16(port[0])<<8 | uint16(port[1])
	switch from.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), number)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(from.Addr).Unmap()
		if from.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(from.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, number)
	}
	return netip.AddrPort{}
}

// family of a socket that can be bound or connected to addr.
func family(addr netip.AddrPort) int {
	if addr.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// scope is the number of an interface given by number or by name.
func scope(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	face, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(face.Index), nil
}
