package http2

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
	"golang.org/x/tools/txtar"
)

// got is a message as it was understood.
type got struct {
	start, host, fields, upgrade, body, trailer string
	length                                      int64
}

// taker is a Server that writes down requests and answers each when it is
// complete, so that what follows does not depend on how the input came.
type taker struct {
	all  []got
	rank wire.Rank
}

type taking struct {
	got
	x      wire.Exchange
	stream wire.ServerStream
	taker  *taker
}

func (k *taker) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &taking{stream: st, taker: k}
	return &v.x, v
}
func (k *taker) Refused(*wire.Exchange, wire.RequestSink, observe.Reason) {}
func (k *taker) Gone(wire.ServerStream)                                   {}
func (k *taker) Draining() bool                                           { return false }

func (v *taking) OnRequest(data []byte, end bool) {
	h := &v.x.Request
	v.start = fmt.Sprintf("%s %s %v %s", h.Method, h.Path, h.HasQuery, h.Query)
	v.host, v.upgrade = string(h.Authority), string(v.x.Upgrade)
	v.length = h.Length
	for i := range h.Fields {
		if f := &h.Fields[i]; h.Next(wire.KeySocketKey, i) != i && !f.Dropped { // it is made up anew
			v.fields += fmt.Sprintf("%s: %s\r\n", h.Name(f), h.Value(f))
		}
	}
	v.OnRequestData(data, end)
}

func (v *taking) OnRequestData(data []byte, end bool) {
	v.body += string(data)
	if end {
		v.taker.all = append(v.taker.all, v.got)
		h := &v.x.Response
		h.Reset()
		h.Status, h.Length = 200, 2
		v.stream.Respond(h, []byte("ok"), true)
	}
}

func (v *taking) OnRequestTrailers(t *wire.Head) {
	v.trailer = string(t.AppendFields(nil))
	v.OnRequestData(nil, true)
}
func (v *taking) OnRequestAbort(observe.Reason) {}
func (v *taking) OnResponseDrained()            {}
func (v *taking) Rank() wire.Rank               { return v.taker.rank }

var fuzzLimits = wire.Limits{HeadBytes: 2 << 10, Fields: 20, URIBytes: 512, BodyBytes: -1, Requests: -1, Idle: -1, Head: -1, Body: -1, Write: -1}

// serve hands in to a server in pieces whose sizes come from cuts.
func serve(in, cuts []byte, lim *wire.Limits) (*taker, *fakeConn) {
	k := &taker{}
	conn := newFakeConn(&fakeLoop{})
	New(1).Serve(conn, k, lim)
	inParts(conn, in, cuts)
	return k, conn
}

func inParts(conn *fakeConn, in, cuts []byte) {
	if len(cuts) == 0 {
		conn.give(in)
		return
	}
	for i := 0; len(in) > 0; i++ {
		n := min(len(in), 1+int(cuts[i%len(cuts)]))
		conn.give(in[:n])
		in = in[n:]
	}
}

// seeds adds the inputs of all transcripts of a folder.
func seeds(f *testing.F, dir string) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range ar.Files {
			if strings.HasSuffix(part.Name, ": in") && len(part.Data) < 4<<10 {
				var in []byte
				for _, s := range readSteps(f, part.Data) {
					in = append(in, s.bytes...)
				}
				f.Add(in, []byte{0})
				f.Add(in, []byte{3, 11, 1})
			}
		}
	}
}

func FuzzServer(f *testing.F) {
	seeds(f, "server")
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		whole, conn := serve(in, nil, &fuzzLimits)
		parts, conn2 := serve(in, cuts, &fuzzLimits)
		if conn.ended != conn2.ended || fmt.Sprint(whole.all) != fmt.Sprint(parts.all) {
			t.Fatalf("whole: %s, %v\nin parts: %s, %v", conn.ended, whole.all, conn2.ended, parts.all)
		}
		newScribe().read(conn.out, nil)

		// A loop that is behind may hear less, where all was taken back, but nothing else.
		late, loop := &taker{rank: wire.RankLast}, &fakeLoop{behind: true}
		conn = newFakeConn(loop)
		New(1).Serve(conn, late, &fuzzLimits)
		for i := 0; len(in) > 0; i++ {
			n := len(in)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			conn.give(in[:n])
			if in = in[n:]; n%3 != 0 {
				loop.catchUp()
			}
		}
		loop.catchUp()
		for _, g := range late.all {
			if !slices.Contains(whole.all, g) {
				t.Fatalf("at once: %v\nlate: %v", whole.all, g)
			}
		}
		newScribe().read(conn.out, nil)
	})
}

