package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLoop has a clock that the test moves and posts that the test runs.
type fakeLoop struct {
	index  int
	now    time.Duration
	wheel  wire.Wheel
	dialed netip.AddrPort
	dial   func(netip.AddrPort, wire.ConnHandler) wire.Conn // nil: there is no connection

	mu    sync.Mutex
	posts []func()
}

func (l *fakeLoop) Index() int                         { return l.index }
func (l *fakeLoop) Now() time.Duration                 { return l.now }
func (l *fakeLoop) Wall() time.Time                    { return time.Unix(1_700_000_000, 0).Add(l.now) }
func (l *fakeLoop) Arm(t *wire.Timer, d time.Duration) { l.wheel.Arm(t, l.now, d) }
func (l *fakeLoop) Disarm(t *wire.Timer)               { l.wheel.Disarm(t) }
func (l *fakeLoop) Post(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts = append(l.posts, fn)
}
func (l *fakeLoop) Dial(addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	l.dialed = addr
	if l.dial != nil {
		return l.dial(addr, h)
	}
	return nil
}

// run does what was posted, and what that posts.
func (l *fakeLoop) run() {
	for {
		l.mu.Lock()
		posts := l.posts
		l.posts = nil
		l.mu.Unlock()
		if len(posts) == 0 {
			return
		}
		for _, fn := range posts {
			fn()
		}
	}
}

// pass lets time go by, in the steps in which timers fire.
func (l *fakeLoop) pass(d time.Duration) {
	for end := l.now + d; ; {
		at, ok := l.wheel.Next()
		if !ok || at > end {
			l.now = end
			l.run()
			return
		}
		l.now = max(l.now, at)
		l.wheel.Advance(l.now)
		for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
			t.Handler.OnTimer(t)
		}
		l.run()
	}
}

// fakeDriver has loops, and addresses that can be bound or not.
type fakeDriver struct {
	loops  []wire.Loop
	open   []*fakeListening
	refuse map[netip.AddrPort]error

	meanwhile func() // a port that stays is told what holds for it now
}

type fakeListening struct {
	driver *fakeDriver
	addr   netip.AddrPort
	opt    wire.ListenOptions
	accept wire.Acceptor
}

func (d *fakeDriver) Loops() []wire.Loop { return d.loops }
func (d *fakeDriver) Close()             {}
func (d *fakeDriver) Listen(addr netip.AddrPort, opt wire.ListenOptions, accept wire.Acceptor) (wire.Listening, error) {
	if err := d.refuse[addr]; err != nil {
		return nil, fmt.Errorf("listen %v: %w", addr, err)
	}
	for _, l := range d.open {
		a, b := l.addr.Addr(), addr.Addr()
		if l.addr.Port() == addr.Port() && (a == b || a.IsUnspecified() || b.IsUnspecified()) {
			return nil, fmt.Errorf("listen %v: %w", addr, errInUse)
		}
	}
	g := &fakeListening{driver: d, addr: addr, opt: opt, accept: accept}
	d.open = append(d.open, g)
	return g, nil
}

// on finds what listens on a port.
func (d *fakeDriver) on(port uint16) *fakeListening {
	for _, l := range d.open {
		if l.addr.Port() == port {
			return l
		}
	}
	return nil
}

func (l *fakeListening) Addr() netip.AddrPort { return l.addr }
func (l *fakeListening) Conns() int           { return 0 }
func (l *fakeListening) SetOptions(opt wire.ListenOptions) {
	l.opt = opt
	if l.driver.meanwhile != nil {
		l.driver.meanwhile()
	}
}
func (l *fakeListening) Close() {
	for i, o := range l.driver.open {
		if o == l {
			l.driver.open = append(l.driver.open[:i], l.driver.open[i+1:]...)
			return
		}
	}
}

// fakeStream is the client's side of one request, and checks how it is used.
type fakeStream struct {
	w    *world
	peer wire.Peer
	x    *wire.Exchange
	sink wire.RequestSink

	status    int
	informed  int
	head      []byte // the response's fields
	body      []byte
	trailers  bool
	ended     bool // by the proxy
	reset     observe.Reason
	paused    bool
	requested bool // the request is complete
	over      bool // by the client or the codec
	buffered  int
}

