package test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crossed is cross with something more to say of each route, in a flow mapping.
func crossed(t testing.TB, route string, h http.HandlerFunc) *crossing {
	t.Helper()
	c := &crossing{services: map[string]*service{}}
	config := "listen: [$LISTEN, {address: 'https://$LISTEN2', tls: {cert: a.crt, key: a.key}}]\nlog: {format: json, file: access.log}\nroutes:\n"
	services := "services:\n"
	for _, dialect := range dialects {
		c.services[dialect] = serveAs(t, dialect, h)
		config += "- {match: /" + dialect + ", to: " + dialect + ", " + route + "}\n"
		services += asService(dialect, dialect, c.services[dialect])
	}
	c.gateway = prepare(t, config+services)
	c.keys("a", 1, "a.example")
	c.run("run", c.file)
	return c
}

// TestShapedBodies: a rate holds in both directions, for every version of HTTP on
// either side, and the bytes are what they were.
func TestShapedBodies(t *testing.T) {
	t.Parallel()
	body := pattern(600 << 10)
	for name, c := range map[string]struct{ route, method, path string }{
		"upload":   {"shape: {upload: 1MiB/s}", "POST", "/up"},
		"download": {"shape: {download: 4MiB/s, totalDownload: 4MiB/s}", "GET", "/down"}, // nine at once
		"fault":    {"fault: {responseRate: 1MiB/s}", "GET", "/down"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := crossed(t, c.route, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/down") {
					w.Header().Set("Content-Length", "614400")
					w.Write(body)
					return
				}
				got, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("the service got %d bytes, %v", len(got), err)
				}
			})
			gate.each(t, func(t *testing.T, p *pair) {
				began := time.Now()
				var send io.Reader
				if c.method == "POST" {
					send = bytes.NewReader(body)
				}
				res := p.ask(t, c.method, c.path, send, int64(len(body)))
				got := whole(t, res)
				if c.method == "GET" && (got != string(body) || res.ContentLength != int64(len(body))) {
					t.Errorf("the client got %d bytes, Content-Length %d", len(got), res.ContentLength)
				}
				// A rate is an upper bound: 586 ms but for what a body begins with.
				if took := time.Since(began); name != "download" && took < 450*time.Millisecond || res.StatusCode != 200 {
					t.Errorf("status %d after %v", res.StatusCode, took)
				}
			})
		})
	}
}

// TestStalledResponse: a service that stops in the middle of a response is given
// up, the client is cut off, and the log says why.
func TestStalledResponse(t *testing.T) {
	t.Parallel()
	over := make(chan struct{}, 9)
	c := crossed(t, "timeout: {idle: 300ms}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "0123456789")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the gateway has given it up
		over <- struct{}{}
	})
	c.each(t, func(t *testing.T, p *pair) {
		res := p.ask(t, "GET", "/", nil, 0)
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || string(got) != "0123456789" || err == nil {
			t.Errorf("status %d, %q, %v", res.StatusCode, got, err)
		}
		receive(t, over)
		eventually(t, "a line in the log", func() bool {
			line := c.logged("/" + p.service + "/")
			return strings.Contains(line, `"reason":"stream_idle","flags":"SI"`) && strings.Contains(line, `"chosen":"only"`)
		})
	})
}

// logged gives the lines of the access log that hold a text.
func (c *crossing) logged(part string) string {
	b, _ := os.ReadFile(filepath.Join(c.dir, "access.log"))
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, part) {
			out.WriteString(line)
		}
	}
	return out.String()
}
