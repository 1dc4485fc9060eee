package http1

import (
	"encoding/json"
	"strconv"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// refusal is a complete answer to what is refused before anyone else saw it.
type refusal struct {
	head, body []byte
}

// newRefusals makes the answers for all reasons with a status: a problem
// document (RFC 9457) and the end of the connection.
func newRefusals() *[observe.Reasons]refusal {
	var all [observe.Reasons]refusal
	for r := range all {
		info := observe.Reason(r).Info()
		if info.Status < 400 {
			continue
		}
		body, err := json.Marshal(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
			Code   string `json:"code"`
		}{"urn:naru:reason:" + info.Code, info.Title, info.Status, info.Code})
		if err != nil {
			continue // cannot be: strings and a number
		}
		head := append([]byte(nil), statusLine(info.Status)...)
		head = append(head, "Content-Type: application/problem+json\r\nConnection: close\r\nContent-Length: "...)
		head = strconv.AppendInt(head, int64(len(body)), 10)
		all[r] = refusal{head: head, body: body}
	}
	return &all
}

// refuse writes the answer for why and ends the connection. The answer to
// HEAD has no body.
func (l *local) refuse(c wire.Conn, r *refusal, toHEAD bool) {
	if len(r.head) == 0 {
		c.Abort()
		return
	}
	l.out = append(l.out[:0], r.head...)
	l.out = append(l.out, "\r\n"...)
	l.out = append(l.out, l.dateLine()...)
	l.out = append(l.out, "\r\n"...)
	body := r.body
	if toHEAD {
		body = nil
	}
	c.Write(l.out, body)
	c.Finish()
}

// Refuse is wire.ServerCodec's.
func (c *Codec) Refuse(conn wire.Conn, why observe.Reason) {
	conn.SetHandler(deaf{})
	c.local(conn.Loop()).refuse(conn, &c.refusals[why], false)
}

// deaf hears nothing: the handler of a connection that is being refused.
type deaf struct{}

func (deaf) OnOpen()       {}
func (deaf) OnData([]byte) {}
func (deaf) OnEOF()        {}
func (deaf) OnDrained()    {}
func (deaf) OnClose(error) {}
