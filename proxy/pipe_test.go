package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// testBody does what its name says:
//
//	upper  upper-cases each piece
//	hold   keeps everything, and the head, until the end
//	swell  gives 1,000 bytes for each one, 1,000 at a time
//	lines  passes on whole lines only, and says how many pieces it saw of each
//	fail   cannot go on at a "!"
//	trail  turns trailers into text at the end
//	mark   adds a trailer
//	burst  panics
type testBody struct {
	name string
	kept []byte
	open bool
}

// opened and closed count testBodies; tests of them do not run in parallel.
var opened, closed int

func bodies(words, prefix string) (list []filter.Body) {
	if !strings.Contains(words, prefix) {
		return nil
	}
	for _, word := range strings.Fields(words) {
		if name, ok := strings.CutPrefix(word, prefix); ok {
			opened++
			list = append(list, &testBody{name: name, open: true})
		}
	}
	return list
}

func (b *testBody) Close() {
	if b.open {
		closed++
	}
	b.open = false
}

func (b *testBody) Pass(x *filter.Exchange, p *filter.Piece) filter.Step {
	in := p.In
	switch b.name {
	case "hold":
		b.kept = append(b.kept, in...)
		p.In = nil
		if p.End == nil {
			return filter.Held
		}
		x.Response.Status++
		p.Out = b.kept
		return filter.Passed
	case "swell":
		if len(in) == 0 {
			return filter.Passed
		}
		p.In = in[1:]
		p.Out = append(p.Out, bytes.Repeat(in[:1], 1000)...)
		return filter.Again
	case "lines":
		n := bytes.LastIndexByte(in, '\n') + 1
		if p.End != nil {
			n = len(in)
		}
		p.Out, p.In = in[:n], in[n:]
		return filter.Passed
	case "fail":
		if bytes.IndexByte(in, '!') >= 0 {
			x.Refuse(observe.BadChunk)
			return filter.Failed
		}
	case "burst":
		panic("in a body")
	}
	p.In, p.Out = nil, in
	switch {
	case b.name == "upper":
		p.Out = bytes.ToUpper(in)
	case p.End == nil:
	case b.name == "trail":
		p.Out = append(bytes.Clone(in), p.End.AppendFields(nil)...)
		for i := range p.End.Fields {
			p.End.Fields[i].Dropped = true
		}
	case b.name == "mark":
		p.End.AddString(keyMarked, "yes")
	}
	return filter.Passed
}

// through is a configuration with Bodies.
func through(words string, change ...func(*model.Route)) *model.Config {
	return shop(1, append(change, filters(does(200, words)))...)
}

// ended checks that nothing is left of n exchanges or of their Bodies.
func (w *world) ended(n int) {
	w.t.Helper()
	w.settled(n)
	if opened != closed {
		w.t.Errorf("%d bodies were made and %d closed", opened, closed)
	}
}

func TestRequestBodies(t *testing.T) {
	w := newWorld(t, 1)
	for i, c := range []struct{ words, in, want string }{
		{"in=upper", "abc|def|", "ABC|DEF|"},
		{"in=hold", "abc|def|", "abcdef|"},
		{"in=hold in=upper", "abc|def", "ABCDEF"},
		{"in=lines", "a\nb|c\nd|e", "a\n|bc\n|de"},
		{"in=lines in=hold", "a\nb|c", "a\nbc"},
		{"in=upper in=mark", "a|b", "A|B|+"},
		{"in=hold in=trail", "a|b", "ab"},
		{"in=upper", "", ""},
	} {
		w.apply(through(c.words))
		s := w.open("POST", "/", 7)
		pieces := strings.Split(c.in, "|")
		s.request(pieces[0], len(pieces) == 1)
		var got []string
		note := func() {
			if len(w.codec.conns) == 0 || w.conn(-1).x == nil {
				return
			}
			sent := strings.Join(got, "")
			if body := string(w.conn(-1).body); len(body) > len(sent) {
				got = append(got, body[len(sent):])
			}
		}
		note()
		for j, piece := range pieces[1:] {
			s.send(piece, j == len(pieces)-2)
			note()
		}
		conn := w.conn(-1)
		if !conn.sent {
			t.Fatalf("%s: the request has no end", c.words)
		}
		if conn.trailers {
			got = append(got, "+")
		}
		if have := strings.Join(got, "|"); strings.TrimSuffix(have, "|") != strings.TrimSuffix(c.want, "|") {
			t.Errorf("%s of %q: %q, want %q", c.words, c.in, have, c.want)
		}
		if conn.x.Request.Length != -1 {
			t.Errorf("%s: the length is %d", c.words, conn.x.Request.Length)
		}
		conn.respond(200, "ok", true)
		w.expect(s, 200, "ok", observe.ReasonNone)
		w.ended(i + 1)
	}
}

