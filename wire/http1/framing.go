package http1

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var (
	// framingFields decide how a message is read and where it goes; the rest
	// of a head is passed on unread.
	framingFields = wire.SetOf(wire.Host, wire.Connection, wire.ContentLength, wire.TransferEncoding,
		wire.KeepAlive, wire.TE, wire.Trailer, wire.Upgrade, wire.ProxyConnection, wire.Expect, wire.HTTP2Settings)
	// unnameable fields stay even if Connection names them: those that the
	// framing was decided by, and those by which a proxy in front tells who the
	// client is, which the client must not be able to have removed.
	unnameable = wire.SetOf(wire.Host, wire.ContentLength, wire.TransferEncoding, wire.XForwardedFor, wire.XForwardedHost,
		wire.XForwardedPort, wire.XForwardedProto, wire.Forwarded, wire.XForwardedClientCert)
)

// maxOptions bounds the options of Connection: each is compared with each
// field.
const maxOptions = 64

// framing is what the fields of a head say about the message and the
// connection.
type framing struct {
	length    int64 // Content-Length, -1 without
	lengths   int   // lines of Content-Length
	badLength bool
	codings   int // lines of Transfer-Encoding
	chunked   bool
	hosts     int
	host      int // index of the last Host
	upgrades  int
	upgrade   int // index of the last Upgrade
	expects   bool
	badExpect bool
	trailer   int // index of a Trailer, or -1
	options   int // options of Connection
	// options of Connection
	close, keepAlive, wantsUpgrade bool
	trailers                       bool // TE has "trailers"
}

// read gathers f from h.Fields and drops what is for this hop only (RFC 9110
// section 7.6.1) or is carried elsewhere in Head. keep are fields that stay
// although they are of the framing.
func (f *framing) read(h *wire.Head, keep wire.FieldSet) {
	*f = framing{length: -1, trailer: -1}
	for i := range h.Fields {
		fl := &h.Fields[i]
		if !framingFields.Has(fl.ID) {
			continue
		}
		fl.Dropped = !keep.Has(fl.ID)
		v := h.Value(fl)
		switch fl.ID {
		case wire.Host:
			f.hosts++
			f.host = i
		case wire.ContentLength:
			f.lengths++
			n, ok := wire.Decimal(v)
			if !ok {
				f.badLength = true
			}
			f.length = n
		case wire.TransferEncoding:
			f.codings++
			f.chunked = wire.EqualFold(v, "chunked")
		case wire.Connection:
			f.connection(v)
		case wire.TE:
			for len(v) > 0 && !f.trailers {
				var e []byte
				e, v = wire.Element(v)
				f.trailers = wire.EqualFold(e, "trailers")
			}
		case wire.Trailer:
			f.trailer = i
		case wire.Upgrade:
			f.upgrades++
			f.upgrade = i
		case wire.Expect:
			f.expects = true
			f.badExpect = f.badExpect || !wire.EqualFold(v, "100-continue")
		}
	}
	if f.options > 0 {
		f.dropNamed(h)
	}
}

// connection reads one Connection line.
func (f *framing) connection(v []byte) {
	for len(v) > 0 {
		var o []byte
		o, v = wire.Element(v)
		switch {
		case wire.EqualFold(o, "keep-alive"):
			f.keepAlive = true
		case wire.EqualFold(o, "close"):
			f.close = true
		case wire.EqualFold(o, "upgrade"):
			f.wantsUpgrade = true
		case len(o) > 0:
			f.options++
		}
	}
}

// dropNamed drops the fields that Connection names.
func (f *framing) dropNamed(h *wire.Head) {
	for i := range h.Fields {
		c := &h.Fields[i]
		if c.ID != wire.Connection {
			continue
		}
		v := h.Value(c)
		for n := 0; len(v) > 0 && n < maxOptions; n++ {
			var o []byte
			o, v = wire.Element(v)
			for j := range h.Fields {
				fl := &h.Fields[j]
				if !fl.Dropped && !unnameable.Has(fl.ID) && equalNames(h.Name(fl), o) {
					fl.Dropped = true
				}
			}
		}
	}
}

// body decides a message's body from a head that is not exempt from having
// one (RFC 9112 section 6.3). none is the length where neither field says.
//
// Section 6.3 lets a recipient replace equal repeated lengths by one; they are
// refused like different ones, because no known sender makes them and the
// next reader may count them otherwise. Section 6.1 suggests 501 for unknown
// codings; like all that cannot be framed they are refused with 400.
func (f *framing) body(minor uint8, none int64) (length int64, why observe.Reason) {
	switch {
	case f.codings > 0 && f.lengths > 0:
		return 0, observe.LengthAndChunked
	case f.codings > 0:
		if f.codings > 1 || !f.chunked || minor == 0 {
			return 0, observe.BadTransferCoding
		}
		return -1, 0
	case f.lengths > 1 || f.badLength:
		return 0, observe.BadLength
	case f.lengths == 1:
		return f.length, 0
	}
	return none, 0
}

