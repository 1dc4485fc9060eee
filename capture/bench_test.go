package capture

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkConnect is what a connection costs: made, accepted and closed, by
// an address of the loopback (direct) and captured.
func BenchmarkConnect(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		l := plain(b, "127.0.0.1:0")
		sink(b, l)
		connects(b, Place{}, l.Addr().String())
	})
	b.Run("ebpf", func(b *testing.B) {
		c := open(b, EBPF, 0)
		l := plain(b, "127.0.0.1:0")
		sink(b, l)
		k, err := c.Workload(WorkloadOptions{Name: "bench", Outbound: addressOf(l)})
		if err != nil {
			b.Fatal(err)
		}
		connects(b, k.Place, "192.0.2.1:80")
	})
	b.Run("nftables", func(b *testing.B) {
		c := open(b, Nftables, 0)
		k, err := c.Workload(WorkloadOptions{Name: "bench", Outbound: netip.MustParseAddrPort("127.0.0.1:15001")})
		if err != nil {
			b.Fatal(err)
		}
		var l net.Listener
		_ = k.Inside(func() error { l = plain(b, "127.0.0.1:15001"); return nil })
		sink(b, l)
		connects(b, k.Place, "192.0.2.1:80")
	})
}

// sink accepts and asks where the connection wanted to go, as a loop does.
func sink(b *testing.B, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = originalOf(c.(*net.TCPConn))
			c.Close()
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
}

func connects(b *testing.B, p Place, addr string) {
	self, _ := os.Executable()
	cmd := exec.Command(self, addr, strconv.Itoa(b.N))
	cmd.Env = append(os.Environ(), "NARU_CAPTURE_TEST=connect")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	b.ResetTimer()
	if err := p.Start(cmd); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v %s", err, out.String())
	}
}

// connectMain connects n times and waits for each end.
func connectMain(addr, n string) {
	a := netip.MustParseAddrPort(addr)
	to := &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	count, _ := strconv.Atoi(n)
	for range count {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, to)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		var b [1]byte
		_, _ = unix.Read(fd, b[:])
		unix.Close(fd)
	}
}
