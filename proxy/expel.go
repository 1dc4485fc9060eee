package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Expel ends at once the connections of callers of the mesh whose certificates
// are not believed any more, with the requests and tunnels on them. gone is asked
// about each, on its loop.
func (p *Proxy) Expel(gone func(t *wire.TLSState) bool) {
	codec, ok := p.opt.HTTP2.(wire.Cutter)
	if !ok {
		return
	}
	for _, w := range p.workers {
		w.loop.Post(func() {
			codec.Cut(w.loop, func(s wire.Server, peer *wire.Peer) bool {
				_, ours := s.(*door)
				return ours && peer.TLS != nil && peer.TLS.Identity != "" && peer.TLS.Certificate != nil && gone(peer.TLS)
			}, observe.ClientIdentity)
		})
	}
}
