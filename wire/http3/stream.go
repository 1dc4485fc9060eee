package http3

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// stream is one exchange: the proxy's wire.ServerStream, and the inlet of its
// pipe.
type stream struct {
	m  *session
	p  outlet
	at time.Duration // when it began

	x     *wire.Exchange // lent; nil once the exchange is over
	req   wire.RequestSink
	timer wire.Deadline // of the head, then of the body

	frame    frame
	block    []byte     // a field section that is not complete
	trailers *wire.Head // came, and were not told
	kept     []byte     // came for a tunnel that is not granted yet
	expect   int64      // what is still due of a Content-Length that came; -1 unknown
	left     int64      // of one that was sent

	headed  bool // the head of the request came
	trailed bool // and its trailers
	untold  bool // and is to be told
	told    bool // and was told
	inEnd   bool // the client's direction has ended, or is not wanted
	held    bool // the sink has paused
	upgrade bool // extended CONNECT that was not answered
	tunnel  bool // and was granted
	asked   bool // 100 (Continue) is owed
	noBody  bool // the response must not have one
	begun   bool // the head of the response was sent
	outEnd  bool // its end is given
	outOver bool // and with QUIC
	closed  bool // not in the session any more
	lost    bool // there is no connection any more
	failing bool // the proxy broke the framing: that is to be told
	granted bool // kept is to be told
	waited  bool // long enough for the end of a request that has no body
}

var (
	_ wire.ServerStream = (*stream)(nil)
	_ inlet             = (*stream)(nil)
	_ wire.Ranker       = (*stream)(nil)
)

// Loop and Peer are wire.ServerStream's.
func (s *stream) Loop() wire.Loop  { return s.m.loop }
func (s *stream) Peer() *wire.Peer { return &s.m.peer }

// Rank implements wire.Ranker. What a request that comes is about nobody knows.
func (s *stream) Rank() wire.Rank {
	if s.req == nil || !s.told || s.lost || s.failing {
		return wire.RankFirst
	}
	return wire.RankOf(s.req)
}

// lend asks for a place for the request.
func (s *stream) lend() *wire.Exchange {
	m := s.m
	m.peer.Remote = m.carrier.remote()
	x, sink := m.srv.Begin(s)
	s.x, s.req = x, sink
	x.Request.Reset()
	x.Request.Minor = 3
	x.Peer = &m.peer
	x.Upgrade, x.ExpectContinue = nil, false
	x.BytesIn, x.BytesOut = 0, 0
	x.Began, x.Headed = s.at, m.loop.Now()
	return x
}

// onData reads frames. The data among them move to the front of b, so that
// the sink hears of them together.
func (s *stream) onData(b []byte, fin bool) {
	m := s.m
	data := b[:0]
	for len(b) > 0 && !s.inEnd && !s.closed && !m.closed {
		if !s.frame.open {
			if b = b[s.frame.begin(b):]; !s.frame.open {
				break
			}
			if with := s.onFrame(); with != fine {
				m.broken(with, observe.BadFrame)
				return
			}
			continue
		}
		var part []byte
		part, b = s.frame.take(b)
		switch s.frame.kind {
		case frameData:
			data = append(data, part...)
		case frameHeaders:
			if s.block = append(s.block, part...); !s.frame.open && !s.onSection() {
				return
			}
		}
	}
	if s.inEnd || s.closed || m.closed {
		return
	}
	switch {
	case fin && s.frame.cut():
		m.broken(codeFrame, observe.BadFrame)
		return
	case fin && !s.headed:
		s.lend()
		s.breakFor(codeIncomplete, observe.BadFrame)
		return
	}
	s.inEnd = fin
	if s.expect >= 0 {
		if s.expect -= int64(len(data)); s.expect < 0 || fin && s.expect > 0 {
			s.breakFor(codeMessage, observe.BadLength)
			return
		}
	}
	s.deliver(data)
}

