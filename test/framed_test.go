package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is one end of an HTTP/2 connection on which a test writes and reads
// frames.
type framed struct {
	t testing.TB
	net.Conn
	*http2.Framer
	ended atomic.Int64 // streams, where somebody counts
	block bytes.Buffer
	enc   *hpack.Encoder
}

// frames makes conn one, with a client's preface and SETTINGS.
func frames(t testing.TB, conn net.Conn, settings ...http2.Setting) *framed {
	t.Helper()
	f := frame(t, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f.must(f.WriteSettings(settings...))
	return f
}

// frame makes conn one on which nothing was said yet.
func frame(t testing.TB, conn net.Conn) *framed {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	f := &framed{t: t, Conn: conn, Framer: http2.NewFramer(conn, conn)}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = 1 << 20
	f.enc = hpack.NewEncoder(&f.block)
	return f
}

// framed connects to the gateway's first listener.
func (g *gateway) framed(settings ...http2.Setting) *framed {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	return frames(g.t, conn, settings...)
}

func (f *framed) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// fields encodes a list of name, value, name, value, ...
func (f *framed) fields(list ...string) []byte {
	f.block.Reset()
	for i := 0; i+1 < len(list); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]}) // into memory
	}
	return bytes.Clone(f.block.Bytes())
}

// request opens a stream.
func (f *framed) request(id uint32, end bool, method, path string, more ...string) {
	f.t.Helper()
	f.must(f.tryRequest(id, end, method, path, more...))
}

func (f *framed) tryRequest(id uint32, end bool, method, path string, more ...string) error {
	block := f.fields(append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", "test"}, more...)...)
	return f.heads(id, end, block)
}

// heads sends a header block in as many frames as it takes.
func (f *framed) heads(id uint32, end bool, block []byte) error {
	n := min(len(block), 16<<10)
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: n == len(block), BlockFragment: block[:n]})
	for block = block[n:]; len(block) > 0 && err == nil; block = block[n:] {
		n = min(len(block), 16<<10)
		err = f.WriteContinuation(id, n == len(block), block[:n])
	}
	return err
}

// await reads frames up to the first that want accepts, and acknowledges
// SETTINGS and PING on the way.
func (f *framed) await(what string, want func(http2.Frame) bool) http2.Frame {
	f.t.Helper()
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			f.t.Fatalf("instead of %s: %v", what, err)
		}
		f.polite(fr)
		if want(fr) {
			return fr
		}
	}
}

// polite answers what wants an answer.
func (f *framed) polite(fr http2.Frame) {
	switch fr := fr.(type) {
	case *http2.SettingsFrame:
		if !fr.IsAck() {
			_ = f.WriteSettingsAck() // the other end may be gone
		}
	case *http2.PingFrame:
		if !fr.IsAck() {
			_ = f.WritePing(true, fr.Data)
		}
	}
}

// reply is a response that was read to its end.
type reply struct {
	status   string
	head     *http2.MetaHeadersFrame
	fields   map[string][]string
	body     []byte
	trailers map[string][]string
	reset    *http2.ErrCode
}

// reply reads the response of a stream, giving windows back.
func (f *framed) reply(id uint32) *reply {
	f.t.Helper()
	r := &reply{}
	f.await(fmt.Sprint("the end of stream ", id), func(fr http2.Frame) bool {
		if fr.Header().StreamID != id {
			return false
		}
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			if status := fr.PseudoValue("status"); status != "" {
				r.status, r.head, r.fields = status, fr, fieldsOf(fr)
			} else {
				r.trailers = fieldsOf(fr)
			}
			return fr.StreamEnded()
		case *http2.DataFrame:
			r.body = append(r.body, fr.Data()...)
			if n := uint32(len(fr.Data())); n > 0 {
				_ = f.WriteWindowUpdate(0, n)
				_ = f.WriteWindowUpdate(id, n)
			}
			return fr.StreamEnded()
		case *http2.RSTStreamFrame:
			code := fr.ErrCode
			r.reset = &code
			return true
		}
		return false
	})
	return r
}

