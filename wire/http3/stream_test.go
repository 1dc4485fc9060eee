package http3

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// TestRequests: what comes in, what the server hears, what goes out, and what
// becomes of the stream and the connection. Each runs whole and, with the same
// outcome, byte by byte.
func TestRequests(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 5<<10)
	for _, c := range []struct {
		name, in      string
		heard         string // data joined
		out, log, end string
	}{
		{name: "GET", in: get("/a?b=c", "accept: */*"),
			heard: "GET /a ?b=c a.example\n  accept: */*\n\"\" end\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "HEAD", in: request("HEAD", "/"), heard: "HEAD / a.example\n\"\" end\n", out: ":status=200\n"},
		{name: "body", in: request("POST", "/", "content-length: 4") + data("ab") + data("cd"),
			heard: "POST / a.example\n\"abcd\" end\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "body of unknown length", in: request("POST", "/") + data("ab") + framed(0x21, "grease") + data(""),
			heard: "POST / a.example\n\"ab\" end\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "trailers", in: request("POST", "/") + data("ab") + headers("x-sum: 7", "content-type: gone"),
			heard: "POST / a.example\n\"ab\" trailers x-sum: 7\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "trailers alone", in: request("POST", "/") + headers("x-sum: 7"),
			heard: "POST / a.example\n\"\" trailers x-sum: 7\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "trailers that may not be", in: request("POST", "/") + headers("content-length: 7"),
			heard: "POST / a.example\n\"\" end\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},
		{name: "crumbs", in: get("/", "cookie: a=1", "cookie: b=2"),
			heard: "GET / a.example\n  cookie: a=1; b=2\n\"\" end\n", out: ":status=200\ncontent-length=2\n\"ok\"\n"},

		{name: "too little", in: request("POST", "/", "content-length: 4") + data("abc"), heard: "bad_length", log: " reset 0x10e"},
		{name: "too much", in: request("POST", "/", "content-length: 4") + data("abcde"), heard: "bad_length", log: " reset 0x10e"},
		{name: "nothing of a length", in: request("POST", "/", "content-length: 4"), heard: "bad_length", log: " reset 0x10e"},
		{name: "two lengths", in: request("POST", "/", "content-length: 4", "content-length: 4") + data("abcd"), heard: "refused bad_length\n", log: " reset 0x10e"},
		{name: "upper case", in: get("/", "Accept: x"), heard: "refused bad_field\n", log: " reset 0x10e"},
		{name: "a line break in a value", in: get("/", "x: a\r\nb: c"), heard: "refused bad_field\n", log: " reset 0x10e"},
		{name: "connection", in: get("/", "connection: close"), heard: "refused bad_field\n", log: " reset 0x10e"},
		{name: "transfer-encoding", in: get("/", "transfer-encoding: chunked"), heard: "refused bad_field\n", log: " reset 0x10e"},
		{name: "no path", in: headers(":method: GET", ":scheme: https", ":authority: a"), heard: "refused bad_pseudo\n", log: " reset 0x10e"},
		{name: "a response", in: headers(":status: 200"), heard: "refused bad_pseudo\n", log: " reset 0x10e"},
		{name: "two hosts", in: get("/", "host: b.example"), heard: "refused bad_host\n", log: " reset 0x10e"},
		{name: "pseudo in trailers", in: get("/") + headers(":path: /"), heard: "bad_pseudo", log: " reset 0x10e"},
		{name: "CONNECT", in: headers(":method: CONNECT", ":authority: a:1"), heard: "refused bad_upgrade\n", out: ":status=400\n", log: ""},
		{name: "no request", in: "", heard: "refused bad_frame\n", log: " reset 0x10d"},
		{name: "an unknown frame alone", in: framed(0x21, "x"), heard: "refused bad_frame\n", log: " reset 0x10d"},

		{name: "a head that is too large", in: get("/", "x: "+big), heard: "refused head_too_large\n", out: ":status=431\n"},
		{name: "too many fields", in: get("/", strings.Split(strings.Repeat("x: y,", 20)+"x: y", ",")...), heard: "refused too_many_fields\n", out: ":status=431\n"},
		{name: "a path that is too long", in: get("/" + big[:2<<10]), heard: "refused uri_too_long\n", out: ":status=414\n"},

		{name: "data first", in: data("x"), heard: "refused bad_frame\n", end: "0x105"},
		{name: "a head after trailers", in: get("/") + headers("x: y") + headers("x: y"), heard: "bad_frame", end: "0x105"},
		{name: "data after trailers", in: get("/") + headers("x: y") + data("x"), heard: "bad_frame", end: "0x105"},
		{name: "SETTINGS", in: framed(frameSettings, ""), heard: "refused bad_frame\n", end: "0x105"},
		{name: "PUSH_PROMISE", in: framed(framePushPromise, "x"), heard: "refused bad_frame\n", end: "0x105"},
		{name: "WINDOW_UPDATE of HTTP/2", in: framed(0x08, "x"), heard: "refused bad_frame\n", end: "0x105"},
		{name: "an empty head", in: framed(frameHeaders, ""), heard: "refused bad_frame\n", end: "0x200"},
		{name: "a section that refers to a table", in: framed(frameHeaders, "\x02\x00\x80"), heard: "refused bad_frame\n", end: "0x200"},
		{name: "trailers that refer to a table", in: get("/") + framed(frameHeaders, "\x02\x00\x80"), heard: "bad_frame", end: "0x200"},
		{name: "a frame that is cut", in: get("/")[:10], heard: "refused bad_frame\n", end: "0x106"},
		{name: "a body that is cut", in: get("/") + data("abc")[:3], heard: "bad_frame", end: "0x106"},
		{name: "a header that is cut", in: get("/") + "\x40", heard: "bad_frame", end: "0x106"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, step := range []int{len(c.in), 1} {
				w := newWorld(t)
				p := w.open()
				for rest := c.in; ; {
					n := min(step, len(rest))
					p.give([]byte(rest[:n]), n == len(rest))
					if rest = rest[n:]; rest == "" {
						break
					}
				}
				heard := joined(w.events())
				if heard != c.heard && !(strings.HasPrefix(c.heard, "bad_") && strings.Contains(heard, c.heard+"\n")) {
					t.Errorf("step %d: heard\n%swant\n%s", step, heard, c.heard)
				}
				out := read(p.out)
				if out != c.out && !(c.out != "" && strings.HasPrefix(out, c.out) && strings.Contains(out, "problem+json")) {
					t.Errorf("step %d: out\n%s", step, out)
				}
				if log := strings.TrimSuffix(p.log, " stop 0x10e"); c.log != "" && strings.TrimSuffix(log, " stop 0x10d") != c.log {
					t.Errorf("step %d: stream%s", step, p.log)
				}
				if w.carrier.ended != c.end {
					t.Errorf("step %d: connection ended with %q", step, w.carrier.ended)
				}
				if p.released != 1 || len(w.m.streams) != 0 {
					t.Errorf("step %d: released %d times, %d streams left", step, p.released, len(w.m.streams))
				}
			}
		})
	}
}

