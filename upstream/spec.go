package upstream

import (
	"bytes"
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
	targets []target
	// trust numbers the TLS settings that a cluster had one after the other, so
	// that an endpoint is never reused across them.
	trust int
	err   error
	names []*name
	// codec speaks the service's protocol.
	codec wire.ClientCodec
}

// settings are what a pool and a pick need of a Service, defaults filled in.
type settings struct {
	balance       balance
	slow          slowStart
	connect, idle time.Duration // negative: no bound
	maxIdle       int
	streams       int  // exchanges at once on a connection
	gated         bool // the cluster's gate decides who gets in
	adaptive      bool // and learns
	// failures and connects in a row are a reason to look at once; 0: none.
	failures, connects int32
	watch              bool // endpoints may be ejected
	bounds             bounds
}

// target is a model.Endpoint: an address, or a name.
type target struct {
	host     string
	addr     netip.Addr // valid when host is an address
	name     *name      // otherwise
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

// newSpec makes svc ready for c. It holds the names it needs, on c's behalf,
// until release; fresh are those that have not been looked up yet. With an
// error (TLS) the spec has no targets.
func newSpec(c *Cluster, svc *model.Service, own *model.Certificate) (sp *spec, fresh []*name, err error) {
	sp = &spec{service: svc, own: own, set: settingsOf(svc), near: nearnessOf(svc)}
	sp.set.bounds = boundsOf(svc, sp.set, c.owner.env.Files, len(c.owner.loops))
	old := c.spec.Load()
	if old != nil {
		sp.trust = old.trust
		if !sameTLS(old.service.TLS, svc.TLS) || !sameCertificate(old.own, own) || old.service.Protocol != svc.Protocol || old.service.Identity != svc.Identity {
			sp.trust++
		}
	}
	if sp.codec, err = c.owner.codec(svc); err != nil {
		sp.err = err
		return sp, nil, err
	}
	type pair struct{ dialer, raw wire.Dialer }
	dialers := map[string]pair{}
	for i := range svc.Endpoints {
		e := &svc.Endpoints[i]
		d, codec := dialers[e.Host], sp.codec
		if e.Identity != "" {
			d.raw, codec = nil, c.owner.env.HTTP2 // flows go through a tunnel
			if d.dialer, err = c.owner.mutual(svc, e); err != nil {
				sp.err, sp.targets = err, nil
				return sp, nil, err
			}
		} else if d.dialer == nil {
			if d.dialer, err = c.owner.dialer(svc, own, e.Host); err == nil {
				d.raw, err = c.owner.raw(svc, own, e.Host)
			}
			if err != nil {
				sp.err = err
				sp.targets = nil
				return sp, nil, err
			}
			dialers[e.Host] = d
		}
		t := target{host: e.Host, port: e.Port, weight: uint32(min(max(e.Weight, 1), maxWeight)), dialer: d.dialer, raw: d.raw, codec: codec,
			place: e.Place, priority: e.Priority, standby: e.Standby, peer: e.Identity, sni: e.ServerName, inner: e.Authority}
		if t.addr, err = netip.ParseAddr(e.Host); err != nil {
			var isNew bool
			t.name, isNew = c.owner.names.hold(e.Host, c)
			sp.names = append(sp.names, t.name)
			if isNew {
				fresh = append(fresh, t.name)
			}
		}
		sp.targets = append(sp.targets, t)
	}
	return sp, fresh, nil
}

// release lets go of the names. A nil spec has none.
func (sp *spec) release(c *Cluster) {
	if sp == nil {
		return
	}
	for _, n := range sp.names {
		c.owner.names.drop(n, c)
	}
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
	if svc.Protocol == model.HTTP2 || svc.Protocol == model.HTTPAuto || svc.Identity != "" {
		if set.streams = svc.MaxStreams; set.streams == 0 {
			set.streams = model.DefaultMaxStreams
		}
	}
	set.connect, set.idle = min(set.connect, longest), min(set.idle, longest)
	set.watching(svc.Ejection)
	return set
}

// sameService says whether b asks for what a asks for; where it was written
// does not matter.
func sameService(a, b *model.Service) bool {
	if a == b {
		return true
	}
	return a.Name == b.Name && a.Host == b.Host && a.ProxyProtocol == b.ProxyProtocol && a.Balance == b.Balance && slices.Equal(a.Hash, b.Hash) && same(a.SlowStart, b.SlowStart) &&
		a.Protocol == b.Protocol && a.MaxStreams == b.MaxStreams && a.Connect == b.Connect && a.Idle == b.Idle && a.MaxIdle == b.MaxIdle && a.Identity == b.Identity && a.Local == b.Local &&
		slices.Equal(a.Endpoints, b.Endpoints) && same(a.Locality, b.Locality) && sameTLS(a.TLS, b.TLS) && same(a.Health, b.Health) &&
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

func sameTLS(a, b *model.BackendTLS) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.CAFile == b.CAFile && a.Insecure == b.Insecure &&
		bytes.Equal(a.CA, b.CA) && slices.Equal(a.Names, b.Names) && a.Certificate == b.Certificate
}

// sameCertificate compares what is shown; files are read again by themselves.
func sameCertificate(a, b *model.Certificate) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.ChainFile == b.ChainFile && a.KeyFile == b.KeyFile &&
		bytes.Equal(a.Chain, b.Chain) && bytes.Equal(a.Key, b.Key)
}
