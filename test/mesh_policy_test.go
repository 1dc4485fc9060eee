package test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/capture"
)

// TestMeshPolicies writes policies one after the other and asks who gets
// through, and how that is told.
func TestMeshPolicyDecides(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	run := h.mesh(shopMesh + "policies:\n- {name: only-orders, to: payments, allow: orders, tell: true}\n")
	h.perform([]string{"--service", "payments", "--port", "9103"}, "serve", "9103", "paid")
	h.serving("payments", 1)
	if got := h.curl("orders", "http://payments:9103/pay"); got != "200 paid" {
		t.Errorf("orders: %s", got)
	}
	if got := h.curl("web", "http://payments:9103/pay"); !strings.HasPrefix(got, "403 ") || !strings.Contains(got, "default/only-orders") || !strings.Contains(got, "policy_denied") {
		t.Errorf("web: %s", got)
	}
	said(t, run.out, `"reason":"policy_denied"`, "default/only-orders", `"source":"spiffe://naru.local/ns/default/sa/web"`)
	run.counted(1, "naru_policy_decisions_total", "policy", "default/only-orders", "result", "refused")
	// The gateway may as little as any other.
	if got := h.curl("gateway", "http://payments:9103/"); !strings.HasPrefix(got, "403 ") {
		t.Errorf("the gateway: %s", got)
	}

	for _, c := range []struct{ what, policies, account, method, want, counted string }{
		{"deny goes first", "{name: a, to: payments, allow: '*'}, {name: b, to: payments, deny: web}", "web", "GET", "403", "refused"},
		{"deny is for whom it names", "{name: a, to: payments, allow: '*'}, {name: b, to: payments, deny: web, ports: [9103]}", "orders", "GET", "200", "allowed"},
		{"dry run lets through", "{name: dry, to: payments, allow: orders, dryRun: true}", "web", "GET", "200", "would_refuse"},
		{"audit lets through", "{name: seen, to: payments, audit: web}", "web", "GET", "200", "audited"},
		{"a method", "{name: m, to: payments, allow: web, methods: POST}", "web", "GET", "403", "refused"},
		{"another method", "{name: m, to: payments, allow: web, methods: [POST, PUT], paths: /pay/*}", "web", "POST", "403", "refused"},
		{"method and path", "{name: m, to: payments, allow: web, methods: POST, paths: '/*'}", "web", "POST", "200", "allowed"},
		{"nobody", "{name: none, to: payments, allow: []}", "orders", "GET", "403", "refused"},
		{"every workload", "{name: all, to: '*', deny: web}", "web", "GET", "403", "refused"},
	} {
		// What is in force is told by the number of policies; the version differs.
		before := h.status().Configuration
		run.change(shopMesh+"policies: ["+c.policies+"]\n", "the policy is in force: "+c.what, func() bool {
			s := h.status()
			return s.Configuration != before && s.Proxies[0].Configuration == s.Configuration
		})
		if got := h.curl(c.account, "http://payments:9103/", "-X", c.method); !strings.HasPrefix(got, c.want+" ") {
			t.Errorf("%s: %s", c.what, got)
		}
		eventually(t, c.what+" is counted as "+c.counted, func() bool { return run.value("naru_policy_decisions_total", "result", c.counted) > 0 })
	}
}

func linesWith(text, what string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) && line[0] != '#' {
			all.WriteString(line)
		}
	}
	return all.String()
}

// TestMeshPolicyOpenConnection ends a connection that a new policy forbids, and
// no other.
func TestMeshPolicyOpenConnection(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	run := h.mesh(shopMesh)
	h.perform([]string{"--service", "chat", "--port", "9104"}, "greet", "9104")
	h.serving("chat", 1)
	web := h.perform([]string{"--account", "web"}, "talk", "chat:9104")
	said(t, web.out, "welcome")
	orders := h.perform([]string{"--account", "orders"}, "talk", "chat:9104")
	said(t, orders.out, "welcome")
	h.file("mesh.yaml", shopMesh+"policies:\n- {name: only-orders, to: chat, allow: orders}\n")
	said(t, web.out, "over:")
	eventually(t, "the end of a connection is counted", func() bool {
		return run.value("naru_policy_decisions_total", "policy", "default/only-orders") > 0
	})
	fmt.Fprintln(orders.in, "still there")
	said(t, orders.out, "still there")
	// A new one ends before the server has said anything.
	late := h.perform([]string{"--account", "web"}, "talk", "chat:9104")
	late.ended()
	if strings.Contains(late.out.text(), "welcome") {
		t.Errorf("a stranger heard %q", late.out.text())
	}
}

// TestMeshModes lets plaintext in as the mode says, and counts who still uses
// it.
func TestMeshModes(t *testing.T) {
	t.Parallel()
	for _, method := range []capture.Method{capture.EBPF, capture.Nftables} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			modes(t, method)
		})
	}
}