// keepTrailer lets the announcement of trailer fields pass: only a chunked
// message can have them.
func (f *framing) keepTrailer(h *wire.Head) {
	if f.trailer >= 0 {
		h.Fields[f.trailer].Dropped = false
	}
}

// persistent says whether the sender wants the connection to stay (RFC 9112
// section 9.3).
func (f *framing) persistent(minor uint8) bool {
	return !f.close && (minor == 1 || f.keepAlive)
}

// fillRequest makes x.Request of a complete head: its bytes are copied once,
// the fields that the scanner found point into the copy. forward is as in
// wire.Limits.
func fillRequest(x *wire.Exchange, head []byte, s *scanner, f *framing, forward bool) observe.Reason {
	h := &x.Request
	h.Buf = append(h.Buf[:0], head...)
	h.Minor = s.minor
	h.Method = h.Buf[:s.method:s.method]
	if why := target(h, h.Buf[s.method+1:s.target], forward); why != 0 {
		return why
	}
	f.read(h, 0)
	if f.options > maxOptions {
		return observe.BadField
	}
	if f.hosts > 1 || f.hosts == 0 && s.minor == 1 {
		return observe.BadHost
	}
	if len(h.Path) == 0 {
		return connects(x, f)
	}
	if f.hosts == 1 {
		host := h.Value(&h.Fields[f.host])
		if !wire.ValidAuthority(host) {
			return observe.BadHost
		}
		// The target's authority replaces Host (RFC 9112 section 3.2.2).
		if h.Authority == nil {
			h.Authority = host[:len(host):len(host)]
		}
	}
	length, why := f.body(s.minor, 0)
	if why != 0 {
		return why
	}
	h.Length = length
	if f.badExpect {
		return observe.BadExpect
	}
	x.ExpectContinue = f.expects && s.minor == 1 && length != 0
	x.Upgrade = nil
	if f.wantsUpgrade && f.upgrades == 1 && s.minor == 1 && length == 0 {
		// An upgrade of a request with a body, or without Connection: upgrade,
		// may be ignored (RFC 9110 section 7.8), and is.
		if u := h.Value(&h.Fields[f.upgrade]); wire.Tunnels(u) {
			x.Upgrade = u
		}
	}
	if length < 0 {
		f.keepTrailer(h)
	}
	if f.trailers {
		// The only coding-like member of TE that this proxy can honour (RFC 9110
		// section 10.1.4); the client half adds Connection: TE.
		h.AddString(wire.KeyTE, "trailers")
	}
	return 0
}

// fillResponse makes x.Response of a complete head. until says that the body
// ends with the connection.
func fillResponse(x *wire.Exchange, head []byte, s *scanner, f *framing, toHEAD bool) (until bool, why observe.Reason) {
	h := &x.Response
	h.Buf = append(h.Buf[:0], head...)
	h.Minor = s.minor
	h.Status = int(s.status)
	keep := wire.FieldSet(0)
	switch {
	case h.Status == 101, h.Status == 426:
		keep = wire.SetOf(wire.Upgrade) // what was agreed, or what is asked for
	case h.Status == 304 || toHEAD && h.Status >= 200 && h.Status != 204:
		keep = wire.SetOf(wire.ContentLength) // of the body that is not there
	}
	f.read(h, keep)
	if f.options > maxOptions {
		return false, observe.UpstreamBadResponse
	}
	// Broken framing is refused where there is no body to frame, too: whoever
	// sends it cannot be trusted with the next message.
	h.Length, why = f.body(s.minor, -1)
	if why != 0 {
		return false, observe.UpstreamBadResponse
	}
	if h.Status < 200 || h.Status == 204 || h.Status == 304 || toHEAD {
		h.Length = 0
		return false, 0
	}
	if f.chunked {
		f.keepTrailer(h)
	}
	return h.Length < 0 && !f.chunked, 0
}

// denies says whether f announces a body that status cannot have (RFC 9110
// section 8.6). Services that do so send it too, maybe after the connection was
// lent again, where it would be another request's answer.
func (f *framing) denies(status int) bool {
	return status == 204 && (f.codings > 0 || f.length > 0)
}
