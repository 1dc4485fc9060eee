package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// nobody is a user without privileges.
const nobody = 65534

// unprivileged is a machine whose mesh and workloads are a user's who may
// capture nothing.
type unprivileged struct {
	*host
	program string // this one, where that user may run it
	run     *running
}

func newUnprivileged(t *testing.T, config string) *unprivileged {
	t.Helper()
	h := &unprivileged{host: newPlainHost(t)}
	h.give(nobody)
	h.program = h.path("program")
	if from := testProgram(t); os.Link(from, h.program) != nil {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(h.program, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h.file("mesh.yaml", config)
	h.begin()
	return h
}

// begin runs the mesh.
func (h *unprivileged) begin() {
	h.t.Helper()
	h.run = h.naru(as(nobody), "run", h.path("mesh.yaml"), "--node", h.name, "--address", "127.0.0.1", "--data", h.path("data"), "--control-socket", h.path("control.sock"), "--capture", "off", "--access-log", "json", "--drain", "2s")
}

// exec runs a workload of that user, as part of which this program acts.
func (h *unprivileged) exec(act string, args ...string) *running {
	h.t.Helper()
	return h.start(func(c *exec.Cmd) {
		as(nobody)(c)
		c.Env = append(c.Env, "NARU_TEST_ACT="+act, "PROGRAM="+h.program)
	}, binary, append([]string{"exec"}, args...)...)
}

// shell runs a script as a workload of an account to its end.
func (h *unprivileged) shell(account, script string, flags ...string) (int, string) {
	h.t.Helper()
	p := h.exec("", append(append([]string{"--account", account}, flags...), "--", "sh", "-c", script)...)
	status := p.ended()
	return status, p.out.text() + p.errs.text()
}

// TestMeshExplicit: without privileges HTTPS and what is not HTTP are carried
// by CONNECT and by local ports, as the workload, and under the same rules.
func TestMeshExplicit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	config := shopMesh + `  partner:
    endpoints: 127.0.0.2:8443
    mesh: {port: 443, external: true, names: api.partner.example}
`
	h := newUnprivileged(t, config)
	// Two servers of HTTPS that are no workloads: one is an external service.
	for addr, says := range map[string]string{"127.0.0.2:8443": "the partner", "127.0.0.3:8444": "a stranger"} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, says) }))
		if err := h.inside(func() (err error) {
			s.Listener.Close()
			s.Listener, err = net.Listen("tcp", addr)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		s.StartTLS()
		t.Cleanup(s.Close)
	}
	for name, flags := range map[string][]string{"orders": {"serve", "9102", "orders here"}, "chat": {"greet", "9104"}, "shy": {"greet", "9105"}} {
		h.exec(flags[0], append([]string{"--service", name, "--port", flags[1], "--", h.program}, flags[1:]...)...)
	}
	for _, name := range []string{"orders", "chat", "shy"} {
		h.serving(name, 1)
	}

	const curl = "curl -sSk -m 60 -w ' %{http_code} %{http_connect}' "
	for _, c := range []struct{ what, script, want string }{
		{"an external service", curl + "https://api.partner.example/", "the partner 200 200"},
		{"a stranger", curl + "https://127.0.0.3:8444/", "a stranger 200 200"},
		{"a service of the mesh, by a tunnel", curl + "-p http://orders:9102/", "orders here 200 200"},
		{"a service of the mesh, by a request", curl + "http://orders.default.mesh:9102/", "orders here 200 000"},
		{"without the password", curl + "-x ${HTTPS_PROXY%%naru:*}${HTTPS_PROXY##*@} https://api.partner.example/", "407"},
		{"nobody's name", curl + "https://nobody.default.mesh:9102/", "502"},
		{"Python", `command -v python3 >/dev/null || { echo the partner; exit; }
python3 -c "import ssl, urllib.request; print(urllib.request.urlopen('https://api.partner.example/', timeout=60, context=ssl._create_unverified_context()).read().decode())"`, "the partner"},
	} {
		if _, got := h.shell("web", c.script); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.what, got)
		}
	}
	said(t, h.run.out, `"source":"spiffe://naru.local/ns/default/sa/web"`, `"destination":"spiffe://naru.local/ns/default/sa/orders"`)

	// Servers that speak first, by ports of their own, declared and not.
	shy := h.exec("talk", "--account", "mail", "--reach", "shy.default:9105=17432", "--", "sh", "-c", `exec "$PROGRAM" "$NARU_REACH_SHY_DEFAULT"`)
	said(t, shy.out, "welcome")
	web := h.exec("talk", "--account", "web", "--reach", "chat:9104", "--reach", "later:9106", "--", "sh", "-c", `echo "at $NARU_REACH_CHAT"
"$PROGRAM" "$NARU_REACH_LATER" </dev/null
exec "$PROGRAM" "$NARU_REACH_CHAT"`)
	said(t, web.errs, "there is no service later:9106 yet")
	at, _ := web.out.await(func(line string) bool { return strings.HasPrefix(line, "at ") })
	said(t, web.out, "over:") // later is not there
	said(t, web.out, "welcome")
	fmt.Fprintln(web.in, "good day")
	said(t, web.out, "good day")

	// Nobody else may use them: not another user, not the same one, not another
	// of its workloads.
	chat := strings.TrimPrefix(strings.TrimSpace(at), "at ")
	borrow := func(addr string) string {
		conn, err := h.dial(addr)
		if err != nil {
			return ""
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	for _, addr := range []string{chat, "127.0.0.1:17432"} {
		if got := borrow(addr); got != "" {
			t.Errorf("root is told %q at %s", got, addr)
		}
		other := h.start(func(c *exec.Cmd) {
			as(nobody)(c)
			c.Env = append(c.Env, "NARU_TEST_ACT=talk")
		}, h.program, addr)
		if other.ended(); strings.Contains(other.out.text(), "welcome") {
			t.Errorf("the same user is told %q at %s", other.out.text(), addr)
		}
		other = h.exec("talk", "--account", "thief", "--", h.program, addr)
		if other.ended(); strings.Contains(other.out.text(), "welcome") {
			t.Errorf("another workload is told %q at %s", other.out.text(), addr)
		}
	}
	eventually(t, "all six are counted", func() bool { // each after the reset that it has seen
		return h.run.value("naru_refused_total", "reason", "outbound_unproven") >= 6
	})
	fmt.Fprintln(web.in, "still there")
	said(t, web.out, "still there")

	// What holds for the service holds for them, and so does what holds for strangers.
	h.run.change(strings.Replace(config, "mesh: {}", "mesh: {outbound: registered-only}", 1)+"policies:\n- {name: only-friends, to: chat, allow: friend}\n", "strangers are refused", func() bool {
		_, got := h.shell("web", curl+"https://127.0.0.3:8444/")
		return strings.Contains(got, "502")
	})
	if _, got := h.shell("web", curl+"https://api.partner.example/"); !strings.Contains(got, "the partner 200 200") {
		t.Errorf("an external service, where only such are let out to: %s", got)
	}
	if _, got := h.shell("web", curl+"-p http://chat:9104/"); !strings.Contains(got, "403") {
		t.Errorf("what a policy refuses: %s", got)
	}
	for account, may := range map[string]bool{"web": false, "friend": true} {
		p := h.exec("talk", "--account", account, "--reach", "chat:9104", "--", "sh", "-c", `exec "$PROGRAM" "$NARU_REACH_CHAT" </dev/null`)
		if may {
			said(t, p.out, "welcome")
		} else if p.ended(); strings.Contains(p.out.text(), "welcome") {
			t.Errorf("%s by a local port: %s", account, p.out.text())
		}
	}
	for _, c := range []struct{ flags, want string }{
		{"--reach db", "write the service and its port"},
		{"--reach db:5432=0", "from 1 to 65535"},
		{"--reach Db:5432", "lower case"},
		{"--reach db:5432=17432 --reach cache:6379=17432", "given twice"},
		{"--reach db:5432=9104", "local port 9104 is taken"},
		{"--reach db:5432=15008", "the proxy's own"},
		{"--reach a-b:1 --reach a.b:1", "NARU_REACH_A_B"},
	} {
		if status, got := h.shell("web", "true", strings.Fields(c.flags)...); status == 0 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.flags, status, got)
		}
	}
}

