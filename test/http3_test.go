package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const overQUIC = "listen: {address: 'https://$LISTEN', protocols: [h1, h2, h3], tls: {cert: a.crt, key: a.key}}\n"

// quicGateway starts a gateway that speaks HTTP/3 too, before up.
func quicGateway(t testing.TB, up *service, args ...string) *gateway {
	t.Helper()
	g := prepare(t, overQUIC+"routes:\n- match: /\n  to: http://"+up.addr+"\n")
	g.keys("a", 1, "a.example")
	g.run(append([]string{"run", g.file}, args...)...)
	return g
}

// http3 is a client whose requests go by QUIC.
func (g *gateway) http3() *http.Client {
	tr := &http3.Transport{TLSClientConfig: &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}}
	g.t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}
}

func (g *gateway) url(path string) string { return "https://" + g.addr + path }

// fetch gives the whole answer to a request.
func fetch(t testing.TB, c *http.Client, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(text)
}

func TestHTTP3(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			b, _ := io.ReadAll(r.Body) // Go's server takes no more once it has answered
			if r.ContentLength >= 0 {
				w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
			}
			_, _ = w.Write(b)
		case "/trailers":
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprintf(w, "%s|", r.Trailer.Get("X-Mine"))
			w.Header().Set("X-Sum", "7")
		case "/none":
			w.WriteHeader(204)
		case "/hints":
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			fmt.Fprint(w, "late")
		case "/broken":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprintf(w, "%s %s %s %q", r.Method, r.URL, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("Cookie"))
		}
	})
	g := quicGateway(t, up, "--access-log", "json")
	c := g.http3()

	a, body := fetch(t, c, "GET", g.url("/a?b=c"), nil)
	if a.StatusCode != 200 || a.Proto != "HTTP/3.0" || body != `GET /a?b=c https ""` {
		t.Errorf("%s %d %s", a.Proto, a.StatusCode, body)
	}
	if got := a.Header.Get("Alt-Svc"); got != "" {
		t.Errorf("HTTP/3 is announced to who speaks it: %q", got)
	}
	said(t, g.out, `"protocol":"HTTP/3"`)

	if a, body = fetch(t, c, "HEAD", g.url("/x"), nil); a.StatusCode != 200 || body != "" || a.ContentLength <= 0 {
		t.Errorf("HEAD: %d %q, length %d", a.StatusCode, body, a.ContentLength)
	}
	if a, body = fetch(t, c, "GET", g.url("/none"), nil); a.StatusCode != 204 || body != "" {
		t.Errorf("204: %d %q", a.StatusCode, body)
	}
	if a, body = fetch(t, c, "GET", g.url("/hints"), nil); a.StatusCode != 200 || body != "late" {
		t.Errorf("103: %d %q", a.StatusCode, body)
	}
	for _, n := range []int{1, 5 << 10, 3 << 20} {
		sent := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		for what, from := range map[string]io.Reader{"known": bytes.NewReader(sent), "unknown": io.MultiReader(bytes.NewReader(sent))} {
			if _, got := fetch(t, c, "POST", g.url("/echo"), from); sha256.Sum256([]byte(got)) != sha256.Sum256(sent) {
				t.Errorf("%d bytes of %s length come back as %d", n, what, len(got))
			}
		}
	}

	r, _ := http.NewRequest("POST", g.url("/trailers"), io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Mine": {"3"}}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(a.Body)
	if err != nil || string(text) != "3|" || a.Trailer.Get("X-Sum") != "7" {
		t.Errorf("trailers: %q %v %v", text, a.Trailer, err)
	}

	// A response that breaks off must not look complete.
	if a, err = c.Get(g.url("/broken")); err == nil {
		_, err = io.ReadAll(a.Body)
	}
	if err == nil {
		t.Error("half a response looks whole")
	}
	// What is malformed resets its stream alone.
	if _, err = c.Get(g.url("/%00")); err == nil || !strings.Contains(err.Error(), "H3_MESSAGE_ERROR") {
		t.Errorf("a malformed path: %v", err)
	}
	// quic-go's client leaves a connection on which a request went wrong.
	if _, metrics := g.page("/metrics"); !strings.Contains(metrics, `protocol="http3"} `) || strings.Contains(metrics, `protocol="http3"} 0`) {
		t.Errorf("the connection is not counted:\n%s", linesOf(metrics, "naru_listener_connections"))
	}
}