// joined makes of what a visit heard something that does not depend on how the
// input was cut.
func joined(heard string) string {
	var out strings.Builder
	body, ended := "", false
	for line := range strings.Lines(heard) {
		line = strings.TrimSuffix(line, "\n")
		switch f := strings.Fields(line); {
		case strings.HasPrefix(line, "  "), strings.HasPrefix(line, "refused"), strings.HasPrefix(line, "abort"):
			out.WriteString(line + "\n")
		case f[0] == "data":
			body += strings.Trim(f[1], `"`)
			ended = ended || f[2] == "true"
		case f[0] == "trailers":
			return out.String() + `"` + body + `" trailers ` + strings.NewReplacer(`"`, "", `\r\n`, "").Replace(strings.TrimPrefix(line, "trailers ")) + "\n"
		default: // METHOD PATH AUTHORITY length N DATA END
			path, query, _ := strings.Cut(f[1], "?")
			if query != "" {
				path += " ?" + query
			}
			out.WriteString(f[0] + " " + path + " " + f[2] + "\n")
			body += strings.Trim(f[5], `"`)
			ended = f[6] == "true"
		}
	}
	if ended {
		return out.String() + `"` + body + `" end` + "\n"
	}
	return out.String()
}

// TestResponses: what the server says, and what goes out.
func TestResponses(t *testing.T) {
	t.Parallel()
	fields := func(h *wire.Head) {
		h.AddString(wire.KeyOf("X-Mine"), "Yes")
		h.AddString(wire.KeyOf("Connection"), "close")
		h.AddString(wire.KeyOf("Content-Length"), "77")
	}
	for _, c := range []struct {
		name, method string
		say          func(v *visit)
		out, log     string
	}{
		{"parts", "GET", func(v *visit) {
			v.answer(200, "a", false)
			v.s.Data([]byte("b"), false)
			v.s.Data(nil, false)
			v.end()
			v.s.Data([]byte("c"), true)
		}, ":status=200\n\"a\"\n\"b\"\n\"c\"\n", ""},
		{"a known length", "GET", func(v *visit) {
			h := &v.x.Response
			h.Status, h.Length = 201, 3
			fields(h)
			v.s.Respond(h, []byte("ab"), false)
			v.end()
			v.s.Data([]byte("c"), true)
		}, ":status=201\nx-mine=Yes\ncontent-length=3\n\"ab\"\n\"c\"\n", ""},
		{"less than announced", "GET", func(v *visit) {
			h := &v.x.Response
			h.Status, h.Length = 200, 3
			v.s.Respond(h, []byte("ab"), false)
			v.end()
			v.s.Data(nil, true)
		}, ":status=200\ncontent-length=3\n\"ab\"\n", " reset 0x102"},
		{"more than announced", "GET", func(v *visit) {
			h := &v.x.Response
			h.Status, h.Length = 200, 3
			v.s.Respond(h, []byte("abcd"), false)
		}, "", " reset 0x102"},
		{"interim", "GET", func(v *visit) {
			var h wire.Head
			h.Status = 103
			fields(&h)
			v.s.Inform(&h)
			v.answer(200, "", true)
		}, ":status=103\nx-mine=Yes\n:status=200\ncontent-length=0\n", ""},
		{"no content", "GET", func(v *visit) { v.answer(204, "", true) }, ":status=204\n", ""},
		{"not modified", "GET", func(v *visit) {
			h := &v.x.Response
			h.Status, h.Length = 304, 0
			fields(h)
			v.end()
			v.s.Respond(h, nil, true)
		}, ":status=304\nx-mine=Yes\ncontent-length=77\n", ""},
		{"to HEAD", "HEAD", func(v *visit) {
			h := &v.x.Response
			h.Status, h.Length = 200, 5
			v.end()
			v.s.Respond(h, nil, true)
		}, ":status=200\ncontent-length=5\n", ""},
		{"a body to HEAD", "HEAD", func(v *visit) {
			v.answer(200, "gone", false)
			v.end()
			v.s.Data([]byte("gone"), true)
		}, ":status=200\n", ""},
		{"trailers", "GET", func(v *visit) {
			v.answer(200, "a", false)
			var h wire.Head
			fields(&h)
			v.end()
			v.s.Trailers(&h)
		}, ":status=200\n\"a\"\nx-mine=Yes\n", ""},
		{"trailers of which none may be", "GET", func(v *visit) {
			v.answer(200, "a", false)
			var h wire.Head
			h.AddString(wire.KeyOf("Content-Length"), "77")
			v.end()
			v.s.Trailers(&h)
		}, ":status=200\n\"a\"\n", ""},
		{"a reset", "GET", func(v *visit) {
			v.answer(200, "a", false)
			v.end()
			v.s.Reset(observe.UpstreamReset)
		}, ":status=200\n\"a\"\n", " reset 0x102"},
		{"a reset for the time", "GET", func(v *visit) {
			v.end()
			v.s.Reset(observe.Draining)
		}, "", " reset 0x10c"},
		{"a change of protocol that nobody asked for", "GET", func(v *visit) {
			v.x.Response.Status = 101
			v.end()
			v.s.Respond(&v.x.Response, nil, true)
		}, "", " reset 0x102"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.plan = c.say
			p := w.open()
			p.give([]byte(request(c.method, "/")), true)
			w.events()
			if out := read(p.out); out != c.out || p.log != c.log {
				t.Errorf("out\n%sstream%s", out, p.log)
			}
			if p.released != 1 {
				t.Errorf("released %d times", p.released)
			}
		})
	}
}

