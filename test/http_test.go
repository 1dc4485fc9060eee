package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// before is a gateway that sends everything to one service.
func before(t testing.TB, up *service, more ...string) *gateway {
	t.Helper()
	return start(t, toAll(up)+strings.Join(more, ""))
}

func toAll(up *service) string {
	return "listen: $LISTEN\nroutes:\n- match: /\n  to: http://" + up.addr + "\n"
}

func TestPipelineInOrder(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		io.WriteString(w, r.URL.Path)
	})
	g := before(t, up, "- match: /direct\n  respond: 200 direct\n")
	c := g.dial()
	var b strings.Builder
	var want []string
	for i := range 30 {
		path := [...]string{"/slow", "/direct", fmt.Sprintf("/%d", i)}[i%3]
		fmt.Fprintf(&b, "GET %s HTTP/1.1\nHost: a\n\n", path)
		want = append(want, path)
	}
	c.send(b.String())
	close(release)
	for _, path := range want {
		c.answer("GET").is(t, 200, strings.Replace(path, "/direct", "direct", 1))
	}
}

func TestChunkedBothWaysWithTrailers(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Out, X-Seen")
		fmt.Fprintf(w, "%s length=%d ", body, r.ContentLength)
		http.NewResponseController(w).Flush()
		io.WriteString(w, "end")
		w.Header().Set("X-Out", "out")
		w.Header().Set("X-Seen", r.Trailer.Get("X-In"))
	})
	g := before(t, up)
	c := g.dial()
	for range 2 {
		c.send("POST / HTTP/1.1\nHost: a\nTE: trailers\nTransfer-Encoding: chunked\nTrailer: X-In\n\n5\nhello\n1\n!\n0\nX-In: in\n\n")
		a := c.answer("POST")
		a.is(t, 200, "hello! length=-1 end")
		if a.ContentLength != -1 || a.Trailer.Get("X-Out") != "out" || a.Trailer.Get("X-Seen") != "in" {
			t.Errorf("length %d, trailers %v", a.ContentLength, a.Trailer)
		}
	}
}

func TestNoBody(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		for r, _ := c.request(); r != nil; r, _ = c.request() {
			switch r.URL.Path {
			case "/204":
				c.reply("HTTP/1.1 204 No Content\nX: y\n\n")
			case "/304":
				c.reply("HTTP/1.1 304 Not Modified\nContent-Length: 7\nETag: \"a\"\n\n")
			case "/chunked":
				c.reply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n")
			default:
				c.reply("HTTP/1.1 200 OK\nContent-Length: 1234\n\n")
			}
		}
	})
	c := before(t, up).dial()
	for range 2 {
		c.send("HEAD / HTTP/1.1\nHost: a\n\n")
		if a := c.answer("HEAD"); a.ContentLength != 1234 || a.StatusCode != 200 || a.body != "" {
			t.Errorf("HEAD: %d, length %d, %q", a.StatusCode, a.ContentLength, a.body)
		}
		c.send("HEAD /chunked HTTP/1.1\nHost: a\n\n")
		if h := c.head(); strings.Contains(h, "Content-Length") {
			t.Errorf("HEAD of a chunked response: %q", h)
		}
		c.send("GET /204 HTTP/1.1\nHost: a\n\n")
		if h := c.head(); !strings.HasPrefix(h, "HTTP/1.1 204 ") || strings.Contains(h, "Content-Length") || strings.Contains(h, "Transfer-Encoding") {
			t.Errorf("204: %q", h)
		}
		c.send("GET /304 HTTP/1.1\nHost: a\n\n")
		if h := c.head(); !strings.HasPrefix(h, "HTTP/1.1 304 ") || !strings.Contains(h, "Content-Length: 7") || !strings.Contains(h, `ETag: "a"`) {
			t.Errorf("304: %q", h)
		}
	}
}

func TestEarlyHintsPass(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		for r, _ := c.request(); r != nil; r, _ = c.request() {
			c.reply("HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok")
		}
	})
	g := before(t, up)
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	if h := c.head(); !strings.HasPrefix(h, "HTTP/1.1 103 ") || !strings.Contains(h, "Link: </a.css>; rel=preload") {
		t.Errorf("got %q", h)
	}
	if h := c.head(); !strings.HasPrefix(h, "HTTP/1.1 102 ") {
		t.Errorf("got %q", h)
	}
	c.answer("GET").is(t, 200, "ok")
	old := g.dial()
	old.send("GET / HTTP/1.0\n\n")
	old.answer("GET").is(t, 200, "ok")
	old.closed()
}

