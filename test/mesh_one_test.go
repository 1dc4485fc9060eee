package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// shopMesh is a mesh of some services on one machine. Those of which tests want
// more than an answer declare what they speak: the rest is found out, if the
// client is not put aside for 100 ms before it speaks.
const shopMesh = `mesh: {}
listen: 127.0.0.1:8080
routes:
- {match: /, to: orders}
services:
  orders: {mesh: {port: 9102, protocol: http}}
  payments: {mesh: {port: 9103, protocol: http}}
  chat: {mesh: {port: 9104, protocol: tcp}}
  front: {mesh: 80}
`

// TestMeshOneMachine has programs in several languages call a service by each
// of its names, unchanged.
func TestMeshOneMachine(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	run := h.mesh(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)

	for _, name := range []string{"orders", "orders.default", "orders.default.mesh"} {
		if got := h.curl("web", "http://"+name+":9102/"); got != "200 orders here" {
			t.Errorf("curl of %s: %s", name, got)
		}
	}
	for program, code := range map[string][]string{
		"python3": {"-c", "import urllib.request; print(urllib.request.urlopen('http://orders:9102/', timeout=60).read().decode())"},
		"node":    {"-e", "require('http').get('http://orders:9102/', r => r.on('data', d => console.log('' + d)))"},
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s is not installed", program)
			continue
		}
		if status, out := h.output(append([]string{"--account", "web", "--", program}, code...)...); status != 0 || strings.TrimSpace(out) != "orders here" {
			t.Errorf("%s: %d %q", program, status, out)
		}
	}
	// A service may be called at another port than its workloads serve.
	h.perform([]string{"--service", "front", "--port", "9180"}, "serve", "9180", "front here")
	h.serving("front", 1)
	if got := h.curl("web", "http://front/"); got != "200 front here" {
		t.Errorf("curl of front: %s", got)
	}
	// From outside by the gateway of the same process, and not past it.
	if status, body, err := h.get("http://127.0.0.1:8080/"); status != 200 || body != "orders here" {
		t.Errorf("by the gateway: %d %q %v", status, body, err)
	}
	if status, body, err := h.get("http://127.0.0.1:9102/"); err == nil {
		t.Errorf("plaintext to a strict service: %d %q", status, body)
	}
	// Every call was by mutual TLS, and both ends are told.
	said(t, run.out, `"source":"spiffe://naru.local/ns/default/sa/web"`, `"destination":"spiffe://naru.local/ns/default/sa/orders"`)
	said(t, run.out, `"source":"spiffe://naru.local/ns/default/sa/gateway"`, `"destination":"spiffe://naru.local/ns/default/sa/orders"`)
	s := h.status()
	if len(s.Proxies) != 1 || s.Proxies[0].Node != h.name || s.Proxies[0].Configuration != s.Configuration || s.Proxies[0].Next.IsZero() {
		t.Errorf("naru status shows the proxies %+v", s.Proxies)
	}
}

// TestMeshServerFirst has connections carried of which the server speaks
// first, declared and not.
func TestMeshServerFirst(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(shopMesh)
	h.perform([]string{"--service", "chat", "--port", "9104"}, "greet", "9104")
	h.perform([]string{"--service", "shy", "--port", "9105"}, "greet", "9105")
	h.serving("chat", 1)
	h.serving("shy", 1)
	for _, addr := range []string{"chat:9104", "shy:9105"} {
		p := h.perform([]string{"--account", "web"}, "talk", addr)
		said(t, p.out, "welcome")
		fmt.Fprintln(p.in, "good day")
		said(t, p.out, "good day")
		p.in.Close()
	}
}

