package http3

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/naru-mesh/naru/wire"
)

// lateLoop is a loop that is behind where the test says so.
type lateLoop struct {
	*fakeLoop
	behind bool
	asked  int
	late   []wire.Latecomer
	ranks  []wire.Rank
}

func (l *lateLoop) Behind() bool { l.asked++; return l.behind }
func (l *lateLoop) PutOff(rank wire.Rank, who wire.Latecomer) {
	l.late, l.ranks = append(l.late, who), append(l.ranks, rank)
}

// catchUp does what was put off.
func (l *lateLoop) catchUp() {
	list := l.late
	l.late, l.ranks = nil, nil
	for _, who := range list {
		who.OnTurn()
	}
}

// rankedServer gives the exchanges of a world a rank.
type rankedServer struct {
	*world
	rank wire.Rank
}

type rankedVisit struct {
	*visit
	of *rankedServer
}

func (v *rankedVisit) Rank() wire.Rank { return v.of.rank }

func (s *rankedServer) Begin(to wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	x, sink := s.world.Begin(to)
	return x, &rankedVisit{sink.(*visit), s}
}

// stillStream is a stream of QUIC on which nothing happens but what the test does.
type stillStream struct{}

func (stillStream) Peek([]byte) (int, error)         { return 0, errors.New("nothing comes") }
func (stillStream) Read([]byte) (int, error)         { return 0, errors.New("nothing comes") }
func (stillStream) CancelRead(quic.StreamErrorCode)  {}
func (stillStream) ReleaseStreamCredit()             {}
func (stillStream) Write(b []byte) (int, error)      { return len(b), nil }
func (stillStream) TryWriteAll([]byte) error         { return nil }
func (stillStream) SetWriteDeadline(time.Time) error { return nil }
func (stillStream) Close() error                     { return nil }
func (stillStream) CancelWrite(quic.StreamErrorCode) {}
func (stillStream) SetPriority(int8, bool)           {}
func (stillStream) Context() context.Context         { return context.Background() }

// reads is what the goroutine that reads does with what came.
func (p *pipe) reads(b []byte, err error) {
	c := chunks.Get().(*chunk)
	c.n = copy(c.b[:], b)
	p.note(func() { p.came, p.bytes, p.inEnd = append(p.came, c), p.bytes+c.n, err })
}

// TestRanked: on a loop that is behind a stream's turn comes by how much its request
// matters, once for all that has gathered; a new request, and a client that leaves,
// are told at once. Where nothing is behind nothing is put off.
func TestRanked(t *testing.T) {
	w := newWorld(t)
	w.plan = func(*visit) {}
	l := &lateLoop{fakeLoop: w.loop}
	srv := &rankedServer{w, wire.RankLast}
	k := &link{loop: l, sorter: l, begin: func(run func()) { run() }}
	k.session = newSession(l, &local{}, w.carrier, wire.Peer{TLS: &wire.TLSState{}}, srv, w.m.lim)
	next := uint64(0)
	ask := func() *pipe {
		t.Helper()
		p := newPipe(k, next, stillStream{}, stillStream{}, k.session.open)
		next += 4
		block := appendSection(nil)
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}} {
			block = appendField(block, f[0], f[1], false)
		}
		p.reads(append(appendFrame(nil, frameHeaders, len(block)), block...), nil)
		return p
	}
	body := func(p *pipe, text string) {
		p.reads(append(appendFrame(nil, frameData, len(text)), text...), nil)
	}
	heard := func(want, when string) {
		t.Helper()
		if got := w.events(); got != want {
			t.Errorf("%s: heard %q, want %q", when, got, want)
		}
	}
	const head = "POST / a length -1 \"\" false\n"

	p := ask()
	heard(head, "a request")
	body(p, "a")
	heard("data \"a\" false\n", "its body")
	l.behind = true
	q := ask()
	heard(head, "a request on a loop that is behind")
	body(p, "b")
	heard("", "a body there")
	body(p, "c")
	srv.rank = wire.RankBegun
	body(q, "x")
	heard("", "two bodies")
	if len(l.ranks) != 2 || l.ranks[0] != wire.RankLast || l.ranks[1] != wire.RankBegun {
		t.Errorf("put off with ranks %v", l.ranks)
	}
	l.catchUp()
	heard("data \"b\" false\ndata \"c\" false\ndata \"x\" false\n", "what was put off")
	srv.rank = wire.RankFirst
	body(p, "d")
	heard("data \"d\" false\n", "a body that matters")

	srv.rank = wire.RankLast
	body(p, "e")
	heard("", "a body of a client that is there")
	p.reads(nil, &quic.StreamError{Remote: true})
	heard("abort client_gone\n", "a client that leaves")
	body(q, "y")
	heard("", "a body before the connection is lost")
	k.session.gone()
	heard("abort client_gone\n", "a connection that is lost")
	l.catchUp()
	heard("", "what was put off of those that have left")
	if l.asked == 0 {
		t.Error("the loop was never asked")
	}

	// A link of a loop that does not sort.
	w = newWorld(t)
	w.plan = func(*visit) {}
	k = &link{loop: w.loop, begin: func(run func()) { run() }, session: w.m}
	p = ask()
	body(p, "a")
	if got := w.events(); got != head+"data \"a\" false\n" {
		t.Errorf("heard %q", got)
	}
}
