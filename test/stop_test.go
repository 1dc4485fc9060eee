package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// stop ends the gateway as an operator does.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	g.signal(syscall.SIGTERM)
	if code := g.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	g := before(t, up)
	kept := g.load(8, nil)
	fresh := g.load(2, func(l *load) { l.fresh = true })
	kept.more(500)
	fresh.more(50)
	kept.leaving.Store(true)
	fresh.leaving.Store(true)
	g.stop(t)
	kept.workers.Wait()
	fresh.workers.Wait()
	kept.check()
	fresh.check()
}

// TestStopUnheard: whoever read the messages has ended first, as in naru run |
// tee log; the stop is as orderly as any.
func TestStopUnheard(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "run", "--to", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "off")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "Ctrl-C stops it." {
	}
	out.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		if r.URL.Path == "/begun" {
			w.(http.Flusher).Flush()
		}
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "last")
	})
	g := before(t, up)
	begun, waiting, idle := g.dial(), g.dial(), g.dial()
	begun.send("GET /begun HTTP/1.1\nHost: a\n\n")
	waiting.send("GET /waiting HTTP/1.1\nHost: a\n\n")
	receive(t, arrived)
	receive(t, arrived)
	g.signal(os.Interrupt)
	said(t, g.errs, "stopping")
	eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", g.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if status, body := g.page("/readyz"); status != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, _ := g.page("/healthz"); status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	close(release)
	begun.answer("GET").is(t, 200, "first last")
	a := waiting.answer("GET")
	a.is(t, 200, "first last")
	if !a.Close {
		t.Error("the last answer of a connection does not say so")
	}
	idle.closed()
	if code := g.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	for name, twice := range map[string]bool{"by the drain time": false, "by a second signal": true} {
		t.Run(name, func(t *testing.T) {
			drain := "200ms"
			if twice {
				drain = "1h"
			}
			g := start(t, toAll(up), "--drain", drain)
			c := g.dial()
			c.send("GET / HTTP/1.1\nHost: a\n\n")
			receive(t, arrived)
			g.signal(syscall.SIGTERM)
			said(t, g.errs, "stopping")
			if twice {
				g.signal(syscall.SIGTERM) // says nothing new
				g.signal(os.Interrupt)
			} else {
				said(t, g.errs, "drain time is over")
			}
			if code, want := g.ended(), map[bool]int{false: 0, true: 130}[twice]; code != want {
				t.Errorf("exit status %d, not %d", code, want)
			}
			if a, err := c.read("GET"); err == nil && a.StatusCode != 503 {
				t.Errorf("a request that was cut off got %d %q", a.StatusCode, a.body)
			}
		})
	}
}
