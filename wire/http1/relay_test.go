package http1

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// relay is a small proxy between the two halves that holds both to the
// contract: no event after the end of an exchange or a try, none from within
// a call, Gone and OnGone once.
type relay struct {
	loop   *fakeLoop
	codec  *Codec
	down   *fakeConn
	ups    []*fakeConn // of the current and earlier connections
	pool   []wire.ClientConn
	cur    *passage
	within bool // a call is under way
	gone   bool
	ended  int
	gones  map[wire.ClientConn]bool
}

type passage struct {
	x          wire.Exchange
	r          *relay
	stream     wire.ServerStream
	up         wire.ClientStream
	asked      bool // OnRequest came
	reqEnded   bool
	resBegan   bool
	tunnel     bool
	over       bool // the exchange
	tryOver    bool
	heldUp     bool
	heldDown   bool
	in         int64
	inDeclared int64
}

func (r *relay) event() {
	if r.within {
		panic("an event from within a call")
	}
}

func (r *relay) call(fn func()) {
	was := r.within
	r.within = true
	fn()
	r.within = was
}

func (r *relay) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	r.event()
	if r.gone || r.cur != nil && !r.cur.over {
		panic("Begin during an exchange")
	}
	r.cur = &passage{r: r, stream: s, tryOver: true}
	return &r.cur.x, r.cur
}

func (r *relay) Refused(x *wire.Exchange, sink wire.RequestSink, why observe.Reason) {
	r.event()
	p := sink.(*passage)
	p.live()
	if &p.x != x || why == 0 {
		panic("Refused of another exchange")
	}
	p.over = true
	p.cancel()
}

func (r *relay) Gone(wire.ServerStream) {
	r.event()
	if r.gone || r.cur != nil && !r.cur.over {
		panic("Gone twice, or with an exchange")
	}
	r.gone = true
}
func (r *relay) Draining() bool { return false }

func (r *relay) OnOpen(wire.ClientConn) { r.event() }
func (r *relay) OnIdle(c wire.ClientConn) {
	r.event()
	if r.gones[c] {
		panic("idle after gone")
	}
	r.pool = append(r.pool, c)
}
func (r *relay) OnGone(c wire.ClientConn, _ error) {
	r.event()
	if r.gones[c] {
		panic("gone twice")
	}
	r.gones[c] = true
	for i := range r.pool {
		if r.pool[i] == c {
			r.pool = append(r.pool[:i], r.pool[i+1:]...)
			break
		}
	}
}

// conn lends a connection to the service.
func (r *relay) conn() wire.ClientConn {
	if n := len(r.pool); n > 0 {
		c := r.pool[n-1]
		r.pool = r.pool[:n-1]
		if !c.Idle() {
			panic("a pooled connection is not idle")
		}
		return c
	}
	return r.codec.Open(r, func(h wire.ConnHandler) wire.Conn {
		up := newFakeConn(r.loop)
		up.handler = h
		r.ups = append(r.ups, up)
		r.loop.Post(func() {
			if up.ended == "" {
				h.OnOpen()
			}
		})
		return up
	})
}

func (p *passage) live() {
	p.r.event()
	if p.over {
		panic("an event after the exchange")
	}
}

func (p *passage) liveTry() {
	p.r.event()
	if p.over || p.tryOver {
		panic("an event after the try")
	}
}

func (p *passage) cancel() {
	if !p.tryOver {
		p.tryOver = true
		p.r.call(p.up.Cancel)
	}
}

func (p *passage) count(data []byte, end bool) {
	p.in += int64(len(data))
	if p.reqEnded && !p.tunnel {
		panic("more of a request that has ended")
	}
	if end && !p.tunnel && p.inDeclared >= 0 && p.in != p.inDeclared {
		panic("a request body of another length than announced")
	}
	p.reqEnded = end
}

func (p *passage) OnRequest(data []byte, end bool) {
	p.live()
	p.asked = true
	p.inDeclared = p.x.Request.Length
	p.count(data, end)
	p.tryOver = false
	c := p.r.conn()
	p.r.call(func() { p.up = c.Send(&p.x, p, data, end) })
}

func (p *passage) OnRequestData(data []byte, end bool) {
	p.live()
	p.count(data, end)
	if !p.tryOver {
		p.r.call(func() { p.up.Data(data, end) })
	}
}

func (p *passage) OnRequestTrailers(t *wire.Head) {
	p.live()
	p.count(nil, true)
	if !p.tryOver {
		p.r.call(func() { p.up.Trailers(t) })
	}
}

func (p *passage) OnRequestAbort(why observe.Reason) {
	p.live()
	if why == observe.Internal {
		panic("the relay did nothing wrong")
	}
	p.over = true
	p.cancel()
}
func (p *passage) OnResponseDrained() { p.live() }
func (p *passage) OnRequestDrained()  { p.liveTry() }

func (p *passage) OnInform(h *wire.Head) {
	p.liveTry()
	p.r.call(func() { p.stream.Inform(h) })
}

