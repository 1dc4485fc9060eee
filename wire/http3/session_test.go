package http3

import (
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"github.com/naru-mesh/naru/wire"
)

const hello = "\x00"

// TestSides: the client's unidirectional streams.
func TestSides(t *testing.T) {
	t.Parallel()
	empty := framed(frameSettings, "")
	id := func(n uint64) string { return string(quicvarint.Append(nil, n)) }
	pair := func(a, b uint64) string { return id(a) + id(b) }
	for _, c := range []struct{ name, in, end string }{
		{"control", hello + empty, ""},
		{"control with everything", hello + framed(frameSettings, pair(1, 4096)+pair(6, 1000)+pair(8, 1)+pair(0x21, 7)) +
			framed(frameMaxPushID, id(3)) + framed(frameMaxPushID, id(4)) + framed(frameGoAway, id(8)) + framed(frameGoAway, id(4)) +
			framed(framePriorityUpdate, id(4)+"u=1") + framed(0x21, "grease"), ""},
		{"no SETTINGS", hello + framed(frameGoAway, id(0)), "0x10a"},
		{"SETTINGS twice", hello + empty + empty, "0x105"},
		{"a setting twice", hello + framed(frameSettings, pair(6, 1)+pair(6, 1)), "0x109"},
		{"a setting of HTTP/2", hello + framed(frameSettings, pair(4, 1)), "0x109"},
		{"a flag that is none", hello + framed(frameSettings, pair(8, 2)), "0x109"},
		{"half a setting", hello + framed(frameSettings, id(6)), "0x106"},
		{"SETTINGS without end", hello + string(appendFrame(nil, frameSettings, 1<<20)), "0x107"},
		{"DATA", hello + empty + data("x"), "0x105"},
		{"PING of HTTP/2", hello + empty + framed(0x06, "12345678"), "0x105"},
		{"MAX_PUSH_ID falls", hello + empty + framed(frameMaxPushID, id(4)) + framed(frameMaxPushID, id(3)), "0x108"},
		{"GOAWAY grows", hello + empty + framed(frameGoAway, id(4)) + framed(frameGoAway, id(8)), "0x108"},
		{"CANCEL_PUSH", hello + empty + framed(frameCancelPush, id(1)), "0x108"},
		{"a number that is too long", hello + empty + framed(frameMaxPushID, id(1)+"x"), "0x106"},
		{"a push stream", id(sidePush), "0x103"},
		{"encoder", "\x02\x20\x20", ""},
		{"encoder with a table", "\x02\x3f\x01", "0x201"},
		{"decoder", "\x03\x44\x7f\x00", ""},
		{"decoder acknowledges", "\x03\x84", "0x202"},
		{"decoder counts", "\x03\x01", "0x202"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, whole := range []bool{true, false} {
				w := newWorld(t)
				if whole {
					w.side(c.in)
				} else {
					p := w.side(c.in[:1])
					for i := 1; i < len(c.in); i++ {
						p.give([]byte(c.in[i:i+1]), false)
					}
				}
				if w.carrier.ended != c.end {
					t.Errorf("whole %v: ended with %q", whole, w.carrier.ended)
				}
				if heard := w.events(); (heard == "refused bad_frame\n") != (c.end != "") {
					t.Errorf("whole %v: %q", whole, heard)
				}
			}
		})
	}
}

func TestCriticalSides(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"\x00" + framed(frameSettings, ""), "\x02", "\x03"} {
		w := newWorld(t)
		w.side(kind).give(nil, true)
		if w.carrier.ended != "0x104" {
			t.Errorf("%x closed: %q", kind, w.carrier.ended)
		}
		w = newWorld(t)
		w.side(kind).hears.onReset()
		if w.carrier.ended != "0x104" {
			t.Errorf("%x reset: %q", kind, w.carrier.ended)
		}
		w = newWorld(t)
		w.side(kind)
		w.side(kind)
		if w.carrier.ended != "0x103" {
			t.Errorf("%x twice: %q", kind, w.carrier.ended)
		}
	}
}

func TestUnknownSidesAreStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if p := w.side("\x40\x54whatever"); p.log != " stop 0x103" || p.released != 1 || w.carrier.ended != "" {
		t.Errorf("%s released %d", p.log, p.released)
	}
	for range 200 {
		w.side("\x21")
	}
	if got := w.events(); w.carrier.ended != "0x107" || got != "refused empty_frame_flood\n" {
		t.Errorf("ended %q, %s", w.carrier.ended, got)
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := read(w.carrier.said[1:]); w.carrier.said[0] != sideControl || got != "frame 0x4 01000650000700"+"0801\n" {
		t.Errorf("%s", got)
	}
}