// FuzzRelay: what one machine has read and another written again means the
// same to a third.
func FuzzRelay(f *testing.F) {
	seeds(f, "server")
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		first, _ := serve(in, cuts, &fuzzLimits)
		for i := range first.all {
			g := &first.all[i]
			o := newCaller(&fakeLoop{})
			o.conn.handler.OnOpen()
			o.conn.give(newScribe().frames(t, "SETTINGS 8=1"))
			c := &call{owner: o}
			h := &c.x.Request
			w := strings.SplitN(g.start, " ", 4)
			h.Method, h.Path, h.HasQuery, h.Query = []byte(w[0]), []byte(w[1]), w[2] == "true", []byte(w[3])
			h.Authority, h.Length = []byte(g.host), g.length
			if g.upgrade != "" {
				c.x.Upgrade = []byte(g.upgrade)
			}
			addLines(t, h, g.fields)
			stream := o.c.Send(&c.x, c, nil, g.upgrade != "")
			if g.upgrade == "" {
				stream.Data([]byte(g.body), false)
				if g.trailer != "" {
					var tr wire.Head
					addLines(t, &tr, g.trailer)
					stream.Trailers(&tr)
				} else {
					stream.Data(nil, true)
				}
			}
			o.loop.turn()
			if len(g.body) > freshWindow {
				continue
			}
			again, conn := serve(o.conn.out, nil, &openLimits)
			want := *g
			if want.length <= 0 && want.body == "" && len(again.all) == 1 && again.all[0].length <= 0 {
				want.length = again.all[0].length // nothing, whether announced or not
			}
			if len(again.all) != 1 || again.all[0] != want {
				t.Fatalf("want %+v\ngot  %+v\n%s", want, again.all, newScribe().read(conn.out, nil))
			}
		}
	})
}

// addLines adds field lines that a machine has let in: they can be told apart
// by their line ends alone.
func addLines(t *testing.T, h *wire.Head, lines string) {
	for line := range strings.Lines(lines) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		if !ok || !wire.ValidName(name) || !wire.ValidValue(value) {
			t.Fatalf("line %q was let in", line)
		}
		h.AddRaw([]byte(name), []byte(value))
	}
}

// answers is a sink that writes down one response.
type answers struct {
	got
	x       wire.Exchange
	informs int
	end     bool
	failed  observe.Reason
	gone    bool
}

func (a *answers) OnInform(*wire.Head) { a.informs++ }
func (a *answers) OnResponse(data []byte, end bool) {
	h := &a.x.Response
	a.start, a.fields, a.length = fmt.Sprint(h.Status), string(h.AppendFields(nil)), h.Length
	a.OnResponseData(data, end)
}
func (a *answers) OnResponseData(data []byte, end bool) {
	a.body += string(data)
	a.end = end
}
func (a *answers) OnResponseTrailers(t *wire.Head) {
	a.trailer, a.end = string(t.AppendFields(nil)), true
}
func (a *answers) OnResponseAbort(f wire.Failure) { a.failed = f.Reason }
func (a *answers) OnRequestDrained()              {}
func (a *answers) OnOpen(wire.ClientConn)         {}
func (a *answers) OnIdle(wire.ClientConn)         {}
func (a *answers) OnGone(wire.ClientConn, error)  { a.gone = true }

// ask hands in as what a service says to a request, then the end.
func ask(method string, in, cuts []byte) *answers {
	a := &answers{}
	conn := newFakeConn(&fakeLoop{})
	c := New(1).Open(a, func(h wire.ConnHandler) wire.Conn { conn.handler = h; return conn })
	conn.handler.OnOpen()
	a.x.Request.Method, a.x.Request.Path, a.x.Request.Authority = []byte(method), root, []byte("a")
	c.Send(&a.x, a, nil, true)
	inParts(conn, in, cuts)
	conn.giveEOF()
	return a
}

func FuzzClient(f *testing.F) {
	seeds(f, "client")
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		for _, method := range []string{"GET", "HEAD"} {
			whole, parts := ask(method, in, nil), ask(method, in, cuts)
			if !whole.end && whole.failed == 0 || !whole.gone {
				t.Fatalf("neither a response nor a failure, or not gone: %+v", whole.got)
			}
			if whole.end != parts.end || whole.end && whole.got != parts.got || whole.failed != parts.failed {
				t.Fatalf("whole: %+v %v\nin parts: %+v %v", whole.got, whole.failed, parts.got, parts.failed)
			}
			for line := range strings.Lines(whole.fields + whole.trailer) {
				if !strings.HasSuffix(line, "\r\n") || bytes.ContainsAny([]byte(line[:len(line)-2]), "\r\n\x00") {
					t.Fatalf("line %q was let in", line)
				}
			}
		}
	})
}
