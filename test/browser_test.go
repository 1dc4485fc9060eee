package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// page does what pages do, and reports how it went: one body in pieces, many
// requests at once, events, and a WebSocket.
const page = `<!doctype html><title>naru</title><script>
const hop = e => e.map(x => x.nextHopProtocol);
(async () => {
	const out = {};
	try {
		out.page = hop(performance.getEntriesByType('navigation'))[0];
		const body = 'x'.repeat(300000);
		out.echo = (await (await fetch('/echo', {method: 'POST', body})).text()) === body;
		const many = await Promise.all([...Array(60).keys()].map(async i => (await (await fetch('/many/' + i)).text()) === '/many/' + i));
		out.many = many.filter(Boolean).length;
		out.hops = [...new Set(hop(performance.getEntriesByType('resource').filter(e => e.name.includes('/many/'))))];
		out.events = await new Promise((done, failed) => {
			const all = [], from = new EventSource('/events');
			from.onmessage = e => { if (all.push(e.data) == 3) { from.close(); done(all.join()); } };
			from.onerror = () => failed('events broke off after ' + all);
		});
		out.chat = await new Promise((done, failed) => {
			const ws = new WebSocket('wss://' + location.host + '/chat');
			ws.onopen = () => ws.send('ferry');
			ws.onmessage = e => { done(e.data); ws.close(); };
			ws.onerror = () => failed('WebSocket');
		});
	} catch (e) { out.error = String(e); }
	await fetch('/report', {method: 'POST', body: JSON.stringify(out)});
})();
</script>`

// browser gives the path of one that runs without a screen, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no chromium is installed: scripts/setup does it, as root on Debian")
	return ""
}

// browse opens a URL until the test ends.
func browse(t *testing.T, at string, flags ...string) *bytes.Buffer {
	t.Helper()
	dir, err := os.MkdirTemp("", "naru-browser-")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--no-proxy-server", "--user-data-dir=" + dir,
	}, flags...)
	cmd := exec.Command(browser(t), append(args, at)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = 2 * time.Second // its children hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
		_ = os.RemoveAll(dir) // what it still writes may stay for the system's own tidying
		if t.Failed() {
			t.Logf("the browser said:\n%s", said)
		}
	})
	return said
}

// networkChanges gives a function that says whether a link or an address of the
// machine's network has come or gone since it was asked last.
func networkChanges(t *testing.T) func() bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}); err != nil {
		t.Fatal(err)
	}
	return func() (changed bool) {
		var b [8192]byte
		for {
			switch _, _, err := unix.Recvfrom(fd, b[:], 0); err {
			case nil, unix.ENOBUFS:
				changed = true
			case unix.EINTR:
			default:
				return changed
			}
		}
	}
}

// TestBrowser: a real browser uses a page over HTTP/2 and over HTTP/3.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser(t)
	reports := make(chan string, 2)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, page)
		case "/echo":
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		case "/chat":
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			kind, b, err := conn.Read(context.Background())
			if err == nil {
				err = conn.Write(context.Background(), kind, b)
			}
			if err != nil {
				t.Error(err)
			}
			_, _, _ = conn.Read(context.Background()) // up to the page's close
		case "/report":
			body, _ := io.ReadAll(r.Body)
			reports <- string(body)
		default:
			_, _ = io.WriteString(w, r.URL.Path)
		}
	})
	for _, version := range []string{"h2", "h3"} {
		t.Run(version, func(t *testing.T) {
			g := quicGateway(t, up, "--access-log", "json")
			pemChain, err := os.ReadFile(filepath.Join(g.dir, "a.crt"))
			if err != nil {
				t.Fatal(err)
			}
			block, _ := pem.Decode(pemChain)
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			key := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			site := "a.example:" + g.ports["$PORT"]
			flags := []string{
				"--host-resolver-rules=MAP a.example 127.0.0.1",
				"--ignore-certificate-errors-spki-list=" + base64.StdEncoding.EncodeToString(key[:]),
			}
			if version == "h3" {
				flags = append(flags, "--enable-quic", "--origin-to-force-quic-on="+site)
			} else {
				flags = append(flags, "--disable-quic")
			}
			changes := networkChanges(t)
			text := ""
			for again := 0; ; again++ {
				browse(t, "https://"+site+"/", flags...)
				select {
				case text = <-reports:
				case <-time.After(3 * patience): // browsers start slowly on busy machines
					t.Fatalf("the page reports nothing; naru logged:\n%s", g.out.text())
				}
				// A browser ends all its connections when a network comes or goes, as
				// those of other tests do.
				if !strings.Contains(text, `"error"`) || !changes() || again == 10 {
					break
				}
			}
			var got struct {
				Page, Events, Chat, Error string
				Hops                      []string
				Echo                      bool
				Many                      int
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if got.Error != "" || got.Page != version || strings.Join(got.Hops, " ") != version ||
				!got.Echo || got.Many != 60 || got.Events != "0,1,2" || got.Chat != "ferry" {
				t.Errorf("the page reports %s", text)
			}
			said(t, g.out, `"path":"/echo"`, map[string]string{"h2": `"protocol":"HTTP/2`, "h3": `"protocol":"HTTP/3`}[version])
			// WebSockets go over TCP in any case, on a connection of HTTP/2 where
			// there is one (RFC 8441).
			if version == "h2" {
				said(t, g.out, `"path":"/chat"`, `"protocol":"HTTP/2`)
			}
		})
	}
}
