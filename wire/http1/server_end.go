package http1

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// lingering is how long a client that has ended its side is waited for, while
// nothing of its response is there. Most that do so have given up (a close looks
// the same until something is sent), and what they have asked for should not be
// worked on; a few end what they send and read on (shutdown(2), nc -N).
const lingering = 2 * time.Second

// OnEOF: the client will send no more. A complete request is still answered, if
// that begins within lingering and goes on: an answer that stalls for as long as the
// client might have between two pieces of a body is one that nobody may wait for.
func (m *server) OnEOF() {
	m.busy = true
	if m.in != inClosed {
		m.feed(nil)
	}
	m.eof = true
	switch m.in {
	case inHead, inDrain:
		m.abandon(observe.ClientGone)
		m.shut(orderly)
	case inBody:
		m.abandon(observe.ClientGone)
		m.shut(abort)
	case inWait:
		m.last = true
		m.at = m.loc.loop.Now()
		m.expect(m.patience())
	case inTunnel:
		m.tellEnd()
	}
	m.leave()
}

// OnHangUp: the client will send no more, and what it has sent waits. Where some of
// the request is surely missing, it is gone. Otherwise it may be one that has ended
// what it sends and reads on, and it is the proxy that does not take its body: it has
// the time of a piece of that, from each piece that is taken or sent to it.
func (m *server) OnHangUp(unread int) {
	m.busy = true
	if m.kept != nil {
		unread += len(m.kept.b) - m.kept.off
	}
	if !m.hung {
		m.hung = true
		m.at = m.loc.loop.Now()
	}
	if m.in == inBody && m.body.least() > int64(unread) {
		m.abandon(observe.ClientGone)
		m.shut(abort)
	} else {
		m.expect(m.patience())
	}
	m.leave()
}

// tellEnd tells the end of a tunnel's inbound side, once.
func (m *server) tellEnd() {
	if m.eof && !m.told && m.kept == nil {
		m.told = true
		m.sink.OnRequestData(nil, true)
		m.bothEnded()
	}
}

// bothEnded ends the tunnel of a CONNECT once each direction has ended.
func (m *server) bothEnded() {
	if m.in == inTunnel && m.out == outHalf && m.told {
		m.x, m.sink = nil, nil
		m.shut(orderly)
	}
}

// OnClose: the client is gone.
func (m *server) OnClose(error) {
	m.busy = true
	m.loc.loop.Disarm(&m.timer)
	m.abandon(observe.ClientGone)
	m.in = inClosed
	m.leave()
}

// abandon ends the exchange, if there is one, without a response. Before the
// sink was called the exchange goes back through Refused.
func (m *server) abandon(why observe.Reason) {
	x, sink := m.x, m.sink
	m.x, m.sink = nil, nil
	switch {
	case x == nil:
	case m.in == inHead:
		m.srv.Refused(x, sink, why)
	default:
		sink.OnRequestAbort(why)
	}
}

// fail ends the connection because the request is not acceptable: with an
// answer while none has begun.
func (m *server) fail(why observe.Reason) {
	if m.x == nil || m.out != outNone {
		m.abandon(why)
		m.shut(abort)
		return
	}
	x, sink := m.x, m.sink
	m.x, m.sink = nil, nil
	x.Response.Status = why.Info().Status
	if !m.toHEAD {
		x.BytesOut = int64(len(wire.Problem(why)))
	}
	m.in = inClosed
	m.loc.loop.Disarm(&m.timer)
	m.loc.refuse(m.conn, why, m.toHEAD)
	m.srv.Refused(x, sink, why)
}

// ending is a way to end a connection.
type ending uint8

const (
	orderly ending = iota // the client sends no more, or said so
	finish                // it may be sending: let it read the answer first
	abort                 // it must be able to tell that something is missing
)

// shut gives the connection up. Gone is told on the way out, or from the
// loop's top when the proxy called.
func (m *server) shut(how ending) {
	if m.in == inClosed {
		return
	}
	m.in = inClosed
	m.loc.loop.Disarm(&m.timer)
	switch how {
	case orderly:
		m.conn.Close()
	case finish:
		m.conn.Finish()
	case abort:
		m.conn.Abort()
	}
	m.soon()
}

// soon has later called, unless the machine is running anyway.
func (m *server) soon() {
	if !m.busy && !m.queued {
		m.queued = true
		m.loc.later(m)
	}
}
