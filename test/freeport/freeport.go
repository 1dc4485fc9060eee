package freeport

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// First and Last port that is given out.
const (
	First = 17_000
	Last  = 29_999
)

// count is how many ports have been tried.
var count atomic.Uint32

// Take holds a port of an address of this machine until release is called; the
// process's children do not inherit it. It fails where the machine has no such
// address, and where no port is free.
func Take(host netip.Addr) (at netip.AddrPort, release func(), err error) {
	const ports = Last - First + 1
	for range ports {
		// Processes that begin one after the other begin at different ports.
		at = netip.AddrPortFrom(host, uint16(First+(uint32(os.Getpid())*61+count.Add(1))%ports))
		fd, err := hold(at)
		if err == nil {
			return at, func() { _ = syscall.Close(fd) }, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return netip.AddrPort{}, nil, fmt.Errorf("hold %v: %w", at, err)
		}
	}
	return netip.AddrPort{}, nil, fmt.Errorf("of %v no port from %d to %d is free", host, First, Last)
}

// hold binds a socket. What says SO_REUSEADDR before it is bound is let in beside
// others who say so; this one lets others in, and was alone.
func hold(at netip.AddrPort) (fd int, err error) {
	family, name := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, name = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err = syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = syscall.Bind(fd, name); err == nil {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Test is a testing.TB.
type Test interface {
	Helper()
	Fatal(...any)
	Cleanup(func())
}

// HoldOn holds a port of an address of this machine until the test ends.
func HoldOn(t Test, host string) netip.AddrPort {
	t.Helper()
	addr, err := netip.ParseAddr(host)
	if err != nil {
		t.Fatal(err)
	}
	at, release, err := Take(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return at
}

// Hold is HoldOn of 127.0.0.1; it gives the port alone.
func Hold(t Test) string {
	t.Helper()
	return strconv.Itoa(int(HoldOn(t, "127.0.0.1").Port()))
}
