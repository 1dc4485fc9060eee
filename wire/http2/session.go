package http2

import (
	"encoding/binary"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// session is the machine of a connection: from a client (server*.go), or to a
// service (client*.go). What RFC 9113 asks of both is here, in read.go and in
// send.go.
type session struct {
	conn wire.Conn
	loc  *local

	srv   wire.Server // of a client's connection
	newer *session    // beside it in local.serving
	older *session
	lim   *wire.Limits
	owner wire.ClientOwner // of a service's

	streams table
	read    hpackReader
	write   hpackWriter

	kept  []byte // a frame that has come in part; borrowed
	block []byte // a header block that has; borrowed
	out   []byte // frames that go with the next write; borrowed

	// Of the header block that is being read.
	blockID   uint32 // 0: none
	blocks    uint16 // its frames
	blockEnd  bool   // its stream ends with it
	blockSelf bool   // it makes its stream depend on itself

	// Of the DATA frame that is being read.
	data     *stream // nil: nobody's
	dataLeft int32
	padLeft  int32
	dataEnd  bool

	// Streams that have something to send and may, by urgency, and those that
	// have something to be told.
	ready, readyTail *stream
	wake, wakeTail   *stream
	grave            *stream // closed, to be used again
	waiting          int     // bytes in all streams' queues

	window      int32 // what may be sent
	recv        int32 // what the peer may send
	credit      int32 // what was used of that and not given back
	peerWindow  int32 // of a new stream
	peerStreams uint32
	last        uint32 // highest stream that the client has opened
	nextID      uint32 // of the next stream to a service
	served      uint32
	owesIdle    uint16  // OnIdle for tries that were cancelled
	deferred    *stream // wait for SETTINGS, by next
	deferrals   int

	budgets [wastes]budget
	recent  [16]recent
	recents uint8

	timer wire.Timer
	due   time.Duration // what the timer is armed for
	at    time.Duration // when the connection began to be idle
	heard time.Duration // when a service's connection brought something last
	// Requests that were given up since, and when the first of them was sent.
	vain      int
	vainSince time.Duration
	partAt    time.Duration // when a frame or header block began to come in parts
	bye       time.Duration // when the polite half of a farewell began
	left      time.Duration // when the client ended its side (eof)
	leaveAt   time.Duration // when that is due by its age; 0 never
	progress  time.Duration // when the peer last took something
	pending   uint32        // Conn.Buffered at that time
	fail      wire.Failure
	why       observe.Reason
	how       ending

	client     bool
	prefaced   bool // the peer's preface was read, of a client the magic too
	greeted    bool // its SETTINGS came
	settled    bool
	mayConnect bool // extended CONNECT
	open       bool
	busy       bool
	queued     bool
	closed     bool
	reported   bool // everybody knows that
	told       bool // the owner does
	retiring   bool // GOAWAY was sent, of all streams
	final      bool // GOAWAY was sent, with the last stream, or came
	eof        bool
	closing    bool // Close was called
}

// recent is a stream that was closed.
type recent struct {
	id   uint32
	ours bool // we reset it: what comes for it was on its way
}

// ending is a way to end a connection.
type ending uint8

const (
	orderly ending = iota // nothing is on its way
	finish                // the peer may be sending: let it read GOAWAY first
	abort
	lost // it is gone already
)

var (
	_ wire.ClientConn   = (*session)(nil)
	_ wire.ConnHandler  = (*session)(nil)
	_ wire.TimerHandler = (*session)(nil)
)

// start makes m ready for its first byte.
func (m *session) start(loc *local) {
	m.loc = loc
	m.timer.Handler = m
	m.window, m.peerWindow = freshWindow, freshWindow
	m.peerStreams = unsettled
	m.read.scratch = &loc.plain
	m.read.init(ourTable)
	m.write.init()
	m.at = loc.loop.Now()
	m.budgets = [wastes]budget{}
	for i := range m.budgets {
		m.budgets[i].at = m.at
	}
}

// OnData runs the machine over what came.
func (m *session) OnData(b []byte) {
	m.busy = true
	m.heard = m.loc.loop.Now()
	m.taken()
	m.feed(b)
	m.leave()
}

// later tells what could not be told earlier, and sends what was written since.
func (m *session) later() {
	m.queued = false
	m.busy = true
	m.leave()
}

// soon has later called, unless the machine is running anyway.
func (m *session) soon() {
	if !m.busy && !m.queued {
		m.queued = true
		m.loc.later(m)
	}
}

// OnDrained: the peer takes bytes again; leave sends what waits.
func (m *session) OnDrained() {
	m.busy = true
	m.taken()
	m.leave()
}

// leave is the way out of every entry from the loop: it tells, sends what may
// be sent, and sends it as one write.
func (m *session) leave() {
	for !m.closed {
		m.rouseAll()
		m.pump()
		if m.wake == nil {
			break
		}
	}
	m.tellIdle()
	if m.closed {
		m.end()
	}
	m.flush()
	m.busy = false
	m.bury()
	if m.wake != nil {
		m.soon()
	}
	if m.closed && !m.queued {
		m.release()
	}
}

// rouseAll tells every stream what it waits for.
func (m *session) rouseAll() {
	for s := m.wake; s != nil; s = m.wake {
		if m.wake = s.waking; m.wake == nil {
			m.wakeTail = nil
		}
		s.waking, s.inWake = nil, false
		m.rouseOne(s)
	}
}

func (m *session) rouseOne(s *stream) {
	if s.failing {
		s.failing = false
		m.tellFailure(s)
		return
	}
	if s.resumed {
		s.resumed = false
		m.proceed(s)
		m.unhold(s)
	}
	if s.drained {
		s.drained = false
		switch {
		case s.x == nil:
		case m.client:
			s.res.OnRequestDrained()
		default:
			s.req.OnResponseDrained()
		}
	}
}

// bury lets the streams be used again that were closed.
func (m *session) bury() {
	s := m.grave
	m.grave = nil
	for s != nil {
		next := s.next
		if s.inWake {
			s.next, m.grave = m.grave, s
		} else {
			if !m.client {
				m.srv.Gone(s)
			}
			m.loc.freeStream(s)
		}
		s = next
	}
}

// forget takes s out of the table: both directions have ended.
func (m *session) forget(s *stream, ours bool) {
	if s.closed {
		return
	}
	s.closed = true
	if s.id != 0 {
		m.streams.remove(s)
		m.remember(s.id, ours)
	}
	m.withdraw(s)
	m.drop(s)
	if m.data == s {
		m.data = nil
		m.returnCredit(m.dataLeft)
	}
	if g := &m.loc.gather; g.s == s {
		m.returnCredit(int32(len(g.data)))
		*g = gather{}
	}
	s.next, m.grave = m.grave, s
	if m.streams.n == 0 {
		m.at = m.loc.loop.Now()
		m.idle()
	}
	m.soon()
}

// remember that a stream was closed.
func (m *session) remember(id uint32, ours bool) {
	m.recent[m.recents%uint8(len(m.recent))] = recent{id, ours}
	m.recents++
}

// drop lets go of what s holds.
func (m *session) drop(s *stream) {
	m.returnCredit(int32(s.in.Len()))
	s.in.Clear(&m.loc.chunks)
	m.waiting -= s.out.Len()
	s.out.Clear(&m.loc.chunks)
	m.loc.freeHead(s.inTrailers)
	m.loc.freeHead(s.outTrailers)
	s.inTrailers, s.outTrailers = nil, nil
}

// idle is called when the last stream has ended.
func (m *session) idle() {
	switch {
	case m.closed:
	case m.final && !m.client && !m.eof:
		m.shut(finish) // it gives windows back: that must not destroy the last answer
	case m.final || m.eof:
		m.shut(orderly)
	case m.client:
		if m.closing {
			m.shut(orderly)
		}
	default:
		m.wakeAt(m.at, m.lim.Idle)
	}
}

// broken ends the connection with GOAWAY (RFC 9113 section 5.4.1).
func (m *session) broken(with code) {
	if m.closed {
		return
	}
	if m.why == 0 {
		m.why = observe.BadFrame
	}
	m.out = appendGoAway(m.room(), m.last, with)
	m.fail = wire.Failure{Reason: observe.UpstreamBadResponse, Err: connError(with)}
	if m.why == observe.UnreadFlood {
		m.shut(abort)
		return
	}
	m.shut(finish)
}

// connError and streamError are how a peer broke the protocol, or what it
// reset with, for the log.
type (
	connError   code
	streamError code
)

func (e connError) Error() string   { return "http2: connection error " + code(e).String() }
func (e streamError) Error() string { return "http2: stream error " + code(e).String() }

// shut gives the connection up. What runs on it is told on the way out, or
// from the loop's top.
func (m *session) shut(how ending) {
	if m.closed {
		return
	}
	m.closed, m.how = true, how
	m.soon()
}

// end tells everybody that the connection is gone, once.
func (m *session) end() {
	if m.reported {
		m.rouseAll() // tries that came too late
		return
	}
	m.reported = true
	if m.client && m.how == orderly && !m.final {
		m.out = appendGoAway(m.room(), 0, codeNone)
	}
	m.flush()
	switch m.how {
	case orderly:
		m.conn.Close()
	case finish:
		m.conn.Finish()
	case abort:
		m.conn.Abort()
	}
	m.loc.loop.Disarm(&m.timer)
	m.gone()
	m.rouseAll()
	told := false
	any := func(*stream) bool { return true }
	for s := m.streams.first(any); s != nil; s = m.streams.first(any) {
		told = told || s.x != nil
		s.fail = m.lostFailure(s)
		m.lose(s, true, m.why)
	}
	m.endDeferred()
	if !told && !m.client && m.why != 0 && m.why != observe.ClientGone {
		m.complain(m.why)
	}
}

// lose ends s and its exchange without a response. The owner hears of it
// first.
func (m *session) lose(s *stream, ours bool, why observe.Reason) {
	x, untold := s.x, s.untold
	s.x = nil
	m.forget(s, ours)
	switch {
	case x == nil:
	case m.client:
		m.ended()
		s.res.OnResponseAbort(s.fail)
	case untold:
		m.srv.Refused(x, s.req, why)
	default:
		s.req.OnRequestAbort(why)
	}
}

// breakStream ends s because the peer broke the protocol (RFC 9113 section
// 5.4.2). A peer that makes us reset streams is counted as one that resets
// them.
func (m *session) breakStream(s *stream, with code) code {
	return m.breakFor(s, with, observe.BadFrame)
}

func (m *session) breakFor(s *stream, with code, why observe.Reason) code {
	m.out = appendReset(m.room(), s.id, with)
	s.fail = wire.Failure{Reason: observe.UpstreamBadResponse, Err: streamError(with)}
	m.lose(s, true, why)
	if !m.client && !m.spend(wasteResets) {
		return codeEnhanceYourCalm
	}
	return codeNone
}

// release gives back what the machine holds, and a server's itself.
func (m *session) release() {
	m.loc.giveBack(m.kept)
	m.loc.giveBack(m.block)
	m.loc.giveBack(m.out)
	m.kept, m.block, m.out = nil, nil, nil
	m.read.reset()
	m.write.reset()
	if !m.client {
		m.loc.endServing(m)
		if l, ok := m.srv.(wire.Leaver); ok {
			l.Left(m.conn.Peer())
		}
		m.loc.freeSession(m)
	}
}

// lingering is how long a client that has ended its side is still answered. Nearly
// all that do so are gone: HTTP/2 goes on only where both sides speak (windows,
// pings), and what nobody waits for should not be worked on.
const lingering = 2 * time.Second

// OnEOF: the peer will send no more. What a client has asked completely is
// still answered within lingering; a service's answers cannot come any more.
func (m *session) OnEOF() {
	m.busy = true
	m.eof = true
	switch {
	case m.closed:
	case m.client:
		m.fail = wire.Failure{Reason: observe.UpstreamReset, Err: wire.ErrEnded}
		m.shut(orderly)
	default:
		m.endUnfinished()
		if m.streams.n == 0 {
			m.shut(orderly)
		}
		m.left = m.loc.loop.Now()
		m.wakeAt(m.left, lingering)
	}
	m.leave()
}

// OnClose: the connection is gone, or never came to be.
func (m *session) OnClose(err error) {
	m.busy = true
	m.fail = wire.Failure{Reason: wire.LostReason(err), Err: err}
	if m.client && !m.open {
		m.fail.Reason = wire.DialReason(err)
	}
	if m.why == 0 {
		m.why = observe.ClientGone
	}
	m.shut(lost)
	m.leave()
}

// onGoAway hears that the peer wants no new streams.
func (m *session) onGoAway(f *frame, p []byte) code {
	switch {
	case f.id != 0:
		return codeProtocol
	case len(p) < 8:
		return codeFrameSize
	}
	if !m.client {
		// We open no streams. The client will close when it has its answers.
		return codeNone
	}
	m.farewell(binary.BigEndian.Uint32(p) & maxID)
	return codeNone
}
