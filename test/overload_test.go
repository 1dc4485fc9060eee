package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// overloadPage is what /status says of overload.
type overloadPage struct {
	Level   string
	Because []string
	Memory  int64
	Shed    map[string]uint64
}

func (g *gateway) overload() overloadPage {
	g.t.Helper()
	_, body := g.page("/status")
	var s struct{ Overload *overloadPage }
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Overload == nil {
		g.t.Fatalf("/status says nothing of overload: %v\n%s", err, body)
	}
	return *s.Overload
}

// calm waits until the gateway is, and serves what it has refused.
func (g *gateway) calm(path string) {
	g.t.Helper()
	began := time.Now()
	eventually(g.t, "the gateway is calm, and serves", func() bool {
		return g.overload().Level == "calm" && g.metrics().value("naru_overload_level") == 0 && g.ask("GET", path).body == "served"
	})
	g.t.Logf("calm after %v", time.Since(began).Round(time.Millisecond))
	for _, line := range []string{"the proxy is overloaded", "the proxy is not overloaded any more"} {
		if _, ok := g.errs.await(func(s string) bool { return strings.Contains(s, line) }); !ok {
			g.t.Errorf("the log does not say that %s", line)
		}
	}
}

// bursts asks many times at once and waits for the answers, until stop is
// closed.
func bursts(t *testing.T, addr, path string, stop <-chan struct{}) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	const many = 200
	in := bufio.NewReaderSize(c, 64<<10)
	asks := []byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n", many))
	for {
		select {
		case <-stop:
			return
		default:
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(asks); err != nil {
			t.Errorf("a client that asks much: %v", err)
			return
		}
		for n := 0; n < many; {
			line, err := in.ReadSlice('\n')
			if err != nil {
				t.Errorf("a client that asks much: %v", err)
				return
			}
			if bytes.Contains(line, []byte("HTTP/1.1 200")) {
				n++
			}
		}
	}
}

// resets says whether a connection is reset before what it asks is answered.
func resets(t *testing.T, addr string) bool {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err = io.WriteString(c, "are you there\n"); err == nil {
			_, err = bufio.NewReader(c).ReadString('\n')
		}
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	return err != nil
}

// upload is a request of which the body is sent in two parts.
type upload struct {
	t      *testing.T
	to     io.WriteCloser
	answer chan string
}

// begin begins one, and waits until its first part has come where begun is told.
func begin(t *testing.T, c *http.Client, url string, begun <-chan struct{}) *upload {
	t.Helper()
	from, to := io.Pipe()
	t.Cleanup(func() { to.Close() })
	u := &upload{t, to, make(chan string, 1)}
	go func() {
		a, err := c.Post(url, "text/plain", from)
		if err != nil {
			u.answer <- err.Error()
			return
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		u.answer <- fmt.Sprint(a.Proto, " ", a.StatusCode, " ", string(text), " ", err)
	}()
	if _, err := io.WriteString(to, "begun"); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	return u
}

// end sends the rest, and gives the answer.
func (u *upload) end() string {
	u.t.Helper()
	if _, err := io.WriteString(u.to, " and ended"); err != nil {
		u.t.Error(err)
	}
	u.to.Close()
	return receive(u.t, u.answer)
}

// TestQueueDelay: clients keep the loop from coming to anything else. Requests of
// low, then of normal priority are refused with Retry-After, connections of such
// tcp routes are reset, critical ones and health checks are served, what has begun
// goes on, by HTTP/2 and HTTP/3 as well, and soon after it is over all are.
func TestQueueDelay(t *testing.T) {
	t.Parallel()
	next, uploads := make(chan struct{}), make(chan struct{}, 2)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, _ = io.ReadFull(r.Body, make([]byte, 5))
			uploads <- struct{}{}
			rest, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s, %v", rest, err)
			return
		}
		if r.URL.Path == "/stream" {
			for range 2 {
				io.WriteString(w, "part\n")
				w.(http.Flusher).Flush()
				<-next
			}
			return
		}
		io.WriteString(w, "served")
	})
	g := prepare(t, fmt.Sprintf(`listen: [$LISTEN, {address: 'https://$LISTEN4', protocols: [h1, h2, h3], tls: {cert: a.crt, key: a.key}}]
overload: {queueDelay: 1ms, memory: off}
routes:
- {match: /, to: a}
- {match: /pay, to: a, priority: critical}
- {match: /report, to: a, priority: low}
- {match: /hello, respond: 200 hello}
- {name: low, match: "tcp://$LISTEN2", to: db, priority: low}
- {name: critical, match: "tcp://$LISTEN3", to: db, priority: critical}
services:
  a: [%q]
  db: [%q]
`, up.addr, lines(t, "db").addr))
	g.keys("a", 1, "a.example")
	g.run("run", g.file, "--loops", "1")
	// Where others keep the machine busy it may wait for longer than that at rest, too.
	eventually(t, "at rest it is calm", func() bool { return g.overload().Level == "calm" })
	stream := g.dial()
	stream.send("GET /stream HTTP/1.1\nHost: a\n\n")
	open, err := http.ReadResponse(stream.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := bufio.NewReader(open.Body)
	if line, err := parts.ReadString('\n'); err != nil || line != "part\n" {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	low, normal, critical, health := g.dial(), g.dial(), g.dial(), g.dial()
	stands := dial(t, g.ports["$LISTEN2"])
	stands.bytes("one\n")
	if got := stands.says(); got != "db: one" {
		t.Fatalf("the service says %q", got)
	}

	shared := &http.Transport{TLSClientConfig: &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(shared.CloseIdleConnections)
	clients := map[string]*http.Client{"HTTP/2.0": {Transport: shared}, "HTTP/3.0": g.http3()}
	secure, begun := "https://"+g.ports["$LISTEN4"], map[string]*upload{}
	for version, c := range clients {
		begun[version] = begin(t, c, secure+"/up", uploads)
	}

	stop := make(chan struct{})
	var load sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); load.Wait() })
	t.Cleanup(end)
	for range 16 {
		load.Go(func() { bursts(t, g.addr, "/hello", stop) })
	}
	var refusals [2]int
	var page overloadPage
	eventually(t, "requests of low and of normal priority are refused", func() bool {
		for i, a := range []*answer{low.get("/report"), normal.get("/")} {
			if a.StatusCode == 200 {
				continue
			}
			refusals[i]++
			a.refused(t, 503, "proxy_overloaded")
			if v := a.Header.Get("Retry-After"); v != "1" || a.Close {
				t.Errorf("Retry-After: %q, the connection ends: %v", v, a.Close)
			}
		}
		page = g.overload()
		return refusals[0] > 0 && refusals[1] > 0 && page.Level == "normal"
	})
	for range 3 {
		critical.get("/pay").is(t, 200, "served")
		health.get("/healthz").is(t, 200, "served")
	}
	eventually(t, "a connection of low priority is reset", func() bool {
		if resets(t, g.ports["$LISTEN2"]) {
			refusals[0]++
			return true
		}
		return false
	})
	db := dial(t, g.ports["$LISTEN3"])
	for _, c := range []*client{db, stands} {
		c.bytes("two\n")
		if got := c.says(); got != "db: two" {
			t.Errorf("the service says %q", got)
		}
	}
	for version, c := range clients {
		eventually(t, "a request of low priority that comes by "+version+" is refused", func() bool {
			a, body := fetch(t, c, "GET", secure+"/report", nil)
			if a.StatusCode == 200 {
				return false
			}
			refusals[0]++
			problem(t, a, body, 503, "proxy_overloaded")
			return true
		})
		for _, path := range []string{"/pay", "/healthz"} {
			if a, body := fetch(t, c, "GET", secure+path, nil); a.StatusCode != 200 || body != "served" {
				t.Errorf("%s by %s: %d %q", path, version, a.StatusCode, body)
			}
		}
		if got, want := begun[version].end(), version+" 200  and ended, <nil> <nil>"; got != want {
			t.Errorf("what has begun ends with %q, want %q", got, want)
		}
	}
	if len(page.Because) != 1 || page.Because[0] != "queueDelay" {
		t.Errorf("/status says %+v", page)
	}
	next <- struct{}{}
	if line, err := parts.ReadString('\n'); err != nil || line != "part\n" {
		t.Errorf("the stream goes on with %q, %v", line, err)
	}
	next <- struct{}{}
	m := g.metrics()
	if n := m.value("naru_overload_shed_total", "priority", "low") + m.value("naru_overload_shed_total", "priority", "normal"); n < float64(refusals[0]+refusals[1]) {
		t.Errorf("%v are counted, of %v", n, refusals)
	}
	if n := m.value("naru_flow_connections_total", "flow", "low"); n < 1 {
		t.Errorf("%v connections have ended", n)
	}
	if n := m.value("naru_overload_shed_total", "priority", "critical"); n != 0 {
		t.Errorf("%v critical ones are counted", n)
	}
	end()
	g.calm("/report")
}

