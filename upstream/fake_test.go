package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/secure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDriver has loops that run when the test says so.
type fakeDriver struct{ loops []wire.Loop }

func (d *fakeDriver) Loops() []wire.Loop { return d.loops }
func (d *fakeDriver) Listen(netip.AddrPort, wire.ListenOptions, wire.Acceptor) (wire.Listening, error) {
	return nil, errors.New("the fake does not listen")
}
func (d *fakeDriver) Close() {}

// fakeLoop has a clock that the test moves and posts that the test runs.
type fakeLoop struct {
	index int
	now   time.Duration
	wheel wire.Wheel

	mu    sync.Mutex
	posts []func()
}

func (l *fakeLoop) Index() int         { return l.index }
func (l *fakeLoop) Now() time.Duration { return l.now }
func (l *fakeLoop) Wall() time.Time    { return time.Unix(0, 0).Add(l.now) }
func (l *fakeLoop) Post(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts = append(l.posts, fn)
}
func (l *fakeLoop) Dial(addr netip.AddrPort, h wire.ConnHandler) wire.Conn { return nil }
func (l *fakeLoop) Arm(t *wire.Timer, d time.Duration)                     { l.wheel.Arm(t, l.now, d) }
func (l *fakeLoop) Disarm(t *wire.Timer)                                   { l.wheel.Disarm(t) }

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

// pass moves the clock and fires timers.
func (l *fakeLoop) pass(d time.Duration) {
	l.now += d
	l.wheel.Advance(l.now)
	for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
		t.Handler.OnTimer(t)
	}
	l.run()
}

// fakeCodec makes fakeConns and keeps them.
type fakeCodec struct {
	mu    sync.Mutex
	conns []*fakeConn

	streams int // that its connections can carry; 0 is 1
}

func (f *fakeCodec) Open(owner wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	dial(nil)
	c := &fakeConn{owner: owner, loop: owner.(*link).pool.loop, streams: f.streams}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	return c
}

func (f *fakeCodec) made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// fakeConn is a connection whose fate the test decides.
type fakeConn struct {
	owner   wire.ClientOwner
	loop    wire.Loop
	busy    int  // exchanges
	streams int  // that it can carry
	closing bool // Close was called while busy
	noRoom  bool // the service said that it goes
	ended   bool
	aborted *wire.Failure
}

// Send begins an exchange; the sink is not needed here.
func (c *fakeConn) Send(*wire.Exchange, wire.ResponseSink, []byte, bool) wire.ClientStream {
	c.busy++
	return nil
}

func (c *fakeConn) Close() {
	if c.busy > 0 {
		c.closing = true
		return
	}
	c.over(nil)
}

func (c *fakeConn) Abort(f wire.Failure) {
	c.aborted = &f
	c.over(f.Err)
}

func (c *fakeConn) Idle() bool { return c.busy == 0 && !c.ended }

func (c *fakeConn) Room() int {
	if c.ended || c.closing || c.noRoom {
		return 0
	}
	return max(c.streams, 1) - c.busy
}

// over tells the owner later, as codecs do.
func (c *fakeConn) over(err error) {
	if !c.ended {
		c.ended = true
		c.loop.Post(func() { c.owner.OnGone(c, err) })
	}
}

func (c *fakeConn) opened() { c.owner.OnOpen(c) }

// finish ends the exchange in order.
func (c *fakeConn) finish() {
	c.busy--
	if c.closing && c.busy == 0 {
		c.over(nil)
		return
	}
	c.owner.OnIdle(c)
}

// fail ends the connection from outside.
func (c *fakeConn) fail(err error) {
	c.ended = true
	c.owner.OnGone(c, err)
}

func refused(ep *Endpoint) error {
	return &wire.DialError{Addr: ep.Addr(), Err: syscall.ECONNREFUSED}
}

// fakeDialer counts nothing and connects nothing.
type fakeDialer struct{ host string }

// realTLS lends what wire/secure has: health checks shake hands with it.
type realTLS struct {
	fakeDialer
	cfg *wire.ClientTLS
}

func (d realTLS) Lend(addr netip.AddrPort) (*tls.Config, error) {
	made, err := secure.New(0).Client(d.cfg)
	if err != nil {
		return nil, err
	}
	return made.(wire.Lender).Lend(addr)
}

func lending(b *model.BackendTLS, own *model.Certificate, host string, protocols ...string) (wire.Dialer, error) {
	cfg := &wire.ClientTLS{
		ServerName: cmp.Or(b.ServerName, host), CA: b.CA, CAFile: b.CAFile, Insecure: b.Insecure,
		Names: b.Names, Protocols: protocols,
	}
	if own != nil {
		cfg.Credential = &wire.Credential{Name: own.Name, Chain: own.Chain, Key: own.Key}
	}
	return realTLS{fakeDialer{host}, cfg}, nil
}

