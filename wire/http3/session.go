package http3

import (
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// carrier is a connection of QUIC as its session sees it. All methods are
// called on the loop, and none calls back.
type carrier interface {
	// say writes to our control stream.
	say(b []byte)
	// end closes the connection with a code; OnGone does not follow.
	end(with code, text string)
	// remote is where the client is now: connections may move.
	remote() netip.AddrPort
}

// outlet is a stream of QUIC as the machine sees it. All methods are called
// on the loop, and none calls back.
type outlet interface {
	id() uint64
	// write sends a, then b, and after these the end. Both are copied.
	write(a, b []byte, end bool)
	// buffered is how much was written that QUIC has not taken.
	buffered() int
	// reset ends our direction abruptly, stop the client's.
	reset(with code)
	stop(with code)
	// pause stops onData; resume lets it come again, from the loop's top.
	pause()
	resume()
	// rouse has onRoused called from the loop's top.
	rouse()
	prioritize(urgency int8, incremental bool)
	// release says that nothing more is wanted: the client may have a new one.
	release()
}

// inlet hears of a stream, on the loop.
type inlet interface {
	// onData: b came, lent, and may be written to; fin says that it was the last.
	onData(b []byte, fin bool)
	// onReset: the client has given its direction up.
	onReset()
	// onStopped: it does not want ours.
	onStopped()
	// onDrained: buffered is below the mark again.
	onDrained()
	// onSent: the end that was written is with QUIC.
	onSent()
	// onStuck: the client took nothing for too long. Our direction was reset.
	onStuck()
	onRoused()
}

// session is the machine of one connection.
type session struct {
	loop    wire.Loop
	carrier carrier
	srv     wire.Server
	lim     *wire.Limits
	peer    wire.Peer
	local   *local

	streams map[uint64]*stream
	grave   []*stream // that the server is to be told of
	sides   [4]bool   // which of the critical ones the client has opened
	settled bool      // its SETTINGS came
	pushes  uint64    // the last MAX_PUSH_ID
	goaway  uint64    // the last GOAWAY of the client's
	budgets [wastes]budget
	next    uint64 // the id after the last request's
	served  int
	since   time.Duration // when the connection came

	retiring bool // GOAWAY was sent
	final    bool // and the one that names the last request
	closed   bool
	idle     wire.Deadline // nothing runs
	bye      wire.Deadline // of the two GOAWAYs, and then of the end
}

// local is what the sessions of one loop share: scratch, between two calls.
type local struct {
	fields fieldReader
	read   sectionReader
	head   wire.Head // trailers and problems
	out    []byte
	name   []byte
	date   wire.DateLine
}

// Kinds of a session's timers.
const (
	timerIdle = iota + 1
	timerBye
)

// farewell is how long a client may take to hear GOAWAY; parting is how long
// what was sent last may take to arrive, before the connection is closed.
const (
	farewell = 500 * time.Millisecond
	parting  = 5 * time.Second
)

func newSession(l wire.Loop, loc *local, c carrier, peer wire.Peer, srv wire.Server, lim *wire.Limits) *session {
	m := &session{loop: l, local: loc, carrier: c, peer: peer, srv: srv, lim: lim, streams: map[uint64]*stream{}, goaway: maxID, since: l.Now()}
	m.idle.Handler, m.idle.Kind = m, timerIdle
	m.bye.Handler, m.bye.Kind = m, timerBye
	m.carrier.say(appendHello(nil, lim.HeadBytes))
	m.rest()
	return m
}

// rest starts the clock of a connection on which nothing runs.
func (m *session) rest() {
	switch {
	case len(m.streams) > 0 || m.closed:
	case m.final:
		m.bye.Set(m.loop, parting)
	case m.lim.Idle >= 0:
		m.idle.Set(m.loop, m.lim.Idle)
	}
}

// open takes a new request's stream; what hears of it is given back.
func (m *session) open(p outlet) inlet {
	s := &stream{m: m, p: p, at: m.loop.Now(), left: -1, expect: -1}
	s.timer.Handler = s
	if m.closed {
		s.closed = true
		return s
	}
	id := p.id()
	if m.final && id >= m.next {
		// GOAWAY named a stream before this one: it was never here.
		p.reset(codeRejected)
		p.stop(codeRejected)
		p.release()
		s.closed = true
		return s
	}
	m.next = max(m.next, id+4)
	m.streams[id] = s
	m.idle.Stop()
	if m.final {
		m.bye.Stop()
	}
	if m.lim.Head >= 0 {
		s.timer.Set(m.loop, m.lim.Head)
	}
	return s
}

// retire begins to end the connection politely (RFC 9114 section 5.2).
func (m *session) retire() {
	if m.retiring || m.closed {
		return
	}
	m.retiring = true
	m.carrier.say(appendGoAway(nil, maxID))
	m.bye.Set(m.loop, farewell)
}

// OnTimer looks at what is due.
func (m *session) OnTimer(t *wire.Timer) {
	switch {
	case m.closed:
	case t.Kind == timerIdle:
		if m.idle.Over(m.loop) && len(m.streams) == 0 {
			m.carrier.say(appendGoAway(nil, m.next))
			m.shut(codeNone, "idle")
		}
	case !m.bye.Over(m.loop):
	case !m.final:
		m.final = true
		m.carrier.say(appendGoAway(nil, m.next))
		m.rest()
	case len(m.streams) == 0:
		m.shut(codeNone, "")
	}
}

// broken ends the connection because of what the client did.
func (m *session) broken(with code, why observe.Reason) {
	if m.closed {
		return
	}
	m.complain(why)
	m.shut(with, why.Info().Title)
}

// shut closes the connection and gives up what runs on it.
func (m *session) shut(with code, text string) {
	if m.closed {
		return
	}
	m.carrier.end(with, text)
	m.gone()
}

// gone: there is no connection any more.
func (m *session) gone() {
	if m.closed {
		return
	}
	m.closed = true
	m.loop.Disarm(&m.idle.Timer)
	m.loop.Disarm(&m.bye.Timer)
	for _, s := range m.streams {
		// From the loop's top: this may be within what the proxy called.
		s.lost = true
		s.p.rouse()
	}
}

// complain reports what no request in particular is to blame for.
func (m *session) complain(why observe.Reason) {
	s := &stream{m: m, closed: true}
	x := s.lend()
	sink := s.req
	s.x, s.req = nil, nil
	m.srv.Refused(x, sink, why)
	m.bury(s)
}

// bury tells the server from the loop's top that s is gone.
func (m *session) bury(s *stream) {
	if m.grave = append(m.grave, s); len(m.grave) > 1 {
		return
	}
	m.loop.Post(func() {
		list := m.grave
		m.grave = nil
		for _, s := range list {
			m.srv.Gone(s)
		}
	})
}

func (m *session) bounds() wire.HeadBounds {
	return wire.HeadBounds{Bytes: m.lim.HeadBytes, Fields: m.lim.Fields, URI: m.lim.URIBytes}
}

// blockMost bounds an encoded field section. No encoder makes more of what
// the listener's bound lets pass.
func (m *session) blockMost() uint64 {
	if m.lim.HeadBytes < 0 {
		return 1 << 20
	}
	return uint64(m.lim.HeadBytes)
}