// TestMeshPostgres has psql talk with a database, both in the mesh.
func TestMeshPostgres(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if _, err := exec.LookPath("psql"); err != nil || len(programs) == 0 {
		t.Skip("PostgreSQL is not installed")
	}
	if _, err := exec.LookPath("su"); err != nil {
		t.Skip("su is not installed")
	}
	h.mesh("mesh: {}\nservices:\n  db: {mesh: {port: 5432, protocol: tcp}}\n")
	script := fmt.Sprintf(`set -e
mkdir %[1]s/db && chown postgres %[1]s/db
exec su postgres -s /bin/sh -c "%[2]s/initdb -D %[1]s/db/data -A trust -U postgres -N --locale C >/dev/null && exec %[2]s/postgres -D %[1]s/db/data -h 127.0.0.1 -k %[1]s/db -F"`, h.dir, filepath.Dir(programs[0]))
	h.exec("--service", "db", "--port", "5432", "--", "sh", "-c", script)
	h.serving("db", 1)
	const rows = 20_000
	status, out := h.output("--account", "web", "--", "psql", "-X", "-q", "-A", "-t", "-h", "db", "-U", "postgres", "-c",
		fmt.Sprintf("select i, repeat('naru', 20) from generate_series(1, %d) i", rows))
	if status != 0 || strings.Count(out, "\n") != rows {
		t.Errorf("psql: %d, %d lines: %.300s", status, strings.Count(out, "\n"), out)
	}
	// By a local port, where its connections are not captured.
	status, out = h.output("--account", "web", "--capture", "explicit", "--reach", "db:5432=25432", "--", "psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", "25432", "-U", "postgres", "-c", "select 6 * 7")
	if status != 0 || strings.TrimSpace(out) != "42" {
		t.Errorf("psql by a local port: %d %s", status, out)
	}
}

// TestMeshExec: exit statuses, signals, and jobs that end.
func TestMeshExec(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(shopMesh)
	for code, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 128 + 9} {
		if status, out := h.output("--account", "job", "--", "sh", "-c", code); status != want {
			t.Errorf("%s: exit status %d\n%s", code, status, out)
		}
	}
	if status, out := h.output("--account", "job", "--", "no-such-program"); status == 0 || !strings.Contains(out, "no-such-program") {
		t.Errorf("no such program: %d %s", status, out)
	}
	p := h.exec("--account", "job", "--", "sh", "-c", `trap 'echo hup' HUP; trap 'echo usr1; exit 3' USR1; echo ready; while :; do sleep 0.05; done`)
	said(t, p.out, "ready")
	p.signal(syscall.SIGHUP)
	said(t, p.out, "hup")
	p.signal(syscall.SIGUSR1)
	said(t, p.out, "usr1")
	if status := p.ended(); status != 3 {
		t.Errorf("exit status %d", status)
	}
	// What is said to it it hears, and how it is called is told.
	p = h.exec("--account", "job", "--instance", "nightly", "--", "sh", "-c", `read x; echo "$NARU_WORKLOAD heard $x"`)
	fmt.Fprintln(p.in, "this")
	said(t, p.out, "default/nightly heard this")
	p.ended()
	eventually(t, "jobs that have ended are forgotten", func() bool { return !h.knows("default/job-") && !h.knows("default/nightly") })
}

// TestMeshDrain ends one of two instances under load: nobody notices, and what
// had begun ends well.
func TestMeshDrain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(shopMesh)
	one := h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "one")
	h.serving("orders", 1)
	held := h.exec("--account", "web", "--", "curl", "-sS", "http://orders:9102/held")
	said(t, one.out, "held")
	h.perform([]string{"--service", "orders", "--port", "9202"}, "serve", "9202", "two")
	h.serving("orders", 2)
	load := h.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/")
	said(t, load.out, "warm")
	one.signal(syscall.SIGTERM)
	if status := one.ended(); status != 0 {
		t.Errorf("exit status %d:\n%s%s", status, one.out.text(), one.errs.text())
	}
	if status := held.ended(); status != 0 || held.out.text() != "one to the end" {
		t.Errorf("what had begun: %d %q %s", status, held.out.text(), held.errs.text())
	}
	h.serving("orders", 1)
	load.signal(syscall.SIGTERM)
	load.ended()
	if text := load.out.text(); !regexp.MustCompile(`good \d{3,} bad 0\n`).MatchString(text) {
		t.Errorf("the load:\n%s", text)
	}
}

