package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// TestManyStreams: hundreds of requests at once, none gets another's answer.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.URL.Path, " ", n)
	})
	const streams, times = 100, 50
	body := pattern(3000)
	for _, p := range []*pair{c.pair(t, h2c, h1), c.pair(t, h2c, h2c), c.pair(t, h2, h2)} {
		var workers sync.WaitGroup
		for n := range streams {
			workers.Go(func() {
				for i := range times {
					path, method, size := fmt.Sprintf("/%d/%d", n, i), "GET", 0
					var from io.Reader
					if i%10 == 0 {
						method, size = "POST", len(body)
						from = strings.NewReader(string(body))
					}
					res, err := p.try(t, method, path, from, int64(size))
					if err != nil {
						t.Error(err)
						return
					}
					if got, want := whole(t, res), fmt.Sprint("/", p.service, path, " ", size); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		}
		workers.Wait()
	}
	c.counted(3*streams*times, "naru_requests_total")
}

// TestSlowStreams: streams whose clients read nothing hold up neither the others
// of the connection nor those of the service's, and are not taken into memory.
func TestSlowStreams(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/small") {
			io.WriteString(w, "small")
			return
		}
		chunk := pattern(1 << 20)
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	for _, to := range dialects {
		rest := c.rss()
		f := c.framed()
		const slow = 20
		for i := range uint32(slow) {
			f.request(2*i+1, true, "GET", "/"+to+"/large")
		}
		// The connection's window is spent: what comes is 65,535 bytes.
		got := 0
		f.await("all that the window allows", func(fr http2.Frame) bool {
			if d, ok := fr.(*http2.DataFrame); ok {
				got += len(d.Data())
			}
			return got == 65_535
		})
		// Clients of other connections go on, on the same ones of the service.
		other := c.pair(t, h2c, to)
		for range 50 {
			if body := whole(t, other.ask(t, "GET", "/small", nil, 0)); body != "small" {
				t.Fatalf("%s: %q", to, body)
			}
		}
		if now := c.rss(); now > rest+40<<20 {
			t.Errorf("%s: resident memory grew from %d to %d MiB", to, rest>>20, now>>20)
		}
		// One more stream of the same connection, once it has a window of its own
		// and the others cannot use up the connection's.
		f.must(f.WriteWindowUpdate(0, 1<<30))
		f.must(f.WriteWindowUpdate(5, 2*size))
		got = 0
		f.await("the stream that may go on", func(fr http2.Frame) bool {
			if d, ok := fr.(*http2.DataFrame); ok && d.StreamID == 5 {
				got += len(d.Data())
				return d.StreamEnded()
			}
			return false
		})
		f.Close()
	}
}

// TestSlowServices: a service that does not read stops its client.
func TestSlowServices(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		<-release
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	const size = 8 << 20
	rest := c.rss()
	var sent atomic.Int64
	var workers sync.WaitGroup
	for _, from := range dialects {
		for _, to := range dialects {
			p := c.pair(t, from, to)
			workers.Go(func() {
				body := &counted{from: trickle(pattern(size)), to: &sent}
				res, err := p.try(t, "POST", "/", body, size)
				if err != nil {
					t.Error(err)
				} else if got := whole(t, res); got != fmt.Sprint(size) {
					t.Errorf("%s to %s: %s bytes", from, to, got)
				}
			})
		}
	}
	last := int64(-1)
	eventually(t, "the clients are stopped", func() bool {
		now := sent.Load()
		same := now == last && now > 0
		last = now
		return same
	})
	if now := c.rss(); now > rest+40<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", rest>>20, now>>20)
	}
	close(release)
	workers.Wait()
}

type counted struct {
	from io.Reader
	to   *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.to.Add(int64(n))
	return n, err
}

// streams sends requests over and over on connections of HTTP/2, some of them
// at once on each, and notes each that gets no good answer.
type streams struct {
	t        testing.TB
	done     atomic.Int64
	aways    atomic.Int64 // connections that were told to end
	failures *sightings
	leaving  atomic.Bool // refused connections end a worker
	stopped  atomic.Bool
	workers  sync.WaitGroup
}

// streams starts conns connections to the gateway's first listener, each with
// some requests at a time.
func (g *gateway) streams(conns, atOnce int) *streams {
	l := &streams{t: g.t, failures: newSightings()}
	for range conns {
		l.workers.Go(func() {
			for !l.stopped.Load() && l.connect(g.addr, atOnce) {
			}
		})
	}
	g.t.Cleanup(l.stop)
	return l
}

func (l *streams) stop() {
	l.stopped.Store(true)
	l.workers.Wait()
}

