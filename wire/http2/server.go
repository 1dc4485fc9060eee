package http2

import (
	"math/rand/v2"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Serve is wire.ServerCodec's.
func (c *Codec) Serve(conn wire.Conn, srv wire.Server, lim *wire.Limits) {
	c.serve(conn, srv, lim)
}

// Take is wire.Taker's: Serve for a connection of which somebody else has read the
// first bytes. It is called from the loop's top.
func (c *Codec) Take(conn wire.Conn, srv wire.Server, lim *wire.Limits, first []byte) {
	c.serve(conn, srv, lim).OnData(first)
}

func (c *Codec) serve(conn wire.Conn, srv wire.Server, lim *wire.Limits) *session {
	loc := c.local(conn.Loop())
	m := loc.newSession()
	m.conn, m.srv, m.lim = conn, srv, lim
	m.start(loc)
	if m.older = loc.serving; m.older != nil {
		m.older.newer = m
	}
	loc.serving = m
	m.partAt = m.at
	conn.SetHandler(m)
	m.wakeAt(m.partAt, m.headBound())
	m.wakeAt(m.at, lim.Idle)
	if m.leaveAt = 0; lim.Age > 0 {
		m.leaveAt = m.at + spread(lim.Age)
		m.wakeAt(m.leaveAt, 0)
	}
	return m
}

// Refuse is wire.ServerCodec's. Clients try elsewhere when they are told at
// once that nothing was processed; the reason stands in GOAWAY for a person.
func (c *Codec) Refuse(conn wire.Conn, why observe.Reason) {
	conn.SetHandler(wire.Deaf{})
	loc := c.local(conn.Loop())
	out := appendFrame(loc.borrow(), 0, frameSettings, 0, 0)
	text := why.String()
	out = appendFrame(out, 8+len(text), frameGoAway, 0, 0)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, byte(codeRefused))
	out = append(out, text...)
	conn.Write(out, nil)
	conn.Finish()
	loc.giveBack(out)
}

// onRequest reads the head of a new request.
func (m *session) onRequest(id uint32, block []byte, end bool) code {
	m.last = id
	if m.final {
		// GOAWAY named a stream before this one: it was never here.
		return m.ignore(block)
	}
	if m.streams.n >= ourStreams {
		if why := m.ignore(block); why != codeNone {
			return why
		}
		m.out = appendReset(m.room(), id, codeRefused)
		m.remember(id, true)
		m.complain(observe.TooManyStreams)
		if !m.spend(wasteResets) || m.unread() {
			return codeEnhanceYourCalm
		}
		return codeNone
	}
	if m.unread() {
		return codeEnhanceYourCalm
	}
	s := m.begin()
	s.id = id
	s.window, s.recv = m.peerWindow, ourWindow
	s.urgency = middling
	s.untold = true
	s.inEnd = end
	m.streams.add(s)
	m.earn(wastePriorities, 4)
	m.earn(wastePings, 1)
	x := s.x
	r := &m.loc.fields
	r.stream = s
	r.StartRequest(&x.Request, m.headBounds())
	if why := m.readBlock(block, r); why != codeNone {
		return why // end tells it
	}
	r.FinishRequest(x, end)
	why := r.Why
	if m.blockSelf {
		why = observe.BadFrame
	}
	s.noBody = string(x.Request.Method) == "HEAD"
	s.left = -1
	s.expect = -1
	if !end && x.Request.Length >= 0 && x.Upgrade == nil {
		s.expect = x.Request.Length
	}
	if why == 0 && m.lim.BodyBytes >= 0 && x.Request.Length > m.lim.BodyBytes {
		why = observe.BodyTooLarge
	}
	if m.served++; m.lim.Requests >= 0 && int(m.served) >= m.lim.Requests {
		m.retire()
	}
	if why != 0 {
		return m.refuse(s, why)
	}
	s.upgrade, s.connect = x.Upgrade != nil, wire.Connects(x)
	if m.budgets[wasteResets].spent >= fickle && !s.upgrade {
		m.loc.fresh = append(m.loc.fresh, newcomer{s, end})
		return codeNone
	}
	m.collect(s, nil, end)
	if s.upgrade {
		m.tell() // what follows belongs to the tunnel
	}
	return codeNone
}

