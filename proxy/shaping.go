package proxy

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/pace"
	"github.com/naru-mesh/naru/wire"
)

// shaping is a model.Shape compiled. All loops share its clocks, so that a rate
// is the route's and not each loop's. It lives as long as the rule: a change of
// other routes does not begin it anew.
type shaping struct {
	model.Shape // with defaults

	turn  time.Duration // from one request to the next; 0: they go at once
	saved time.Duration // of turns that nobody took
	most  time.Duration // that is waited

	requests, up, down pace.Clock

	delayed, refused atomic.Uint64
	waited           atomic.Int64 // nanoseconds, of all that were delayed
	waiting          atomic.Int64 // now
}

// compileShape compiles m; nil is none.
func compileShape(m *model.Shape) *shaping {
	if m == nil || m.Off || *m == (model.Shape{}) {
		return nil
	}
	s := &shaping{Shape: m.Filled()}
	if s.turn = pace.Interval(s.Requests, s.Per); s.turn > 0 {
		s.saved = time.Duration(s.Burst-1) * s.turn
		s.most = min(s.Wait, time.Duration(s.Queue)*s.turn)
	}
	return s
}

// ShapeStats are what was counted of a route with a shape, since it is as it is.
type ShapeStats struct {
	Route string
	// Delayed is how many requests have waited for their turn, Waited how long
	// together; Refused is how many were not let in, Waiting how many wait now.
	Delayed, Refused uint64
	Waited           time.Duration
	Waiting          int
}

// Shapes calls visit for each route with a shape. Any goroutine.
func (p *Proxy) Shapes(visit func(ShapeStats)) {
	prog := p.Program()
	if prog == nil {
		return
	}
	for _, r := range prog.rules {
		if s := r.shape; s != nil {
			visit(ShapeStats{
				Route: r.noun.Name, Delayed: s.delayed.Load(), Refused: s.refused.Load(),
				Waited: time.Duration(s.waited.Load()), Waiting: int(s.waiting.Load()),
			})
		}
	}
}

// shaped is what an exchange has whose requests wait for a turn or whose bodies
// pass at a rate; others have none.
type shaped struct {
	x     *exchange
	rates *shaping // nil where only a fault makes it slow

	up, down brake

	waits  bool          // for its turn
	start  time.Duration // of that
	late   time.Duration // how much too long the wait would have been
	faulty bool          // a fault delays it
}

// brake lets a body pass at a rate. It is the last in the body's way, so that
// what it holds back is held back by nobody else: the source is stopped, and
// what was read of it waits in the pipe.
type brake struct {
	of     *shaped
	back   bool // it is the response's
	holds  bool // until the timer fires
	passes pace.Bytes
	timer  wire.Timer
}

func (w *worker) newShaped() *shaped {
	if n := len(w.shapes); n > 0 {
		g := w.shapes[n-1]
		w.shapes = w.shapes[:n-1]
		return g
	}
	g := &shaped{}
	for _, b := range []*brake{&g.up, &g.down} {
		b.of, b.back = g, b == &g.down
		b.timer.Handler = b
	}
	return g
}

// beginShape is called when the rule's filters have let the request pass. more
// says that it has a body.
func (x *exchange) beginShape(more bool) {
	g := x.w.newShaped()
	x.shaped = g
	g.x, g.rates, g.faulty = x, x.rule.shape, x.Delay > 0
	if g.up.begin(); more && g.up.set(x, g.rates) {
		x.Inward = append(x.Inward, &g.up) // Length stays: as much passes as before
	}
}

// endShape gives everything back. The Bodies were closed.
func (x *exchange) endShape() {
	g := x.shaped
	x.shaped = nil
	if g.waits {
		g.leave()
		g.rates.requests.Return(g.start, g.rates.turn)
	}
	g.x, g.rates, g.late, g.start = nil, nil, 0, 0
	if len(x.w.shapes) < keepFree {
		x.w.shapes = append(x.w.shapes, g)
	}
}