func TestResponseBodies(t *testing.T) {
	w := newWorld(t, 1)
	for i, c := range []struct {
		words, want string
		status      int
		trailers    bool
	}{
		{"out=upper", "ABCDEF", 200, true},
		{"out=hold", "abcdef", 201, true},
		{"out=hold out=trail", "abcdefX-End: 1\r\n", 201, false},
		{"out=mark out=upper", "ABCDEF", 200, true},
	} {
		w.apply(through(c.words))
		s := w.get("/")
		w.conn(-1).respond(200, "abc", false)
		if held := strings.Contains(c.words, "hold"); held != (s.status == 0) {
			t.Errorf("%s: the head is out: %d", c.words, s.status)
		}
		w.conn(-1).data("def", false)
		w.conn(-1).trail("X-End", "1")
		w.expect(s, c.status, c.want, observe.ReasonNone)
		if s.trailers != c.trailers || string(s.body) != c.want {
			t.Errorf("%s: trailers %t, body %q", c.words, s.trailers, s.body)
		}
		w.ended(i + 1)
	}
	// naru's own answers go through them too.
	w.apply(through("out=upper answer"))
	s := w.get("/")
	w.expect(s, 200, "OK", observe.Responded)
	w.ended(5)
}

// TestBodiesWaitForTheReader: a slow reader stops the Bodies and the sender,
// and nothing is lost or out of order.
func TestBodiesWaitForTheReader(t *testing.T) {
	w := newWorld(t, 1)
	want := strings.Repeat("A", 1000) + strings.Repeat("B", 1000) + strings.Repeat("C", 1000)
	for i, words := range []string{"out=swell out=upper", "out=upper out=lines out=swell"} {
		w.apply(through(words))
		s := w.get("/")
		s.buffered = highWater + 1
		conn := w.conn(-1)
		conn.respond(200, "ab", false)
		if len(s.body) > 1000 || !conn.paused {
			t.Fatalf("%s: %d bytes, paused %t", words, len(s.body), conn.paused)
		}
		conn.data("c", true) // was on its way
		for range 10 {
			if !s.ended {
				s.sink.OnResponseDrained()
			}
		}
		if got := string(s.body); got != want || !s.ended {
			t.Errorf("%s: %d bytes, ended %t", words, len(got), s.ended)
		}
		w.ended(i + 1)
	}
	w.apply(through("in=swell in=upper"))
	s := w.open("POST", "/", -1)
	s.request("a", false)
	conn := w.conn(-1)
	conn.buffered = highWater + 1
	s.send("bc", false)
	if len(conn.body) != 2000 || !s.paused {
		t.Fatalf("%d bytes, paused %t", len(conn.body), s.paused)
	}
	s.send("d", true)
	for range 10 {
		conn.sink.OnRequestDrained()
	}
	if got := string(conn.body); got != want+strings.Repeat("D", 1000) || !conn.sent {
		t.Errorf("%d bytes, ended %t", len(got), conn.sent)
	}
	conn.buffered = 0
	conn.respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	w.ended(3)
}

// busy is the connection on which a try runs.
func (w *world) busy() *fakeClient {
	w.t.Helper()
	for _, c := range w.codec.conns {
		if c.x != nil {
			return c
		}
	}
	w.t.Fatal("no try runs")
	return nil
}

