package proxy

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

var errBusy = errors.New("the port is taken")

// doors makes a configuration of listeners: "8080" or "https:8443:cert", at an
// address where one is given ("127.0.0.1 8080").
func doors(specs ...string) *model.Config {
	c := shop(1)
	c.Listeners = nil
	c.Routes[0].Parents = nil
	for _, cert := range []string{"good", "bad"} {
		c.Certificates = append(c.Certificates, &model.Certificate{Name: cert, ChainFile: "c", KeyFile: "k"})
	}
	for _, spec := range specs {
		l := &model.Listener{Name: spec, Protocol: model.HTTP}
		address, port, there := strings.Cut(spec, " ")
		if there {
			l.Address = address
		} else {
			port = spec
		}
		if rest, ok := strings.CutPrefix(port, "https:"); ok {
			var cert string
			port, cert, _ = strings.Cut(rest, ":")
			l.Protocol, l.Certificates = model.HTTPS, []string{cert}
		}
		l.Port = netip.MustParseAddrPort("0.0.0.0:" + port).Port()
		c.Listeners = append(c.Listeners, l)
		c.Routes[0].Parents = append(c.Routes[0].Parents, l.Name)
	}
	return c
}

// asked lists the ports that listen.
func (w *world) asked() string {
	var all []string
	for _, b := range w.proxy.Bound() {
		text := b.Asked.String()
		if b.Secure {
			text += " tls"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// fails applies c, which must not succeed, and checks that nothing changed.
func (w *world) fails(c *model.Config, with string) {
	w.t.Helper()
	before, open, prog := w.asked(), len(w.driver.open), w.proxy.Program()
	err := w.try(c)
	if err == nil || !strings.Contains(err.Error(), with) {
		w.t.Errorf("error %v, want one about %q", err, with)
	}
	if after := w.asked(); after != before || len(w.driver.open) != open || w.proxy.Program() != prog {
		w.t.Errorf("listening on %s (%d sockets), was %s (%d)", after, len(w.driver.open), before, open)
	}
}

func TestPortsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("1000", "2000"))
	s := w.get("/")
	old := w.proxy.ports[0].doors[0]
	w.apply(doors("2000", "3000"))
	if got := w.asked(); got != "[::]:2000, [::]:3000" {
		t.Errorf("listening on %s", got)
	}
	if !old.Draining() || w.proxy.ports[1].doors[0].Draining() {
		t.Error("connections of the port that went, and only those, should end")
	}
	// What is under way ends as it began; what comes on an old connection is
	// sent away.
	w.conn(0).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	late := &fakeStream{w: w}
	late.beginAt(old)
	late.ask("GET", "/", 0)
	late.request("", true)
	w.expect(late, 503, "", observe.PortRemoved)
	w.settled(2)
}

// TestInForceAsAWhole: whoever sees that a configuration is in force finds ports
// and services as it says, and not in the middle of the change.
func TestInForceAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("1000"))
	before, told := w.proxy.Program(), 0
	w.driver.meanwhile = func() {
		if told++; w.proxy.Program() != before {
			t.Error("it is in force while ports are still changed")
		}
	}
	w.apply(doors("1000", "2000"))
	if p := w.proxy.Program(); told == 0 || p == before || len(p.Snapshot.Listeners) != 2 {
		t.Errorf("%d ports were told; then %v is in force", told, p)
	}
}

func TestBindFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.driver.refuse[netip.MustParseAddrPort("[::]:4000")] = errBusy
	w.fails2(doors("4000"), "port is taken")
	// The others serve.
	w.apply(doors("1000"))
	w.applyWith(doors("1000", "3000", "4000"), "[::]:1000, [::]:3000", "it is not served; the other listeners are")
	w.get("/")
	w.conn(0).respond(200, "", true)
	w.settled(1)
	// Where nothing could be served the old Program stays.
	w.fails(doors("4000"), "port is taken")
}

// A listener that cannot move stays where it is, with its new routes.
func TestListenerCannotMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := doors("1000", "2000")
	w.apply(c)
	w.driver.refuse[netip.MustParseAddrPort("[::]:4000")] = errBusy
	moved := doors("1000", "4000")
	moved.Listeners[1].Name = c.Listeners[1].Name
	moved.Routes[0].Parents[1] = c.Listeners[1].Name
	w.applyWith(moved, "[::]:1000, [::]:2000", "it goes on serving on [::]:2000")
	if w.proxy.ports[1].doors[0].Draining() {
		t.Error("connections of the port that stays should stay")
	}
	clear(w.driver.refuse)
	moved.Routes[0].Timeouts.Request = 1 // another Version
	w.apply(moved)
	if got := w.asked(); got != "[::]:1000, [::]:4000" {
		t.Errorf("listening on %s", got)
	}
}

// applyWith applies c, of which something cannot be opened.
func (w *world) applyWith(c *model.Config, asked, hint string) {
	w.t.Helper()
	w.apply(c)
	if got := w.asked(); got != asked {
		w.t.Errorf("listening on %s, want %s", got, asked)
	}
	all := w.proxy.Program().Problems
	if len(all) != 1 || all[0].Code != "not-opened" || all[0].Hint != hint {
		w.t.Errorf("problems %v, want one with %q", all, hint)
	}
}

// fails2 is fails before there is any Program.
func (w *world) fails2(c *model.Config, with string) {
	w.t.Helper()
	w.fails(c, with)
	if len(w.driver.open) != 0 || w.proxy.Program() != nil {
		w.t.Error("something was left open")
	}
}

func TestMachineWithoutIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.driver.refuse[netip.MustParseAddrPort("[::]:1000")] = errNoFamily
	w.apply(doors("1000"))
	if a := w.proxy.Bound()[0].Addr; a != netip.MustParseAddrPort("0.0.0.0:1000") {
		t.Errorf("bound %v", a)
	}
}

func TestTLSUpdateFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("https:1000:good", "https:2000:good"))
	// The first port takes its new configuration, the second goes on with the
	// certificates that it has.
	c := doors("https:1000:good", "https:2000:bad")
	c.Listeners[0].MinTLS = "1.3"
	w.applyWith(c, "[::]:1000 tls, [::]:2000 tls", "the certificates from before go on serving")
	if got := w.tls.made[0].cfg.MinVersion; got != tls.VersionTLS13 {
		t.Errorf("the first port was left with TLS %x", got)
	}
	// A new port that refuses is not opened.
	w.applyWith(doors("https:1000:good", "https:2000:good", "https:3000:bad"), "[::]:1000 tls, [::]:2000 tls", "it is not served; the other listeners are")
	// And the same where its socket cannot be bound: the TLS side is closed.
	w.driver.refuse[netip.MustParseAddrPort("[::]:3000")] = errBusy
	w.applyWith(doors("https:1000:good", "https:2000:good", "https:3000:good"), "[::]:1000 tls, [::]:2000 tls", "it is not served; the other listeners are")
	if made := w.tls.made; !made[len(made)-1].closed {
		t.Error("the TLS side of a port that never was is open")
	}
	w.fails(doors("https:1000:unknown"), "no certificate unknown")
}

func TestPortChangesProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("1000"))
	socket := w.driver.on(1000)
	plain := w.proxy.ports[0].doors[0]
	accept := func() *fakeConn {
		c := &fakeConn{loop: w.loops[0]}
		socket.accept(c, false)
		return c
	}
	accept()
	if len(w.server.servers) != 1 || w.server.servers[0] != plain {
		t.Fatal("the plain connection was not served")
	}

	w.fails(doors("https:1000:bad"), "bad is not usable")
	w.driver.refuse[netip.MustParseAddrPort("[::]:9000")] = errBusy
	w.fails(doors("https:1000:bad", "9000"), "bad is not usable")
	accept()
	if len(w.server.servers) != 2 || w.server.servers[1] != plain {
		t.Fatal("a failed change left the port without its protocol")
	}

	w.apply(doors("https:1000:good"))
	if w.asked() != "[::]:1000 tls" || w.driver.on(1000) != socket {
		t.Errorf("listening on %s, same socket: %v", w.asked(), w.driver.on(1000) == socket)
	}
	accept()
	sec := w.tls.made[len(w.tls.made)-1]
	if len(w.server.servers) != 3 || w.server.servers[2] == plain || sec.secured != 1 {
		t.Fatal("the new connection was not secured")
	}
	if !plain.Draining() || w.proxy.ports[1].doors[0].Draining() {
		t.Error("plain connections should end, and only those")
	}
	// No request of a plain connection is taken for one that came by TLS.
	s := &fakeStream{w: w}
	s.beginAt(plain)
	s.ask("GET", "/", 0)
	s.request("", true)
	w.expect(s, 503, "", observe.PortRemoved)

	w.apply(doors("1000"))
	if w.asked() != "[::]:1000" || !sec.closed || w.driver.on(1000) != socket {
		t.Errorf("back again: listening on %s, TLS closed: %v", w.asked(), sec.closed)
	}
	w.apply(doors("2000"))
	if w.driver.on(1000) != nil || len(w.driver.open) != 1 {
		t.Error("the socket was left open")
	}
}

func TestAddressNarrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("1000"))
	w.driver.refuse[netip.MustParseAddrPort("127.0.0.1:1000")] = errBusy
	w.fails(doors("127.0.0.1 1000"), "port is taken")
	clear(w.driver.refuse)
	w.apply(doors("127.0.0.1 1000"))
	if got := w.asked(); got != "127.0.0.1:1000" || len(w.driver.open) != 1 {
		t.Errorf("listening on %s, %d sockets", got, len(w.driver.open))
	}
	w.apply(doors("1000"))
	if got := w.asked(); got != "[::]:1000" || len(w.driver.open) != 1 {
		t.Errorf("listening on %s, %d sockets", got, len(w.driver.open))
	}
}

func TestFullListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(doors("1000", "https:2000:good"))
	plain, secure := &fakeConn{loop: w.loops[0]}, &fakeConn{loop: w.loops[0]}
	w.driver.on(1000).accept(plain, true)
	w.driver.on(2000).accept(secure, true)
	if w.server.refused != 1 || plain.aborted || !secure.aborted {
		t.Errorf("refused %d, aborted %v and %v", w.server.refused, plain.aborted, secure.aborted)
	}
	c := doors("1000")
	c.Listeners[0].Limits.Connections = 5
	w.apply(c)
	if n := w.driver.on(1000).opt.MaxConns; n != 5 {
		t.Errorf("the bound is %d", n)
	}
}

// Who starts naru on port 443 for the first time is told what that takes.
func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	for port, want := range map[uint16]bool{443: true, 8443: false} {
		w := newWorld(t, 1)
		w.driver.refuse[netip.AddrPortFrom(netip.IPv6Unspecified(), port)] = syscall.EACCES
		err := w.try(&model.Config{Listeners: []*model.Listener{{Name: "l", Port: port, Protocol: model.HTTP}}})
		if err == nil || strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") != want {
			t.Errorf("port %d: %v", port, err)
		}
	}
}
