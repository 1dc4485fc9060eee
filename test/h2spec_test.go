package test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// TestH2spec asks the whole h2spec suite, its strict cases too, of listeners in
// plain text (by prior knowledge) and over TLS (by ALPN). Where HTTP/1.1 is
// spoken as well, what does not begin as HTTP/2 is a request of that, and a bad
// one is told so instead of being cut off: that case alone is left out.
func TestH2spec(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 2000)) // more than the small windows of some cases
	}))
	t.Cleanup(service.Close)
	g := prepare(t, `
listen:
  - {address: $LISTEN, protocols: h2}
  - {address: 'https://$LISTEN2', tls: {cert: a.crt, key: a.key}}
  - $LISTEN3
routes:
  - match: /
    to: `+service.URL+`
`)
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	for _, at := range []struct {
		name, port string
		tls        bool
		spared     string
	}{
		{"h2c", "$PORT", false, ""},
		{"tls", "$PORT2", true, ""},
		{"h2c beside HTTP/1.1", "$PORT3", false, "http2/3.5/2"},
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			port, _ := strconv.Atoi(g.ports[at.port])
			c := &config.Config{
				Host: "127.0.0.1", Port: port, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000,
				Strict: true, TLS: at.tls, Insecure: true,
			}
			ran := 0
			for _, suite := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				ran += conforms(t, c, suite, at.spared)
			}
			if ran < 145 {
				t.Errorf("only %d cases ran", ran)
			}
		})
	}
}

// conforms runs the cases of a group and of those below it.
func conforms(t *testing.T, c *config.Config, g *spec.TestGroup, spared string) (ran int) {
	for i, tc := range append(g.Tests, g.StrictTests...) {
		ran++
		name := g.ID() + "/" + strconv.Itoa(i+1)
		if name == spared {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := spec.Dial(c)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = tc.Run(c, conn)
			var wrong *spec.TestError
			switch {
			case errors.As(err, &wrong):
				t.Errorf("%s\n%s\nwant %q\nseen %q", tc.Desc, tc.Requirement, wrong.Expected, wrong.Actual)
			case err != nil:
				t.Errorf("%s: %v", tc.Desc, err)
			}
		})
	}
	for _, below := range g.Groups {
		ran += conforms(t, c, below, spared)
	}
	return ran
}
