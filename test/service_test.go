package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
)

// service is a server behind a gateway.
type service struct {
	t    testing.TB
	addr string
	ln   net.Listener
	log  *sightings

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

// listen opens a server's socket on a free port, or on addr. A port that it has
// left stays free: nobody is given it to dial from or to listen on.
func listen(t testing.TB, addr string) *service {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:" + freeport.Hold(t)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, addr: ln.Addr().String(), ln: ln, log: newSightings(), conns: map[net.Conn]bool{}}
	t.Cleanup(s.kill)
	return s
}

// serve runs an HTTP server.
func serve(t testing.TB, h http.HandlerFunc) *service {
	t.Helper()
	return serveAt(t, "", h)
}

// serveAt is serve at an address.
func serveAt(t testing.TB, addr string, h http.HandlerFunc) *service {
	t.Helper()
	s := listen(t, addr)
	server := &http.Server{Handler: h, ConnState: func(c net.Conn, state http.ConnState) {
		s.note(c, state != http.StateClosed && state != http.StateHijacked)
	}}
	go server.Serve(s.ln) //nolint:errcheck // it ends with the listener
	return s
}

// script runs do on each connection, numbered from 0, and closes it when do
// returns.
func script(t testing.TB, do func(n int, c *client)) *service {
	t.Helper()
	s := listen(t, "")
	go func() {
		for n := 0; ; n++ {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.note(conn, true)
			go func() {
				defer s.note(conn, false)
				defer conn.Close()
				do(n, &client{t: t, Conn: conn, in: bufio.NewReader(conn)})
			}()
		}
	}()
	return s
}

func (s *service) note(c net.Conn, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case open && s.ended:
		c.Close()
	case open:
		s.conns[c] = true
	default:
		delete(s.conns, c)
	}
}

// kill ends the server as kill -9 does: every connection is gone at once.
func (s *service) kill() {
	s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for c := range s.conns {
		c.Close()
	}
}

// request reads a request with its body; it is nil at the end of the stream.
func (c *client) request() (*http.Request, string) {
	r, err := http.ReadRequest(c.in)
	if err != nil {
		return nil, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, string(body)
	}
	return r, string(body)
}

// reply writes text with CRLF and does not mind when nobody reads it.
func (c *client) reply(text string) {
	_, _ = io.WriteString(c.Conn, strings.ReplaceAll(text, "\n", "\r\n"))
}

// sightings are the requests that a service saw, in order.
type sightings struct {
	mu  sync.Mutex
	all []string
}

func newSightings() *sightings { return &sightings{} }

func (s *sightings) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprintf(format, args...))
}

func (s *sightings) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

func (s *sightings) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// witness is a service that reads requests by itself, writes down every
// complete one as "METHOD target body", and whatever else it was sent.
func witness(t testing.TB) *service {
	t.Helper()
	var s *service
	log := newSightings()
	s = script(t, func(_ int, c *client) {
		for {
			if _, err := c.in.Peek(1); err != nil {
				return
			}
			r, err := http.ReadRequest(c.in)
			if err != nil {
				log.add("garbage: %v", err)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				log.add("incomplete %s %s", r.Method, r.RequestURI)
				return
			}
			text := r.Method + " " + r.RequestURI
			if len(body) > 0 {
				text += " " + string(body)
			}
			log.add("%s", text)
			if r.Method == "HEAD" {
				c.reply(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n", len(text)))
				continue
			}
			c.reply(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n%s", len(text), text))
		}
	})
	s.log = log
	return s
}
