package proxy

import (
	"net/netip"
	"slices"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// hashKey is a model.HashKey compiled.
type hashKey struct {
	noun   model.HashKey
	header wire.Key // of HashHeader
}

// keys are what requests to a service go by; nil where the service is not
// balanced by keys.
func (c *compiler) keys(service string) (list []hashKey) {
	v := c.services[service]
	if v == nil || !v.Balance.Hashes() {
		return nil
	}
	for _, k := range v.Hash {
		list = append(list, hashKey{noun: k, header: wire.KeyOf(k.Name)})
	}
	return list
}

func (c *compiler) sameKeys(b *backend) bool {
	return slices.EqualFunc(b.keys, c.keys(b.noun.Service), func(x, y hashKey) bool { return x.noun == y.noun })
}

// bySource says whether the client's address is a key of a service: the only one
// that a connection has.
func (c *compiler) bySource(service string) bool {
	return slices.ContainsFunc(c.keys(service), func(k hashKey) bool { return k.noun.Kind == model.HashSource })
}

// wants is what the next try wants of the cluster.
func (x *exchange) wants(fresh bool) upstream.Ask {
	a := upstream.Ask{Tried: &x.tried, Fresh: fresh, Class: x.rule.class, Session: x.session, Once: !x.whole || !x.repeatable()}
	for i := range x.backend.keys {
		if v, ok := x.key(&x.backend.keys[i]); ok {
			a.Hash, a.Hashed = upstream.HashOf(v), true
			break
		}
	}
	return a
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
	case model.HashHeader:
		if k.header.ID == wire.Host {
			return x.Request.Authority, len(x.Request.Authority) > 0
		}
		v, ok = x.Request.Joined(k.header, x.w.tmp[:0])
	}
	return v, ok && len(v) > 0
}

// ask is what a connection of client wants of the cluster.
func (b *flowBackend) ask(tried *upstream.Tried, client netip.AddrPort) upstream.Ask {
	a := upstream.Ask{Tried: tried}
	if b.source {
		var room [64]byte
		a.Hash, a.Hashed = upstream.HashOf(client.Addr().Unmap().WithZone("").AppendTo(room[:0])), true
	}
	return a
}
