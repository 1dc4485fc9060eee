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
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkConnect is what a connection costs: made, accepted and closed, by
// an address of the loopback (direct, as explicit proxying does) and captured.
func BenchmarkConnect(b *testing.B) { eachWay(b, "connect", sink) }

// BenchmarkRequest is what a request and its answer, 256 bytes each, cost on a
// connection that stands: with eBPF what they cost directly, with nftables rules
// and connection tracking besides.
func BenchmarkRequest(b *testing.B) { eachWay(b, "request", echoes) }

// eachWay has another process do something b.N times, in each way of capture.
func eachWay(b *testing.B, what string, serve func(*testing.B, net.Listener)) {
	b.Run("direct", func(b *testing.B) {
		l := plain(b, "127.0.0.1:0")
		serve(b, l)
		times(b, Place{}, what, l.Addr().String())
	})
	b.Run("ebpf", func(b *testing.B) {
		c := open(b, EBPF, 0)
		l := plain(b, "127.0.0.1:0")
		serve(b, l)
		k, err := c.Workload(WorkloadOptions{Name: "bench", Outbound: addressOf(l)})
		if err != nil {
			b.Fatal(err)
		}
		times(b, k.Place, what, "192.0.2.1:80")
	})
	b.Run("nftables", func(b *testing.B) {
		c := open(b, Nftables, 0)
		k, err := c.Workload(WorkloadOptions{Name: "bench", Outbound: netip.MustParseAddrPort("127.0.0.1:15001")})
		if err != nil {
			b.Fatal(err)
		}
		var l net.Listener
		_ = k.Inside(func() error { l = plain(b, "127.0.0.1:15001"); return nil })
		serve(b, l)
		times(b, k.Place, what, "192.0.2.1:80")
	})
}

// requestSize is that of a request, and of its answer.
const requestSize = 256

// echoes answers on one connection.
func echoes(b *testing.B, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			raw, err := c.(*net.TCPConn).File() // as a loop does, without the runtime's poller
			c.Close()
			if err != nil {
				return
			}
			fd := int(raw.Fd()) // it blocks from here on
			var buf [requestSize]byte
			for {
				n, err := unix.Read(fd, buf[:])
				if n <= 0 || err != nil {
					break
				}
				_, _ = unix.Write(fd, buf[:n])
			}
			raw.Close()
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
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

func times(b *testing.B, p Place, what, addr string) {
	self, _ := os.Executable()
	cmd := exec.Command(self, addr, strconv.Itoa(b.N))
	cmd.Env = append(os.Environ(), "NARU_CAPTURE_TEST="+what)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	b.ResetTimer()
	before := ownTime(b)
	if err := p.Start(cmd); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v %s", err, out.String())
	}
	// What both ends have computed: it is nearly the same on a machine that has
	// more to do. That of the kernel is in it, which does on the loopback for the
	// sender what else an interrupt would.
	cpu := ownTime(b) - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// ownTime is what this process has computed.
func ownTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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

// requestMain asks n times by one connection.
func requestMain(addr, n string) {
	a := netip.MustParseAddrPort(addr)
	count, _ := strconv.Atoi(n)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()})
	}
	var b [requestSize]byte
	for range count {
		if err == nil {
			_, err = unix.Write(fd, b[:])
		}
		for got := 0; got < len(b) && err == nil; {
			var m int
			if m, err = unix.Read(fd, b[got:]); m <= 0 && err == nil {
				err = unix.ECONNRESET
			}
			got += m
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
