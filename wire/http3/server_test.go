package http3

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
)

// realLoop is a loop on a goroutine of its own, in real time.
type realLoop struct {
	fakeLoop
	start  time.Time
	posted chan func()
	over   chan struct{}
	ended  chan struct{}
	timers map[*wire.Timer]*time.Timer
}

func newRealLoop(t testing.TB) *realLoop {
	l := &realLoop{start: time.Now(), posted: make(chan func(), 10_000), over: make(chan struct{}), ended: make(chan struct{}), timers: map[*wire.Timer]*time.Timer{}}
	go func() {
		defer close(l.ended)
		for {
			select {
			case fn := <-l.posted:
				fn()
			case <-l.over:
				return
			}
		}
	}()
	t.Cleanup(func() { close(l.over); <-l.ended })
	return l
}

func (l *realLoop) Now() time.Duration { return time.Since(l.start) }
func (l *realLoop) Wall() time.Time    { return time.Now() }
func (l *realLoop) Post(fn func())     { l.posted <- fn }
func (l *realLoop) Disarm(t *wire.Timer) {
	if was := l.timers[t]; was != nil {
		was.Stop()
		delete(l.timers, t)
	}
}
func (l *realLoop) Arm(t *wire.Timer, d time.Duration) {
	l.Disarm(t)
	var mine *time.Timer
	mine = time.AfterFunc(d, func() {
		l.Post(func() {
			if l.timers[t] == mine {
				delete(l.timers, t)
				t.Handler.OnTimer(t)
			}
		})
	})
	l.timers[t] = mine
}

// lender lends one certificate.
type lender struct {
	wire.ServerSecurity
	cert tls.Certificate
}

func newLender(t testing.TB) *lender {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &lender{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func (l *lender) Lend(protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{l.cert}, NextProtos: protocols}
}

func (l *lender) Agreed(st tls.ConnectionState) *wire.TLSState {
	return &wire.TLSState{Version: st.Version, ServerName: st.ServerName, Protocol: st.NegotiatedProtocol}
}

// house is a server with one listening.
type house struct {
	t      testing.TB
	server *Server
	open   wire.QUICListening
	opt    wire.QUICOptions
	addr   netip.AddrPort
	failed chan observe.Reason
	lim    wire.Limits

	plan func(v *guest)
}

// newHouse begins to listen when its bounds stand: connections read them from then on.
func newHouse(t testing.TB, plan func(v *guest), bounds ...func(lim *wire.Limits)) *house {
	t.Helper()
	h := &house{t: t, failed: make(chan observe.Reason, 100), plan: plan}
	h.lim = wire.Limits{HeadBytes: 4 << 10, Fields: 20, URIBytes: 1 << 10, BodyBytes: -1, Requests: -1,
		Idle: time.Minute, Head: time.Minute, Body: time.Minute, Write: time.Minute}
	for _, set := range bounds {
		set(&h.lim)
	}
	h.server = New([]wire.Loop{newRealLoop(t), newRealLoop(t)})
	t.Cleanup(h.server.Close)
	h.opt = wire.QUICOptions{
		Security: newLender(t), Bounds: wire.QUICBounds{MaxConns: 3},
		Accept: func(wire.Loop) (wire.Server, *wire.Limits) { return h, &h.lim },
		Failed: func(why observe.Reason, _ netip.AddrPort, _ error) {
			select { // it may not wait: a client that is refused asks again and again
			case h.failed <- why:
			default:
			}
		},
	}
	h.addr = freeport.HoldOn(t, "127.0.0.1")
	h.listen()
	return h
}

func (h *house) listen() {
	h.t.Helper()
	open, err := h.server.ListenQUIC(h.addr, h.opt)
	if err != nil {
		h.t.Fatal(err)
	}
	h.open = open
}

func (h *house) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	g := &guest{house: h, s: s}
	return &g.x, g
}
func (h *house) Refused(*wire.Exchange, wire.RequestSink, observe.Reason) {}
func (h *house) Gone(wire.ServerStream)                                   {}
func (h *house) Draining() bool                                           { return false }

// guest is one exchange.
type guest struct {
	house   *house
	x       wire.Exchange
	s       wire.ServerStream
	n       int
	more    func() // at OnResponseDrained
	aborted chan observe.Reason
}

func (g *guest) OnRequest(data []byte, end bool) {
	g.n += len(data)
	g.house.plan(g)
}
func (g *guest) OnRequestData(data []byte, end bool) {
	g.n += len(data)
	if end && g.more == nil {
		g.answer(strings.Repeat("x", g.n))
	}
}
func (g *guest) OnRequestTrailers(*wire.Head) {}
func (g *guest) OnRequestAbort(why observe.Reason) {
	if g.aborted != nil {
		g.aborted <- why
	}
}
func (g *guest) OnResponseDrained() {
	if g.more != nil {
		g.more()
	}
}

func (g *guest) answer(body string) {
	g.x.Response.Status, g.x.Response.Length = 200, int64(len(body))
	g.s.Respond(&g.x.Response, []byte(body), true)
}

