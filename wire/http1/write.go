package http1

import (
	"strconv"

	"github.com/naru-mesh/naru/wire"
)

// writtenByUs are fields of a message that the codec writes by itself, from
// what it knows: they are never taken from Head.Fields.
var writtenByUs = wire.SetOf(wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.KeepAlive,
	wire.ProxyConnection, wire.Upgrade, wire.HTTP2Settings, wire.Host)

func appendLength(out []byte, n int64) []byte {
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, n, 10)
	return append(out, "\r\n"...)
}

// maxCopied is the size of a chunk that is copied, so that it goes out
// together with its size and its CRLF: one write and one segment. Leaving the
// CRLF for the next chunk's write would be cheaper still, but clients that
// wait for it before they hand a chunk out (urllib3) would hang on streams.
const maxCopied = 32 << 10

// writeChunk sends what is in head so far and b as a chunk; last ends the
// body without trailers. head is the loop's scratch memory.
func (l *local) writeChunk(c wire.Conn, head, b []byte, last bool) {
	if len(b) == 0 {
		if last {
			head = append(head, "0\r\n\r\n"...)
		}
		if len(head) > 0 {
			c.Write(head, nil)
		}
		l.out = head
		return
	}
	head = strconv.AppendInt(head, int64(len(b)), 16)
	head = append(head, "\r\n"...)
	end := "\r\n"
	if last {
		end = "\r\n0\r\n\r\n"
	}
	if len(b) <= maxCopied {
		head = append(head, b...)
		head = append(head, end...)
		c.Write(head, nil)
		l.out = head
		return
	}
	c.Write(head, b)
	head = append(head[:0], end...)
	c.Write(head, nil)
	l.out = head
}

// writeTrailers ends a chunked body.
func (l *local) writeTrailers(c wire.Conn, t *wire.Head) {
	t.Drop(wire.ForbiddenTrailers)
	out := append(l.out[:0], "0\r\n"...)
	out = t.AppendFields(out)
	out = append(out, "\r\n"...)
	c.Write(out, nil)
	l.out = out
}

// statusLine gives "HTTP/1.1 NNN Reason CRLF". A status without a registered
// phrase has none.
func statusLine(status int) string {
	if status >= 100 && status < 100+len(statusLines) {
		return statusLines[status-100]
	}
	return "HTTP/1.1 502 Bad Gateway\r\n"
}

// statusLines of 100 to 999.
var statusLines = func() (lines [900]string) {
	for i := range lines {
		lines[i] = "HTTP/1.1 " + strconv.Itoa(100+i) + " \r\n"
	}
	for status, phrase := range phrases {
		lines[status-100] = "HTTP/1.1 " + strconv.Itoa(status) + " " + phrase + "\r\n"
	}
	return lines
}()

// phrases of the IANA registry (RFC 9110 section 15 and others).
var phrases = map[int]string{
	100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
	200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
	205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
	409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
	414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
	421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked", 424: "Failed Dependency",
	425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
	431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
	507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}
