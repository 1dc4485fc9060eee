package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/naming"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// compiler builds one Program. What did not change since old is taken over:
// rules whose noun and clusters are the same, tables whose rules are the same.
type compiler struct {
	families []filter.Family
	loops    int
	clusters map[string]*upstream.Cluster // nil when only tables are wanted
	services map[string]*model.Service
	issuers  map[model.IssuedBy]identity.Issuer
	old      *Program
	http2    bool // clients may speak it
	mesh     *Options
	shared   map[*model.MeshTarget]map[netip.AddrPort]*target
	called   map[*model.MeshName]*naming.Names // likewise
	prog     *Program

	listeners []*listener // with a table of their own
}

// compile makes a Program of s. It does not touch what serves now.
func (c *compiler) compile(s *model.Snapshot) *Program {
	began := time.Now()
	c.prog = &Program{
		Snapshot: s,
		rules:    make([]*rule, len(s.Routes)),
		byName:   make(map[string]*listener, len(s.Listeners)),
		pins:     make([]pin, c.loops),
	}
	c.services = make(map[string]*model.Service, len(s.Services))
	for _, v := range s.Services {
		c.services[v.Name] = v
	}
	before := c.before()
	for i, r := range s.Routes {
		c.prog.rules[i] = c.rule(r, before(r))
	}
	c.attach()
	c.behind()
	for _, l := range s.Listeners {
		c.listener(c.prog.byName[l.Name])
	}
	c.flows()
	c.prog.Built, c.prog.Took = began, time.Since(began)
	return c.prog
}

// before finds what the old Program compiled from a noun, or nil. Routes are
// asked for, and are in the old Program, in the order of their names.
func (c *compiler) before() func(*model.Route) *rule {
	var rules []*rule
	if c.old != nil {
		rules = c.old.rules
	}
	return func(noun *model.Route) *rule {
		for len(rules) > 0 && rules[0].noun != noun && rules[0].noun.Name < noun.Name {
			rules = rules[1:]
		}
		if len(rules) == 0 || rules[0].noun != noun {
			return nil
		}
		return rules[0]
	}
}

func (c *compiler) problem(o model.Origin, format string, args ...any) {
	c.prog.Problems = append(c.prog.Problems, model.Problem{
		Origin: o, Severity: model.Broken, Code: "not-compiled", Message: fmt.Sprintf(format, args...),
	})
}

func (c *compiler) doubt(o model.Origin, code, message, hint string) {
	c.prog.Problems = append(c.prog.Problems, model.Problem{
		Origin: o, Severity: model.Doubtful, Code: code, Message: message, Hint: hint,
	})
}

// attach makes the listeners, each with the rules of the routes that name it.
func (c *compiler) attach() {
	for _, noun := range c.prog.Snapshot.Listeners {
		l := &listener{noun: noun, scheme: string(noun.Protocol)}
		c.meet(l)
		if c.old != nil && c.old.byName[noun.Name] != nil {
			l.rules = make([]*rule, 0, len(c.old.byName[noun.Name].rules)+16) // about as many as before
		}
		c.prog.byName[noun.Name] = l
	}
	// Most routes have the parents of the one before them.
	var parents []string
	var to []*listener
	for _, r := range c.prog.rules {
		if !slices.Equal(r.noun.Parents, parents) {
			parents, to = r.noun.Parents, to[:0]
			for _, name := range parents {
				if l := c.prog.byName[name]; l != nil {
					to = append(to, l)
				}
			}
		}
		for _, l := range to {
			l.rules = append(l.rules, r)
		}
	}
}

