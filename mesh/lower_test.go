package mesh

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// shop is a mesh of n services, each with two workloads on other nodes; the
// first one calls.
func shop(n int) *model.Config {
	cfg := &model.Config{Mesh: &model.Mesh{}}
	for i := range n {
		name := fmt.Sprintf("s%04d", i)
		cfg.Services = append(cfg.Services, &model.Service{Name: name, Mesh: &model.MeshService{Namespace: "shop", Host: name, Port: 80}})
		for j := range 2 {
			cfg.Workloads = append(cfg.Workloads, &model.Workload{
				Name: fmt.Sprintf("shop/%s-%d", name, j), Namespace: "shop", Account: name, Node: fmt.Sprintf("n%d", j),
				Address: fmt.Sprintf("10.%d.%d.%d", j, i>>8, i&255), MeshPort: model.MeshPort,
				Ports: []model.WorkloadPort{{Service: name, Port: 9002}},
			})
		}
	}
	return cfg
}

func nodeOf(w *model.Workload) Node {
	return Node{
		Locals: []Local{{Workload: w, Outbound: 15001}},
		VIP: func(service string) []netip.Addr {
			var n byte
			_, _ = fmt.Sscanf(service, "s%d", &n) // one of the small ones
			return []netip.Addr{netip.AddrFrom4([4]byte{240, 0, 0, n})}
		},
	}
}

