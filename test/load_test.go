package test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load sends requests over and over and notes each that gets no good answer.
type load struct {
	t        testing.TB
	addr     string
	tls      *tls.Config // nil on a plain port
	fresh    bool        // a new connection for each request
	path     string      // asked for, without bodies; "" is many, with and without
	good     func(*answer) bool
	done     atomic.Int64
	failures *sightings
	leaving  atomic.Bool // the gateway stops: refused connections end a worker
	stopped  atomic.Bool
	workers  sync.WaitGroup
}

// load starts workers against the gateway's first listener.
func (g *gateway) load(workers int, change func(*load)) *load {
	l := &load{t: g.t, addr: g.addr, failures: newSightings(), good: func(a *answer) bool { return a.StatusCode == 200 }}
	if change != nil {
		change(l)
	}
	for n := range workers {
		l.workers.Go(func() { l.work(n) })
	}
	g.t.Cleanup(l.stop)
	return l
}

// stop ends the load; the requests under way are finished.
func (l *load) stop() {
	l.stopped.Store(true)
	l.workers.Wait()
}

// more waits until n more requests are done.
func (l *load) more(n int64) {
	l.t.Helper()
	goal := l.done.Load() + n
	eventually(l.t, fmt.Sprintf("%d more requests are done", n), func() bool { return l.done.Load() >= goal })
}

// check says which requests were lost.
func (l *load) check() {
	l.t.Helper()
	if lost := l.failures.take(); len(lost) > 0 {
		l.t.Errorf("%d of %d requests were lost: %q", len(lost), l.done.Load(), lost[:min(len(lost), 5)])
	}
}

func (l *load) dial() (net.Conn, error) {
	if l.tls != nil {
		return tls.Dial("tcp", l.addr, l.tls)
	}
	return net.Dial("tcp", l.addr)
}

func (l *load) work(n int) {
	var conn net.Conn
	var in *bufio.Reader
	served := 0
	hangup := func() {
		if conn != nil {
			conn.Close()
			conn, served = nil, 0
		}
	}
	defer hangup()
	body := strings.Repeat("b", 4000)
	for i := n; !l.stopped.Load(); i++ {
		if conn == nil {
			c, err := l.dial()
			if l.leaving.Load() && errors.Is(err, syscall.ECONNREFUSED) {
				return
			}
			if err != nil {
				l.failures.add("dial: %v", err)
				l.done.Add(1)
				continue
			}
			conn, in = c, bufio.NewReader(c)
		}
		_ = conn.SetDeadline(time.Now().Add(patience)) // or the read says so
		method, text := "GET", fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: load\r\n\r\n", i)
		if l.path != "" {
			text = "GET " + l.path + " HTTP/1.1\r\nHost: load\r\n\r\n"
		} else if i%3 == 0 {
			method, text = "POST", fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: load\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		}
		// The gateway may answer and close before it has all of it: what counts
		// is the answer.
		_, _ = io.WriteString(conn, text)
		var a answer
		var err error
		if a.Response, err = http.ReadResponse(in, &http.Request{Method: method}); err == nil {
			var b []byte
			b, err = io.ReadAll(a.Body)
			a.body = string(b)
		}
		l.done.Add(1)
		switch {
		case err != nil:
			l.failures.add("%s, %d-th of its connection: %v", method, served, err)
			hangup()
			continue
		case !l.good(&a):
			l.failures.add("%s: %d %s", method, a.StatusCode, a.body)
		}
		served++
		if a.Close || l.fresh {
			hangup()
		}
	}
}
