package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// script keeps what is said to a stream or a handler, in order.
type script struct{ said []string }

func (s *script) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// expect sees that this, and nothing else, was said since the last time.
func (s *script) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.said, want) {
		t.Errorf("said %q, not %q", s.said, want)
	}
	s.said = nil
}

// stream is both kinds.
type stream struct {
	script
	peer   wire.Peer
	queued int
}

func (s *stream) Loop() wire.Loop     { return nil }
func (s *stream) Peer() *wire.Peer    { return &s.peer }
func (s *stream) Inform(*wire.Head)   {}
func (s *stream) Trailers(*wire.Head) { s.say("trailers") }
func (s *stream) Respond(h *wire.Head, data []byte, end bool) {
	s.say("respond %d %v", h.Status, end)
}
func (s *stream) Data(b []byte, end bool)  { s.say("data %s %v", b, end) }
func (s *stream) Reset(why observe.Reason) { s.say("reset") }
func (s *stream) Pause()                   { s.say("pause") }
func (s *stream) Resume()                  { s.say("resume") }
func (s *stream) Buffered() int            { return s.queued }
func (s *stream) Cancel()                  { s.say("cancel") }

// lent is a connection of a pool.
type lent struct {
	stream
	x    *wire.Exchange
	sink wire.ResponseSink
}

func (l *lent) Send(x *wire.Exchange, sink wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	l.x, l.sink = x, sink
	l.say("%s %s %d %v", x.Request.Method, x.Request.Authority, len(data), end)
	return &l.stream
}
func (l *lent) Close()             {}
func (l *lent) Abort(wire.Failure) {}
func (l *lent) Idle() bool         { return false }
func (l *lent) Room() int          { return 1 }

func (l *lent) answer(status int, end bool) {
	l.x.Response.Status = status
	l.sink.OnResponse(nil, end)
}

// handler keeps events.
type handler struct {
	script
	err error
}

func (h *handler) OnOpen()         { h.say("open") }
func (h *handler) OnData(b []byte) { h.say("data %s", b) }
func (h *handler) OnEOF()          { h.say("eof") }
func (h *handler) OnDrained()      { h.say("drained") }
func (h *handler) OnClose(err error) {
	h.say("close")
	h.err = err
}

var addr = netip.MustParseAddrPort("10.0.0.1:15008")

func dial() (*lent, *handler, wire.Conn) {
	l, h := &lent{}, &handler{}
	return l, h, Tunnels{}.Dial(l, nil, addr, "10.0.0.1:9002", h)
}

func TestDialled(t *testing.T) {
	t.Parallel()
	l, h, c := dial()
	l.expect(t, "CONNECT 10.0.0.1:9002 0 false")
	c.Write([]byte("a"), []byte("b"))
	if c.Buffered() != 2 {
		t.Errorf("%d bytes wait", c.Buffered())
	}
	l.expect(t) // before it is granted nothing is sent
	l.answer(200, false)
	l.expect(t, "data ab false")
	h.expect(t, "open")
	l.sink.OnResponseData([]byte("c"), false)
	l.sink.OnRequestDrained()
	h.expect(t, "data c", "drained")
	c.CloseWrite()
	c.Write([]byte("too late"), nil)
	l.expect(t, "data  true")
	l.sink.OnResponseData([]byte("d"), true)
	h.expect(t, "data d", "eof")
	c.Close()
	c.Abort()
	l.expect(t) // both ends have ended: the stream is not ours any more
	if l.queued = 5; c.Buffered() != 0 {
		t.Error("a stream that has ended was asked")
	}
}

func TestDialledEnds(t *testing.T) {
	t.Parallel()
	// Closed while the other side goes on: what comes is not wanted.
	l, h, c := dial()
	l.answer(200, false)
	c.Close()
	l.sink.OnResponseData([]byte("x"), true)
	l.expect(t, "CONNECT 10.0.0.1:9002 0 false", "data  true", "cancel")
	h.expect(t, "open")

	// Given up before it is granted.
	l, h, c = dial()
	c.Abort()
	l.expect(t, "CONNECT 10.0.0.1:9002 0 false", "cancel")
	h.expect(t)

	// Ended before it is granted.
	l, _, c = dial()
	c.CloseWrite()
	l.answer(200, false)
	l.expect(t, "CONNECT 10.0.0.1:9002 0 false", "data  true")

	// Granted and ended at once.
	l, h, _ = dial()
	l.answer(200, true)
	h.expect(t, "open", "eof")
}

func TestDialledFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fail  func(*lent)
		why   observe.Reason
		stale bool
		text  string
	}{
		{"nobody listens behind the proxy", func(l *lent) { l.answer(503, true) }, observe.ConnectRefused, false, "connect 10.0.0.1:15008: the proxy of the endpoint does not grant a tunnel: status 503"},
		{"a policy", func(l *lent) { l.answer(403, true) }, observe.PolicyDenied, false, "status 403"},
		{"another port", func(l *lent) { l.answer(421, true) }, observe.ConnectFailed, false, "status 421"},
		{"no connection", func(l *lent) {
			l.sink.OnResponseAbort(wire.Failure{Err: &wire.DialError{Addr: addr, Err: syscall.ETIMEDOUT}, Unsent: true})
		}, observe.ConnectTimeout, false, "connect 10.0.0.1:15008: connection timed out"},
		{"a stale connection", func(l *lent) { l.sink.OnResponseAbort(wire.Failure{Reused: true}) }, observe.ConnectFailed, true, "was closed meanwhile"},
	} {
		l, h, conn := dial()
		c.fail(l)
		h.expect(t, "close")
		var d *wire.DialError
		if why := wire.DialReason(h.err); why != c.why || errors.Is(h.err, wire.ErrStale) != c.stale || !errors.As(h.err, &d) || !strings.Contains(h.err.Error(), c.text) {
			t.Errorf("%s: %v, %v", c.name, why, h.err)
		}
		l.said = nil
		conn.Abort()
		l.expect(t)
	}
	// One that stood is reset.
	l, h, _ := dial()
	l.answer(200, false)
	l.sink.OnResponseAbort(wire.Failure{})
	h.expect(t, "open", "close")
	var d *wire.DialError
	if errors.As(h.err, &d) || h.err == nil {
		t.Errorf("%v", h.err)
	}
}

// accept makes an accepted tunnel; over counts how often its exchange was let go.
func accept(explain bool) (s *stream, h *handler, c wire.Conn, sink wire.RequestSink, over *int) {
	s, h, over = &stream{}, &handler{}, new(int)
	c, sink = Tunnels{}.Accept(&wire.Exchange{}, s, explain, func() { *over++ })
	c.SetHandler(h)
	return s, h, c, sink, over
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	s, h, c, sink, over := accept(false)
	c.Pause()
	s.expect(t, "pause")
	c.Resume()
	s.expect(t, "respond 101 false", "resume")
	sink.OnRequestData([]byte("a"), false)
	sink.OnResponseDrained()
	h.expect(t, "data a", "drained")
	c.Write([]byte("b"), []byte("c"))
	s.expect(t, "data b false", "data c false")
	sink.OnRequestData([]byte("d"), true)
	h.expect(t, "data d", "eof")
	c.Write([]byte("still"), nil)
	if *over != 0 {
		t.Error("over while one direction goes on")
	}
	c.CloseWrite()
	s.expect(t, "data still false", "data  true")
	c.Close()
	sink.OnRequestAbort(observe.ClientGone)
	s.expect(t)
	h.expect(t)
	if *over != 1 {
		t.Errorf("over %d times", *over)
	}
}

func TestAcceptedEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(wire.Conn, wire.RequestSink)
		want []string
		told []string
		// explain: the client is no proxy.
		explain bool
	}{
		{"refused", func(c wire.Conn, _ wire.RequestSink) { c.Abort() }, []string{"respond 503 true"}, nil, false},
		{"forbidden", func(c wire.Conn, _ wire.RequestSink) { c.(wire.Refuser).Refuse(observe.PolicyDenied); c.Abort() }, []string{"respond 403 true"}, nil, false},
		{"reset", func(c wire.Conn, _ wire.RequestSink) { c.Resume(); c.Abort() }, []string{"respond 101 false", "resume", "reset"}, nil, false},
		{"closed", func(c wire.Conn, _ wire.RequestSink) { c.Resume(); c.Close() }, []string{"respond 101 false", "resume", "data  true", "reset"}, nil, false},
		{"the client is gone", func(c wire.Conn, s wire.RequestSink) { s.OnRequestAbort(observe.ClientGone); c.Write([]byte("x"), nil) }, nil, []string{"close"}, false},
		{"refused, and told why", func(c wire.Conn, _ wire.RequestSink) { c.(wire.Refuser).Refuse(observe.OutboundRefused); c.Abort() }, []string{"respond 502 true"}, nil, true},
		{"refused for nothing that could be told", func(c wire.Conn, _ wire.RequestSink) { c.Abort() }, []string{"respond 503 true"}, nil, true},
	} {
		s, h, conn, sink, over := accept(c.explain)
		c.end(conn, sink)
		s.expect(t, c.want...)
		h.expect(t, c.told...)
		if *over != 1 {
			t.Errorf("%s: over %d times", c.name, *over)
		}
	}
}

// rankedHandler is one that can wait.
type rankedHandler struct{ handler }

func (*rankedHandler) Rank() wire.Rank { return wire.RankLast }

// TestRank: a tunnel matters as much as what is in it.
func TestRank(t *testing.T) {
	t.Parallel()
	d := &dialled{handler: &handler{}}
	if got := wire.RankOf(d); got != wire.RankFirst {
		t.Errorf("rank %d, where nothing is known", got)
	}
	d.SetHandler(&rankedHandler{})
	if got := wire.RankOf(d); got != wire.RankLast {
		t.Errorf("rank %d, want that of the handler", got)
	}
}
