package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/test/freeport"
)

// headEcho answers with the head that it was sent, byte for byte.
func headEcho(t *testing.T) string {
	t.Helper()
	return serveConns(t, func(conn *net.TCPConn) {
		in := bufio.NewReader(conn)
		for {
			var head []byte
			for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
				line, err := in.ReadBytes('\n')
				if err != nil {
					return
				}
				head = append(head, line...)
			}
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(head), head); err != nil {
				return
			}
		}
	})
}

// TestMeshForward: what a caller says of who it is does not reach a workload in
// any spelling; what its proxy has proved does, where the service wants it.
func TestMeshForward(t *testing.T) {
	t.Parallel()
	const (
		admin  = "spiffe://naru.local/ns/shop/sa/admin"
		claims = "X-Forwarded-Client-Cert: Hash=66;URI=" + admin + "\r\nx-forwarded-client-cert: Hash=67\r\n" +
			"X_Forwarded_Client_Cert: a\r\nX-Forwarded_Client-Cert: b\r\nx_forwarded-client_CERT: c\r\nNaru_Passport: d\r\nX_Request-Id: e\r\n"
		kept = "x-forwarded-for: 192.0.2.1\r\nx-request-id: 7\r\nx_custom: f\r\nnaru_other: g\r\n"
		sent = "GET /a HTTP/1.1\r\nHost: orders\r\n" + claims + kept + "\r\n"
		bare = "GET /a HTTP/1.1\r\nHost: orders\r\n" + kept
	)
	for _, c := range []struct {
		name       string
		forward    bool
		plain      bool // the caller has no proxy
		sent, want string
	}{
		{"nobody is told", false, false, sent, bare + "\r\n"},
		{"the service is told", true, false, sent, bare + "X-Forwarded-Client-Cert: PROVED\r\n\r\n"},
		{"the service is told, and nothing was claimed", true, false, "GET /a HTTP/1.1\r\nHost: orders\r\n" + kept + "\r\n", bare + "X-Forwarded-Client-Cert: PROVED\r\n\r\n"},
		{"nobody has proved anything", true, true, sent, bare + "\r\n"},
		{"nobody is told in plaintext", false, true, sent, bare + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newMeshPair(t, headEcho(t), model.AppHTTP, func(p *meshPair) {
				p.called.Mesh.Forward = c.forward
				if c.plain {
					p.called.Mesh.MTLS, p.b.node.Plain = model.Permissive, number16(t, freeport.Hold(t))
				}
			})
			var conn net.Conn
			if c.plain {
				conn = p.b.dialPlain(fmt.Sprintf("127.0.0.1:%d", p.orders.Ports[0].Port))
			} else {
				conn = p.a.dial(p.to)
			}
			leaf := p.trust.have[storefront].Certificate[0]
			proved := fmt.Sprintf(`By=%s;Hash=%x;Subject="";URI=%s`, ordersID, sha256.Sum256(leaf), storefront)
			want := strings.ReplaceAll(c.want, "PROVED", proved)
			for range 2 { // again, on a connection that has carried one
				if status, body := ask(t, conn, c.sent); status != 200 || body != want {
					t.Errorf("%d\n%s\nand not\n%s", status, body, want)
				}
			}
		})
	}
	// In a tunnel a caller could write the head itself.
	for forward, status := range map[bool]string{false: "200", true: "400"} {
		p := newMeshPair(t, headEcho(t), model.AppHTTP, func(p *meshPair) { p.called.Mesh.Forward = forward })
		port := p.orders.Ports[0].Port
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: fmt.Sprintf("%d.orders-1.shop.mesh", port), NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*p.trust.have[storefront]}}
		if got := connectStatus(t, p.relay.addr, cfg, fmt.Sprintf("127.0.0.1:%d", port)); got != status {
			t.Errorf("a tunnel to a service that is told (%v): %s, not %s", forward, got, status)
		}
	}
}

// TestMeshForwardOfGateway: what a gateway says of its clients is passed on, as
// long as it is the gateway that says it.
func TestMeshForwardOfGateway(t *testing.T) {
	t.Parallel()
	for _, forward := range []bool{false, true} {
		p := newMeshPair(t, headEcho(t), model.AppHTTP, func(p *meshPair) {
			p.called.Mesh.Forward = forward
			p.b.gateway = map[string]bool{storefront: true}
		})
		r, err := http.NewRequest("GET", "https://orders/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Forwarded-Client-Cert": {"Hash=66", "Hash=67"}, "X_Forwarded_Client_Cert": {"a"}}
		_, client := p.speak(t)
		res, err := client.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		want := "X-Forwarded-Client-Cert: Hash=66, Hash=67\r\n"
		if forward {
			want = "X-Forwarded-Client-Cert: Hash=66, Hash=67, By=" + ordersID + ";Hash="
		}
		if res.StatusCode != 200 || err != nil || !strings.Contains(string(body), want) || strings.Contains(string(body), "_") {
			t.Errorf("%d %q, %v", res.StatusCode, body, err)
		}
		if forward {
			continue // there are no tunnels
		}
		// In a tunnel it may be a client of the gateway who speaks.
		if status, body := ask(t, p.tunnel(t), "GET /a HTTP/1.1\r\nHost: orders\r\nX-Forwarded-Client-Cert: Hash=66\r\n\r\n"); status != 200 || strings.Contains(body, "Hash") {
			t.Errorf("in a tunnel: %d %q", status, body)
		}
	}
}
