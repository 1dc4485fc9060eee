package wire

import "testing"

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