// onFrame looks at the header of a frame.
func (s *stream) onFrame() code {
	m, f := s.m, &s.frame
	switch kind := f.kind; {
	case kind == frameData:
		switch {
		case !s.headed || s.trailed:
			return codeFrameUnexpected
		case f.left == 0:
			m.spend(wasteEmpties)
		}
	case kind == frameHeaders:
		switch {
		case s.trailed:
			return codeFrameUnexpected
		case f.left > m.blockMost() && !s.headed:
			s.lend()
			s.headed = true
			s.refuse(observe.HeadTooLarge)
		case f.left > m.blockMost():
			s.breakFor(codeMessage, observe.HeadTooLarge)
		}
	case ofHTTP2(kind), kind == frameCancelPush, kind == frameSettings, kind == framePushPromise,
		kind == frameGoAway, kind == frameMaxPushID, kind == framePriorityUpdate:
		return codeFrameUnexpected
	default:
		m.spend(wasteEmpties)
	}
	if f.left == 0 {
		f.open = false
		if f.kind == frameHeaders {
			return codeDecompression
		}
	}
	return fine
}

// onSection reads a field section that is complete; false says that the
// stream or the connection has ended.
func (s *stream) onSection() bool {
	block := s.block
	s.block = nil
	if s.headed {
		return s.onTrailers(block)
	}
	m := s.m
	s.headed = true
	s.timer.Stop()
	x := s.lend()
	r := &m.local.fields
	r.stream = s
	r.StartRequest(&x.Request, m.bounds())
	if m.local.read.read(block, r) != nil {
		s.abort(observe.BadFrame)
		m.shut(codeDecompression, observe.BadFrame.Info().Title)
		return false
	}
	// Whether anything follows is known with the end of the stream only: a body
	// whose length is not stated may turn out to be none.
	r.FinishRequest(x, false)
	why := r.Why
	s.noBody = string(x.Request.Method) == "HEAD"
	s.upgrade = x.Upgrade != nil
	if x.Request.Length >= 0 && !s.upgrade {
		s.expect = x.Request.Length
	}
	if why == 0 && m.lim.BodyBytes >= 0 && x.Request.Length > m.lim.BodyBytes {
		why = observe.BodyTooLarge
	}
	if m.served++; m.lim.Requests >= 0 && m.served >= m.lim.Requests || m.lim.Age > 0 && m.loop.Now()-m.since >= m.lim.Age {
		m.retire()
	}
	if why != 0 {
		s.refuse(why)
		return false
	}
	s.untold = true
	return true
}

func (s *stream) onTrailers(block []byte) bool {
	m := s.m
	s.trailed = true
	t := &wire.Head{}
	r := &m.local.fields
	r.stream = nil
	r.StartTrailers(t, m.bounds())
	if m.local.read.read(block, r) != nil {
		m.broken(codeDecompression, observe.BadFrame)
		return false
	}
	if r.Why == 0 && (s.tunnel || s.upgrade) {
		r.Why = observe.BadFrame
	}
	if r.Why != 0 {
		s.breakFor(codeMessage, r.Why)
		return false
	}
	if wire.DropForbidden(t) {
		s.trailers = t
	}
	return true
}

// deliver tells the sink what came.
func (s *stream) deliver(data []byte) {
	m, end := s.m, s.inEnd && s.trailers == nil
	if s.x == nil {
		s.settle()
		return
	}
	if s.upgrade && !s.untold {
		s.kept = append(s.kept, data...) // it belongs to the tunnel
		return
	}
	if s.untold && len(data) == 0 && s.bodiless() {
		return
	}
	x := s.x
	if n := x.BytesIn + int64(len(data)); m.lim.BodyBytes >= 0 && n > m.lim.BodyBytes && !s.tunnel && !s.upgrade {
		s.refuse(observe.BodyTooLarge)
		return
	}
	first := s.untold
	s.untold = false
	switch {
	case first && s.upgrade:
		s.kept = append(s.kept, data...)
		s.p.pause()
		s.told = true
		s.req.OnRequest(nil, true)
		return
	case first:
		x.BytesIn += int64(len(data))
		if s.inEnd && x.Request.Length < 0 && s.trailers == nil {
			x.Request.Length = int64(len(data)) // it is here as a whole
		}
		x.ExpectContinue = x.ExpectContinue && !s.inEnd
		s.asked = x.ExpectContinue && len(data) == 0
		s.told = true
		s.req.OnRequest(data, end)
		s.proceed()
	case len(data) > 0 || end:
		x.BytesIn += int64(len(data))
		s.req.OnRequestData(data, end)
	}
	s.tellTrailers()
	s.await()
	s.settle()
}

// straggle is how long the end of a stream may come after its head.
const straggle = 40 * time.Millisecond

