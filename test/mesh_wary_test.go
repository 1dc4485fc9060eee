package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
)

// passportCheck knows one passport.
type passportCheck struct{}

var keyPassport = wire.KeyOf("Naru-Passport") // made once: requests allocate nothing

func (passportCheck) OnRequest(x *filter.Exchange) filter.Verdict {
	said, there := x.Request.Get(keyPassport)
	if there && string(said) != "good" {
		x.Refuse(observe.BadPassport)
		return filter.Answer
	}
	return filter.Continue
}

// tunnelled is a tunnel of HTTP/2 that a test has asked a machine for.
type tunnelled struct {
	net.Conn
	in  io.Reader
	out io.WriteCloser
}

func (c tunnelled) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c tunnelled) Write(b []byte) (int, error) { return c.out.Write(b) }

// speak begins a connection to the proxy of orders, as the storefront.
func (p *meshPair) speak(t *testing.T) (net.Conn, http.RoundTripper) {
	t.Helper()
	port := p.orders.Ports[0].Port
	cfg := &tls.Config{
		InsecureSkipVerify: true, ServerName: fmt.Sprintf("%d.orders-1.shop.mesh", port), NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{*p.trust.have[storefront]},
	}
	raw, err := tls.Dial("tcp", p.relay.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	client := &http.Transport{Protocols: new(http.Protocols), DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return raw, nil }}
	client.Protocols.SetHTTP2(true)
	return raw, client
}

// tunnel opens one to orders, as the storefront.
func (p *meshPair) tunnel(t *testing.T) net.Conn {
	t.Helper()
	raw, client := p.speak(t)
	in, out := io.Pipe()
	t.Cleanup(func() { out.Close() })
	to := fmt.Sprintf("127.0.0.1:%d", p.orders.Ports[0].Port)
	r := &http.Request{Method: "CONNECT", URL: &url.URL{Scheme: "https", Host: to}, Host: to, Header: http.Header{}, Body: in, ContentLength: -1}
	res, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		t.Fatalf("the tunnel is not granted: %d", res.StatusCode)
	}
	return tunnelled{raw, res.Body, out}
}

// TestMeshTunnelTellsNothing: in a tunnel, and by plaintext behind whatever a
// server reads over, a caller can say no more of who it is than in a request.
func TestMeshTunnelTellsNothing(t *testing.T) {
	t.Parallel()
	const (
		fields = "Host: orders\r\nX-Forwarded-Client-Cert: Hash=66\r\nX_Forwarded_Client_Cert: a\r\nNaru_Passport: b\r\nx-custom: c\r\nx-request-id: 7\r\n\r\n"
		bare   = "GET /a HTTP/1.1\r\nHost: orders\r\nx-custom: c\r\nx-request-id: 7\r\n\r\n"
	)
	for _, c := range []struct {
		name     string
		protocol model.AppProtocol
		plain    bool
		sent     []string // with a pause in between
		status   int
		want     string
	}{
		{"declared", model.AppHTTP, false, []string{"GET /a HTTP/1.1\r\n" + fields}, 200, bare},
		{"undeclared", model.AppDetect, false, []string{"GET /a HTTP/1.1\r\n" + fields}, 200, bare},
		{"declared, behind an empty line", model.AppHTTP, false, []string{"\r\nGET /a HTTP/1.1\r\n" + fields}, 200, bare},
		{"undeclared, behind an empty line", model.AppDetect, false, []string{"\r\nGET /a HTTP/1.1\r\n" + fields}, 200, bare},
		{"undeclared, in pieces", model.AppDetect, false, []string{"\r", "\nGE", "T /a HT", "TP/1.1\r\n" + fields}, 200, bare},
		{"undeclared, with a tab", model.AppDetect, false, []string{"GET\t/a HTTP/1.1\r\n" + fields}, 400, ""},
		{"plaintext, undeclared, behind an empty line", model.AppDetect, true, []string{"\r\nGET /a HTTP/1.1\r\n" + fields}, 200, bare},
		{"bytes", model.AppTCP, false, []string{"GET /a HTTP/1.1\r\n" + fields}, 200, "GET /a HTTP/1.1\r\n" + fields},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newMeshPair(t, headEcho(t), c.protocol, func(p *meshPair) {
				if c.plain {
					p.called.Mesh.MTLS, p.b.node.Plain = model.Permissive, number16(t, freeport.Hold(t))
				}
			})
			var conn net.Conn
			if c.plain {
				conn = p.b.dialPlain(fmt.Sprintf("127.0.0.1:%d", p.orders.Ports[0].Port))
			} else {
				conn = p.tunnel(t)
			}
			for _, part := range c.sent[:len(c.sent)-1] {
				if _, err := io.WriteString(conn, part); err != nil {
					t.Fatal(err)
				}
			}
			status, body := ask(t, conn, c.sent[len(c.sent)-1])
			if status != c.status || c.want != "" && body != c.want {
				t.Fatalf("%d\n%q\nand not\n%q", status, body, c.want)
			}
			if status != 200 {
				return
			}
			if status, body = ask(t, conn, "GET /a HTTP/1.1\r\n"+fields); status != 200 || body != c.want {
				t.Errorf("the next: %d\n%q\nand not\n%q", status, body, c.want)
			}
		})
	}
}

