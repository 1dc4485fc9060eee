package proxy

import (
	"bytes"
	"hash/maphash"

	"github.com/naru-mesh/naru/observe"
)

// shed refuses the request where the proxy is overloaded and others matter more.
// It is asked only while the loop's gate is not calm.
//
// What naru answers by itself is never refused: that answer costs no more than a
// refusal.
func (x *exchange) shed() bool {
	w := x.w
	if len(x.rule.backends) == 0 {
		return false
	}
	if w.gate.Admit(x.class(), w.rnd.Uint32()) {
		return false
	}
	// Connections take the memory that is short. Those of HTTP/2 carry requests of
	// others, which are not refused, too.
	w.parting = w.gate.Closes() && x.Request.Minor < 2
	x.refuse(observe.ProxyOverloaded)
	w.parting = false
	return true
}

// shed refuses the connection likewise. One that stands goes on.
func (k *conversation) shed() bool {
	if g := k.w.gate; g.Calm() || g.Admit(k.flow.class(), k.w.rnd.Uint32()) {
		return false
	}
	k.fail(observe.ProxyOverloaded)
	return true
}

// shed refuses a new client of f likewise: by a hash, not by chance, or one that is
// refused would be let in at its next datagram. So as long as a share is refused, it
// is all that some send.
func (c *clients) shed(key client, f *flow) bool {
	g := c.w.gate
	return !g.Calm() && !g.Admit(f.class(), uint32(maphash.Comparable(c.w.proxy.seed, key)))
}

// asksHealth says whether a path is one by which the health of a service is asked
// for: gRPC's own, and those that orchestrators' documentation uses.
func asksHealth(path []byte) bool {
	switch string(path) {
	case "/healthz", "/livez", "/readyz":
		return true
	}
	return bytes.HasPrefix(path, []byte("/grpc.health.v1.Health/"))
}
