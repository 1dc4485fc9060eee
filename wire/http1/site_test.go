package http1

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// site is a Server whose answers depend on the path. What it hears is written
// down so that it does not depend on how the input was cut into pieces.
type site struct {
	loop     *fakeLoop
	log      strings.Builder
	draining bool
	calls    int // events of sinks
	open     []*visit
}

func (s *site) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &visit{site: s, stream: st}
	s.open = append(s.open, v)
	return &v.x, v
}

func (s *site) Refused(x *wire.Exchange, sink wire.RequestSink, why observe.Reason) {
	v := sink.(*visit)
	v.mustBeOpen()
	v.over = true
	fmt.Fprintf(&s.log, "refused %s\n", why)
}

func (s *site) Gone(wire.ServerStream) {
	for _, v := range s.open {
		if !v.over {
			panic("connection gone with an exchange still lent")
		}
	}
	fmt.Fprintf(&s.log, "gone\n")
}
func (s *site) Draining() bool { return s.draining }

// visit is one exchange of a site.
type visit struct {
	x        wire.Exchange
	site     *site
	stream   wire.ServerStream
	body     []byte
	ended    bool // the request
	answered bool
	over     bool
	tunnel   bool
}

func (v *visit) mustBeOpen() {
	v.site.calls++
	if v.over {
		panic("event after the end of the exchange")
	}
}

func (v *visit) OnRequest(data []byte, end bool) {
	v.mustBeOpen()
	switch v.path() {
	case "/early":
		v.note("early")
		v.answer(200, "early")
		return
	case "/early-reset":
		v.over = true
		v.stream.Reset(observe.Internal)
		return
	case "/pause":
		v.stream.Pause()
		v.site.loop.Post(v.stream.Resume)
	case "/hold":
		v.stream.Pause()
	case "/hold-begun":
		v.stream.Pause()
		v.begin()
	case "/inform":
		var h wire.Head
		h.Status = 103
		h.AddString(wire.KeyOf("Link"), "</a>")
		v.stream.Inform(&h)
	case "/begin":
		v.begin()
	}
	v.take(data, end)
}

func (v *visit) begin() {
	h := &v.x.Response
	h.Reset()
	h.Status, h.Length = 200, -1
	v.stream.Respond(h, []byte("begin"), false)
	v.answered = true
}

func (v *visit) OnRequestData(data []byte, end bool) {
	v.mustBeOpen()
	if v.tunnel && v.path() == "/half" {
		v.body = append(v.body, data...)
		if v.over = end; end {
			fmt.Fprintf(&v.site.log, "heard %q\n", v.body)
		}
		return
	}
	if v.tunnel {
		v.stream.Data(data, end)
		v.over = v.over || end
		return
	}
	v.take(data, end)
}

func (v *visit) OnRequestTrailers(t *wire.Head) {
	v.mustBeOpen()
	v.body = append(v.body, "{"...)
	v.body = t.AppendFields(v.body)
	v.body = append(v.body, "}"...)
	v.take(nil, true)
}

func (v *visit) OnRequestAbort(why observe.Reason) {
	v.mustBeOpen()
	v.over = true
	fmt.Fprintf(&v.site.log, "abort %s\n", why)
}

func (v *visit) OnResponseDrained() { v.mustBeOpen() }

// path decides the answer; of a CONNECT it is the host.
func (v *visit) path() string {
	if wire.Connects(&v.x) {
		return "/" + string(nameOf(v.x.Request.Authority))
	}
	return string(v.x.Request.Path)
}

func (v *visit) take(data []byte, end bool) {
	if v.ended {
		panic("more of a request that has ended")
	}
	v.body = append(v.body, data...)
	if !end {
		return
	}
	v.ended = true
	v.note("request")
	switch p := v.path(); {
	case v.answered:
		v.over = true
		v.stream.Data([]byte("end"), true)
	case p == "/never":
	case p == "/begun":
		v.stream.Respond(v.head(200, -1), []byte("one"), false)
	case p == "/later":
		v.site.loop.Post(func() { v.answer(200, "later") })
	case p == "/chunks", p == "/large-chunks", p == "/trailers":
		v.chunks(p)
	case p == "/more":
		h := v.head(200, 3)
		v.stream.Respond(h, []byte("four"), false)
	case p == "/less":
		v.over = true
		v.stream.Respond(v.head(200, 5), []byte("four"), true)
	case p == "/half-reset":
		v.stream.Respond(v.head(200, 5), []byte("four"), false)
		v.over = true
		v.stream.Reset(observe.UpstreamReset)
	case p == "/tunnel", p == "/[2001:db8::1]":
		v.tunnel = true
		h := v.head(101, -1)
		h.AddString(wire.KeyUpgrade, string(v.x.Upgrade))
		v.stream.Respond(h, []byte("hello"), false)
	case p == "/half":
		v.tunnel = true
		v.stream.Respond(v.head(101, -1), []byte("bye"), true)
		v.stream.Data([]byte("not sent"), false)
	case p == "/half-broken":
		v.stream.Respond(v.head(101, -1), []byte("bye"), true)
		v.over = true
		v.stream.Reset(observe.ClientGone)
	case p == "/broken":
		v.stream.Respond(v.head(101, -1), []byte("bye"), false)
		v.over = true
		v.stream.Reset(observe.UpstreamReset)
	case p == "/refused":
		v.answer(502, "no")
	case p == "/tunnel-later":
		v.site.loop.Post(func() {
			v.tunnel = true
			h := v.head(101, -1)
			h.AddString(wire.KeyUpgrade, string(v.x.Upgrade))
			v.stream.Respond(h, nil, false)
		})
	case strings.HasPrefix(p, "/status/"):
		n, _ := strconv.Atoi(p[len("/status/"):])
		v.answer(n, "text")
	case p == "/bad-fields":
		h := v.head(200, 2)
		h.AddString(wire.KeyContentLength, "77")
		h.AddString(wire.KeyOf("Transfer-Encoding"), "chunked")
		h.AddString(wire.KeyConnection, "x")
		v.over = true
		v.stream.Respond(h, []byte("ok"), true)
	default:
		v.answer(200, "ok")
	}
}

func (v *visit) head(status int, length int64) *wire.Head {
	h := &v.x.Response
	h.Reset()
	h.Status, h.Length = status, length
	return h
}

func (v *visit) answer(status int, body string) {
	v.over = true
	v.stream.Respond(v.head(status, int64(len(body))), []byte(body), true)
}

func (v *visit) chunks(path string) {
	v.stream.Respond(v.head(200, -1), []byte("one"), false)
	second := []byte("second")
	if path == "/large-chunks" {
		second = []byte(strings.Repeat("x", maxCopied+1))
	}
	v.site.loop.Post(func() {
		v.stream.Data(second, false)
		v.over = true
		if path != "/trailers" {
			v.stream.Data(nil, true)
			return
		}
		var t wire.Head
		t.AddString(wire.KeyOf("X-Sum"), "1")
		t.AddString(wire.KeyContentLength, "1")
		v.stream.Trailers(&t)
	})
}

// note writes the request down.
func (v *visit) note(what string) {
	h := &v.x.Request
	fmt.Fprintf(&v.site.log, "%s %s", what, h.Method)
	fmt.Fprintf(&v.site.log, " path=%s", h.Path)
	if h.HasQuery {
		fmt.Fprintf(&v.site.log, " query=%s", h.Query)
	}
	fmt.Fprintf(&v.site.log, " host=%s length=%d 1.%d", h.Authority, h.Length, h.Minor)
	if v.x.Upgrade != nil {
		fmt.Fprintf(&v.site.log, " upgrade=%s", v.x.Upgrade)
	}
	if v.x.ExpectContinue {
		fmt.Fprintf(&v.site.log, " expects")
	}
	if f := h.AppendFields(nil); len(f) > 0 {
		fmt.Fprintf(&v.site.log, " fields=%q", f)
	}
	if len(v.body) > 0 && what == "request" {
		fmt.Fprintf(&v.site.log, " body=%q", v.body)
	}
	v.site.log.WriteByte('\n')
}
