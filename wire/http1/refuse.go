package http1

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// refuse answers with the problem document of why and ends the connection.
// The answer to HEAD has no body. A reason without a status gets no answer.
func (l *local) refuse(c wire.Conn, why observe.Reason, toHEAD bool) {
	status := why.Info().Status
	if status < 400 {
		c.Abort()
		return
	}
	body := wire.Problem(why)
	out := append(l.out[:0], statusLine(status)...)
	out = append(out, "Content-Type: "+wire.ProblemType+"\r\nConnection: close\r\n"...)
	out = append(out, l.date.Line(l.loop)...)
	out = appendLength(out, int64(len(body)))
	out = append(out, "\r\n"...)
	l.out = out
	if toHEAD {
		body = nil
	}
	c.Write(out, body)
	c.Finish()
}

// Refuse is wire.ServerCodec's.
func (c *Codec) Refuse(conn wire.Conn, why observe.Reason) {
	conn.SetHandler(wire.Deaf{})
	c.local(conn.Loop()).refuse(conn, why, false)
}