func modes(t *testing.T, method capture.Method) {
	h := newHostBy(t, method)
	run := h.mesh(`mesh: {mtls: permissive}
services:
  open: {mesh: {port: 9102}}
  closed: {mesh: {port: 9103, mtls: strict}}
  plain: {mesh: {port: 9104, mtls: "off"}}
`, "--capture", string(method))
	for name, port := range map[string]string{"open": "9102", "closed": "9103", "plain": "9104"} {
		h.perform([]string{"--service", name, "--port", port}, "serve", port, name)
		h.serving(name, 1)
	}
	for name, port := range map[string]string{"open": "9102", "plain": "9104", "closed": "9103"} {
		_, body, err := h.get("http://127.0.0.1:" + port + "/")
		if (name == "closed") != (err != nil) || err == nil && body != name {
			t.Errorf("plaintext to %s: %q %v", name, body, err)
		}
		if got := h.curl("web", "http://"+name+":"+port+"/"); got != "200 "+name {
			t.Errorf("from the mesh to %s: %s", name, got)
		}
	}
	eventually(t, "who comes without identity is counted", func() bool { return run.value("naru_mesh_plaintext_total", "service", "open") == 1 })
	if text := linesWith(run.page("/metrics"), "naru_mesh_plaintext"); !strings.Contains(text, "127.0.0.1") {
		t.Errorf("the callers that remain are not told:\n%s", text)
	}
	said(t, run.errs, "was refused (mtls: strict)", `"service":"closed"`, `"caller":"127.0.0.1"`)
	eventually(t, "refused plaintext is counted by caller", func() bool {
		return run.value("naru_mesh_plaintext_refused_total", "service", "closed", "caller", "127.0.0.1") > 0
	})
	run.change("mesh: {mtls: strict}\nservices:\n  open: {mesh: {port: 9102}}\n", "plaintext is refused when it is strict", func() bool {
		_, _, err := h.get("http://127.0.0.1:9102/")
		return err != nil
	})
	if got := h.curl("web", "http://open:9102/"); got != "200 open" {
		t.Errorf("from the mesh: %s", got)
	}
}

// TestMeshEgress: strangers only where the mesh says so, and others by name.
func TestMeshEgress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ip("addr add 192.0.2.1/32 dev lo")
	chain, key := certificate(t, 1, "api.partner.example")
	h.file("partner.crt", chain)
	h.file("partner.key", key)
	config := `mesh: {outbound: %s}
services:
  partner:
    endpoints: 192.0.2.1:8443
    mesh: {port: 80, external: true, names: api.partner.example}
    tls: {ca: partner.crt, serverName: api.partner.example}
`
	run := h.mesh(fmt.Sprintf(config, "allow"))
	file := h.file("server.py", `import http.server, ssl, threading
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"far away"
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
plain = http.server.ThreadingHTTPServer(("192.0.2.1", 8000), H)
threading.Thread(target=plain.serve_forever, daemon=True).start()
tls = http.server.ThreadingHTTPServer(("192.0.2.1", 8443), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain("partner.crt", "partner.key")
tls.socket = c.wrap_socket(tls.socket, server_side=True)
print("listening", flush=True)
tls.serve_forever()
`)
	far := h.start(nil, "python3", file)
	said(t, far.out, "listening")
	if got := h.curl("web", "http://192.0.2.1:8000/"); got != "200 far away" {
		t.Errorf("a stranger, where that is allowed: %s", got)
	}
	for _, name := range []string{"api.partner.example", "partner"} {
		if got := h.curl("web", "http://"+name+"/"); got != "200 far away" {
			t.Errorf("%s, by TLS that the proxy makes: %s", name, got)
		}
	}
	run.change(fmt.Sprintf(config, "registered-only"), "strangers are refused", func() bool {
		return !strings.HasPrefix(h.curl("web", "http://192.0.2.1:8000/"), "200")
	})
	said(t, run.out, `"reason":"`, "outbound")
	if got := h.curl("web", "http://api.partner.example/"); got != "200 far away" {
		t.Errorf("who is registered: %s", got)
	}
}

// TestMeshWorkloadAPI has go-spiffe's client ask for its identity: who is a
// workload gets its own, others none.
func TestMeshWorkloadAPI(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh("mesh: {trustDomain: shop.example}\n")
	p := h.perform([]string{"--account", "reader", "--namespace", "shop"}, "svid")
	if status := p.ended(); status != 0 || p.out.text() != "spiffe://shop.example/ns/shop/sa/reader\n" {
		t.Errorf("a workload: %d %q %s", status, p.out.text(), p.errs.text())
	}
	stranger := h.start(func(c *exec.Cmd) {
		acting("svid")(c)
		c.Env = append(c.Env, "SPIFFE_ENDPOINT_SOCKET=unix://"+h.path("workload.sock"))
	}, testProgram(t))
	if status := stranger.ended(); status == 0 || strings.Contains(stranger.out.text(), "spiffe://") {
		t.Errorf("a stranger: %d %q", status, stranger.out.text())
	}
}
