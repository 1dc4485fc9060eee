package loop

import (
	"runtime"
	"syscall"
	"testing"
)

// pinger is an ordinary blocking socket, driven without allocation.
type pinger struct {
	fd  int
	out []byte
	in  []byte
}

func newPinger(t testing.TB, d *Driver, size int) *pinger {
	t.Helper()
	l := listen(t, d, echo)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	to := &syscall.SockaddrInet4{Port: int(l.Addr().Port()), Addr: l.Addr().Addr().As4()}
	if err := syscall.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return &pinger{fd: fd, out: make([]byte, size), in: make([]byte, size)}
}

// ping sends and waits for the echo.
func (p *pinger) ping(t testing.TB) {
	if _, err := syscall.Write(p.fd, p.out); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < len(p.in); {
		n, err := syscall.Read(p.fd, p.in[got:])
		if err != nil || n == 0 {
			t.Fatalf("read: %d, %v", n, err)
		}
		got += n
	}
}

// TestEchoDoesNotAllocate is not parallel: it counts the allocations of the
// whole process.
func TestEchoDoesNotAllocate(t *testing.T) {
	d := start(t, 1)
	for _, size := range []int{128, 200 << 10} {
		p := newPinger(t, d, size)
		for range 200 {
			p.ping(t)
		}
		const rounds = 500
		fewest := uint64(rounds)
		for range 5 { // the runtime's own goroutines allocate now and then
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				p.ping(t)
			}
			runtime.ReadMemStats(&after)
			fewest = min(fewest, after.Mallocs-before.Mallocs)
		}
		if fewest > rounds/50 {
			t.Errorf("%d allocations in %d echoes of %d bytes", fewest, rounds, size)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for name, size := range map[string]int{"128B": 128, "16KiB": 16 << 10, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			d := start(b, 1)
			p := newPinger(b, d, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				p.ping(b)
			}
			b.StopTimer()
			b.ReportMetric(float64(d.Stats()[0].CPU.Nanoseconds())/float64(b.N), "loop-ns/op")
		})
	}
}
