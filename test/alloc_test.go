package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// TestAllocations counts what a request costs on the heap: the gateway, a
// service on loops of its own and clients that write fixed bytes are all in
// this process. It does not run in parallel, so that nothing else is counted.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const get = "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n"
	const headers = "  headers: {request: {set: {x-a: b}, remove: [user-agent]}, response: {set: {x-c: d}, remove: [server]}}\n"
	for _, c := range []struct {
		name    string
		route   string // of what leads to the service
		request string
		body    int // bytes, of the request
		answer  int // bytes, of the response
		tls     bool
		limit   float64 // objects a request
	}{
		{"get", "", get, 0, 100, false, 0.01},
		{"large response", "", get, 0, 64 << 10, false, 0.01},
		{"post", "", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), 1000, 100, false, 0.01},
		{"post by halves", "", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), 100000, 100, false, 0.01},
		{"header filters", headers, get, 0, 100, false, 0.01},
		{"rewrite", "  rewrite: {path: /x, host: inside.example}\n", get, 0, 100, false, 0.01},
		{"retry and timeout", "  retry: 2\n  timeout: 10s\n", get, 0, 100, false, 0.01},
		{"balanced", "", get, 0, 100, false, 0.01},
		// crypto/tls takes one object for each record that it reads, at both ends.
		{"tls", "", get, 0, 100, true, 2.01},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := onLoop(t, c.body, c.answer)
			to := "http://" + up
			services := ""
			if c.name == "balanced" {
				to = "both"
				services = fmt.Sprintf("services:\n  both: {endpoints: [%s, %s], balance: least-request}\n", up, onLoop(t, c.body, c.answer))
			}
			g := inProcess(t, c.tls, "- match: /a\n  to: "+to+"\n"+c.route+services)
			var conns []net.Conn
			for range 4 {
				conns = append(conns, g.connect(c.tls))
			}
			request, reply := []byte(c.request), make([]byte, 128<<10)
			run := func(n int) {
				for i := range n {
					exchange(t, conns[i%len(conns)], request, reply, c.answer)
				}
			}
			run(2000)
			// A collection would empty pools, and is none of a request's cost.
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			n := 10_000
			if c.body+c.answer > 10_000 {
				n = 4000
			}
			// The best of some: a timer or a watcher of the process may run in
			// between.
			best := 1e9
			for try := 0; try < 5 && best > c.limit; try++ {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				run(n)
				runtime.ReadMemStats(&after)
				best = min(best, float64(after.Mallocs-before.Mallocs)/float64(n))
			}
			t.Logf("%.4f objects a request", best)
			if best > c.limit {
				t.Errorf("%.4f objects a request, want at most %v", best, c.limit)
			}
		})
	}
}

// exchange sends a request and reads an answer whose body has size bytes.
func exchange(t *testing.T, conn net.Conn, request, buf []byte, size int) {
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			t.Fatalf("after %q: %v", buf[:have], err)
		}
		have += n
		if i := bytes.Index(buf[:have], endOfHead); i >= 0 && have == i+4+size {
			break
		}
	}
	if !bytes.HasPrefix(buf, okLine) {
		t.Fatalf("got %q", buf[:have])
	}
}

var (
	endOfHead = []byte("\r\n\r\n")
	okLine    = []byte("HTTP/1.1 200 ")
)

// inProcess runs the whole of naru in this process.
func inProcess(t *testing.T, secure bool, routes string) *inside {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), ports: map[string]string{"$LISTEN": "127.0.0.1:" + freeport.Hold(t)}}
	listen := "listen: $LISTEN\n"
	if secure {
		g.keys("a", 1, "a.example")
		listen = "listen: {address: 'https://$LISTEN', tls: {cert: a.crt, key: a.key}}\n"
	}
	g.file = filepath.Join(g.dir, "naru.yaml")
	if strings.Contains(routes, "tcp://") || strings.Contains(routes, "udp://") {
		listen = "" // a match is enough
	}
	g.saveAs(g.file, strings.ReplaceAll(listen+"routes:\n"+routes, "$LISTEN", g.ports["$LISTEN"]))
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := app.Run(ctx, app.Options{Files: []string{g.file}, Admin: "off", Loops: 1, Drain: time.Second, Out: in, JSON: true, Log: slog.New(slog.DiscardHandler)})
		in.CloseWithError(fmt.Errorf("naru ended: %w", err))
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := receive(t, ended); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var greeting struct{ Listening []string }
	if err := json.Unmarshal([]byte(line), &greeting); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(greeting.Listening[0])
	if err != nil {
		t.Fatal(err)
	}
	return &inside{t, u.Host}
}

// inside is a naru of this process.
type inside struct {
	t    *testing.T
	addr string
}

func (g *inside) connect(secure bool) net.Conn {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	if secure {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	return conn
}

// onLoop is a service that takes requests with bodies of one size and answers
// with bodies of another, without allocating.
func onLoop(t *testing.T, body, answer int) string {
	t.Helper()
	d, err := loop.New(loop.Options{Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	text := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: %d\r\n\r\n%s", answer, strings.Repeat("y", answer))
	ln, err := d.Listen(netip.MustParseAddrPort("127.0.0.1:0"), wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&replier{conn: c, body: body, text: text})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}

// replier answers each request with the same bytes.
type replier struct {
	conn wire.Conn
	body int
	text []byte
	head bool // the head of a request has come
	left int  // bytes of its body that have not
}

func (r *replier) OnData(b []byte) {
	for len(b) > 0 {
		if !r.head {
			// The gateway writes a head at once, and loopback keeps it whole.
			i := bytes.Index(b, endOfHead)
			if i < 0 {
				r.conn.Abort()
				return
			}
			b = b[i+4:]
			r.head, r.left = true, r.body
		}
		n := min(r.left, len(b))
		b = b[n:]
		if r.left -= n; r.left == 0 {
			r.head = false
			r.conn.Write(r.text, nil)
		}
	}
}

func (r *replier) OnOpen()       {}
func (r *replier) OnEOF()        { r.conn.Close() }
func (r *replier) OnDrained()    {}
func (r *replier) OnClose(error) {}