// TestMeshTunnelCarriesBytes: what is not HTTP passes as it is, also what is held
// until that is known, and a server that speaks first is not waited for.
func TestMeshTunnelCarriesBytes(t *testing.T) {
	t.Parallel()
	for _, hello := range []string{"", "220 ready\r\n"} {
		p := newMeshPairWaiting(t, waitFor(hello), echoing(t, hello), model.AppDetect, nil)
		conn := p.tunnel(t)
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != hello {
			t.Fatalf("%q, %v", got, err)
		}
		for _, sent := range []string{"EHLO", " me\r\n", "GET /a HTTP/1.1\r\n\r\n"} {
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
		}
		const all = "EHLO me\r\nGET /a HTTP/1.1\r\n\r\n"
		got = make([]byte, len(all))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != all {
			t.Errorf("%q, %v", got, err)
		}
	}
	// The end of what could have been a request passes too.
	p := newMeshPair(t, echoing(t, ""), model.AppDetect, nil)
	conn := p.tunnel(t).(tunnelled)
	if _, err := io.WriteString(conn, "GET /a"); err != nil {
		t.Fatal(err)
	}
	conn.out.Close()
	if got, err := io.ReadAll(conn); string(got) != "GET /a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestMeshCallerTellsNothing: the caller's proxy takes off what a workload makes
// up, for services that have no proxy, and lets no forged passport go on; what
// leaves the mesh has none.
func TestMeshCallerTellsNothing(t *testing.T) {
	t.Parallel()
	const claims = "X-Forwarded-Client-Cert: Hash=66\r\nX_Forwarded_Client_Cert: a\r\nNaru_Passport: b\r\n"
	for _, c := range []struct {
		name               string
		explicit, external bool
		passport           string
		status             int
		kept               bool
	}{
		{"a service without a proxy", false, false, "good", 200, true},
		{"a forged passport", false, false, "bad", 401, false},
		{"an external service", false, true, "good", 200, false},
		{"an external service, and another's passport", false, true, "bad", 200, false},
		{"no service", true, false, "bad", 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			service := headEcho(t)
			change := func(p *meshPair) {
				p.called.Mesh.MTLS, p.orders.MeshPort = model.Permissive, 0
				if c.external {
					p.orders.Ports = nil
					p.called.Mesh.External = true
					p.called.Endpoints = []*model.Endpoint{{Host: "127.0.0.1", Port: number16(t, service)}}
				}
			}
			line, auth := "GET /a HTTP/1.1\r\nHost: orders\r\n", ""
			var p *meshPair
			var conn net.Conn
			if c.explicit {
				p = explicitly(t, echoing(t, ""), model.AppHTTP, change)
				p.cfg.Mesh = &model.Mesh{Outbound: model.OutboundAllow}
				p.a.apply(p.cfg)
				p.a.names.Store("stranger.example", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
				at := fmt.Sprintf("stranger.example:%d", number16(t, service))
				line, auth, conn = "GET http://"+at+"/a HTTP/1.1\r\nHost: "+at+"\r\n", password, p.a.dial("")
			} else {
				p = newMeshPair(t, service, model.AppHTTP, change)
				conn = p.a.dial(p.to)
			}
			status, body := ask(t, conn, line+auth+claims+"Naru-Passport: "+c.passport+"\r\nx-custom: c\r\n\r\n")
			if status != c.status {
				t.Fatalf("%d %s", status, body)
			}
			lower := strings.ToLower(body)
			if c.status == 200 && (strings.Contains(lower, "cert") || strings.Contains(lower, "naru_") || !strings.Contains(lower, "x-custom: c")) {
				t.Errorf("the service gets %q", body)
			}
			if strings.Contains(lower, "naru-passport: "+c.passport) != c.kept {
				t.Errorf("the passport: %q", body)
			}
		})
	}
}
