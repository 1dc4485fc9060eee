package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCurl: curl over each version of HTTP that it speaks, with a body each way,
// on ports that speak several.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed: scripts/setup does it, as root on Debian")
	}
	g := toolGate(t)
	body := filepath.Join(g.dir, "body")
	g.saveAs(body, string(pattern(200_000)))
	for _, how := range []struct {
		flag, scheme, at, version string
	}{
		{"--http1.0", "http", "$LISTEN", "1.1"}, // the version that the server speaks (RFC 9110, 6.2)
		{"--http1.1", "http", "$LISTEN", "1.1"},
		{"--http2-prior-knowledge", "http", "$LISTEN", "2"},
		{"--http2", "http", "$LISTEN", "1.1"}, // the upgrade to h2c is no more (RFC 9113, 3.1)
		{"--http1.1", "https", "$LISTEN2", "1.1"},
		{"--http2", "https", "$LISTEN2", "2"},
	} {
		t.Run(how.scheme+" "+how.flag, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			cmd := exec.Command(curl, "-sS", "-k", how.flag, "--noproxy", "*", "--data-binary", "@"+body, "-H", "Content-Type: text/plain", "-o", out,
				"-w", "%{http_code} %{http_version}", how.scheme+"://"+g.ports[how.at]+"/echo")
			said, err := cmd.CombinedOutput()
			if want := "200 " + how.version; err != nil || string(said) != want {
				t.Errorf("%q, %v; want %q", said, err, want)
			}
			if got, _ := os.ReadFile(out); string(got) != string(pattern(200_000)) {
				t.Errorf("%d bytes come back, other ones", len(got))
			}
		})
	}
}

// TestNghttp: nghttp with many streams at once, priorities and padding, plain
// and over TLS.
func TestNghttp(t *testing.T) {
	t.Parallel()
	nghttp, err := exec.LookPath("nghttp")
	if err != nil {
		t.Skip("nghttp is not installed: scripts/setup does it, as root on Debian")
	}
	g := toolGate(t)
	for _, at := range []string{"http://" + g.ports["$LISTEN"], "https://" + g.ports["$LISTEN2"]} {
		args := []string{"-v", "-y", "-b", "100", "-m", "20", at + "/large", at + "/a", at + "/b"}
		said, err := exec.Command(nghttp, args...).CombinedOutput()
		if ok := strings.Count(string(said), ":status: 200"); err != nil || ok != 60 {
			t.Errorf("%s: %d answers of 60, %v:\n%.4000s", at, ok, err, said)
		}
		if strings.Contains(string(said), "RST_STREAM") || strings.Contains(string(said), "PROTOCOL_ERROR") {
			t.Errorf("%s: nghttp is not content:\n%.4000s", at, said)
		}
	}
}

// toolGate is a gateway that speaks HTTP/1.1 and HTTP/2 on two ports.
func toolGate(t *testing.T) *gateway {
	t.Helper()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		case "/large":
			_, _ = w.Write(pattern(300_000))
		default:
			fmt.Fprint(w, r.URL.Path)
		}
	})
	g := prepare(t, "listen: [$LISTEN, {address: 'https://$LISTEN2', tls: {cert: a.crt, key: a.key}}]\nroutes:\n- {match: /, to: 'http://"+up.addr+"'}\n")
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	return g
}