func (g *guest) begin() {
	g.x.Response.Status, g.x.Response.Length = 200, -1
	g.s.Respond(&g.x.Response, nil, false)
}

// dial connects.
func (h *house) dial(protocols ...string) (*quic.Conn, error) {
	if protocols == nil {
		protocols = []string{"h3"}
	}
	conn, err := quic.DialAddr(h.t.Context(), h.addr.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}, nil)
	if err == nil {
		h.t.Cleanup(func() { conn.CloseWithError(0x100, "") })
	}
	return conn, err
}

func (h *house) mustDial() *quic.Conn {
	h.t.Helper()
	conn, err := h.dial()
	if err != nil {
		h.t.Fatal(err)
	}
	return conn
}

// ask sends frames on a new stream.
func ask(t testing.TB, conn *quic.Conn, frames string, end bool) *quic.Stream {
	t.Helper()
	s, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte(frames)); err != nil {
		t.Fatal(err)
	}
	if end {
		s.Close()
	}
	return s
}

func (h *house) fails(t testing.TB, why observe.Reason) {
	t.Helper()
	select {
	case got := <-h.failed:
		if got != why {
			t.Errorf("failed because of %s, want %s", got, why)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("nobody was told")
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(g *guest) { g.answer("hello") })
	conn := h.mustDial()
	for range 3 {
		b, err := io.ReadAll(ask(t, conn, get("/"), true))
		if got := read(b); err != nil || got != ":status=200\ncontent-length=5\n\"hello\"\n" {
			t.Errorf("%v %s", err, got)
		}
	}
	if n := h.open.Conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestStreamsAreGivenBack: a client may have many requests, one after another.
func TestStreamsAreGivenBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(g *guest) { g.answer("hello") })
	conn := h.mustDial()
	for range 3 * mostStreams {
		if _, err := io.ReadAll(ask(t, conn, get("/"), true)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(g *guest) { g.answer("hello") })
	if _, err := h.dial("nonsense"); err == nil {
		t.Error("nonsense is spoken")
	}
	h.fails(t, observe.HandshakeFailed)
	for range 3 {
		h.mustDial()
	}
	if _, err := h.dial(); err == nil {
		t.Error("a connection too many")
	}
	h.fails(t, observe.TooManyConnections)
	h.open.SetBounds(wire.QUICBounds{MaxConns: 4})
	last := h.waits(t)
	// Who leaves makes room.
	last.CloseWithError(0x100, "")
	h.waits(t)
}

// deaf is a socket that hears nothing: who dials by it never gets beyond the
// first packet.
type deaf struct{ net.PacketConn }

func (d deaf) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if n, addr, err := d.PacketConn.ReadFrom(b); err != nil {
			return n, addr, err
		}
	}
}

// TestHandshakes: who comes when as many handshakes are under way as may be is
// refused, and served when one of them is over.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(g *guest) { g.answer("hello") })
	h.server.SetHandshakes(1)
	h.open.SetBounds(wire.QUICBounds{Handshake: time.Minute})
	first := &quic.Transport{Conn: deaf{listenUDP(t)}}
	defer first.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = first.Dial(ctx, net.UDPAddrFromAddrPort(h.addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	}()
	tick, limit := time.NewTicker(time.Millisecond), time.After(90*time.Second)
	defer tick.Stop()
	for h.open.(*listening).socket.shaking.Load() == 0 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the first one does not come")
		}
	}
	if _, err := h.dial(); err == nil {
		t.Error("a second handshake is let in")
	}
	h.fails(t, observe.ProxyOverloaded)

	// The rest of a hello that was refused has no place that is free by then.
	lasting := &h.open.(*listening).socket.refused
	lasting.mu.Lock()
	lasting.lasts = time.Hour // however long this test takes
	lasting.mu.Unlock()
	slow := &tardy{deaf: deaf{listenUDP(t)}, rest: make(chan []byte, 16)}
	second := &quic.Transport{Conn: slow}
	defer second.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = second.Dial(ctx, net.UDPAddrFromAddrPort(h.addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	}()
	rest := <-slow.rest
	h.fails(t, observe.ProxyOverloaded)
	h.server.SetHandshakes(2)
	if _, err := slow.PacketConn.WriteTo(rest, net.UDPAddrFromAddrPort(h.addr)); err != nil {
		t.Fatal(err)
	}
	h.mustDial()
	leave()
	<-over
	<-gone
}

// tardy is deaf, and sends the first packet alone.
type tardy struct {
	deaf
	sent bool
	rest chan []byte
}

