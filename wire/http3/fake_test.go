package http3

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLoop is a loop in fake time.
type fakeLoop struct {
	now   time.Duration
	wheel wire.Wheel
	posts []func()
}

func (l *fakeLoop) Index() int         { return 0 }
func (l *fakeLoop) Now() time.Duration { return l.now }
func (l *fakeLoop) Wall() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(l.now)
}
func (l *fakeLoop) Post(fn func())                                  { l.posts = append(l.posts, fn) }
func (l *fakeLoop) Dial(netip.AddrPort, wire.ConnHandler) wire.Conn { return nil }
func (l *fakeLoop) Arm(t *wire.Timer, d time.Duration)              { l.wheel.Arm(t, l.now, d) }
func (l *fakeLoop) Disarm(t *wire.Timer)                            { l.wheel.Disarm(t) }

// turn runs what waits for the loop's top.
func (l *fakeLoop) turn() {
	for len(l.posts) > 0 {
		run := l.posts[0]
		l.posts = l.posts[1:]
		run()
	}
}

// pass lets time go by.
func (l *fakeLoop) pass(d time.Duration) {
	for end := l.now + d; ; {
		at, ok := l.wheel.Next()
		if !ok || at > end {
			l.now = end
			return
		}
		l.now = max(l.now, at)
		l.wheel.Advance(l.now)
		for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
			t.Handler.OnTimer(t)
		}
		l.turn()
	}
}

// fakeCarrier is a connection.
type fakeCarrier struct {
	said  []byte
	ended string
}

func (c *fakeCarrier) say(b []byte) { c.said = append(c.said, b...) }
func (c *fakeCarrier) end(with code, text string) {
	if c.ended == "" {
		c.ended = fmt.Sprintf("%#x", uint64(with))
	}
}
func (c *fakeCarrier) remote() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:1") }

// fakeOutlet is a stream of a fake connection.
type fakeOutlet struct {
	w        *world
	num      uint64
	hears    inlet
	out      []byte
	ended    bool
	log      string // resets and the like
	paused   bool
	deaf     bool
	released int
	waiting  int
	urgency  string
	kept     []byte // came while paused
	keptEnd  bool
}

func (p *fakeOutlet) id() uint64 { return p.num }
func (p *fakeOutlet) write(a, b []byte, end bool) {
	if p.ended {
		p.w.t.Error("something is written after the end")
	}
	p.out = append(append(p.out, a...), b...)
	p.ended = end
	if end {
		p.w.loop.Post(p.hears.onSent)
	}
}
func (p *fakeOutlet) buffered() int   { return p.waiting }
func (p *fakeOutlet) reset(with code) { p.log += fmt.Sprintf(" reset %#x", uint64(with)) }
func (p *fakeOutlet) stop(with code) {
	p.log += fmt.Sprintf(" stop %#x", uint64(with))
	p.deaf = true
}
func (p *fakeOutlet) pause() { p.paused = true }
func (p *fakeOutlet) resume() {
	p.paused = false
	p.w.loop.Post(func() { p.give(nil, false) })
}
func (p *fakeOutlet) rouse() { p.w.loop.Post(p.hears.onRoused) }
func (p *fakeOutlet) release() {
	p.released++
}
func (p *fakeOutlet) prioritize(u int8, i bool) { p.urgency = fmt.Sprint(u, i) }

// give hands b in, unless the stream is paused, and destroys it.
func (p *fakeOutlet) give(b []byte, fin bool) {
	p.kept, p.keptEnd = append(p.kept, b...), p.keptEnd || fin
	if p.paused || p.deaf || len(p.kept) == 0 && !p.keptEnd || p.released > 0 {
		return
	}
	lent, end := p.kept, p.keptEnd
	p.kept, p.keptEnd = nil, false
	p.hears.onData(lent, end)
	for i := range lent {
		lent[i] = 0xaa
	}
	p.w.loop.turn()
}