func (p *passage) OnResponse(data []byte, end bool) {
	p.liveTry()
	p.resBegan = true
	p.tunnel = p.x.Response.Status == 101
	p.end(end)
	p.r.call(func() { p.stream.Respond(&p.x.Response, data, end) })
}

func (p *passage) OnResponseData(data []byte, end bool) {
	p.liveTry()
	p.end(end)
	p.r.call(func() { p.stream.Data(data, end) })
}

func (p *passage) OnResponseTrailers(t *wire.Head) {
	p.liveTry()
	p.end(true)
	p.r.call(func() { p.stream.Trailers(t) })
}

func (p *passage) end(end bool) {
	if end {
		p.over, p.tryOver = true, true
		p.r.ended++
	}
}

func (p *passage) OnResponseAbort(f wire.Failure) {
	p.liveTry()
	p.tryOver = true
	if f.Reason == observe.Internal || f.Reason == 0 {
		panic("the relay did nothing wrong")
	}
	p.fail()
}

// fail answers 502, or breaks the response off.
func (p *passage) fail() {
	p.over = true
	if p.resBegan {
		p.r.call(func() { p.stream.Reset(observe.UpstreamReset) })
		return
	}
	wire.KeepProblem(&p.x.Response, observe.UpstreamReset)
	p.r.call(func() { p.stream.Respond(&p.x.Response, wire.Problem(observe.UpstreamReset), true) })
}

// run carries out ops, each a byte that says what happens and one that says
// how much; what is given comes from in and from res, round and round.
func (r *relay) run(in, res, ops []byte) {
	take := func(b *[]byte, n int) []byte {
		n = min(n, len(*b))
		piece := (*b)[:n]
		*b = (*b)[n:]
		return piece
	}
	for i := 0; i+1 < len(ops) && !r.gone; i += 2 {
		n := int(ops[i+1])
		var up *fakeConn
		if len(r.ups) > 0 {
			up = r.ups[len(r.ups)-1]
		}
		p := r.cur
		running := p != nil && !p.over && p.asked
		switch ops[i] % 16 {
		case 0, 1, 2, 3:
			r.down.give(take(&in, n))
		case 4, 5, 6:
			if up != nil && up.ended == "" {
				up.give(take(&res, n))
			}
		case 7:
			r.down.giveEOF()
		case 8:
			if up != nil && up.ended == "" {
				up.giveEOF()
			}
		case 9:
			if n > 200 {
				r.down.lose(errors.New("reset"))
			} else if up != nil && n > 100 {
				up.lose(errors.New("reset"))
			}
		case 10:
			r.loop.pass(time.Duration(n) * time.Second / 4)
		case 11:
			r.down.stuck = n%2 == 0
			r.down.take(n * 16)
		case 12:
			if running {
				p.heldDown = !p.heldDown
				r.call(map[bool]func(){true: p.stream.Pause, false: p.stream.Resume}[p.heldDown])
			}
		case 13:
			if running && !p.tryOver {
				p.heldUp = !p.heldUp
				r.call(map[bool]func(){true: p.up.Pause, false: p.up.Resume}[p.heldUp])
			}
		case 14:
			if running && n > 128 {
				p.cancel()
				p.fail()
			}
		case 15:
			if running && n > 200 && !p.tryOver && !p.resBegan { // another try
				p.cancel()
				if p.reqEnded && p.in == 0 {
					p.tryOver = false
					p.up = nil
					c := r.conn()
					r.call(func() { p.up = c.Send(&p.x, p, nil, true) })
				} else {
					p.fail()
				}
			}
		}
		r.loop.turn()
	}
}

func FuzzRelay(f *testing.F) {
	request := "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw"
	response := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n" +
		"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nraw"
	f.Add([]byte(request), []byte(response), []byte{0, 255, 4, 255})
	f.Add([]byte(request), []byte(response), []byte{0, 60, 4, 38, 0, 80, 4, 20, 12, 0, 0, 80, 12, 0, 4, 255, 7, 0, 8, 0})
	f.Add([]byte(request), []byte(response), []byte{0, 50, 4, 38, 13, 0, 0, 255, 4, 90, 13, 0, 4, 255, 9, 150, 10, 255})
	f.Add([]byte(request), []byte(response), bytes.Repeat([]byte{0, 7, 4, 5, 12, 0, 13, 0}, 90))
	f.Fuzz(func(t *testing.T, in, res, ops []byte) {
		loop := &fakeLoop{}
		r := &relay{loop: loop, codec: New(1), down: newFakeConn(loop), gones: map[wire.ClientConn]bool{}}
		r.codec.Serve(r.down, r, &testLimits)
		r.run(in, res, ops)
		// Whatever happened, the end of the connection ends everything.
		r.down.lose(errors.New("reset"))
		loop.turn()
		if !r.gone || r.cur != nil && !r.cur.over {
			t.Fatal("the exchange lives on")
		}
		if l := r.codec.locals[0]; len(l.tasks) != 0 {
			t.Fatal("tasks are left over")
		}
		if _, armed := loop.wheel.Next(); armed {
			t.Fatal("a timer is left over")
		}
	})
}