// listener compiles the table of l.
func (c *compiler) listener(l *listener) {
	// Often two listeners, one with TLS and one without, have the same routes:
	// one table serves both.
	if twin := c.twin(l); twin != nil {
		l.table, l.rules, l.flawed = twin.table, twin.rules, twin.flawed
		return
	}
	c.listeners = append(c.listeners, l)
	var before *listener
	if c.old != nil {
		before = c.old.byName[l.noun.Name]
	}
	// What has a flaw is compiled again, so that the Problem is told again.
	if before != nil && !before.flawed && before.noun.Hostname == l.noun.Hostname && sameNouns(before.rules, l.rules) {
		l.table = before.table
		return
	}
	entries := make([]route.Entry, 0, len(l.rules))
	for i, rule := range l.rules {
		r := rule.noun
		hosts, ok := route.Intersect(l.noun.Hostname, r.Hostnames)
		if !ok {
			continue
		}
		matches := r.Matches
		if len(matches) == 0 {
			matches = []model.Match{{}}
		}
		// A preflight asks on behalf of another method: it belongs to the rule
		// that will answer that one.
		preflight := slices.ContainsFunc(r.Filters, func(f model.Filter) bool { return f.CORS != nil })
		for _, m := range matches {
			entries = append(entries, route.Entry{Hostnames: hosts, Match: m, Order: r.Order, Rule: int32(i), Preflight: preflight})
		}
	}
	var from *route.Table
	if before != nil {
		from = before.table
	}
	table, errs := route.Build(entries, from)
	for _, e := range errs {
		c.problem(l.rules[entries[e.Index].Rule].noun.Origin, "the match cannot be compiled: %v", e.Err)
		l.flawed = true
	}
	l.table = table
}

// twin finds a listener of this Program that has the table l needs.
func (c *compiler) twin(l *listener) *listener {
	for _, other := range c.listeners {
		if other.noun.Hostname == l.noun.Hostname && slices.Equal(other.rules, l.rules) {
			return other
		}
	}
	return nil
}

// sameNouns says whether rules were compiled from the same nouns.
func sameNouns(a, b []*rule) bool {
	return slices.EqualFunc(a, b, func(a, b *rule) bool { return a.noun == b.noun })
}

// rule compiles noun, or takes over before, which was compiled from it, if it
// leads to the same clusters.
func (c *compiler) rule(noun *model.Route, before *rule) *rule {
	if before != nil && c.same(before) {
		return before
	}
	r := &rule{
		noun:    noun,
		class:   upstream.ClassOf(noun.Priority),
		session: compileSession(noun.Session),
		request: bound(noun.Timeouts.Request),
		// Whoever gives the request ten minutes has not asked for a try of one.
		try:     bound(pick(noun.Timeouts.Backend, max(model.DefaultBackendTimeout, noun.Timeouts.Request))),
		idle:    bound(pick(noun.Timeouts.Idle, model.DefaultStreamIdle)),
		quiet:   bound(pick(noun.Timeouts.Idle, model.DefaultTunnelIdle)),
		stream:  bound(noun.Timeouts.Stream),
		shape:   compileShape(noun.Shape),
		leaves:  c.leaves(noun),
		traffic: make([]*observe.Traffic, c.loops),
	}
	if noun.Rollout != nil && noun.Rollout.Live {
		r.trials = make([]*observe.Trial, c.loops)
	}
	if noun.CountCalls {
		r.calls = make([]*observe.Calls, c.loops)
	}
	var err error
	if r.chain, err = filter.Compile(c.families, noun.Filters); err != nil {
		c.problem(noun.Origin, "%v", err)
		r.broken, r.flawed = observe.InvalidFilter, true
		r.chain = &filter.Chain{}
	}
	r.mirrors = c.mirrors(noun.Filters)
	for i := range noun.Backends {
		b := &noun.Backends[i]
		former := b.Weight <= 0
		if former && (r.trials == nil || b.Service == noun.Rollout.To) {
			continue
		}
		made, err := c.backend(b)
		if err != nil {
			c.problem(noun.Origin, "%v", err)
			r.flawed = true
		}
		if made.cluster != nil && r.session != nil {
			made.cluster.Sessions()
		}
		if former {
			r.former = append(r.former, made)
			continue
		}
		r.backends = append(r.backends, made)
		r.total += b.Weight
	}
	r.retry, r.hedge = compileRetry(noun.Retry), compileHedge(noun.Hedge, c.loops)
	return r
}

