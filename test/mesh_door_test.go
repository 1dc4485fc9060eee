package test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
)

// TestMeshPolicies: what a policy refuses gets an answer that says so, what is
// open already is looked at again when policies change.
func TestMeshPolicies(t *testing.T) {
	t.Parallel()
	for _, protocol := range []model.AppProtocol{model.AppHTTP, model.AppTCP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			service := telling(t)
			if protocol == model.AppTCP {
				service = echoing(t, "a")
			}
			policies := func(allowed string, p *meshPair) {
				policy := &model.Policy{Name: "shop/only", Namespace: "shop", Services: []string{"orders"}, Action: model.Allow}
				if allowed != "" {
					policy.Rules = []model.PolicyRule{{Principals: []string{allowed}}}
				}
				p.cfg.Policies = []*model.Policy{policy}
			}
			p := newMeshPair(t, service, protocol, func(p *meshPair) { policies(storefront, p) })
			other := "spiffe://naru.local/ns/shop/sa/catalog"
			conn := p.a.dial(p.to)
			one := make([]byte, 1)
			if protocol == model.AppHTTP {
				for _, c := range []struct {
					allowed string
					want    int
				}{{storefront, 200}, {"", 403}, {other, 403}, {storefront, 200}} {
					policies(c.allowed, p)
					p.b.apply(p.cfg)
					if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: orders\r\n\r\n"); status != c.want {
						t.Errorf("%d %s", status, body)
					}
				}
				return
			}
			if _, err := io.ReadFull(conn, one); err != nil {
				t.Fatal(err)
			}
			p.a.watch()
			p.b.watch()
			policies("", p)
			p.b.apply(p.cfg)
			if b, err := io.ReadAll(conn); len(b) > 0 || err == nil {
				t.Errorf("open, and forbidden now: %q, %v", b, err)
			}
			if r := receive(t, p.b.records); r.Reason != observe.PolicyDenied || r.Source != storefront {
				t.Errorf("%+v", r)
			}
			receive(t, p.a.records)
			p.a.refused(p.to)
			for _, m := range []*machine{p.a, p.b} {
				if r := receive(t, m.records); r.Reason != observe.PolicyDenied || r.Detail == nil {
					t.Errorf("%+v", r)
				}
			}
			policies(storefront, p)
			p.b.apply(p.cfg)
			if _, err := io.ReadFull(p.a.dial(p.to), one); err != nil {
				t.Errorf("allowed again: %v", err)
			}
		})
	}
}

// TestMeshHops: an answer that a proxy gives in place of the service says which
// one has given it, to the caller and in the caller's log; clients of a gateway
// are not told.
func TestMeshHops(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppHTTP, func(p *meshPair) {
		p.cfg.Policies = []*model.Policy{{Name: "shop/none", Namespace: "shop", Services: []string{"orders"}, Action: model.Allow}}
	})
	p.a.watch()
	const refused = `"naru/inbound/shop/orders-1"; error=http_request_denied; details="policy_denied"`
	head := func(conn net.Conn) string {
		t.Helper()
		if _, err := fmt.Fprint(conn, "GET /a HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(all), "\r\n\r\n")
		return strings.ToLower(text)
	}
	if got := head(p.a.dial(p.to)); !strings.HasPrefix(got, "http/1.1 403") || strings.Count(got, "proxy-status: "+refused) != 1 {
		t.Errorf("by the one that is called: %s", got)
	}
	if r := receive(t, p.a.records); r.Detail == nil || r.Detail.Error() != "answered on the way: "+refused {
		t.Errorf("the log has %v", r.Detail)
	}
	p.relay.cut()
	p.orders.MeshPort = number16(t, freeport.Hold(t))
	again := *p.orders
	p.cfg.Workloads = []*model.Workload{&again, p.cfg.Workloads[1]}
	p.a.apply(p.cfg)
	if got := head(p.a.dial(p.to)); !strings.HasPrefix(got, "http/1.1 502") || !strings.Contains(got, `proxy-status: "naru/outbound/shop/storefront-1"; error=connection_refused; details="connect_refused"`) {
		t.Errorf("by the caller's own: %s", got)
	}
	again.MeshPort = number16(t, p.relay.addr)
	port := number16(t, freeport.Hold(t))
	p.cfg.Listeners = []*model.Listener{{Name: "public", Address: "127.0.0.1", Port: port, Protocol: model.HTTP}}
	p.cfg.Routes = []*model.Route{{Name: "r", Parents: []string{"public"}, Backends: []model.Backend{{Service: "orders", Weight: 1}}}}
	last := again
	p.cfg.Workloads = []*model.Workload{&last, p.cfg.Workloads[1]}
	p.a.node.Serve, p.a.node.Gateway = true, storefront
	p.a.apply(p.cfg)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := head(conn); !strings.HasPrefix(got, "http/1.1 403") || strings.Contains(got, "proxy-status") {
		t.Errorf("a gateway's client is told: %s", got)
	}
}

