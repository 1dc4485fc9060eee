package proxy

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// fakeQUIC notes what listens; err keeps all from it.
type fakeQUIC struct {
	err  error
	open []*fakeListeningQUIC
}

type fakeListeningQUIC struct {
	addr   netip.AddrPort
	opt    wire.QUICOptions
	closed bool
}

func (f *fakeQUIC) ListenQUIC(addr netip.AddrPort, opt wire.QUICOptions) (wire.QUICListening, error) {
	if f.err != nil {
		return nil, f.err
	}
	l := &fakeListeningQUIC{addr: addr, opt: opt}
	f.open = append(f.open, l)
	return l, nil
}

func (l *fakeListeningQUIC) Conns() int                  { return 7 }
func (l *fakeListeningQUIC) SetBounds(b wire.QUICBounds) { l.opt.Bounds = b }
func (l *fakeListeningQUIC) Close()                      { l.closed = true }

// quicWorld serves https on port 8443, with HTTP/3.
func quicWorld(t *testing.T) (*world, *fakeQUIC, *model.Config) {
	w, q := newWorld(t, 1), &fakeQUIC{}
	w.proxy.opt.QUIC = q
	c := doors("https:8443:good")
	c.Listeners[0].HTTP3 = true
	return w, q, c
}

// alt is what Alt-Svc says in the answer to a request by a version of HTTP.
func (w *world) alt(minor uint8, fields ...string) string {
	s := w.open("GET", "/", 0)
	s.x.Request.Minor = minor
	s.request("", true)
	c := w.conn(-1)
	for i := 0; i < len(fields); i += 2 {
		c.x.Response.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	c.respond(200, "", true)
	var all []string
	for line := range strings.Lines(string(s.head)) {
		if value, ok := strings.CutPrefix(line, "Alt-Svc: "); ok {
			all = append(all, strings.TrimSpace(value))
		}
	}
	return strings.Join(all, " and ")
}

func TestAlternative(t *testing.T) {
	t.Parallel()
	w, q, c := quicWorld(t)
	w.apply(c)
	if len(q.open) != 1 || q.open[0].addr != netip.MustParseAddrPort("[::]:8443") {
		t.Fatalf("listening: %v", q.open)
	}
	const want = `h3=":8443"; ma=86400`
	for minor, want := range map[uint8]string{1: want, 2: want, 3: ""} {
		if got := w.alt(minor); got != want {
			t.Errorf("HTTP/%d: Alt-Svc %q", minor, got)
		}
	}
	if got := w.alt(2, "Alt-Svc", `h3=":1"`); got != want {
		t.Errorf("what the service says is passed on: %q", got)
	}
	var conns []string
	for _, b := range w.proxy.Bound() {
		conns = append(conns, string(b.Protocol))
	}
	if got := strings.Join(conns, " "); got != "https http3" {
		t.Errorf("bound: %s", got)
	}
	srv, lim := q.open[0].opt.Accept(w.loops[0])
	if srv != wire.Server(w.proxy.ports[0].doors[0]) || lim != w.proxy.ports[0].entrance.Load().limits {
		t.Error("requests go elsewhere")
	}
	q.open[0].opt.Failed(observe.HandshakeFailed, netip.AddrPort{}, errBusy)

	// Other bounds, and nothing else.
	c.Listeners[0].Limits.Connections = 5
	w.apply(c)
	if len(q.open) != 1 || q.open[0].opt.Bounds.MaxConns != 5 {
		t.Errorf("%d listenings, bounds %v", len(q.open), q.open[0].opt.Bounds)
	}

	// Without, and with again.
	c.Listeners[0].HTTP3 = false
	w.apply(c)
	if !q.open[0].closed || w.alt(1) != "" {
		t.Error("HTTP/3 stays")
	}
	c.Listeners[0].HTTP3 = true
	w.apply(c)
	if len(q.open) != 2 || w.alt(1) != want {
		t.Error("HTTP/3 does not come back")
	}

	// The port goes.
	w.apply(doors("1000"))
	if !q.open[1].closed {
		t.Error("the UDP side outlives its port")
	}
	w.settled(6)
}

func TestAlternativeThatCannotBe(t *testing.T) {
	t.Parallel()
	w, q, c := quicWorld(t)
	q.err = syscall.EADDRINUSE
	w.apply(c)
	if got := w.alt(1); got != "" {
		t.Errorf("announced: %s", got)
	}
	for range 2 { // tried again, and told once
		list := w.proxy.Problems()
		if len(list) != 1 || list[0].Code != "not-opened" || !strings.Contains(list[0].Message, "HTTP/3: address already in use") {
			t.Errorf("%v", list)
		}
		w.apply(c)
	}
	if n := strings.Count(w.log.String(), "HTTP/3"); n != 2 { // message and hint of one line
		t.Errorf("told %d times: %s", n, w.log.String())
	}
	q.err = nil
	w.apply(c)
	if list := w.proxy.Problems(); len(list) != 0 || w.alt(1) == "" {
		t.Errorf("%v", list)
	}
}

func TestAlternativeDrains(t *testing.T) {
	t.Parallel()
	w, q, c := quicWorld(t)
	w.apply(c)
	if err := w.proxy.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !q.open[0].closed {
		t.Error("new connections are taken")
	}
}
