package test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/test/freeport"
)

// TestMeshAcrossNetworks: a workload of another network is reached through the
// gateway of that, which passes on what it cannot read; requests and connections
// alike, by the identities of both ends. The gateway is a way to nothing else.
func TestMeshAcrossNetworks(t *testing.T) {
	t.Parallel()
	for _, protocol := range []model.AppProtocol{model.AppHTTP, model.AppTCP} {
		const edge = "spiffe://naru.local/ns/edge/sa/gateway"
		door := freeport.Hold(t)
		var gateway *machine
		p := newMeshPair(t, telling(t), protocol, func(p *meshPair) {
			p.trust.issue(t, edge, edge)
			gateway = newMachine(t, p.trust)
			gateway.node = mesh.Node{Serve: true, Gateway: edge, Network: "dc2", Address: "127.0.0.1"}
			p.orders.Place.Network = "dc2"
			p.cfg.Mesh.Networks = []model.MeshNetwork{{Name: "dc2", Gateway: "127.0.0.1:" + door}}
			p.a.node.Network, p.b.node.Network = "dc1", "dc2"
		})
		gateway.apply(p.cfg)
		gateway.watch()
		p.b.watch()
		conn := p.a.dial(p.to)
		for i := range 3 {
			if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: orders\r\n\r\n"); status != 200 {
				t.Fatalf("%s, request %d: %d %s", protocol, i, status, body)
			}
		}
		conn.Close()
		if r := receive(t, p.b.records); r.Source != storefront || r.Destination != ordersID {
			t.Errorf("%s: from %q to %q", protocol, r.Source, r.Destination)
		}
		if seen, open := p.relay.passed(); open != 1 || strings.Contains(string(seen), "GET /a") {
			t.Errorf("%s: %d connections come to the workload's machine, or in the clear", protocol, open)
		}
		// Whoever is not named does not get on.
		for _, name := range []string{"9.nobody.shop.mesh", "example.com", ""} {
			stranger, err := net.Dial("tcp", "127.0.0.1:"+door)
			if err != nil {
				t.Fatal(err)
			}
			if err := stranger.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if err := tls.Client(stranger, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake(); err == nil {
				t.Errorf("%s: %q is passed on", protocol, name)
			}
			stranger.Close()
		}
		p.relay.cut() // a connection is told of when it has ended
		if r := receive(t, gateway.records); r.Listener != "mesh/network" {
			t.Errorf("%s: the gateway tells of listener %q", protocol, r.Listener)
		}
	}
}
