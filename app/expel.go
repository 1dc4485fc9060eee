package app

import (
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/wire"
)

// expel ends the connections of those who are forgotten: now, and of those for
// whom that is in the future, then. New ones are refused in the handshake.
func (g *gateway) expel(list []identity.Forgotten) {
	a := g.identities.agent.Load()
	if a == nil {
		return // nothing is open yet
	}
	now := func() {
		if g.ended.Load() {
			return
		}
		g.proxy.Expel(func(t *wire.TLSState) bool { return a.Forgot(t.Certificate, t.Identity) })
		// Whom we call shows its certificate anew, before the next request.
		for _, h := range a.Held() {
			g.clusters.Renew(string(h.ID))
		}
	}
	now()
	for i := range list {
		if wait := time.Until(list[i].From); wait > 0 {
			time.AfterFunc(wait+time.Millisecond, now)
		}
	}
}
