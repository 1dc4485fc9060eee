package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/naming"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// meshed is what of a listener the mesh needs.
type meshed struct {
	host    []byte // what its table is asked for where the SNI has chosen it
	targets map[netip.AddrPort]*target
	names   *naming.Names // by which targets are called; nil: by none
	// guards are the policies that are for what is behind it, all of which must
	// let in; requests are their filters.
	guards   []filter.Authorizer
	requests []filter.Request
	hop      []byte // what it is called in Proxy-Status; nil where it is none of the mesh
}

// target is a model.MeshTarget compiled.
type target struct {
	noun *model.MeshTarget
	host []byte
	// inner is the inbound door of the same port, whose policies are also those
	// of callers without TLS; nil at other doors.
	inner *listener
}

// tallies count what one would rather not have.
type tallies struct{ plaintext, unproven, undeclared, misled, crowded *observe.Tally }

func newTallies(g *observe.Registry) tallies {
	return tallies{
		plaintext: g.NewTally("naru_mesh_plaintext_total", "Connections without mutual TLS to workloads whose mode is permissive or off, by service and caller.",
			[2]string{"service", "caller"}),
		unproven: g.NewTally("naru_mesh_plaintext_refused_total", "Connections without mutual TLS that were refused because the service is strict, by service and caller.",
			[2]string{"service", "caller"}),
		undeclared: g.NewTally("naru_mesh_undeclared_total", "Connections whose client waited for a server that speaks first, to services that do not declare protocol: tcp.",
			[2]string{"service", "workload"}),
		misled: g.NewTally("naru_mesh_wrong_port_total", "Captured connections that were refused because they were to a service at a port at which it is not called.",
			[2]string{"service", "workload"}),
		crowded: g.NewTally("naru_mesh_connections_refused_total", "Connections and tunnels that were refused because their caller has as many open as the mesh allows: a workload of this machine (outbound), or an identity (inbound).",
			[2]string{"caller", "side"}),
	}
}

func (l *listener) side() model.MeshSide {
	if l.noun.Mesh == nil {
		return ""
	}
	return l.noun.Mesh.Side
}

// bySNI says whether the client's SNI, and not its Host, chooses l.
func (l *listener) bySNI() bool { return l.side() == model.Inbound }

// captured says whether connections come that were meant for elsewhere.
func (e *entrance) captured() bool { return e.protocol == model.Any }

// original is where a captured connection wanted to go.
func original(p *wire.Peer) netip.AddrPort {
	return netip.AddrPortFrom(p.Original.Addr().Unmap(), p.Original.Port())
}

// meet compiles what of l is the mesh's.
func (c *compiler) meet(l *listener) {
	var before *listener
	if c.old != nil {
		before = c.old.byName[l.noun.Name]
	}
	if m := l.noun.Mesh; m != nil {
		l.scheme, l.host, l.hop = "http", []byte(l.noun.Hostname), hopOf(l.noun)
		if before != nil && before.noun == l.noun && m.Side == model.OutboundSide {
			l.targets, l.names = before.targets, before.names
		} else {
			l.targets, l.names = c.targets(m.Targets), c.names(m.Names)
		}
		if m.Side != model.Inbound {
			return // policies are for those who are called
		}
	}
	policies := c.prog.Snapshot.Policies
	if c.mesh == nil || c.mesh.Authorize == nil || len(policies) == 0 {
		return
	}
	if before != nil && before.noun == l.noun && slices.Equal(c.old.Snapshot.Policies, policies) && c.old.Snapshot.Mesh == c.prog.Snapshot.Mesh {
		l.guards, l.requests = before.guards, before.requests
		return
	}
	for _, t := range c.guarded(l) {
		a, err := c.mesh.Authorize(policies, t)
		if err != nil {
			c.problem(l.noun.Origin, "what is meant for it is refused: %v", err)
			if a == nil {
				a = barred{}
			}
		}
		if a == nil {
			continue
		}
		l.guards = append(l.guards, a)
		if f := a.Request(l.inner()); f != nil {
			l.requests = append(l.requests, f)
		}
	}
}

