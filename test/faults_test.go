package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
)

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: http://127.0.0.1:"+freeport.Hold(t)+"\n")
	g.ask("GET", "/").refused(t, 502, "connect_refused")
	c := g.dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
	c.answer("POST").refused(t, 502, "connect_refused")
	eventually(t, "the failures are counted", func() bool {
		return g.metrics().value("naru_service_connect_failures_total", "reason", "connect_refused") >= 2
	})
}

// blackHole gives the port of a listening socket with a full queue: it answers no
// SYN.
func blackHole(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		filler, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(filler) })
		_ = syscall.Connect(filler, name) // in progress; the last ones for ever
	}
	return name.(*syscall.SockaddrInet4).Port
}

// TestBlackHole: nobody answers, and that is told in time.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: hole\nservices:\n  hole: {endpoints: '127.0.0.1:%d', connect: 150ms}\n", blackHole(t)))
	g.ask("GET", "/").refused(t, 504, "connect_timeout")
}

func TestUpstreamBreaksOff(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		for r, _ := c.request(); r != nil; r, _ = c.request() {
			switch r.URL.Path {
			case "/before":
				return
			case "/head":
				c.reply("HTTP/1.1 200 OK\nContent-Le")
				return
			case "/length":
				c.reply("HTTP/1.1 200 OK\nContent-Length: 100\n\nhalf")
				return
			case "/chunks":
				c.reply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhalf\n")
				return
			case "/garbage":
				c.reply("SSH-2.0-OpenSSH_9.2\n")
				return
			case "/chunk":
				c.reply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\n")
				return
			case "/both":
				c.reply("HTTP/1.1 200 OK\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n")
				return
			case "/large":
				c.reply("HTTP/1.1 200 OK\nX: " + strings.Repeat("x", 80<<10) + "\n\n")
				return
			case "/close":
				c.reply("HTTP/1.1 200 OK\n\nuntil the end")
				return
			case "/more":
				c.reply("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 4\n\nevil")
			default:
				c.reply("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
			}
		}
	})
	g := before(t, up)
	post := func(path string) *answer {
		c := g.dial()
		c.send("POST " + path + " HTTP/1.1\nHost: a\nContent-Length: 1\n\nx")
		return c.answer("POST")
	}
	g.ask("GET", "/before").refused(t, 502, "upstream_reset")
	post("/before").refused(t, 502, "upstream_reset")
	post("/head").refused(t, 502, "upstream_reset")
	post("/garbage").refused(t, 502, "upstream_bad_response")
	post("/both").refused(t, 502, "upstream_bad_response")
	post("/large").refused(t, 502, "upstream_head_too_large")
	post("/close").is(t, 200, "until the end")
	for _, path := range []string{"/length", "/chunks", "/chunk"} {
		c := g.dial()
		c.send("GET " + path + " HTTP/1.1\nHost: a\n\n")
		if a, err := c.read("GET"); err == nil && a.StatusCode == 200 {
			t.Errorf("%s: a response that was cut off looks complete: %q", path, a.body)
		}
	}
	// What a service sends unasked is nobody's answer.
	c := g.dial()
	c.get("/more").is(t, 200, "ok")
	for range 5 {
		c.get("/fine").is(t, 200, "ok")
	}
}

// TestStaleConnection: the service closes a pooled connection in the moment in
// which a request comes.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	var posts, gets atomic.Int32
	up := script(t, func(n int, c *client) {
		for i := 0; ; i++ {
			r, _ := c.request()
			if r == nil {
				return
			}
			if r.Method == "POST" {
				posts.Add(1)
			} else {
				gets.Add(1)
			}
			if i > 0 {
				return // what a server does whose idle time ends now
			}
			c.reply("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
		}
	})
	g := start(t, toAll(up), "--loops", "1")
	c := g.dial()
	c.get("/").is(t, 200, "ok")
	c.get("/").is(t, 200, "ok") // the pooled connection ends; another is opened
	if n := gets.Load(); n != 3 {
		t.Errorf("two requests and one repeated are %d", n)
	}
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx")
	c.answer("POST").refused(t, 502, "upstream_reset")
	if n := posts.Load(); n != 1 {
		t.Errorf("the POST was sent %d times", n)
	}
}

func TestIdleConnectionClosedByService(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		if r, _ := c.request(); r != nil {
			c.reply("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
		}
	})
	g := before(t, up)
	c := g.dial()
	for range 50 {
		c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx")
		c.answer("POST").is(t, 200, "ok")
		eventually(t, "the closed connection leaves the pool", func() bool {
			return g.metrics().value("naru_service_connections") == 0
		})
	}
}

func TestServiceByName(t *testing.T) {
	t.Parallel()
	up := witness(t)
	_, port, _ := strings.Cut(up.addr, ":")
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: http://localhost:"+port+"\n- match: /nowhere\n  to: http://nowhere.invalid:80\n")
	g.ask("GET", "/x").is(t, 200, "GET /x")
	if a := g.ask("GET", "/nowhere"); a.StatusCode != 503 {
		t.Errorf("a name without addresses: %d %s", a.StatusCode, a.body)
	}
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	handler := func(name string, sick *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" {
				if sick.Load() {
					w.WriteHeader(500)
				}
				return
			}
			io.WriteString(w, name)
		}
	}
	one, two := serve(t, handler("one", &sick)), serve(t, handler("two", new(atomic.Bool)))
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: both\nservices:\n  both:\n    endpoints: [%s, %s]\n    balance: round-robin\n    health: {path: /health, interval: 100ms, healthy: 1, unhealthy: 2}\n", one.addr, two.addr))
	c := g.dial()
	ones := func() int {
		n := 0
		for range 20 {
			if c.get("/").body == "one" {
				n++
			}
		}
		return n
	}
	if n := ones(); n != 10 {
		t.Errorf("at first %d of 20", n)
	}
	sick.Store(true)
	eventually(t, "the sick endpoint is out", func() bool { return ones() == 0 })
	if v := g.metrics().value("naru_service_endpoint_healthy", "endpoint", one.addr); v != 0 {
		t.Errorf("naru_service_endpoint_healthy %v", v)
	}
	if _, page := g.page("/status"); strings.Count(page, `"checkError": "status 500"`) != 1 {
		t.Errorf("/status does not say why: %s", page)
	}
	sick.Store(false)
	eventually(t, "it is back", func() bool { return ones() == 10 })
	if _, page := g.page("/status"); strings.Contains(page, "checkError") {
		t.Errorf("/status says what is over: %s", page)
	}
}

// TestNameThatIsNotFound: /status and the access log say why there is no endpoint.
func TestNameThatIsNotFound(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nlog: {format: json, file: access.log}\nroutes:\n- match: /\n  to: lost\nservices:\n  lost: ['nowhere.invalid:80']\n")
	eventually(t, "/status says which name was not found", func() bool {
		_, page := g.page("/status")
		return strings.Contains(page, `"host": "nowhere.invalid"`) && strings.Contains(page, `"error": "lookup nowhere.invalid`)
	})
	g.ask("GET", "/").refused(t, 503, "no_endpoint")
	eventually(t, "the access log says so", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "access.log"))
		return strings.Contains(string(b), `"reason":"no_endpoint","flags":"UH","detail":"lookup nowhere.invalid`)
	})
}
