package http1

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// successor is an HTTP/2 codec that writes down what it is given.
type successor struct {
	conn wire.Conn
	got  strings.Builder
}

func (k *successor) Take(c wire.Conn, _ wire.Server, _ *wire.Limits, first []byte) {
	k.conn = c
	k.got.Write(first)
	c.SetHandler(k)
}

func (k *successor) OnOpen()         {}
func (k *successor) OnData(b []byte) { k.got.Write(b) }
func (k *successor) OnEOF()          {}
func (k *successor) OnDrained()      {}
func (k *successor) OnClose(error)   {}

// arrive gives a connection the bytes, piece by piece, and says who took it.
func arrive(lim *wire.Limits, peer wire.Peer, in string, piece int) (*successor, *site, *fakeConn) {
	loop := &fakeLoop{}
	s := &site{loop: loop}
	k := &successor{}
	codec := New(1)
	codec.HandOver(k)
	conn := newFakeConn(loop)
	conn.peer = peer
	codec.Serve(conn, s, lim)
	cutUp(conn, []byte(in), []byte{byte(piece - 1)})
	loop.turn()
	return k, s, conn
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	lim := openLimits
	lim.HTTP2 = true
	const more = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for piece := 1; piece <= len(preface)+len(more); piece++ {
		k, s, conn := arrive(&lim, wire.Peer{}, preface+more, piece)
		if k.got.String() != preface+more {
			t.Errorf("in pieces of %d: it was given %q", piece, k.got.String())
		}
		if got := s.log.String(); got != "gone\n" || conn.ended != "" || len(conn.out) > 0 || conn.paused {
			t.Errorf("in pieces of %d: events %q, ended %q, sent %q", piece, got, conn.ended, conn.out)
		}
	}
}

// TestHandOverNothingElse: what begins like the preface is a request.
func TestHandOverNothingElse(t *testing.T) {
	t.Parallel()
	with, without := openLimits, openLimits
	with.HTTP2 = true
	for _, in := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
		"PRI / HTTP/1.1\r\nHost: a\r\n\r\n",
		"P / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + preface,
		strings.Replace(preface, "SM", "SN", 1),
	} {
		for piece := 1; piece <= len(in); piece++ {
			k, s, conn := arrive(&with, wire.Peer{}, in, piece)
			_, plain, other := arrive(&without, wire.Peer{}, in, piece)
			if k.conn != nil {
				t.Errorf("%q in pieces of %d was handed over", in, piece)
			}
			if s.log.String() != plain.log.String() || string(conn.out) != string(other.out) {
				t.Errorf("%q in pieces of %d: %q, without HTTP/2 %q", in, piece, s.log.String(), plain.log.String())
			}
		}
	}
}

func TestHandOverRefused(t *testing.T) {
	t.Parallel()
	with := openLimits
	with.HTTP2 = true
	if k, _, conn := arrive(&openLimits, wire.Peer{}, preface, 100); k.conn != nil || !strings.HasPrefix(string(conn.out), "HTTP/1.1 ") {
		t.Errorf("a listener without HTTP/2 said %q", conn.out)
	}
	// Over TLS the handshake chooses (RFC 9113 section 3.2).
	if k, _, conn := arrive(&with, wire.Peer{TLS: &wire.TLSState{}}, preface, 100); k.conn != nil || !strings.HasPrefix(string(conn.out), "HTTP/1.1 ") {
		t.Errorf("over TLS it said %q", conn.out)
	}
}
