package wire

import "encoding/binary"

// FieldID numbers the field names that naru treats specially, so that finding
// one compares a byte.
type FieldID uint8

const (
	OtherField FieldID = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	KeepAlive
	TE
	Trailer
	Upgrade
	ProxyConnection
	Expect
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	Forwarded
	XRequestID
	Via
	Cookie
	SetCookie
	Origin
	Location
	UserAgent
	Date
	ServerField
	ContentType
	Authorization
	ProxyAuthorization
	Traceparent
	RetryAfter
	ACRequestMethod
	ACRequestHeaders
	Vary
	Referer
	AcceptEncoding
	CacheControl
	HTTP2Settings
	XForwardedClientCert
)

// LookupField gives the FieldID of a name, in any case.
func LookupField(n []byte) FieldID {
	switch len(n) {
	case 2:
		if EqualFold(n, "te") {
			return TE
		}
	case 3:
		if EqualFold(n, "via") {
			return Via
		}
	case 4:
		switch n[0] | 0x20 {
		case 'h':
			if EqualFold(n, "host") {
				return Host
			}
		case 'd':
			if EqualFold(n, "date") {
				return Date
			}
		case 'v':
			if EqualFold(n, "vary") {
				return Vary
			}
		}
	case 6:
		switch n[0] | 0x20 {
		case 'c':
			if EqualFold(n, "cookie") {
				return Cookie
			}
		case 'o':
			if EqualFold(n, "origin") {
				return Origin
			}
		case 'e':
			if EqualFold(n, "expect") {
				return Expect
			}
		case 's':
			if EqualFold(n, "server") {
				return ServerField
			}
		}
	case 7:
		switch n[0] | 0x20 {
		case 't':
			if EqualFold(n, "trailer") {
				return Trailer
			}
		case 'u':
			if EqualFold(n, "upgrade") {
				return Upgrade
			}
		case 'r':
			if EqualFold(n, "referer") {
				return Referer
			}
		}
	case 8:
		if EqualFold(n, "location") {
			return Location
		}
	case 9:
		if EqualFold(n, "forwarded") {
			return Forwarded
		}
	case 10:
		switch n[0] | 0x20 {
		case 'c':
			if EqualFold(n, "connection") {
				return Connection
			}
		case 'k':
			if EqualFold(n, "keep-alive") {
				return KeepAlive
			}
		case 's':
			if EqualFold(n, "set-cookie") {
				return SetCookie
			}
		case 'u':
			if EqualFold(n, "user-agent") {
				return UserAgent
			}
		}
	case 11:
		switch n[0] | 0x20 {
		case 'r':
			if EqualFold(n, "retry-after") {
				return RetryAfter
			}
		case 't':
			if EqualFold(n, "traceparent") {
				return Traceparent
			}
		}
	case 12:
		switch n[0] | 0x20 {
		case 'c':
			if EqualFold(n, "content-type") {
				return ContentType
			}
		case 'x':
			if EqualFold(n, "x-request-id") {
				return XRequestID
			}
		}
	case 13:
		switch n[0] | 0x20 {
		case 'a':
			if EqualFold(n, "authorization") {
				return Authorization
			}
		case 'c':
			if EqualFold(n, "cache-control") {
				return CacheControl
			}
		}
	case 14:
		switch n[0] | 0x20 {
		case 'c':
			if EqualFold(n, "content-length") {
				return ContentLength
			}
		case 'h':
			if EqualFold(n, "http2-settings") {
				return HTTP2Settings
			}
		}
	case 15:
		switch n[0] | 0x20 {
		case 'x':
			if EqualFold(n, "x-forwarded-for") {
				return XForwardedFor
			}
		case 'a':
			if EqualFold(n, "accept-encoding") {
				return AcceptEncoding
			}
		}
	case 16:
		switch n[0] | 0x20 {
		case 'p':
			if EqualFold(n, "proxy-connection") {
				return ProxyConnection
			}
		case 'x':
			if EqualFold(n, "x-forwarded-host") {
				return XForwardedHost
			}
			if EqualFold(n, "x-forwarded-port") {
				return XForwardedPort
			}
		}
	case 17:
		switch n[0] | 0x20 {
		case 't':
			if EqualFold(n, "transfer-encoding") {
				return TransferEncoding
			}
		case 'x':
			if EqualFold(n, "x-forwarded-proto") {
				return XForwardedProto
			}
		}
	case 19:
		if EqualFold(n, "proxy-authorization") {
			return ProxyAuthorization
		}
	case 23:
		if EqualFold(n, "x-forwarded-client-cert") {
			return XForwardedClientCert
		}
	case 29:
		if EqualFold(n, "access-control-request-method") {
			return ACRequestMethod
		}
	case 30:
		if EqualFold(n, "access-control-request-headers") {
			return ACRequestHeaders
		}
	}
	return OtherField
}

