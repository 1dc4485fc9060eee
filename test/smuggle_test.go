package test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestSmuggleAcross sends requests over HTTP/2 that a service of HTTP/1.1 could
// read as something else, or as two. Each is refused before the service sees
// anything, or arrives as the one request that it is; what follows on the same
// connection of the client and of the service is not touched by it.
func TestSmuggleAcross(t *testing.T) {
	t.Parallel()
	const more = "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	get := []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"}
	post := []string{":method", "POST", ":scheme", "http", ":path", "/p", ":authority", "a"}
	with := func(base []string, more ...string) []string { return append(slices.Clone(base), more...) }
	// but is a base with another value for one name; "" leaves it out.
	but := func(base []string, name, value string) []string {
		var out []string
		for i := 0; i < len(base); i += 2 {
			switch {
			case base[i] != name:
				out = append(out, base[i], base[i+1])
			case value != "":
				out = append(out, name, value)
			}
		}
		return out
	}
	const (
		reset   = "reset PROTOCOL_ERROR"
		chunked = "0" + more
	)
	for _, c := range []struct {
		name     string
		head     []string
		body     string   // in one DATA frame that ends the stream; "" ends it with the head
		trailers []string // after the body
		want     string
		sees     string
		early    string // what the service may see, and answer, before all has come
	}{
		{name: "a second request in a value", head: with(get, "x", "1"+more), want: reset},
		{name: "a field in a value", head: with(get, "x", "1\r\ntransfer-encoding: chunked"), want: reset},
		{name: "a field in a value by lf alone", head: with(get, "x", "1\ncontent-length: 5"), want: reset},
		{name: "cr alone in a value", head: with(get, "x", "1\rx"), want: reset},
		{name: "nul in a value", head: with(get, "x", "1\x00"), want: reset},
		{name: "a field in a name", head: with(get, "x: 1\r\ntransfer-encoding", "chunked"), want: reset},
		{name: "a name with a colon in the middle", head: with(get, "transfer-encoding: chunked\nx", "1"), want: reset},
		{name: "a name with a blank behind", head: with(get, "transfer-encoding ", "chunked"), want: reset},
		{name: "a name with a blank before", head: with(get, " transfer-encoding", "chunked"), want: reset},
		{name: "a name with a tab", head: with(get, "content-length\t", "3"), want: reset},
		{name: "a name in capitals", head: with(get, "Transfer-Encoding", "chunked"), want: reset},
		{name: "a name of high bytes", head: with(get, "transfer-encod\xc4\xb1ng", "chunked"), want: reset},
		{name: "a request in the path", head: but(get, ":path", "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled"), want: reset},
		{name: "a version in the path", head: but(get, ":path", "/ HTTP/1.0"), want: reset},
		{name: "a tab in the path", head: but(get, ":path", "/\tHTTP/1.1"), want: reset},
		{name: "delete in the path", head: but(get, ":path", "/\x7f"), want: reset},
		{name: "high bytes in the path", head: but(get, ":path", "/\xc3\xa9"), want: reset},
		{name: "absolute form in the path", head: but(get, ":path", "http://b/smuggled"), want: reset},
		{name: "authority form in the path", head: but(get, ":path", "b:80"), want: reset},
		{name: "a request in the method", head: but(get, ":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"), want: reset},
		{name: "a target in the method", head: but(get, ":method", "GET /smuggled"), want: reset},
		{name: "a field in the authority", head: but(get, ":authority", "a\r\ntransfer-encoding: chunked"), want: reset},
		{name: "a blank in the authority", head: but(get, ":authority", "a b"), want: reset},
		{name: "a path in the authority", head: but(get, ":authority", "a/smuggled"), want: reset},
		{name: "two authorities in one", head: but(get, ":authority", "a,b"), want: reset},
		{name: "a user in the authority", head: but(get, ":authority", "a@b"), want: reset},
		{name: "an address in the scheme", head: but(get, ":scheme", "http://b/smuggled?"), want: reset},
		{name: "a line in the scheme", head: but(get, ":scheme", "http\r\nx: y"), want: reset},
		{name: "host of another", head: with(get, "host", "b"), want: reset},
		{name: "two hosts without authority", head: with(but(get, ":authority", ""), "host", "a", "host", "b"), want: reset},
		{name: "no host at all", head: but(get, ":authority", ""), want: reset},
		{name: "a path twice", head: with(get[:6], ":path", "/smuggled", ":authority", "a"), want: reset},
		{name: "an authority twice", head: with(get, ":authority", "a"), want: reset},
		{name: "a path after fields", head: with(but(get, ":path", ""), "x", "1", ":path", "/smuggled"), want: reset},
		{name: "a status", head: with(get, ":status", "200"), want: reset},
		{name: "chunked", head: with(post, "transfer-encoding", "chunked"), body: chunked, want: reset},
		{name: "identity", head: with(post, "transfer-encoding", "identity"), body: "x", want: reset},
		{name: "a connection field", head: with(get, "connection", "close, x-forwarded-for"), want: reset},
		{name: "upgrade to h2c", head: with(get, "upgrade", "h2c", "http2-settings", "AAMAAABkAAQAAP__"), want: reset},
		{name: "te of chunked", head: with(post, "te", "trailers, chunked"), body: "x", want: reset},
		{name: "a length too small", head: with(post, "content-length", "0"), body: "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", want: reset, early: "POST /p"},
		{name: "a length too large", head: with(post, "content-length", "90"), body: "x", want: reset},
		{name: "a length without a body", head: with(post, "content-length", "3"), want: reset},
		{name: "two lengths", head: with(post, "content-length", "1", "content-length", "0"), body: "x", want: reset},
		{name: "a list of lengths", head: with(post, "content-length", "1, 0"), body: "x", want: reset},
		{name: "a length with a sign", head: with(post, "content-length", "+1"), body: "x", want: reset},
		{name: "a length in hexadecimal", head: with(post, "content-length", "0x1"), body: "x", want: reset},
		{name: "a length with a blank", head: with(post, "content-length", "1 "), body: "x", want: reset},
		{name: "a length beyond 64 bits", head: with(post, "content-length", "18446744073709551617"), body: "x", want: reset},
		{name: "an empty length", head: with(post, "content-length", ""), body: "x", want: reset},
		{name: "a line in a crumb of a cookie", head: with(get, "cookie", "a=b", "cookie", "c=d\r\nx: y"), want: reset},
		{name: "connect as a tunnel", head: []string{":method", "CONNECT", ":authority", "a:80"}, body: chunked, want: "400"},
		{name: "connect with a line", head: []string{":method", "CONNECT", ":authority", "a:80\r\nx: y"}, want: reset},

		{name: "a body that is the end of chunks", head: post, body: chunked, want: "200", sees: "POST /p " + chunked},
		{name: "a body of a get that is a request", head: get, body: chunked[5:], want: "200", sees: "GET / " + chunked[5:]},
		{name: "encoded line ends", head: but(get, ":path", "/%0d%0aHost:%20b"), want: "200", sees: "GET /%0D%0AHost:%20b"},
		{name: "an underscore is another field", head: with(post, "transfer_encoding", "chunked", "content_length", "0"), body: "x", want: "200", sees: "POST /p x"},
		{name: "a trailer that would be a length", head: post, body: "x", trailers: []string{"content-length", "0"}, want: "200", sees: "POST /p x"},
		{name: "a trailer that would be a coding", head: post, body: "x", trailers: []string{"transfer-encoding", "chunked"}, want: reset},
		{name: "a trailer with a request", head: post, body: "x", trailers: []string{"x", "1" + more}, want: reset},
		{name: "a trailer that would be a path", head: post, body: "x", trailers: []string{":path", "/smuggled"}, want: reset},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := witness(t)
			g := start(t, "listen: $LISTEN\nroutes:\n- {match: /, to: 'http://"+up.addr+"'}\n")
			f := g.framed()
			f.must(f.heads(1, c.body == "", f.fields(c.head...)))
			if c.body != "" {
				f.must(f.WriteData(1, c.trailers == nil, []byte(c.body)))
			}
			if c.trailers != nil {
				f.must(f.heads(1, true, f.fields(c.trailers...)))
			}
			r := f.reply(1)
			got := r.status
			if r.reset != nil {
				got = strings.TrimSpace(got + " reset " + (*r.reset).String())
			}
			want := []string{"GET /next"}
			if got != c.want && (c.early == "" || r.status != "200") {
				t.Errorf("got %q %q, want %q", got, r.body, c.want)
			}
			f.request(3, true, "GET", "/next")
			if next := f.reply(3); next.status != "200" || string(next.body) != "GET /next" {
				t.Errorf("what follows: %s %q %v", next.status, next.body, next.reset)
			}
			if c.sees != "" {
				want = []string{c.sees, "GET /next"}
			}
			saw := slices.DeleteFunc(up.log.take(), func(s string) bool {
				return strings.HasPrefix(s, "incomplete ") || s == "garbage: unexpected EOF"
			})
			if c.early != "" && len(saw) == 2 {
				want = []string{c.early, "GET /next"}
			}
			if !slices.Equal(saw, want) {
				t.Errorf("the service saw %q, want %q", saw, want)
			}
		})
	}
}