func (s *fakeStream) check(what string) {
	if s.ended || s.over {
		s.w.t.Errorf("%s on a stream that is over", what)
	}
}

func (s *fakeStream) Loop() wire.Loop  { return s.w.loops[0] }
func (s *fakeStream) Peer() *wire.Peer { return &s.peer }
func (s *fakeStream) Buffered() int {
	s.check("Buffered")
	return s.buffered
}
func (s *fakeStream) Pause() {
	s.check("Pause")
	s.paused = true
}
func (s *fakeStream) Resume() {
	s.check("Resume")
	s.paused = false
}
func (s *fakeStream) Inform(*wire.Head) {
	s.check("Inform")
	s.informed++
	if s.status != 0 {
		s.w.t.Error("Inform after Respond")
	}
}
func (s *fakeStream) Respond(h *wire.Head, data []byte, end bool) {
	s.check("Respond")
	if s.status != 0 {
		s.w.t.Error("Respond twice")
	}
	s.status = h.Status
	s.head = h.AppendFields(s.head[:0])
	s.add(data, end)
	if h.Status == 101 {
		s.requested = false
	}
}
func (s *fakeStream) Data(b []byte, end bool) {
	s.check("Data")
	if s.status == 0 {
		s.w.t.Error("Data before Respond")
	}
	s.add(b, end)
}
func (s *fakeStream) Trailers(*wire.Head) {
	s.check("Trailers")
	s.trailers = true
	s.add(nil, true)
}
func (s *fakeStream) add(b []byte, end bool) {
	s.body = append(s.body, b...)
	s.x.BytesOut += int64(len(b))
	s.ended = end
}
func (s *fakeStream) Reset(why observe.Reason) {
	s.check("Reset")
	s.ended, s.reset = true, why
}

// begin asks the door of a port for a place.
func (s *fakeStream) begin(port int) {
	d := s.w.proxy.ports[port].doors[0]
	s.beginAt(d)
}

func (s *fakeStream) beginAt(d *door) {
	s.x, s.sink = d.Begin(s)
	s.x.Request.Reset()
	s.x.Peer, s.x.Upgrade, s.x.ExpectContinue = &s.peer, nil, false
	s.x.BytesIn, s.x.BytesOut = 0, 0
	s.x.Began = s.w.loops[0].now
}

// ask fills in a head.
func (s *fakeStream) ask(method, path string, length int64, fields ...string) {
	h := &s.x.Request
	h.Minor, h.Length = 1, length
	h.Method, h.Path = h.Keep([]byte(method)), h.Keep([]byte(path))
	h.Authority = h.Keep([]byte("a.example"))
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Upgrade" {
			s.x.Upgrade = []byte(fields[i+1])
			continue
		}
		h.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
}

// request sends a head and the first part of the body.
func (s *fakeStream) request(body string, end bool) {
	s.requested = end
	s.x.BytesIn += int64(len(body))
	s.sink.OnRequest([]byte(body), end)
}

// send sends more of the body.
func (s *fakeStream) send(body string, end bool) {
	s.requested = end
	s.x.BytesIn += int64(len(body))
	s.sink.OnRequestData([]byte(body), end)
}

// leave is the client going away.
func (s *fakeStream) leave(why observe.Reason) {
	s.over = true
	s.sink.OnRequestAbort(why)
}

// fakeCodec makes fakeClients and keeps them, in the order of their making.
type fakeCodec struct {
	w     *world
	conns []*fakeClient
}

func (f *fakeCodec) Open(owner wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	dial(nil)
	c := &fakeClient{w: f.w, owner: owner, addr: f.w.loops[0].dialed}
	f.conns = append(f.conns, c)
	return c
}

// fakeClient is a connection to a service, and checks how it is used.
type fakeClient struct {
	w     *world
	owner wire.ClientOwner
	addr  netip.AddrPort
	x     *wire.Exchange // while a try runs
	sink  wire.ResponseSink

	host, path, fields []byte
	body               []byte
	sent               bool // the request is complete
	trailers           bool
	begun              bool // the response was
	paused             bool
	served             int
	opened             bool
	closing, gone      bool
	canceled           int
	buffered           int
}

