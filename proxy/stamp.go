package proxy

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// Keys that every request needs, kept near.
var (
	keyUserAgent = wire.KeyUserAgent
	keyRequestID = wire.KeyXRequestID
	// keyPassport is by what a gateway tells workloads on whose behalf it calls.
	keyPassport = wire.KeyOf("Naru-Passport")
)

// maxRequestID bounds a request id that a trusted proxy gave.
const maxRequestID = 128

// stamp tells the service who asked and through what: X-Forwarded-For, -Proto,
// -Host and -Client-Cert, Forwarded (RFC 7239), and X-Request-Id.
//
// What a client claims about itself is worth nothing, so without trusted hops
// all of it is replaced, or removed (X-Forwarded-Port, Forwarded). With trusted
// hops the proxy in front has said it already: X-Forwarded-For and Forwarded
// grow by one, the others stay.
func (x *exchange) stamp() {
	h := &x.Request
	if m := x.listener.noun.Mesh; m != nil {
		// Between two programs of the mesh nothing stands that clients could use:
		// what one says to the other is theirs, but for who it is. That is taken off
		// on both sides: not every service has a proxy.
		if m.Side == model.OutboundSide {
			x.claimless()
		} else {
			x.workload(m)
		}
		if !h.Has(keyRequestID) {
			x.identify()
		}
		return
	}
	trusted := x.listener.noun.TrustedHops > 0
	remote := x.remote()
	w := x.w

	w.out = w.out[:0]
	if trusted {
		if was, ok := h.Joined(wire.KeyXForwardedFor, w.tmp[:0]); ok && len(was) > 0 {
			w.out = append(append(w.out, was...), ", "...)
		}
	}
	w.out = remote.AppendTo(w.out)
	h.Set(wire.KeyXForwardedFor, w.out)
	if trusted {
		x.hops = h.Value(&h.Fields[len(h.Fields)-1])
		x.forwarded(remote)
	} else {
		h.Remove(wire.KeyForwarded)
	}
	if !trusted || !h.Has(wire.KeyXForwardedProto) {
		h.SetString(wire.KeyXForwardedProto, x.Scheme)
	}
	switch {
	case trusted && h.Has(wire.KeyXForwardedHost):
	case len(h.Authority) > 0:
		h.Set(wire.KeyXForwardedHost, h.Authority)
	default:
		h.Remove(wire.KeyXForwardedHost) // HTTP/1.0 need not name a host
	}
	if !trusted {
		h.Remove(wire.KeyXForwardedPort)
	}
	x.certificate(trusted)
	dropLookalikes(h, !trusted)
	if id, ok := h.Get(keyRequestID); !trusted || !ok || len(id) == 0 || len(id) > maxRequestID {
		x.identify()
	}
}

// workload tells a workload who has called it, where it is to be told, and
// leaves nothing that a caller has said of that: but for a gateway, which has
// taken off what its clients said, and tells of those. In a tunnel it has not:
// there its clients may speak themselves.
func (x *exchange) workload(m *model.MeshDoor) {
	h, t, gateway := &x.Request, x.Peer.TLS, x.w.proxy.opt.Gateway
	dropLookalikes(h, !x.trustsTime())
	w := x.w
	w.out = w.out[:0]
	if gateway != nil && t != nil && m.Side == model.Inbound && !t.Tunnel && gateway(t.Identity) {
		was, _ := h.Joined(wire.KeyXForwardedClientCert, w.tmp[:0])
		w.out = append(w.out, was...)
	}
	if m.Forward && t != nil && t.Identity != "" {
		if len(w.out) > 0 {
			w.out = append(w.out, ", "...)
		}
		w.out = append(append(w.out, "By="...), m.Identity...)
		w.out = append(append(w.out, ';'), t.Forwarded...)
	}
	if len(w.out) > 0 {
		h.Set(wire.KeyXForwardedClientCert, w.out)
		return
	}
	h.Remove(wire.KeyXForwardedClientCert)
}

// claimless takes off what a workload says of who it calls for, which only a
// proxy may say. A passport stays as long as it stays in the mesh: services pass
// on those that they were given, and a forged one is refused.
func (x *exchange) claimless() {
	x.Request.Remove(wire.KeyXForwardedClientCert)
	dropLookalikes(&x.Request, false)
	if x.rule == nil || x.rule.leaves {
		x.Request.Remove(keyPassport)
	}
}