// linesOf gives those of a text that begin with a word.
func linesOf(text, word string) (some string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, word) {
			some += line
		}
	}
	return some
}

// TestHTTP3ManyStreams has many requests under way on one connection.
func TestHTTP3ManyStreams(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d %s", r.URL.Path, n, strings.Repeat("x", 20_000))
	})
	g := quicGateway(t, up)
	c := g.http3()
	var all sync.WaitGroup
	for i := range 150 {
		all.Go(func() {
			a, err := c.Post(g.url(fmt.Sprintf("/%d", i)), "text/plain", strings.NewReader(strings.Repeat("y", i*100)))
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Body.Close()
			body, err := io.ReadAll(a.Body)
			if want := fmt.Sprintf("/%d %d ", i, i*100); err != nil || !strings.HasPrefix(string(body), want) || len(body) != len(want)+20_000 {
				t.Errorf("%.20q %d %v", body, len(body), err)
			}
		})
	}
	all.Wait()
}

// TestHTTP3Cancel: who goes away is not served on, neither while the service
// thinks nor in the middle of an endless response.
func TestHTTP3Cancel(t *testing.T) {
	t.Parallel()
	began, gone := make(chan string, 10), make(chan string, 10)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fine" {
			return
		}
		defer func() { gone <- r.URL.Path }()
		began <- r.URL.Path
		if r.URL.Path == "/think" {
			<-r.Context().Done()
			return
		}
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	g := quicGateway(t, up)
	c := g.http3()
	for _, path := range []string{"/think", "/endless"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, _ := http.NewRequestWithContext(ctx, "GET", g.url(path), nil)
			if a, err := c.Do(r); err == nil {
				defer a.Body.Close()
				_, _ = io.CopyN(io.Discard, a.Body, 100_000)
				<-ctx.Done()
			}
		}()
		receive(t, began)
		cancel()
		if got := receive(t, gone); got != path {
			t.Errorf("%s ended", got)
		}
		receive(t, done)
	}
	if a, _ := fetch(t, c, "GET", g.url("/fine"), nil); a.StatusCode != 200 {
		t.Errorf("then: %d", a.StatusCode)
	}
}

