package http2

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// One timer serves all bounds of a client's connection. It is never moved
// later: when it fires, what is due is worked out from when things began, and
// it is armed for the next. A service's connection has no bounds of its own:
// the proxy has them for each exchange.

// perTurn is how many streams of a connection are ended at once, which closes as
// many connections to services; soonEnough later it is the next ones' turn, and
// others have had theirs.
const (
	perTurn    = 8
	soonEnough = time.Millisecond
)

// farewellTime is how long a client may take to hear GOAWAY.
const farewellTime = time.Second

func (m *session) headBound() time.Duration {
	if m.client {
		return -1
	}
	return m.lim.Head
}

func (m *session) writeBound() time.Duration {
	if m.client {
		return -1
	}
	return m.lim.Write
}

// wakeAt makes sure that the timer fires when d has passed since at, or
// before; negative d is never.
func (m *session) wakeAt(at, d time.Duration) {
	if d < 0 || m.client || m.closed || m.timer.Armed() && m.due <= at+d {
		return
	}
	m.due = at + d
	m.loc.loop.Arm(&m.timer, m.due-m.loc.loop.Now())
}

// expectBody starts the clock of a request's body.
func (m *session) expectBody(s *stream) {
	if !m.client && m.awaits(s) {
		m.wakeAt(s.at, m.lim.Body)
	}
}

// awaits says whether it is the client's turn to send more of s's body.
func (m *session) awaits(s *stream) bool {
	return !s.inEnd && !s.closed && s.x != nil && !s.held && !s.asked && !s.tunnel && !s.upgrade && s.in.Len() == 0
}

// OnTimer looks at what is due.
func (m *session) OnTimer(*wire.Timer) {
	m.busy = true
	m.taken()
	if !m.closed {
		m.tick(m.loc.loop.Now())
	}
	m.leave()
}

func (m *session) tick(now time.Duration) {
	over := func(at, d time.Duration) bool {
		if d < 0 {
			return false
		}
		if now-at >= d {
			return true
		}
		m.wakeAt(at, d)
		return false
	}
	if m.leaveAt > 0 && !m.retiring && !m.final && over(m.leaveAt, 0) {
		m.retire()
	}
	switch {
	case m.eof && over(m.left, lingering):
		m.why = observe.ClientGone
		m.shut(abort)
		return
	case m.pending > 0 && over(m.progress, m.lim.Write):
		m.why = observe.WriteTimeout
		m.shut(abort)
		return
	case !m.prefaced && m.kept == nil && over(m.partAt, m.lim.Head):
		m.shut(orderly) // nothing came
		return
	case (!m.greeted || m.kept != nil || m.blockID != 0) && over(m.partAt, m.lim.Head):
		m.why = observe.HeadTimeout
		m.broken(codeEnhanceYourCalm)
		return
	case m.retiring && !m.final && over(m.bye, farewellTime):
		m.finalGoAway()
	case m.streams.n == 0 && over(m.at, m.lim.Idle):
		m.final = true
		m.out = appendGoAway(m.room(), m.last, codeNone)
		m.shut(orderly)
		return
	}
	unread := func(s *stream) bool { return s.out.Len() > 0 && over(s.progress, m.lim.Write) }
	most := perTurn
	for s := m.streams.first(unread); s != nil; s = m.streams.first(unread) {
		if most--; most < 0 {
			m.wakeAt(now, soonEnough)
			return
		}
		m.out = appendReset(m.room(), s.id, codeCancel)
		if s.x == nil {
			m.complain(observe.WriteTimeout)
		}
		m.lose(s, true, observe.WriteTimeout)
	}
	unsent := func(s *stream) bool { return m.awaits(s) && over(s.at, m.lim.Body) }
	for s := m.streams.first(unsent); s != nil; s = m.streams.first(unsent) {
		if most--; most < 0 {
			m.wakeAt(now, soonEnough)
			return
		}
		m.refuse(s, observe.BodyTimeout)
	}
}

// watch starts the clock when output waits, and notes progress.
func (m *session) watch() {
	n := uint32(m.conn.Buffered())
	if n > 0 && m.pending == 0 {
		m.progress = m.loc.loop.Now()
		m.wakeAt(m.progress, m.writeBound())
	}
	m.pending = n
}

// taken notes whether the peer took some of the output since the last look. It
// is called between writes, when only the peer can change what waits.
func (m *session) taken() {
	if m.pending == 0 {
		return
	}
	if n := uint32(m.conn.Buffered()); n < m.pending {
		m.pending = n
		m.progress = m.loc.loop.Now()
	}
}