func TestBodiesFail(t *testing.T) {
	w := newWorld(t, 1)
	for i, c := range []struct {
		name, words string
		do          func(*fakeStream)
		status      int
		reset, why  observe.Reason
	}{
		{"at once", "in=fail", func(s *fakeStream) { s.request("!", true) }, 400, 0, observe.BadChunk},
		{"later", "in=fail mark", func(s *fakeStream) { s.request("a", false); s.send("!", false) }, 400, 0, observe.BadChunk},
		{"after the response began", "in=fail", func(s *fakeStream) {
			s.request("a", false)
			w.busy().respond(200, "b", false)
			s.send("!", false)
		}, 200, observe.BadChunk, observe.BadChunk},
		{"response", "out=hold out=fail", func(s *fakeStream) {
			s.request("", true)
			w.busy().respond(200, "a", false)
			w.busy().data("!", true)
		}, 401, 0, observe.BadChunk}, // "hold" has seen the answer, too
		{"response that began", "out=fail", func(s *fakeStream) {
			s.request("", true)
			w.busy().respond(200, "a", false)
			w.busy().data("!", false)
		}, 200, observe.BadChunk, observe.BadChunk},
		{"answer", "out=burst answer", func(s *fakeStream) { s.request("", true) }, 0, observe.Internal, observe.Internal},
		{"panic", "in=burst", func(s *fakeStream) { s.request("", true) }, 500, 0, observe.Internal},
		{"panic later", "out=burst", func(s *fakeStream) {
			s.request("", true)
			w.busy().respond(200, "a", false)
		}, 500, 0, observe.Internal},
		{"service", "out=hold", func(s *fakeStream) {
			s.request("", true)
			w.busy().respond(200, "a", false)
			w.busy().fail(dropped)
		}, 503, 0, observe.UpstreamReset},
	} {
		w.apply(through(c.words))
		s := w.open("POST", "/", -1)
		c.do(s)
		if s.status != c.status || s.reset != c.reset || w.last.Reason != c.why || !s.ended {
			t.Errorf("%s: %d, reset %v, reason %v", c.name, s.status, s.reset, w.last.Reason)
		}
		w.ended(i + 1)
	}
}

// TestBodiesAndTries: another try sends what came out of the Bodies, and
// another response has Bodies of its own.
func TestBodiesAndTries(t *testing.T) {
	w := newWorld(t, 1)
	w.apply(through("in=upper in=mark out=hold", retries(3, 503), bounded(0, time.Second)))
	s := w.open("PUT", "/", -1)
	s.request("a", false)
	w.conn(0).stand()
	w.conn(0).fail(dropped)
	s.send("b", false)
	w.loops[0].pass(time.Second / 2)
	if got := string(w.conn(1).body); got != "AB" {
		t.Fatalf("the second try sent %q", got)
	}
	w.conn(1).respond(200, "x", false)
	w.loops[0].pass(time.Minute) // it has begun: no time-out
	w.conn(1).fail(dropped)
	w.loops[0].pass(time.Second)
	w.conn(2).respond(200, "y", false)
	s.sink.OnRequestTrailers(&wire.Head{})
	w.conn(2).data("z", true)
	w.expect(s, 201, "yz", observe.ReasonNone)
	if w.last.Attempts != 3 {
		t.Errorf("%d attempts", w.last.Attempts)
	}
	// A client that leaves takes them along.
	s = w.open("POST", "/", -1)
	s.request("a", false)
	w.conn(-1).respond(200, "x", false)
	s.leave(observe.ClientGone)
	w.ended(2)
}

// TestPipesAreReused: a Body does not make the proxy allocate.
func TestPipesAreReused(t *testing.T) {
	w := newWorld(t, 1)
	w.apply(shop(1))
	wk := w.proxy.workers[0]
	x := wk.exchange()
	x.door = &door{worker: wk}
	list := []filter.Body{&testBody{name: "lines"}, &testBody{name: "lines"}}
	var quiet quietStream
	first, second := []byte("a\nb"), []byte("c\n")
	run := func() {
		p := wk.pipe(x, list, true)
		p.own = true
		x.stream = &quiet
		x.Outward = append(x.Outward, list...)
		p.feed(first, false, nil)
		p.feed(second, false, nil)
		x.out = p
		x.dropOut()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// quietStream takes everything.
type quietStream struct{ wire.ServerStream }

func (quietStream) Respond(*wire.Head, []byte, bool) {}
func (quietStream) Data([]byte, bool)                {}
func (quietStream) Buffered() int                    { return 0 }
