package wire

import (
	"strings"
	"testing"
)

// TestSuspect: what some server could take for a request is not let pass as
// bytes, and what nobody could is not waited for.
func TestSuspect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		text string
		want Spoken
	}{
		{"nothing", "", Undecided},
		{"empty lines", "\r\n\r\n", Undecided},
		{"a method", "GE", Undecided},
		{"a part of a request line", "GET /a", Undecided},
		{"a request", "GET /a HTTP/1.1\r\n", SpeaksHTTP1},
		{"behind empty lines", "\r\n\n GET /a HTTP/1.1\r\n", SpeaksHTTP1},
		{"with tabs", "GET\t/a\tHTTP/1.1\n", SpeaksHTTP1},
		{"of an unknown method", "get /a HTTP/1.1\r\n", SpeaksHTTP1},
		{"of an odd version", "GET /a http/9\r\n", SpeaksHTTP1},
		{"with more words", "GET /a b HTTP/1.1 c\r\n", SpeaksHTTP1},
		{"a long one", "GET /" + strings.Repeat("a", maxRequestLine), SpeaksHTTP1},
		{"the preface", http2Preface, SpeaksHTTP2},
		{"a part of the preface", http2Preface[:20], Undecided},
		{"with vertical tabs and form feeds", "GET\v/a\fHTTP/1.1\r\n", SpeaksHTTP1},
		{"with bare CR", "GET\r/a\rHTTP/1.1\r\n", SpeaksHTTP1},
		{"with what scripts take for spaces", "GET\x1c/a\xa0HTTP/1.1\r\n", SpeaksHTTP1},
		{"with a control character", "GET /\x01 HTTP/1.1\r\n", SpeaksHTTP1},
		{"HTTP/0.9, behind which some read fields", "GET /a\r\n", SpeaksHTTP1},
		{"HTTP/0.9, absolute", "GET http://a/\n", SpeaksHTTP1},
		{"redis, inline, without arguments", "PING\r\n", SpeaksOther},
		{"stomp", "CONNECT\naccept-version:1.2\n", SpeaksOther},
		{"rtsp", "OPTIONS rtsp://a/ RTSP/1.0\r\n", SpeaksOther},
		{"ldap, of a length that is a form feed", "0\f\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", SpeaksOther},
		{"redis, inline", "SET a b\r\n", SpeaksOther},
		{"redis", "*1\r\n$4\r\nPING\r\n", SpeaksOther},
		{"postgres", "\x00\x00\x00\x08\x04\xd2\x16\x2f", SpeaksOther},
		{"ldap, of a length that is a space", "0 \x02\x01\x01\x60\x1b\x02\x01\x03", SpeaksOther},
		{"ldap, of a length that is a tab", "0\t\x02\x01\x01\x60\x07", SpeaksOther},
		{"mongodb", "A\x01\x00\x00", SpeaksOther},
		{"ssh", "SSH-2.0-OpenSSH_9.9\r\n", SpeaksOther},
		{"a hello", "\x16\x03\x01", SpeaksOther},
		{"json", "{\"op\": 1}", SpeaksOther},
	} {
		if got := Suspect([]byte(c.text)); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
		for i := range len(c.text) {
			if got := Suspect([]byte(c.text[:i])); got != Undecided && got != c.want {
				t.Errorf("%s: %d after %d bytes, and %d in the end", c.name, got, i, c.want)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		text  string
		now   Spoken
		final Spoken
	}{
		{"nothing", "", Undecided, SpeaksOther},
		{"a request", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", SpeaksHTTP1, SpeaksHTTP1},
		{"a request of HTTP/1.0, bare LF", "GET / HTTP/1.0\n", SpeaksHTTP1, SpeaksHTTP1},
		{"a part of a request line", "GET /a", Undecided, SpeaksHTTP1},
		{"a method", "POST", Undecided, SpeaksOther},
		{"an absolute target", "GET http://a/ HTTP/1.1\r\n", SpeaksHTTP1, SpeaksHTTP1},
		{"the preface", http2Preface, SpeaksHTTP2, SpeaksHTTP2},
		{"a part of the preface", http2Preface[:10], Undecided, SpeaksOther},
		{"redis, inline", "SET a b\r\n", SpeaksOther, SpeaksOther},
		{"redis, inline, a path", "GET /a\r\n", SpeaksOther, SpeaksOther},
		{"redis", "*1\r\n$4\r\nPING\r\n", SpeaksOther, SpeaksOther},
		{"postgres", "\x00\x00\x00\x08\x04\xd2\x16\x2f", SpeaksOther, SpeaksOther},
		{"smtp, too early", "EHLO client.example\r\n", SpeaksOther, SpeaksOther},
		{"a hello", "\x16\x03\x01\x02\x00\x01", SpeaksTLS, SpeaksTLS},
		{"a part of a hello", "\x16\x03", Undecided, SpeaksOther},
		{"not a hello", "\x16\x09\x01", SpeaksOther, SpeaksOther},
		{"a long word", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", SpeaksOther, SpeaksOther},
	} {
		if got := Detect([]byte(c.text), false); got != c.now {
			t.Errorf("%s: %d, not %d", c.name, got, c.now)
		}
		if got := Detect([]byte(c.text), true); got != c.final {
			t.Errorf("%s, with nothing to come: %d, not %d", c.name, got, c.final)
		}
		// What is decided stays so, however much more comes.
		decided := Undecided
		for i := range len(c.text) {
			got := Detect([]byte(c.text[:i+1]), false)
			if decided != Undecided && got != decided {
				t.Errorf("%s: %d bytes: %d after %d", c.name, i+1, got, decided)
			}
			decided = got
		}
	}
}

// TestGreets: of what servers say first, the settings of HTTP/2 alone are HTTP.
func TestGreets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		text string
		want Spoken
	}{
		{"nothing", "", Undecided},
		{"settings", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00", SpeaksHTTP2},
		{"no settings", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", SpeaksHTTP2},
		{"many settings", "\x00\x01\x02\x04\x00\x00\x00\x00\x00", SpeaksHTTP2},
		{"a part", "\x00\x00\x06\x04\x00\x00", Undecided},
		{"settings of a wrong length", "\x00\x00\x07\x04\x00\x00\x00\x00\x00", SpeaksOther},
		{"an acknowledgement", "\x00\x00\x00\x04\x01\x00\x00\x00\x00", SpeaksOther},
		{"settings of a stream", "\x00\x00\x00\x04\x00\x00\x00\x00\x01", SpeaksOther},
		{"mysql", "\x4a\x00\x00\x00\x0a8.0.36", SpeaksOther},
		{"smtp", "220 ready\r\n", SpeaksOther},
		{"ssh", "SSH-2.0-OpenSSH_9.9\r\n", SpeaksOther},
	} {
		for i := range len(c.text) + 1 {
			if got := Greets([]byte(c.text[:i])); got != c.want && (got != Undecided || i == len(c.text)) {
				t.Errorf("%s: %d after %d bytes, not %d", c.name, got, i, c.want)
			}
		}
	}
}
