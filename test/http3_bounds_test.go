package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicRoutes starts a gateway that speaks HTTP/3 too, with more to say of its
// listener, and routes with more to say of each by its name. Below /NAME/h1 is a
// service of HTTP/1.1, below /NAME/h2c one of HTTP/2.
func quicRoutes(t *testing.T, listener string, routes map[string]string, h http.HandlerFunc) *gateway {
	t.Helper()
	config := strings.Replace(overQUIC, "listen: {", "listen: {"+listener, 1) + "routes:\n"
	services := "services:\n"
	for _, dialect := range []string{h1, h2c} {
		services += asService(dialect, dialect, serveAs(t, dialect, h))
		for name, says := range routes {
			config += "- {match: /" + name + "/" + dialect + ", to: " + dialect + says + "}\n"
		}
	}
	g := prepare(t, config+services)
	g.keys("a", 1, "a.example")
	g.run("run", g.file, "--access-log", "json")
	return g
}

// eachRoute runs do for every route, by both services, all at once: they wait for
// time to pass, so not as few at a time as there are processors.
func eachRoute[R any](t *testing.T, routes map[string]R, do func(t *testing.T, name, dialect string)) {
	t.Helper()
	var all sync.WaitGroup
	for name := range routes {
		for _, dialect := range []string{h1, h2c} {
			all.Go(func() {
				t.Run(name+" to "+dialect, func(t *testing.T) { do(t, name, dialect) })
			})
		}
	}
	all.Wait()
}

// logs waits for a line of the access log, whatever others wait for.
func (g *gateway) logs(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, strings.Join(words, " ")+" is logged", func() bool {
		for line := range strings.Lines(g.out.text()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return true
			}
		}
		return false
	})
}

// problem says that an answer of naru's own is the one that is meant.
func problem(t *testing.T, a *http.Response, body string, status int, code string) {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(body, `"code":"`+code+`"`) {
		t.Errorf("got %d %q, want the problem %d %s", a.StatusCode, body, status, code)
	}
}

// TestHTTP3ShapedBodies: a rate holds in both directions, to services of either
// version, and the bytes are what they were.
func TestHTTP3ShapedBodies(t *testing.T) {
	t.Parallel()
	body := pattern(600 << 10)
	routes := map[string]string{"upload": ", shape: {upload: 1MiB/s}", "download": ", shape: {download: 1MiB/s}", "fault": ", fault: {responseRate: 1MiB/s}"}
	g := quicRoutes(t, "", routes, func(w http.ResponseWriter, r *http.Request) {
		if got, err := io.ReadAll(r.Body); err != nil || r.Method == "POST" && !bytes.Equal(got, body) {
			t.Errorf("the service got %d bytes, %v", len(got), err)
		}
		if r.Method == "GET" {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}
	})
	eachRoute(t, routes, func(t *testing.T, name, dialect string) {
		url, began := g.url("/"+name+"/"+dialect), time.Now()
		var a *http.Response
		if name == "upload" {
			a, _ = fetch(t, g.http3(), "POST", url, bytes.NewReader(body))
		} else {
			var got string
			if a, got = fetch(t, g.http3(), "GET", url, nil); got != string(body) || a.ContentLength != int64(len(body)) {
				t.Errorf("the client got %d bytes, Content-Length %d", len(got), a.ContentLength)
			}
		}
		// A rate is an upper bound: 586 ms but for what a body begins with.
		if took := time.Since(began); a.StatusCode != 200 || took < 450*time.Millisecond {
			t.Errorf("status %d after %v", a.StatusCode, took)
		}
	})
}

// TestHTTP3ShapedRequests: who would have to wait behind too many is refused, and
// who waits and leaves waits no more.
func TestHTTP3ShapedRequests(t *testing.T) {
	t.Parallel()
	g := quicRoutes(t, "", map[string]string{"one": ", shape: {requests: 1/h, queue: 1, wait: 1h}"}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "served")
	})
	c, url := g.http3(), g.url("/one/h1")
	if a, body := fetch(t, c, "GET", url, nil); a.StatusCode != 200 || body != "served" {
		t.Fatalf("%d %q", a.StatusCode, body)
	}
	ctx, leave := context.WithCancel(t.Context())
	waits := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		_, err := c.Do(r)
		waits <- err
	}()
	g.counted(1, "naru_shape_waiting")
	a, body := fetch(t, c, "GET", url, nil)
	problem(t, a, body, 429, "shape_full")
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 3600 {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
	leave()
	if err := receive(t, waits); err == nil {
		t.Error("who has left got an answer")
	}
	eventually(t, "nobody waits", func() bool { return g.metrics().value("naru_shape_waiting") == 0 })
	said(t, g.out, `"reason":"client_gone"`, `"protocol":"HTTP/3"`)
}

