package wire

import (
	"bytes"
	"strconv"

	"github.com/naru-mesh/naru/observe"
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
var special = SetOf(Host, Connection, ContentLength, TransferEncoding, KeepAlive,
	TE, Upgrade, ProxyConnection, Expect, HTTP2Settings, Cookie)

// ofConnection fields are malformed wherever they stand, in trailers too (RFC
// 9113 section 8.2.2). Others that are no good there are left out.
var ofConnection = SetOf(Connection, TransferEncoding, KeepAlive, Upgrade, ProxyConnection)

// HeadBounds bound a field section; negative is none. Each field counts 32
// bytes more than it has (RFC 9113 section 10.5.1). URI is of :path. Connect
// lets CONNECT in.
type HeadBounds struct {
	Bytes, Fields, URI int
	Connect            bool
}

// HeadReader makes a Head of a field section as HTTP/2 and HTTP/3 have it:
// field lines as HTTP/1 has them, so that whatever passes here is unambiguous
// there. One is used again for each section.
type HeadReader struct {
	// Why is what is wrong first; ReasonNone if nothing is.
	Why      observe.Reason
	h        *Head
	bounds   HeadBounds
	size     int
	count    int
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

// StartRequest makes r ready for the head of a request.
func (r *HeadReader) StartRequest(h *Head, b HeadBounds) {
	*r = HeadReader{h: h, bounds: b, request: true, cookie: r.cookie[:0]}
}

// StartResponse makes r ready for the head of a response.
func (r *HeadReader) StartResponse(h *Head, b HeadBounds) {
	*r = HeadReader{h: h, bounds: b, cookie: r.cookie[:0]}
}

// StartTrailers makes r ready for a trailer section.
func (r *HeadReader) StartTrailers(h *Head, b HeadBounds) {
	*r = HeadReader{h: h, bounds: b, trailers: true, cookie: r.cookie[:0]}
}

func (r *HeadReader) refuse(why observe.Reason) bool {
	r.Why = why
	return false
}

// nameByte says which bytes a name may have: those of a token, but for upper
// case (RFC 9113 section 8.2.1).
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = IsToken(byte(c)) && (c < 'A' || 'Z' < c)
	}
	return t
}()

// Field takes the next field; never says that it must not enter a compression
// table. Once something is wrong it gives false.
func (r *HeadReader) Field(name, value []byte, never bool) bool {
	r.size += len(name) + len(value) + 32
	if r.bounds.Bytes >= 0 && r.size > r.bounds.Bytes {
		return r.refuse(observe.HeadTooLarge)
	}
	if len(name) > 0 && name[0] == ':' {
		return r.readPseudo(name, value)
	}
	r.regular = true
	for _, c := range name {
		if !nameByte[c] {
			return r.refuse(observe.BadField)
		}
	}
	if len(name) == 0 || !validBytes(value) {
		return r.refuse(observe.BadField)
	}
	id := LookupField(name)
	switch {
	case r.trailers && ofConnection.Has(id):
		return r.refuse(observe.BadField)
	case special.Has(id) && !r.trailers:
		if !r.readSpecial(id, value) {
			return false
		}
		if id != TE {
			return r.Why == 0
		}
	}
	if r.count++; r.bounds.Fields >= 0 && r.count > r.bounds.Fields {
		return r.refuse(observe.TooManyFields)
	}
	r.add(id, name, value, never)
	return true
}

