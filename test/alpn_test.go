package test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServiceWithoutHTTP2: a TLS service that does not choose h2 is told nothing
// in HTTP/2; with protocol: auto it is spoken to as it wants.
func TestServiceWithoutHTTP2(t *testing.T) {
	t.Parallel()
	proto := func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }
	// The server names HTTP/1.1 only, as clients do that know only that.
	old := serveAs(t, h2, proto, func(s *http.Server) { s.Protocols = protocolsOf(h1) })
	new := serveAs(t, h2, proto)
	// This one does not know of ALPN at all.
	older := listen(t, "")
	server := &http.Server{Handler: http.HandlerFunc(proto), ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(tls.NewListener(older.ln, &tls.Config{Certificates: []tls.Certificate{pairOf(t, "inside.example")}})) //nolint:errcheck // it ends with the listener
	none := script(t, func(_ int, c *client) { _, _ = c.in.ReadString('\n') })
	g := start(t, "listen: $LISTEN\nlog: {format: json, file: access.log}\nroutes:\n- match: /must\n  to: must\n- match: /ought\n  to: ought\n- match: /might\n  to: might\n- match: /may\n  to: may\n- match: /both\n  to: both\n- match: /short\n  to: h2://"+none.addr+"\nservices:\n"+
		asService("must", h2, old)+asService("ought", h2, older)+
		"  might: {endpoints: '"+older.addr+"', protocol: auto, tls: {insecure: true}}\n"+
		"  may: {endpoints: '"+old.addr+"', protocol: auto, tls: {insecure: true}}\n"+
		"  both: {endpoints: '"+new.addr+"', protocol: auto, tls: {insecure: true}}\n")
	for range 3 {
		g.ask("GET", "/must").refused(t, 502, "upstream_tls")
		g.ask("GET", "/ought").refused(t, 502, "upstream_tls")
		g.ask("GET", "/might").is(t, 200, "HTTP/1.1")
		g.ask("GET", "/may").is(t, 200, "HTTP/1.1")
		g.ask("GET", "/both").is(t, 200, "HTTP/2.0")
		g.ask("POST", "/may").is(t, 200, "HTTP/1.1")
	}
	g.ask("GET", "/short").refused(t, 502, "upstream_tls")
	eventually(t, "failed handshakes are counted", func() bool {
		return g.metrics().value("naru_service_connect_failures_total", "reason", "upstream_tls") >= 7
	})
	g.stop(t)
	lines, err := os.ReadFile(filepath.Join(g.dir, "access.log"))
	if err != nil || strings.Count(string(lines), "does not choose HTTP/2") != 3 {
		t.Errorf("the log does not tell why: %v\n%s", err, lines)
	}
}