// TestFailureIsTold: what the server can hear of no other way comes from the
// loop's top.
func TestFailureIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) {
		h := &v.x.Response
		h.Status, h.Length = 200, 3
		v.s.Respond(h, []byte("abcd"), false)
		v.note("said")
	}
	w.open().give([]byte(get("/")), true)
	if got := w.events(); !strings.HasSuffix(got, "said\nabort internal\n") {
		t.Error(got)
	}
}

// TestHeldBody: nothing is told while the sink has paused, and all of it
// afterwards.
func TestHeldBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) { v.s.Pause() }
	p := w.open()
	p.give([]byte(request("POST", "/")), false)
	p.give([]byte(data("ab")+headers("x: y")), false)
	p.give(nil, true)
	if got := w.events(); strings.Contains(got, "ab") {
		t.Fatal(got)
	}
	w.loop.pass(time.Hour) // the client is not to blame
	w.visits[0].s.Resume()
	if got, want := w.events(), "data \"ab\" false\ntrailers \"x: y\\r\\n\"\n"; got != want {
		t.Error(got)
	}
}

func TestTrailersWaitForTheSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) { v.s.Pause() }
	p := w.open()
	p.give([]byte(request("POST", "/")+data("ab")+headers("x: y")), true)
	if got := w.events(); strings.Contains(got, "trailers") {
		t.Fatal(got)
	}
	w.visits[0].s.Resume()
	if got := w.events(); got != "trailers \"x: y\\r\\n\"\n" {
		t.Error(got)
	}
}

func TestContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open()
	p.give([]byte(request("POST", "/", "expect: 100-continue")), false)
	if out := read(p.out); out != ":status=100\n" {
		t.Errorf("out %s", out)
	}
	p.give([]byte(data("x")), true)
	w.events()
	if out := read(p.out); out != ":status=100\n:status=200\ncontent-length=2\n\"ok\"\n" {
		t.Errorf("out %s", out)
	}

	w = newWorld(t)
	w.plan = func(v *visit) { v.s.Pause() }
	p = w.open()
	p.give([]byte(request("POST", "/", "expect: 100-continue")), false)
	if len(p.out) > 0 {
		t.Error("the body is asked for while nobody takes it")
	}
	w.visits[0].s.Resume()
	w.events()
	if out := read(p.out); out != ":status=100\n" {
		t.Errorf("out %s", out)
	}
}

func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) { v.answer(403, "no", true) }
	p := w.open()
	p.give([]byte(request("POST", "/")+data("ab")), false)
	w.events()
	if out := read(p.out); out != ":status=403\ncontent-length=2\n\"no\"\n" || p.log != " stop 0x100" || p.released != 1 {
		t.Errorf("%s %s released %d", out, p.log, p.released)
	}
}

// TestEndAfterHead: an end that comes a little later is that of a request
// without a body.
func TestEndAfterHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open()
	p.give([]byte(get("/")), false)
	if got := w.events(); got != "" {
		t.Errorf("told at once: %s", got)
	}
	p.give(nil, true)
	if got := w.events(); got != "GET / a.example length 0 \"\" true\n" {
		t.Error(got)
	}

	w = newWorld(t)
	p = w.open()
	p.give([]byte(get("/")), false)
	w.loop.pass(time.Second)
	p.give([]byte(data("ab")), true)
	if got := w.events(); got != "GET / a.example length -1 \"\" false\ndata \"ab\" true\n" {
		t.Error(got)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, heard, status string }{
		{"no head", "", "refused head_timeout\n", ":status=408\n"},
		{"half a head", get("/")[:9], "refused head_timeout\n", ":status=408\n"},
		{"half a body", request("POST", "/") + data("ab"), "refused body_timeout\n", ":status=408\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.open()
			p.give([]byte(c.in), false)
			w.loop.pass(14 * time.Second)
			if len(p.out) > 0 {
				t.Error("early")
			}
			w.loop.pass(17 * time.Second)
			if got := w.events(); !strings.HasSuffix(got, c.heard) {
				t.Error(got)
			}
			if out := read(p.out); !strings.HasPrefix(out, c.status) || p.released != 1 {
				t.Errorf("%s released %d", out, p.released)
			}
		})
	}
}

