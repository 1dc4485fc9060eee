package test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestReloadOnSave(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  respond: 200 one\n")
	c := g.dial()
	c.get("/").is(t, 200, "one")
	g.reload("listen: $LISTEN\nroutes:\n- match: /\n  respond: 200 two\n")
	c.get("/").is(t, 200, "two")
}

// TestBrokenDocument: what is broken serves as it did, the rest changes.
func TestBrokenDocument(t *testing.T) {
	t.Parallel()
	good := "listen: $LISTEN\nroutes:\n- match: /a\n  respond: 200 a1\n- match: /b\n  respond: 200 b1\n"
	g := start(t, good)
	g.save("listen: $LISTEN\nroutes:\n- match: /a\n  respond: oops\n- match: /b\n  respond: 200 b2\n")
	said(t, g.errs, g.file+":4:12: ", `"level":"ERROR"`)
	eventually(t, "the rest changes", func() bool { return g.ask("GET", "/b").body == "b2" })
	g.ask("GET", "/a").is(t, 200, "a1")
	if _, body := g.page("/problems"); !strings.Contains(body, `"line": 4`) {
		t.Errorf("/problems: %s", body)
	}
	if v := g.metrics().value("naru_config_problems", "severity", "error"); v != 1 {
		t.Errorf("naru_config_problems of errors %v", v)
	}
	// A document that is no YAML at all.
	g.save("listen: $LISTEN\nroutes:\n- match: [\n")
	said(t, g.errs, g.file+":", `"level":"ERROR"`)
	g.ask("GET", "/a").is(t, 200, "a1")
	g.ask("GET", "/b").is(t, 200, "b2")
	g.save(good)
	eventually(t, "all is good again", func() bool { return g.ask("GET", "/b").body == "b1" })
	eventually(t, "no problem is left", func() bool { return g.metrics().value("naru_config_problems") == 0 })
}

func TestListenersComeAndGo(t *testing.T) {
	t.Parallel()
	up := witness(t)
	config := "listen: [$LISTEN%s]\nroutes:\n- match: /\n  to: http://" + up.addr + "\n"
	g := start(t, fmt.Sprintf(config, ""))
	second := g.ports["$LISTEN2"]
	l := g.load(4, nil)
	for range 3 {
		g.reload(fmt.Sprintf(config, ", $LISTEN2"))
		c := dial(t, second)
		c.get("/x").is(t, 200, "GET /x")
		l.more(50)
		g.reload(fmt.Sprintf(config, ""))
		eventually(t, "the second port is closed", func() bool {
			conn, err := net.Dial("tcp", second)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
	}
	l.stop()
	l.check()
}

func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	reloads := 30
	if *long {
		reloads = 200
	}
	one, two := witness(t), witness(t)
	config := func(n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "listen: $LISTEN\nroutes:\n- match: /\n  to: both\n  headers: {response: {set: {x-reload: '%d'}}}\n", n)
		for i := range 200 {
			fmt.Fprintf(&b, "- match: /%d/%d\n  to: http://%s\n", n, i, one.addr)
		}
		fmt.Fprintf(&b, "services:\n  both: [%s, %s]\n", one.addr, two.addr)
		return b.String()
	}
	g := start(t, config(0))
	l := g.load(8, nil)
	settled := int64(0)
	for n := 1; n <= reloads; n++ {
		g.reload(config(n))
		l.more(20)
		if n == 10 {
			settled = g.rss()
		}
	}
	if now := g.rss(); now > settled+16<<20 {
		t.Errorf("resident memory grew from %d to %d MiB in %d reloads", settled>>20, now>>20, reloads-10)
	}
	l.stop()
	l.check()
	if got := g.ask("GET", "/1").Header.Get("X-Reload"); got != fmt.Sprint(reloads) {
		t.Errorf("the last reload is %s", got)
	}
}

// TestEndpointRemovedUnderLoad: connections to it end after their request.
func TestEndpointRemovedUnderLoad(t *testing.T) {
	t.Parallel()
	one, two := witness(t), witness(t)
	config := "listen: $LISTEN\nroutes:\n- match: /\n  to: some\nservices:\n  some: [%s]\n"
	g := start(t, fmt.Sprintf(config, one.addr+", "+two.addr))
	l := g.load(8, nil)
	for range 5 {
		l.more(100)
		g.reload(fmt.Sprintf(config, one.addr))
		eventually(t, "no connection to the removed endpoint is left", func() bool {
			two.mu.Lock()
			defer two.mu.Unlock()
			return len(two.conns) == 0
		})
		l.more(100)
		g.reload(fmt.Sprintf(config, one.addr+", "+two.addr))
	}
	l.stop()
	l.check()
}

// TestServiceKilledAndRestarted: while it is away answers say so, afterwards
// everything is as before; no client loses its connection.
func TestServiceKilledAndRestarted(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}
	up := serve(t, handler)
	g := before(t, up)
	l := g.load(8, func(l *load) {
		l.good = func(a *answer) bool { return a.StatusCode == 200 || a.StatusCode == 502 }
	})
	for range 3 {
		l.more(300)
		up.kill()
		eventually(t, "the gateway notices", func() bool { return g.ask("GET", "/").StatusCode == 502 })
		l.more(100)
		up = serveAt(t, up.addr, handler)
		eventually(t, "the service is back", func() bool { return g.ask("GET", "/").StatusCode == 200 })
		c := g.dial()
		for range 50 {
			c.get("/").is(t, 200, "0")
		}
	}
	l.stop()
	l.check()
}

