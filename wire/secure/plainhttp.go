package secure

import "errors"

var errPlainHTTP = errors.New("the client sent a plain HTTP request to a TLS port")

// plainAnswer is for a client that speaks HTTP where TLS was expected: a
// person who typed http:// reads it, instead of an empty reply.
const plainAnswer = "HTTP/1.0 400 Bad Request\r\n" +
	"Content-Type: application/problem+json\r\n" +
	"Connection: close\r\n\r\n" +
	`{"type":"urn:naru:reason:handshake_failed","title":"This port speaks TLS: use https","status":400,"code":"handshake_failed"}` + "\n"

// looksHTTP says that b, the five bytes where a record's header should be,
// begin a request line.
func looksHTTP(b []byte) bool {
	switch string(b) {
	case "GET /", "POST ", "PUT /", "HEAD ", "DELET", "PATCH", "OPTIO", "TRACE", "CONNE", "PRI *":
		return true
	}
	return false
}
