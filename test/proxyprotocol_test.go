package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// introduction is a PROXY header that says who a connection is from.
func introduction(version int, remote string) string {
	return string(wire.AppendProxyHeader(nil, version, wire.ProxyHeader{
		Remote: netip.MustParseAddrPort(remote), Local: netip.MustParseAddrPort("198.51.100.1:443"),
	}))
}

// TestProxyProtocolHTTP: services, the log and trusted hops see who the load
// balancer says the client is.
func TestProxyProtocolHTTP(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})
	g := prepare(t, `log: json
listen:
- {address: '$LISTEN', proxyProtocol: true}
- {address: 'https://$LISTEN2', proxyProtocol: true, tls: {cert: a.crt, key: a.key}}
- {address: '$LISTEN3', proxyProtocol: {from: 192.0.2.0/24}}
- {address: '$LISTEN4', proxyProtocol: {from: [192.0.2.0/24, 127.0.0.1]}, trustedHops: 1}
routes:
- {match: /, to: 'http://`+up.addr+`'}
`)
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	const request = "GET / HTTP/1.1\nHost: a.example\nConnection: close\n\n"
	for i, header := range []string{
		introduction(1, "192.0.2.7:1234"), introduction(2, "192.0.2.7:1234"), introduction(2, "[2001:db8::7]:1234"),
		"PROXY UNKNOWN\r\n", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
	} {
		want := []string{"192.0.2.7", "192.0.2.7", "2001:db8::7", "127.0.0.1", "127.0.0.1"}[i]
		// With what follows, without it, and byte by byte.
		for _, cut := range []int{0, len(header), -1} {
			c := dial(t, g.ports["$LISTEN"])
			text := header + strings.ReplaceAll(request, "\n", "\r\n")
			switch {
			case cut > 0:
				c.bytes(text[:cut])
				text = text[cut:]
			case cut < 0:
				if _, err := (slowly{c}).Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
				text = ""
			}
			c.bytes(text)
			if got := c.answer("GET"); got.body != want {
				t.Errorf("introduced by %q the client is %q", header, got.body)
			}
			if line := said(t, g.out, `"status":200`); !strings.Contains(line, `"client":"`+want+`"`) {
				t.Errorf("the log: %s", line)
			}
		}
		// TLS comes behind the header.
		raw := dial(t, g.ports["$LISTEN2"])
		raw.bytes(header)
		secure := newClient(t, tls.Client(raw.Conn, &tls.Config{InsecureSkipVerify: true}))
		secure.send(request)
		if got := secure.answer("GET"); got.body != want {
			t.Errorf("introduced by %q over TLS the client is %q", header, got.body)
		}
		said(t, g.out, `"status":200`)
	}
	// Who is not among the load balancers is not believed.
	c := dial(t, g.ports["$LISTEN3"])
	c.send(request)
	if got := c.answer("GET"); got.body != "127.0.0.1" {
		t.Errorf("without a header the client is %q", got.body)
	}
	c = dial(t, g.ports["$LISTEN3"])
	c.bytes(introduction(1, "192.0.2.7:1234"))
	if got := c.answer("GET"); got.StatusCode != 400 {
		t.Errorf("a header that is not awaited gets %d", got.StatusCode)
	}
	c = dial(t, g.ports["$LISTEN4"])
	c.bytes(introduction(2, "203.0.113.5:1234"))
	c.send("GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.99\n\n")
	if got := c.answer("GET"); got.body != "192.0.2.99, 203.0.113.5" {
		t.Errorf("with a trusted hop the client is %q", got.body)
	}
	if line := said(t, g.out, "203.0.113.5"); !strings.Contains(line, `"client":"192.0.2.99"`) {
		t.Error(line)
	}
}

// TestProxyProtocolRefuses closes what does not begin with a header.
func TestProxyProtocolRefuses(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := start(t, `listen:
- {address: '$LISTEN', proxyProtocol: true, limits: {handshake: 1s}}
- {address: 'tcp://$LISTEN2', proxyProtocol: true}
routes:
- {match: /, to: 'http://`+up.addr+`'}
- {match: 'tcp://$LISTEN2', to: '`+up.addr+`'}
`)
	bad := []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 192.0.2.7 192.0.2.8 1 99999\r\n", "PROXY TCP5 x\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c", "\x16\x03\x01\x02\x00", strings.Repeat("PROXY UNKNOWN ", 20),
	}
	for _, text := range bad {
		for _, port := range []string{"$LISTEN", "$LISTEN2"} {
			c := dial(t, g.ports[port])
			c.bytes(text)
			if how := c.ends(); how != "reset" {
				t.Errorf("%q at %s ends by %q", text, port, how)
			}
		}
	}
	g.counted(float64(2*len(bad)), "naru_refused_total", "reason", "bad_proxy_header")
	c := dial(t, g.ports["$LISTEN"])
	c.bytes("PROXY TCP4 192")
	if how := c.ends(); how != "reset" {
		t.Errorf("half a header ends by %q", how)
	}
	g.counted(1, "naru_refused_total", "reason", "proxy_header_timeout")
	c = dial(t, g.ports["$LISTEN"]) // a port check
	c.closeWrite()
	if how := c.ends(); how != "" {
		t.Errorf("a port check ends by %q", how)
	}
	if got := up.log.take(); len(got) > 0 {
		t.Errorf("the service saw %q", got)
	}
}

// TestProxyProtocolOnward tells services of connections who the client is.
func TestProxyProtocolOnward(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	up := script(t, func(_ int, c *client) {
		var b []byte
		for {
			one, err := c.in.ReadByte()
			if b = append(b, one); err != nil {
				heard <- fmt.Sprintf("%q, %v", b, err)
				return
			}
			if h, n, err := wire.ParseProxyHeader(b); err != nil || n > 0 {
				rest, _ := c.in.ReadString('\n')
				heard <- fmt.Sprintf("%v of %d says %v to %v, then %q", err, b[0], h.Remote, h.Local, rest)
				return
			}
		}
	})
	g := prepare(t, `listen:
- {address: 'tcp://$LISTEN2', proxyProtocol: true}
- {address: 'tls://$LISTEN3', tls: {cert: a.crt, key: a.key}}
routes:
- {match: 'tcp://$LISTEN', to: one}
- {match: 'tcp://$LISTEN2', to: two}
- {match: 'tls://:$PORT3', to: two}
services:
  one: {endpoints: '`+up.addr+`', proxyProtocol: v1}
  two: {endpoints: '`+up.addr+`', proxyProtocol: v2}
`)
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	c := dial(t, g.ports["$LISTEN"])
	c.bytes("hello\n")
	if got, want := receive(t, heard), fmt.Sprintf(`<nil> of 80 says %v to %s, then "hello\n"`, c.LocalAddr(), g.ports["$LISTEN"]); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	c = dial(t, g.ports["$LISTEN2"])
	c.bytes(introduction(1, "[2001:db8::7]:1234") + "hello\n")
	if got, want := receive(t, heard), `<nil> of 13 says [2001:db8::7]:1234 to 198.51.100.1:443, then "hello\n"`; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	secure, err := tls.Dial("tcp", g.ports["$LISTEN3"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	w := bufio.NewWriter(secure)
	fmt.Fprintln(w, "hello")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := receive(t, heard), fmt.Sprintf(`<nil> of 13 says %v to %s, then "hello\n"`, secure.LocalAddr(), g.ports["$LISTEN3"]); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}
