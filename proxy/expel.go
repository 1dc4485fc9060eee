package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Expel ends at once the connections of callers of the mesh whose certificates
// are not believed any more, with the requests and tunnels on them. gone is asked
// about each, on its loop, and from then on about each that comes: a handshake that
// had seen the certificate before may have been kept waiting for its end.
func (p *Proxy) Expel(gone func(t *wire.TLSState) bool) {
	p.gone.Store(&gone)
	codec, ok := p.opt.HTTP2.(wire.Cutter)
	if !ok {
		return
	}
	for _, w := range p.workers {
		w.loop.Post(func() {
			codec.Cut(w.loop, func(s wire.Server, peer *wire.Peer) bool {
				_, ours := s.(*door)
				return ours && p.forgot(peer)
			}, observe.ClientIdentity)
		})
	}
}

// forgot says whether a caller is one that Expel has ended, or would have.
func (p *Proxy) forgot(peer *wire.Peer) bool {
	gone, t := p.gone.Load(), peer.TLS
	return gone != nil && t != nil && t.Identity != "" && t.Certificate != nil && (*gone)(t)
}