// TestSplitBack: answers of a service of HTTP/2 that a client of HTTP/1.1 could
// read as something else, or as two, do not reach it; the next request does.
func TestSplitBack(t *testing.T) {
	t.Parallel()
	const more = "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	ok := []string{":status", "200"}
	with := func(more ...string) []string { return append(slices.Clone(ok), more...) }
	for _, c := range []struct {
		name     string
		heads    [][]string // the last is the response's
		body     string
		trailers []string
		want     string // "502", the body, or "cut"
	}{
		{name: "a second answer in a value", heads: [][]string{with("x", "1"+more)}, want: "502"},
		{name: "lf alone in a value", heads: [][]string{with("x", "1\ny: 2")}, want: "502"},
		{name: "nul in a value", heads: [][]string{with("x", "1\x00")}, want: "502"},
		{name: "a line in a name", heads: [][]string{with("x: 1\r\ny", "2")}, want: "502"},
		{name: "a name in capitals", heads: [][]string{with("Content-Length", "0")}, body: "text", want: "502"},
		{name: "a name with a blank", heads: [][]string{with("content-length ", "0")}, body: "text", want: "502"},
		{name: "chunked", heads: [][]string{with("transfer-encoding", "chunked")}, body: "4\r\nevil\r\n0\r\n\r\n", want: "502"},
		{name: "connection", heads: [][]string{with("connection", "keep-alive, content-length")}, body: "text", want: "502"},
		{name: "two lengths", heads: [][]string{with("content-length", "4", "content-length", "0")}, body: "text", want: "502"},
		{name: "a list of lengths", heads: [][]string{with("content-length", "4, 4")}, body: "text", want: "502"},
		{name: "more than the length", heads: [][]string{with("content-length", "4")}, body: "text" + more, want: "502 or cut"},
		{name: "less than the length", heads: [][]string{with("content-length", "400")}, body: "text", want: "502 or cut"},
		{name: "no status", heads: [][]string{{"x", "1"}}, want: "502"},
		{name: "a status of four digits", heads: [][]string{{":status", "0200"}}, want: "502"},
		{name: "a status with words", heads: [][]string{{":status", "200 OK\r\nx: y"}}, want: "502"},
		{name: "switching protocols", heads: [][]string{{":status", "101"}, ok}, body: "text", want: "502"},
		{name: "hints with a line", heads: [][]string{{":status", "103", "link", "</a>\r\nx: y"}, ok}, body: "text", want: "502"},
		{name: "hints with a length", heads: [][]string{{":status", "103", "content-length", "7"}, ok}, body: "text", want: "text or 502"},
		{name: "a path", heads: [][]string{{":status", "200", ":path", "/"}}, want: "502"},
		{name: "trailers with a line", heads: [][]string{ok}, body: "text", trailers: []string{"x", "1" + more}, want: "cut"},
		{name: "trailers with a coding", heads: [][]string{ok}, body: "text", trailers: []string{"transfer-encoding", "chunked"}, want: "cut"},
		{name: "trailers with a status", heads: [][]string{ok}, body: "text", trailers: []string{":status", "200"}, want: "cut"},
		{name: "trailers with a length", heads: [][]string{ok}, body: "text", trailers: []string{"content-length", "0"}, want: "text"},
		{name: "a body that is an answer", heads: [][]string{ok}, body: more, want: more},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := splitter(t, func(f *framed, id uint32) {
				for i, h := range c.heads {
					last := i == len(c.heads)-1
					f.must(f.heads(id, last && c.body == "" && c.trailers == nil, f.fields(h...)))
				}
				if c.body != "" {
					f.must(f.WriteData(id, c.trailers == nil, []byte(c.body)))
				}
				if c.trailers != nil {
					f.must(f.heads(id, true, f.fields(c.trailers...)))
				}
			})
			g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: up\nservices:\n"+asService("up", h2c, up))
			conn := g.dial()
			conn.send("GET /odd HTTP/1.1\nHost: a\n\n")
			a, err := conn.read("GET")
			if err == nil && a.StatusCode == 103 {
				if a.Header.Get("Content-Length") != "" {
					t.Error("an interim answer has a length")
				}
				a, err = conn.read("GET")
			}
			got := "cut"
			switch {
			case err != nil:
			case a.StatusCode == 502:
				got = "502"
			default:
				got = a.body
			}
			if !slices.Contains(strings.Split(c.want, " or "), got) {
				t.Errorf("got %q, %v; want %s", got, err, c.want)
			}
			if got == "cut" || a.Close {
				conn = g.dial()
			}
			conn.get("/next").is(t, 200, "fine")
		})
	}
}

// splitter is a service of HTTP/2 that answers /odd by odd and all else well.
func splitter(t *testing.T, odd func(f *framed, id uint32)) *service {
	t.Helper()
	s := listen(t, "")
	serve := func(conn net.Conn) {
		f := frame(t, conn)
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil || !bytes.Equal(preface, []byte(http2.ClientPreface)) {
			return
		}
		_ = f.WriteSettings() // the gateway may have gone
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				return
			}
			f.polite(fr)
			head, is := fr.(*http2.MetaHeadersFrame)
			switch {
			case !is:
			case head.PseudoValue("path") == "/odd":
				odd(f, head.StreamID)
			default:
				f.must(f.heads(head.StreamID, false, f.fields(":status", "200")))
				f.must(f.WriteData(head.StreamID, true, []byte("fine")))
			}
		}
	}
	go func() {
		for {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.note(conn, true)
			go func() {
				defer s.note(conn, false)
				serve(conn)
			}()
		}
	}()
	return s
}
