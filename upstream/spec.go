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
	set     *settings
	targets []target
	// trust numbers the TLS settings that a cluster had one after the other, so
	// that an endpoint is never reused across them.
	trust int
	err   error
	names []*name
}

// settings are what a pool and a pick need of a Service, defaults filled in.
type settings struct {
	least         bool          // least-request instead of round-robin
	connect, idle time.Duration // negative: no bound
	maxIdle       int
}

// target is a model.Endpoint: an address, or a name.
type target struct {
	host   string
	addr   netip.Addr // valid when host is an address
	name   *name      // otherwise
	port   uint16
	weight uint32
	dialer wire.Dialer
}

// newSpec makes svc ready for c. It holds the names it needs, on c's behalf,
// until release; fresh are those that have not been looked up yet. With an
// error (TLS) the spec has no targets.
func newSpec(c *Cluster, svc *model.Service) (sp *spec, fresh []*name, err error) {
	sp = &spec{service: svc, set: settingsOf(svc)}
	old := c.spec.Load()
	if old != nil {
		sp.trust = old.trust
		if !sameTLS(old.service.TLS, svc.TLS) {
			sp.trust++
		}
	}
	dialers := map[string]wire.Dialer{}
	for i := range svc.Endpoints {
		e := &svc.Endpoints[i]
		d := dialers[e.Host]
		if d == nil {
			if d, err = c.owner.dialer(svc.TLS, e.Host); err != nil {
				sp.err = err
				sp.targets = nil
				return sp, nil, err
			}
			dialers[e.Host] = d
		}
		t := target{host: e.Host, port: e.Port, weight: uint32(min(max(e.Weight, 1), maxWeight)), dialer: d}
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
func (s *Set) dialer(t *model.BackendTLS, host string) (wire.Dialer, error) {
	if t == nil {
		return wire.PlainDialer{}, nil
	}
	if s.env.TLS == nil {
		return nil, errors.New("TLS to services is not available")
	}
	return s.env.TLS(t, host)
}

// longest is what a loop's timers can tell.
const longest = 24 * time.Hour

func settingsOf(svc *model.Service) *settings {
	set := &settings{
		least:   svc.Balance == model.LeastRequest,
		connect: svc.Connect,
		idle:    svc.Idle,
		maxIdle: svc.MaxIdle,
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
	set.connect, set.idle = min(set.connect, longest), min(set.idle, longest)
	return set
}

// sameService says whether b asks for what a asks for; where it was written
// does not matter.
func sameService(a, b *model.Service) bool {
	if a == b {
		return true
	}
	return a.Name == b.Name && a.Host == b.Host && a.Balance == b.Balance &&
		a.Connect == b.Connect && a.Idle == b.Idle && a.MaxIdle == b.MaxIdle &&
		slices.Equal(a.Endpoints, b.Endpoints) && sameTLS(a.TLS, b.TLS) && sameHealth(a.Health, b.Health)
}

func sameTLS(a, b *model.BackendTLS) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.CAFile == b.CAFile && a.Insecure == b.Insecure &&
		bytes.Equal(a.CA, b.CA)
}

func sameHealth(a, b *model.HealthCheck) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
