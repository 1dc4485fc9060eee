package http2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// patient is a Server whose sinks do what a test says.
type patient struct {
	visits []*patience
	why    observe.Reason
}

type patience struct {
	x       wire.Exchange
	stream  wire.ServerStream
	server  *patient
	got     int
	ended   bool
	drained int
	aborted observe.Reason
}

func (p *patient) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &patience{stream: s, server: p}
	p.visits = append(p.visits, v)
	return &v.x, v
}
func (p *patient) Refused(_ *wire.Exchange, _ wire.RequestSink, why observe.Reason) { p.why = why }
func (p *patient) Gone(wire.ServerStream)                                           {}
func (p *patient) Draining() bool                                                   { return false }

func (v *patience) OnRequest(data []byte, end bool) {
	if string(v.x.Request.Path) == "/hold" {
		v.stream.Pause()
	}
	v.OnRequestData(data, end)
}
func (v *patience) OnRequestData(data []byte, end bool) { v.got += len(data); v.ended = end }
func (v *patience) OnRequestTrailers(*wire.Head)        { v.ended = true }
func (v *patience) OnRequestAbort(why observe.Reason)   { v.aborted = why }
func (v *patience) OnResponseDrained()                  { v.drained++ }

func newPatient(t *testing.T) (p *patient, conn *fakeConn, give func(lines string)) {
	p = &patient{}
	conn = newFakeConn(&fakeLoop{})
	New(1).Serve(conn, p, &openLimits)
	sc := newScribe()
	give = func(lines string) {
		t.Helper()
		for line := range strings.Lines(lines) {
			conn.give(sc.frames(t, strings.TrimSpace(line)))
		}
	}
	give("PREFACE")
	return p, conn, give
}

const postTo = ":method=POST :scheme=http :authority=a :path="

func shownSince(t *testing.T, conn *fakeConn) string {
	t.Helper()
	s := newScribe().read(conn.out, nil)
	conn.out = conn.out[:0]
	return s
}

// TestPausedSinkKeepsTheWindow: what a paused sink has not taken is not given
// back, and no more than a window is kept.
func TestPausedSinkKeepsTheWindow(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("HEADERS 1 end_headers " + postTo + "/hold")
	shownSince(t, conn)
	give("*16 DATA 1 size=16384")
	if out := shownSince(t, conn); strings.Contains(out, "WINDOW_UPDATE 1") {
		t.Fatalf("a window update for a paused stream: %s", out)
	}
	v := p.visits[0]
	if v.got != 0 {
		t.Fatalf("%d bytes were told to a sink that has paused", v.got)
	}
	v.stream.Resume()
	conn.loop.turn()
	if v.got != ourWindow || !strings.Contains(shownSince(t, conn), "WINDOW_UPDATE 1 ") {
		t.Fatalf("%d bytes after Resume", v.got)
	}
	v.stream.Pause()
	give("*16 DATA 1 size=16384")
	give("DATA 1 x")
	if out := shownSince(t, conn); !strings.Contains(out, "RST_STREAM 1 FLOW_CONTROL_ERROR") || v.aborted != observe.BadFrame {
		t.Fatalf("more than the window: %s, %v", out, v.aborted)
	}
}

// TestPausedSinkKeepsTheTime: a client has the time for a body anew when its sink goes
// on, however long that had paused, and not for ever.
func TestPausedSinkKeepsTheTime(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("HEADERS 1 end_headers " + postTo + "/hold\nDATA 1 x")
	v := p.visits[0]
	conn.loop.pass(2 * openLimits.Body)
	v.stream.Resume()
	conn.loop.turn()
	conn.loop.pass(openLimits.Body / 2)
	if v.got != 1 || p.why != 0 {
		t.Fatalf("%d bytes were told, then %v", v.got, p.why)
	}
	conn.loop.pass(openLimits.Body)
	if p.why != observe.BodyTimeout {
		t.Fatalf("a client that says nothing more: %v", p.why)
	}
}

