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

// TestH2spec asks the whole h2spec suite, its strict cases too, of a listener
// in plain text (by prior knowledge) and of one over TLS (by ALPN).
func TestH2spec(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 2000)) // more than the small windows of some cases
	}))
	t.Cleanup(service.Close)
	g := prepare(t, `
listen:
  - $LISTEN
  - address: https://$LISTEN2
    tls: {cert: a.crt, key: a.key}
routes:
  - match: /
    to: `+service.URL+`
`)
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	for name, tls := range map[string]bool{"h2c": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port, _ := strconv.Atoi(g.ports["$PORT"])
			if tls {
				port, _ = strconv.Atoi(g.ports["$PORT2"])
			}
			c := &config.Config{
				Host: "127.0.0.1", Port: port, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000,
				Strict: true, TLS: tls, Insecure: true,
			}
			ran := 0
			for _, suite := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				ran += conforms(t, c, suite)
			}
			if ran < 145 {
				t.Errorf("only %d cases ran", ran)
			}
		})
	}
}

// conforms runs the cases of a group and of those below it.
func conforms(t *testing.T, c *config.Config, g *spec.TestGroup) (ran int) {
	for i, tc := range append(g.Tests, g.StrictTests...) {
		ran++
		t.Run(g.ID()+"/"+strconv.Itoa(i+1), func(t *testing.T) {
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
		ran += conforms(t, c, below)
	}
	return ran
}