// TestHTTP3SlowReader: a client that does not read holds its service, not the
// memory of the gateway, and nobody else.
func TestHTTP3SlowReader(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fine" {
			return
		}
		chunk := make([]byte, 64<<10)
		for range 1024 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	g := quicGateway(t, up)
	c := g.http3()
	a, err := c.Get(g.url("/much"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	other := g.http3()
	for range 100 {
		fetch(t, other, "GET", g.url("/fine"), nil)
	}
	if n := sent.Load(); n > 40<<20 {
		t.Errorf("%d bytes were taken for a client that reads nothing", n)
	}
	if n, err := io.Copy(io.Discard, a.Body); n != 64<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestHTTP3IsAnnounced: clients of the other versions are told, and find it.
func TestHTTP3IsAnnounced(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`)
		fmt.Fprint(w, "here")
	})
	g := quicGateway(t, up)
	conf := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}
	want := fmt.Sprintf(`h3=":%s"; ma=86400`, g.ports["$PORT"])
	for _, tr := range []*http.Transport{
		{TLSClientConfig: conf.Clone()},
		{TLSClientConfig: conf.Clone(), ForceAttemptHTTP2: true},
	} {
		a, body := fetch(t, &http.Client{Transport: tr}, "GET", g.url("/"), nil)
		tr.CloseIdleConnections()
		if got := a.Header.Values("Alt-Svc"); len(got) != 1 || got[0] != want || body != "here" {
			t.Errorf("%s: Alt-Svc %q", a.Proto, got)
		}
	}
	if a, body := fetch(t, g.http3(), "GET", g.url("/"), nil); a.ProtoMajor != 3 || body != "here" {
		t.Errorf("%s %s", a.Proto, body)
	}
}

// quicSerial asks for the certificate by QUIC.
func (g *gateway) quicSerial() int64 {
	g.t.Helper()
	conn, err := quic.DialAddr(g.t.Context(), g.addr, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.CloseWithError(0x100, "")
	return conn.ConnectionState().TLS.PeerCertificates[0].SerialNumber.Int64()
}

// TestHTTP3CertificateReplaced replaces it while requests run, on connections
// that stand and on new ones.
func TestHTTP3CertificateReplaced(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := quicGateway(t, up)
	stop, served := make(chan struct{}), make(chan error, 1)
	kept := g.http3()
	go func() {
		for {
			select {
			case <-stop:
				served <- nil
				return
			default:
			}
			for _, c := range []*http.Client{kept, g.http3()} {
				a, err := c.Get(g.url("/"))
				if err != nil {
					served <- err
					return
				}
				_, _ = io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
		}
	}()
	for n := int64(2); n <= 4; n++ {
		g.keys("a", n, "a.example")
		eventually(t, "the new certificate is shown", func() bool { return g.quicSerial() == n })
	}
	g.saveAs(filepath.Join(g.dir, "a.crt"), "nonsense")
	said(t, g.errs, "not usable")
	if got := g.quicSerial(); got != 4 {
		t.Errorf("certificate %d", got)
	}
	close(stop)
	if err := receive(t, served); err != nil {
		t.Error(err)
	}
}

// TestHTTP3Reload takes HTTP/3 away and brings it back.
func TestHTTP3Reload(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	g := quicGateway(t, up)
	with := overQUIC + "routes:\n- match: /\n  to: http://" + up.addr + "\n"
	conf := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
	defer other.CloseIdleConnections()
	for range 3 {
		fetch(t, g.http3(), "GET", g.url("/"), nil)
		g.reload(strings.Replace(with, ", h3", "", 1))
		if a, _ := fetch(t, other, "GET", g.url("/"), nil); a.Header.Get("Alt-Svc") != "" {
			t.Errorf("announced: %q", a.Header.Get("Alt-Svc"))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		conn, err := quic.DialAddr(ctx, g.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, &quic.Config{HandshakeIdleTimeout: 100e6})
		cancel(nil)
		if err == nil {
			t.Error("still served")
			conn.CloseWithError(0x100, "")
		}
		g.reload(with)
	}
	fetch(t, g.http3(), "GET", g.url("/"), nil)
}

// TestHTTP3PortTaken: without its UDP port a listener serves the other
// versions, says so, and takes the port once it is free.
func TestHTTP3PortTaken(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	g := prepare(t, overQUIC+"routes:\n- match: /\n  to: http://"+up.addr+"\n")
	g.keys("a", 1, "a.example")
	taken, err := net.ListenPacket("udp", g.ports["$LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g.run("run", g.file)
	said(t, g.errs, "HTTP/3", "address already in use")
	if _, page := g.page("/problems"); !strings.Contains(page, "HTTP/3 is not served; the other versions are") {
		t.Errorf("no problem: %s", page)
	}
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer other.CloseIdleConnections()
	if a, body := fetch(t, other, "GET", g.url("/"), nil); body != "here" || a.Header.Get("Alt-Svc") != "" {
		t.Errorf("%s, Alt-Svc %q", body, a.Header.Get("Alt-Svc"))
	}
	taken.Close()
	said(t, g.errs, "no longer a problem", "HTTP/3")
	fetch(t, g.http3(), "GET", g.url("/"), nil)
}

// TestHTTP3Stop: what runs when the process is told to end is served to its
// end.
func TestHTTP3Stop(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("a", 1000))
		w.(http.Flusher).Flush()
		close(began)
		<-goOn
		fmt.Fprint(w, strings.Repeat("b", 500_000))
	})
	g := quicGateway(t, up)
	c := g.http3()
	done := make(chan string, 1)
	go func() {
		a, err := c.Get(g.url("/"))
		if err != nil {
			done <- err.Error()
			return
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		done <- fmt.Sprint(len(b), err)
	}()
	receive(t, began)
	g.signal(syscall.SIGTERM)
	said(t, g.errs, "stopping")
	close(goOn)
	if got := receive(t, done); got != "501000<nil>" && got != "501000 <nil>" {
		t.Errorf("the request under way: %s", got)
	}
	if code := g.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestHTTP3Refused counts handshakes that fail.
func TestHTTP3Refused(t *testing.T) {
	t.Parallel()
	g := quicGateway(t, witness(t))
	if conn, err := quic.DialAddr(t.Context(), g.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"nonsense"}}, nil); err == nil {
		conn.CloseWithError(0x100, "")
		t.Error("nonsense is spoken")
	}
	eventually(t, "it is counted", func() bool {
		_, metrics := g.page("/metrics")
		return strings.Contains(metrics, `naru_refused_total{reason="handshake_failed"} 1`)
	})
}
