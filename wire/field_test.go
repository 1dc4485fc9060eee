package wire

import (
	"strings"
	"testing"
)

// TestLookupField: every known field is found in any case, and nothing else.
func TestLookupField(t *testing.T) {
	t.Parallel()
	known := map[string]FieldID{
		"Host": Host, "Connection": Connection, "Content-Length": ContentLength, "Transfer-Encoding": TransferEncoding,
		"Keep-Alive": KeepAlive, "TE": TE, "Trailer": Trailer, "Upgrade": Upgrade, "Proxy-Connection": ProxyConnection,
		"Expect": Expect, "X-Forwarded-For": XForwardedFor, "X-Forwarded-Host": XForwardedHost,
		"X-Forwarded-Port": XForwardedPort, "X-Forwarded-Proto": XForwardedProto, "Forwarded": Forwarded,
		"X-Request-Id": XRequestID, "Via": Via, "Cookie": Cookie, "Set-Cookie": SetCookie, "Origin": Origin,
		"Location": Location, "User-Agent": UserAgent, "Date": Date, "Server": ServerField, "Content-Type": ContentType,
		"Authorization": Authorization, "Proxy-Authorization": ProxyAuthorization, "Traceparent": Traceparent,
		"Retry-After": RetryAfter, "Access-Control-Request-Method": ACRequestMethod,
		"Access-Control-Request-Headers": ACRequestHeaders, "Vary": Vary, "Referer": Referer,
		"Accept-Encoding": AcceptEncoding, "Cache-Control": CacheControl, "HTTP2-Settings": HTTP2Settings,
	}
	seen := map[FieldID]bool{}
	for name, id := range known {
		seen[id] = true
		for _, n := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := LookupField([]byte(n)); got != id {
				t.Errorf("%s: got %d, want %d", n, got, id)
			}
		}
		for i := range name {
			b := []byte(name)
			b[i] ^= 0x40
			if got := LookupField(b); got != OtherField {
				t.Errorf("%q: got %d", b, got)
			}
		}
		if got := LookupField([]byte(name + "x")); got != OtherField {
			t.Errorf("%sx: got %d", name, got)
		}
	}
	for id := OtherField + 1; id <= HTTP2Settings; id++ {
		if !seen[id] {
			t.Errorf("field %d is not tested", id)
		}
	}
	if HTTP2Settings >= 64 {
		t.Error("sets of fields are words of 64 bits")
	}
}

// TestEqualFold compares with the plain meaning, for every byte at every
// place of short and long strings.
func TestEqualFold(t *testing.T) {
	t.Parallel()
	fold := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	for _, s := range []string{"te", "upgrade", "location", "100-continue", "x-a_b`c|d~e^0", "transfer-encoding", "access-control-request-headers"} {
		if EqualFold([]byte(s[1:]), s) || !EqualFold([]byte(s), s) {
			t.Errorf("%q", s)
		}
		for i := range s {
			for c := range 256 {
				b := []byte(s)
				b[i] = byte(c)
				if want := fold(byte(c)) == s[i]; EqualFold(b, s) != want {
					t.Fatalf("%q, %q: want %v", b, s, want)
				}
			}
		}
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s           string
		name, value bool
	}{
		{"", false, true}, {"X-A", true, true}, {"a b", false, true}, {"a:", false, true}, {" a", false, false},
		{"a\t", false, false}, {"a\r\nb", false, false}, {"a\x00", false, false}, {"a\x7f", false, false},
		{"\xe4", false, true}, {"!#$%&'*+-.^_`|~", true, true}, {"a\tb", false, true},
	} {
		if ValidName(c.s) != c.name || ValidValue(c.s) != c.value {
			t.Errorf("%q: name %v, value %v", c.s, ValidName(c.s), ValidValue(c.s))
		}
	}
}

func BenchmarkLookupField(b *testing.B) {
	names := [][]byte{[]byte("User-Agent"), []byte("Accept-Encoding"), []byte("Accept"), []byte("Cookie"), []byte("Sec-Fetch-Mode")}
	for b.Loop() {
		for _, n := range names {
			LookupField(n)
		}
	}
}