// dropLookalikes removes X_Forwarded_For and its like: to services behind CGI,
// WSGI and PHP they are the same as the ones with hyphens, so a client could
// say by them what it may not say by those. With time it also removes how long a
// client says that it waits.
func dropLookalikes(h *wire.Head, time bool) {
	const prefix = "x_forwarded_"
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != wire.OtherField || f.NameEnd-f.Start < uint32(len(prefix)) {
			continue
		}
		name := h.Name(f)
		if c := name[0] | 0x20; c != 'x' && c != 'n' {
			continue
		}
		if lookalike(name[:len(prefix)], prefix) || lookalike(name, "x_request_id") || lookalike(name, "naru_passport") ||
			time && wire.EqualFold(name, requestTimeout) {
			f.Dropped = true
		}
	}
}

// lookalike says whether name is that but for case and hyphens, and is not the
// one with hyphens alone.
func lookalike(name []byte, underscored string) bool {
	if len(name) != len(underscored) {
		return false
	}
	found := false
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_':
			found = true
		case c == '-':
			c = '_'
		}
		if c != underscored[i] {
			return false
		}
	}
	return found
}

// remote is the peer's address, in the family that it speaks.
func (x *exchange) remote() netip.Addr { return x.Peer.Remote.Addr().Unmap().WithZone("") }

// forwarded appends our element to a Forwarded header that a trusted proxy
// sent; where there is none, X-Forwarded-* say it all.
func (x *exchange) forwarded(remote netip.Addr) {
	h := &x.Request
	was, ok := h.Joined(wire.KeyForwarded, x.w.tmp[:0])
	if !ok || len(was) == 0 {
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

// certificate passes on who the client has proved to be.
func (x *exchange) certificate(trusted bool) {
	h, a := &x.Request, x.listener.noun.ClientAuth
	if a == nil || !a.Forward || x.Peer.TLS == nil || x.Peer.TLS.Forwarded == "" {
		if !trusted {
			h.Remove(wire.KeyXForwardedClientCert)
		}
		return
	}
	if trusted {
		if was, ok := h.Joined(wire.KeyXForwardedClientCert, x.w.tmp[:0]); ok && len(was) > 0 {
			x.w.out = append(append(append(x.w.out[:0], was...), ", "...), x.Peer.TLS.Forwarded...)
			h.Set(wire.KeyXForwardedClientCert, x.w.out)
			return
		}
	}
	h.SetString(wire.KeyXForwardedClientCert, x.Peer.TLS.Forwarded)
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
// n-th before the peer that naru saw itself. Where the list is shorter, or says
// something else than an address ("unknown"), it is the one nearest to that.
func (x *exchange) clientAddr() netip.Addr {
	addr := x.remote()
	list, n := x.hops, x.listener.noun.TrustedHops+1
	if list == nil { // not stamped: the peer does not stand in it
		list, _ = x.Request.Joined(wire.KeyXForwardedFor, x.w.tmp[:0])
		n--
	}
	for i := len(list); n > 0 && i >= 0; n-- {
		i = bytes.LastIndexByte(list, ',')
		if a, ok := parseAddr(list[i+1:]); ok {
			addr = a
		}
		list = list[:max(i, 0)]
	}
	return addr
}

// parseAddr reads an element of X-Forwarded-For. Some proxies add the port.
func parseAddr(b []byte) (netip.Addr, bool) {
	b = bytes.TrimSpace(b)
	if a, ok := parseIPv4(b); ok {
		return a, true
	}
	s := string(b)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	p, err := netip.ParseAddrPort(s)
	return p.Addr().Unmap().WithZone(""), err == nil
}

// parseIPv4 is netip.ParseAddr for what nearly all are, without allocating.
func parseIPv4(b []byte) (a netip.Addr, ok bool) {
	var quad [4]byte
	part, digits, v := 0, 0, 0
	for i := 0; ; i++ {
		switch {
		case i < len(b) && '0' <= b[i] && b[i] <= '9' && digits < 3 && (digits == 0 || v > 0):
			v = v*10 + int(b[i]-'0')
			digits++
			continue
		case digits == 0 || v > 255 || (i == len(b)) != (part == 3) || i < len(b) && b[i] != '.':
			return a, false
		}
		quad[part] = byte(v)
		if part == 3 {
			return netip.AddrFrom4(quad), true
		}
		part, digits, v = part+1, 0, 0
	}
}
