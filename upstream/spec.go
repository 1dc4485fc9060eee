package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// spec is a model.Service made ready to run. It does not change.
type spec struct {
	service *model.Service
	own     *model.Certificate // that service.TLS.Certificate names
	set     *settings
	near    nearness
	// trust numbers the TLS settings that a cluster had one after the other, so
	// that an endpoint is never reused across them.
	trust int
	err   error
	// named are the targets that are names, which are held. held are those that
	// this spec has taken hold of: the others were base's.
	named, held []naming
	// codec speaks the service's protocol.
	codec wire.ClientCodec
	// base is the spec that this one was compared with when it was made; nil: with
	// none. hunks are where its targets are others than those of base, or of none,
	// and parts what stands there, in their order. What of it was nowhere before has
	// come, and what is nowhere now is gone. nil once it is adopted; with err there
	// are no targets.
	base              *spec
	hunks             []model.Hunk
	parts, gone, come []*target
}

// settings are what a pool and a pick need of a Service, defaults filled in.
type settings struct {
	balance       balance
	slow          slowStart
	connect, idle time.Duration // negative: no bound
	maxIdle       int
	streams       int  // exchanges at once on a connection, at most
	multi         bool // its protocol can carry several, whatever streams says: of an endpoint it stays
	gated         bool // the cluster's gate decides who gets in
	adaptive      bool // and learns
	// failures and connects in a row are a reason to look at once; 0: none.
	failures, connects int32
	watch              bool // endpoints may be ejected
	// bound is how much of what runs an endpoint may have where keys decide, in
	// percent of its share; 0: any.
	bound  float64
	subset int // endpoints of a group that are used, 0: all
	bounds bounds
}

// target is a model.Endpoint: an address, or a name. It is the same in all specs
// of a cluster in which the endpoint is the same.
type target struct {
	host string
	addr netip.Addr // valid when host is an address
	name *name      // otherwise
	// used are the addresses of the name that have endpoints. Guarded by the
	// cluster's mutex.
	used     []netip.Addr
	port     uint16
	weight   uint32
	dialer   wire.Dialer
	raw      wire.Dialer // for flows: no protocol is offered
	codec    wire.ClientCodec
	place    model.Place
	priority int
	// Of the mesh: see model.Endpoint.
	standby          bool
	peer, sni, inner string
}

// naming is a target and its name.
type naming struct {
	t *target
	n *name
}

// newSpec makes svc ready for c. It holds the names it needs, on c's behalf,
// until release or discard; fresh are those that have not been looked up yet.
// hunks say where its endpoints differ from those that c has, where that is
// little. With an error (TLS) the spec has no targets.
func newSpec(c *Cluster, svc *model.Service, own *model.Certificate, hunks []model.Hunk, little bool) (sp *spec, fresh []*name, err error) {
	sp = &spec{service: svc, own: own, set: settingsOf(svc), near: nearnessOf(svc)}
	sp.set.bounds = boundsOf(svc, sp.set, c.owner.env.Files, len(c.owner.loops))
	old := c.spec.Load()
	if old != nil {
		sp.trust = old.trust
		if !old.service.TLS.Same(svc.TLS) || !old.own.Same(own) || old.service.Protocol != svc.Protocol || old.service.Identity != svc.Identity {
			sp.trust++
		}
	}
	if sp.codec, err = c.owner.codec(svc); err != nil {
		sp.err = err
		return sp, nil, err
	}
	var left map[model.Endpoint][]*target
	if little && old != nil && old.err == nil && sp.trust == old.trust && sp.service.Local == old.service.Local {
		sp.base, sp.hunks = old, hunks
		sp.gone, left = c.going(old, hunks)
	} else {
		sp.hunks = []model.Hunk{{D: len(svc.Endpoints)}}
	}
	dialers := map[string]pair{}
	for _, h := range sp.hunks {
		for _, e := range svc.Endpoints[h.C:h.D] {
			if moved := left[*e]; len(moved) > 0 {
				sp.parts, left[*e] = append(sp.parts, moved[0]), moved[1:]
				sp.gone = slices.DeleteFunc(sp.gone, func(t *target) bool { return t == moved[0] })
				continue
			}
			t, err := c.newTarget(sp, e, dialers)
			if err != nil {
				sp.err, sp.hunks, sp.parts, sp.gone, sp.base, sp.come, sp.named = err, nil, nil, nil, nil, nil, sp.held
				return sp, nil, err
			}
			if !t.addr.IsValid() {
				n, isNew := c.owner.names.hold(e.Host, c)
				t.name = n
				if sp.held = append(sp.held, naming{t, n}); isNew {
					fresh = append(fresh, n)
				}
			}
			sp.parts, sp.come = append(sp.parts, t), append(sp.come, t)
		}
	}
	if sp.base == nil {
		sp.named, sp.come = sp.held, nil
		return sp, fresh, nil
	}
	sp.named = old.named
	if slices.ContainsFunc(sp.gone, func(t *target) bool { return t.name != nil }) {
		out := make(map[*target]bool, len(sp.gone))
		for _, t := range sp.gone {
			out[t] = true
		}
		sp.named = slices.DeleteFunc(slices.Clone(sp.named), func(x naming) bool { return out[x.t] })
	}
	sp.named = append(slices.Clip(sp.named), sp.held...)
	return sp, fresh, nil
}

