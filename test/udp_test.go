package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// datagrams is a service that answers each message with what answer makes of
// it, "" for nothing, and notes from how many addresses it was asked.
func datagrams(t testing.TB, answer func(string) string) (addr string, from func() int) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	log := newSightings()
	go func() {
		b := make([]byte, 1<<16)
		seen := map[string]bool{}
		for {
			n, peer, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if !seen[peer.String()] {
				seen[peer.String()] = true
				log.add("%v", peer)
			}
			if text := answer(string(b[:n])); text != "" {
				_, _ = c.WriteTo([]byte(text), peer) // as datagrams may be, it is lost
			}
		}
	}()
	return c.LocalAddr().String(), log.count
}

func dialUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.UDPConn)
}

// inquire sends a message and gives the answer.
func inquire(t testing.TB, c *net.UDPConn, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// quiet fails if something comes within a moment.
func quiet(t testing.TB, c *net.UDPConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	if n, err := c.Read(b); !errors.Is(err, syscall.EAGAIN) && !isTimeout(err) {
		t.Errorf("%q came, %v", b[:n], err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestUDP(t *testing.T) {
	t.Parallel()
	up, from := datagrams(t, func(s string) string { return "re: " + s })
	g := start(t, "log: json\nroutes:\n- {name: names, match: udp://$LISTEN, to: '"+up+"'}\n- {name: brief, match: udp://$LISTEN2, to: '"+up+"', timeout: {idle: 50ms}}\n")
	clients := make([]*net.UDPConn, 8)
	for i := range clients {
		clients[i] = dialUDP(t, g.addr)
	}
	for round := range 3 {
		for i, c := range clients {
			text := fmt.Sprint("client ", i, " round ", round)
			if got := inquire(t, c, text); got != "re: "+text {
				t.Errorf("%q is answered by %q", text, got)
			}
		}
	}
	big := strings.Repeat("x", 60_000)
	if got := inquire(t, clients[0], big); got != "re: "+big {
		t.Errorf("a large one came back with %d bytes", len(got))
	}
	if n := from(); n != len(clients) {
		t.Errorf("the service sees %d clients", n)
	}
	g.counted(float64(len(clients)), "naru_flow_connections_active", "flow", "names")
	g.counted(float64(len(clients)), "naru_listener_connections", "protocol", "udp")
	c := dialUDP(t, g.ports["$LISTEN2"])
	if got := inquire(t, c, "once"); got != "re: once" {
		t.Errorf("before the end of a session %q", got)
	}
	line := said(t, g.out, `"scheme":"udp"`)
	for _, want := range []string{`"flow":"brief"`, `"endpoint":"` + up + `"`, `"client":"127.0.0.1"`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log has no %s: %s", want, line)
		}
	}
	eventually(t, "idle sessions end", func() bool { return g.metrics().value("naru_flow_connections_active", "flow", "brief") == 0 })
	if got := inquire(t, c, "again"); got != "re: again" {
		t.Errorf("after the end of a session %q", got)
	}
}

// TestUDPAnswersFromWhereItWasAsked: a socket that is bound to every address
// has several, and clients believe only the one that they asked.
func TestUDPAnswersFromWhereItWasAsked(t *testing.T) {
	t.Parallel()
	up, _ := datagrams(t, func(s string) string { return s })
	g := start(t, "routes:\n- {match: 'udp://:$PORT', to: '"+up+"'}\n")
	for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.9.9.9", "[::1]"} {
		if got := inquire(t, dialUDP(t, ip+":"+g.ports["$PORT"]), ip); got != ip {
			t.Errorf("%s answers %q", ip, got)
		}
	}
}

// TestUDPAmplifiesNothing: nobody gets what he did not ask for, and who asks
// much is bounded.
func TestUDPAmplifiesNothing(t *testing.T) {
	t.Parallel()
	var back net.Addr
	up, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g := start(t, "listen: {address: 'udp://$LISTEN', limits: {connections: 2}}\nroutes:\n- {match: udp://$LISTEN, to: '"+up.LocalAddr().String()+"'}\n")
	a, b, c := dialUDP(t, g.addr), dialUDP(t, g.addr), dialUDP(t, g.addr)
	for _, one := range []*net.UDPConn{a, b} {
		if _, err := one.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if _, back, err = up.ReadFrom(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one too many is counted", func() bool { return g.metrics().value("naru_refused_total", "reason", "too_many_sessions") == 1 })
	// A stranger sends to the session's socket: it is connected.
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.WriteTo([]byte("unasked"), back); err != nil {
		t.Fatal(err)
	}
	quiet(t, a)
	quiet(t, b)
	if _, err := up.WriteTo([]byte("answer"), back); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 10)
	if n, err := b.Read(text); err != nil || string(text[:n]) != "answer" {
		t.Errorf("%q, %v", text[:n], err)
	}
	quiet(t, a)
}

// TestUDPTriesAnother: where nobody listens the network says so, and the next
// message goes to another endpoint.
func TestUDPTriesAnother(t *testing.T) {
	t.Parallel()
	good, _ := datagrams(t, func(s string) string { return "good" })
	nobody := dialUDP(t, good).LocalAddr().(*net.UDPAddr).AddrPort()
	bad := netip.AddrPortFrom(nobody.Addr(), nobody.Port())
	g := start(t, "log: json\nroutes:\n- {match: udp://$LISTEN, to: names}\nservices:\n  names: ['"+bad.String()+"', '"+good+"']\n")
	for range 4 {
		c := dialUDP(t, g.addr)
		eventually(t, "somebody answers", func() bool {
			if _, err := c.Write([]byte("?")); err != nil {
				return false
			}
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				return false
			}
			b := make([]byte, 10)
			n, err := c.Read(b)
			return err == nil && string(b[:n]) == "good"
		})
	}
}

// TestUDPReload: a session follows a route that leads elsewhere, and ends with
// its listener.
func TestUDPReload(t *testing.T) {
	t.Parallel()
	a, _ := datagrams(t, func(string) string { return "a" })
	b, _ := datagrams(t, func(string) string { return "b" })
	config := func(to string) string {
		return "listen: $LISTEN2\nroutes:\n- {match: udp://$LISTEN, to: '" + to + "'}\n"
	}
	g := start(t, config(a))
	c := dialUDP(t, g.ports["$LISTEN"])
	if got := inquire(t, c, "?"); got != "a" {
		t.Errorf("first %q", got)
	}
	g.reload(config(b))
	if got := inquire(t, c, "?"); got != "b" {
		t.Errorf("then %q", got)
	}
	g.reload("listen: $LISTEN2\nroutes:\n- {match: /, respond: 200 x}\n")
	eventually(t, "the port is closed", func() bool {
		if _, err := c.Write([]byte("?")); err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		_, err := c.Read(make([]byte, 10))
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// TestDNS asks a name server for an address, over UDP and, as clients do when
// an answer is too long, over TCP on the same port.
func TestDNS(t *testing.T) {
	t.Parallel()
	name := dnsmessage.MustNewName("db.example.")
	resolve := func(text string) string {
		var m dnsmessage.Message
		if err := m.Unpack([]byte(text)); err != nil || len(m.Questions) != 1 || m.Questions[0].Name != name {
			return ""
		}
		m.Response, m.Authoritative = true, true
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 53}},
		}}
		answer, err := m.Pack()
		if err != nil {
			return ""
		}
		return string(answer)
	}
	udp, _ := datagrams(t, resolve)
	tcp := script(t, func(_ int, c *client) {
		head := make([]byte, 2)
		if _, err := c.in.Read(head); err != nil {
			return
		}
		text := make([]byte, int(head[0])<<8|int(head[1]))
		if _, err := c.in.Read(text); err != nil {
			return
		}
		answer := resolve(string(text))
		_, _ = c.Write([]byte{byte(len(answer) >> 8), byte(len(answer))})
		_, _ = c.Write([]byte(answer))
	})
	g := start(t, "routes:\n- {match: udp://$LISTEN, to: '"+udp+"'}\n- {match: tcp://$LISTEN, to: '"+tcp.addr+"'}\n")
	for _, network := range []string{"udp", "tcp"} {
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, g.addr)
		}}
		got, err := r.LookupNetIP(t.Context(), "ip4", "db.example.")
		if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.53") {
			t.Errorf("over %s: %v, %v", network, got, err)
		}
	}
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Log("dig is not installed: scripts/setup does it, as root on Debian")
		return
	}
	_, port, _ := net.SplitHostPort(g.addr)
	for _, how := range []string{"+notcp", "+tcp"} {
		out, err := exec.Command(dig, "+short", "+noedns", "+tries=1", how, "@127.0.0.1", "-p", port, "db.example").CombinedOutput()
		if err != nil || string(out) != "192.0.2.53\n" {
			t.Errorf("dig %s: %q, %v", how, out, err)
		}
	}
}