// fickle is how many requests a client has taken back, of late and without
// others that were answered, when its next ones are told only once the whole
// read that they came in is read.
const fickle = 4

// newcomer is a request that came in the read in hand and was not told yet.
type newcomer struct {
	s   *stream
	end bool // without a body
}

// tellFresh tells of the requests of a fickle client, when all of what it has
// sent is read: those that it has taken back by then (CVE-2023-44487), or broken
// the protocol for, have caused no work for others. Those whose body came along
// have been told already.
func (m *session) tellFresh() {
	for _, f := range m.loc.fresh {
		if s := f.s; s.m == m && s.untold && !s.closed && !m.closed {
			m.deliver(s, nil, f.end)
		}
	}
	m.dropFresh()
}

func (m *session) dropFresh() {
	clear(m.loc.fresh)
	m.loc.fresh = m.loc.fresh[:0]
}

// ignore reads a header block that nobody wants, because it changes the table.
func (m *session) ignore(block []byte) code {
	if why := m.readBlock(block, nothing{}); why != codeNone {
		return why
	}
	return codeNone
}

// begin asks for a place for a request.
func (m *session) begin() *stream {
	s := m.loc.newStream()
	s.m = m
	x, sink := m.srv.Begin(s)
	s.x, s.req = x, sink
	x.Request.Reset()
	x.Request.Minor = 2
	x.Peer = m.conn.Peer()
	x.Upgrade, x.ExpectContinue = nil, false
	x.BytesIn, x.BytesOut = 0, 0
	now := m.loc.loop.Now()
	x.Began, x.Headed = now, now
	if m.blocks > 1 {
		x.Began = m.partAt
	}
	s.at = now
	return s
}

// complain reports what no request in particular is to blame for.
func (m *session) complain(why observe.Reason) {
	s := m.begin()
	x := s.x
	s.x, s.closed = nil, true
	m.srv.Refused(x, s.req, why)
	s.next, m.grave = m.grave, s
}

// malformed are reasons that the RFC wants a stream reset for (section 8.1.1).
// What is well-formed and passes a bound, or asks for what we do not do, gets
// an answer.
func malformed(why observe.Reason) bool {
	switch why {
	case observe.BadField, observe.BadHost, observe.BadLength, observe.BadTarget, observe.BadPseudo, observe.BadFrame:
		return true
	}
	return false
}

// refuse ends a request that is not acceptable: with an answer while none has
// begun.
func (m *session) refuse(s *stream, why observe.Reason) code {
	if malformed(why) {
		return m.breakFor(s, codeProtocol, why)
	}
	if s.x == nil {
		return codeNone
	}
	if s.begun {
		m.out = appendReset(m.room(), s.id, codeCancel)
		m.lose(s, true, why)
		return codeNone
	}
	x, sink := s.x, s.req
	if rpc := x.Request.RPC(); rpc != wire.NoRPC {
		x.Response.Status = 200
		m.status(s, why, rpc)
		m.srv.Refused(x, sink, why)
		return codeNone
	}
	x.Response.Status = why.Info().Status
	if !s.noBody {
		x.BytesOut = int64(len(wire.Problem(why)))
	}
	m.problem(s, why)
	m.srv.Refused(x, sink, why)
	return codeNone
}

// problem answers s with the document of why.
func (m *session) problem(s *stream, why observe.Reason) {
	h := m.loc.newHead()
	wire.KeepProblem(h, why)
	s.untold = false
	m.respond(s, h)
	body := wire.Problem(why)
	if s.noBody {
		body = nil
	}
	s.outEnd = true
	m.over(s)
	s.push(body)
	m.loc.freeHead(h)
}