// TestRetire: GOAWAY first names no request, then the last; what runs ends, and
// what comes later was never there.
func TestRetire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) {}
	w.carrier.said = nil
	p := w.open()
	p.give([]byte(get("/")), true)
	w.m.retire()
	w.m.retire()
	if got := read(w.carrier.said); got != "frame 0x7 fffffffffffffffc\n" {
		t.Error(got)
	}
	late := w.open()
	late.give([]byte(get("/late")), true)
	w.carrier.said = nil
	w.loop.pass(time.Second)
	if got := read(w.carrier.said); got != "frame 0x7 08\n" {
		t.Error(got)
	}
	refused := w.open()
	refused.give([]byte(get("/too-late")), true)
	if refused.log != " reset 0x10b stop 0x10b" || refused.released != 1 || strings.Contains(w.events(), "too-late") {
		t.Errorf("refused: %s released %d", refused.log, refused.released)
	}
	w.loop.pass(time.Minute)
	if w.carrier.ended != "" {
		t.Errorf("ended %q while requests run", w.carrier.ended)
	}
	for _, v := range w.visits {
		v.answer(200, "", true)
	}
	w.events()
	w.loop.pass(time.Second)
	if w.carrier.ended != "" {
		t.Error("ended before the answers can have arrived")
	}
	w.loop.pass(5 * time.Second)
	if w.carrier.ended != "0x100" || p.log+late.log != "" {
		t.Errorf("ended %q, streams%s%s", w.carrier.ended, p.log, late.log)
	}
}

func TestDrainingAndRequestBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.draining = true
	w.open().give([]byte(get("/")), true)
	if !w.m.retiring {
		t.Error("a server that drains keeps its connections")
	}
	w = newWorld(t, func(l *wire.Limits) { l.Requests = 2 })
	for range 2 {
		if w.m.retiring {
			t.Error("early")
		}
		w.open().give([]byte(get("/")), true)
	}
	if !w.m.retiring {
		t.Error("the bound of requests is not kept")
	}
	w = newWorld(t, func(l *wire.Limits) { l.Age = 100 * time.Second })
	for _, age := range []int{0, 50, 100} {
		if w.m.retiring {
			t.Errorf("%d s: early", age)
		}
		w.open().give([]byte(get("/")), true)
		w.events()
		w.loop.pass(50 * time.Second)
	}
	if !w.m.retiring {
		t.Error("the bound of age is not kept")
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loop.pass(70 * time.Second)
	w.open().give([]byte(get("/")), true)
	w.events()
	w.loop.pass(70 * time.Second)
	if w.carrier.ended != "" {
		t.Error("early")
	}
	w.loop.pass(6 * time.Second)
	if w.carrier.ended != "0x100" {
		t.Errorf("ended %q", w.carrier.ended)
	}
}

// TestRapidReset: what is given up again and again ends the connection, unless
// most is let run.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) {}
	n := 0
	for ; n < 1000 && w.carrier.ended == ""; n++ {
		p := w.open()
		p.give([]byte(get("/")), true)
		p.hears.onStopped()
		w.loop.turn()
	}
	if n != 201 || w.carrier.ended != "0x107" || !strings.Contains(w.events(), "refused rapid_reset") {
		t.Errorf("%d resets, ended %q", n, w.carrier.ended)
	}

	w = newWorld(t)
	for range 1000 {
		p := w.open()
		p.give([]byte(get("/fine")), true)
		w.plan = func(v *visit) {}
		p = w.open()
		p.give([]byte(get("/")), true)
		p.hears.onStopped()
		w.plan = nil
		w.loop.turn()
	}
	if w.carrier.ended != "" {
		t.Errorf("ended %q", w.carrier.ended)
	}
}

func TestEmptyFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open()
	p.give([]byte(request("POST", "/")), false)
	p.give([]byte(strings.Repeat(data(""), 300)), false)
	if got := w.events(); w.carrier.ended != "0x107" || !strings.Contains(got, "refused empty_frame_flood") || !strings.Contains(got, "abort client_gone") {
		t.Errorf("ended %q, %s", w.carrier.ended, got)
	}
}

// TestConnectionLost gives every exchange back, once.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) {}
	w.open().give([]byte(get("/a")), true)
	w.open().give([]byte(request("POST", "/b")), false)
	w.open() // no head yet
	w.m.gone()
	w.visits[0].answer(200, "too late", true)
	if got := w.events(); strings.Count(got, "abort client_gone\n") != 1 || len(w.m.streams) != 0 || w.gone != 3 {
		t.Errorf("%s, %d streams, %d gone", got, len(w.m.streams), w.gone)
	}
}

// FuzzStream: whatever comes, every exchange is given back once, and nothing
// is written after an end.
func FuzzStream(f *testing.F) {
	f.Add([]byte(get("/a")), 7, true)
	f.Add([]byte(request("POST", "/", "content-length: 4")+data("ab")+data("cd")+headers("x: y")), 3, true)
	f.Add([]byte(headers(":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: a", ":path: /chat")+data("early")), 5, false)
	f.Add([]byte(framed(frameSettings, "")), 1, false)
	f.Fuzz(func(t *testing.T, in []byte, step int, fin bool) {
		w := newWorld(t)
		p := w.open()
		step = max(1, step)
		for len(in) > 0 && w.carrier.ended == "" {
			n := min(step, len(in))
			p.give(append([]byte(nil), in[:n]...), fin && n == len(in))
			in = in[n:]
		}
		w.m.gone()
		w.loop.turn()
		for _, v := range w.visits {
			if !v.over {
				t.Error("an exchange is kept")
			}
		}
		if len(w.m.streams) > 0 {
			t.Error("a stream is kept")
		}
	})
}
