package http1

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// One timer serves all bounds of a connection. It is never moved later: when
// it fires, what is due is worked out from when the states began, and it is
// armed for the rest. A busy connection so arms it once in many requests.

// patience is how long the inbound state may last from server.at on; negative
// is for ever.
func (m *server) patience() time.Duration {
	switch m.in {
	case inHead:
		if (m.x != nil || m.served == 0) && m.lim.Head >= 0 {
			return m.lim.Head
		}
		if m.x != nil {
			return -1
		}
		return m.lim.Idle
	case inBody:
		if m.hung || !m.held && !m.asked {
			return m.lim.Body
		}
	case inDrain:
		return m.lim.Body
	case inWait:
		switch {
		case !m.eof && !m.hung:
		case m.out == outNone:
			return lingering
		default:
			return m.lim.Body
		}
	}
	return -1
}

// expect makes sure that the timer fires when d has passed since server.at,
// or before.
func (m *server) expect(d time.Duration) {
	if d >= 0 {
		m.wake(m.at + d)
	}
}

// wake makes sure that the timer fires at due or before.
func (m *server) wake(due time.Duration) {
	if m.timer.Armed() && m.timer.Due() <= due {
		return
	}
	m.loc.loop.Arm(&m.timer, due-m.loc.loop.Now())
}

// OnTimer looks at what is due.
func (m *server) OnTimer(*wire.Timer) {
	m.busy = true
	m.tick(m.loc.loop.Now())
	m.leave()
}

func (m *server) tick(now time.Duration) {
	m.taken()
	if m.pending > 0 && m.bounded() {
		if now-m.progress >= m.lim.Write {
			m.abandon(observe.WriteTimeout)
			m.shut(abort)
			return
		}
		m.wake(m.progress + m.lim.Write)
	}
	d := m.patience()
	if d < 0 {
		return
	}
	if m.in == inWait && m.pending > 0 {
		m.at = now // it has something to take, and its time for that
	}
	if now-m.at < d {
		m.expect(d)
		return
	}
	switch in := m.in; {
	case in == inHead:
		if m.x == nil {
			m.shut(orderly)
		} else {
			m.fail(observe.HeadTimeout)
		}
	case in == inBody && !m.held:
		m.fail(observe.BodyTimeout)
	case in == inDrain:
		m.shut(finish)
	case in == inBody, in == inWait:
		m.abandon(observe.ClientGone)
		m.shut(abort)
	}
}

// write sends a and b and watches whether the client takes them.
func (m *server) write(a, b []byte) {
	m.conn.Write(a, b)
	if m.hung || m.eof {
		m.at = m.loc.loop.Now()
	}
	m.watch()
}

// bounded says whether the client must take what is sent within a time. What a
// CONNECT leads to has bounds of its own.
func (m *server) bounded() bool { return m.lim.Write >= 0 && m.out < outConnect }

// watch starts the clock when output waits, and notes progress.
func (m *server) watch() {
	n := uint32(m.conn.Buffered())
	if n == 0 {
		m.pending = 0
		return
	}
	if m.pending == 0 {
		m.progress = m.loc.loop.Now()
		if m.bounded() {
			m.wake(m.progress + m.lim.Write)
		}
	}
	m.pending = n
}

// taken notes whether the client took some of the output since the last look.
// It is called between writes, when only the client can change what waits.
func (m *server) taken() {
	if m.pending == 0 {
		return
	}
	if n := uint32(m.conn.Buffered()); n < m.pending {
		m.pending = n
		m.progress = m.loc.loop.Now()
	}
}
