package proxy

import (
	"net/netip"
	"slices"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// hashKey is a model.HashKey compiled.
type hashKey struct {
	noun   model.HashKey
	header wire.Key         // of HashHeader
	reader filter.KeyReader // of HashCEL
}

// keys are what requests to a service go by; nil where the service is not
// balanced by keys.
func (c *compiler) keys(service string) (list []hashKey) {
	v := c.services[service]
	if v == nil || !v.Balance.Hashes() {
		return nil
	}
	for _, k := range v.Hash {
		key := hashKey{noun: k, header: wire.KeyOf(k.Name)}
		if k.Kind == model.HashCEL {
			if c.mesh == nil || c.mesh.Key == nil {
				continue
			}
			var err error
			if key.reader, err = c.mesh.Key(k.Name); err != nil {
				c.problem(v.Origin, "service %s: the expression %s, by which it hashes: %v", service, k.Name, err)
				continue
			}
		}
		list = append(list, key)
	}
	return list
}

func (c *compiler) sameKeys(b *backend) bool {
	v := c.services[b.noun.Service]
	if v == nil || !v.Balance.Hashes() {
		return len(b.keys) == 0
	}
	return slices.EqualFunc(b.keys, v.Hash, func(x hashKey, y model.HashKey) bool { return x.noun == y })
}

// bySource says whether the client's address is a key of a service: the only one
// that a connection has.
func (c *compiler) bySource(service string) bool {
	v := c.services[service]
	return v != nil && v.Balance.Hashes() && slices.ContainsFunc(v.Hash, func(k model.HashKey) bool { return k.Kind == model.HashSource })
}

// wants fills a with what the next try wants of the cluster.
func (x *exchange) wants(a *upstream.Ask) {
	a.Tried, a.Class, a.Session = &x.tried, x.rule.class, x.session
	a.Once = !x.whole || !x.repeatable()
	for i := range x.backend.keys {
		if v, ok := x.key(&x.backend.keys[i]); ok {
			a.Hash, a.Hashed = upstream.HashOf(v), true
			break
		}
	}
}

// key gives the part of the request that k names, lent until the worker goes on.
// What is empty is as good as not there: it would lead all who have nothing to
// one endpoint.
func (x *exchange) key(k *hashKey) (v []byte, ok bool) {
	switch k.noun.Kind {
	case model.HashSource:
		addr := x.clientAddr() // it uses w.tmp
		x.w.out = addr.AppendTo(x.w.out[:0])
		return x.w.out, true
	case model.HashCookie:
		v, ok = route.Cookie(&x.Request, k.noun.Name)
	case model.HashQuery:
		v, ok = x.w.hit.Query(&x.Request, k.noun.Name)
	case model.HashCEL:
		if v, ok = k.reader.Key(x.w.out[:0], &x.Exchange); ok {
			x.w.out = v // it may have grown
		}
	case model.HashHeader:
		if k.header.ID == wire.Host {
			return x.Request.Authority, len(x.Request.Authority) > 0
		}
		v, ok = x.Request.Joined(k.header, x.w.tmp[:0])
	}
	return v, ok && len(v) > 0
}

// ask is what a connection of client, of flow f, wants of the cluster.
func (b *flowBackend) ask(f *flow, tried *upstream.Tried, client netip.AddrPort) upstream.Ask {
	a := upstream.Ask{Tried: tried, Class: upstream.ClassOf(f.noun.Priority)}
	if b.source {
		var room [64]byte
		a.Hash, a.Hashed = upstream.HashOf(client.Addr().Unmap().WithZone("").AppendTo(room[:0])), true
	}
	return a
}