// TestHTTP3StalledBody: a client that stops in the middle of its body is answered,
// its service is let go, and other requests of the connection go on. Who does not
// end a head is answered, too.
func TestHTTP3StalledBody(t *testing.T) {
	t.Parallel()
	over := make(chan error, 2)
	routes := map[string]string{"a": ""}
	g := quicRoutes(t, "limits: {body: 1s, head: 1s}, ", routes, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, err := io.ReadAll(r.Body)
			over <- err
		}
	})
	conn, err := quic.DialAddr(t.Context(), g.addr, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0x100, "")
	s, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte{0x01, 0x20, 0, 0}); err != nil { // HEADERS of 32 bytes, of which two come
		t.Fatal(err)
	}
	c := g.http3()
	eachRoute(t, routes, func(t *testing.T, name, dialect string) {
		from, to := io.Pipe()
		defer to.Close()
		go func() { _, _ = to.Write([]byte("a part of it")) }()
		r, err := http.NewRequest("POST", g.url("/a/"+dialect), from)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 100
		a, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(a.Body)
		a.Body.Close()
		problem(t, a, string(text), 408, "body_timeout")
		if err := receive(t, over); err == nil {
			t.Error("for the service half a body is whole")
		}
		if a, _ := fetch(t, c, "GET", g.url("/a/"+dialect), nil); a.StatusCode != 200 {
			t.Errorf("another request of the connection gets %d", a.StatusCode)
		}
	})
	_ = s.SetReadDeadline(time.Now().Add(patience))
	if answer, err := io.ReadAll(s); err != nil || !bytes.Contains(answer, []byte(`"code":"head_timeout"`)) {
		t.Errorf("half a head is answered with %q, %v", answer, err)
	}
	if n := g.metrics().refusals(); n["body_timeout"] != 2 || n["head_timeout"] != 1 {
		t.Errorf("refused: %v", n)
	}
}

// TestHTTP3StopsReading: a client that takes nothing of a response is given up, its
// service is let go, and the client cannot take what it got for the whole; other
// requests of the connection go on.
func TestHTTP3StopsReading(t *testing.T) {
	t.Parallel()
	routes := map[string]string{"a": ""}
	g := quicRoutes(t, "limits: {write: 1s}, ", routes, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 64<<10)
		for r.URL.Query().Has("much") {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{ServerName: "a.example", InsecureSkipVerify: true},
		// Two that nobody reads leave the connection room for others.
		QUICConfig: &quic.Config{MaxStreamReceiveWindow: 512 << 10, MaxConnectionReceiveWindow: 8 << 20},
	}
	t.Cleanup(func() { tr.Close() })
	c := &http.Client{Transport: tr}
	eachRoute(t, routes, func(t *testing.T, name, dialect string) {
		a, err := c.Get(g.url("/a/" + dialect + "?much"))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		g.logs(t, `"reason":"write_timeout"`, `"protocol":"HTTP/3"`, `"service":"`+dialect+`"`)
		eventually(t, "the service is let go", func() bool {
			return g.metrics().value("naru_service_requests_active", "service", dialect) == 0
		})
		if a, _ := fetch(t, c, "GET", g.url("/a/"+dialect), nil); a.StatusCode != 200 {
			t.Errorf("another request of the connection gets %d", a.StatusCode)
		}
		if n, err := io.Copy(io.Discard, a.Body); err == nil {
			t.Errorf("%d bytes look whole", n)
		}
	})
	if n := g.metrics().refusals()["write_timeout"]; n != 2 {
		t.Errorf("%v clients were given up", n)
	}
}

// TestHTTP3Deadlines: a request ends with its route's time, or with what the client
// has said that it waits, of which the service is told; a response that has begun is
// cut off where it stalls, or lasts too long. The service sees each end.
func TestHTTP3Deadlines(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		route, asked   string
		begins, goesOn bool
		reason         string
	}{
		"request": {route: ", timeout: 1s", reason: "request_timeout"},
		"backend": {route: ", timeout: {backend: 1s}, retry: off", reason: "upstream_timeout"},
		"client":  {asked: "1000", reason: "request_timeout"},
		"longer":  {route: ", timeout: 1s", asked: "3600000", reason: "request_timeout"},
		"begun":   {route: ", timeout: 1s", begins: true, reason: "request_timeout"},
		"busy":    {route: ", timeout: 1s", begins: true, goesOn: true, reason: "request_timeout"},
		"stalls":  {route: ", timeout: {idle: 1s}", begins: true, reason: "stream_idle"},
		"endless": {route: ", timeout: {stream: 1s}", begins: true, goesOn: true, reason: "stream_timeout"},
	}
	routes, asked, over := map[string]string{}, map[string]chan string{}, map[string]chan bool{}
	for name, c := range cases {
		routes[name] = c.route
		for _, dialect := range []string{h1, h2c} {
			path := "/" + name + "/" + dialect
			asked[path], over[path] = make(chan string, 1), make(chan bool, 1)
		}
	}
	g := quicRoutes(t, "trustedHops: 1, ", routes, func(w http.ResponseWriter, r *http.Request) {
		c := cases[strings.Split(r.URL.Path, "/")[1]]
		asked[r.URL.Path] <- r.Header.Get("X-Request-Timeout-Ms")
		if c.begins {
			_, _ = io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for c.goesOn && r.Context().Err() == nil {
			<-tick.C
			if _, err := io.WriteString(w, "and on"); err != nil {
				break
			}
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		over[r.URL.Path] <- true
	})
	client := g.http3()
	eachRoute(t, cases, func(t *testing.T, name, dialect string) {
		c, path := cases[name], "/"+name+"/"+dialect
		r, err := http.NewRequest("GET", g.url(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.asked != "" {
			r.Header.Set("X-Request-Timeout-Ms", c.asked)
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(a.Body)
		a.Body.Close()
		if c.begins {
			if a.StatusCode != 200 || !strings.HasPrefix(string(text), "begun") || err == nil {
				t.Errorf("status %d, %d bytes, %v", a.StatusCode, len(text), err)
			}
		} else {
			problem(t, a, string(text), 504, c.reason)
		}
		told, _ := strconv.Atoi(receive(t, asked[path]))
		if c.reason == "request_timeout" && (told < 1 || told > 1000) {
			t.Errorf("the service was told of %d ms", told)
		}
		receive(t, over[path])
		g.logs(t, `"path":"`+path+`"`, `"reason":"`+c.reason+`"`, `"protocol":"HTTP/3"`)
	})
}
