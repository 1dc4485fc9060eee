package test

import (
	"net"
	"testing"
	"time"

	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/test/freeport"
)

// TestMeshGateway: a listener of the configuration leads into the mesh, as the
// gateway's identity; while certificates are replaced and connections end, no
// request fails.
func TestMeshGateway(t *testing.T) {
	t.Parallel()
	const edge = "spiffe://naru.local/ns/edge/sa/gateway"
	port := freeport.Hold(t)
	p := newMeshPair(t, telling(t), model.AppHTTP, func(p *meshPair) {
		p.trust.issue(t, edge, edge)
		p.cfg.Listeners = []*model.Listener{{Name: "public", Address: "127.0.0.1", Port: number16(t, port), Protocol: model.HTTP}}
		p.cfg.Routes = []*model.Route{{Name: "all", Parents: []string{"public"}, Backends: []model.Backend{{Service: "orders", Weight: 1}}}}
		p.cfg.Policies = []*model.Policy{{
			Name: "shop/edge", Namespace: "shop", Services: []string{"orders"}, Action: model.Allow,
			Rules: []model.PolicyRule{{Principals: []string{edge}}},
		}}
		p.a.node = mesh.Node{Serve: true, Gateway: edge}
	})
	p.b.watch()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if i%10 == 5 {
			for _, id := range []string{edge, ordersID} {
				p.trust.issue(t, id, id)
			}
			p.relay.cut() // so that the next handshake has the new ones
		}
		if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n"); status != 200 {
			t.Fatalf("request %d: %d %s", i, status, body)
		}
	}
	if r := receive(t, p.b.records); r.Source != edge || r.Destination != ordersID {
		t.Errorf("from %q to %q", r.Source, r.Destination)
	}
	if _, open := p.relay.passed(); open < 10 {
		t.Errorf("%d connections between the machines", open)
	}
}