// bodiless waits a little for the end of a request that hardly has a body:
// clients close a stream after its head, and packets part the two. Told at once
// it would go on as a request with a body of unknown length, which not every
// service takes.
func (s *stream) bodiless() bool {
	x := s.x
	if s.inEnd || s.waited || s.upgrade || x.ExpectContinue || x.Request.Length >= 0 {
		return false
	}
	switch string(x.Request.Method) {
	case "GET", "HEAD", "DELETE", "OPTIONS":
		s.timer.Set(s.m.loop, straggle)
		return true
	}
	return false
}

// tellTrailers ends the request with its trailers, once the sink takes them.
func (s *stream) tellTrailers() {
	if t := s.trailers; t != nil && s.inEnd && !s.held && s.x != nil && !s.lost {
		s.trailers = nil
		s.req.OnRequestTrailers(t)
	}
}

// await starts the clock of the body where it is the client's turn.
func (s *stream) await() {
	if s.x == nil || s.inEnd || s.held || s.asked || s.tunnel || s.upgrade || s.m.lim.Body < 0 {
		s.timer.Stop()
		return
	}
	s.timer.Set(s.m.loop, s.m.lim.Body)
}

// proceed sends 100 (Continue), when the body is wanted and nothing else was
// said (RFC 9110 section 10.1.1).
func (s *stream) proceed() {
	if s.asked && s.x != nil && !s.held && !s.begun && !s.lost {
		s.asked = false
		out := appendSection(s.m.local.out[:0])
		out = appendField(out, ":status", "100", false)
		s.m.local.out = out
		s.section(out, nil, false)
		s.await()
	}
}

// OnTimer: the head, or more of the body, took too long.
func (s *stream) OnTimer(*wire.Timer) {
	if s.closed || s.lost || !s.timer.Over(s.m.loop) {
		return
	}
	if !s.headed {
		s.lend()
		s.headed = true
		s.refuse(observe.HeadTimeout)
		return
	}
	if s.untold {
		s.waited = true
		s.deliver(nil)
		return
	}
	if s.x != nil && !s.inEnd && !s.held {
		s.refuse(observe.BodyTimeout)
	}
}

// Pause and Resume hold the request's body. Resume tells from the loop's top.
func (s *stream) Pause() {
	if s.x != nil && !s.held {
		s.held = true
		s.p.pause()
		s.timer.Stop()
	}
}

func (s *stream) Resume() {
	if !s.held {
		return
	}
	s.held = false
	if s.x == nil || s.closed {
		return
	}
	if !s.upgrade {
		s.p.resume()
	}
	s.p.rouse()
	s.await()
}

// onRoused does what was put off to the loop's top.
func (s *stream) onRoused() {
	if s.closed {
		return
	}
	if s.lost {
		s.abort(observe.ClientGone)
		s.forget()
		return
	}
	if s.failing {
		s.failing = false
		if s.x != nil {
			s.abort(observe.Internal)
		}
		s.settle()
		return
	}
	if s.granted {
		s.granted = false
		data, end := s.kept, s.inEnd
		s.kept = nil
		if s.x != nil && (len(data) > 0 || end) {
			s.x.BytesIn += int64(len(data))
			s.req.OnRequestData(data, end)
		}
		if !s.held {
			s.p.resume()
		}
	}
	s.proceed()
	s.tellTrailers()
	s.settle()
}

// onReset: the client gives its request up, or the rest of it.
func (s *stream) onReset() {
	if s.closed || s.inEnd && s.x == nil {
		return
	}
	s.inEnd = true
	s.given()
}

// onStopped: the client does not want the response.
func (s *stream) onStopped() {
	if !s.closed && !s.outOver {
		s.given()
	}
}

// given ends what the client has given up.
func (s *stream) given() {
	with := codeCancelled
	if s.x != nil {
		s.abort(observe.ClientGone)
	}
	s.end(with)
	s.m.spend(wasteResets)
}

// onDrained tells the proxy.
func (s *stream) onDrained() {
	if s.x != nil && !s.lost && !s.closed {
		s.req.OnResponseDrained()
	}
}

// onSent: our direction has ended.
func (s *stream) onSent() {
	s.outOver = true
	s.settle()
}

// onStuck: the client reads no more.
func (s *stream) onStuck() {
	if s.closed {
		return
	}
	if s.x != nil {
		s.abort(observe.WriteTimeout)
	} else {
		s.m.complain(observe.WriteTimeout)
	}
	s.end(codeCancelled)
}
