package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
)

func TestPrecedence(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("listen: $LISTEN\nroutes:\n")
	for _, r := range [][2]string{
		{"/", "root"}, {"/a", "a"}, {"/a/b", "ab"}, {"=/a/b", "exact"}, {"/a/{id}", "template"}, {"~/r/[0-9]+", "regex"},
		{"POST /a", "post"}, {"api.example/a", "host"}, {"*.example/a", "wildcard"},
	} {
		fmt.Fprintf(&b, "- match: %q\n  respond: 200 %s\n", r[0], r[1])
	}
	b.WriteString("- match: {path: /a, headers: {x-v: '2'}}\n  respond: 200 header\n")
	b.WriteString("- match: {path: /a, query: {v: '~[0-9]+'}}\n  respond: 200 query\n")
	b.WriteString("- match: {path: /a, cookies: {who: me}}\n  respond: 200 cookie\n")
	g := start(t, b.String())
	for _, c := range []struct{ method, host, target, field, want string }{
		{"GET", "x", "/", "", "root"},
		{"GET", "x", "/ab", "", "root"},
		{"GET", "x", "/a", "", "a"},
		{"GET", "x", "/a/", "", "a"},
		{"GET", "x", "/a/c", "", "template"},
		{"GET", "x", "/a/b", "", "exact"},
		{"GET", "x", "/a/b/c", "", "ab"},
		{"GET", "x", "/r/12", "", "regex"},
		{"GET", "x", "/r/x", "", "root"},
		{"POST", "x", "/a", "", "post"},
		{"GET", "api.example", "/a", "", "host"},
		{"GET", "API.example:8080", "/a", "", "host"},
		{"GET", "b.api.example", "/a", "", "wildcard"},
		{"GET", "x", "/a", "X-V: 2", "header"},
		{"GET", "x", "/a", "X-V: 3", "a"},
		{"GET", "x", "/a?v=7", "", "query"},
		{"GET", "x", "/a?v=", "", "a"},
		{"GET", "x", "/a", "Cookie: a=b; who=me", "cookie"},
	} {
		fields := []string{"Host: " + c.host}
		if c.field != "" {
			fields = append(fields, c.field)
		}
		if a := g.ask(c.method, c.target, fields...); a.body != c.want {
			t.Errorf("%s %s%s %s: got %d %q, want %q", c.method, c.host, c.target, c.field, a.StatusCode, a.body, c.want)
		}
	}
}

func TestNoRoute(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: {address: $LISTEN, hostname: a.example}\nroutes:\n- match: /a\n  respond: 200\n- match: /gone\n  to: nowhere\n")
	g.ask("GET", "/b", "Host: a.example").refused(t, 404, "no_route")
	g.ask("GET", "/a", "Host: b.example").refused(t, 404, "no_listener")
	eventually(t, "they are counted", func() bool {
		m := g.metrics().refusals()
		return m["no_route"] == 1 && m["no_listener"] == 1
	})
}

func TestWeights(t *testing.T) {
	t.Parallel()
	one, two, none := witness(t), witness(t), witness(t)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: {'http://%s': 90, 'http://%s': 10, 'http://%s': 0}\n", one.addr, two.addr, none.addr))
	c := g.dial()
	const n = 2000
	for range n {
		c.get("/")
	}
	// Ten standard deviations either way.
	if got := two.log.count(); got < n/10-134 || got > n/10+134 || got+one.log.count() != n || none.log.count() != 0 {
		t.Errorf("%d and %d and %d of %d", one.log.count(), got, none.log.count(), n)
	}
}

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	one, two := witness(t), witness(t)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: both\nservices:\n  both: {endpoints: [%s, %s], balance: round-robin}\n", one.addr, two.addr))
	c := g.dial()
	for range 100 {
		c.get("/")
	}
	if one.log.count() != 50 || two.log.count() != 50 {
		t.Errorf("%d and %d", one.log.count(), two.log.count())
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	g := start(t, `listen: $LISTEN
routes:
- match: /https
  redirect: https
- match: /old
  redirect: {prefix: /new, status: 308}
- match: /away
  redirect: https://shop.example/start
- match: /host
  redirect: {host: www.example, status: 307}
`)
	for target, want := range map[string]string{
		"/https/a?b=c": "301 https://test/https/a?b=c",
		"/old/a?b=c":   "308 http://test:$PORT/new/a?b=c",
		"/away/x":      "302 https://shop.example/start",
		"/host/x":      "307 http://www.example:$PORT/host/x",
	} {
		a := g.ask("GET", target)
		if got := fmt.Sprintf("%d %s", a.StatusCode, a.Header.Get("Location")); got != g.fill(want) {
			t.Errorf("%s: %s, want %s", target, got, g.fill(want))
		}
	}
}

