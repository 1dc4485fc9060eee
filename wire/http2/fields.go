package http2

import (
	"bytes"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// pseudo is a set of pseudo-header fields.
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoPath
	pseudoAuthority
	pseudoProtocol
	pseudoStatus
)

// special fields are read here, or must not be there; the rest is passed on.
var special = wire.SetOf(wire.Host, wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.KeepAlive,
	wire.TE, wire.Upgrade, wire.ProxyConnection, wire.Expect, wire.HTTP2Settings, wire.Cookie)

// bounds of a header list; negative is none. Each field counts 32 bytes more
// than it has (RFC 9113 section 10.5.1).
type bounds struct{ bytes, fields int }

func (m *session) headBounds() bounds {
	if m.client {
		return bounds{maxResponseHead, maxResponseFields}
	}
	return bounds{m.lim.HeadBytes, m.lim.Fields}
}

// fieldReader makes a wire.Head of a header list: field lines as HTTP/1 has
// them, so that whatever passes here is unambiguous there. What is wrong first
// is why.
type fieldReader struct {
	h      *wire.Head
	stream *stream // of a request: its priority
	bounds
	uri      int
	size     int
	count    int
	why      observe.Reason
	request  bool
	trailers bool
	regular  bool // a field that is not a pseudo-header field came
	lengths  bool
	expects  bool
	hosts    uint8
	seen     pseudo
	length   int64
	path     []byte
	protocol []byte
	host     []byte
	cookie   []byte // crumbs, joined
}

// start makes r ready for a header list.
func (r *fieldReader) start(h *wire.Head, b bounds) *fieldReader {
	*r = fieldReader{h: h, bounds: b, uri: -1, cookie: r.cookie[:0]}
	return r
}

func (r *fieldReader) refuse(why observe.Reason) bool {
	r.why = why
	return false
}

// nameByte says which bytes a name may have: those of a token, but for upper
// case (RFC 9113 section 8.2.1).
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = wire.IsToken(byte(c)) && (c < 'A' || 'Z' < c)
	}
	return t
}()

// field is fieldSink's.
func (r *fieldReader) field(name, value []byte, never bool) bool {
	r.size += len(name) + len(value) + 32
	if r.bytes >= 0 && r.size > r.bytes {
		return r.refuse(observe.HeadTooLarge)
	}
	if len(name) > 0 && name[0] == ':' {
		return r.pseudo(name, value)
	}
	r.regular = true
	for _, c := range name {
		if !nameByte[c] {
			return r.refuse(observe.BadField)
		}
	}
	if len(name) == 0 || !validValue(value) {
		return r.refuse(observe.BadField)
	}
	id := wire.LookupField(name)
	if special.Has(id) && !r.trailers {
		if !r.special(id, value) {
			return false
		}
		if id != wire.TE {
			return r.why == 0
		}
	}
	if r.count++; r.fields >= 0 && r.count > r.fields {
		return r.refuse(observe.TooManyFields)
	}
	if r.stream != nil && len(name) == 8 && string(name) == "priority" {
		r.stream.prioritize(value)
	}
	r.add(id, name, value, never)
	return true
}

// add appends a field line.
func (r *fieldReader) add(id wire.FieldID, name, value []byte, never bool) {
	h := r.h
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, name...)
	h.Buf = append(h.Buf, ": "...)
	from := uint32(len(h.Buf))
	h.Buf = append(h.Buf, value...)
	to := uint32(len(h.Buf))
	h.Buf = append(h.Buf, "\r\n"...)
	h.AppendLine(id, start, start+uint32(len(name)), from, to, to+2)
	h.Fields[len(h.Fields)-1].Never = never
}

// validValue refuses what HTTP/1.1 would read in another way: control
// characters and blanks around the value (RFC 9113 section 8.2.1).
func validValue(v []byte) bool {
	n := len(v)
	return n == 0 || wire.ValueEnd(v, 0) == n && v[0] != ' ' && v[0] != '\t' && v[n-1] != ' ' && v[n-1] != '\t'
}

// special reads a field that says something about the message or the
// connection. There is no connection to speak of in HTTP/2 (section 8.2.2).
func (r *fieldReader) special(id wire.FieldID, v []byte) bool {
	switch id {
	case wire.TE:
		if !wire.EqualFold(v, "trailers") {
			return r.refuse(observe.BadField)
		}
	case wire.ContentLength:
		n, ok := wire.Decimal(v)
		if !ok || r.lengths {
			return r.refuse(observe.BadLength)
		}
		r.lengths, r.length = true, n
	case wire.Host:
		if !r.request {
			return true
		}
		if r.hosts++; r.hosts > 1 {
			return r.refuse(observe.BadHost)
		}
		r.host = r.h.Keep(v)
	case wire.Cookie:
		if len(r.cookie) > 0 {
			r.cookie = append(r.cookie, "; "...)
		}
		r.cookie = append(r.cookie, v...)
	case wire.Expect:
		if !r.request {
			return true
		}
		if !wire.EqualFold(v, "100-continue") {
			return r.refuse(observe.BadExpect)
		}
		r.expects = true
	case wire.HTTP2Settings:
	default:
		return r.refuse(observe.BadField)
	}
	return true
}