// TestFickleTrailers: of a client that takes much back a request with trailers and
// without a body is told before its trailers are.
func TestFickleTrailers(t *testing.T) {
	t.Parallel()
	loop := &fakeLoop{}
	conn, s, sc := newFakeConn(loop), &site{loop: loop}, newScribe()
	New(1).Serve(conn, s, &openLimits)
	conn.give(sc.frames(t, "PREFACE"))
	conn.give(sc.frames(t, fmt.Sprintf("*%d HEADERS # end_headers %s/", fickle, postTo)))
	conn.give(sc.frames(t, fmt.Sprintf("*%d RST_STREAM # 8", fickle)))
	s.log.Reset()
	conn.give(append(sc.frames(t, "HEADERS 21 end_headers "+postTo+"/x"), sc.frames(t, "HEADERS 21 end_stream end_headers x-sum=1")...))
	if got, want := s.log.String(), "request POST path=/x host=a length=-1 body=\"{x-sum: 1\\r\\n}\"\n"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// TestConnectionWindow: paused streams together are kept no more than the
// connection's window of.
func TestConnectionWindow(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	for _, id := range []string{"1", "3", "5", "7", "9"} {
		give("HEADERS " + id + " end_headers " + postTo + "/hold")
	}
	for _, id := range []string{"1", "3", "5", "7"} {
		give("*16 DATA " + id + " size=16384")
	}
	give("DATA 9 x")
	if conn.ended != "finish" || p.visits[0].aborted != observe.BadFrame || !strings.Contains(shownSince(t, conn), "GOAWAY 9 FLOW_CONTROL_ERROR") {
		t.Fatalf("more than the connection's window: %q, %v", conn.ended, p.visits[0].aborted)
	}
}

// TestResponseDrained: a response that cannot go on waits in its stream, and
// its sink is told when it may.
func TestResponseDrained(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("HEADERS 1 end_stream end_headers " + postTo + "/")
	v := p.visits[0]
	h := &v.x.Response
	h.Status, h.Length = 200, -1
	v.stream.Respond(h, make([]byte, 300<<10), false)
	conn.loop.turn()
	if n := v.stream.Buffered(); n <= wire.HighWater {
		t.Fatalf("%d bytes wait: more may come although there is no window", n)
	}
	give("WINDOW_UPDATE 1 1000000")
	if v.drained != 0 || v.stream.Buffered() <= wire.HighWater {
		t.Fatal("sent beyond the connection's window")
	}
	give("WINDOW_UPDATE 0 1000000")
	if v.drained != 1 || v.stream.Buffered() != 0 {
		t.Fatalf("drained %d times, %d bytes wait", v.drained, v.stream.Buffered())
	}
}

// TestStuckConnection: data stop at the high watermark of the connection and
// go on when it has drained.
func TestStuckConnection(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("SETTINGS 4=10000000\nWINDOW_UPDATE 0 10000000\nHEADERS 1 end_stream end_headers " + postTo + "/")
	conn.stuck = true
	v := p.visits[0]
	h := &v.x.Response
	h.Status, h.Length = 200, -1
	v.stream.Respond(h, make([]byte, 600<<10), false)
	conn.loop.turn()
	if conn.waiting > wire.HighWater+2*ourFrame || v.stream.Buffered() < 300<<10 {
		t.Fatalf("%d bytes in the connection, %d in the stream", conn.waiting, v.stream.Buffered())
	}
	conn.take(conn.waiting)
	conn.take(conn.waiting)
	conn.take(conn.waiting)
	if v.stream.Buffered() != 0 || v.drained == 0 {
		t.Fatalf("%d bytes still wait, drained %d times", v.stream.Buffered(), v.drained)
	}
}

// TestCrowded: once very much waits in all streams together, each says that it
// is full.
func TestCrowded(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("SETTINGS 4=10000000\nWINDOW_UPDATE 0 100000000\n*14 HEADERS # end_stream end_headers " + postTo + "/")
	conn.stuck = true
	for i, v := range p.visits {
		h := &v.x.Response
		h.Status, h.Length = 200, -1
		v.stream.Respond(h, make([]byte, 128<<10), false)
		conn.loop.turn()
		if full := v.stream.Buffered() > wire.HighWater; full != (i > 9) { // 256 KiB are in the connection
			t.Fatalf("stream %d: %d bytes", i, v.stream.Buffered())
		}
	}
}

// TestTake: the first bytes may have been read by somebody else.
func TestTake(t *testing.T) {
	t.Parallel()
	loop := &fakeLoop{}
	conn := newFakeConn(loop)
	s := &site{loop: loop}
	sc := newScribe()
	in := append(sc.frames(t, "PREFACE"), sc.frames(t, "HEADERS 1 end_stream end_headers "+postTo+"/")...)
	New(1).Take(conn, s, &testLimits, in[:40])
	conn.give(in[40:])
	if !strings.Contains(s.log.String(), "request POST path=/") {
		t.Fatalf("heard %q", s.log.String())
	}
}

// TestRefuse: a connection beyond the listener's bound hears so in HTTP/2.
func TestRefuse(t *testing.T) {
	t.Parallel()
	conn := newFakeConn(&fakeLoop{})
	New(1).Refuse(conn, observe.TooManyConnections)
	if got := newScribe().read(conn.out, nil); got != "SETTINGS\nGOAWAY 0 REFUSED_STREAM\n" || conn.ended != "finish" {
		t.Fatalf("%q, %s", got, conn.ended)
	}
	conn.handler.OnData([]byte("x"))
}

// TestLargeHead: a head larger than a frame goes in CONTINUATION frames, and
// comes back whole.
func TestLargeHead(t *testing.T) {
	t.Parallel()
	p, conn, give := newPatient(t)
	give("HEADERS 1 end_stream end_headers " + postTo + "/")
	shownSince(t, conn)
	v := p.visits[0]
	h := &v.x.Response
	h.Status = 200
	for i := range 3 {
		h.AddString(wire.KeyOf("X-Large-"+string(rune('a'+i))), strings.Repeat("\x7e", 13000))
	}
	v.stream.Respond(h, nil, true)
	conn.loop.turn()
	out := shownSince(t, conn)
	if !strings.HasPrefix(out, "HEADERS 1 end_stream ...\nCONTINUATION 1 ...\n") || strings.Count(out, "(13000)") != 3 {
		t.Fatalf("%.300s", out)
	}
}