// TestMeshDoorIsShut: who is nobody does not get in, and who is somebody gets
// to the port that the handshake has named and to no other.
func TestMeshDoorIsShut(t *testing.T) {
	t.Parallel()
	service := echoing(t, "a")
	p := newMeshPair(t, service, model.AppTCP, nil)
	_, port, err := net.SplitHostPort(service)
	if err != nil {
		t.Fatal(err)
	}
	name := port + ".orders-1.shop.mesh"
	stranger := newTrust(t)
	stranger.issue(t, storefront, storefront)
	for _, c := range []struct {
		name      string
		cert      *tls.Certificate
		sni       string
		protocol  string
		authority string
		want      string
	}{
		{"as it should be", p.trust.have[storefront], name, "h2", "127.0.0.1:" + port, "200"},
		{"another port", p.trust.have[storefront], name, "h2", "127.0.0.1:1", "421"},
		{"no port", p.trust.have[storefront], name, "h2", "orders", "421"},
		{"another name", p.trust.have[storefront], "1.orders-1.shop.mesh", "h2", "127.0.0.1:" + port, "421"},
		{"no certificate", nil, name, "h2", "127.0.0.1:" + port, "refused"},
		{"one of another authority", stranger.have[storefront], name, "h2", "127.0.0.1:" + port, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := &tls.Config{InsecureSkipVerify: true, ServerName: c.sni, NextProtos: []string{c.protocol}}
			if c.cert != nil {
				cfg.Certificates = []tls.Certificate{*c.cert}
			}
			if got := connectStatus(t, p.relay.addr, cfg, c.authority); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
		})
	}
}

// connectStatus asks for a tunnel and gives the status, or "refused" where
// there is no connection.
func connectStatus(t *testing.T, addr string, cfg *tls.Config, authority string) string {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, cfg)
	if conn.Handshake() != nil {
		return "refused"
	}
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	head := http2.HeadersFrameParam{StreamID: 1, BlockFragment: block([]string{":method", "CONNECT", ":authority", authority}), EndHeaders: true}
	if err := framer.WriteHeaders(head); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return "refused"
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return "refused"
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			return fmt.Sprint(h.PseudoValue("status"))
		}
	}
}

// TestListenerPolicies: a gateway's listeners of connections and datagrams are
// under policies too, for clients that come again after a change as well.
func TestListenerPolicies(t *testing.T) {
	t.Parallel()
	m := newMachine(t, newTrust(t))
	tcp, udp := freeport.Hold(t), freeport.Hold(t)
	names, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := names.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = names.WriteTo(b[:n], from)
		}
	}()
	local := func(addr string) []*model.Endpoint {
		return []*model.Endpoint{{Host: "127.0.0.1", Port: number16(t, addr)}}
	}
	cfg := &model.Config{
		Listeners: []*model.Listener{
			{Name: "tcp", Address: "127.0.0.1", Port: number16(t, tcp), Protocol: model.TCP},
			{Name: "udp", Address: "127.0.0.1", Port: number16(t, udp), Protocol: model.UDP},
		},
		Services: []*model.Service{{Name: "echo", Endpoints: local(echoing(t, "a"))}, {Name: "names", Endpoints: local(names.LocalAddr().String())}},
		Flows: []*model.Flow{
			{Name: "tcp", Parents: []string{"tcp"}, Backends: []model.Backend{{Service: "echo", Weight: 1}}},
			{Name: "udp", Parents: []string{"udp"}, Backends: []model.Backend{{Service: "names", Weight: 1}}},
		},
	}
	m.node.Serve = true
	m.apply(cfg)
	client, err := net.Dial("udp", "127.0.0.1:"+udp)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	said := func() error {
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_, err := client.Read(make([]byte, 10))
		return err
	}
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := said(); err != nil {
		t.Fatal(err)
	}
	cfg.Policies = []*model.Policy{{
		Name: "edge/no", Namespace: "edge", Listeners: []string{"tcp", "udp"}, Action: model.Deny,
		Rules: []model.PolicyRule{{Addresses: []string{"127.0.0.0/8"}}},
	}}
	m.apply(cfg)
	conn, err := net.Dial("tcp", "127.0.0.1:"+tcp)
	if err == nil {
		defer conn.Close()
		if b, err := io.ReadAll(conn); len(b) > 0 || err == nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	awaitMetric(t, m.registry, "naru_refused_total", "policy_denied", 1)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	awaitMetric(t, m.registry, "naru_refused_total", "policy_denied", 2)
	quiet(t, client.(*net.UDPConn))
}