// place makes targets, which are those of base, those of sp.
func (sp *spec) place(targets []*target) []*target {
	if sp.base == nil {
		return sp.parts
	}
	parts := sp.parts
	for _, h := range slices.Backward(sp.hunks) { // so that places before stay what they are
		from := len(parts) - (h.D - h.C)
		targets = slices.Replace(targets, h.A, h.B, parts[from:]...)
		parts = parts[:from]
	}
	return targets
}

// newTarget makes e ready, but for the addresses of a name. dialers are those
// that were made already, by host.
func (c *Cluster) newTarget(sp *spec, e *model.Endpoint, dialers map[string]pair) (*target, error) {
	svc, own, err := sp.service, sp.own, error(nil)
	d, codec := dialers[e.Host], sp.codec
	if e.Identity != "" {
		d.raw, codec = nil, c.owner.env.HTTP2 // flows go through a tunnel
		if d.dialer, err = c.owner.mutual(svc, e); err != nil {
			return nil, err
		}
	} else if d.dialer == nil {
		if d.dialer, err = c.owner.dialer(svc, own, e.Host); err == nil {
			d.raw, err = c.owner.raw(svc, own, e.Host)
		}
		if err != nil {
			return nil, err
		}
		dialers[e.Host] = d
	}
	t := &target{
		host: e.Host, port: e.Port, weight: uint32(min(max(e.Weight, 1), maxWeight)), dialer: d.dialer, raw: d.raw, codec: codec,
		place: e.Place, priority: e.Priority, standby: e.Standby, peer: e.Identity, sni: e.ServerName, inner: e.Authority,
	}
	t.addr, _ = netip.ParseAddr(e.Host) // otherwise a name
	return t, nil
}

// pair is what connects to an endpoint, for requests and for flows.
type pair struct{ dialer, raw wire.Dialer }

// release lets go of the names. A nil spec has none.
func (sp *spec) release(c *Cluster) {
	if sp != nil {
		c.owner.names.drop(sp.named, c)
	}
}

// discard lets go of the names of a spec that was never adopted.
func (sp *spec) discard(c *Cluster) { c.owner.names.drop(sp.held, c) }

// succeed lets go of the names that old has and sp, adopted in its place, has not.
func (sp *spec) succeed(old *spec, c *Cluster) {
	if sp.base != old {
		old.release(c)
		return
	}
	if old == nil {
		return
	}
	var less []naming
	for _, t := range sp.gone {
		if t.name != nil {
			less = append(less, naming{t, t.name})
		}
	}
	c.owner.names.drop(less, c)
}

// dialer makes what connects to host.
func (s *Set) dialer(svc *model.Service, own *model.Certificate, host string) (wire.Dialer, error) {
	t := svc.TLS
	if t == nil {
		return s.plain(svc), nil
	}
	if s.env.TLS == nil {
		return nil, errors.New("TLS to services is not available")
	}
	if t.Certificate != "" && own == nil {
		return nil, errors.New("there is no certificate " + t.Certificate)
	}
	switch svc.Protocol {
	case model.HTTP2:
		return s.env.TLS(t, own, host, "h2")
	case model.HTTPAuto:
		return s.env.TLS(t, own, host, "h2", "http/1.1")
	}
	return s.env.TLS(t, own, host, "http/1.1")
}