// TestMeshExplicitAgain: a proxy that is killed gives its successor's workloads
// the doors that they know; with the password alone nobody gets in there any
// more.
func TestMeshExplicitAgain(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	h := newUnprivileged(t, shopMesh)
	h.exec("serve", "--service", "orders", "--port", "9102", "--", h.program, "9102", "orders here")
	h.exec("greet", "--service", "chat", "--port", "9104", "--", h.program, "9104")
	h.serving("orders", 1)
	h.serving("chat", 1)
	web := h.exec("", "--account", "web", "--reach", "orders:9102", "--reach", "chat:9104=17433", "--", "sh", "-c", `echo "proxy=$HTTPS_PROXY"
while read -r line; do
  curl -sS -m 60 -p http://orders:9102/; echo " tunnel"
  curl -sS -m 60 http://$NARU_REACH_ORDERS/; echo " port"
  curl -sS -m 60 http://orders/; echo " request"
done`)
	line, _ := web.out.await(func(line string) bool { return strings.HasPrefix(line, "proxy=") })
	proxy := strings.TrimPrefix(strings.TrimSpace(line), "proxy=")
	ask := func() {
		t.Helper()
		fmt.Fprintln(web.in, "ask")
		for _, how := range []string{"tunnel", "port", "request"} {
			said(t, web.out, "orders here "+how)
		}
	}
	ask()
	if err := h.run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.run.done
	said(t, web.errs, "proxy is gone")
	h.begin()
	said(t, web.errs, "proxy is back")
	h.serving("orders", 1)
	ask()
	thief := h.start(as(nobody), "curl", "-sS", "-m", "60", "-x", proxy, "http://orders:9102/")
	if status := thief.ended(); status == 0 || strings.Contains(thief.out.text(), "orders here") {
		t.Errorf("who has the password gets in: %d %s", status, thief.out.text())
	}
	eventually(t, "somebody is counted as refused", func() bool { // after the reset that he has seen
		return h.run.value("naru_refused_total", "reason", "outbound_unproven") > 0
	})
}
