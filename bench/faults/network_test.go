package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
	"golang.org/x/sys/unix"
)

// inNamespace runs fn on a thread in a network namespace of its own, which ends
// with it.
func inNamespace(t *testing.T, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- os.ErrPermission
			return
		}
		if err := loopback(); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	switch err := <-done; {
	case errors.Is(err, os.ErrPermission):
		t.Skip("no network namespace here")
	case err != nil:
		t.Fatal(err)
	}
}

// TestDropAndHeal drops all packets of one address, and none of another.
func TestDropAndHeal(t *testing.T) {
	t.Parallel()
	inNamespace(t, func() error {
		var at [2]netip.AddrPort
		for i, address := range []string{"127.0.100.1:0", "127.0.100.2:0"} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			defer l.Close()
			at[i] = netip.MustParseAddrPort(l.Addr().String())
		}
		dial := func(i int) error {
			c, err := net.DialTimeout("tcp", at[i].String(), 200*time.Millisecond)
			if err == nil {
				c.Close()
			}
			return err
		}
		n := &network{table: "test"}
		if err := n.drop(1, at[0].Addr()); err != nil {
			return err
		}
		if err := dial(0); err == nil || reason(err) != "no end in time" {
			t.Errorf("into the black hole: %v", err)
		}
		if err := dial(1); err != nil {
			t.Errorf("beside it: %v", err)
		}
		if n.dropped() == 0 {
			t.Error("no packet was counted")
		}
		if err := n.heal(); err != nil {
			return err
		}
		if n.dropped() == 0 {
			t.Error("the count ended with the table")
		}
		return dial(0)
	})
}

func TestDropByChance(t *testing.T) {
	t.Parallel()
	inNamespace(t, func() error {
		// The kernel takes the rules; which packets it chooses is its own.
		n := &network{table: "test"}
		if err := n.drop(lossOneIn, netip.MustParseAddr("127.0.100.1")); err != nil {
			return err
		}
		return n.heal()
	})
}

// TestSlowPathPasses what it is given, slow or not.
func TestSlowPathPasses(t *testing.T) {
	t.Parallel()
	s := newInstance("2")
	at := serveHere(t, s)
	via := freeport.HoldOn(t, "127.0.0.1")
	p, err := newSlowPaths().open("test", via, at)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, change := range []func() error{func() error { return nil }, func() error { return p.delay(1) }, func() error { p.heal(); return nil }} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		c := &crowd{addr: via, patience: 10 * time.Second, start: time.Now()}
		if by, err := c.ask("GET /work", 0); err != nil || by != 2 {
			t.Error(by, err)
		}
		c.done()
	}
}
