package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
	"golang.org/x/tools/txtar"
)

// got is a request or response as it was understood.
type got struct {
	start   string // the control data
	host    string
	fields  string
	upgrade string
	body    string
	trailer string
	length  int64
	minor   uint8
	end     bool
}

// taker is a Server that writes down requests and answers each when it is
// complete, so that what follows does not depend on how the input came.
type taker struct {
	all     []*got
	refused observe.Reason
}

type taken struct {
	got
	x      wire.Exchange
	stream wire.ServerStream
}

func (k *taker) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &taken{stream: st}
	return &v.x, &taking{taken: v, taker: k}
}
func (k *taker) Refused(_ *wire.Exchange, _ wire.RequestSink, why observe.Reason) { k.refused = why }
func (k *taker) Gone(wire.ServerStream)                                           {}
func (k *taker) Draining() bool                                                   { return false }

type taking struct {
	*taken
	taker *taker
}

func (v *taking) OnRequest(data []byte, end bool) {
	h := &v.x.Request
	v.start = fmt.Sprintf("%s %s %v %s", h.Method, h.Path, h.HasQuery, h.Query)
	v.host, v.upgrade = string(h.Authority), string(v.x.Upgrade)
	v.fields, v.length, v.minor = string(h.AppendFields(nil)), h.Length, h.Minor
	v.OnRequestData(data, end)
}

func (v *taking) OnRequestData(data []byte, end bool) {
	v.body += string(data)
	if end {
		v.end = true
		v.taker.all = append(v.taker.all, &v.got)
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

var fuzzLimits = wire.Limits{HeadBytes: 2 << 10, Fields: 20, URIBytes: 512, BodyBytes: 4 << 10, Requests: -1, Idle: -1, Head: -1, Body: -1, Write: -1}

// serve hands in to a server in pieces whose sizes come from cuts.
func serve(in []byte, cuts []byte) (*taker, string) {
	k := &taker{}
	conn := newFakeConn(&fakeLoop{})
	New(1).Serve(conn, k, &fuzzLimits)
	cutUp(conn, in, cuts)
	out := strings.ReplaceAll(string(conn.out), "HTTP/1.1 100 Continue\r\n\r\n", "") // depends on the pieces
	return k, out + conn.ended
}

func cutUp(conn *fakeConn, in, cuts []byte) {
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
			if strings.HasSuffix(part.Name, ": in") {
				var in []byte
				for _, s := range readSteps(&testing.T{}, part.Data) {
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
		whole, out := serve(in, nil)
		parts, partsOut := serve(in, cuts)
		if whole.refused != parts.refused || out != partsOut || len(whole.all) != len(parts.all) {
			t.Fatalf("whole: %v, %d requests, %q\nin parts: %v, %d requests, %q", whole.refused, len(whole.all), out, parts.refused, len(parts.all), partsOut)
		}
		for i, g := range whole.all {
			if *g != *parts.all[i] {
				t.Fatalf("whole: %+v\nin parts: %+v", g, parts.all[i])
			}
			writtenAgain(t, g)
		}
		likeNetHTTP(t, in, whole.all)
	})
}

// writtenAgain: an accepted request means the same to the next reader.
func writtenAgain(t *testing.T, g *got) {
	t.Helper()
	if g.host == "" {
		return // HTTP/1.0 without Host: the proxy gives it one
	}
	o := newCaller(&fakeLoop{})
	o.conn.handler.OnOpen()
	c := &call{owner: o}
	h := &c.x.Request
	w := strings.SplitN(g.start, " ", 4)
	h.Method, h.Path, h.HasQuery, h.Query = []byte(w[0]), []byte(w[1]), w[2] == "true", []byte(w[3])
	h.Authority = []byte(g.host)
	h.Length = g.length
	if g.upgrade != "" {
		c.x.Upgrade = []byte(g.upgrade)
	}
	h.Buf = []byte(g.fields)
	var s scanner
	s.step = stepFields
	if _, why := s.trailers([]byte(g.fields+"\r\n"), h, &bounds{-1, -1, -1}); why != 0 {
		t.Fatalf("fields %q: %v", g.fields, why)
	}
	stream := o.c.Send(&c.x, c, nil, false)
	stream.Data([]byte(g.body), false)
	if g.trailer != "" {
		var tr wire.Head
		tr.Buf = []byte(g.trailer)
		s = scanner{step: stepFields}
		s.trailers([]byte(g.trailer+"\r\n"), &tr, &bounds{-1, -1, -1})
		stream.Trailers(&tr)
	} else {
		stream.Data(nil, true)
	}
	again, _ := serve(o.conn.out, nil)
	if len(again.all) != 1 {
		if again.refused == observe.HeadTooLarge || again.refused == observe.TooManyFields || again.refused == observe.URITooLong {
			return // it was just below the bound
		}
		t.Fatalf("written as %q: %v, %d requests", o.conn.out, again.refused, len(again.all))
	}
	want, have := *g, *again.all[0]
	want.minor = 1
	if want != have {
		t.Fatalf("written as %q:\nwant %+v\ngot  %+v", o.conn.out, want, have)
	}
}

// likeNetHTTP: what is accepted is read in the same way by net/http. What is
// refused here and accepted there is in TestDifferences.
func likeNetHTTP(t *testing.T, in []byte, all []*got) {
	t.Helper()
	r := roomy(in)
	for _, g := range all {
		skipEmptyLine(r)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("accepted %+v, net/http says %v", g, err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatalf("accepted %+v, net/http says %v", g, err)
		}
		if req.Method != strings.SplitN(g.start, " ", 2)[0] || req.Host != g.host || string(body) != g.body {
			t.Fatalf("%+v\nnet/http: %s %s %q", g, req.Method, req.Host, body)
		}
		if g.length >= 0 && req.ContentLength != g.length {
			t.Fatalf("length %d, net/http %d", g.length, req.ContentLength)
		}
		for line := range strings.Lines(g.fields) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ":")
			value = strings.Trim(value, " \t")
			found := strings.EqualFold(name, "TE") || strings.EqualFold(name, "Trailer") // rewritten, or removed by net/http
			for k, vs := range req.Header {
				for _, v := range vs {
					found = found || strings.EqualFold(k, name) && v == value
				}
			}
			if !found {
				t.Fatalf("field %q is not among %v", line, req.Header)
			}
		}
	}
}

// skipEmptyLine passes over what RFC 9112 section 2.2 has servers pass over;
// http.ReadRequest leaves it to its caller.
func skipEmptyLine(r *bufio.Reader) {
	if b, err := r.Peek(2); err == nil && string(b) == "\r\n" {
		r.Discard(2)
	}
}

// answers is a sink that writes down one response.
type answers struct {
	got
	x       wire.Exchange
	informs int
	failed  observe.Reason
	gone    bool
}

func (a *answers) OnInform(*wire.Head) { a.informs++ }
func (a *answers) OnResponse(data []byte, end bool) {
	h := &a.x.Response
	a.start, a.fields = fmt.Sprint(h.Status), string(h.AppendFields(nil))
	a.length, a.minor = h.Length, h.Minor
	a.OnResponseData(data, end)
}
func (a *answers) OnResponseData(data []byte, end bool) {
	a.body += string(data)
	a.end = end
}
func (a *answers) OnResponseTrailers(t *wire.Head) {
	a.trailer = string(t.AppendFields(nil))
	a.end = true
}
func (a *answers) OnResponseAbort(f wire.Failure) { a.failed = f.Reason }
func (a *answers) OnRequestDrained()              {}
func (a *answers) OnOpen(wire.ClientConn)         {}
func (a *answers) OnIdle(wire.ClientConn)         {}
func (a *answers) OnGone(wire.ClientConn, error)  { a.gone = true }

// ask hands in as the response to a request of that method, then the end.
func ask(method string, in, cuts []byte) *answers {
	a := &answers{}
	conn := newFakeConn(&fakeLoop{})
	c := New(1).Open(a, func(h wire.ConnHandler) wire.Conn { conn.handler = h; return conn })
	conn.handler.OnOpen()
	a.x.Request.Method, a.x.Request.Path, a.x.Request.Authority = []byte(method), root, []byte("a")
	c.Send(&a.x, a, nil, true)
	cutUp(conn, in, cuts)
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
			if whole.end {
				if whole.got != parts.got || whole.informs != parts.informs || whole.failed != parts.failed {
					t.Fatalf("whole: %+v %v\nin parts: %+v %v", whole.got, whole.failed, parts.got, parts.failed)
				}
				responseLikeNetHTTP(t, method, in, &whole.got)
			} else if whole.failed != parts.failed {
				t.Fatalf("whole: %v, in parts: %v", whole.failed, parts.failed)
			}
		}
	})
}

// roomy reads in through a buffer that holds all of it: net/http refuses a
// trailer section that is longer than its reader's.
func roomy(in []byte) *bufio.Reader {
	return bufio.NewReaderSize(bytes.NewReader(in), len(in)+1)
}

func responseLikeNetHTTP(t *testing.T, method string, in []byte, g *got) {
	t.Helper()
	r := roomy(in)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("accepted %+v, net/http says %v", g, err)
		}
		if res.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("accepted %+v, net/http says %v", g, err)
		}
		if fmt.Sprint(res.StatusCode) != g.start || string(body) != g.body {
			t.Fatalf("%+v\nnet/http: %d %q", g, res.StatusCode, body)
		}
		return
	}
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), []byte{0})
	f.Add([]byte("5;a=b\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n"), []byte{1, 2})
	f.Add([]byte("5 \r\nhello\r\n0\r\n\r\n"), []byte{0})
	f.Add([]byte("ffffffffffffffff\r\n"), []byte{0})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		l := newLocal()
		decode := func(in, cuts []byte) (out []byte, used int, e event) {
			d := body{kind: byChunks}
			for i := 0; used < len(in); {
				n := len(in) - used
				if len(cuts) > 0 {
					n = min(n, 1+int(cuts[i%len(cuts)]))
					i++
				}
				for b := in[used : used+n]; len(b) > 0; {
					piece, k, ev := d.gather(l, b)
					out = append(out, piece...)
					used += k
					b = b[k:]
					if e = ev; e != more && e != partial {
						return out, used, e
					}
				}
			}
			return out, used, e
		}
		out, used, e := decode(in, nil)
		out2, used2, e2 := decode(in, cuts)
		if !bytes.Equal(out, out2) || used != used2 || e != e2 {
			t.Fatalf("whole: %q %d %d\nin parts: %q %d %d", out, used, e, out2, used2, e2)
		}
		if e != done {
			return
		}
		// What is accepted reads the same in net/http, and written again too.
		head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		req, err := http.ReadRequest(roomy(append([]byte(head), in...)))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := io.ReadAll(req.Body); err != nil || !bytes.Equal(theirs, out) {
			t.Fatalf("%q, net/http: %q, %v", out, theirs, err)
		}
		conn := newFakeConn(&fakeLoop{})
		l.writeChunk(conn, nil, out, false)
		l.writeChunk(conn, nil, nil, true)
		if again, n, e := decode(conn.out, nil); !bytes.Equal(again, out) || n != len(conn.out) || e != done {
			t.Fatalf("written as %q: %q", conn.out, again)
		}
	})
}
