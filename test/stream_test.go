package test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBothWaysAtOnce: request and response stream at the same time, each piece
// arriving before the next is sent.
func TestBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		rc.Flush()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "echo "+line)
			rc.Flush()
		}
	})
	body, writer := io.Pipe()
	g := before(t, up)
	r, err := http.NewRequest("POST", "http://"+g.addr+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := bufio.NewReader(res.Body)
	for i := range 20 {
		fmt.Fprintf(writer, "line %d\n", i)
		if line, err := out.ReadString('\n'); err != nil || line != fmt.Sprintf("echo line %d\n", i) {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	writer.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// TestServerSentEvents: a piece that comes alone is passed on alone.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			if _, more := <-next; !more {
				return
			}
		}
	})
	c := before(t, up).dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for i := range 5 {
		want := fmt.Sprintf("data: %d\n\n", i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
		if i < 4 {
			next <- struct{}{}
		}
	}
	close(next)
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// TestResponseInPieces: the service's bytes come one by one.
func TestResponseInPieces(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"/length":  "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
		"/chunked": "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: u\r\n\r\n",
		"/inform":  "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
		"/end":     "HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello",
	}
	up := script(t, func(_ int, c *client) {
		for r, _ := c.request(); r != nil; r, _ = c.request() {
			for _, b := range []byte(texts[r.URL.Path]) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
			if r.URL.Path == "/end" {
				return
			}
		}
	})
	g := before(t, up)
	c := g.dial()
	for path := range texts {
		c.send("GET " + path + " HTTP/1.1\nHost: a\n\n")
		a := c.answer("GET")
		if a.StatusCode == 103 {
			a = c.answer("GET")
		}
		a.is(t, 200, "hello")
		if a.Header.Get("X-A") != "b" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}

// TestPipelineFlood: a client sends far more requests than it reads answers.
func TestPipelineFlood(t *testing.T) {
	t.Parallel()
	const n = 5000
	answer := strings.Repeat("y", 10_000)
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	g := before(t, up)
	rest := g.rss()
	c := g.dial()
	sent := make(chan error, 1)
	go func() {
		request := []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1000) + "\r\n\r\n")
		for range n {
			if _, err := c.Write(request); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	last := -1.0
	eventually(t, "the gateway stops reading", func() bool {
		now := g.metrics().value("naru_requests_total")
		same := now == last && now > 0
		last = now
		return same
	})
	if last == n {
		t.Error("all was read at once; the test must send more")
	}
	if now := g.rss(); now > rest+16<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", rest>>20, now>>20)
	}
	for i := range n {
		if a := c.answer("GET"); a.StatusCode != 200 || len(a.body) != len(answer) {
			t.Fatalf("answer %d: %d, %d bytes", i, a.StatusCode, len(a.body))
		}
	}
	if err := receive(t, sent); err != nil {
		t.Error(err)
	}
}

// TestDrippingHead: bytes that come one by one do not buy time.
func TestDrippingHead(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nlimits: {head: 300ms}\nroutes:\n- match: /\n  respond: 200\n")
	c := g.dial()
	answered := make(chan *answer, 1)
	go func() {
		a, err := c.read("GET")
		if err != nil {
			a = nil
		}
		answered <- a
	}()
	c.bytes("GET / HTTP/1.1\r\nHost: a\r\nX: ")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		select {
		case a := <-answered:
			if a == nil {
				t.Fatal("no answer")
			}
			a.refused(t, 408, "head_timeout")
			return
		case <-tick.C:
			_, _ = io.WriteString(c.Conn, "x") // the gateway may close at any moment
		case <-limit:
			t.Fatal("a dripping head goes on for ever")
		}
	}
}

// TestClientStopsReading: it is cut off after its time.
func TestClientStopsReading(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	g := start(t, "listen: $LISTEN\nlimits: {write: 200ms}\nroutes:\n- match: /\n  to: http://"+up.addr+"\n")
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	c.head()
	eventually(t, "the client is given up", func() bool { return g.metrics().refusals()["write_timeout"] == 1 })
	eventually(t, "the service is let go", func() bool { return g.metrics().value("naru_service_connections") == 0 })
}

// TestTunnelsOutliveReloads: a tunnel goes on while its route, its service and
// its listener leave the configuration, and ends with the drain time.
func TestTunnelsOutliveReloads(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		if r, _ := c.request(); r == nil {
			return
		}
		c.reply("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: echo\n\n")
		io.Copy(c.Conn, c.in)
	})
	g := start(t, "listen: [$LISTEN, $LISTEN2]\nroutes:\n- match: /\n  to: http://"+up.addr+"\n", "--drain", "300ms")
	c := dial(t, g.ports["$LISTEN2"])
	c.send("GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: echo\n\n")
	c.head()
	echo := func(word string) {
		t.Helper()
		c.bytes(word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(c.in, got); err != nil || string(got) != word {
			t.Fatalf("the tunnel gave %q, %v", got, err)
		}
	}
	echo("before")
	g.reload("listen: [$LISTEN, $LISTEN2]\nroutes:\n- match: /\n  to: http://127.0.0.1:1\n")
	echo("another service")
	g.reload("listen: $LISTEN\nroutes:\n- match: /\n  respond: 200\n")
	echo("no listener")
	g.signal(hangup) // nobody's log to reopen
	echo("a signal for rotation")
	g.stop(t)
	c.closed()
}

// TestLargeBodyIsNotRetried: what was not kept cannot be sent again.
func TestLargeBodyIsNotRetried(t *testing.T) {
	t.Parallel()
	seen := newSightings()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		seen.add("%d", n)
		w.WriteHeader(503)
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: http://"+up.addr+"\n  retry: {attempts: 3, backoff: 1ms}\n")
	for _, size := range []int{1000, 1 << 20} {
		c := g.dial()
		c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n%s", size, strings.Repeat("x", size)))
		c.answer("POST").is(t, 503, "")
	}
	if got := fmt.Sprint(seen.take()); got != "[1000 1000 1000 1000 1048576]" {
		t.Errorf("the service saw %s", got)
	}
}

// TestIdleConnections: many of them cost little, and all still work.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	n := 2000
	if *long {
		n = 9000
	}
	g := before(t, witness(t))
	g.ask("GET", "/")
	rest := g.rss()
	var all []*client
	for range n {
		c := g.dial()
		c.get("/first").is(t, 200, "GET /first")
		all = append(all, c)
	}
	eventually(t, "all are open", func() bool { return g.metrics().value("naru_listener_connections") == float64(n) })
	if now := g.rss(); now > rest+16<<20 {
		t.Errorf("%d idle connections take %d KiB", n, (now-rest)>>10)
	}
	for i, c := range all {
		if i%10 == 0 {
			c.get("/again").is(t, 200, "GET /again")
		}
	}
}
