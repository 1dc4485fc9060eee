package http1

import (
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// Those who know how much their exchange matters.
type (
	rankedVisit struct {
		*visit
		rank wire.Rank
	}
	rankedCall struct {
		*call
		rank wire.Rank
	}
)

func (v rankedVisit) Rank() wire.Rank { return v.rank }
func (c rankedCall) Rank() wire.Rank  { return c.rank }

// rankedSite is a site whose exchanges matter as it says.
type rankedSite struct {
	*site
	rank wire.Rank
}

func (s *rankedSite) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	x, sink := s.site.Begin(st)
	return x, rankedVisit{sink.(*visit), s.rank}
}

// TestRank: a connection matters as much as the exchange on it does; while a request
// is awaited or comes, as much as any may.
func TestRank(t *testing.T) {
	t.Parallel()
	want := func(of wire.ConnHandler, want wire.Rank, when string) {
		t.Helper()
		if got := wire.RankOf(of); got != want {
			t.Errorf("rank %d %s, want %d", got, when, want)
		}
	}
	for _, rank := range []wire.Rank{wire.RankFirst, wire.RankBegun, wire.RankLast} {
		loop := &fakeLoop{}
		s := &rankedSite{&site{loop: loop}, rank}
		conn := newFakeConn(loop)
		New(1).Serve(conn, s, &openLimits)
		want(conn.handler, wire.RankFirst, "before a request")
		conn.give([]byte("POST /echo HTTP/1.1\r\nHost: a\r\nContent-"))
		want(conn.handler, wire.RankFirst, "in a head")
		conn.give([]byte("Length: 2\r\n\r\na"))
		want(conn.handler, rank, "in a body")
		conn.give([]byte("b"))
		want(conn.handler, wire.RankFirst, "after the response")

		o := newCaller(loop)
		want(o.conn.handler, wire.RankFirst, "before it is used")
		o.conn.handler.OnOpen()
		c := rankedCall{&call{owner: o}, rank}
		c.x.Request.Method, c.x.Request.Path = []byte("GET"), []byte("/")
		c.stream = o.c.Send(&c.x, c, nil, true)
		want(o.conn.handler, rank, "while a response is awaited")
		o.conn.give([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"))
		want(o.conn.handler, rank, "in a response")
		o.conn.give([]byte("b"))
		want(o.conn.handler, wire.RankFirst, "after a response")
	}
}