// TestMeshProxyEnds kills the proxy, and stops it as operators do: nothing
// passes by it while it is gone, and a successor takes the workloads over.
func TestMeshProxyEnds(t *testing.T) {
	t.Parallel()
	for how, sig := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGTERM} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			endProxy(t, sig)
		})
	}
}

func endProxy(t *testing.T, sig syscall.Signal) {
	h := newHost(t)
	run := h.mesh(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	web := h.surfer()
	fmt.Fprintln(web.in, "http://orders:9102/")
	said(t, web.out, "orders here (0)")

	h.ip("addr add 192.0.2.1/32 dev lo")
	h.stranger("192.0.2.1:9300", "far away")
	fmt.Fprintln(web.in, "http://192.0.2.1:9300/")
	said(t, web.out, "far away (0)")

	run.signal(sig)
	run.ended()
	stranger, err := h.ask("127.0.0.1:9102")
	if err == nil {
		t.Errorf("while the proxy is away a stranger reads %q", stranger)
	}
	fmt.Fprintln(web.in, "http://192.0.2.1:9300/")
	said(t, web.out, "(7)") // refused: connections are not made past the proxy
	// Whoever takes the ports of the mesh DNS is not asked.
	asked := h.takeNames()
	fmt.Fprintln(web.in, "http://orders:9102/")
	said(t, web.out, "(6)")
	if n := asked(); n != 0 {
		t.Errorf("%d queries came to a stranger", n)
	}

	h.mesh(shopMesh)
	h.serving("orders", 1)
	eventually(t, "the workload calls as before", func() bool {
		fmt.Fprintln(web.in, "http://orders:9102/")
		line, _ := web.out.await(func(line string) bool { return strings.Contains(line, "(") })
		return strings.Contains(line, "orders here (0)")
	})
}

// takeNames binds the ports at which the mesh DNS was, and gives how much has
// come there; then they are free again.
func (h *host) takeNames() func() int {
	h.t.Helper()
	var came atomic.Int32
	var all []net.PacketConn
	var reading sync.WaitGroup
	for port := 954; port <= 956; port++ {
		err := h.inside(func() error {
			u, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
			all = append(all, u)
			return err
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	for _, u := range all {
		reading.Go(func() {
			for {
				if _, _, err := u.ReadFrom(make([]byte, 512)); err != nil {
					return
				}
				came.Add(1)
			}
		})
	}
	return func() int {
		for _, u := range all {
			u.Close()
		}
		reading.Wait()
		return int(came.Load())
	}
}

// TestMeshSecondInstance: a second process on the same machine says what of the
// first is in its way.
func TestMeshSecondInstance(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh("mesh: {}\n")
	second := func(flags ...string) string {
		p := h.start(nil, binary, append([]string{"run", h.path("mesh.yaml"), "--admin", "off", "--address", "127.0.0.1"}, flags...)...)
		if status := p.ended(); status != 1 {
			t.Errorf("%v: exit status %d", flags, status)
		}
		return p.errs.text()
	}
	sock := []string{"--socket", h.path("b/node.sock"), "--control-socket", h.path("b/control.sock"), "--capture-scope", h.scope + "b"}
	if out := second("--socket", h.path("node.sock"), "--capture-scope", h.scope+"b", "--control-socket", h.path("b/control.sock")); !strings.Contains(out, "another naru serves there") {
		t.Errorf("the same socket:\n%s", out)
	}
	if out := second(append(sock, "--data", h.path("data"))...); !strings.Contains(out, "--data") && !strings.Contains(out, "another") {
		t.Errorf("the same data:\n%s", out)
	}
	h.exec("--service", "orders", "--port", "9102", "--", "sleep", "60")
	eventually(t, "the workload is there", func() bool { return h.knows("default/orders-") })
	if status, out := h.output("--service", "other", "--port", "9102", "--", "true"); status == 0 || !strings.Contains(out, "port 9102 is that of default/orders-") {
		t.Errorf("the same port: %d %s", status, out)
	}
}

// TestMeshUsers: who is not root runs what bears his name, or what he was given.
func TestMeshUsers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(shopMesh, "--allow", "nobody=web")
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	for account, may := range map[string]bool{"nobody": true, "web": true, "payments": false} {
		p := h.execAs(as(nobody), "--account", account, "--", "id", "-u")
		status := p.ended()
		if may && (status != 0 || p.out.text() != "65534\n") {
			t.Errorf("%s: %d %s%s", account, status, p.out.text(), p.errs.text())
		}
		if !may && (status != 1 || !strings.Contains(p.errs.text(), "user nobody may not run workloads of account payments: start the proxy with --allow nobody=payments")) {
			t.Errorf("%s: %d %s", account, status, p.errs.text())
		}
	}
	p := h.start(as(nobody), binary, "token", "create", "--node", "x", "--any", "--socket", h.path("control.sock"))
	if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), "only the user who runs it may ask") {
		t.Errorf("a token for nobody: %d %s", status, p.errs.text())
	}
}

// TestMeshUnprivileged runs all of it by a user who may capture nothing.
func TestMeshUnprivileged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.give(nobody)
	file := h.file("mesh.yaml", shopMesh)
	run := h.naru(as(nobody), "run", file, "--address", "127.0.0.1", "--data", h.path("data"))
	said(t, run.errs, "workloads are served", "HTTP_PROXY")
	exec := func(args ...string) *running { // each finds the other where users' sockets are
		return h.start(as(nobody), binary, append([]string{"exec"}, args...)...)
	}
	exec("--service", "orders", "--port", "9102", "--", "sh", "-c", "exec python3 -m http.server 9102 -d / --bind 127.0.0.1")
	web := func() (int, string) {
		p := exec("--account", "web", "--", "curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", "http://orders:9102/")
		return p.ended(), p.out.text() + p.errs.text()
	}
	var out string
	eventually(t, "the service answers by the proxy of the environment", func() bool {
		_, out = web()
		return strings.Contains(out, "200")
	})
	if !strings.Contains(out, "traffic is not captured") {
		t.Errorf("it is not said that nothing is captured: %s", out)
	}
}