// backend compiles b. With an error it leads nowhere.
func (c *compiler) backend(b *model.Backend) (backend, error) {
	made := backend{noun: b, traffic: make([]*observe.Traffic, c.loops), broken: observe.InvalidBackend}
	made.cluster, made.host, made.keys = c.clusters[b.Service], c.host(b.Service), c.keys(b.Service)
	if len(b.Filters) > 0 {
		chain, err := filter.Compile(c.families, b.Filters)
		if err != nil {
			made.cluster, made.broken = nil, observe.InvalidFilter
			return made, err
		}
		made.chain, made.mirrors = chain, c.mirrors(b.Filters)
	}
	return made, nil
}

// leaves says whether requests of a route may go to an external service.
func (c *compiler) leaves(noun *model.Route) bool {
	return slices.ContainsFunc(noun.Backends, func(b model.Backend) bool {
		v := c.services[b.Service]
		return v != nil && v.Mesh != nil && v.Mesh.External
	})
}

func (c *compiler) mirrors(fs []model.Filter) (list []mirrorTo) {
	for i := range fs {
		if m := fs[i].Mirror; m != nil {
			list = append(list, mirrorTo{service: m.Service, cluster: c.clusters[m.Service], host: c.host(m.Service), n: m.Numerator, of: m.Denominator, counts: make([]*observe.Mirrored, c.loops)})
		}
	}
	return list
}

// host is what a service wants to be called, "" for the client's Host.
func (c *compiler) host(service string) string {
	if v := c.services[service]; v != nil {
		return v.Host
	}
	return ""
}

// same says whether all that a rule leads to is still what it was. A flaw is
// compiled again, so that its Problem is told again.
func (c *compiler) same(r *rule) bool {
	if r.flawed || r.leaves != c.leaves(r.noun) {
		return false
	}
	return c.sameBackends(r.backends) && c.sameBackends(r.former) && c.sameMirrors(r.mirrors)
}

func (c *compiler) sameBackends(list []backend) bool {
	for i := range list {
		b := &list[i]
		if b.cluster != c.clusters[b.noun.Service] || b.host != c.host(b.noun.Service) || !c.sameKeys(b) || !c.sameMirrors(b.mirrors) {
			return false
		}
	}
	return true
}

func (c *compiler) sameMirrors(list []mirrorTo) bool {
	for i := range list {
		if to := &list[i]; to.cluster != c.clusters[to.service] || to.host != c.host(to.service) {
			return false
		}
	}
	return true
}