func TestRewritesAndHeaders(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Server", "secret")
		w.Header().Set("X-Keep", "k")
		fmt.Fprintf(w, "%s %s set=%q add=%q gone=%q", r.Host, r.RequestURI, r.Header["X-Set"], r.Header["X-Add"], r.Header["X-Gone"])
	})
	g := start(t, `listen: $LISTEN
routes:
- match: /prefix
  to: http://`+up.addr+`
  rewrite: {prefix: /p, host: inside.example}
- match: /orders/{id}/lines/{line}
  to: http://`+up.addr+`
  rewrite: {path: "/{line}/of/{id}"}
- match: /headers
  to: http://`+up.addr+`
  headers:
    request: {set: {X-Set: new}, add: {X-Add: two}, remove: [X-Gone]}
    response: {set: {X-New: n}, remove: [X-Server]}
`)
	g.ask("GET", "/prefix/a?q=1", "Host: out.example").is(t, 200, `inside.example /p/a?q=1 set=[] add=[] gone=[]`)
	g.ask("GET", "/orders/7/lines/3").is(t, 200, `test /3/of/7 set=[] add=[] gone=[]`)
	a := g.ask("GET", "/headers", "X-Set: old", "X-Add: one", "X-Gone: here")
	a.is(t, 200, `test /headers set=["new"] add=["one" "two"] gone=[]`)
	if a.Header.Get("X-New") != "n" || a.Header.Get("X-Server") != "" || a.Header.Get("X-Keep") != "k" {
		t.Errorf("response fields %v", a.Header)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: http://"+up.addr+`
  cors: {origins: ["https://shop.example", "https://*.shop.example"], methods: [GET, PUT], credentials: true, expose: [X-Total], maxAge: 60s}
`)
	a := g.ask("OPTIONS", "/x", "Origin: https://shop.example", "Access-Control-Request-Method: PUT")
	if a.StatusCode/100 != 2 || a.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" || a.Header.Get("Access-Control-Max-Age") != "60" ||
		a.Header.Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %d %v", a.StatusCode, a.Header)
	}
	if up.log.count() != 0 {
		t.Error("the preflight went to the service")
	}
	a = g.ask("GET", "/x", "Origin: https://a.shop.example")
	if a.body != "GET /x" || a.Header.Get("Access-Control-Allow-Origin") != "https://a.shop.example" || a.Header.Get("Access-Control-Expose-Headers") != "X-Total" {
		t.Errorf("request: %d %v %q", a.StatusCode, a.Header, a.body)
	}
	if a = g.ask("GET", "/x", "Origin: https://evil.example"); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger: %v", a.Header)
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	up, copies := witness(t), witness(t)
	hung := script(t, func(_ int, c *client) { io.Copy(io.Discard, c.in) })
	nobody := "http://127.0.0.1:" + freeport.Hold(t)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: http://%s\n  mirror: ['http://%s', 'http://%s', '%s']\n", up.addr, copies.addr, hung.addr, nobody))
	c := g.dial()
	for i := range 20 {
		c.send(fmt.Sprintf("POST /%d HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n", i))
		c.send("3\ndef\n0\n\n")
		c.answer("POST").is(t, 200, fmt.Sprintf("POST /%d abcdef", i))
	}
	eventually(t, "all copies arrive", func() bool { return copies.log.count() == 20 })
	for _, s := range copies.log.take() {
		if !strings.HasSuffix(s, " abcdef") {
			t.Errorf("a copy is %q", s)
		}
	}
	eventually(t, "all copies are counted", func() bool {
		m := g.metrics()
		return m.value("naru_mirrored_total", "service", "http://"+copies.addr, "result", "2xx") == 20 && m.value("naru_mirrored_total", "service", nobody) == 20
	})
	if m := g.metrics(); m.value("naru_mirrored_total", "service", nobody, "result", "connect_refused") == 0 || m.value("naru_mirrored_total", "service", "http://"+hung.addr) != 0 {
		t.Error("of a service that is not there no refusal is counted, or copies that still wait for their answer are")
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/request/begun" {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /backend\n  to: http://"+up.addr+"\n  timeout: {backend: 100ms}\n- match: /request\n  to: http://"+up.addr+"\n  timeout: 100ms\n")
	g.ask("GET", "/backend").refused(t, 504, "upstream_timeout")
	g.ask("GET", "/request").refused(t, 504, "request_timeout")
	c := g.dial()
	c.send("GET /request/begun HTTP/1.1\nHost: a\n\n")
	if a, err := c.read("GET"); err == nil && a.StatusCode != 504 { // the time may be over before it begins
		t.Errorf("a response that was cut off looks complete: %q", a.body)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	n := make(chan int, 1)
	n <- 0
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		k := <-n
		n <- k + 1
		if k%3 < 2 {
			w.WriteHeader(503)
			io.WriteString(w, "busy")
			return
		}
		fmt.Fprintf(w, "%s after %d", body, k%3)
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /two\n  to: http://"+up.addr+"\n  retry: {attempts: 2, on: [503], backoff: 1ms}\n"+
		"- match: /one\n  to: http://"+up.addr+"\n  retry: {attempts: 1, backoff: 1ms}\n"+
		"- match: /none\n  to: http://"+up.addr+"\n")
	c := g.dial()
	c.send("POST /two HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody")
	c.answer("POST").is(t, 200, "body after 2")
	c.get("/one").is(t, 503, "busy")
	c.get("/none").is(t, 200, " after 2")
	c.get("/none").is(t, 503, "busy")
}

func TestRetryOtherEndpointOnRefusal(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: both\nservices:\n  both: [127.0.0.1:%s, %s]\n", freeport.Hold(t), up.addr))
	c := g.dial()
	for i := range 20 {
		// Nothing was sent to the one that refuses, so even POST may go on.
		c.send(fmt.Sprintf("POST /%d HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", i))
		c.answer("POST").is(t, 200, fmt.Sprintf("POST /%d x", i))
	}
}