func (fakeDialer) Dial(wire.Loop, netip.AddrPort, wire.ConnHandler) wire.Conn { return nil }

// world is a Set among fakes.
type world struct {
	t     testing.TB
	set   *Set
	codec *fakeCodec
	loops []*fakeLoop
	log   *logSink
	mu    sync.Mutex
	hosts []string // that dialers were made for
}

// newWorld makes a Set with n loops; change adjusts its Env.
func newWorld(t testing.TB, n int, change ...func(*Env)) *world {
	w := &world{t: t, codec: &fakeCodec{}, log: newLogSink()}
	d := &fakeDriver{}
	for i := range n {
		l := &fakeLoop{index: i, now: time.Hour}
		w.loops = append(w.loops, l)
		d.loops = append(d.loops, l)
	}
	env := Env{Driver: d, Codec: w.codec, HTTP2: w.codec, Log: slog.New(w.log)}
	env.TLS = func(b *model.BackendTLS, own *model.Certificate, host string, protocols ...string) (wire.Dialer, error) {
		if b.CAFile == "missing" {
			return nil, errors.New("missing: no such file")
		}
		w.mu.Lock() // checks ask on goroutines of their own
		w.hosts = append(w.hosts, host)
		w.mu.Unlock()
		return lending(b, own, host, protocols...)
	}
	env.Lookup = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return nil, 0, errors.New("no names here")
	}
	for _, f := range change {
		f(&env)
	}
	w.set = NewSet(env)
	w.set.seed = 42
	t.Cleanup(w.set.Close)
	return w
}

// apply puts services in force and returns the clusters that are surplus.
func (w *world) apply(services ...*model.Service) []*Cluster {
	w.t.Helper()
	ch, err := w.set.Prepare(services)
	if err != nil {
		w.t.Fatalf("Prepare: %v", err)
	}
	old := ch.Commit()
	w.run()
	return old
}

func (w *world) cluster(name string) *Cluster { return w.set.clusters[name] }

func (w *world) run() {
	for _, l := range w.loops {
		l.run()
	}
}

// pick lends a connection on loop 0 and sends on it.
func (w *world) pick(name string) (*fakeConn, *Endpoint) {
	w.t.Helper()
	return w.pickOn(0, name, nil, false)
}

func (w *world) pickOn(loop int, name string, avoid *Tried, fresh bool) (*fakeConn, *Endpoint) {
	w.t.Helper()
	c, ep, why := w.cluster(name).Pick(w.loops[loop], &Ask{Tried: avoid, Fresh: fresh})
	if why != observe.ReasonNone || c == nil || ep == nil {
		w.t.Fatalf("Pick: %v, %v, %q", c, ep, why)
	}
	c.Send(nil, nil, nil, true)
	return c.(*fakeConn), ep
}

// counts are a service's.
func (w *world) stats(name string) (st ServiceStats) {
	w.t.Helper()
	w.set.Stats(func(s *ServiceStats) {
		if s.Service == name {
			st = *s
			st.Endpoints = append([]EndpointStats(nil), s.Endpoints...)
		}
	})
	if st.Service == "" {
		w.t.Fatalf("no stats of %s", name)
	}
	return st
}

// service makes a Service of endpoints 10.0.0.N:80. They have their turn one
// after the other, so that tests know whose it is.
func service(name string, endpoints int) *model.Service {
	s := &model.Service{Name: name, Balance: model.RoundRobin}
	for i := range endpoints {
		s.Endpoints = append(s.Endpoints, &model.Endpoint{
			Host: "10." + strconv.Itoa(i>>16) + "." + strconv.Itoa(i>>8&255) + "." + strconv.Itoa(i&255), Port: 80,
		})
	}
	return s
}

// another puts a changed copy of endpoint i in its place. Endpoints are shared: they
// are not written to.
func another(list []*model.Endpoint, i int, change func(*model.Endpoint)) {
	e := *list[i]
	change(&e)
	list[i] = &e
}

// logSink passes messages on, so that a test can wait for one.
type logSink struct{ lines chan string }

func newLogSink() *logSink { return &logSink{lines: make(chan string, 1024)} }

func (s *logSink) Enabled(context.Context, slog.Level) bool { return true }
func (s *logSink) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	select {
	case s.lines <- line:
	default:
	}
	return nil
}
func (s *logSink) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s *logSink) WithGroup(string) slog.Handler      { return s }