func service(cfg *model.Config, name string) *model.Service {
	i := slices.IndexFunc(cfg.Services, func(s *model.Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return cfg.Services[i]
}

func TestEndpointsByMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		mesh      model.MTLS
		service   model.MTLS
		proxyless bool
		want      string
	}{
		{"the default", "", "", false, "10.0.0.1:15008=spiffe://naru.local/ns/shop/sa/s0001 10.1.0.1:15008=spiffe://naru.local/ns/shop/sa/s0001"},
		{"strict, one has no proxy", "", "", true, "10.0.0.1:15008=spiffe://naru.local/ns/shop/sa/s0001"},
		{"permissive, one has no proxy", model.Permissive, "", true, "10.0.0.1:15008=spiffe://naru.local/ns/shop/sa/s0001 10.1.0.1:9002="},
		{"off", model.Off, "", false, "10.0.0.1:9002= 10.1.0.1:9002="},
		{"off, the service strict", model.Off, model.Strict, true, "10.0.0.1:15008=spiffe://naru.local/ns/shop/sa/s0001"},
	} {
		cfg := shop(2)
		cfg.Mesh.MTLS = c.mesh
		cfg.Services[1].Mesh.MTLS = c.service
		if c.proxyless {
			cfg.Workloads[3].MeshPort = 0
		}
		var l Lowering
		s := service(l.Lower(cfg, nodeOf(cfg.Workloads[0])), "s0001@shop/s0000")
		var got []string
		for _, e := range s.Endpoints {
			got = append(got, fmt.Sprintf("%s:%d=%s", e.Host, e.Port, e.Identity))
			if (e.Identity != "") != (e.ServerName != "") || e.Identity != "" && e.Authority != e.Host+":9002" {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if (s.Identity == "") != strings.HasSuffix(c.want, "=") {
			if c.name != "permissive, one has no proxy" {
				t.Errorf("%s: called as %q", c.name, s.Identity)
			}
		}
	}
}

// TestWrittenEndpoints: an address that somebody has written proves no
// identity, so a strict service is not reached there.
func TestWrittenEndpoints(t *testing.T) {
	t.Parallel()
	for mode, want := range map[model.MTLS]int{model.Strict: 2, model.Permissive: 3} {
		cfg := shop(2)
		cfg.Services[1].Endpoints = []*model.Endpoint{{Host: "192.0.2.1", Port: 80}}
		cfg.Services[1].Mesh.MTLS = mode
		var l Lowering
		if got := service(l.Lower(cfg, nodeOf(cfg.Workloads[0])), "s0001@shop/s0000").Endpoints; len(got) != want {
			t.Errorf("%s: %+v", mode, got)
		}
	}
}

// TestNobodyHasNoIdentity: a gateway without one reaches what is permissive, by
// plaintext, and nothing that is strict.
func TestNobodyHasNoIdentity(t *testing.T) {
	t.Parallel()
	cfg := shop(2)
	cfg.Services[1].Mesh.MTLS = model.Permissive
	cfg.Listeners = []*model.Listener{{Name: "public"}}
	var l Lowering
	out := l.Lower(cfg, Node{Serve: true})
	if s := service(out, "s0000"); len(s.Endpoints) != 0 || s.Mesh != nil {
		t.Errorf("strict: %+v", s)
	}
	if s := service(out, "s0001"); len(s.Endpoints) != 2 || s.Identity != "" || s.Endpoints[0].Identity != "" {
		t.Errorf("permissive: %+v", s)
	}
	out = l.Lower(cfg, Node{Serve: true, Gateway: "spiffe://naru.local/ns/edge/sa/gateway"})
	if s := service(out, "s0000"); len(s.Endpoints) != 2 || s.Identity != "spiffe://naru.local/ns/edge/sa/gateway" {
		t.Errorf("with an identity: %+v", s)
	}
	if len(out.Listeners) != 1 || len(l.Lower(cfg, Node{}).Listeners) != 0 {
		t.Error("who does not serve the listeners of the configuration has them, or the other way round")
	}
}

// TestListenerOnAWorkloadsPort: what comes to a workload's port is the workload's,
// so a listener that is written later is not served, and its mistake is told.
func TestListenerOnAWorkloadsPort(t *testing.T) {
	t.Parallel()
	cfg := shop(2)
	w := cfg.Workloads[0]
	port := w.Ports[0].Port
	node := nodeOf(w)
	node.Serve, node.Plain, node.Locals[0].Outbound = true, 15006, 15100
	node.Locals[0].Reach = []Reach{{Name: "db", Port: 5432, Local: 5432}}
	at := func(name string, port uint16, protocol model.Protocol) *model.Listener {
		return &model.Listener{Name: name, Port: port, Protocol: protocol, Origin: model.Origin{Source: "naru.yaml", Line: 7, Column: 3}}
	}
	cfg.Listeners = []*model.Listener{
		at("good", 8080, model.HTTP), at("datagrams", port, model.UDP), at("ephemeral", 0, model.HTTP), at("theirs", port, model.HTTP),
		at("reach", 5432, model.TCP), at("calls", 15100, model.HTTP), at("mesh", model.MeshPort, model.HTTP), at("plain", 15006, model.HTTP),
	}
	served := func(c *model.Config) (names []string) {
		for _, o := range c.Listeners {
			if o.Mesh == nil {
				names = append(names, o.Name)
			}
		}
		return names
	}
	for _, apart := range []bool{false, true} {
		node.Locals[0].Apart = apart
		var l Lowering
		out := l.Lower(cfg, node)
		if got := served(out); !slices.Equal(got, []string{"good", "datagrams", "ephemeral"}) {
			t.Errorf("%q are served", got)
		}
		var said []string
		for _, p := range l.Problems() {
			said = append(said, p.String())
		}
		for i, want := range []string{
			"naru.yaml:7:3: error: listener theirs is not served: port " + itoa(port) + " is that of workload " + w.Name + " on this machine (have the listener or the workload take another port",
			"listener reach is not served: port 5432 is where workload " + w.Name + " reaches a service",
			"listener calls is not served: port 15100 is where the calls of workload " + w.Name,
			"listener mesh is not served: port 15008 is the mesh's own",
			"listener plain is not served: port 15006 is the mesh's own",
		} {
			if i >= len(said) || !strings.Contains(said[i], want) {
				t.Errorf("no %q in %q", want, said)
			}
		}
		// The workload has left.
		if out = l.Lower(cfg, Node{Serve: true}); len(served(out)) != len(cfg.Listeners) || len(l.Problems()) != 0 {
			t.Errorf("%q are served, %v", served(out), l.Problems())
		}
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	cfg := shop(2)
	cfg.Workloads[2].State = model.Draining
	cfg.Workloads[3].State = model.Unhealthy
	cfg.Workloads[3].Weight = 7
	cfg.Workloads[2].Place = model.Place{Region: "eu", Zone: "0"}
	cfg.Workloads[3].Place = model.Place{Region: "eu", Zone: "1"}
	cfg.Services[1].Locality = &model.Locality{Panic: 50}
	var l Lowering
	if s := service(l.Lower(cfg, nodeOf(cfg.Workloads[0])), "s0001@shop/s0000"); s.Locality == nil || s.Locality.Panic != 50 {
		t.Errorf("locality %+v", s.Locality)
	}
	for i, e := range service(l.Lower(cfg, nodeOf(cfg.Workloads[0])), "s0001@shop/s0000").Endpoints {
		if !e.Standby || e.Weight != 7*i || e.Place.String() != "eu/"+strconv.Itoa(i) {
			t.Errorf("%+v", e)
		}
	}
}

// TestTargets: a service is known by its own address and by those of its
// workloads, and the doors, routes and flows agree on the name for it.
func TestTargets(t *testing.T) {
	t.Parallel()
	cfg := shop(3)
	cfg.Services[1].Mesh.Protocol = model.AppTCP
	cfg.Services[2].Mesh.Protocol = model.AppHTTP
	var l Lowering
	out := l.Lower(cfg, nodeOf(cfg.Workloads[0]))
	i := slices.IndexFunc(out.Listeners, func(l *model.Listener) bool { return l.Name == "mesh/out/shop/s0000-0" })
	door := out.Listeners[i]
	got := map[string]string{}
	for _, to := range door.Mesh.Targets {
		got[netAddr(to.Address, to.Port)] = to.Host + " " + string(to.Protocol)
	}
	for at, want := range map[string]string{
		"240.0.0.0:80": "80.s0000.shop.mesh ", "240.0.0.1:80": "80.s0001.shop.mesh tcp", "10.0.0.1:9002": "80.s0001.shop.mesh tcp", "10.1.0.2:9002": "80.s0002.shop.mesh http",
	} {
		if got[at] != want {
			t.Errorf("%s is %q", at, got[at])
		}
	}
	if len(got) != 9 {
		t.Errorf("%d targets", len(got))
	}
	routes, flows := map[string]bool{}, map[string]bool{}
	for _, r := range out.Routes {
		if slices.Contains(r.Parents, door.Name) {
			routes[r.Hostnames[0]] = true
		}
	}
	for _, f := range out.Flows {
		if slices.Contains(f.Parents, door.Name) {
			flows[f.Hostnames[0]] = true
		}
	}
	for host, is := range map[string][2]bool{"80.s0000.shop.mesh": {true, true}, "80.s0001.shop.mesh": {false, true}, "80.s0002.shop.mesh": {true, false}} {
		if routes[host] != is[0] || flows[host] != is[1] {
			t.Errorf("%s: route %v, flow %v", host, routes[host], flows[host])
		}
	}
}

// TestExplicit: whoever is not captured asks by name, and has doors for one
// service each, which lead nowhere while there is no such service.
func TestExplicit(t *testing.T) {
	t.Parallel()
	cfg := shop(3)
	cfg.Services[2].Mesh.Namespace, cfg.Services[2].Mesh.Names = "bank", []string{"Ledger.example"}
	node := nodeOf(cfg.Workloads[0])
	node.Locals[0].Pass = []byte("hash")
	node.Locals[0].Reach = []Reach{{Name: "s0001", Port: 80, Local: 15432}, {Name: "ledger.example", Port: 80, Local: 15433}, {Name: "later", Port: 80, Local: 15434}}
	var l Lowering
	doors := func() map[string]*model.MeshDoor {
		all := map[string]*model.MeshDoor{}
		for _, d := range l.Lower(cfg, node).Listeners {
			if d.Mesh.Side == model.OutboundSide {
				all[fmt.Sprintf("%s:%d", d.Address, d.Port)] = d.Mesh
			}
		}
		return all
	}
	before := doors()
	out := before["127.0.0.1:15001"]
	var names []string
	for _, n := range out.Names {
		names = append(names, fmt.Sprintf("%s:%d=%s", n.Name, n.Port, n.Address))
	}
	want := "s0000.shop.mesh:80=240.0.0.0 s0000.shop:80=240.0.0.0 s0000:80=240.0.0.0 s0001.shop.mesh:80=240.0.0.1 s0001.shop:80=240.0.0.1 s0001:80=240.0.0.1 s0002.bank.mesh:80=240.0.0.2 s0002.bank:80=240.0.0.2 ledger.example:80=240.0.0.2"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("names: %s", got)
	}
	for at, want := range map[string]model.MeshReach{
		"127.0.0.1:15432": {Name: "s0001", Port: 80, Address: "240.0.0.1"}, "127.0.0.1:15433": {Name: "ledger.example", Port: 80, Address: "240.0.0.2"},
		"127.0.0.1:15434": {Name: "later", Port: 80},
	} {
		d := before[at]
		if d == nil || d.Reach == nil || *d.Reach != want || d.Pass != nil || d.Strangers || d.Names != nil || d.Identity != out.Identity {
			t.Errorf("%s: %+v", at, d)
		}
	}
	if again := doors(); !maps.Equal(before, again) {
		t.Error("what did not change was made anew")
	}
	cfg.Services = append(cfg.Services, &model.Service{Name: "s0009", Mesh: &model.MeshService{Namespace: "shop", Host: "later", Port: 80}})
	after := doors()
	if got := after["127.0.0.1:15434"].Reach.Address; got != "240.0.0.9" {
		t.Errorf("the service is there, and it leads to %q", got)
	}
	node.Locals[0].Pass, node.Locals[0].Reach = nil, nil
	if d := doors(); len(d) != 1 || d["127.0.0.1:15001"].Names != nil {
		t.Errorf("captured: %+v", d)
	}
}

// TestEgress: an external service is reached as it is written, or through the
// gateway that it names.
func TestEgress(t *testing.T) {
	t.Parallel()
	cfg := shop(2)
	external := &model.Service{
		Name: "stripe", Endpoints: []*model.Endpoint{{Host: "api.stripe.com", Port: 443}}, TLS: &model.BackendTLS{},
		Mesh: &model.MeshService{Namespace: "shop", Host: "stripe", Names: []string{"api.stripe.com"}, Port: 80, External: true},
	}
	cfg.Services = append(cfg.Services, external)
	var l Lowering
	to := func() string {
		out := l.Lower(cfg, nodeOf(cfg.Workloads[0]))
		for _, r := range out.Routes {
			if r.Hostnames[0] == "80.stripe.shop.mesh" && slices.Contains(r.Hostnames, "api.stripe.com") {
				if service(out, r.Backends[0].Service) == nil {
					t.Errorf("%s is not there", r.Backends[0].Service)
				}
				return r.Backends[0].Service
			}
		}
		return ""
	}
	if got := to(); got != "stripe" {
		t.Errorf("to %q", got)
	}
	via := *external
	mesh := *external.Mesh
	mesh.Via = "s0001"
	via.Mesh = &mesh
	cfg.Services[2] = &via
	if got := to(); got != "s0001@shop/s0000" {
		t.Errorf("via a gateway: to %q", got)
	}
	// The listeners of a gateway go that way, too.
	own := nodeOf(cfg.Workloads[0])
	own.Serve, own.Gateway = true, "spiffe://naru.local/ns/default/sa/gateway"
	if s := service(l.Lower(cfg, own), "stripe"); s == nil || len(s.Endpoints) != 2 || s.Endpoints[0].Identity != "spiffe://naru.local/ns/shop/sa/s0001" || s.TLS != nil {
		t.Errorf("from a listener: %+v", s)
	}
	// The egress gateway goes directly, before the Config knows it already.
	for _, known := range []bool{true, false} {
		of := *cfg
		if !known {
			of.Workloads = cfg.Workloads[:2]
		}
		out := l.Lower(&of, nodeOf(cfg.Workloads[2]))
		for _, r := range out.Routes {
			if r.Hostnames[0] == "80.stripe.shop.mesh" && r.Backends[0].Service != "stripe" {
				t.Errorf("the gateway itself, known %v: to %q", known, r.Backends[0].Service)
			}
		}
		if service(out, "stripe") == nil {
			t.Errorf("the gateway itself, known %v: the service is not there", known)
		}
	}
}

// TestWhatDidNotChangeStays: after a change of one workload all nouns but those
// made of it are the same pointers, and what comes out is the same as when all
// is made anew.
func TestWhatDidNotChangeStays(t *testing.T) {
	t.Parallel()
	cfg := shop(300)
	node := nodeOf(cfg.Workloads[0])
	var l Lowering
	before := l.Lower(cfg, node)
	changed := *cfg.Workloads[41]
	changed.Weight = 3
	next := *cfg
	next.Workloads = slices.Clone(cfg.Workloads)
	next.Workloads[41] = &changed
	after := l.Lower(&next, node)
	fresh := func(old, now []any) (n int) {
		were := map[any]bool{}
		for _, x := range old {
			were[x] = true
		}
		for _, x := range now {
			if !were[x] {
				n++
			}
		}
		return n
	}
	if len(after.Services) < 300 || len(after.Routes) < 300 {
		t.Fatalf("%d services, %d routes", len(after.Services), len(after.Routes))
	}
	if n := fresh(nouns(before), nouns(after)); n != 1 {
		t.Errorf("%d nouns were made anew, and not the service alone", n)
	}
	var other Lowering
	if again := other.Lower(&next, node); !reflect.DeepEqual(again, after) {
		t.Error("what is kept is not what would be made")
	}
}

func nouns(c *model.Config) (all []any) {
	for _, x := range c.Listeners {
		all = append(all, x)
	}
	for _, x := range c.Routes {
		all = append(all, x)
	}
	for _, x := range c.Flows {
		all = append(all, x)
	}
	for _, x := range c.Services {
		all = append(all, x)
	}
	return all
}

// TestNamesAreUnique among all that is made for a node with several locals, two
// of them of one account.
func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	cfg := shop(5)
	node := nodeOf(cfg.Workloads[0])
	node.Serve, node.Gateway, node.Plain = true, "spiffe://naru.local/ns/edge/sa/gateway", 15006
	for i, w := range cfg.Workloads[1:4] {
		node.Locals = append(node.Locals, Local{Workload: w, Outbound: 15002 + uint16(i)})
	}
	var l Lowering
	out := l.Lower(cfg, node)
	names := map[string]bool{}
	see := func(kind, name string) {
		if names[kind+name] {
			t.Errorf("two %ss are called %s", kind, name)
		}
		names[kind+name] = true
	}
	for _, x := range out.Listeners {
		see("listener", x.Name)
	}
	for _, x := range out.Routes {
		see("route", x.Name)
		for _, b := range x.Backends {
			if service(out, b.Service) == nil {
				t.Errorf("%s leads to %s, which is not there", x.Name, b.Service)
			}
		}
	}
	for _, x := range out.Flows {
		see("flow", x.Name)
	}
	for _, x := range out.Services {
		see("service", x.Name)
	}
	sni := map[string]bool{}
	for _, x := range out.Listeners {
		if x.Mesh.Side == model.Inbound {
			sni[x.Hostname] = true
		}
	}
	if len(sni) != 4 || !sni["9002.s0001-1.shop.mesh"] {
		t.Errorf("inbound: %v", sni)
	}
}

// TestPlaintextApart: of a local with a network of its own the door for
// plaintext is at its port, also where a listener of the gateway wants that: it
// comes too late.
func TestPlaintextApart(t *testing.T) {
	t.Parallel()
	cfg := shop(2)
	node := nodeOf(cfg.Workloads[0])
	node.Locals[0].Apart = true
	port := cfg.Workloads[0].Ports[0].Port
	for _, c := range []struct {
		what    string
		serve   bool
		gateway uint16
		want    string
	}{
		{"alone", false, port, "mesh/plaintext/" + itoa(port)},
		{"beside a gateway", true, port + 1, "mesh/plaintext/" + itoa(port)},
		{"at the gateway's port", true, port, "mesh/plaintext/" + itoa(port)},
	} {
		cfg.Listeners = []*model.Listener{{Name: "edge", Port: c.gateway, Protocol: model.HTTP}}
		node.Serve = c.serve
		out := (&Lowering{}).Lower(cfg, node)
		got := ""
		for _, x := range out.Listeners {
			if x.Mesh != nil && x.Mesh.Side == model.Plaintext {
				got = x.Name
				if x.Port != port || x.Address != "" || x.Protocol != model.Any || len(x.Mesh.Targets) != 1 || x.Mesh.Targets[0].Port != port {
					t.Errorf("%s: %+v", c.what, x)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: the door is %q, not %q", c.what, got, c.want)
		}
		for _, r := range out.Routes {
			for _, p := range r.Parents {
				if strings.HasPrefix(p, "mesh/plaintext") && p != c.want {
					t.Errorf("%s: %s is of %s", c.what, r.Name, p)
				}
			}
		}
	}
}

func BenchmarkLower(b *testing.B) {
	cfg := shop(1000)
	node := nodeOf(cfg.Workloads[0])
	var l Lowering
	l.Lower(cfg, node)
	for i := 0; b.Loop(); i++ {
		w := *cfg.Workloads[41]
		w.Weight = i + 1
		next := *cfg
		next.Workloads = slices.Clone(cfg.Workloads)
		next.Workloads[41] = &w
		cfg = &next
		l.Lower(cfg, node)
	}
}

// TestConnections: what one workload may have open, and callers of one identity.
func TestConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ said, outbound, callers int }{
		{0, model.DefaultMeshConnections, model.DefaultMeshConnections}, {7, 7, 7}, {-1, -1, 0},
	} {
		cfg := shop(2)
		cfg.Mesh = &model.Mesh{Connections: c.said}
		var l Lowering
		seen := map[model.MeshSide]bool{}
		for _, listener := range l.Lower(cfg, nodeOf(cfg.Workloads[0])).Listeners {
			if listener.Mesh == nil {
				continue
			}
			seen[listener.Mesh.Side] = true
			most, callers := 0, c.callers
			if listener.Mesh.Side == model.OutboundSide {
				most, callers = c.outbound, 0
			}
			if listener.Limits.Connections != most || listener.Mesh.Callers != callers {
				t.Errorf("%d is for %s %d of one and %d of a caller", c.said, listener.Name, listener.Limits.Connections, listener.Mesh.Callers)
			}
		}
		if !seen[model.Inbound] || !seen[model.OutboundSide] {
			t.Errorf("doors: %v", seen)
		}
	}
}
