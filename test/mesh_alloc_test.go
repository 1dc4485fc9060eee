package test

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// mirrorOnLoop is a service that sends back what it gets, without allocating.
func mirrorOnLoop(t *testing.T) string {
	t.Helper()
	d, err := loop.New(loop.Options{Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	l, err := d.Listen(netip.MustParseAddrPort("127.0.0.1:0"), wire.ListenOptions{}, func(c wire.Conn, _ bool) { c.SetHandler(&mirror{c}) })
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// TestMeshAllocations counts what a request, or a message in a tunnel, costs on
// the heap of both machines together: client, service and all are in this
// process. It is nothing but the object that crypto/tls takes for each record
// that it reads. It does not run in parallel, so that nothing else is counted.
func TestMeshAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	get := []string{":method", "GET", ":scheme", "http", ":path", "/a/b?c=d", ":authority", "orders", "user-agent", "test", "cookie", "a=b"}
	call := []string{":method", "POST", ":scheme", "http", ":path", "/a/Call", ":authority", "orders", "content-type", "application/grpc", "te", "trailers"}
	requests := func(t *testing.T, m *machine, to string, answer int) func(int) {
		conn := m.dial(to)
		request, reply := []byte("GET /a HTTP/1.1\r\nHost: orders\r\nCookie: a=b\r\n\r\n"), make([]byte, 128<<10)
		return func(n int) {
			for range n {
				exchange(t, conn, request, reply, answer)
			}
		}
	}
	messages := func(t *testing.T, m *machine, to string, size int) func(int) {
		conn := m.dial(to)
		out, in := bytes.Repeat([]byte("x"), size), make([]byte, size)
		return func(n int) {
			for range n {
				if _, err := conn.Write(out); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, in); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range []struct {
		name     string
		protocol model.AppProtocol
		service  func(*testing.T) string
		start    func(*testing.T, *machine, string) func(int)
		records  float64 // for each; the twenty requests of a batch come in few, how few is chance
	}{
		{"requests of HTTP/1", model.AppHTTP, func(t *testing.T) string { return onLoop(t, 0, 100) },
			func(t *testing.T, m *machine, to string) func(int) { return requests(t, m, to, 100) }, 2},
		{"large answers", model.AppDetect, func(t *testing.T) string { return onLoop(t, 0, 60<<10) },
			func(t *testing.T, m *machine, to string) func(int) { return requests(t, m, to, 60<<10) }, 6},
		{"requests of HTTP/2", model.AppDetect, func(t *testing.T) string { return onLoop(t, 0, 100) },
			func(t *testing.T, m *machine, to string) func(int) { return newCaller(t, m.dial(to), get, 0, 20).run }, 0.5},
		{"gRPC", model.AppGRPC, func(t *testing.T) string { return streamsOnLoop(t, 60, []string{"grpc-status", "0"}) },
			func(t *testing.T, m *machine, to string) func(int) { return newCaller(t, m.dial(to), call, 50, 20).run }, 0.5},
		{"messages in a tunnel", model.AppTCP, mirrorOnLoop,
			func(t *testing.T, m *machine, to string) func(int) { return messages(t, m, to, 100) }, 2},
		{"large messages in a tunnel", model.AppTCP, mirrorOnLoop,
			func(t *testing.T, m *machine, to string) func(int) { return messages(t, m, to, 32<<10) }, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newMeshPair(t, c.service(t), c.protocol, nil)
			p.relay.mu.Lock()
			p.relay.deaf = true
			p.relay.mu.Unlock()
			run := c.start(t, p.a, p.to)
			run(2000)
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			const n = 3000
			best := 1e9
			for try := 0; try < 5 && best > c.records+0.01; try++ {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				run(n)
				runtime.ReadMemStats(&after)
				best = min(best, float64(after.Mallocs-before.Mallocs)/n)
			}
			t.Logf("%.4f objects each", best)
			if best > c.records+0.01 {
				t.Errorf("%.4f objects each", best)
			}
		})
	}
}
