package load

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/wire"
)

// Bodies are the last segments of paths that the origin knows, with the
// lengths of their bodies in bytes.
func Bodies() map[string]int {
	return map[string]int{"small": 100, "16k": 16 << 10, "1m": 1 << 20, "chunked": 4 << 10}
}

// origin is the service behind the proxies. It reads a request with its body
// and answers from memory.
type origin struct {
	answers map[string][]byte
	missing []byte
}

func newOrigin() *origin {
	o := &origin{answers: map[string][]byte{}, missing: []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")}
	for name, size := range Bodies() {
		body := bytes.Repeat([]byte("naru "), size/5+1)[:size]
		head := "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 02 Jan 2026 15:04:05 GMT\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
		if name != "chunked" {
			o.answers[name] = fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, size, body)
			continue
		}
		answer := []byte(head + "Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			answer = fmt.Appendf(answer, "%x\r\n%s\r\n", 1<<10, body[:1<<10])
			body = body[1<<10:]
		}
		o.answers[name] = append(answer, "0\r\n\r\n"...)
	}
	return o
}

// listen serves on a free port of addr.
func (o *origin) listen(d wire.Driver, addr netip.AddrPort) (wire.Listening, error) {
	return d.Listen(addr, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&served{origin: o, conn: c})
	})
}

// served is a connection to the origin. It implements wire.ConnHandler.
type served struct {
	origin *origin
	conn   wire.Conn
	in     message
	answer []byte
}

func (s *served) OnData(b []byte) {
	for len(b) > 0 {
		n, done, err := s.in.feed(b)
		if err != nil {
			s.conn.Abort()
			return
		}
		b = b[n:]
		if s.answer == nil && s.in.first != nil {
			// The first line is lent; it must be read before the next piece.
			s.answer = s.origin.find(s.in.first)
			s.in.first = nil
		}
		if done {
			s.conn.Write(s.answer, nil)
			s.answer = nil
			if s.in.closing {
				s.conn.Close()
				return
			}
		}
	}
}

// find gives the answer to a request line: "GET /svc7/small HTTP/1.1".
func (o *origin) find(line []byte) []byte {
	if end := bytes.LastIndexByte(line, ' '); end > 0 {
		target := line[:end]
		if a := o.answers[string(target[bytes.LastIndexByte(target, '/')+1:])]; a != nil {
			return a
		}
	}
	return o.missing
}

func (s *served) OnOpen()       {}
func (s *served) OnEOF()        { s.conn.Close() }
func (s *served) OnDrained()    {}
func (s *served) OnClose(error) {}

// with adds field lines to a request.
func with(request []byte, fields string) []byte {
	i := bytes.Index(request, []byte("\r\n")) + 2
	return slices.Insert(request, i, []byte(fields)...)
}

// request writes a request; conn is the value of Connection, "" for none.
func request(method, host, path, conn string, body int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n", method, path, host)
	if conn != "" {
		fmt.Fprintf(&b, "Connection: %s\r\n", conn)
	}
	if body > 0 {
		fmt.Fprintf(&b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", body)
	}
	b.WriteString("\r\n")
	b.WriteString(strings.Repeat("x", body))
	return []byte(b.String())
}