// TestShortMemory: clients that do not read take the memory that naru may have.
// New requests are refused, and their connections closed; critical ones are served;
// those that are open keep what they have. When the clients have gone, all is
// well again.
func TestShortMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector needs memory of its own")
	}
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/endless" {
			io.WriteString(w, "served")
			return
		}
		piece := make([]byte, 64<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	g := start(t, fmt.Sprintf(`listen: $LISTEN
overload: {memory: 64MiB, queueDelay: off}
routes:
- {match: /, to: a}
- {match: /pay, to: a, priority: critical}
services:
  a: [%q]
`, up.addr))
	pay := g.dial()
	pay.get("/pay").is(t, 200, "served")
	buffered := func() float64 { return g.metrics().value("naru_loop_buffered_bytes") }
	var deaf []net.Conn
	leave := sync.OnceFunc(func() {
		for _, c := range deaf {
			c.Close()
		}
	})
	t.Cleanup(leave)
	refused := false
	for most := 600; !refused && len(deaf) < most; {
		before := buffered()
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		deaf = append(deaf, c)
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10) // or more is taken, which is well as well
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		in := bufio.NewReaderSize(c, 1<<10)
		if _, err := io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if refused = res.StatusCode == 503; refused {
			body, err := io.ReadAll(res.Body)
			if !res.Close || !strings.Contains(string(body), "proxy_overloaded") || err != nil {
				t.Errorf("the connection ends: %v; %s, %v", res.Close, body, err)
			}
			break
		}
		// What one takes it has taken before the next comes.
		eventually(t, "the client's buffer is full", func() bool { return buffered()-before > 128<<10 })
	}
	if !refused {
		t.Fatalf("%d clients that do not read are let in", len(deaf))
	}
	page := g.overload()
	t.Logf("%d clients, %d bytes, %+v", len(deaf), page.Memory, page)
	if page.Level == "calm" || page.Level == "accepting" || len(page.Because) != 1 || page.Because[0] != "memory" {
		t.Errorf("/status says %+v", page)
	}
	if m := g.metrics().value("process_resident_memory_bytes"); m > 160<<20 {
		t.Errorf("%v bytes are resident", m)
	}
	if page.Level == "normal" {
		for range 10 {
			pay.get("/pay").is(t, 200, "served")
		}
	}
	for _, c := range deaf[:5] {
		if n, err := io.ReadFull(c, make([]byte, 256<<10)); err != nil {
			t.Errorf("a response under way is broken after %d bytes: %v", n, err)
		}
	}
	leave()
	g.calm("/")
}
