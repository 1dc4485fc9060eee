package proxy

import (
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/wire"
)

// pipe carries a message's body through the Bodies that filters put in its
// way. It belongs to an exchange that has some; others have none.
//
// A reader that does not keep up stops the Bodies as it stops the sender:
// what one of them could not use yet waits in its stage, and so does what
// still arrives until the sender has stopped.
type pipe struct {
	x      *exchange
	back   bool // the response's
	own    bool // of an answer that is here as a whole: no reader stops it
	stages []stage
	tail   wire.Head // trailers, once ended
	ended  bool      // the last piece came
	stuck  bool      // a stage waits for room
	begun  bool      // the head has gone on
}

// stage is one Body.
type stage struct {
	body  filter.Body
	piece filter.Piece
	rest  []byte // of the input, that was not used
	again bool   // there is more to give when there is room
	held  bool   // the Body keeps the head back
	ended bool   // the last piece came to this stage
}

// pipe makes one for a direction of x.
func (w *worker) pipe(x *exchange, bodies []filter.Body, back bool) *pipe {
	var p *pipe
	if n := len(w.pipes); n > 0 {
		p = w.pipes[n-1]
		w.pipes = w.pipes[:n-1]
	} else {
		p = &pipe{}
	}
	p.x, p.back = x, back
	for _, b := range bodies {
		if n := len(p.stages); n < cap(p.stages) {
			p.stages = p.stages[:n+1]
		} else {
			p.stages = append(p.stages, stage{})
		}
		p.stages[len(p.stages)-1].body = b
	}
	for len(w.rooms) < len(p.stages) {
		w.rooms = append(w.rooms, make([]byte, 0, filter.RoomBytes))
	}
	return p
}

// putPipe takes one back. nil is none.
func (w *worker) putPipe(p *pipe) {
	if p == nil || len(w.pipes) >= keepBuffers {
		return
	}
	for i := range p.stages {
		rest := p.stages[i].rest[:0]
		if cap(rest) > keepBuffer {
			rest = nil
		}
		p.stages[i] = stage{rest: rest}
	}
	p.tail.Reset()
	*p = pipe{stages: p.stages[:0], tail: p.tail}
	w.pipes = append(w.pipes, p)
}

// feed takes a piece of the body. t are its trailers, nil for none.
func (p *pipe) feed(in []byte, end bool, t *wire.Head) {
	defer p.x.rescue()
	if end {
		p.ended = true
		if t != nil {
			p.tail.CopyFrom(t)
		}
	}
	if p.stuck {
		s := &p.stages[0]
		s.rest = append(s.rest, in...)
		s.again, s.ended = true, p.ended
		return
	}
	if p.push(0, in, end) {
		p.settle()
	}
}

// resume goes on where there was no room: with the stage nearest to the reader
// first, so that pieces stay in order. It says whether the sender may go on.
func (p *pipe) resume() bool {
	defer p.x.rescue()
	if p.braked() {
		return false
	}
	for i := len(p.stages) - 1; i >= 0 && p.stuck; i-- {
		s := &p.stages[i]
		if !s.again {
			continue
		}
		s.again, p.stuck = false, false
		if !p.push(i, nil, s.ended) {
			return false
		}
		p.stuck = p.stuck || p.waiting(i)
		if p.full() {
			return false
		}
	}
	p.settle()
	return !p.stuck
}

// waiting says whether a stage before i has more to give.
func (p *pipe) waiting(i int) bool {
	for j := range i {
		if p.stages[j].again {
			return true
		}
	}
	return false
}

// push gives a piece to stage i and what it makes of that to the next. After
// false the exchange may be over: nothing of the pipe may be touched.
func (p *pipe) push(i int, in []byte, end bool) bool {
	if i == len(p.stages) {
		if p.back {
			return p.x.deliver(p, in, end)
		}
		return p.x.submit(p, in, end)
	}
	s := &p.stages[i]
	s.ended = end
	if len(s.rest) > 0 {
		s.rest = append(s.rest, in...)
		in = s.rest
	}
	for {
		s.piece = filter.Piece{In: in, Out: p.x.w.rooms[i]}
		if end {
			s.piece.End = &p.tail
		}
		step := s.body.Pass(&p.x.Exchange, &s.piece)
		if step == filter.Failed {
			p.x.spoiled()
			return false
		}
		s.held = step == filter.Held && !end
		in = s.piece.In
		last := end && step != filter.Again
		if (len(s.piece.Out) > 0 || last) && !p.push(i+1, s.piece.Out, last) {
			return false
		}
		if step != filter.Again {
			if end {
				in = nil
			}
			break
		}
		if p.full() {
			s.again, p.stuck = true, true
			break
		}
	}
	s.rest = append(s.rest[:0], in...)
	s.piece = filter.Piece{}
	return true
}

// settle lets the head go on where no Body keeps it back.
func (p *pipe) settle() {
	if p.begun {
		return
	}
	for i := range p.stages {
		if p.stages[i].held {
			return
		}
	}
	if p.back {
		p.x.deliver(p, nil, false)
		return
	}
	p.x.submit(p, nil, false)
}

// full says whether the reader has more than it takes at the moment.
func (p *pipe) full() bool {
	x := p.x
	switch {
	case p.braked():
		return true
	case p.own || !p.begun:
		return false
	case p.back:
		return x.stream.Buffered() > highWater
	}
	return x.client == nil || x.client.Buffered() > highWater
}

// submit sends what came out of the request's pipe to the service.
func (x *exchange) submit(p *pipe, b []byte, end bool) bool {
	trailers := end && someFields(&p.tail)
	if !p.begun {
		p.begun = true
		x.requestEnded = end && !trailers
		x.forward(b, x.requestEnded)
	} else {
		x.pass(b, end && !trailers)
	}
	if trailers && x.live {
		x.passTrailers(&p.tail)
	}
	return x.live && !end
}

// deliver sends what came out of the response's pipe to the client.
func (x *exchange) deliver(p *pipe, b []byte, end bool) bool {
	trailers := end && someFields(&p.tail)
	switch {
	case !p.begun:
		p.begun = true
		x.status = x.Response.Status
		x.settle()
		x.stream.Respond(&x.Response, b, end && !trailers)
	case len(b) > 0 || end && !trailers:
		x.stream.Data(b, end && !trailers)
	}
	if trailers {
		x.stream.Trailers(&p.tail)
	}
	switch {
	case !end:
		x.throttle()
		return true
	case !p.own:
		x.finish()
	}
	return false
}

// spoiled ends an exchange one of whose bodies cannot go on.
func (x *exchange) spoiled() {
	if x.answered {
		x.fail(x.Why)
		return
	}
	x.dropOut()
	x.reply()
}

// dropOut takes the Bodies out of the response's way: another response comes.
func (x *exchange) dropOut() {
	for i, b := range x.Outward {
		b.Close()
		x.Outward[i] = nil
	}
	x.Outward = x.Outward[:0]
	x.w.putPipe(x.out)
	x.out = nil
}

// dropIn does the same for the request's.
func (x *exchange) dropIn() {
	for i, b := range x.Inward {
		b.Close()
		x.Inward[i] = nil
	}
	x.Inward = x.Inward[:0]
	x.w.putPipe(x.in)
	x.in = nil
}

func someFields(h *wire.Head) bool {
	for i := range h.Fields {
		if !h.Fields[i].Dropped {
			return true
		}
	}
	return false
}