func fieldsOf(fr *http2.MetaHeadersFrame) map[string][]string {
	all := map[string][]string{}
	for _, hf := range fr.RegularFields() {
		all[hf.Name] = append(all[hf.Name], hf.Value)
	}
	return all
}

// goAway reads on to the GOAWAY that ends the connection with an error, and to
// the end of the connection.
func (f *framed) goAway() (code http2.ErrCode, ok bool) {
	f.t.Helper()
	for {
		fr, err := f.ReadFrame()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			f.t.Fatal("the connection stays open")
		}
		if err != nil {
			return code, ok
		}
		if away, is := fr.(*http2.GoAwayFrame); is {
			code, ok = away.ErrCode, true
		}
	}
}

func TestTranslateFields(t *testing.T) {
	t.Parallel()
	heads := make(chan string, 1)
	up := script(t, func(_ int, c *client) {
		for {
			var b strings.Builder
			for {
				line, err := c.in.ReadString('\n')
				if err != nil {
					return
				}
				if b.WriteString(strings.TrimSuffix(line, "\r\n") + "\n"); line == "\r\n" {
					break
				}
			}
			heads <- b.String()
			c.reply("HTTP/1.1 200 OK\nConnection: keep-alive, x-hop\nKeep-Alive: timeout=5\nX-Hop: 1\nX-Case: Kept\nSet-Cookie: a=b\nSet-Cookie: c=d\nContent-Length: 2\n\nok")
		}
	})
	g := before(t, up)
	f := g.framed()
	f.must(f.heads(1, true, f.fields(":method", "GET", ":scheme", "http", ":authority", "Shop.example:8080", ":path", "/p?q=%20",
		"cookie", "a=b", "x-one", "1", "cookie", "c=d", "te", "trailers", "x-one", "2", "cookie", "e=f; g=h")))
	r := f.reply(1)
	head := receive(t, heads)
	for _, want := range []string{"GET /p?q=%20 HTTP/1.1\n", "Host: Shop.example:8080\n", "\ncookie: a=b; c=d; e=f; g=h\n", "x-one: 1\n", "x-one: 2\n"} {
		if !strings.Contains(strings.ToLower(head), strings.ToLower(want)) {
			t.Errorf("the service does not see %q, but %q", want, head)
		}
	}
	for _, never := range []string{"\n:", "transfer-encoding", "content-length", "\nupgrade"} {
		if strings.Contains(strings.ToLower(head), never) {
			t.Errorf("the service sees %q in %q", never, head)
		}
	}
	if r.status != "200" || string(r.body) != "ok" || fmt.Sprint(r.fields["set-cookie"]) != "[a=b c=d]" || r.fields["x-case"][0] != "Kept" {
		t.Errorf("got %s %q %v", r.status, r.body, r.fields)
	}
	for _, never := range []string{"connection", "keep-alive", "x-hop", "transfer-encoding"} {
		if r.fields[never] != nil {
			t.Errorf("the client sees %s: %v", never, r.fields[never])
		}
	}
	// Host in place of :authority, which HTTP/2 allows.
	f.must(f.heads(3, true, f.fields(":method", "GET", ":scheme", "http", ":path", "/", "host", "old.example")))
	if r := f.reply(3); r.status != "200" {
		t.Errorf("with host alone: %s", r.status)
	}
	if head := receive(t, heads); strings.Count(strings.ToLower(head), "host: old.example\n") < 1 {
		t.Errorf("with host alone the service sees %q", head)
	}
	// Both, and different: nobody can say which is meant.
	f.must(f.heads(5, true, f.fields(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "host", "b")))
	if r := f.reply(5); r.reset == nil || *r.reset != http2.ErrCodeProtocol {
		t.Errorf("two hosts: %+v", r)
	}
	// A head larger than the limit is answered, and the connection goes on.
	f.must(f.tryRequest(7, true, "GET", "/", "x-big", strings.Repeat("x", 40_000)))
	if r := f.reply(7); r.status != "431" || !strings.Contains(string(r.body), "head_too_large") {
		t.Errorf("a large head: %s %s", r.status, r.body)
	}
	f.request(9, true, "GET", "/last")
	if r := f.reply(9); r.status != "200" {
		t.Errorf("afterwards: %s", r.status)
	}
	receive(t, heads)
}
