package secure

import (
	"crypto/tls"
	"runtime"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// direct joins our own client and server on one loop. After the handshake,
// what one end writes is kept until the test hands it to the other.
type direct struct {
	loop           *testLoop
	client, server *recorder
	craw, sraw     *rawConn
	toServer       []byte
	toClient       []byte
}

func connectDirect(t testing.TB, loop *testLoop, sec *Security, sv wire.ServerSecurity, dialer wire.Dialer) *direct {
	x := &direct{loop: loop, client: newRecorder(), server: newRecorder()}
	x.craw, x.sraw = newRaw(loop), newRaw(loop)
	x.craw.other, x.sraw.other = x.sraw, x.craw
	ready := make(chan struct{})
	loop.do(func() {
		loop.dial = func(h wire.ConnHandler) *rawConn { x.craw.handler = h; return x.craw }
		sv.Secure(x.sraw, func(c wire.Conn) { x.server.conn = c; c.SetHandler(x.server); close(ready) })
		x.client.conn = dialer.Dial(loop, testAddr, x.client)
		x.craw.handler.OnOpen()
	})
	<-ready
	if e := <-x.client.events; e != "open" {
		t.Fatal(e)
	}
	return x
}

// intercept ends the posting between the two ends.
func (x *direct) intercept() {
	x.craw.other = sink(func(b []byte) { x.toServer = append(x.toServer, b...) })
	x.sraw.other = sink(func(b []byte) { x.toClient = append(x.toClient, b...) })
}

func bothSides(t testing.TB, version uint16) (*Security, wire.ServerSecurity, wire.Dialer) {
	sec := New(0)
	sv, err := sec.Server(&wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := sec.Client(&wire.ClientTLS{ServerName: "localhost", CA: testCA().pem})
	if err != nil {
		t.Fatal(err)
	}
	d.(*dialer).base.MaxVersion = version
	return sec, sv, d
}

// quiet is a rawConn whose Write does not allocate.
type quiet struct {
	*rawConn
	out *[]byte
}

func (q quiet) Write(a, b []byte) { *q.out = append(append(*q.out, a...), b...) }
func (q quiet) Pause()            {}
func (q quiet) Resume()           {}

// quietHandler answers each piece of data with itself.
type quietHandler struct {
	conn   wire.Conn
	answer bool
	got    int
}

func (h *quietHandler) OnOpen()       {}
func (h *quietHandler) OnEOF()        {}
func (h *quietHandler) OnDrained()    {}
func (h *quietHandler) OnClose(error) {}
func (h *quietHandler) OnData(b []byte) {
	h.got += len(b)
	if h.answer {
		h.conn.Write(b[:len(b)/2], b[len(b)/2:])
	}
}

// TestNoAllocations: a request and its response cost nothing on the heap but
// the 24 bytes that crypto/tls takes to read a record. The last case arrives in
// pieces and has the handler pause and resume.
func TestNoAllocations(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, size := range []int{100, 16000, 200000} {
			loop := newLoop(t)
			sec, sv, d := bothSides(t, v)
			x := connectDirect(t, loop, sec, sv, d)
			loop.do(func() {
				c, s := x.client.conn.(*conn), x.server.conn.(*conn)
				toServer, toClient := make([]byte, 0, 1<<20), make([]byte, 0, 1<<20)
				c.raw, s.raw = quiet{x.craw, &toServer}, quiet{x.sraw, &toClient}
				ch, sh := &quietHandler{conn: c}, &quietHandler{conn: s, answer: true}
				c.SetHandler(ch)
				s.SetHandler(sh)
				head, body := make([]byte, 100), make([]byte, size)
				rounds := 0
				n := testing.AllocsPerRun(50, func() {
					rounds++
					toServer, toClient = toServer[:0], toClient[:0]
					c.Write(head, body)
					s.Pause()
					s.Resume()
					third := len(toServer) / 3
					s.OnData(toServer[:third])
					s.OnData(toServer[third:])
					c.OnData(toClient)
				})
				if want := rounds * (100 + size); ch.got != want || sh.got != want {
					t.Errorf("server got %d, client got %d, want %d", sh.got, ch.got, want)
				}
				// In each direction; the server answers what it got in two pieces
				// apart when each held a whole record.
				records := 2 * ((100 + size + recordPlain - 1) / recordPlain)
				if size > 2*recordPlain {
					records++
				}
				if n > float64(records) && !raceOn {
					t.Errorf("%s, %d bytes: %v allocations, want at most %d", tls.VersionName(v), size, n, records)
				}
			})
			sv.Close()
		}
	}
}

// BenchmarkIdleMemory reports the heap of one idle connection, both sides
// measured apart by keeping only the server's.
func BenchmarkIdleMemory(b *testing.B) {
	loop := newLoop(b)
	sec, sv, d := bothSides(b, 0)
	defer sv.Close()
	const conns = 500
	var keep []wire.Conn
	connectDirect(b, loop, sec, sv, d)
	for b.Loop() {
		keep = nil
		before := heap()
		for range conns {
			x := connectDirect(b, loop, sec, sv, d)
			loop.do(func() {
				x.intercept()
				x.client.conn.Write(make([]byte, 300), nil)
				x.sraw.handler.OnData(x.toServer)
				x.server.conn.Write(make([]byte, 300), nil)
				keep = append(keep, x.server.conn)
				x.server.conn.SetHandler(nil)
				x.server.conn.(*conn).raw = nil
			})
		}
		b.ReportMetric(float64(heap()-before)/conns, "B/conn")
	}
	runtime.KeepAlive(keep)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkExchange is one small request and its response, both sides.
func BenchmarkExchange(b *testing.B) {
	loop := newLoop(b)
	sec, sv, d := bothSides(b, 0)
	defer sv.Close()
	x := connectDirect(b, loop, sec, sv, d)
	loop.do(func() {
		c, s := x.client.conn.(*conn), x.server.conn.(*conn)
		toServer, toClient := make([]byte, 0, 1<<20), make([]byte, 0, 1<<20)
		c.raw, s.raw = quiet{x.craw, &toServer}, quiet{x.sraw, &toClient}
		c.SetHandler(&quietHandler{conn: c})
		s.SetHandler(&quietHandler{conn: s, answer: true})
		body := make([]byte, 300)
		b.ReportAllocs()
		for b.Loop() {
			toServer, toClient = toServer[:0], toClient[:0]
			c.Write(body, nil)
			s.OnData(toServer)
			c.OnData(toClient)
		}
	})
}