// more waits until n more requests are done.
func (l *streams) more(n int64) {
	l.t.Helper()
	goal := l.done.Load() + n
	eventually(l.t, fmt.Sprintf("%d more requests are done", n), func() bool { return l.done.Load() >= goal })
}

// check says which requests were lost.
func (l *streams) check() {
	l.t.Helper()
	if lost := l.failures.take(); len(lost) > 0 {
		l.t.Errorf("%d of %d requests were lost: %q", len(lost), l.done.Load(), lost[:min(len(lost), 5)])
	}
}

// connect runs requests on one connection until it is told to end; false when
// there is nothing to connect to any more.
func (l *streams) connect(addr string, atOnce int) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		if !l.leaving.Load() {
			l.failures.add("dial: %v", err)
		}
		return false
	}
	f := frames(l.t, conn)
	defer conn.Close()
	running, next := map[uint32]bool{}, uint32(1)
	body := pattern(2000)
	away := false
	last := uint32(1<<31 - 1)
	for {
		for !away && !l.stopped.Load() && len(running) < atOnce {
			running[next] = true
			if next%6 == 1 {
				err = f.tryRequest(next, false, "POST", "/", "content-length", fmt.Sprint(len(body)))
				if err == nil {
					err = f.WriteData(next, true, body)
				}
			} else {
				err = f.tryRequest(next, true, "GET", "/")
			}
			next += 2
			if err != nil {
				break // what was answered is still read
			}
		}
		if len(running) == 0 {
			return true
		}
		fr, err := f.ReadFrame()
		if err != nil {
			l.failures.add("%d requests (first %v), last id %d, away %v: %v", len(running), running, last, away, err)
			return true
		}
		f.polite(fr)
		id := fr.Header().StreamID
		ended := false
		switch fr := fr.(type) {
		case *http2.GoAwayFrame:
			if !away {
				l.aways.Add(1)
			}
			away, last = true, fr.LastStreamID
			if fr.ErrCode != http2.ErrCodeNo {
				l.failures.add("GOAWAY %v %s", fr.ErrCode, fr.DebugData())
			}
			for id := range running {
				if id > last { // never processed: it may be sent again
					delete(running, id)
				}
			}
		case *http2.MetaHeadersFrame:
			if status := fr.PseudoValue("status"); status != "200" {
				l.failures.add("status %s", status)
			}
			ended = fr.StreamEnded()
		case *http2.DataFrame:
			if n := uint32(len(fr.Data())); n > 0 {
				_ = f.WriteWindowUpdate(0, n)
			}
			ended = fr.StreamEnded()
		case *http2.RSTStreamFrame:
			if running[id] && fr.ErrCode != http2.ErrCodeRefusedStream {
				l.failures.add("reset with %v", fr.ErrCode)
			}
			ended = true
		}
		if ended && running[id] {
			delete(running, id)
			l.done.Add(1)
		}
	}
}

func countBody(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, n)
}

// TestReloadsUnderStreams: reloads, and listeners that go, lose no request.
func TestReloadsUnderStreams(t *testing.T) {
	t.Parallel()
	one, two := serveAs(t, h2c, countBody), serve(t, countBody)
	config := func(n int) string {
		return fmt.Sprintf("listen: $LISTEN\nroutes:\n- match: /\n  to: [h2, h1]\n  headers: {response: {set: {x-reload: '%d'}}}\nservices:\n", n) +
			asService("h2", h2c, one, fmt.Sprintf(", maxStreams: %d", 10+n)) + asService("h1", h1, two)
	}
	g := start(t, config(0))
	l := g.streams(4, 20)
	for n := 1; n <= 10; n++ {
		l.more(200)
		g.reload(config(n))
	}
	l.more(200)
	l.stop()
	l.check()
}

// TestStopUnderStreams: clients are told with GOAWAY, and no request is lost.
func TestStopUnderStreams(t *testing.T) {
	t.Parallel()
	for _, to := range []string{h1, h2c} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: up\nservices:\n"+asService("up", to, serveAs(t, to, countBody)))
			const conns = 6
			l := g.streams(conns, 20)
			idle := g.framed()
			idle.await("SETTINGS", func(fr http2.Frame) bool { return fr.Header().Type == http2.FrameSettings })
			l.more(1000)
			l.leaving.Store(true)
			g.stop(t)
			l.workers.Wait()
			l.check()
			if l.aways.Load() < conns {
				t.Errorf("%d connections of %d were told to end", l.aways.Load(), conns)
			}
			if code, ok := idle.goAway(); !ok || code != http2.ErrCodeNo {
				t.Errorf("the idle connection ended with %v (%v)", code, ok)
			}
		})
	}
}

