package http2

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// asked is a wire.Server of one request, and its sink.
type asked struct {
	x      wire.Exchange
	stream wire.ServerStream
	said   []string
	gone   int
}

func (a *asked) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	a.stream = s
	return &a.x, a
}
func (a *asked) Refused(_ *wire.Exchange, _ wire.RequestSink, why observe.Reason) {
	a.said = append(a.said, "refused "+why.String())
}
func (a *asked) Gone(wire.ServerStream) { a.gone++ }
func (a *asked) Draining() bool         { return false }
func (a *asked) OnRequest(b []byte, end bool) {
	a.said = append(a.said, "request "+string(a.x.Request.Method)+" "+string(a.x.Request.Authority))
}
func (a *asked) OnRequestData(b []byte, end bool) {
	text := "data " + string(b)
	if end {
		text += " end"
	}
	a.said = append(a.said, text)
}
func (a *asked) OnRequestTrailers(*wire.Head) { a.said = append(a.said, "trailers") }
func (a *asked) OnRequestAbort(why observe.Reason) {
	a.said = append(a.said, "abort "+why.String())
}
func (a *asked) OnResponseDrained() {}

// connect serves a client that asks for a tunnel, and says it. The answer is
// the test's.
func connect(t *testing.T, lim wire.Limits) (*asked, *fakeLoop, *fakeConn, *scribe) {
	t.Helper()
	l := &fakeLoop{}
	conn := &fakeConn{loop: l}
	l.conns = append(l.conns, conn)
	a := &asked{}
	New(1).Serve(conn, a, &lim)
	s := newScribe()
	in := []byte(Preface)
	for _, line := range []string{"SETTINGS", "HEADERS 1 end_headers :method=CONNECT :authority=10.0.0.1:9002"} {
		in = append(in, s.frames(t, line)...)
	}
	conn.handler.OnData(in)
	l.turn()
	return a, l, conn, s
}

// grant answers 200 as a proxy does.
func (a *asked) grant() {
	a.x.Response.Status, a.x.Response.Length = 101, -1
	a.stream.Respond(&a.x.Response, nil, false)
}

func TestConnectEnds(t *testing.T) {
	t.Parallel()
	lim := testLimits
	if a, _, _, _ := connect(t, lim); strings.Join(a.said, ",") != "refused bad_upgrade" {
		t.Errorf("where it is not let in: %q", a.said)
	}
	lim.Connect = true
	for _, c := range []struct {
		name string
		do   func(a *asked, send func(string))
		want string // events
		gone int    // streams
	}{
		{"the client ends first", func(a *asked, send func(string)) {
			send("DATA 1 end_stream hello")
			a.stream.Data([]byte("still"), false)
			a.stream.Data(nil, true)
		}, "data hello end", 1},
		{"we end first", func(a *asked, send func(string)) {
			a.stream.Data([]byte("bye"), true)
			send("DATA 1 more")
			send("DATA 1 end_stream")
		}, "data more,data  end", 1},
		{"one direction only", func(a *asked, send func(string)) {
			a.stream.Data(nil, true)
			send("DATA 1 more")
		}, "data more", 0},
		{"paused while the end comes", func(a *asked, send func(string)) {
			a.stream.Pause()
			send("DATA 1 end_stream late")
			a.stream.Data(nil, true)
			a.stream.Resume()
		}, "data late end", 1},
		{"reset after our end", func(a *asked, send func(string)) {
			a.stream.Data(nil, true)
			send("RST_STREAM 1 8")
		}, "abort client_gone", 1},
		{"we reset after its end", func(a *asked, send func(string)) {
			send("DATA 1 end_stream")
			a.stream.Reset(observe.ClientGone)
		}, "data  end", 1},
	} {
		a, l, conn, s := connect(t, lim)
		if strings.Join(a.said, ",") != "request CONNECT 10.0.0.1:9002" {
			t.Fatalf("%s: %q", c.name, a.said)
		}
		a.said = nil
		a.grant()
		l.turn()
		c.do(a, func(line string) {
			conn.handler.OnData(s.frames(t, line))
			l.turn()
		})
		l.turn()
		if got := strings.Join(a.said, ","); got != c.want || a.gone != c.gone || conn.ended != "" {
			t.Errorf("%s: %q, %d streams gone, connection %q", c.name, got, a.gone, conn.ended)
		}
	}
}