func TestContinue(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s expect=%q", body, r.Header.Get("Expect"))
	})
	g := before(t, up, "- match: /direct\n  respond: 401\n")
	c := g.dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n")
	if h := c.head(); h != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q", h)
	}
	c.bytes("abc")
	c.answer("POST").is(t, 200, `abc expect=""`)

	c.send("POST /direct HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n")
	if a := c.answer("POST"); a.StatusCode != 401 || !a.Close {
		t.Errorf("a final answer in place of 100: %d close=%v", a.StatusCode, a.Close)
	}
	c.closed()

	// A client that does not wait gets no 100 that it would take for an answer.
	c = g.dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\nabc")
	if a := c.answer("POST"); a.StatusCode == 100 {
		c.answer("POST").is(t, 200, `abc expect=""`)
	} else {
		a.is(t, 200, `abc expect=""`)
	}
}

func TestHTTP10(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(r.Proto + " "))
		http.NewResponseController(w).Flush()
		io.WriteString(w, r.Host)
	})
	c := before(t, up).dial()
	c.send("GET / HTTP/1.0\nHost: old\nConnection: keep-alive\n\n")
	a := c.answer("GET")
	a.is(t, 200, "HTTP/1.1 old")
	if len(a.TransferEncoding) > 0 {
		t.Error("a chunked answer to HTTP/1.0")
	}
	if a.ContentLength < 0 {
		c.closed() // the end of the body was the end of the connection
	} else if a = c.get("/"); a.body != "HTTP/1.1 test" {
		t.Errorf("the connection was to stay: %q", a.body)
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		<-release
		w.Write(body)
	})
	c := before(t, up).dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(release)
	c.answer("POST").is(t, 200, "abc")
	c.closed()
}

func TestHopByHopFieldsAreRemoved(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	up := script(t, func(_ int, c *client) {
		for r, _ := c.request(); r != nil; r, _ = c.request() {
			seen <- r.Header
			c.reply("HTTP/1.1 200 OK\nContent-Length: 0\nConnection: X-Hop\nX-Hop: 1\nKeep-Alive: timeout=5\nProxy-Connection: x\nUpgrade: h2c\nX-End: 2\n\n")
		}
	})
	c := before(t, up).dial()
	c.send("GET / HTTP/1.1\nHost: a\nConnection: close-not, X-Hop , keep-alive\nX-Hop: 1\nKeep-Alive: 5\nProxy-Connection: keep-alive\nTE: gzip\nUpgrade: websocket\nX-End: 2\nAuthorization: me\n\n")
	a := c.answer("GET")
	h := receive(t, seen)
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade"} {
		if v, there := h[name]; there {
			t.Errorf("the service saw %s: %q", name, v)
		}
		if v, there := a.Header[name]; there {
			t.Errorf("the client saw %s: %q", name, v)
		}
	}
	if h.Get("X-End") != "2" || a.Header.Get("X-End") != "2" || h.Get("Authorization") != "me" {
		t.Error("fields for the other end are missing")
	}
	if a.Header.Get("Date") == "" {
		t.Error("an answer without Date")
	}
}

func TestDuplicateFieldsStayApart(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		fmt.Fprint(w, r.Header["Cookie"], r.Header["X-Many"])
	})
	c := before(t, up).dial()
	c.send("GET / HTTP/1.1\nHost: a\nX-Many: 1\nCookie: c=3\nx-many: 2\n\n")
	a := c.answer("GET")
	a.is(t, 200, "[c=3] [1 2]")
	if got := a.Header["Set-Cookie"]; len(got) != 2 {
		t.Errorf("Set-Cookie %q", got)
	}
}

func TestQueryAndPathPassUnchanged(t *testing.T) {
	t.Parallel()
	g := before(t, witness(t))
	for _, target := range []string{"/a%2Fb?x=%41&y[]=1&&z", "/?", "/%E4", "/a;b=c", "/a/?q={}|^", "/~user/*'()"} {
		if a := g.ask("GET", target); a.body != "GET "+target {
			t.Errorf("%s became %d %q", target, a.StatusCode, a.body)
		}
	}
}