// entrances groups the Program's listeners by address.
func (c *compiler) entrances() (map[address]*entrance, error) {
	all := map[address]*entrance{}
	certs := map[string]*model.Certificate{}
	for _, cert := range c.prog.Snapshot.Certificates {
		certs[cert.Name] = cert
	}
	for _, noun := range c.prog.Snapshot.Listeners {
		addr, err := bindAddr(noun)
		if err != nil {
			return nil, err
		}
		e := all[addr]
		if e == nil {
			e = &entrance{addr: addr, protocol: noun.Protocol, limited: noun, intro: introductionOf(noun.ProxyProtocol)}
			e.limits, e.maxConns = limitsOf(&noun.Limits)
			e.limits.HTTP2, e.only2 = c.http2, c.http2
			if noun.Protocol == model.HTTPS || noun.Protocol == model.TLS {
				e.tls = &wire.ServerTLS{Handshake: pick(noun.Limits.Handshake, model.DefaultLimits.Handshake), MinVersion: tls.VersionTLS12}
			}
			all[addr] = e
		}
		if (noun.Mesh == nil) != (e.limited.Mesh == nil) {
			return nil, fmt.Errorf("listener %s: %s is a door of the mesh, by listener %s; no other can share it", noun.Name, addr, e.limited.Name)
		}
		if e.protocol != noun.Protocol {
			return nil, fmt.Errorf("listener %s: %s speaks another protocol already, by listener %s", noun.Name, addr, e.limited.Name)
		}
		if noun.Limits != e.limited.Limits {
			// They hold before anybody knows which host a request is for.
			c.doubt(noun.Origin, "unused-limits", fmt.Sprintf("the limits of listener %s are not used: it shares %s with listener %s, whose limits hold", noun.Name, addr, e.limited.Name), "give both the same limits")
		}
		e.listeners = append(e.listeners, c.prog.byName[noun.Name])
		// It is settled before anybody knows which host a request is for.
		e.limits.HTTP2 = e.limits.HTTP2 && !noun.NoHTTP2
		e.only2 = e.only2 && noun.NoHTTP1
		e.sniff = e.sniff || noun.Passthrough
		e.http3 = e.http3 || noun.HTTP3 && noun.Protocol == model.HTTPS
		if !noun.Terminates() {
			continue
		}
		if noun.Mesh != nil {
			if err := c.mutual(e, noun); err != nil {
				return nil, err
			}
		} else if err := e.ask(noun); err != nil {
			return nil, err
		}
		e.secure = true
		if noun.MinTLS == "1.3" {
			e.tls.MinVersion = tls.VersionTLS13
		}
		for _, name := range noun.Certificates {
			cert := certs[name]
			if cert == nil {
				return nil, errors.New("listener " + noun.Name + ": no certificate " + name)
			}
			e.tls.Credentials = append(e.tls.Credentials, wire.Credential{
				Name: name, Hostname: noun.Hostname,
				Chain: cert.Chain, Key: cert.Key, ChainFile: cert.ChainFile, KeyFile: cert.KeyFile,
			})
		}
	}
	for _, e := range all {
		if e.protocol == model.HTTPS {
			e.tls.Protocols = []string{"http/1.1"}
			if e.limits.HTTP2 {
				e.tls.Protocols = []string{"h2", "http/1.1"}
			}
			if e.only2 {
				e.tls.Protocols = []string{"h2"}
			}
		}
		if e.explicit = e.limits; c.mesh != nil && c.mesh.Tunnels != nil && e.limited.Mesh != nil && len(e.limited.Mesh.Pass) > 0 {
			lim := *e.limits
			lim.Connect, lim.Forward = true, true
			e.explicit = &lim
		}
		if e.within = e.limits; e.limits.Connect {
			lim := *e.limits
			lim.Connect, lim.Age = false, 0
			e.within = &lim
		}
		hosts := route.NewHosts[*listener]()
		for _, l := range e.listeners {
			hosts.Add(l.noun.Hostname, l)
		}
		e.hosts = hosts
		if e.tls != nil {
			e.tls.Certifier = c.certifier(e)
		}
	}
	return all, nil
}

// bindAddr is where a listener's socket is bound: "" is every address, of
// both families where the machine has IPv6.
func bindAddr(l *model.Listener) (address, error) {
	ip := netip.IPv6Unspecified()
	if l.Address != "" {
		var err error
		if ip, err = netip.ParseAddr(l.Address); err != nil {
			return address{}, fmt.Errorf("listener %s: %q is not an IP address", l.Name, l.Address)
		}
	}
	return address{netip.AddrPortFrom(ip, l.Port), l.Protocol == model.UDP}, nil
}

// longest is what a loop's timers can tell.
const longest = 24 * time.Hour

// bound gives a time-out as a rule keeps it: 0 is none.
func bound(d time.Duration) time.Duration { return min(max(d, 0), longest) }

// pick gives v, or def where v is zero.
func pick[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// limitsOf fills in defaults.
func limitsOf(l *model.Limits) (*wire.Limits, int) {
	d := &model.DefaultLimits
	return &wire.Limits{
		HeadBytes: pick(l.HeadBytes, d.HeadBytes),
		Fields:    pick(l.Fields, d.Fields),
		URIBytes:  pick(l.URIBytes, d.URIBytes),
		BodyBytes: pick(l.BodyBytes, d.BodyBytes),
		Requests:  pick(l.Requests, d.Requests),
		Idle:      min(pick(l.Idle, d.Idle), longest),
		Head:      min(pick(l.Head, d.Head), longest),
		Body:      min(pick(l.Body, d.Body), longest),
		Write:     min(pick(l.Write, d.Write), longest),
		Age:       pick(l.Age, d.Age),
	}, max(pick(l.Connections, d.Connections), 0)
}