// mutual makes what connects to an endpoint of the mesh. There is no other way
// to it: without this one it is not called.
func (s *Set) mutual(svc *model.Service, e *model.Endpoint) (wire.Dialer, error) {
	if s.env.Identity == nil || s.env.HTTP2 == nil || s.env.Tunnels == nil {
		return nil, errors.New("mutual TLS between workloads is not available")
	}
	return s.env.Identity(svc.Identity, e.Identity, e.ServerName)
}

// raw makes what connects to host for flows, whose bytes are of a protocol that
// is not known here.
func (s *Set) raw(svc *model.Service, own *model.Certificate, host string) (wire.Dialer, error) {
	if svc.TLS == nil {
		return s.plain(svc), nil
	}
	return s.env.TLS(svc.TLS, own, host)
}

// plain makes what connects without TLS.
func (s *Set) plain(svc *model.Service) wire.Dialer {
	if svc.Local && s.env.Local != nil {
		return s.env.Local
	}
	return wire.PlainDialer{}
}

// codec gives what speaks the service's protocol.
func (s *Set) codec(svc *model.Service) (wire.ClientCodec, error) {
	switch {
	case svc.Protocol == model.HTTP2 && s.env.HTTP2 == nil:
		return nil, errors.New("HTTP/2 to services is not available")
	case svc.Protocol == model.HTTP2:
		return s.env.HTTP2, nil
	case svc.Protocol == model.HTTPAuto && svc.TLS != nil && s.env.HTTP2 != nil:
		return &choosing{s.env.Codec, s.env.HTTP2}, nil
	}
	return s.env.Codec, nil
}

// longest is what a loop's timers can tell.
const longest = 24 * time.Hour

func settingsOf(svc *model.Service) *settings {
	set := &settings{
		balance: balanceOf(svc),
		slow:    slowStartOf(svc.SlowStart),
		bound:   float64(svc.HashBalanceFactor),
		subset:  svc.SubsetSize,
		connect: svc.Connect,
		idle:    svc.Idle,
		maxIdle: svc.MaxIdle,
	}
	if l := svc.Limits; l != nil {
		set.adaptive = l.Adaptive
		set.gated = l.Adaptive || l.Requests > 0
	}
	if set.connect == 0 {
		set.connect = model.DefaultConnect
	}
	if set.idle == 0 {
		set.idle = model.DefaultIdle
	}
	if set.maxIdle == 0 {
		set.maxIdle = model.DefaultMaxIdle
	}
	set.streams = 1
	if set.multi = svc.Protocol == model.HTTP2 || svc.Protocol == model.HTTPAuto || svc.Identity != ""; set.multi {
		if set.streams = svc.MaxStreams; set.streams == 0 {
			set.streams = model.DefaultMaxStreams
		}
	}
	set.connect, set.idle = min(set.connect, longest), min(set.idle, longest)
	set.watching(svc.Ejection)
	return set
}

// sameService says whether b asks for what a asks for, but for its endpoints;
// where it was written does not matter.
func sameService(a, b *model.Service) bool {
	if a == b {
		return true
	}
	return a.Name == b.Name && a.Host == b.Host && a.ProxyProtocol == b.ProxyProtocol && a.Balance == b.Balance && slices.Equal(a.Hash, b.Hash) && a.HashBalanceFactor == b.HashBalanceFactor && a.SubsetSize == b.SubsetSize && same(a.SlowStart, b.SlowStart) &&
		a.Protocol == b.Protocol && a.MaxStreams == b.MaxStreams && a.Connect == b.Connect && a.Idle == b.Idle && a.MaxIdle == b.MaxIdle && a.Identity == b.Identity && a.Local == b.Local &&
		same(a.Locality, b.Locality) && a.TLS.Same(b.TLS) && same(a.Health, b.Health) &&
		same(a.Limits, b.Limits) &&
		same(a.Ejection, b.Ejection) &&
		a.RetryBudget.Filled() == b.RetryBudget.Filled()
}

// same compares what a part of a Service says; nil is what was not written.
func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