// TestStopLetsStreamsFinish: what runs is finished, what comes later is told to
// go elsewhere.
func TestStopLetsStreamsFinish(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	up := serveAs(t, h2c, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		if r.URL.Path == "/begun" {
			http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "last")
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: up\nservices:\n"+asService("up", h2c, up))
	f := g.framed()
	f.request(1, true, "GET", "/begun")
	f.request(3, true, "GET", "/waiting")
	receive(t, arrived)
	receive(t, arrived)
	f.await("the first part", func(fr http2.Frame) bool {
		d, ok := fr.(*http2.DataFrame)
		return ok && string(d.Data()) == "first "
	})
	g.signal(os.Interrupt)
	f.await("GOAWAY", func(fr http2.Frame) bool {
		away, ok := fr.(*http2.GoAwayFrame)
		return ok && away.ErrCode == http2.ErrCodeNo
	})
	close(release)
	got := map[uint32]string{}
	ended := 0
	f.await("both responses", func(fr http2.Frame) bool {
		if d, ok := fr.(*http2.DataFrame); ok {
			if got[d.StreamID] += string(d.Data()); d.StreamEnded() {
				ended++
			}
		}
		return ended == 2
	})
	if got[1] != "last" || got[3] != "first last" {
		t.Errorf("got %v", got)
	}
	if code, _ := f.goAway(); code != http2.ErrCodeNo {
		t.Errorf("the connection ended with %v", code)
	}
	if code := g.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestServiceSaysGoAway: a service that ends its connections again and again, as
// net/http does at a shutdown, costs no request.
func TestServiceSaysGoAway(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	up := listen(t, "")
	go func() {
		for {
			conn, err := up.ln.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			up.note(conn, true)
			go func() {
				defer up.note(conn, false)
				(&quitter{f: frame(t, conn), after: 100}).serve()
			}()
		}
	}()
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: up\nservices:\n"+asService("up", h2c, up, ", maxStreams: 50"))
	l := g.streams(4, 30)
	l.more(4000)
	l.stop()
	l.check()
	if n := conns.Load(); n < 10 {
		t.Errorf("only %d connections were made; the test must ask more", n)
	}
}

// quitter is a service's connection that says GOAWAY after some requests and
// answers those that it names, also those that came after it.
type quitter struct {
	f     *framed
	after int
}

func (q *quitter) serve() {
	f := q.f
	defer f.Close()
	if _, err := io.ReadFull(f.Conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	_ = f.WriteSettings()
	served, last := 0, uint32(0)
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return
		}
		f.polite(fr)
		ended := false
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			ended = fr.StreamEnded()
		case *http2.DataFrame:
			ended = fr.StreamEnded()
			if n := uint32(len(fr.Data())); n > 0 {
				_ = f.WriteWindowUpdate(0, n)
			}
		}
		id := fr.Header().StreamID
		if !ended || last != 0 && id > last {
			continue
		}
		if served++; served == q.after {
			last = id
			_ = f.WriteGoAway(last, http2.ErrCodeNo, nil)
		}
		if err := f.heads(id, true, f.fields(":status", "200")); err != nil {
			return
		}
	}
}

// TestServiceBoundsStreams: a service gets no more requests at once on a
// connection than it allows, and more connections instead.
func TestServiceBoundsStreams(t *testing.T) {
	t.Parallel()
	const bound, requests = 5, 40
	var mu sync.Mutex
	running, most := map[string]int{}, 0
	arrived, release := make(chan struct{}, requests), make(chan struct{})
	up := serveAs(t, h2c, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		running[r.RemoteAddr]++
		most = max(most, running[r.RemoteAddr])
		mu.Unlock()
		if r.URL.Path == "/wait" {
			arrived <- struct{}{}
			<-release
		}
		mu.Lock()
		running[r.RemoteAddr]--
		mu.Unlock()
		io.WriteString(w, "ok")
	}, func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: bound} })
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  to: up\nservices:\n"+asService("up", h2c, up), "--loops", "1")
	f := g.framed()
	f.request(1, true, "GET", "/first") // so that the bound is known
	if r := f.reply(1); r.status != "200" {
		t.Fatal(r.status)
	}
	for i := range uint32(requests) {
		f.request(2*i+3, true, "GET", "/wait")
	}
	for range requests {
		receive(t, arrived)
	}
	close(release)
	ended := 0
	f.await("all answers", func(fr http2.Frame) bool {
		if h, ok := fr.(*http2.MetaHeadersFrame); ok && h.PseudoValue("status") != "200" {
			t.Errorf("status %s", h.PseudoValue("status"))
		}
		if d, ok := fr.(*http2.DataFrame); ok && d.StreamEnded() {
			ended++
		}
		return ended == requests
	})
	mu.Lock()
	defer mu.Unlock()
	if most > bound || len(running) < requests/bound {
		t.Errorf("%d requests at once, on %d connections", most, len(running))
	}
}
