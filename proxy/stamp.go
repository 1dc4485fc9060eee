package proxy

import (
	"bytes"
	"net/netip"

	"github.com/naru-mesh/naru/wire"
)

// Keys that every request needs, kept near.
var (
	keyUserAgent = wire.KeyUserAgent
	keyRequestID = wire.KeyXRequestID
)

// maxRequestID bounds a request id that a trusted proxy gave.
const maxRequestID = 128

// stamp tells the service who asked and through what: X-Forwarded-For, -Proto,
// -Host and -Port, Forwarded (RFC 7239), and X-Request-Id.
//
// What a client claims about itself is worth nothing, so without trusted hops
// all of it is replaced. With trusted hops the proxy in front has said it
// already: X-Forwarded-For and Forwarded grow by one, the others stay.
func (x *exchange) stamp() {
	h := &x.Request
	trusted := x.listener.noun.TrustedHops > 0
	remote := x.Peer.Remote.Addr().Unmap()
	w := x.w

	if trusted {
		if was, ok := h.Joined(wire.KeyXForwardedFor, w.tmp[:0]); ok {
			w.out = append(append(w.out[:0], was...), ", "...)
			w.out = remote.AppendTo(w.out)
			h.Set(wire.KeyXForwardedFor, w.out)
		} else {
			x.setAddr(remote)
		}
		x.forwarded(remote)
	} else {
		h.Remove(wire.KeyXForwardedFor)
		h.Remove(wire.KeyForwarded)
		x.setAddr(remote)
	}
	if !trusted || !h.Has(wire.KeyXForwardedProto) {
		h.SetString(wire.KeyXForwardedProto, x.Scheme)
	}
	if !trusted || !h.Has(wire.KeyXForwardedHost) {
		h.Set(wire.KeyXForwardedHost, h.Authority)
	}
	if !trusted {
		h.Remove(wire.KeyXForwardedPort)
	}
	if id, ok := h.Get(keyRequestID); !trusted || !ok || len(id) == 0 || len(id) > maxRequestID {
		x.identify()
	}
}

func (x *exchange) setAddr(a netip.Addr) {
	x.w.tmp = a.AppendTo(x.w.tmp[:0])
	x.Request.Add(wire.KeyXForwardedFor, x.w.tmp)
}

// forwarded appends our element to a Forwarded header that a trusted proxy
// sent; where there is none, X-Forwarded-* say it all.
func (x *exchange) forwarded(remote netip.Addr) {
	h := &x.Request
	was, ok := h.Joined(wire.KeyForwarded, x.w.tmp[:0])
	if !ok {
		return
	}
	out := append(append(x.w.out[:0], was...), ", for="...)
	if remote.Is6() {
		out = append(out, `"[`...)
		out = remote.AppendTo(out)
		out = append(out, `]"`...)
	} else {
		out = remote.AppendTo(out)
	}
	out = append(out, ";proto="...)
	out = append(out, x.Scheme...)
	out = append(out, `;host="`...)
	out = append(out, h.Authority...)
	out = append(out, '"')
	x.w.out = out
	h.Set(wire.KeyForwarded, out)
}

// identify gives the request an id: 128 bits in hex, of which half are random
// for the process and half count.
func (x *exchange) identify() {
	var id [32]byte
	w := x.w
	w.id[1]++
	hex(id[:16], w.id[0])
	hex(id[16:], w.id[1])
	x.Request.Set(keyRequestID, id[:])
}

func hex(out []byte, v uint64) {
	const digits = "0123456789abcdef"
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = digits[v&15]
		v >>= 4
	}
}

// clientAddr is the address that the trusted hops vouch for: with n hops, the
// n-th before the peer that naru saw itself.
func (x *exchange) clientAddr() netip.Addr {
	remote := x.Peer.Remote.Addr().Unmap()
	list, ok := x.Request.Joined(wire.KeyXForwardedFor, x.w.tmp[:0])
	if !ok {
		return remote
	}
	addr := remote
	for n := x.listener.noun.TrustedHops + 1; n > 0; n-- {
		last := list
		i := bytes.LastIndexByte(list, ',')
		if i >= 0 {
			last, list = list[i+1:], list[:i]
		}
		if a, err := netip.ParseAddr(string(bytes.TrimSpace(last))); err == nil {
			addr = a
		}
		if i < 0 {
			break
		}
	}
	return addr
}