// TestOneOfTwoKilled: with retries declared nobody notices.
func TestOneOfTwoKilled(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}
	one, two := serve(t, handler), serve(t, handler)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: both\n  retry: {attempts: 3, backoff: 1ms}\nservices:\n  both: [%s, %s]\n", one.addr, two.addr))
	l := g.load(8, nil)
	for range 4 {
		l.more(300)
		one.kill()
		l.more(300)
		one = serveAt(t, one.addr, handler)
	}
	l.stop()
	l.check()
}

func TestFolderOfFiles(t *testing.T) {
	t.Parallel()
	g := prepare(t, "")
	a, b := filepath.Join(g.dir, "conf", "a.yaml"), filepath.Join(g.dir, "conf", "b.yaml")
	mkdir(t, filepath.Dir(a))
	g.saveAs(a, g.fill("listen: $LISTEN\nroutes:\n- match: /a\n  respond: 200 a\n"))
	g.run("run", filepath.Dir(a))
	g.ask("GET", "/b").refused(t, 404, "no_route")
	g.saveAs(b, "routes:\n- match: /b\n  respond: 200 b\n")
	eventually(t, "the new file serves", func() bool { return g.ask("GET", "/b").body == "b" })
	g.ask("GET", "/a").is(t, 200, "a")
	remove(t, b)
	eventually(t, "the removed file does not", func() bool { return g.ask("GET", "/b").StatusCode == 404 })
}

// TestBrokenListenerAndService: each serves as it did, with what it needs, and
// is the only one of which something is said.
func TestBrokenListenerAndService(t *testing.T) {
	t.Parallel()
	up := witness(t)
	config := func(listener, service string) string {
		return "listen: [{address: 'https://$LISTEN', " + listener + "}]\ntls: {cert: a.crt, key: a.key}\nroutes:\n- match: /\n  to: up\nservices:\n  up: {endpoints: '" + up.addr + "', " + service + "}\n"
	}
	g := prepare(t, config("minTLS: 1.2", "maxIdle: 1"))
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	ask := func() string {
		c, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, c).get("/x").body
	}
	g.save(config("minTLS: nine", "balance: fair"))
	said(t, g.errs, "old-serves", "listener")
	said(t, g.errs, "old-serves", "service up")
	if body := ask(); body != "GET /x" {
		t.Errorf("%q", body)
	}
	if _, body := g.page("/problems"); strings.Count(body, `"severity": "error"`) != 2 {
		t.Errorf("more is wrong than the two: %s", body)
	}
}

// TestAppliedIsSaid: a change is logged when it serves, not before, and when it
// can not.
func TestAppliedIsSaid(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  respond: 200\n")
	said(t, g.errs, "configuration applied", `"listeners":1,"routes":1,"services":0,"problems":0,"took":`)
	g.save("listen: [$LISTEN, $LISTEN2]\nroutes:\n- match: /\n  respond: 200 two\n- {match: /a, respond: 200}\n")
	said(t, g.errs, "configuration applied", `"listeners":2,"routes":2`)
	dial(t, g.ports["$LISTEN2"]).get("/").is(t, 200, "two")
	g.ask("GET", "/").is(t, 200, "two")

	taken, err := net.Listen("tcp", g.ports["$LISTEN3"])
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g.save("listen: " + taken.Addr().String() + "\nroutes:\n- match: /\n  respond: 200 three\n")
	said(t, g.errs, "configuration not applied; the one before goes on serving", "address already in use")
	if text := g.errs.text(); strings.Count(text, "configuration applied") != 2 {
		t.Errorf("what does not serve is said to:\n%s", text)
	}
	g.ask("GET", "/").is(t, 200, "two")
	eventually(t, "it is a problem", func() bool {
		_, body := g.page("/problems")
		return strings.Contains(body, "the newest configuration is not in force")
	})
	// It is tried again.
	taken.Close()
	g.addr = taken.Addr().String()
	eventually(t, "the port that has become free is open", func() bool {
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	g.ask("GET", "/").is(t, 200, "three")
	eventually(t, "no problem is left", func() bool {
		_, body := g.page("/problems")
		return body == "[]\n"
	})
}

// TestProblemsOfCertificates: files that go bad are a problem until they are
// good again, also while the configuration changes.
func TestProblemsOfCertificates(t *testing.T) {
	t.Parallel()
	config := "listen: {address: 'https://$LISTEN', tls: {cert: a.crt, key: a.key}}\nroutes:\n- match: /\n  respond: 200\n"
	g := prepare(t, config)
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	tells := func(words ...string) func() bool {
		return func() bool {
			_, body := g.page("/problems")
			for _, w := range words {
				if !strings.Contains(body, w) {
					return false
				}
			}
			return len(words) > 0 || body == "[]\n"
		}
	}
	g.saveAs(filepath.Join(g.dir, "a.crt"), "nonsense")
	eventually(t, "the bad file is a problem", tells("bad-certificate", "a.crt", `"line": 1`))
	g.keys("a", 2, "a.example")
	eventually(t, "no problem is left", tells())
	g.saveAs(filepath.Join(g.dir, "a.crt"), "nonsense")
	g.save(config + "- {match: /b, respond: 200}\n")
	eventually(t, "the bad file is a problem of the new configuration", tells("not-opened", "the certificates from before go on serving"))
	g.keys("a", 3, "a.example")
	eventually(t, "no problem is left", tells())
	if got := g.serial("a.example"); got != 3 {
		t.Errorf("certificate %d", got)
	}
}
