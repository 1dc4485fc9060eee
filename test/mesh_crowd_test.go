package test

import (
	"io"
	"net"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
)

// welcomed reads the greeting of a server that speaks first.
func welcomed(t *testing.T, conn net.Conn) {
	t.Helper()
	hello := make([]byte, 5)
	if _, err := io.ReadFull(conn, hello); err != nil || string(hello) != "hello" {
		t.Fatalf("%q %v", hello, err)
	}
}

// TestMeshWorkloadIsBounded: a workload opens no more connections through its
// machine's proxy than the mesh allows, and as many again when some have ended.
func TestMeshWorkloadIsBounded(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "hello"), model.AppTCP, func(p *meshPair) { p.cfg.Mesh.Connections = 2 })
	// The other machine is to let in all.
	p.cfg.Mesh = &model.Mesh{}
	p.b.apply(p.cfg)
	first := p.a.dial(p.to)
	welcomed(t, first)
	welcomed(t, p.a.dial(p.to))
	p.a.refused(p.to)
	awaitMetric(t, p.a.registry, "naru_refused_total", "too_many_from_caller", 1)
	awaitMetric(t, p.a.registry, "naru_mesh_connections_refused_total", "shop/storefront-1,outbound", 1)
	first.Close()
	eventually(t, "a connection has ended", func() bool { return p.a.proxy.Bound()[0].Conns == 1 })
	welcomed(t, p.a.dial(p.to))
}

// TestMeshCallerIsBounded: neither do all callers of an identity open more to a
// machine: connections of the mesh, and tunnels in them.
func TestMeshCallerIsBounded(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "hello"), model.AppTCP, nil)
	p.cfg.Mesh = &model.Mesh{Connections: 3}
	p.b.apply(p.cfg)
	p.b.watch()
	first := p.a.dial(p.to)
	welcomed(t, first)
	welcomed(t, p.a.dial(p.to))
	p.a.refused(p.to)
	for {
		r := receive(t, p.b.records)
		if r.Reason == observe.TooManyFromCaller {
			if r.Source != storefront {
				t.Errorf("of %q", r.Source)
			}
			break
		}
	}
	awaitMetric(t, p.b.registry, "naru_mesh_connections_refused_total", storefront+",inbound", 1)
	first.Close()
	if r := receive(t, p.b.records); r.Reason == observe.TooManyFromCaller {
		t.Errorf("refused once more: %+v", r)
	}
	welcomed(t, p.a.dial(p.to))
	// What has ended with its connection counts no more.
	for range 4 {
		p.relay.cut()
		eventually(t, "nothing is open", func() bool { return p.b.proxy.Bound()[0].Conns == 0 })
		welcomed(t, p.a.dial(p.to))
	}
}

// TestMeshCallerConnectionsAreBounded: a machine whose caller has too many
// connections refuses the next one, and says so.
func TestMeshCallerConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppHTTP, nil)
	other := newMachine(t, p.trust) // a second proxy of the same identity
	other.node = p.a.node
	other.node.Locals = slices.Clone(other.node.Locals)
	other.node.Locals[0].Outbound = number16(t, freeport.Hold(t))
	p.cfg.Mesh = &model.Mesh{Connections: 1}
	p.b.apply(p.cfg)
	get := "GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"
	if status, _ := ask(t, p.a.dial(p.to), get); status != 200 {
		t.Fatalf("the first: %d", status)
	}
	other.apply(&model.Config{Services: p.cfg.Services, Workloads: p.cfg.Workloads, Mesh: &model.Mesh{}})
	other.watch()
	status, _ := ask(t, other.dial(p.to), get)
	if r := receive(t, other.records); status != r.Status || r.Reason != observe.UpstreamReset && r.Reason != observe.ConnectFailed {
		t.Errorf("the second: %d for the reason %v (%v)", status, r.Reason, r.Detail)
	}
	// It is tried again on new connections.
	eventually(t, "the refusals are counted", func() bool {
		n := sampled(p.b.registry, "naru_mesh_connections_refused_total", storefront+",inbound")
		return n > 0 && n == sampled(p.b.registry, "naru_refused_total", "too_many_from_caller")
	})
	eventually(t, "the first one is left", func() bool { return p.b.proxy.Bound()[0].Conns == 1 })
}
