package loop

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRelay asks through a relay for so many bytes, again and again, and
// reports the processor time of the relay's loop for each.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		for _, splicing := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/%v", size, splicing), func(b *testing.B) {
				d, err := New(Options{Loops: 1})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				source, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer source.Close()
				go func() {
					c, err := source.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					in, out := make([]byte, 100), make([]byte, size)
					for {
						if _, err := c.Read(in); err != nil {
							return
						}
						if _, err := c.Write(out); err != nil {
							return
						}
					}
				}()
				moved := 0
				l := relayed(b, d, addrOf(source), splicing, &moved)
				to := &syscall.SockaddrInet4{Port: int(l.Addr().Port()), Addr: l.Addr().Addr().As4()}
				fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer syscall.Close(fd)
				if err := syscall.Connect(fd, to); err != nil {
					b.Fatal(err)
				}
				p := &pinger{fd: fd, out: make([]byte, 100), in: make([]byte, size)}
				p.ping(b)
				before := d.Stats()[0].CPU
				for b.Loop() {
					p.ping(b)
				}
				cpu := d.Stats()[0].CPU - before
				b.ReportMetric(float64(cpu/time.Nanosecond)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(moved)/float64(b.N), "moved/op")
			})
		}
	}
}