func (c *fakeClient) Send(x *wire.Exchange, sink wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	if c.x != nil || c.gone {
		c.w.t.Error("Send on a connection that is busy or gone")
	}
	c.x, c.sink = x, sink
	c.begun, c.sent, c.trailers, c.paused = false, end, false, false
	h := &x.Request
	c.host, c.path = append(c.host[:0], h.Authority...), append(c.path[:0], h.Path...)
	c.fields = h.AppendFields(c.fields[:0])
	c.body = append(c.body[:0], data...)
	return c
}

func (c *fakeClient) check(what string) {
	if c.x == nil || c.gone {
		c.w.t.Errorf("%s on a try that is over", what)
	}
}

func (c *fakeClient) Data(b []byte, end bool) {
	c.check("Data")
	if c.sent {
		c.w.t.Error("Data after the end of the request")
	}
	c.body = append(c.body, b...)
	c.sent = end
}
func (c *fakeClient) Trailers(*wire.Head) {
	c.check("Trailers")
	c.sent, c.trailers = true, true
}
func (c *fakeClient) Cancel() {
	c.check("Cancel")
	c.x, c.sink = nil, nil
	c.canceled++
	c.end(nil)
}
func (c *fakeClient) Pause() {
	c.check("Pause")
	c.paused = true
}
func (c *fakeClient) Resume() {
	c.check("Resume")
	c.paused = false
}
func (c *fakeClient) Buffered() int {
	c.check("Buffered")
	return c.buffered
}
func (c *fakeClient) Close() {
	if c.x != nil {
		c.closing = true
		return
	}
	c.end(nil)
}
func (c *fakeClient) Abort(f wire.Failure) { c.fail(f) }
func (c *fakeClient) Idle() bool           { return c.x == nil && !c.gone }
func (c *fakeClient) Room() int {
	if c.Idle() {
		return 1
	}
	return 0
}

// end tells the owner later, as codecs do.
func (c *fakeClient) end(err error) {
	if !c.gone {
		c.gone = true
		c.w.loops[0].Post(func() { c.owner.OnGone(c, err) })
	}
}

// fail ends the try.
func (c *fakeClient) fail(f wire.Failure) {
	sink := c.sink
	c.x, c.sink = nil, nil
	c.gone = true
	c.owner.OnGone(c, f.Err)
	if sink != nil {
		sink.OnResponseAbort(f)
	}
}

// stand is the connection's success.
func (c *fakeClient) stand() {
	if !c.opened {
		c.opened = true
		c.owner.OnOpen(c)
	}
}

// respond sends a head and the first part of the body.
func (c *fakeClient) respond(status int, body string, end bool) {
	c.stand()
	h := &c.x.Response
	c.x.Shelf.Lend(h)
	h.Reset()
	h.Status, h.Length, h.Minor = status, -1, 1
	c.begun = true
	sink := c.over(end)
	sink.OnResponse([]byte(body), end)
}

func (c *fakeClient) data(body string, end bool) {
	c.over(end).OnResponseData([]byte(body), end)
}

// over ends the try before its last event, as a codec does.
func (c *fakeClient) over(end bool) wire.ResponseSink {
	sink := c.sink
	if end {
		c.x, c.sink = nil, nil
		c.served++
		if c.closing || !c.sent {
			c.end(nil)
		} else {
			c.owner.OnIdle(c)
		}
	}
	return sink
}

// world is a Proxy among fakes.
type world struct {
	t       testing.TB
	proxy   *Proxy
	driver  *fakeDriver
	loops   []*fakeLoop
	codec   *fakeCodec
	server  *fakeServer
	tls     *fakeTLS
	set     *upstream.Set
	log     bytes.Buffer
	freezer model.Freezer
	wrote   int
	last    observe.Record // its slices are copies
}

