package proxy

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// mirror is a copy of a request on its way to a service whose answer nobody
// wants. It never holds up the request: a mirror that cannot keep pace is
// given up.
type mirror struct {
	wire.Exchange
	w      *worker
	of     *exchange // nil once the request has let it go
	counts *observe.Mirrored
	client wire.ClientStream
	timer  wire.Timer
	ended  bool // the request is complete
}

// mirrorTime bounds a mirror's whole life.
const mirrorTime = 60 * time.Second

// copyTo starts the mirrors of a list.
func (x *exchange) copyTo(list []mirrorTo, data []byte, end bool) {
	for i := range list {
		to := &list[i]
		if to.cluster == nil || !x.w.chance(to.n, to.of) {
			continue
		}
		counts := to.counted(x.w)
		conn, _, why := to.cluster.Pick(x.w.loop, &upstream.Ask{Untold: true, Class: upstream.Low, Once: true})
		if conn == nil {
			counts.Failed(why)
			continue
		}
		m := x.w.mirror()
		m.counts = counts
		m.Request.CopyFrom(&x.Request)
		if to.host != "" {
			m.Request.Authority = m.Request.Keep([]byte(to.host))
		}
		m.ended = end
		x.w.loop.Arm(&m.timer, mirrorTime)
		if m.client = conn.Send(&m.Exchange, m, data, end); !end {
			m.of = x
			x.mirrors = append(x.mirrors, m)
		}
	}
}

// counted gives what w counts of the copies.
func (to *mirrorTo) counted(w *worker) *observe.Mirrored {
	c := to.counts[w.index]
	if c == nil {
		c = w.proxy.opt.Registry.Mirrored(to.service, w.index)
		to.counts[w.index] = c
	}
	return c
}

func (w *worker) mirror() *mirror {
	if n := len(w.spare); n > 0 {
		m := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return m
	}
	m := &mirror{w: w}
	m.timer.Handler = m
	return m
}

// data passes on more of the body.
func (m *mirror) data(b []byte, end bool) {
	if m.client == nil || m.ended {
		return
	}
	m.ended = end
	m.client.Data(b, end)
	if m.client.Buffered() > highWater {
		m.counts.GivenUp(observe.Behind)
		m.client.Cancel()
		m.over()
	}
}

// abandon is called when the request ends. A copy that is complete goes on.
func (m *mirror) abandon() {
	m.of = nil
	switch {
	case m.client == nil:
		m.recycle()
	case !m.ended:
		m.counts.GivenUp(observe.Incomplete)
		m.client.Cancel()
		m.over()
	}
}

// over ends the mirror; the request, if it still knows it, lets go later.
func (m *mirror) over() {
	m.w.loop.Disarm(&m.timer)
	m.client = nil
	if m.of == nil {
		m.recycle()
	}
}

func (m *mirror) recycle() {
	m.Request.Reset()
	m.Response.Reset()
	m.ended, m.counts = false, nil
	if len(m.w.spare) < keepFree {
		m.w.spare = append(m.w.spare, m)
	}
}

// OnTimer gives up a mirror that takes too long.
func (m *mirror) OnTimer(*wire.Timer) {
	if c := m.client; c != nil {
		m.counts.Failed(observe.UpstreamTimeout)
		c.Cancel()
		m.over()
	}
}

// The answer is read, so that the connection can be used again, and forgotten.

func (m *mirror) OnInform(*wire.Head)               {}
func (m *mirror) OnResponse(_ []byte, end bool)     { m.more(end) }
func (m *mirror) OnResponseData(_ []byte, end bool) { m.more(end) }
func (m *mirror) OnResponseTrailers(*wire.Head)     { m.more(true) }
func (m *mirror) OnResponseAbort(f wire.Failure) {
	m.counts.Failed(f.Reason)
	m.over()
}
func (m *mirror) OnRequestDrained() {}

func (m *mirror) more(end bool) {
	if end {
		m.counts.Answered(m.Response.Status)
		m.over()
	}
}