// pseudo reads a pseudo-header field (section 8.3).
func (r *fieldReader) pseudo(name, v []byte) bool {
	var p pseudo
	switch string(name) {
	case ":method":
		p = pseudoMethod
	case ":scheme":
		p = pseudoScheme
	case ":path":
		p = pseudoPath
	case ":authority":
		p = pseudoAuthority
	case ":protocol":
		p = pseudoProtocol
	case ":status":
		p = pseudoStatus
	}
	if p == 0 || r.regular || r.trailers || r.seen&p != 0 || r.request == (p == pseudoStatus) {
		return r.refuse(observe.BadPseudo)
	}
	r.seen |= p
	h := r.h
	switch p {
	case pseudoMethod:
		for _, c := range v {
			if !wire.IsToken(c) {
				return r.refuse(observe.BadPseudo)
			}
		}
		if len(v) == 0 {
			return r.refuse(observe.BadPseudo)
		}
		h.Method = h.Keep(v)
	case pseudoScheme:
		if !wire.EqualFold(v, "http") && !wire.EqualFold(v, "https") {
			return r.refuse(observe.BadPseudo)
		}
	case pseudoPath:
		if r.uri >= 0 && len(v) > r.uri {
			return r.refuse(observe.URITooLong)
		}
		for _, c := range v {
			if !wire.TargetByte[c] {
				return r.refuse(observe.BadTarget)
			}
		}
		r.path = h.Keep(v)
	case pseudoAuthority:
		if !wire.ValidAuthority(v) {
			return r.refuse(observe.BadHost)
		}
		h.Authority = h.Keep(v)
	case pseudoProtocol:
		r.protocol = h.Keep(v)
	case pseudoStatus:
		if len(v) != 3 {
			return r.refuse(observe.BadPseudo)
		}
		n, ok := wire.Decimal(v)
		if !ok || n < 100 {
			return r.refuse(observe.BadPseudo)
		}
		h.Status = int(n)
	}
	return true
}

var (
	methodGET = []byte("GET")
	cookie    = []byte("cookie")
)

// joinCookie makes one line of all crumbs (section 8.2.3).
func (r *fieldReader) joinCookie() {
	if len(r.cookie) > 0 {
		r.add(wire.Cookie, cookie, r.cookie, false)
	}
}

// finishRequest completes x.Request, of which all fields were read.
func (r *fieldReader) finishRequest(x *wire.Exchange, end bool) {
	h := r.h
	if r.path != nil {
		h.Path = r.path // for the log, should it be refused
	}
	if r.why != 0 {
		return
	}
	connect := string(h.Method) == "CONNECT"
	extended := connect && r.seen&pseudoProtocol != 0
	switch {
	case connect && !extended:
		// What is well-formed asks for a tunnel to anywhere (section 8.5).
		r.why = observe.BadUpgrade
		if r.seen != pseudoMethod|pseudoAuthority {
			r.why = observe.BadPseudo
		}
		return
	case r.seen&(pseudoMethod|pseudoScheme|pseudoPath) != pseudoMethod|pseudoScheme|pseudoPath,
		!connect && r.seen&pseudoProtocol != 0:
		r.why = observe.BadPseudo
		return
	}
	if r.why = r.target(extended); r.why != 0 {
		return
	}
	if r.hosts > 0 {
		switch {
		case !wire.ValidAuthority(r.host), h.Authority != nil && !bytes.EqualFold(h.Authority, r.host):
			r.why = observe.BadHost
			return
		case h.Authority == nil:
			h.Authority = r.host
		}
	}
	if h.Authority == nil {
		r.why = observe.BadHost
		return
	}
	r.joinCookie()
	if extended {
		if !wire.Tunnels(r.protocol) || bytes.IndexByte(r.protocol, ',') >= 0 {
			r.why = observe.BadUpgrade
			return
		}
		h.Method = methodGET
		x.Upgrade = r.protocol
		challenge(h, r.protocol)
		return
	}
	switch {
	case end && r.lengths && r.length != 0:
		r.why = observe.BadLength
	case end:
		h.Length = 0
	case r.lengths:
		h.Length = r.length
	default:
		h.Length = -1
	}
	x.ExpectContinue = r.expects && !end
}

// target takes :path apart; see http1, whose rules these are.
func (r *fieldReader) target(extended bool) observe.Reason {
	h, t := r.h, r.path
	if len(t) == 1 && t[0] == '*' {
		if string(h.Method) != "OPTIONS" {
			return observe.BadTarget
		}
		h.Path = t
		return 0
	}
	if len(t) == 0 || t[0] != '/' {
		return observe.BadTarget
	}
	h.Path = t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		h.Path = t[:i:i]
		h.Query, h.HasQuery = t[i+1:len(t):len(t)], true
	}
	if !wire.ValidPath(h.Path) {
		return observe.BadTarget
	}
	return 0
}

var nameLength = []byte("content-length")

// finishResponse completes h. Its length is decided as in HTTP/1 (RFC 9110
// section 8.6).
func (r *fieldReader) finishResponse(h *wire.Head, end, toHEAD bool) {
	if r.why != 0 {
		return
	}
	if r.seen&pseudoStatus == 0 || h.Status == 101 {
		r.why = observe.BadPseudo
		return
	}
	r.joinCookie()
	switch {
	case h.Status < 200, h.Status == 204:
		h.Length = 0
	case h.Status == 304, toHEAD:
		if r.lengths {
			// Of the body that is not there.
			var digits [20]byte
			r.add(wire.ContentLength, nameLength, appendDecimal(digits[:0], r.length), false)
		}
		h.Length = 0
	case end && r.lengths && r.length != 0:
		r.why = observe.BadLength
	case end:
		h.Length = 0
	case r.lengths:
		h.Length = r.length
	default:
		h.Length = -1
	}
}