// add appends a field line.
func (r *HeadReader) add(id FieldID, name, value []byte, never bool) {
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

// validBytes refuses what HTTP/1.1 would read in another way: control
// characters and blanks around the value (RFC 9113 section 8.2.1).
func validBytes(v []byte) bool {
	n := len(v)
	return n == 0 || ValueEnd(v, 0) == n && v[0] != ' ' && v[0] != '\t' && v[n-1] != ' ' && v[n-1] != '\t'
}

// readSpecial reads a field that says something about the message or the
// connection. There is no connection to speak of in HTTP/2 (RFC 9113 section 8.2.2).
func (r *HeadReader) readSpecial(id FieldID, v []byte) bool {
	switch id {
	case TE:
		if !EqualFold(v, "trailers") {
			return r.refuse(observe.BadField)
		}
	case ContentLength:
		n, ok := Decimal(v)
		if !ok || r.lengths {
			return r.refuse(observe.BadLength)
		}
		r.lengths, r.length = true, n
	case Host:
		if !r.request {
			return true
		}
		if r.hosts++; r.hosts > 1 {
			return r.refuse(observe.BadHost)
		}
		r.host = r.h.Keep(v)
	case Cookie:
		if len(r.cookie) > 0 {
			r.cookie = append(r.cookie, "; "...)
		}
		r.cookie = append(r.cookie, v...)
	case Expect:
		if !r.request {
			return true
		}
		if !EqualFold(v, "100-continue") {
			return r.refuse(observe.BadExpect)
		}
		r.expects = true
	case HTTP2Settings:
	default:
		return r.refuse(observe.BadField)
	}
	return true
}

// readPseudo reads a pseudo-header field (RFC 9113 section 8.3).
func (r *HeadReader) readPseudo(name, v []byte) bool {
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
			if !IsToken(c) {
				return r.refuse(observe.BadPseudo)
			}
		}
		if len(v) == 0 {
			return r.refuse(observe.BadPseudo)
		}
		h.Method = h.Keep(v)
	case pseudoScheme:
		if !EqualFold(v, "http") && !EqualFold(v, "https") {
			return r.refuse(observe.BadPseudo)
		}
	case pseudoPath:
		if r.bounds.URI >= 0 && len(v) > r.bounds.URI {
			return r.refuse(observe.URITooLong)
		}
		for _, c := range v {
			if !TargetByte[c] {
				return r.refuse(observe.BadTarget)
			}
		}
		r.path = h.Keep(v)
	case pseudoAuthority:
		if !ValidAuthority(v) {
			return r.refuse(observe.BadHost)
		}
		h.Authority = h.Keep(v)
	case pseudoProtocol:
		r.protocol = h.Keep(v)
	case pseudoStatus:
		if len(v) != 3 {
			return r.refuse(observe.BadPseudo)
		}
		n, ok := Decimal(v)
		if !ok || n < 100 {
			return r.refuse(observe.BadPseudo)
		}
		h.Status = int(n)
	}
	return true
}

var (
	methodGET  = []byte("GET")
	nameCookie = []byte("cookie")
)

// joinCookie makes one line of all crumbs (RFC 9113 section 8.2.3).
func (r *HeadReader) joinCookie() {
	if len(r.cookie) > 0 {
		r.add(Cookie, nameCookie, r.cookie, false)
	}
}

// FinishRequest completes x.Request, of which all fields were read. end says
// that nothing follows it.
func (r *HeadReader) FinishRequest(x *Exchange, end bool) {
	h := r.h
	if r.path != nil {
		h.Path = r.path // for the log, should it be refused
	}
	if r.Why != 0 {
		return
	}
	connect := string(h.Method) == "CONNECT"
	extended := connect && r.seen&pseudoProtocol != 0
	switch {
	case connect && !extended:
		// What is well-formed asks for a tunnel to anywhere (RFC 9113 section 8.5).
		switch {
		case r.seen != pseudoMethod|pseudoAuthority:
			r.Why = observe.BadPseudo
		case !r.bounds.Connect:
			r.Why = observe.BadUpgrade
		default:
			r.joinCookie()
			h.Length, x.Upgrade = -1, h.Method
		}
		return
	case r.seen&(pseudoMethod|pseudoScheme|pseudoPath) != pseudoMethod|pseudoScheme|pseudoPath,
		!connect && r.seen&pseudoProtocol != 0:
		r.Why = observe.BadPseudo
		return
	}
	if r.Why = r.target(extended); r.Why != 0 {
		return
	}
	if r.hosts > 0 {
		switch {
		case !ValidAuthority(r.host), h.Authority != nil && !bytes.EqualFold(h.Authority, r.host):
			r.Why = observe.BadHost
			return
		case h.Authority == nil:
			h.Authority = r.host
		}
	}
	if h.Authority == nil {
		r.Why = observe.BadHost
		return
	}
	r.joinCookie()
	if extended {
		if !Tunnels(r.protocol) || bytes.IndexByte(r.protocol, ',') >= 0 {
			r.Why = observe.BadUpgrade
			return
		}
		h.Method = methodGET
		x.Upgrade = r.protocol
		challenge(h, r.protocol)
		return
	}
	switch {
	case end && r.lengths && r.length != 0:
		r.Why = observe.BadLength
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
func (r *HeadReader) target(extended bool) observe.Reason {
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
	if !ValidPath(h.Path) {
		return observe.BadTarget
	}
	return 0
}

var nameLength = []byte("content-length")

// FinishResponse completes the head. end says that nothing follows it. Its length is decided as in HTTP/1 (RFC 9110
// section 8.6).
func (r *HeadReader) FinishResponse(end, toHEAD bool) {
	h := r.h
	if r.Why != 0 {
		return
	}
	if r.seen&pseudoStatus == 0 || h.Status == 101 {
		r.Why = observe.BadPseudo
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
			r.add(ContentLength, nameLength, strconv.AppendInt(digits[:0], r.length, 10), false)
		}
		h.Length = 0
	case end && r.lengths && r.length != 0:
		r.Why = observe.BadLength
	case end:
		h.Length = 0
	case r.lengths:
		h.Length = r.length
	default:
		h.Length = -1
	}
}