// Keys of fields that several rooms use.
var (
	KeyHost                 = KeyOf("Host")
	KeyConnection           = KeyOf("Connection")
	KeyUpgrade              = KeyOf("Upgrade")
	KeyTE                   = KeyOf("TE")
	KeyContentLength        = KeyOf("Content-Length")
	KeyContentType          = KeyOf("Content-Type")
	KeyXForwardedFor        = KeyOf("X-Forwarded-For")
	KeyXForwardedHost       = KeyOf("X-Forwarded-Host")
	KeyXForwardedPort       = KeyOf("X-Forwarded-Port")
	KeyXForwardedProto      = KeyOf("X-Forwarded-Proto")
	KeyForwarded            = KeyOf("Forwarded")
	KeyXForwardedClientCert = KeyOf("X-Forwarded-Client-Cert")
	KeyXRequestID           = KeyOf("X-Request-Id")
	KeyCookie               = KeyOf("Cookie")
	KeyOrigin               = KeyOf("Origin")
	KeyLocation             = KeyOf("Location")
	KeyUserAgent            = KeyOf("User-Agent")
	KeyDate                 = KeyOf("Date")
	KeyServer               = KeyOf("Server")
	KeyVary                 = KeyOf("Vary")
	KeyRetryAfter           = KeyOf("Retry-After")
	// KeyXRequestTimeout tells how many milliseconds are left for a request.
	KeyXRequestTimeout  = KeyOf("X-Request-Timeout-Ms")
	KeyReferer          = KeyOf("Referer")
	KeyACRequestMethod  = KeyOf("Access-Control-Request-Method")
	KeyACRequestHeaders = KeyOf("Access-Control-Request-Headers")
)

// classes of bytes, for parsers and checks (RFC 9110 section 5.6.2).
var token, lower = func() (t [256]bool, l [256]byte) {
	for c := range 256 {
		l[c] = byte(c)
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			t[c] = true
		case 'A' <= c && c <= 'Z':
			t[c] = true
			l[c] = byte(c) + 'a' - 'A'
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t, l
}()

// IsToken says whether c may stand in a token (a method or a field name).
func IsToken(c byte) bool { return token[c] }

// ToLower maps ASCII letters to lower case.
func ToLower(c byte) byte { return lower[c] }

// EqualFold compares b with s, which is lower case, without regard to ASCII
// case.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	if len(s) < 8 {
		for i := 0; i < len(b) && i < len(s); i++ {
			if lower[b[i]] != s[i] {
				return false
			}
		}
		return true
	}
	// Eight bytes together, the last eight again.
	last := len(s) - 8
	for i := 0; i < last; i += 8 {
		if !equalFold8(b[i:], s[i:]) {
			return false
		}
	}
	return equalFold8(b[last:], s[last:])
}

// equalFold8 is EqualFold for the first eight bytes, which in s are ASCII.
// Where b and s differ it may be in bit 5 only, and only where s has a letter.
func equalFold8(b []byte, s string) bool {
	const (
		ones = 0x0101010101010101
		bit5 = ones * 0x20
		bit7 = ones * 0x80
	)
	v := binary.LittleEndian.Uint64(b)
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	diff := v ^ w
	letters := (w + ones*(0x80-'a')) &^ (w + ones*(0x7f-'z')) & bit7
	return diff&^bit5 == 0 && diff<<2&^letters == 0
}

func lowerString(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower[c]
	}
	return string(b)
}

// ValidName says whether s may be a field name.
func ValidName(s string) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// ValidValue says whether s may be a field value: no control character but
// tab, no surrounding blanks.
func ValidValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[0] != '\t' && s[len(s)-1] != ' ' && s[len(s)-1] != '\t'
}
