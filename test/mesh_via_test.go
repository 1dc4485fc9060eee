package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestMeshEgressGateway has workloads of one machine reach a server outside, of
// TLS, through a gateway on another machine: by mutual TLS up to there, and no
// other way. The gateway's policies say who may, by who asks and for what.
func TestMeshEgressGateway(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	a, b := m.at[0], m.at[1]
	outside := m.plane
	chain, key := certificate(t, 1, "api.partner.example")
	outside.file("partner.crt", chain)
	outside.file("partner.key", key)
	config := fmt.Sprintf(`mesh: {outbound: registered-only}
services:
  partner:
    endpoints: %[1]s:8443
    mesh: {port: 80, protocol: http, external: true, names: api.partner.example, via: egress}
    tls: {ca: %[2]s, serverName: api.partner.example}
  other:
    endpoints: %[1]s:8443
    mesh: {port: 80, protocol: http, external: true, names: api.other.example, via: egress}
    tls: {ca: %[2]s, serverName: api.partner.example}
  egress: {mesh: {port: 9080, protocol: http}}
policies:
- {name: way-out, to: egress, allow: web, hosts: api.partner.example}
`, outside.addr, outside.path("partner.crt"))
	// Nodes read the file where it is for the control plane: one file system.
	far := outside.start(nil, "python3", outside.file("server.py", `import http.server, ssl
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("%s for %s" % (self.headers["Host"], self.client_address[0])).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
tls = http.server.ThreadingHTTPServer(("`+outside.addr+`", 8443), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain("partner.crt", "partner.key")
tls.socket = c.wrap_socket(tls.socket, server_side=True)
print("listening", flush=True)
tls.serve_forever()
`))
	said(t, far.out, "listening")
	m.start(config)
	b.exec("--service", "egress", "--port", "9080", "--", binary, "run", b.file("egress.yaml", `listen: 127.0.0.1:9080
admin: "off"
routes:
- {match: {host: api.partner.example}, to: "http://api.partner.example"}
- {match: {host: api.other.example}, to: "http://api.other.example"}
`))
	outside.serving("egress", 1)
	s := m.sniff(secret)
	want := "200 api.partner.example for " + b.addr
	var got string
	eventually(t, "a workload reaches the server through the gateway", func() bool {
		got = a.curl("web", "http://api.partner.example/"+secret)
		return got == want
	})
	if s.packets.Load() < 10 || s.found.Load() != 0 {
		t.Errorf("of %d packets %d can be read", s.packets.Load(), s.found.Load())
	}
	said(t, m.nodes[1].out, `"source":"spiffe://naru.local/ns/default/sa/web"`, `"destination":"spiffe://naru.local/ns/default/sa/egress"`)
	for what, got := range map[string]string{
		"who may not":         a.curl("visitor", "http://api.partner.example/"),
		"where one may not":   a.curl("web", "http://api.other.example/"),
		"who may not, from b": b.curl("visitor", "http://api.partner.example/"),
	} {
		if !strings.HasPrefix(got, "403") {
			t.Errorf("%s: %s", what, got)
		}
	}
	said(t, m.nodes[1].out, `"reason":"policy_denied"`, "way-out", "sa/visitor")
	// Past the gateway there is no way.
	if got := a.curl("web", "https://"+outside.addr+":8443/", "-k"); strings.HasPrefix(got, "200") {
		t.Errorf("past the gateway: %s", got)
	}
}
