package test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client is a connection on which a test writes and reads bytes.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

// dial connects to an address.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: conn, in: bufio.NewReader(conn)}
}

// dial connects to the gateway's first listener.
func (g *gateway) dial() *client {
	g.t.Helper()
	return dial(g.t, g.addr)
}

// send writes text, in which every line ends in LF, with CRLF.
func (c *client) send(text string) {
	c.t.Helper()
	c.bytes(strings.ReplaceAll(text, "\n", "\r\n"))
}

// bytes writes b as it is.
func (c *client) bytes(b string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, b); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the response to a request with the method.
func (c *client) answer(method string) *answer {
	c.t.Helper()
	a, err := c.read(method)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return a
}

func (c *client) read(method string) (*answer, error) {
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	return &answer{res, string(body)}, err
}

// head reads a response's head as it came, up to the empty line.
func (c *client) head() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			c.t.Fatalf("after %q: %v", b.String(), err)
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

// closed says that nothing more comes but the end of the stream.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 {
		c.t.Errorf("where the connection should end comes %q", rest)
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Error("the connection stays open")
	}
}

// get is a request and its answer on the connection.
func (c *client) get(path string) *answer {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\nHost: test\n\n")
	return c.answer("GET")
}

// ask sends a request on a connection of its own. fields are lines.
func (g *gateway) ask(method, path string, fields ...string) *answer {
	g.t.Helper()
	c := g.dial()
	host := "Host: test\n"
	var b strings.Builder
	for _, f := range fields {
		if strings.HasPrefix(strings.ToLower(f), "host:") {
			host = ""
		}
		b.WriteString(f + "\n")
	}
	c.send(method + " " + path + " HTTP/1.1\n" + host + b.String() + "Connection: close\n\n")
	a := c.answer(method)
	c.Close()
	return a
}

// is checks status and body; "*" is any body.
func (a *answer) is(t testing.TB, status int, body string) {
	t.Helper()
	if a.StatusCode != status || body != "*" && a.body != body {
		t.Errorf("got %d %q, want %d %q", a.StatusCode, a.body, status, body)
	}
}

// refused checks that a is naru's own answer with the code.
func (a *answer) refused(t testing.TB, status int, code string) {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"code":"`+code+`"`) {
		t.Errorf("got %d %s %q, want the problem %d %s", a.StatusCode, a.Header.Get("Content-Type"), a.body, status, code)
	}
}
