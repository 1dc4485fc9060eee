package http2

import (
	"slices"
	"strings"
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

// late is a connection to a site on a loop that is behind, once begin has been
// given.
type late struct {
	t    *testing.T
	loop *fakeLoop
	conn *fakeConn
	site *site
	sc   *scribe
}

func newLate(t *testing.T, begin string) *late {
	loop := &fakeLoop{}
	l := &late{t, loop, newFakeConn(loop), &site{loop: loop, rank: wire.RankLast}, newScribe()}
	New(1).Serve(l.conn, l.site, &openLimits)
	l.give("PREFACE\n" + begin)
	loop.behind = true
	return l
}

// give hands in frames in one read.
func (l *late) give(lines string) {
	l.t.Helper()
	var in []byte
	for line := range strings.Lines(lines) {
		in = append(in, l.sc.frames(l.t, strings.TrimSpace(line))...)
	}
	l.conn.give(in)
}

// heard checks what the site has heard since the last time.
func (l *late) heard(want, when string) {
	l.t.Helper()
	if got := l.site.log.String(); got != want {
		l.t.Errorf("%s: heard %q, want %q", when, got, want)
	}
	l.site.log.Reset()
}

const head = " end_headers :method=POST :scheme=http :authority=a :path="

// TestLate: on a loop that is behind what comes on a stream is told by how much its
// request matters, once for all that has gathered, in order; new requests, and what a
// client takes back, are told at once. Where nothing is behind nothing is put off.
func TestLate(t *testing.T) {
	t.Parallel()
	l := newLate(t, "HEADERS 1"+head+"/a\nHEADERS 3"+head+"/b\nHEADERS 5"+head+"/c\nDATA 3 0")
	v := l.site.open
	body := func(i int, want, when string) {
		t.Helper()
		if got := string(v[i].body); got != want {
			t.Errorf("%s: the sink has %q, want %q", when, got, want)
		}
	}
	if body(1, "0", "not behind"); len(l.loop.late) != 0 {
		t.Error("something is put off while the loop is not behind")
	}
	l.give("DATA 1 1\nHEADERS 7 end_stream" + head + "/new\nDATA 3 1\nDATA 1 2\nDATA 3 end_stream 2")
	l.heard("request POST path=/new host=a length=0\n", "a new request behind what can wait")
	body(0, "", "put off")
	body(1, "0", "put off")
	l.site.rank = wire.RankBegun
	l.give("DATA 5 x")
	if !slices.Equal(l.loop.ranks, []wire.Rank{wire.RankLast, wire.RankLast, wire.RankBegun}) {
		t.Errorf("put off with ranks %v", l.loop.ranks)
	}
	l.site.rank = wire.RankFirst
	l.give("HEADERS 9" + head + "/pay\nDATA 9 1\nHEADERS 1 end_stream end_headers x-sum=3")
	l.give("DATA 9 end_stream 2")
	l.heard("request POST path=/pay host=a length=-1 body=\"12\"\n", "a request that matters")
	l.loop.catchUp()
	l.heard("request POST path=/a host=a length=-1 body=\"12{x-sum: 3\\r\\n}\"\nrequest POST path=/b host=a length=-1 body=\"012\"\n", "what was put off")
	body(2, "x", "put off, of one that goes on")

	l.site.rank = wire.RankLast
	l.give("DATA 5 end_stream y\nRST_STREAM 5 8")
	l.heard("abort client_gone\n", "a client that takes it back")
	l.give("HEADERS 11" + head + "/d")
	l.give("DATA 11 y")
	l.give("HEADERS 11 end_stream end_headers x-sum=1")
	l.loop.catchUp() // 5, whose stream 11 may have now, and 11
	l.heard("request POST path=/d host=a length=-1 body=\"y{x-sum: 1\\r\\n}\"\n", "trailers put off")
	l.give("HEADERS 13" + head + "/e")
	l.give("DATA 13 end_stream z")
	l.conn.lose(wire.ErrClosed)
	l.heard("abort client_gone\n", "a connection that is lost")
	l.loop.catchUp()
	l.heard("", "what was put off of it")
}

// TestLateHeld: a sink that pauses before its turn has come hears nothing until it
// wants to; one that goes on before hears nothing until its turn; one that has
// answered hears nothing more.
func TestLateHeld(t *testing.T) {
	t.Parallel()
	l := newLate(t, "HEADERS 1"+head+"/held\nHEADERS 3"+head+"/begin\nHEADERS 5"+head+"/a")
	held, early, other := l.site.open[0], l.site.open[1], l.site.open[2]
	got := func(v *visit, want, when string) {
		t.Helper()
		if string(v.body) != want {
			t.Errorf("%s: the sink has %q, want %q", when, v.body, want)
		}
	}
	held.stream.Resume()
	l.loop.turn()
	l.give("DATA 1 1")
	held.stream.Pause()
	l.loop.catchUp()
	got(held, "", "paused when its turn comes")
	held.stream.Resume()
	l.loop.turn()
	got(held, "1", "resumed")
	l.give("DATA 5 1")
	other.stream.Pause()
	other.stream.Resume()
	l.loop.turn()
	got(other, "", "resumed before its turn")
	l.loop.catchUp()
	got(other, "1", "at its turn")

	l.give("DATA 3 1")
	early.over = true
	early.stream.Data([]byte("end"), true)
	l.loop.catchUp()
	got(early, "", "answered")
}

// TestLateWindow: what waits for its turn is not given back to the client, which is
// given time again when it has come.
func TestLateWindow(t *testing.T) {
	t.Parallel()
	l := newLate(t, "HEADERS 1"+head+"/a")
	shownSince(t, l.conn)
	l.give("*16 DATA 1 size=16384")
	if out := shownSince(t, l.conn); strings.Contains(out, "WINDOW_UPDATE") {
		t.Errorf("a window for what waits: %s", out)
	}
	l.loop.pass(2 * testLimits.Body)
	l.heard("", "nothing while it is our turn")
	l.loop.catchUp()
	if out := shownSince(t, l.conn); !strings.Contains(out, "WINDOW_UPDATE 1 131072\nWINDOW_UPDATE 1 131072") || len(l.site.open[0].body) != ourWindow {
		t.Errorf("%d bytes, and then %s", len(l.site.open[0].body), out)
	}
	l.loop.behind = false
	l.loop.pass(testLimits.Body / 2)
	l.heard("", "within its time")
	l.loop.pass(testLimits.Body)
	l.heard("refused body_timeout\n", "a client that says nothing more")
}

// TestNoLateAllocations: to put off takes no memory that is not there.
func TestNoLateAllocations(t *testing.T) {
	l := newLate(t, "HEADERS 1"+head+"/never")
	l.loop.late, l.loop.ranks = make([]wire.Latecomer, 0, 8), make([]wire.Rank, 0, 8)
	v, piece := l.site.open[0], l.sc.frames(t, "DATA 1 piece")
	l.conn.quiet = true
	if n := testing.AllocsPerRun(100, func() {
		l.conn.handler.OnData(piece)
		who := l.loop.late[0]
		l.loop.late, l.loop.ranks = l.loop.late[:0], l.loop.ranks[:0]
		who.OnTurn()
		v.body = v.body[:0]
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
