package http2

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// caller owns one connection to a service and sends requests on it.
type caller struct {
	loop  *fakeLoop
	conn  *fakeConn
	c     wire.ClientConn
	log   strings.Builder
	call  *call
	calls []*call
	// again sends another request from within the last event, as pools do.
	again bool
	gone  bool
}

func newCaller(loop *fakeLoop) *caller {
	o := &caller{loop: loop}
	o.c = New(1).Open(o, func(h wire.ConnHandler) wire.Conn {
		o.conn = newFakeConn(loop)
		o.conn.handler = h
		return o.conn
	})
	return o
}

func (o *caller) OnOpen(wire.ClientConn) { o.log.WriteString("open\n") }
func (o *caller) OnIdle(c wire.ClientConn) {
	fmt.Fprintf(&o.log, "idle room=%d idle=%v\n", c.Room(), c.Idle())
}

func (o *caller) OnGone(c wire.ClientConn, err error) {
	if o.gone || c.Idle() {
		panic("gone twice, or still idle")
	}
	o.gone = true
	o.log.WriteString("gone\n")
}

// send starts a try: "METHOD TARGET [length N|chunked|upgrade P|field LINE]... [data]".
func (o *caller) send(spec string) {
	words := strings.Fields(spec)
	c := &call{owner: o}
	h := &c.x.Request
	h.Method = []byte(words[0])
	path, query, has := strings.Cut(words[1], "?")
	h.Path, h.Query, h.HasQuery = []byte(path), []byte(query), has
	h.Authority = []byte("svc")
	h.AddString(wire.KeyOf("X-Test"), "1")
	end := true
	var data []byte
	for i := 2; i < len(words); i++ {
		switch words[i] {
		case "length":
			i++
			h.Length, _ = strconv.ParseInt(words[i], 10, 64)
			end = false
		case "chunked":
			h.Length = -1
			end = false
		case "whole":
			end = true
		case "upgrade":
			i++
			c.x.Upgrade = []byte(words[i])
		case "field":
			i++
			name, value, _ := strings.Cut(words[i], ":")
			h.AddString(wire.KeyOf(name), value)
		default:
			data = append(data, words[i]...)
		}
	}
	o.call = c
	o.calls = append(o.calls, c)
	c.stream = o.c.Send(&c.x, c, data, end)
}

// call is one try.
type call struct {
	owner  *caller
	x      wire.Exchange
	stream wire.ClientStream
	body   []byte
	over   bool
	began  bool
}

func (c *call) mustBeOpen() {
	if c.over {
		panic("event after the end of the try")
	}
}

func (c *call) OnInform(h *wire.Head) {
	c.mustBeOpen()
	fmt.Fprintf(&c.owner.log, "inform %d %q\n", h.Status, h.AppendFields(nil))
}

func (c *call) OnResponse(data []byte, end bool) {
	c.mustBeOpen()
	c.began = true
	if _, ok := c.x.Response.Get(wire.KeyOf("X-Pause")); ok {
		c.stream.Pause()
		c.owner.loop.Post(c.stream.Resume)
	}
	if _, ok := c.x.Response.Get(wire.KeyOf("X-Cancel")); ok {
		c.over = true
		c.stream.Cancel()
		c.owner.log.WriteString("canceled\n")
		return
	}
	c.take(data, end, "")
}

func (c *call) OnResponseData(data []byte, end bool) {
	c.mustBeOpen()
	c.take(data, end, "")
}

func (c *call) OnResponseTrailers(t *wire.Head) {
	c.mustBeOpen()
	c.take(nil, true, fmt.Sprintf(" trailers=%q", t.AppendFields(nil)))
}

func (c *call) OnResponseAbort(f wire.Failure) {
	c.mustBeOpen()
	c.over = true
	fmt.Fprintf(&c.owner.log, "abort %s of=%s", f.Reason, c.x.Request.Path)
	if f.Unsent {
		c.owner.log.WriteString(" unsent")
	}
	if f.Reused {
		c.owner.log.WriteString(" reused")
	}
	if f.Seen {
		c.owner.log.WriteString(" seen")
	}
	c.owner.log.WriteByte('\n')
}

func (c *call) OnRequestDrained() {
	c.mustBeOpen()
	c.owner.log.WriteString("drained\n")
}

func (c *call) take(data []byte, end bool, more string) {
	c.body = append(c.body, data...)
	if !end {
		return
	}
	c.over = true
	h := &c.x.Response
	fmt.Fprintf(&c.owner.log, "response %d length=%d", h.Status, h.Length)
	fmt.Fprintf(&c.owner.log, " of=%s", c.x.Request.Path)
	if f := h.AppendFields(nil); len(f) > 0 {
		fmt.Fprintf(&c.owner.log, " fields=%q", f)
	}
	if len(c.body) > 0 {
		fmt.Fprintf(&c.owner.log, " body=%q", c.body)
	}
	c.owner.log.WriteString(more + "\n")
	if c.owner.again && !c.owner.gone {
		c.owner.again = false
		c.owner.send("GET /again")
	}
}

func TestClientTranscripts(t *testing.T) {
	t.Parallel()
	runTranscripts(t, "client", func(t *testing.T, steps []stepIn, c split) (string, string) {
		loop := &fakeLoop{}
		o := newCaller(loop)
		for i, step := range steps {
			verb, arg, _ := strings.Cut(step.do, " ")
			switch verb {
			case "":
				c.give(o.conn, i, step.bytes)
			case "open":
				o.conn.handler.OnOpen()
			case "send":
				o.send(arg)
			case "on":
				n, _ := strconv.Atoi(arg)
				o.call = o.calls[n]
			case "again":
				o.again = true
			case "data":
				o.call.stream.Data([]byte(arg), false)
			case "end":
				o.call.stream.Data([]byte(arg), true)
			case "trailers":
				var h wire.Head
				h.AddString(wire.KeyOf("X-Sum"), "1")
				o.call.stream.Trailers(&h)
			case "cancel":
				o.call.over = true
				o.call.stream.Cancel()
			case "shut":
				o.c.Close()
			case "abort":
				o.c.Abort(wire.Failure{Reason: observe.UpstreamTimeout})
			case "refused":
				o.conn.lose(&wire.DialError{Addr: netip.AddrPort{}, Err: syscall.ECONNREFUSED})
			case "unreachable":
				o.conn.lose(&wire.DialError{Err: syscall.EHOSTUNREACH})
			case "timedout":
				o.conn.lose(&wire.DialError{Err: syscall.ETIMEDOUT})
			case "untrusted":
				o.conn.lose(&wire.DialError{TLS: true, Err: errors.New("bad certificate")})
			default:
				common(t, o.conn, step.do)
			}
			loop.turn()
		}
		return shown(o.conn), o.log.String()
	})
}