// turn takes the request's turn, and says whether it gets one in time; otherwise
// it was refused. The exchange waits for it as for a fault's delay.
func (g *shaped) turn() bool {
	x, s := g.x, g.rates
	if s == nil || s.turn == 0 {
		return true
	}
	now := x.w.loop.Now()
	most := s.most
	if x.due != 0 { // who cannot be served in time would wait in vain
		most = min(most, x.due-now)
	}
	start, ok := s.requests.Reserve(now, s.turn, s.saved, most)
	wait := start - now
	if !ok {
		s.refused.Add(1)
		g.late = wait - most
		x.refuse(observe.ShapeFull)
		return false
	}
	if wait > 0 {
		s.delayed.Add(1)
		s.waited.Add(int64(wait))
		s.waiting.Add(1)
		g.waits, g.start = true, start
		x.Delay += wait
	}
	return true
}

// leave is called when the wait is over, however it ended.
func (g *shaped) leave() {
	g.waits = false
	g.rates.waiting.Add(-1)
}

// retryAfter gives when a request would have been let in that was refused: whole
// seconds, at least one (RFC 9110 section 10.2.3).
func (x *exchange) retryAfter() []byte {
	seconds := int64(1)
	if g := x.shaped; g != nil {
		seconds = max(int64((g.late+time.Second-1)/time.Second), 1)
	}
	x.w.out = strconv.AppendInt(x.w.out[:0], seconds, 10)
	return x.w.out
}

// brakeResponse puts the brake in the way of a response with a body.
func (x *exchange) brakeResponse() {
	if g := x.shaped; g.down.set(x, g.rates) {
		x.Outward = append(x.Outward, &g.down)
	}
}

// braked says whether the request's body is held back by its rate.
func (x *exchange) braked() bool { return x.shaped != nil && x.shaped.up.holds }

// begin makes the brake as if new.
func (b *brake) begin() { b.holds = false }

// set gives the brake its rate, and says whether there is one.
func (b *brake) set(x *exchange, s *shaping) bool {
	var each, total, slow int64
	var clock *pace.Clock
	switch {
	case s == nil:
	case b.back:
		each, total, clock = s.Download, s.TotalDownload, &s.down
	default:
		each, total, clock = s.Upload, s.TotalUpload, &s.up
	}
	if x.Slow != nil {
		if slow = x.Slow.Request; b.back {
			slow = x.Slow.Response
		}
	}
	if each == 0 || slow > 0 && slow < each {
		each = slow
	}
	if each == 0 && total == 0 {
		return false
	}
	b.passes.Begin(each, clock, total)
	return true
}

// Pass is filter.Body's.
func (b *brake) Pass(_ *filter.Exchange, p *filter.Piece) filter.Step {
	x := b.of.x
	n, wait := b.passes.Pass(x.w.loop.Now(), len(p.In))
	p.Out, p.In = p.In[:n], p.In[n:]
	if wait == 0 {
		return filter.Passed
	}
	b.holds = true
	x.w.loop.Arm(&b.timer, wait)
	switch {
	case !b.back:
		x.hold()
	case x.client != nil:
		x.client.Pause()
	}
	return filter.Again
}

// Close is filter.Body's.
func (b *brake) Close() {
	b.holds = false
	b.of.x.w.loop.Disarm(&b.timer)
}

// OnTimer lets the body go on.
func (b *brake) OnTimer(*wire.Timer) {
	x := b.of.x
	defer x.rescue()
	b.holds = false
	if b.back {
		x.OnResponseDrained() // or not yet: what is full stays so
		return
	}
	x.in.resume()
	if x.live && x.in != nil && !x.in.stuck && x.held && x.client != nil && x.client.Buffered() <= highWater {
		x.unhold()
		x.patience()
	}
}

// braked says whether a brake in the pipe's way holds its body back.
func (p *pipe) braked() bool {
	g := p.x.shaped
	return g != nil && (p.back && g.down.holds || !p.back && g.up.holds)
}
