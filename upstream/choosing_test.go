package upstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// scribe is a codec, its machine and the stream on it: it writes down what it
// is told.
type scribe struct {
	name     string
	log      *strings.Builder
	buffered int
	conn     wire.Conn
}

func (s *scribe) note(format string, args ...any) {
	fmt.Fprintf(s.log, s.name+" "+format+"\n", args...)
}

func (s *scribe) Open(_ wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	s.conn = dial(s)
	s.note("made")
	return s
}

func (s *scribe) Send(_ *wire.Exchange, _ wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	s.note("send %d %v", len(data), end)
	return s
}

func (s *scribe) OnOpen()                 { s.note("open") }
func (s *scribe) OnData(b []byte)         { s.note("data") }
func (s *scribe) OnEOF()                  {}
func (s *scribe) OnDrained()              {}
func (s *scribe) OnClose(err error)       { s.note("close %v", err) }
func (s *scribe) Close()                  { s.note("end") }
func (s *scribe) Abort(f wire.Failure)    { s.note("abort %v", f.Reason) }
func (s *scribe) Idle() bool              { return true }
func (s *scribe) Room() int               { return 7 }
func (s *scribe) Data(b []byte, end bool) { s.note("more %d %v", len(b), end) }
func (s *scribe) Trailers(t *wire.Head)   { s.note("trailers %s", t.AppendFields(nil)) }
func (s *scribe) Cancel()                 { s.note("cancel") }
func (s *scribe) Pause()                  { s.note("pause") }
func (s *scribe) Resume()                 { s.note("resume") }
func (s *scribe) Buffered() int           { return s.buffered }
func (s *scribe) Loop() wire.Loop         { return nil }

// shakenConn is a connection whose handshake chose a protocol.
type shakenConn struct {
	wire.Conn
	peer    wire.Peer
	handler wire.ConnHandler
}

func (c *shakenConn) Peer() *wire.Peer              { return &c.peer }
func (c *shakenConn) SetHandler(h wire.ConnHandler) { c.handler = h }

// drainedSink hears that the request may go on.
type drainedSink struct {
	wire.ResponseSink
	log *strings.Builder
}

func (s drainedSink) OnRequestDrained() { s.log.WriteString("drained\n") }

func TestChoosing(t *testing.T) {
	t.Parallel()
	var trailers wire.Head
	trailers.AddString(wire.KeyOf("X-Sum"), "1")
	cases := []struct {
		name     string
		protocol string // of the handshake; "-": there is none
		do       func(c wire.ClientConn, sink wire.ResponseSink)
		want     string
	}{
		{"h2", "h2", func(c wire.ClientConn, s wire.ResponseSink) { c.Send(nil, s, nil, true) }, "2 made,2 open"},
		{"http/1.1", "http/1.1", func(wire.ClientConn, wire.ResponseSink) {}, "1 made,1 open"},
		{"nothing chosen", "", func(wire.ClientConn, wire.ResponseSink) {}, "1 made,1 open"},
		{"one exchange waits", "h2", func(c wire.ClientConn, s wire.ResponseSink) {
			st := c.Send(&wire.Exchange{}, s, []byte("ab"), false)
			st.Data([]byte("cde"), false)
			st.Trailers(&trailers)
			if st.Buffered() != 5 || c.Room() != 0 || c.Idle() {
				t.Errorf("buffered %d, room %d, idle %v", st.Buffered(), c.Room(), c.Idle())
			}
		}, "2 made,2 open,2 send 5 false,2 trailers X-Sum: 1\r,"},
		{"whole", "http/1.1", func(c wire.ClientConn, s wire.ResponseSink) {
			c.Send(&wire.Exchange{}, s, []byte("ab"), false).Data(nil, true)
		}, "1 made,1 open,1 send 2 true"},
		{"held", "h2", func(c wire.ClientConn, s wire.ResponseSink) {
			c.Send(&wire.Exchange{}, s, make([]byte, wire.HighWater+1), false)
		}, fmt.Sprintf("2 made,2 open,2 send %d false,drained", wire.HighWater+1)},
		{"closed while it waits", "h2", func(c wire.ClientConn, s wire.ResponseSink) {
			c.Send(&wire.Exchange{}, s, nil, true)
			c.Close()
		}, "2 made,2 open,2 send 0 true,2 end"},
		{"closed", "-", func(c wire.ClientConn, s wire.ResponseSink) { c.Close() }, "1 made,1 end"},
		{"canceled", "-", func(c wire.ClientConn, s wire.ResponseSink) { c.Send(&wire.Exchange{}, s, nil, true).Cancel() },
			"1 made,1 send 0 true,1 cancel"},
		{"takes too long", "-", func(c wire.ClientConn, s wire.ResponseSink) {
			c.Send(&wire.Exchange{}, s, nil, true)
			c.Abort(wire.Failure{Reason: observe.ConnectTimeout})
		}, "1 made,1 send 0 true,1 abort connect_timeout"},
		{"refused", "-", func(c wire.ClientConn, s wire.ResponseSink) {
			c.Send(&wire.Exchange{}, s, nil, true)
			c.(*chooser).OnClose(errors.New("refused"))
		}, "1 made,1 send 0 true,1 close refused"},
	}
	for _, c := range cases {
		var log strings.Builder
		conn := &shakenConn{peer: wire.Peer{TLS: &wire.TLSState{Protocol: c.protocol}}}
		codec := &choosing{&scribe{name: "1", log: &log}, &scribe{name: "2", log: &log}}
		k := codec.Open(nil, func(h wire.ConnHandler) wire.Conn { conn.handler = h; return conn })
		if k.Room() != 1 || !k.Idle() {
			t.Errorf("%s: room %d, idle %v", c.name, k.Room(), k.Idle())
		}
		if c.name == "h2" { // the pool may lend it before it stands, and once only
			if c.do = func(wire.ClientConn, wire.ResponseSink) {}; conn.handler != k.(wire.ConnHandler) {
				t.Error("events do not come to the chooser")
			}
		}
		c.do(k, drainedSink{log: &log})
		if c.protocol != "-" {
			conn.handler.OnOpen()
			if conn.handler == k.(wire.ConnHandler) || k.Room() != 7 {
				t.Errorf("%s: the machine is not in charge", c.name)
			}
		}
		if got := strings.ReplaceAll(strings.TrimSuffix(log.String(), "\n"), "\n", ","); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestChosen: afterwards everything goes to the machine.
func TestChosen(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	conn := &shakenConn{peer: wire.Peer{TLS: &wire.TLSState{Protocol: "h2"}}}
	codec := &choosing{&scribe{name: "1", log: &log}, &scribe{name: "2", log: &log, buffered: 3}}
	k := codec.Open(nil, func(h wire.ConnHandler) wire.Conn { conn.handler = h; return conn })
	st := k.Send(&wire.Exchange{}, drainedSink{log: &log}, nil, false)
	conn.handler.OnOpen()
	log.Reset()
	st.Data([]byte("ab"), false)
	st.Pause()
	st.Resume()
	st.Trailers(&wire.Head{})
	if st.Buffered() != 3 {
		t.Errorf("buffered %d", st.Buffered())
	}
	if other := k.Send(&wire.Exchange{}, drainedSink{log: &log}, nil, true); other == st {
		t.Error("a second exchange shares the first one's stream")
	}
	st.Cancel()
	k.Close()
	want := "2 more 2 false\n2 pause\n2 resume\n2 trailers \n2 send 0 true\n2 cancel\n2 end\n"
	if log.String() != want {
		t.Errorf("%q, want %q", log.String(), want)
	}
}
