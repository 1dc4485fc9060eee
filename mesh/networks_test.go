package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// twoNetworks is a mesh whose second workloads are in dc2.
func twoNetworks() *model.Config {
	cfg := shop(2)
	cfg.Mesh.Networks = []model.MeshNetwork{{Name: "dc1", Gateway: "198.51.100.1:15443"}, {Name: "dc2", Gateway: "gateways.dc2.example:443"}}
	for i, w := range cfg.Workloads {
		w.Place.Network = fmt.Sprintf("dc%d", i%2+1)
	}
	return cfg
}

func TestOtherNetworksAreReachedThroughTheirGateways(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		network string
		change  func(*model.Config)
		want    string
	}{
		{"from dc1", "dc1", nil, "10.0.0.1:15008 gateways.dc2.example:443"},
		{"from dc2", "dc2", nil, "198.51.100.1:15443 10.1.0.1:15008"},
		{"from nowhere", "", nil, "10.0.0.1:15008 10.1.0.1:15008"},
		{"from dc3", "dc3", nil, "198.51.100.1:15443 gateways.dc2.example:443"},
		{"no gateway", "dc1", func(c *model.Config) { c.Mesh.Networks = c.Mesh.Networks[:1] }, "10.0.0.1:15008 10.1.0.1:15008"},
		{"not known where", "dc1", func(c *model.Config) { c.Workloads[3].Place.Network = "" }, "10.0.0.1:15008 10.1.0.1:15008"},
		{"without mutual TLS", "dc1", func(c *model.Config) { c.Mesh.MTLS = model.Off }, "10.0.0.1:9002 10.1.0.1:9002"},
	} {
		cfg := twoNetworks()
		if c.change != nil {
			c.change(cfg)
		}
		node := nodeOf(cfg.Workloads[0])
		node.Network = c.network
		var l Lowering
		s := service(l.Lower(cfg, node), "s0001@shop/s0000")
		var got []string
		for i, e := range s.Endpoints {
			got = append(got, fmt.Sprintf("%s:%d", e.Host, e.Port))
			if want := fmt.Sprintf("10.%d.0.1:9002", i); e.Authority != want {
				t.Errorf("%s: a tunnel is asked for %s, want %s", c.name, e.Authority, want)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// A gateway passes on what is for the workloads of its own network, by their
// names, and nothing else; other machines pass on nothing.
func TestGatewaysPassOn(t *testing.T) {
	t.Parallel()
	cfg := twoNetworks()
	var l Lowering
	if out := l.Lower(cfg, Node{Network: "dc2"}); len(out.Listeners) != 0 {
		t.Error("a machine that serves nothing listens for other networks")
	}
	out := l.Lower(cfg, Node{Serve: true, Network: "dc2"})
	i := slices.IndexFunc(out.Listeners, func(x *model.Listener) bool { return x.Name == "mesh/network" })
	if i < 0 || out.Listeners[i].Port != 443 || !out.Listeners[i].Passthrough || out.Listeners[i].Protocol != model.TLS {
		t.Fatalf("listeners %+v", out.Listeners)
	}
	var got []string
	for _, f := range out.Flows {
		s := service(out, f.Backends[0].Service)
		got = append(got, fmt.Sprintf("%s>%s:%d", f.Hostnames[0], s.Endpoints[0].Host, s.Endpoints[0].Port))
	}
	if want := "9002.s0000-1.shop.mesh>10.1.0.0:15008 9002.s0001-1.shop.mesh>10.1.0.1:15008"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	// Two workloads that are called the same in a handshake are one, and no hindrance.
	twin := *cfg.Workloads[1]
	twin.Name, twin.Address = strings.ToUpper(twin.Name), "10.9.9.9"
	doubled := *cfg
	doubled.Workloads = append([]*model.Workload{&twin}, cfg.Workloads...)
	var d Lowering
	if out := d.Lower(&doubled, Node{Serve: true, Network: "dc2"}); len(out.Flows) != 2 || len(out.Services) != len(cfg.Services)+2 {
		t.Errorf("%d flows and %d services", len(out.Flows), len(out.Services))
	}
	// What has not changed is the same noun.
	again := l.Lower(cfg, Node{Serve: true, Network: "dc2"})
	if again.Listeners[i] != out.Listeners[i] || again.Flows[0] != out.Flows[0] {
		t.Error("nouns are made anew that have not changed")
	}
	if out := l.Lower(cfg, Node{Serve: true, Network: "dc3"}); slices.ContainsFunc(out.Listeners, func(x *model.Listener) bool { return x.Name == "mesh/network" }) {
		t.Error("a network without a gateway is served")
	}
}
