package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

// tlsLines is lines behind TLS, with a certificate of its own.
func tlsLines(t testing.TB, name string, serial int64, hosts ...string) *service {
	t.Helper()
	chain, key := certificate(t, serial, hosts...)
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return script(t, func(_ int, c *client) {
		conn := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{pair}})
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(conn, "%s: %s", name, line); err != nil {
				return
			}
		}
	})
}

// asks opens TLS for a name at an address, sends a line, and gives the answer
// with the certificate's serial number, or the error.
func asks(addr, name string) string {
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return "error: " + err.Error()
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return "error: " + err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%s, certificate %v", strings.TrimSpace(line), conn.ConnectionState().PeerCertificates[0].SerialNumber)
}

// TestTLSPassthrough chooses by server name without looking inside.
func TestTLSPassthrough(t *testing.T) {
	t.Parallel()
	a, b, any := tlsLines(t, "a", 1, "a.example"), tlsLines(t, "b", 2, "*.b.example"), tlsLines(t, "any", 3, "x")
	g := start(t, fmt.Sprintf(`log: json
routes:
- {name: any, match: 'tls://$LISTEN2', to: '%s'}
- {name: a, match: ['tls://a.example:$PORT2', 'tls://a.example:$PORT3'], to: '%s'}
- {name: b, match: ['tls://*.b.example:$PORT2', 'tls://*.b.example:$PORT3'], to: '%s'}
- {match: /, respond: 200 hello}
listen: '$LISTEN'
`, any.addr, a.addr, b.addr))
	all, some := "127.0.0.1:"+g.ports["$PORT2"], "127.0.0.1:"+g.ports["$PORT3"]
	for _, c := range []struct{ addr, name, want string }{
		{all, "a.example", "a: hello, certificate 1"},
		{all, "A.EXAMPLE", "a: hello, certificate 1"},
		{all, "x.b.example", "b: hello, certificate 2"},
		{all, "y.x.b.example", "b: hello, certificate 2"},
		{all, "b.example", "any: hello, certificate 3"},
		{all, "", "any: hello, certificate 3"},
		{some, "a.example", "a: hello, certificate 1"},
	} {
		if got := asks(c.addr, c.name); got != c.want {
			t.Errorf("%q at %s gets %q, want %q", c.name, c.addr, got, c.want)
		}
	}
	for _, name := range []string{"other.example", ""} {
		if got := asks(some, name); !strings.Contains(got, "reset") {
			t.Errorf("%q, which no route is for, gets %q", name, got)
		}
	}
	c := dial(t, some)
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	if how := c.ends(); how != "reset" {
		t.Errorf("without TLS it ends by %q", how)
	}
	eventually(t, "what was refused is counted", func() bool { // a moment after the reset
		m := g.metrics()
		return m.value("naru_refused_total", "reason", "no_flow") == 2 && m.value("naru_refused_total", "reason", "handshake_failed") == 1
	})
	said(t, g.out, `"flow":"b"`, `"scheme":"tls"`, `"host":"x.b.example"`)
}

// TestTLSPassthroughInPieces sends the ClientHello byte by byte.
func TestTLSPassthroughInPieces(t *testing.T) {
	t.Parallel()
	a := tlsLines(t, "a", 1, "a.example")
	g := start(t, "routes:\n- {match: 'tls://a.example:$PORT', to: '"+a.addr+"'}\n")
	raw := dial(t, "127.0.0.1:"+g.ports["$PORT"])
	conn := tls.Client(slowly{raw}, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true})
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "a: hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// slowly writes byte by byte.
type slowly struct{ *client }

func (s slowly) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := s.client.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

func (s slowly) Read(b []byte) (int, error) { return s.in.Read(b) }

// TestTLSTerminated ends TLS and passes on what is inside; beside it, on the
// same port, another name is passed through.
func TestTLSTerminated(t *testing.T) {
	t.Parallel()
	inside, whole := lines(t, "inside"), tlsLines(t, "whole", 9, "whole.example")
	again := tlsLines(t, "again", 8, "again.example")
	g := prepare(t, fmt.Sprintf(`listen:
- {address: 'tls://:$PORT', hostname: end.example, tls: {cert: end.crt, key: end.key}}
- {address: 'tls://:$PORT', hostname: whole.example}
- {address: 'tls://:$PORT2', tls: {cert: end.crt, key: end.key}, minTLS: 1.3}
routes:
- {match: 'tls://end.example:$PORT', to: '%s'}
- {match: 'tls://whole.example:$PORT', to: '%s'}
- {match: 'tls://:$PORT2', to: again}
services:
  again: {endpoints: '%s', tls: {insecure: true}}
`, inside.addr, whole.addr, again.addr))
	g.keys("end", 7, "end.example")
	g.run("run", g.file)
	one, two := "127.0.0.1:"+g.ports["$PORT"], "127.0.0.1:"+g.ports["$PORT2"]
	for _, c := range []struct{ addr, name, want string }{
		{one, "end.example", "inside: hello, certificate 7"},
		{one, "whole.example", "whole: hello, certificate 9"},
		{two, "end.example", "again: hello, certificate 7"},
		{two, "", "again: hello, certificate 7"},
	} {
		if got := asks(c.addr, c.name); got != c.want {
			t.Errorf("%q at %s gets %q, want %q", c.name, c.addr, got, c.want)
		}
	}
	if got := asks(one, "other.example"); !strings.HasPrefix(got, "error") {
		t.Errorf("a name that nobody has gets %q", got)
	}
	if _, err := tls.Dial("tcp", two, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 where 1.3 is the least")
	}
	// The end of TLS is the end of the stream, and the other way round.
	conn, err := tls.Dial("tcp", one, &tls.Config{ServerName: "end.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "inside: bye\n" {
		t.Errorf("after the end %q, %v", line, err)
	}
}
