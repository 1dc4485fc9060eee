package http3

import "github.com/naru-mesh/naru/observe"

// abort gives the exchange back: nothing more will come, or can be said.
func (s *stream) abort(why observe.Reason) {
	x, sink := s.x, s.req
	if x == nil {
		return
	}
	s.x, s.req = nil, nil
	if s.told {
		sink.OnRequestAbort(why)
		return
	}
	s.m.srv.Refused(x, sink, why)
}

// end ends both directions without a complete response.
func (s *stream) end(with code) {
	s.p.reset(with)
	if !s.inEnd {
		s.p.stop(with)
	}
	s.inEnd, s.outEnd, s.outOver = true, true, true
	s.settle()
}

// settle forgets the stream once both directions have ended.
func (s *stream) settle() {
	if s.x == nil && s.inEnd && s.outOver {
		s.forget()
	}
}

func (s *stream) forget() {
	if s.closed {
		return
	}
	m := s.m
	s.closed = true
	m.loop.Disarm(&s.timer.Timer)
	delete(m.streams, s.p.id())
	s.p.release()
	m.bury(s)
	m.rest()
}