func TestBodyBound(t *testing.T) {
	t.Parallel()
	for _, in := range []string{request("POST", "/", "content-length: 11"), request("POST", "/") + data("12345678901"), request("POST", "/") + data("123456") + data("78901")} {
		w := newWorld(t, func(l *wire.Limits) { l.BodyBytes = 10 })
		p := w.open()
		p.give([]byte(in), false)
		if got := w.events(); !strings.HasSuffix(got, "refused body_too_large\n") {
			t.Error(got)
		}
		if out := read(p.out); !strings.HasPrefix(out, ":status=413\n") {
			t.Error(out)
		}
	}
}

// TestClientGivesUp: by a reset, by not wanting the answer, by silence.
func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(p inlet)
		heard string
	}{
		"reset":   {func(p inlet) { p.onReset() }, "abort client_gone\n"},
		"stopped": {func(p inlet) { p.onStopped() }, "abort client_gone\n"},
		"stuck":   {func(p inlet) { p.onStuck() }, "abort write_timeout\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.plan = func(v *visit) { v.answer(200, "begun", false) }
			p := w.open()
			p.give([]byte(request("POST", "/")), false)
			w.events()
			c.do(p.hears)
			if got := w.events(); got != c.heard || p.released != 1 || w.gone != 1 {
				t.Errorf("%s released %d, gone %d", got, p.released, w.gone)
			}
			// What the server says to it now is of no consequence.
			v := w.visits[0]
			v.s.Data([]byte("x"), true)
			v.s.Resume()
			w.events()
		})
	}
}

// TestWebSocket opens a tunnel (RFC 9220).
func TestWebSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan = func(v *visit) {
		if string(v.x.Upgrade) != "websocket" || string(v.x.Request.Method) != "GET" {
			t.Errorf("%s %s", v.x.Request.Method, v.x.Upgrade)
		}
	}
	p := w.open()
	p.give([]byte(headers(":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: a", ":path: /chat", "sec-websocket-version: 13")+data("early")), false)
	if got := w.events(); strings.Contains(got, "early") || !strings.Contains(got, "GET /chat") {
		t.Fatal(got)
	}
	v := w.visits[0]
	v.x.Response.Status = 101
	v.x.Response.AddString(wire.KeyOf("Sec-WebSocket-Accept"), "x")
	v.s.Respond(&v.x.Response, []byte("hello"), false)
	if got := w.events(); got != "data \"early\" false\n" {
		t.Error(got)
	}
	p.give([]byte(data("more")), false)
	w.loop.pass(time.Hour) // as long as they like
	p.give(nil, true)
	if got := w.events(); got != "data \"more\" false\ndata \"\" true\n" {
		t.Error(got)
	}
	v.end()
	v.s.Data(nil, true)
	w.events()
	if out := read(p.out); out != ":status=200\n\"hello\"\n" || !p.ended || p.released != 1 {
		t.Errorf("%s ended %v released %d", out, p.ended, p.released)
	}
}

func TestPriority(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"u=1, i": "1 true", "i=?0,u=7": "7 false", "u=9, x": "3 false"} {
		w := newWorld(t)
		p := w.open()
		p.give([]byte(get("/", "priority: "+value)), true)
		if p.urgency != want {
			t.Errorf("%s: %s", value, p.urgency)
		}
	}
}
