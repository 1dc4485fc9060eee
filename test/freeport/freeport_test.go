package freeport

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// TestHold: a port is nobody else's, a server of the test gets it, and so does
// everybody afterwards.
func TestHold(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		t.Run(host, func(t *testing.T) {
			if l, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
				t.Skip(err) // without IPv6
			} else {
				l.Close()
			}
			var at netip.AddrPort
			t.Run("held", func(t *testing.T) {
				at = HoldOn(t, host)
				if at.Port() < First || at.Port() > Last {
					t.Errorf("%v is out of bounds", at)
				}
				if fd, err := hold(at); !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("somebody else has it as %d: %v", fd, err)
				}
				for range 2 { // a server that comes back
					l, err := net.Listen("tcp", at.String())
					if err != nil {
						t.Fatal(err)
					}
					l.Close()
				}
				if fd, err := hold(at); !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("after the server somebody else has it as %d: %v", fd, err)
				}
			})
			fd, err := hold(at)
			if err != nil {
				t.Fatalf("it is not let go of: %v", err)
			}
			syscall.Close(fd)
		})
	}
	if a, b := Hold(t), Hold(t); a == b {
		t.Errorf("%s is given twice", a)
	}
}

// TestTake: what is wrong with an address is said.
func TestTake(t *testing.T) {
	if at, _, err := Take(netip.MustParseAddr("192.0.2.1")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("%v: %v", at, err)
	}
}
