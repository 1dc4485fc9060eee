package test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
)

// TestShopKilled ends each service of the demo shop with SIGKILL under load and
// starts it again: only what needs it fails meanwhile, and with a 502, 503 or
// 504; everything is served again afterwards, on the connections of before.
func TestShopKilled(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin, data := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./examples/shop/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	at := map[string]string{}
	for _, name := range []string{"storefront", "catalog", "orders", "payments"} {
		at[name] = "127.0.0.1:" + freeport.Hold(t)
	}
	running := map[string]*exec.Cmd{}
	launch := func(name string) {
		args := []string{"-listen", at[name]}
		switch name {
		case "storefront":
			args = append(args, "-catalog", "http://"+at["catalog"])
		case "orders":
			args = append(args, "-data", filepath.Join(data, "orders.db"), "-catalog", "http://"+at["catalog"], "-payments", "http://"+at["payments"])
		}
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running[name] = cmd
		eventually(t, name+" is ready", func() bool {
			res, err := http.Get("http://" + at[name] + "/healthz")
			if err == nil {
				res.Body.Close()
			}
			return err == nil && res.StatusCode == 200
		})
	}
	kill := func(name string) {
		_ = running[name].Process.Kill() // it runs until now
		_ = running[name].Wait()
	}
	for name := range at {
		launch(name)
	}
	t.Cleanup(func() {
		for name := range running {
			kill(name)
		}
	})
	g := start(t, `
listen: $LISTEN
routes:
  - {match: /, to: storefront}
  - {match: GET /api/catalog, to: catalog, rewrite: {prefix: /}, retry: 2, timeout: 30s}
  - {match: /api/orders, to: orders, rewrite: {prefix: /orders}, timeout: 60s}
services:
  storefront: [`+at["storefront"]+`]
  catalog: {endpoints: [`+at["catalog"]+`], health: {path: /healthz, interval: 50ms}}
  orders: {endpoints: [`+at["orders"]+`], health: {path: /healthz, interval: 50ms}}
`)
	order := func() int {
		c := g.dial()
		const body = `{"item":"lantern","quantity":1}`
		c.send(fmt.Sprintf("POST /api/orders HTTP/1.1\nHost: a\nContent-Type: application/json\nContent-Length: %d\n\n%s", len(body), body))
		return c.answer("POST").StatusCode
	}
	ask := map[string]func() int{
		"storefront": func() int { return g.ask("GET", "/").StatusCode },
		"catalog":    func() int { return g.ask("GET", "/api/catalog/items").StatusCode },
		"orders":     func() int { return g.ask("GET", "/api/orders").StatusCode },
		"payments":   order,
	}
	bad := func(status int) bool { return status == 502 || status == 503 || status == 504 }
	loads := map[string]*load{}
	for name, path := range map[string]string{"storefront": "/", "catalog": "/api/catalog/items", "orders": "/api/orders"} {
		loads[name] = g.load(2, func(l *load) {
			l.path = path
			l.good = func(a *answer) bool { return a.StatusCode == 200 || bad(a.StatusCode) }
		})
	}
	for _, name := range []string{"storefront", "catalog", "orders", "payments"} {
		if status := order(); status != 201 {
			t.Errorf("before %s is killed, an order gets %d", name, status)
		}
		kill(name)
		eventually(t, name+" is missed", func() bool { return bad(ask[name]()) })
		for other, l := range loads {
			if l.more(50); other != name {
				if status := ask[other](); status != 200 {
					t.Errorf("without %s, %s answers %d", name, other, status)
				}
			}
		}
		launch(name)
		eventually(t, name+" is back", func() bool { return ask[name]()/100 == 2 })
		for _, l := range loads {
			l.more(50)
		}
	}
	if status := order(); status != 201 {
		t.Errorf("in the end an order gets %d", status)
	}
	for _, l := range loads {
		l.stop()
		l.check()
	}
	if body := g.ask("GET", "/api/orders").body; strings.Count(body, "lantern") < 5 {
		t.Errorf("orders were lost: %s", body)
	}
}
