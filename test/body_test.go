package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		io.Copy(w, r.Body)
	})
	g := before(t, up)
	body := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB
	for _, path := range []string{"/length", "/chunked"} {
		for _, length := range []int64{int64(len(body)), -1} {
			if path == "/length" && length < 0 {
				continue
			}
			r, err := http.NewRequest("POST", "http://"+g.addr+path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(body), err)
			}
		}
	}
}

// TestSlowReader lets many clients read nothing of a large response: the
// gateway must not take it into its memory.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const size, readers = 64 << 20, 8
	chunk := make([]byte, 1<<20)
	sending := make(chan struct{}, readers)
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		sending <- struct{}{}
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	g := before(t, up)
	g.ask("HEAD", "/")
	rest := g.rss()
	receive(t, sending)
	var clients []*client
	for range readers {
		c := g.dial()
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		clients = append(clients, c)
	}
	for range readers {
		receive(t, sending)
	}
	for _, c := range clients {
		if h := c.head(); !strings.Contains(h, fmt.Sprintf("Content-Length: %d", size)) {
			t.Fatal(h)
		}
	}
	// What waits settles at the watermark, far below the 512 MiB under way.
	last := -1.0
	eventually(t, "the gateway stops reading", func() bool {
		now := g.metrics().value("naru_loop_buffered_bytes")
		same := now == last && now > 0
		last = now
		return same
	})
	if last > readers*2<<20 {
		t.Errorf("%.0f bytes wait for slow clients", last)
	}
	if now := g.rss(); now > rest+48<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", rest>>20, now>>20)
	}
	for _, c := range clients[:2] {
		if n, err := io.CopyN(io.Discard, c.in, size); err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestSlowService lets a client send more than anybody reads.
func TestSlowService(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	release := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	g := before(t, up)
	rest := g.rss()
	c := g.dial()
	c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n", size))
	sent := make(chan error, 1)
	go func() {
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	last := -1.0
	eventually(t, "the gateway stops reading", func() bool {
		now := g.metrics().value("naru_loop_buffered_bytes")
		same := now == last && now > 0
		last = now
		return same
	})
	if now := g.rss(); last > 2<<20 || now > rest+24<<20 {
		t.Errorf("%.0f bytes wait for a slow service, resident memory %d MiB after %d", last, now>>20, rest>>20)
	}
	close(release)
	if err := receive(t, sent); err != nil {
		t.Fatal(err)
	}
	c.answer("POST").is(t, 200, fmt.Sprint(size, nil))
}

// TestEarlyResponse: the service answers before it has the body.
func TestEarlyResponse(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		if _, err := http.ReadRequest(c.in); err != nil {
			return
		}
		c.reply("HTTP/1.1 403 Forbidden\nContent-Length: 2\nConnection: close\n\nno")
		io.Copy(io.Discard, c.in)
	})
	g := before(t, up)
	for _, framing := range []string{"Content-Length: 10000000", "Transfer-Encoding: chunked"} {
		c := g.dial()
		c.send("POST / HTTP/1.1\nHost: a\n" + framing + "\n\n")
		if !strings.Contains(framing, "chunked") {
			c.bytes(strings.Repeat("x", 1000))
		} else {
			c.send("3\nabc\n")
		}
		c.answer("POST").is(t, 403, "no")
	}
	// A short rest of the body is read, and the connection goes on.
	c := g.dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc")
	a := c.answer("POST")
	a.is(t, 403, "no")
	if !a.Close {
		c.bytes("def")
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		c.answer("GET").is(t, 403, "no")
	}
}

// TestClientGone: who leaves in the middle leaves nothing behind.
func TestClientGone(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 1)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := before(t, up)
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	c.head()
	// An orderly end would only say that the client sends no more.
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	receive(t, gone)
	eventually(t, "the exchange is counted as gone", func() bool { return g.metrics().refusals()["client_gone"] == 1 })
}

// TestClientGoneWhileHeld: a client that leaves while its upload is held is gone, also
// where what it has sent waits behind that and a response has begun: nobody waits for
// its stall.
func TestClientGoneWhileHeld(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 2)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.EnableFullDuplex(), c.Flush()); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		gone <- struct{}{}
	})
	// At that rate the rest would be read for a day.
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: up, shape: {upload: 1B/s}}\nservices:\n  up: %q\n", up.addr))
	c := g.dial()
	c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n", 1<<20))
	c.send(strings.Repeat("x", 30<<10))
	c.head()
	c.Close()
	receive(t, gone)
	eventually(t, "the exchange is counted as gone", func() bool { return g.metrics().refusals()["client_gone"] == 1 })
}
