package http2

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// stream is one exchange on a connection: the proxy's wire.ServerStream or
// wire.ClientStream. It is in its session's table until both directions have
// ended, and used again once the loop is at its top.
type stream struct {
	m    *session
	next *stream // in its row of the table, or in a free list
	id   uint32  // 0 until the request was sent

	x   *wire.Exchange    // lent; nil once the exchange is over
	req wire.RequestSink  // of a request from a client
	res wire.ResponseSink // of a response from a service

	in, out                wire.Queue
	inTrailers             *wire.Head // came, and cannot be told yet
	outTrailers            *wire.Head // end what is queued
	window                 int32      // what may be sent
	recv                   int32      // what the peer may send
	credit                 int32      // what was used of that and not given back
	expect                 int64      // what is still due of a Content-Length that came; -1 unknown
	left                   int64      // of one that was sent
	at                     time.Duration
	sent                   time.Duration // when the head of a request to a service was
	progress               time.Duration // when the peer last took something of out
	fail                   wire.Failure  // to be told
	why                    observe.Reason
	before, after          *stream // in session.ready
	waking                 *stream // in session.wake
	urgency, informs       uint8
	ready, inWake          bool
	incremental            bool
	untold                 bool // the head came, and was not told
	inEnd                  bool // the peer has ended its direction
	inOver                 bool // and nothing but in and inTrailers is before that end
	held                   bool // the sink has paused
	late                   bool // in, and what follows, has its turn later
	upgrade                bool // extended CONNECT that was not answered
	tunnel                 bool // and was granted
	connect                bool // CONNECT: the ends of both directions are independent
	inTold                 bool // of such a tunnel, the end of the peer's
	asked                  bool // 100 (Continue) is owed
	noBody                 bool // the response must not have one
	answered               bool // the final head of a response came
	begun                  bool // the head of our direction was sent
	early                  bool // before the service's SETTINGS came
	outEnd                 bool // its end is given
	finished               bool // and sent
	closed                 bool // not in the table any more
	high, drained, resumed bool
	failing                bool // fail or why is to be told
	deferred               bool // waits for SETTINGS
}

var (
	_ wire.ServerStream = (*stream)(nil)
	_ wire.ClientStream = (*stream)(nil)
)

// Marks of a stream's queue: whoever fills it is told when it is at the low
// one again. A stream without a window gets nothing more, and once crowded bytes
// wait in all of a connection together each gets no more than the low one.
const (
	streamLow = 16 << 10
	crowded   = 1 << 20
)

// headed says whether the final head of the peer's half has come.
func (s *stream) headed() bool { return !s.m.client || s.answered }

// Loop and Peer are wire.ServerStream's.
func (s *stream) Loop() wire.Loop  { return s.m.loc.loop }
func (s *stream) Peer() *wire.Peer { return s.m.conn.Peer() }

// Buffered is how many bytes wait; more than wire.HighWater also where the peer
// gives no window, so that more could only lie here, and where the connection
// as a whole keeps too much. While a service's connection is still
// opening everything waits.
func (s *stream) Buffered() int {
	if m := s.m; m.client && !m.open && !m.closed {
		return s.out.Len() + len(m.out) + m.conn.Buffered()
	}
	if s.stuck() || s.out.Len() > streamLow && s.m.waiting > crowded {
		s.high = true // whoever hears this is told when it is over
		return max(s.out.Len(), wire.HighWater+1)
	}
	return s.out.Len()
}

// stuck: what waits must wait for a window.
func (s *stream) stuck() bool { return s.out.Len() > 0 && min(s.window, s.m.window) <= 0 }

// Pause and Resume hold what comes. Resume tells from the loop's top.
func (s *stream) Pause() {
	if !s.closed && s.x != nil {
		s.held = true
	}
}

func (s *stream) Resume() {
	if !s.held {
		return
	}
	s.held = false
	s.at = s.m.loc.loop.Now()
	if s.closed || s.x == nil {
		return
	}
	s.resumed = true
	s.m.rouse(s)
	s.m.expectBody(s)
}

// rouse has what s has to tell be told.
func (m *session) rouse(s *stream) {
	if !s.inWake {
		s.inWake = true
		if m.wakeTail == nil {
			m.wake = s
		} else {
			m.wakeTail.waking = s
		}
		m.wakeTail = s
	}
	m.soon()
}
