package test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A dialect of HTTP that a client or a service speaks.
const (
	h1  = "h1"  // HTTP/1.1 in plain text
	h2c = "h2c" // HTTP/2 in plain text, by prior knowledge
	h2  = "h2"  // HTTP/2 over TLS, by ALPN
)

var dialects = []string{h1, h2c, h2}

// protocolsOf allows a net/http client or server one dialect.
func protocolsOf(dialect string) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(dialect == h1)
	p.SetUnencryptedHTTP2(dialect == h2c)
	p.SetHTTP2(dialect == h2)
	return p
}

// serveAs runs an HTTP server that speaks one dialect only.
func serveAs(t testing.TB, dialect string, h http.HandlerFunc, change ...func(*http.Server)) *service {
	t.Helper()
	s := listen(t, "")
	server := &http.Server{
		Handler: h, Protocols: protocolsOf(dialect), ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, state http.ConnState) {
			s.note(c, state != http.StateClosed && state != http.StateHijacked)
		},
	}
	for _, do := range change {
		do(server)
	}
	if dialect != h2 {
		go server.Serve(s.ln) //nolint:errcheck // it ends with the listener
		return s
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pairOf(t, "inside.example")}}
	go server.ServeTLS(s.ln, "", "") //nolint:errcheck // it ends with the listener
	return s
}

// pairOf makes a certificate for a server of this process.
func pairOf(t testing.TB, name string) tls.Certificate {
	t.Helper()
	chain, key := certificate(t, 1, name)
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// asService describes a service to naru.
func asService(name, dialect string, s *service, more ...string) string {
	text := "  " + name + ": {endpoints: '" + s.addr + "'"
	if dialect != h1 {
		text += ", protocol: http2"
	}
	if dialect == h2 {
		text += ", tls: {insecure: true}"
	}
	return text + strings.Join(more, "") + "}\n"
}

// crossing is a gateway whose listeners and services speak every dialect. What
// is asked below /h1, /h2c and /h2 goes to the service of that dialect.
type crossing struct {
	*gateway
	services map[string]*service
}

// cross puts a handler behind services of all dialects. limits is a flow
// mapping of YAML, or empty.
func cross(t testing.TB, limits string, h http.HandlerFunc, args ...string) *crossing {
	t.Helper()
	c := &crossing{services: map[string]*service{}}
	if limits != "" {
		limits = "limits: " + limits + "\n"
	}
	config := "listen: [$LISTEN, {address: 'https://$LISTEN2', tls: {cert: a.crt, key: a.key}}]\n" + limits + "routes:\n"
	services := "services:\n"
	for _, dialect := range dialects {
		c.services[dialect] = serveAs(t, dialect, h)
		config += "- match: /" + dialect + "\n  to: " + dialect + "\n"
		services += asService(dialect, dialect, c.services[dialect])
	}
	c.gateway = prepare(t, config+services)
	c.keys("a", 1, "a.example")
	c.run(append([]string{"run", c.file}, args...)...)
	return c
}

// pair is a client of one dialect, and a service of another.
type pair struct {
	client, service string // dialects
	http            *http.Client
	url             string // of the service as seen by the client, without a slash at the end
}

// each runs do for every client with every service.
func (c *crossing) each(t *testing.T, do func(t *testing.T, p *pair)) {
	t.Helper()
	for _, from := range dialects {
		for _, to := range dialects {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				do(t, c.pair(t, from, to))
			})
		}
	}
}

func (c *crossing) pair(t testing.TB, from, to string) *pair {
	p := &pair{client: from, service: to, http: clientOf(t, from)}
	p.url = "http://" + c.ports["$LISTEN"] + "/" + to
	if from == h2 {
		p.url = "https://" + c.ports["$LISTEN2"] + "/" + to
	}
	return p
}

// clientOf is a net/http client that speaks one dialect only.
func clientOf(t testing.TB, dialect string) *http.Client {
	transport := &http.Transport{
		Protocols: protocolsOf(dialect), TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		ExpectContinueTimeout: patience, DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request; a length of -1 is not announced.
func (p *pair) ask(t testing.TB, method, path string, body io.Reader, length int64, change ...func(*http.Request)) *http.Response {
	t.Helper()
	res, err := p.try(t, method, path, body, length, change...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// try is ask where the answer may not come.
func (p *pair) try(t testing.TB, method, path string, body io.Reader, length int64, change ...func(*http.Request)) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.ContentLength = length
	}
	for _, do := range change {
		do(r)
	}
	res, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	if major := map[string]int{h1: 1, h2c: 2, h2: 2}[p.client]; res.ProtoMajor != major {
		t.Errorf("the client speaks %s", res.Proto)
	}
	return res, nil
}

// whole reads a response to its end.
func whole(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("after %d bytes of the response: %v", len(b), err)
	}
	return string(b)
}

// pattern is n bytes of which no two pieces look alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := uint64(0); len(b) < n; i++ {
		x := (i + 1) * 0x9e3779b97f4a7c15
		b = append(b, byte(x>>56), byte(x>>48), byte(x>>40), byte(x>>32), byte(x>>24), byte(x>>16))
	}
	return b[:n]
}

// trickle hides the size of a body from net/http.
func trickle(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }
