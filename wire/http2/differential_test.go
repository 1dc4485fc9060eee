package http2

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
	"golang.org/x/net/http2"
)

// liveLoop is a loop on a goroutine of its own, for peers that are.
type liveLoop struct {
	fakeLoop
	mu    sync.Mutex
	cond  *sync.Cond
	posts []func()
	over  bool
}

func newLiveLoop(t *testing.T) *liveLoop {
	l := &liveLoop{}
	l.cond = sync.NewCond(&l.mu)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			l.mu.Lock()
			for len(l.posts) == 0 && !l.over {
				l.cond.Wait()
			}
			run := l.posts
			l.posts = nil
			over := l.over
			l.mu.Unlock()
			if over {
				return
			}
			for _, fn := range run {
				fn()
			}
		}
	}()
	t.Cleanup(func() {
		l.mu.Lock()
		l.over = true
		l.cond.Broadcast()
		l.mu.Unlock()
		<-done
	})
	return l
}

func (l *liveLoop) Post(fn func()) {
	l.mu.Lock()
	l.posts = append(l.posts, fn)
	l.cond.Broadcast()
	l.mu.Unlock()
}
func (l *liveLoop) Arm(*wire.Timer, time.Duration)                  {}
func (l *liveLoop) Disarm(*wire.Timer)                              {}
func (l *liveLoop) Dial(netip.AddrPort, wire.ConnHandler) wire.Conn { return nil }

// liveConn is one end of a net.Pipe as a wire.Conn.
type liveConn struct {
	loop     *liveLoop
	peer     wire.Peer
	conn     net.Conn
	handler  wire.ConnHandler
	buffered atomic.Int64
	out      chan []byte
	closed   bool
}

func newLiveConn(l *liveLoop, conn net.Conn) *liveConn {
	c := &liveConn{loop: l, conn: conn, out: make(chan []byte, 4096)}
	go func() {
		for b := range c.out {
			c.conn.Write(b)
			n := int64(len(b))
			l.Post(func() {
				before := c.buffered.Load()
				if c.buffered.Add(-n) <= wire.LowWater && before > wire.LowWater && !c.closed {
					c.handler.OnDrained()
				}
			})
		}
		c.conn.Close()
	}()
	return c
}

// read hands in what comes, once a handler is set.
func (c *liveConn) read() {
	for {
		b := make([]byte, 20000)
		n, err := c.conn.Read(b)
		c.loop.Post(func() {
			switch {
			case c.closed:
			case n > 0:
				c.handler.OnData(b[:n])
			case err != nil:
				c.end()
				c.handler.OnClose(err)
			}
		})
		if err != nil {
			return
		}
	}
}

func (c *liveConn) Loop() wire.Loop               { return c.loop }
func (c *liveConn) Peer() *wire.Peer              { return &c.peer }
func (c *liveConn) SetHandler(h wire.ConnHandler) { c.handler = h }
func (c *liveConn) Buffered() int                 { return int(c.buffered.Load()) }
func (c *liveConn) Waiting() bool                 { return false }
func (c *liveConn) Pause()                        {}
func (c *liveConn) Resume()                       {}
func (c *liveConn) CloseWrite()                   {}
func (c *liveConn) Close()                        { c.end() }
func (c *liveConn) Finish()                       { c.end() }
func (c *liveConn) Abort()                        { c.end() }
func (c *liveConn) end() {
	if !c.closed {
		c.closed = true
		close(c.out)
	}
}
func (c *liveConn) Write(a, b []byte) {
	if !c.closed {
		c.buffered.Add(int64(len(a) + len(b)))
		c.out <- append(append([]byte(nil), a...), b...)
	}
}

// echo is a Server that answers each request with its body as it comes, and
// with its trailers.
type echo struct{}

type echoing struct {
	x      wire.Exchange
	stream wire.ServerStream
}

func (echo) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	v := &echoing{stream: s}
	return &v.x, v
}
func (echo) Refused(*wire.Exchange, wire.RequestSink, observe.Reason) {}
func (echo) Gone(wire.ServerStream)                                   {}
func (echo) Draining() bool                                           { return false }

func (v *echoing) OnRequest(data []byte, end bool) {
	h := &v.x.Response
	h.Status, h.Length = 200, v.x.Request.Length
	h.AddString(wire.KeyOf("X-Method"), string(v.x.Request.Method))
	h.AddString(wire.KeyOf("X-Path"), string(v.x.Request.Path))
	v.stream.Respond(h, data, end)
	v.hold(end)
}
func (v *echoing) OnRequestData(data []byte, end bool) {
	v.stream.Data(data, end)
	v.hold(end)
}
func (v *echoing) hold(end bool) {
	if !end && v.stream.Buffered() > wire.LowWater {
		v.stream.Pause()
	}
}
func (v *echoing) OnRequestTrailers(t *wire.Head) { v.stream.Trailers(t) }
func (v *echoing) OnRequestAbort(observe.Reason)  {}
func (v *echoing) OnResponseDrained()             { v.stream.Resume() }

var bodySizes = []int{0, 1, 100, 16384, 16385, 70000, 300000, 1500000}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// TestAgainstClient: the client of golang.org/x/net is served.
func TestAgainstClient(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	l := newLiveLoop(t)
	c := newLiveConn(l, ours)
	l.Post(func() {
		New(1).Serve(c, echo{}, &wire.Limits{HeadBytes: 32 << 10, Fields: 100, URIBytes: 8 << 10, BodyBytes: -1, Requests: -1, Idle: -1, Head: -1, Body: -1, Write: -1})
		go c.read()
	})
	//lint:ignore SA1019 net/http has it for connections that it dials only
	cc, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			body := pattern(bodySizes[i%len(bodySizes)])
			req, _ := http.NewRequest("POST", fmt.Sprintf("http://shop.example/a/%d?b=c", i), bytes.NewReader(body))
			req.Header.Set("X-Large", strings.Repeat("x", 50*i))
			// That client never ends a stream of trailers without a body.
			if i%3 == 0 && len(body) > 0 {
				req.ContentLength = -1
				req.Trailer = http.Header{"X-Sum": {"1"}}
			}
			res, err := cc.RoundTrip(req)
			if err != nil {
				t.Errorf("%d: %v", i, err)
				return
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d: %d bytes, want %d, %v", i, len(got), len(body), err)
			}
			if res.Header.Get("X-Path") != fmt.Sprintf("/a/%d", i) || i%3 == 0 && len(body) > 0 && res.Trailer.Get("X-Sum") != "1" {
				t.Errorf("%d: %v %v", i, res.Header, res.Trailer)
			}
		})
	}
	all.Wait()
	theirs.Close()
}

// asking is a try whose response is hashed.
type asking struct {
	x       wire.Exchange
	stream  wire.ClientStream
	body    []byte
	sum     [32]byte
	size    int
	got     []byte
	trailer string
	over    chan string
}

func (a *asking) OnInform(*wire.Head)              {}
func (a *asking) OnResponse(data []byte, end bool) { a.OnResponseData(data, end) }
func (a *asking) OnResponseData(data []byte, end bool) {
	a.got = append(a.got, data...)
	if end {
		a.sum, a.size = sha256.Sum256(a.got), len(a.got)
		a.over <- fmt.Sprint(a.x.Response.Status)
	}
}
func (a *asking) OnResponseTrailers(t *wire.Head) {
	a.trailer = string(t.AppendFields(nil))
	a.OnResponseData(nil, true)
}
func (a *asking) OnResponseAbort(f wire.Failure) { a.over <- fmt.Sprint("failed ", f.Reason, f.Err) }
func (a *asking) OnRequestDrained()              { a.feed() }
func (a *asking) OnOpen(wire.ClientConn)         {}
func (a *asking) OnIdle(wire.ClientConn)         {}
func (a *asking) OnGone(wire.ClientConn, error)  {}

// feed sends as much of the body as is taken.
func (a *asking) feed() {
	for len(a.body) > 0 && a.stream.Buffered() < wire.LowWater {
		n := min(len(a.body), 30000)
		b := a.body[:n]
		a.body = a.body[n:]
		a.stream.Data(b, len(a.body) == 0)
	}
}

// TestAgainstServer: the server of golang.org/x/net is asked.
func TestAgainstServer(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		//lint:ignore SA1019 net/http has it for its own listeners only
		(&http2.Server{}).ServeConn(theirs, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.Copy(w, r.Body)
			w.Header().Set("X-Sum", r.URL.Path)
		})})
	}()
	l := newLiveLoop(t)
	c := newLiveConn(l, ours)
	var all []*asking
	started := make(chan struct{})
	var client wire.ClientConn
	l.Post(func() {
		client = New(1).Open(&asking{}, func(h wire.ConnHandler) wire.Conn { c.handler = h; return c })
		c.handler.OnOpen()
		for i := range 40 {
			a := &asking{over: make(chan string, 1), body: pattern(bodySizes[i%len(bodySizes)])}
			h := &a.x.Request
			h.Method, h.Path, h.Authority = []byte("POST"), fmt.Appendf(nil, "/a/%d", i), []byte("svc")
			h.Length = int64(len(a.body))
			if i%3 == 0 {
				h.Length = -1
			}
			a.stream = client.Send(&a.x, a, nil, len(a.body) == 0)
			a.feed()
			all = append(all, a)
		}
		close(started)
		go c.read()
	})
	<-started
	for i, a := range all {
		want := pattern(bodySizes[i%len(bodySizes)])
		if how := <-a.over; how != "200" || a.size != len(want) || a.sum != sha256.Sum256(want) || a.trailer != fmt.Sprintf("x-sum: /a/%d\r\n", i) {
			t.Errorf("%d: %s, %d bytes of %d, trailer %q", i, how, a.size, len(want), a.trailer)
		}
	}
	l.Post(client.Close)
	<-served
}