func (s *tardy) WriteTo(b []byte, to net.Addr) (int, error) {
	if !s.sent {
		s.sent = true
		return s.deaf.WriteTo(b, to)
	}
	select {
	case s.rest <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}

func listenUDP(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// waits dials until there is room. That is soon: what still comes from who was
// refused holds no place.
func (h *house) waits(t *testing.T) *quic.Conn {
	t.Helper()
	for limit := time.Now().Add(90 * time.Second); ; {
		conn, err := h.dial()
		if err == nil {
			return conn
		}
		if time.Now().After(limit) {
			t.Fatal("a connection that is gone is counted:", err)
		}
	}
}

// TestListenAgain: an address is taken over from a listening whose connections
// still stand, and they live on.
func TestListenAgain(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	h := newHouse(t, func(g *guest) {
		if string(g.x.Request.Path) != "/long" {
			g.answer("hello")
			return
		}
		close(asked)
		go func() {
			<-answer
			g.s.Loop().Post(func() { g.answer("long") })
		}()
	})
	conn := h.mustDial()
	s := ask(t, conn, get("/long"), true)
	<-asked
	h.open.Close()
	quick, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := quic.DialAddr(quick, h.addr.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil); err == nil {
		t.Error("a listening that is closed listens")
	}
	h.listen()
	if b, err := io.ReadAll(ask(t, h.mustDial(), get("/"), true)); err != nil || !strings.Contains(read(b), "hello") {
		t.Errorf("%v %s", err, read(b))
	}
	close(answer)
	if b, err := io.ReadAll(s); err != nil || !strings.Contains(read(b), "long") {
		t.Errorf("%v %s", err, read(b))
	}
	// And the first was told: its control stream has SETTINGS and GOAWAY.
	side, err := conn.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var said []byte
	for !strings.Contains(read(said[min(1, len(said)):]), "frame 0x7") {
		b := make([]byte, 100)
		n, err := side.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, b[:n]...)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := h.server.ListenQUIC(taken.LocalAddr().(*net.UDPAddr).AddrPort(), h.opt); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	h.server.Close()
	if _, err := h.server.ListenQUIC(h.addr, h.opt); err == nil {
		t.Error("a server that is closed listens")
	}
	again, err := net.ListenPacket("udp", h.addr.String())
	if err != nil {
		t.Fatalf("the socket is still open: %v", err)
	}
	again.Close()
}

// TestBackpressure: who does not read is not written to, beyond bounds, and
// the response arrives whole when it is read after all.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	const whole = 8 << 20
	full := make(chan int, 1)
	h := newHouse(t, func(g *guest) {
		g.begin()
		left := whole
		chunk := make([]byte, 32<<10)
		told := false
		g.more = func() {
			for left > 0 && g.s.Buffered() <= wire.HighWater {
				left -= len(chunk)
				g.s.Data(chunk, left == 0)
			}
			if left > 0 && !told {
				told = true
				full <- g.s.Buffered()
			}
		}
		g.more()
	})
	s := ask(t, h.mustDial(), get("/"), true)
	if n := <-full; n > wire.HighWater+64<<10 {
		t.Errorf("%d bytes wait", n)
	}
	b, err := io.ReadAll(s)
	if err != nil || len(b) < whole {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestHeldUpload: a paused request stops its client, and is whole afterwards.
func TestHeldUpload(t *testing.T) {
	t.Parallel()
	const whole = 4 << 20
	held := make(chan *guest, 1)
	h := newHouse(t, func(g *guest) {
		g.s.Pause()
		held <- g
	})
	s := ask(t, h.mustDial(), request("POST", "/"), false)
	sent := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte(data(strings.Repeat("y", whole))))
		s.Close()
		sent <- err
	}()
	g := <-held
	select {
	case err := <-sent:
		t.Fatalf("all of it was taken: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	g.s.Loop().Post(g.s.Resume)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(s)
	if err != nil || len(b) < whole {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestSlowReaderIsCutOff after limits.write.
func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	aborted := make(chan observe.Reason, 1)
	h := newHouse(t, func(g *guest) {
		g.aborted = aborted
		g.begin()
		g.s.Data(make([]byte, 4<<20), false)
	}, func(lim *wire.Limits) { lim.Write = 100 * time.Millisecond })
	s := ask(t, h.mustDial(), get("/"), true)
	if why := <-aborted; why != observe.WriteTimeout {
		t.Errorf("aborted because of %s", why)
	}
	if _, err := io.ReadAll(s); err == nil {
		t.Error("the client does not hear of it")
	}
}

// TestClientLeaves: by a reset, by not reading on, and altogether.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(c *quic.Conn, s *quic.Stream){
		"reset":  func(_ *quic.Conn, s *quic.Stream) { s.CancelWrite(quic.StreamErrorCode(codeCancelled)) },
		"unread": func(_ *quic.Conn, s *quic.Stream) { s.CancelRead(quic.StreamErrorCode(codeCancelled)) },
		"gone":   func(c *quic.Conn, _ *quic.Stream) { c.CloseWithError(0x100, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, aborted := make(chan struct{}, 1), make(chan observe.Reason, 1)
			h := newHouse(t, func(g *guest) {
				g.aborted = aborted
				asked <- struct{}{}
			})
			conn := h.mustDial()
			s := ask(t, conn, request("POST", "/"), false)
			<-asked
			leave(conn, s)
			if why := <-aborted; why != observe.ClientGone {
				t.Errorf("aborted because of %s", why)
			}
		})
	}
}