// status answers a gRPC call, which ends with its head.
func (m *session) status(s *stream, why observe.Reason, rpc wire.RPC) {
	h := m.loc.newHead()
	wire.KeepGRPCProblem(h, why, rpc)
	s.untold = false
	s.outEnd = true
	m.respond(s, h)
	m.over(s)
	m.finished(s)
	m.loc.freeHead(h)
}

// over is the end of a response as the proxy sees it: the exchange is the
// proxy's. What waits is still sent.
func (m *session) over(s *stream) {
	s.x, s.req = nil, nil
	s.held, s.asked = false, false
	m.returnCredit(int32(s.in.Len()))
	s.in.Clear(&m.loc.chunks)
	m.loc.freeHead(s.inTrailers)
	s.inTrailers = nil
	m.earn(wasteResets, 1)
	if g := &m.loc.gather; g.s == s {
		m.returnCredit(int32(len(g.data)))
		*g = gather{}
	}
}

// finished is the end of our direction on the wire. The rest of a request
// whose response is complete is not wanted (RFC 9113 section 8.1).
func (m *session) finished(s *stream) {
	s.finished = true
	if s.tunnel && s.connect {
		m.bothEnded(s)
		return
	}
	if m.client {
		return
	}
	if !s.inEnd {
		m.out = appendReset(m.room(), s.id, codeNone)
	}
	m.forget(s, !s.inEnd)
}

// proceed sends 100 (Continue), when the body is wanted and nothing else was
// said (RFC 9110 section 10.1.1).
func (m *session) proceed(s *stream) {
	if s.asked && !s.closed && s.x != nil && !s.held && !s.begun {
		s.asked = false
		s.at = m.loc.loop.Now()
		out, at := m.openBlock()
		m.closeBlock(m.write.status(out, 100), at, s.id, false)
		m.expectBody(s)
	}
}

// endUnfinished ends what can never be complete, because the client sends no
// more.
func (m *session) endUnfinished() {
	unfinished := func(s *stream) bool { return !s.inEnd }
	for s := m.streams.first(unfinished); s != nil; s = m.streams.first(unfinished) {
		m.lose(s, true, observe.ClientGone)
	}
}

// farewellPing tells when the client has heard GOAWAY: what it had sent before
// has come then, and may be told apart from what was never processed (RFC 9113
// section 6.8).
const farewellPing = "farewell"

// retire begins to end the connection politely.
func (m *session) retire() {
	if m.retiring || m.final || m.closed {
		return
	}
	m.retiring = true
	m.out = appendGoAway(m.room(), maxID, codeNone)
	m.out = appendPing(m.room(), 0, []byte(farewellPing))
	m.bye = m.loc.loop.Now()
	m.wakeAt(m.bye, farewellTime)
}

// Drain is wire.Drainer's.
func (c *Codec) Drain(l wire.Loop, leaves func(wire.Server, *wire.Peer) bool) {
	for m := c.local(l).serving; m != nil; m = m.older {
		if m.srv.Draining() || leaves != nil && leaves(m.srv, m.conn.Peer()) {
			m.retire()
		}
	}
}

// Cut is wire.Cutter's.
func (c *Codec) Cut(l wire.Loop, gone func(wire.Server, *wire.Peer) bool, why observe.Reason) {
	for m := c.local(l).serving; m != nil; m = m.older {
		if !m.closed && gone(m.srv, m.conn.Peer()) {
			m.why = why
			m.shut(abort)
		}
	}
}

// spread is a time of about d: ten percent less to ten percent more. Connections
// that were made together should not end together.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// finalGoAway names the last stream. The connection ends with the last of
// those that run.
func (m *session) finalGoAway() {
	if !m.retiring || m.final || m.closed {
		return
	}
	m.final = true
	m.out = appendGoAway(m.room(), m.last, codeNone)
	if m.streams.n == 0 {
		m.shut(finish)
	}
}