// targets compiles a list, which several doors may share.
func (c *compiler) targets(list []model.MeshTarget) map[netip.AddrPort]*target {
	if len(list) == 0 {
		return nil
	}
	if all := c.shared[&list[0]]; len(all) > 0 {
		return all
	}
	all := make(map[netip.AddrPort]*target, len(list))
	for i := range list {
		t := &list[i]
		if a, err := netip.ParseAddr(t.Address); err == nil {
			one := &target{noun: t, host: []byte(t.Host)}
			all[netip.AddrPortFrom(a.Unmap(), t.Port)] = one
			if !t.Instance {
				all[netip.AddrPortFrom(a.Unmap(), 0)] = one // that it is a service's own
			}
		}
	}
	if c.shared == nil {
		c.shared = map[*model.MeshTarget]map[netip.AddrPort]*target{}
	}
	c.shared[&list[0]] = all
	return all
}

// names compiles a list, which several doors may share.
func (c *compiler) names(list []model.MeshName) *naming.Names {
	if len(list) == 0 {
		return nil
	}
	if all := c.called[&list[0]]; all != nil {
		return all
	}
	all := naming.Compile(list)
	if c.called == nil {
		c.called = map[*model.MeshName]*naming.Names{}
	}
	c.called[&list[0]] = all
	return all
}

// inner is the port that policies mean.
func (l *listener) inner() uint16 {
	if m := l.noun.Mesh; m != nil {
		return m.Port
	}
	return l.noun.Port
}

// guarded are the targets of policies behind l.
func (c *compiler) guarded(l *listener) (list []filter.Target) {
	t := filter.Target{TrustDomain: model.DefaultTrustDomain}
	if m := c.prog.Snapshot.Mesh; m != nil && m.TrustDomain != "" {
		t.TrustDomain = m.TrustDomain
	}
	m := l.noun.Mesh
	if m == nil {
		t.Listener = l.noun.Name
		return []filter.Target{t}
	}
	t.Namespace = m.Namespace
	for _, s := range m.Services {
		t.Service = s
		list = append(list, t)
	}
	if len(list) == 0 {
		list = append(list, t)
	}
	return list
}

// barred is the Authorizer where there should be one and is none.
type barred struct{}

func (barred) Connection(*wire.Peer, uint16, string) filter.Decision {
	return filter.Decision{Why: observe.PolicyDenied}
}
func (c barred) Recheck(p *wire.Peer, port uint16, sni string, x *filter.Exchange) filter.Decision {
	if x != nil {
		x.Refuse(observe.PolicyDenied)
	}
	return c.Connection(p, port, sni)
}
func (barred) Bars(*wire.Peer, uint16) bool      { return true }
func (c barred) Request(uint16) filter.Request   { return c }
func (barred) Same(other filter.Authorizer) bool { return other == barred{} }
func (barred) OnRequest(x *filter.Exchange) filter.Verdict {
	return x.Refuse(observe.PolicyDenied)
}

// behind finds the policies of what captured plaintext leads to.
func (c *compiler) behind() {
	inbound := map[string]*listener{}
	for _, l := range c.prog.byName {
		if l.bySNI() {
			inbound[l.noun.Hostname] = l
		}
	}
	for _, l := range c.prog.byName {
		if l.side() == model.Plaintext {
			for _, t := range l.targets {
				t.inner = inbound[t.noun.Host]
			}
		}
	}
}

// mutual makes e a door of mutual TLS.
func (c *compiler) mutual(e *entrance, noun *model.Listener) error {
	if c.mesh == nil || c.mesh.Identities == nil {
		return fmt.Errorf("listener %s: there are no identities to serve the mesh with", noun.Name)
	}
	from := c.mesh.Identities
	e.tls.ClientAuth = &wire.ClientAuth{Identities: from}
	e.tls.Credentials = append(e.tls.Credentials, wire.Credential{
		Name: noun.Mesh.Identity, Hostname: noun.Hostname, Identity: noun.Mesh.Identity, Identities: from,
	})
	e.limits.Connect, e.limits.Age = c.mesh.Tunnels != nil, noun.Mesh.MaxAge
	return nil
}