// world is a session and its server.
type world struct {
	t        testing.TB
	loop     *fakeLoop
	carrier  *fakeCarrier
	m        *session
	next     uint64
	log      strings.Builder
	draining bool
	gone     int
	visits   []*visit
	plan     func(v *visit) // what a visit does once it has the head
}

func newWorld(t testing.TB, change ...func(*wire.Limits)) *world {
	w := &world{t: t, loop: &fakeLoop{}, carrier: &fakeCarrier{}}
	lim := &wire.Limits{HeadBytes: 4 << 10, Fields: 20, URIBytes: 1 << 10, BodyBytes: -1, Requests: -1,
		Idle: 75 * time.Second, Head: 15 * time.Second, Body: 30 * time.Second, Write: 30 * time.Second}
	for _, f := range change {
		f(lim)
	}
	w.m = newSession(w.loop, &local{}, w.carrier, wire.Peer{TLS: &wire.TLSState{}}, w, lim)
	return w
}

// open opens a stream of a request.
func (w *world) open() *fakeOutlet {
	p := &fakeOutlet{w: w, num: w.next}
	w.next += 4
	p.hears = w.m.open(p)
	return p
}

// side opens a unidirectional one.
func (w *world) side(b string) *fakeOutlet {
	p := &fakeOutlet{w: w, num: 2}
	p.hears = w.m.openSide(p)
	p.give([]byte(b), false)
	return p
}

func (w *world) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &visit{w: w, s: s}
	w.visits = append(w.visits, v)
	return &v.x, v
}

func (w *world) Refused(x *wire.Exchange, sink wire.RequestSink, why observe.Reason) {
	sink.(*visit).end()
	fmt.Fprintf(&w.log, "refused %s\n", why)
}

func (w *world) Gone(s wire.ServerStream) {
	w.gone++
	for _, v := range w.visits {
		if v.s == s && !v.over {
			w.t.Error("a stream is gone whose exchange is still lent")
		}
	}
}
func (w *world) Draining() bool { return w.draining }

// visit is one exchange. It answers 200 with "ok" at the end of the request.
type visit struct {
	w    *world
	x    wire.Exchange
	s    wire.ServerStream
	over bool
}

func (v *visit) end() {
	if v.over {
		v.w.t.Error("an exchange ends twice")
	}
	v.over = true
}

func (v *visit) note(format string, args ...any) {
	if v.over {
		v.w.t.Errorf("an event after the end: "+format, args...)
	}
	fmt.Fprintf(&v.w.log, format+"\n", args...)
}

func (v *visit) OnRequest(data []byte, end bool) {
	h := &v.x.Request
	query := ""
	if h.HasQuery {
		query = "?" + string(h.Query)
	}
	v.note("%s %s%s %s length %d %q %v", h.Method, h.Path, query, h.Authority, h.Length, data, end)
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped {
			v.note("  %s: %s", h.Name(f), h.Value(f))
		}
	}
	if v.w.plan != nil {
		v.w.plan(v)
		return
	}
	v.done(end)
}

func (v *visit) OnRequestData(data []byte, end bool) {
	v.note("data %q %v", data, end)
	v.done(end)
}

func (v *visit) OnRequestTrailers(t *wire.Head) {
	v.note("trailers %q", t.AppendFields(nil))
	v.done(true)
}

func (v *visit) OnRequestAbort(why observe.Reason) {
	v.note("abort %s", why)
	v.end()
}
func (v *visit) OnResponseDrained() { v.note("drained") }

// done answers once the request has ended, unless a plan does.
func (v *visit) done(end bool) {
	if end && v.w.plan == nil {
		v.answer(200, "ok", true)
	}
}

// answer responds with a body of unknown length unless this is its end.
func (v *visit) answer(status int, body string, end bool) {
	h := &v.x.Response
	h.Reset()
	h.Status, h.Length = status, -1
	if end {
		v.end()
	}
	v.s.Respond(h, []byte(body), end)
}

// events gives what the server heard, and forgets it.
func (w *world) events() string {
	w.loop.turn()
	s := w.log.String()
	w.log.Reset()
	return s
}
