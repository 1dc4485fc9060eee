package wire

import "bytes"

// Spoken is what the first bytes of a connection are.
type Spoken uint8

const (
	Undecided Spoken = iota // more must come
	SpeaksHTTP1
	SpeaksHTTP2 // by prior knowledge (RFC 9113 section 3.3)
	SpeaksTLS   // a ClientHello begins
	SpeaksOther
)

// http2Preface begins every connection of HTTP/2 (RFC 9113 section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxRequestLine bounds how far Detect looks for the end of a request line: a
// longer one is taken for HTTP by how it begins.
const maxRequestLine = 16 << 10

// Detect finds out what a client speaks by what it has sent so far. final says
// that nothing more is waited for: then it is not Undecided. HTTP/1 is a line
// "method target HTTP/1.x" (RFC 9112 section 3), so the inline commands of
// other protocols, "SET a b", are not taken for it.
func Detect(b []byte, final bool) Spoken {
	if len(b) == 0 {
		return undecided(final, SpeaksOther)
	}
	if n := min(len(b), len(http2Preface)); string(b[:n]) == http2Preface[:n] {
		if n == len(http2Preface) {
			return SpeaksHTTP2
		}
		return undecided(final, SpeaksOther)
	}
	if b[0] == 22 { // a handshake record (RFC 8446 section 5.1)
		switch {
		case len(b) < 3:
			return undecided(final, SpeaksOther)
		case b[1] == 3 && b[2] <= 4:
			return SpeaksTLS
		}
		return SpeaksOther
	}
	space := 0
	for space < len(b) && IsToken(b[space]) {
		space++
	}
	switch {
	case space == len(b) && space <= 32:
		return undecided(final, SpeaksOther)
	case space == len(b) || space == 0 || b[space] != ' ':
		return SpeaksOther
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		begun := space+1 < len(b) && (b[space+1] == '/' || bytes.HasPrefix(b[space+1:], []byte("http")))
		switch {
		case begun && (final || len(b) > maxRequestLine):
			return SpeaksHTTP1
		case len(b) > maxRequestLine:
			return SpeaksOther
		}
		return undecided(final, SpeaksOther)
	}
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	if n := len(line); n > space+10 && string(line[n-9:n-1]) == " HTTP/1." {
		return SpeaksHTTP1
	}
	return SpeaksOther
}

// Suspect finds out whether a server, however lenient, could read as HTTP what a
// client has sent so far, where Detect asks what a client means by it: empty
// lines before the request line, any white space in it (RFC 9112 section 3), any
// method, no version: some read fields behind a line without one, too. It is for
// who must not let HTTP pass as bytes. Undecided is what may still become a request
// line.
func Suspect(b []byte) Spoken {
	if n := min(len(b), len(http2Preface)); string(b[:n]) == http2Preface[:n] {
		if n == len(http2Preface) {
			return SpeaksHTTP2
		}
		return Undecided
	}
	line := b
	for len(line) > 0 && (line[0] == '\n' || blank(line[0])) {
		line = line[1:]
	}
	method := 0
	for method < len(line) && IsToken(line[method]) {
		method++
	}
	if method == 0 && len(line) > 0 || method < len(line) && line[method] != '\n' && !blank(line[method]) {
		return SpeaksOther
	}
	target := line[method:]
	for len(target) > 0 && blank(target[0]) {
		target = target[1:]
	}
	end := bytes.IndexByte(line, '\n')
	switch {
	case end >= 0 && (containsFold(line[:end], "http/") || target[0] == '/' || len(target) > 5 && EqualFold(target[:5], "http:")):
		return SpeaksHTTP1
	case end >= 0:
		return SpeaksOther
	case len(target) > 0 && (target[0] < ' ' || target[0] == 0x7f):
		return SpeaksOther // as in LDAP, whose messages have no lines that could be waited for
	case len(b) > maxRequestLine:
		return SpeaksHTTP1
	}
	return Undecided
}

// blank says whether c is white space to some parser of a request line: what RFC
// 9112 section 3 names, and what else ISO 8859-1 has, by which scripts split words.
func blank(c byte) bool {
	switch c {
	case ' ', '\t', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x1f, 0x85, 0xa0:
		return true
	}
	return false
}

// Greets finds out whether what a server says before its client has said anything
// begins a connection of HTTP/2: SETTINGS, which either side may send first
// (RFC 9113 sections 3.4 and 6.5). All else of HTTP waits for its client.
func Greets(b []byte) Spoken {
	for i, c := range b[:min(len(b), 9)] {
		switch {
		case i == 1: // of the length, which the third byte completes
		case i == 2 && (int(b[1])<<8|int(c))%6 == 0, i == 3 && c == 4, i != 2 && i != 3 && c == 0:
		default:
			return SpeaksOther
		}
	}
	return undecided(len(b) >= 9, SpeaksHTTP2)
}

// containsFold says whether lower, which is lower case, stands in b in any case.
func containsFold(b []byte, lower string) bool {
	for i := 0; i+len(lower) <= len(b); i++ {
		if EqualFold(b[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

func undecided(final bool, otherwise Spoken) Spoken {
	if final {
		return otherwise
	}
	return Undecided
}