// find gives the listener of a request, and the host by which its table knows
// where it goes.
func (e *entrance) find(x *wire.Exchange) (*listener, []byte, observe.Reason) {
	first := e.listeners[0]
	switch first.side() {
	case model.Inbound:
		if l, ok := e.hosts.FindString(x.Peer.TLS.ServerName); ok {
			return l, l.host, observe.ReasonNone
		}
		return nil, nil, observe.Misdirected
	case model.OutboundSide, model.Plaintext:
		t := first.targets[original(x.Peer)]
		switch {
		case t == nil && first.side() == model.OutboundSide && !x.Peer.Original.IsValid():
			if !first.proves(x) {
				return nil, nil, observe.OutboundUnproven
			}
			return first, x.Request.Authority, observe.ReasonNone // it says where to
		case t == nil && first.virtual(original(x.Peer)):
			return first, nil, observe.OutboundPort
		case t == nil:
			return nil, nil, observe.PortRemoved
		case t.noun.Refused:
			return nil, nil, observe.PlaintextRefused
		}
		if len(x.Request.Authority) == 0 {
			// HTTP/1.0 may leave Host out, HTTP/2 to the other proxy may not: what is
			// meant is the address that was connected to.
			x.Request.Authority = x.Request.Keep([]byte(original(x.Peer).String()))
		}
		return first, t.host, observe.ReasonNone
	}
	if l, ok := e.hosts.Find(x.Request.Authority); ok {
		return l, x.Request.Authority, observe.ReasonNone
	}
	return nil, nil, observe.NoListener
}

var (
	proxyAuthorization = wire.KeyOf("Proxy-Authorization")
	proxyAuthenticate  = wire.KeyOf("Proxy-Authenticate")
)

// proves says whether a client that was not captured is the door's workload:
// any program of the machine can connect to a port of loopback. What proves it
// is taken off.
func (l *listener) proves(x *wire.Exchange) bool {
	said, _ := x.Request.Get(proxyAuthorization)
	sum := sha256.Sum256(said)
	if subtle.ConstantTimeCompare(sum[:], l.noun.Mesh.Pass) != 1 {
		return false
	}
	x.Request.Remove(proxyAuthorization)
	return true
}

// instance is the one workload that a captured connection wanted, by its own
// address; invalid where any of a service will do.
func (l *listener) instance(p *wire.Peer) (at netip.AddrPort) {
	if l.side() == model.OutboundSide {
		if t := l.targets[original(p)]; t != nil && t.noun.Instance {
			at = original(p)
		}
	}
	return at
}

// guardian is the listener whose policies a connection from p is under.
func (l *listener) guardian(p *wire.Peer) *listener {
	if l.side() == model.Plaintext {
		if t := l.targets[original(p)]; t != nil {
			return t.inner
		}
		return nil
	}
	return l
}

// unwelcome says whether a passport or a policy refuses the request; then it
// holds the answer.
func (x *exchange) unwelcome() bool {
	if v := x.w.proxy.opt.Verify; v != nil && x.listener.noun.Mesh != nil && v.OnRequest(&x.Exchange) == filter.Answer {
		return true
	}
	return x.listener.refuses(&x.Exchange)
}

// refuses says whether a policy refuses a request; then x holds the answer.
func (l *listener) refuses(x *filter.Exchange) bool {
	g := l.guardian(x.Peer)
	if g == nil {
		x.Refuse(observe.PolicyDenied)
		return true
	}
	for _, f := range g.requests {
		if f.OnRequest(x) == filter.Answer {
			return true
		}
	}
	return false
}

// ends are the workloads at both ends of what p brings and ep (nil: nobody)
// gets.
func (l *listener) ends(p *wire.Peer, ep *upstream.Endpoint) (source, destination string) {
	if p != nil && p.TLS != nil {
		source = p.TLS.Identity
	}
	switch l.side() {
	case model.Inbound:
		destination = l.noun.Mesh.Identity
	case model.OutboundSide:
		source = l.noun.Mesh.Identity
	}
	if ep != nil && ep.Identity() != "" {
		destination = ep.Identity()
	}
	return source, destination
}