// Write keeps Records.
func (w *world) Write(r *observe.Record) {
	w.wrote++
	w.last = *r
	for _, b := range []*[]byte{&w.last.Method, &w.last.Host, &w.last.Path, &w.last.Query, &w.last.UserAgent, &w.last.RequestID, &w.last.GRPCMethod} {
		*b = bytes.Clone(*b)
	}
}

func newWorld(t testing.TB, loops int) *world {
	w := &world{t: t, driver: &fakeDriver{refuse: map[netip.AddrPort]error{}}, tls: &fakeTLS{}}
	w.codec, w.server = &fakeCodec{w: w}, &fakeServer{}
	for i := range loops {
		l := &fakeLoop{index: i, now: time.Hour}
		w.loops = append(w.loops, l)
		w.driver.loops = append(w.driver.loops, l)
	}
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.set = upstream.NewSet(upstream.Env{Driver: w.driver, Codec: w.codec})
	t.Cleanup(w.set.Close)
	w.proxy = New(Options{
		Driver: w.driver, Server: w.server, Security: w.tls, Clusters: w.set,
		Families: testFamilies, Registry: observe.NewRegistry(loops), Log: log, Key: readField,
	})
	w.proxy.SetRecorder(w)
	return w
}

// apply puts a configuration in force.
func (w *world) apply(c *model.Config) {
	w.t.Helper()
	if err := w.try(c); err != nil {
		w.t.Fatalf("Apply: %v", err)
	}
	w.run()
}

func (w *world) try(c *model.Config) error { return w.proxy.Apply(w.freezer.Freeze(c)) }

func (w *world) run() {
	for _, l := range w.loops {
		l.run()
	}
}

// open begins a request on the first port.
func (w *world) open(method, path string, length int64, fields ...string) *fakeStream {
	s := &fakeStream{w: w, peer: wire.Peer{
		Remote: netip.MustParseAddrPort("192.0.2.9:4711"), Local: netip.MustParseAddrPort("10.0.0.1:80"),
	}}
	s.begin(0)
	s.ask(method, path, length, fields...)
	return s
}

// get sends a whole request without a body.
func (w *world) get(path string, fields ...string) *fakeStream {
	s := w.open("GET", path, 0, fields...)
	s.request("", true)
	return s
}

// conn is the n-th connection that was made; negative counts from the end.
func (w *world) conn(n int) *fakeClient {
	w.t.Helper()
	if n < 0 {
		n += len(w.codec.conns)
	}
	if n < 0 || n >= len(w.codec.conns) {
		w.t.Fatalf("there is no connection %d of %d", n, len(w.codec.conns))
	}
	return w.codec.conns[n]
}

// settled checks that nothing is left of n exchanges.
func (w *world) settled(n int) {
	w.t.Helper()
	w.run()
	if w.wrote != n {
		w.t.Errorf("%d records of %d exchanges", w.wrote, n)
	}
	if a := w.proxy.Active(); a != 0 {
		w.t.Errorf("%d exchanges are active", a)
	}
	for i, p := range w.proxy.Program().pins {
		if p.n != 0 {
			w.t.Errorf("loop %d holds %d pins", i, p.n)
		}
	}
	seen := map[*exchange]bool{}
	for _, x := range w.proxy.workers[0].free {
		if seen[x] {
			w.t.Error("an exchange was released twice")
		}
		seen[x] = true
		if x.tryTimer.IsSet() || x.requestTimer.IsSet() {
			w.t.Error("a deadline of a released exchange is set")
		}
	}
	for _, c := range w.codec.conns {
		if c.x != nil {
			w.t.Errorf("a try still runs on the connection to %v", c.addr)
		}
	}
}

// expect checks what the client got and what was recorded of it.
func (w *world) expect(s *fakeStream, status int, body string, why observe.Reason) {
	w.t.Helper()
	if s.status != status || body != "" && string(s.body) != body {
		w.t.Errorf("the client got %d %q, want %d %q", s.status, s.body, status, body)
	}
	if w.last.Reason != why {
		w.t.Errorf("the record says %q, want %q", w.last.Reason, why)
	}
	if !s.over && w.last.Status != status {
		w.t.Errorf("the record's status is %d, want %d", w.last.Status, status)
	}
}