// TestMeshIPv6 has workloads call services and strangers by IPv6, as they do by
// IPv4.
func TestMeshIPv6(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if _, err := h.dial("[::1]:1"); err != nil && !strings.Contains(err.Error(), "refused") {
		t.Skipf("there is no IPv6 here: %v", err)
	}
	h.ip("addr add fd00::77/128 dev lo")
	h.mesh(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	if got := h.curl("web", "http://orders:9102/", "-6"); got != "200 orders here" {
		t.Errorf("a service by IPv6: %s", got)
	}
	if got := h.curl("web", "http://orders:9102/", "-4"); got != "200 orders here" {
		t.Errorf("a service by IPv4: %s", got)
	}
	if got := h.curl("web", "http://[fd00::77]:8480/"); !strings.HasPrefix(got, "502") && !strings.Contains(got, "Failed to connect") && !strings.Contains(got, "reset") && !strings.Contains(got, "Empty reply") {
		t.Errorf("a stranger that is not there: %s", got)
	}
	h.start(acting("serve"), testProgram(t), "8480", "a stranger")
	eventually(t, "a stranger answers by IPv6", func() bool { return h.curl("web", "http://[fd00::77]:8480/") == "200 a stranger" })
	if n := strings.Count(h.curl("web", "http://orders:9102/", "-6", "-v"), "fd6e:6172:7501:"); n == 0 {
		t.Error("it was not asked by an IPv6 address of the mesh")
	}
}

// TestMeshDomain: names end as the configuration says.
func TestMeshDomain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(strings.Replace(shopMesh, "mesh: {}", "mesh: {domain: inside.example}", 1))
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	for _, name := range []string{"orders", "orders.default", "orders.default.inside.example"} {
		if got := h.curl("web", "http://"+name+":9102/"); got != "200 orders here" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
