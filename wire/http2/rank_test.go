package http2

import (
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// rankedCall is one that knows how much it matters.
type rankedCall struct {
	*call
	rank wire.Rank
}

func (c *rankedCall) Rank() wire.Rank { return c.rank }

// TestRank: a connection to a service matters as much as the most important of what
// is on it; one of a client always, since what it asks for is not known.
func TestRank(t *testing.T) {
	t.Parallel()
	loop := &fakeLoop{}
	o := newCaller(loop)
	want := func(want wire.Rank, when string) {
		t.Helper()
		if got := wire.RankOf(o.conn.handler); got != want {
			t.Errorf("rank %d %s, want %d", got, when, want)
		}
	}
	o.conn.handler.OnOpen()
	want(wire.RankFirst, "when nothing is on it")
	ask := func(rank wire.Rank) *rankedCall {
		c := &rankedCall{&call{owner: o}, rank}
		h := &c.x.Request
		h.Method, h.Path, h.Authority = []byte("GET"), []byte("/"), []byte("svc")
		c.stream = o.c.Send(&c.x, c, nil, true)
		return c
	}
	ask(wire.RankLast)
	ask(wire.RankBegun)
	want(wire.RankLast, "with two that can wait")
	c := ask(wire.RankFirst)
	want(wire.RankFirst, "with one that cannot")
	c.over = true
	c.stream.Cancel()
	loop.turn()
	want(wire.RankLast, "when that has ended")
	if got := wire.RankOf(&session{}); got != wire.RankFirst {
		t.Errorf("rank %d of a client's connection", got)
	}
}
