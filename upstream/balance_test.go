package upstream

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// chiSquare is how far counts are from shares by weight, in standard deviations
// of what chance alone gives: beyond 4 it is no chance.
func chiSquare(counts []int, weights []uint32) float64 {
	var n, sum float64
	for i, c := range counts {
		n += float64(c)
		sum += float64(weights[i])
	}
	x := 0.0
	for i, c := range counts {
		want := n * float64(weights[i]) / sum
		x += (float64(c) - want) * (float64(c) - want) / want
	}
	free := float64(len(counts) - 1)
	return (x - free) / math.Sqrt(2*free)
}

func TestSharesAreThoseOfTheWeights(t *testing.T) {
	t.Parallel()
	mixed := make([]uint32, 300)
	for i := range mixed {
		mixed[i] = 1 + uint32(i*i%97)
	}
	for _, by := range []balance{random, leastRequest, peakEWMA} {
		for name, weights := range map[string][]uint32{
			"equal": repeat(7, 100),
			"three": {1, 2, 7},
			"mixed": mixed,
		} {
			p, m := planOf(by, weights...)
			for i := range m {
				m[i].ep.latency.heard(0, &Result{Status: 200, Took: 20 * time.Millisecond}, 1)
			}
			counts, _ := tally(p, m, 200_000)
			if x := chiSquare(counts, weights); x > 4 {
				t.Errorf("%s, %s: %.1f standard deviations from the weights", names[by], name, x)
			}
		}
	}
}

func TestLatencyRisesAtOnceAndFallsSlowly(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	var e latency
	now := time.Hour
	steps := []struct {
		pass time.Duration
		r    Result
		want float32 // ms after it
	}{
		{0, Result{Took: 20 * ms, Status: 200}, 20},              // the first is believed
		{0, Result{Took: 60 * ms, Status: 200}, 60},              // up at once
		{0, Result{Took: time.Second, Status: 200}, 240},         // but not further than fourfold
		{0, Result{Took: time.Second, Status: 200}, 960},         // by one request
		{10 * time.Second, Result{Took: ms, Status: 200}, 353.8}, // 960/e + 1 x (1-1/e)
		{0, Result{Took: ms, Outcome: Abandoned}, 353.8},         // says nothing
		{0, Result{Took: 500 * ms, Outcome: Abandoned}, 500},     // says that it takes longer
		{time.Minute, Result{Took: ms, Status: 200}, 2.2},
		{0, Result{Took: ms, Status: 503}, 8.9}, // a quick failure is slow
		{0, Result{Took: ms, Status: 404}, 8.9}, // that is the client's
		{0, Result{Took: ms, Status: 200, GRPC: 14}, 35.7},
		{0, Result{Took: ms, Outcome: Broken}, 142.7},
		{0, Result{Took: ms, Outcome: Unreached}, 142.7}, // it stands aside, that is all
		{0, Result{Took: ms, Outcome: Torn}, 570.9},
		{0, Result{Took: ms, Outcome: Late}, 2283.5},
		{0, Result{Took: ms, Outcome: Late}, 5000}, // no failure is worse
		{0, Result{Took: 30 * time.Second, Outcome: Late}, 5000},
	}
	for i, s := range steps {
		now += s.pass
		e.heard(now, &s.r, 1)
		if got := e.expect(now, 0) * 1000; math.Abs(float64(got-s.want)) > 0.03*float64(s.want) {
			t.Errorf("step %d: %.1f ms, want %.1f", i, got, s.want)
		}
	}
	var busy latency // it falls by time, however many answers there are
	busy.heard(0, &Result{Took: time.Second, Status: 200}, 1)
	for at := ms; at <= 10*time.Second; at += ms {
		busy.heard(at, &Result{Took: 2 * ms, Status: 200}, 1)
	}
	if got := busy.expect(10*time.Second, 0); got < 0.36 || got > 0.38 {
		t.Errorf("after ten seconds of 1000 answers a second %.3f s, want 1/e", got)
	}
	if got := e.expect(now+10*time.Second, 3) * 1000; math.Abs(float64(got)-5000/math.E) > 20 {
		t.Errorf("after ten seconds without an answer %.0f ms, want 5000/e", got)
	}
	if got := e.expect(now+time.Hour, 3); got != quick {
		t.Errorf("after an hour %.4f s, want %v", got, quick)
	}
	if got := e.expect(now-time.Second, 0); got != 5 {
		t.Errorf("to a loop whose clock is behind %.4f s, want 5", got)
	}
}

func TestUnknownEndpointGetsOneRequestAtATime(t *testing.T) {
	t.Parallel()
	p, m := planOf(peakEWMA, 1, 1, 1)
	for _, k := range m[:2] {
		k.ep.latency.heard(0, &Result{Status: 200, Took: 10 * time.Millisecond}, 1)
		k.ep.inflight.Store(5)
	}
	fresh := m[2].ep
	counts := map[*Endpoint]int{}
	cur := cursor{random: 5}
	for range 1000 {
		ep := p.choose(&cur, 0, &Ask{})
		counts[ep]++
		if ep == fresh {
			ep.inflight.Store(1)
		}
	}
	if counts[fresh] != 1 {
		t.Errorf("the new endpoint got %d requests before it had answered one", counts[fresh])
	}
	// Where a first request goes on for ever the endpoint is still of use.
	m[0].ep.inflight.Store(300)
	m[1].ep.inflight.Store(300)
	tried := 0
	for range 1000 {
		if p.choose(&cur, 0, &Ask{}) == fresh {
			tried++
		}
	}
	if tried == 0 {
		t.Error("an endpoint whose first answer takes for ever gets nothing, however busy the others are")
	}
}

func TestConnectionsGoByWhatIsOpen(t *testing.T) {
	t.Parallel()
	p, m := planOf(peakEWMA, 1, 1)
	m[0].ep.latency.heard(0, &Result{Status: 200, Took: time.Second}, 1)
	m[1].ep.latency.heard(0, &Result{Status: 200, Took: time.Millisecond}, 1)
	cur := cursor{random: 9}
	for range 1000 {
		p.choose(&cur, 0, &Ask{flow: true}).inflight.Add(1)
	}
	if a, b := m[0].ep.inflight.Load(), m[1].ep.inflight.Load(); a-b > 40 || b-a > 40 {
		t.Errorf("%d and %d connections: the time of answers must not matter", a, b)
	}
}

// server is an endpoint in simulated time, with as many workers as it likes.
type server struct {
	took   func(*rand.Rand) time.Duration
	served int
	status int
}

type answer struct {
	at   time.Duration
	from int
	took time.Duration
}

type answers []answer

func (a answers) Len() int           { return len(a) }
func (a answers) Less(i, j int) bool { return a[i].at < a[j].at }
func (a answers) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *answers) Push(x any)        { *a = append(*a, x.(answer)) }
func (a *answers) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

// simulate sends n requests, every of them after gap.
func simulate(by balance, servers []server, n int, gap time.Duration) {
	p, m := planOf(by, repeat(1, len(servers))...)
	cur := cursor{random: 77}
	rnd := rand.New(rand.NewPCG(3, 4))
	index := map[*Endpoint]int{}
	for i := range m {
		index[m[i].ep] = i
	}
	var open answers
	now := time.Hour
	for range n {
		now += gap
		for len(open) > 0 && open[0].at <= now {
			a := heap.Pop(&open).(answer)
			ep := m[a.from].ep
			ep.inflight.Add(-1)
			others := float32(0)
			if ep.latency.word.Load() == 0 {
				others = p.usual(&cur, a.at)
			}
			ep.latency.heard(a.at, &Result{Status: servers[a.from].status, Took: a.took, GRPC: -1}, others)
		}
		ep := p.choose(&cur, now, &Ask{})
		i := index[ep]
		servers[i].served++
		ep.inflight.Add(1)
		took := servers[i].took(rnd)
		heap.Push(&open, answer{now + took, i, took})
	}
}

// about takes a time around d, half of it either way.
func about(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return d/2 + time.Duration(r.Int64N(int64(d))) }
}

func TestPeakEWMAFindsTheSlowAndTheFailing(t *testing.T) {
	t.Parallel()
	const n = 60_000 // a minute at 1,000 requests a second
	for _, c := range []struct {
		what string
		one  server
		most int
	}{
		{"ten times as slow", server{took: about(100 * time.Millisecond), status: 200}, n / 60},
		{"failing at once", server{took: about(100 * time.Microsecond), status: 503}, n / 60},
	} {
		servers := []server{c.one, {took: about(10 * time.Millisecond), status: 200}, {took: about(10 * time.Millisecond), status: 200}}
		simulate(peakEWMA, servers, n, time.Millisecond)
		if got := servers[0].served; got > c.most || got == 0 {
			t.Errorf("the one that is %s got %d of %d requests, want some, at most %d", c.what, got, n, c.most)
		}
		a, b := servers[1].served, servers[2].served
		if math.Abs(float64(a-b)) > 0.1*float64(a+b) {
			t.Errorf("the others got %d and %d", a, b)
		}
		least := []server{c.one, {took: about(10 * time.Millisecond), status: 200}, {took: about(10 * time.Millisecond), status: 200}}
		simulate(leastRequest, least, n, time.Millisecond)
		if least[0].served < 2*servers[0].served {
			t.Errorf("least-request gave the one that is %s no more: %d, %d", c.what, least[0].served, servers[0].served)
		}
	}
}

// A request in a thousand takes a second, wherever it goes: that must keep no
// endpoint without work.
func TestPeakEWMABearsStrayPeaks(t *testing.T) {
	t.Parallel()
	stray := func(r *rand.Rand) time.Duration {
		if r.IntN(1000) == 0 {
			return time.Second
		}
		return about(5 * time.Millisecond)(r)
	}
	servers := make([]server, 4)
	for i := range servers {
		servers[i] = server{took: stray, status: 200}
	}
	const n = 120_000
	simulate(peakEWMA, servers, n, 2*time.Millisecond)
	for i := range servers {
		if got := servers[i].served; got < n/4*7/10 || got > n/4*13/10 {
			t.Errorf("server %d of 4 got %d of %d", i, got, n)
		}
	}
}

func TestTellIsWhatPicksGoBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 2)
	s.Balance = ""
	w.apply(s)
	c, l := w.cluster("a"), w.loops[0]
	slow := c.members[0].ep
	for range 10 {
		for _, m := range c.members {
			conn, ep, _ := c.Pick(l, &Ask{Tried: &Tried{Only: m.ep.addr}})
			if ep == nil {
				conn, ep, _ = c.Pick(l, &Ask{})
			}
			conn.Close()
			took := 10 * time.Millisecond
			if ep == slow {
				took *= 10
			}
			c.Tell(l, ep, &Result{Outcome: Answered, Status: 200, GRPC: -1, Took: took})
		}
	}
	w.run()
	counts := map[*Endpoint]int{}
	for range 200 {
		conn, ep := w.pick("a")
		conn.opened()
		conn.finish()
		counts[ep]++
	}
	if counts[slow] > 0 {
		t.Errorf("the slow endpoint got %d of 200", counts[slow])
	}
}

// A key's requests go to one endpoint. When that is taken out they go to others,
// and all else stays; a request without a key goes by load.
func TestKeysStayWithTheirEndpoint(t *testing.T) {
	t.Parallel()
	for _, by := range []balance{ringHash, maglev} {
		m := membersOf(repeat(1, 20)...)
		set := &settings{balance: by}
		all, less := newPlan(m, set, observe.NoEndpoint), newPlan(append(append([]member{}, m[:7]...), m[8:]...), set, observe.NoEndpoint)
		counts, moved, its := make([]int, len(m)), 0, 0
		cur := cursor{random: 21}
		const n = 40_000
		for k := range uint64(n) {
			a := &Ask{Hash: HashOf(fmt.Appendf(nil, "user-%d", k)), Hashed: true}
			ep := all.choose(&cur, 0, a)
			if again := all.choose(&cur, 0, a); again != ep {
				t.Fatalf("%s: two requests with one key went to two endpoints", names[by])
			}
			for i := range m {
				if m[i].ep == ep {
					counts[i]++
				}
			}
			switch other := less.choose(&cur, 0, a); {
			case ep == m[7].ep:
				its++
				tried := &Tried{}
				tried.Add(ep)
				if next := all.choose(&cur, 0, &Ask{Hash: a.Hash, Hashed: true, Tried: tried}); next == ep {
					t.Fatalf("%s: a retry went to the same endpoint", names[by])
				} else if by == ringHash && next != other {
					t.Fatalf("%s: a retry goes elsewhere than all do once the endpoint is gone", names[by])
				}
			case other != ep:
				moved++
			}
		}
		if most := map[balance]int{ringHash: 0, maglev: n / 15}[by]; its == 0 || moved > most {
			t.Errorf("%s: one of 20 with %d of %d keys went, %d of the others' moved", names[by], its, n, moved)
		}
		for i, c := range counts {
			if c < n/20/2 || c > n/20*2 {
				t.Errorf("%s: endpoint %d has %d of %d keys", names[by], i, c, n)
			}
		}
		without, _ := tally(all, m, 20_000)
		if x := chiSquare(without, repeat(1, 20)); x > 4 {
			t.Errorf("%s: requests without a key are %.1f standard deviations from even", names[by], x)
		}
	}
}

func BenchmarkTell(b *testing.B) {
	w := newWorld(b, 1)
	s := service("a", 2)
	s.Balance = ""
	w.apply(s)
	c, l := w.cluster("a"), w.loops[0]
	_, ep, _ := c.Pick(l, &Ask{})
	r := &Result{Outcome: Answered, Status: 200, GRPC: -1, Took: 3 * time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		l.now += 10 * time.Microsecond
		c.Tell(l, ep, r)
	}
}

// TestFirstAnswerIsOneOfMany: an endpoint whose first answer was slow, as it often
// is, is asked again soon, however few requests there are; one that stays slow is
// found out by a second and a third.
func TestFirstAnswerIsOneOfMany(t *testing.T) {
	t.Parallel()
	first := true
	slowly := func(r *rand.Rand) time.Duration {
		if first {
			first = false
			return 2 * time.Second
		}
		return about(5 * time.Millisecond)(r)
	}
	for name, c := range map[string]struct {
		one         func(*rand.Rand) time.Duration
		least, most int
	}{
		"slow once": {slowly, 90, 200},
		"slow":      {about(2 * time.Second), 2, 12},
	} {
		servers := []server{{took: c.one, status: 200}, {took: about(5 * time.Millisecond), status: 200}, {took: about(5 * time.Millisecond), status: 200}}
		simulate(peakEWMA, servers, 500, 100*time.Millisecond) // 50 s
		if got := servers[0].served; got < c.least || got > c.most {
			t.Errorf("one that is %s got %d of 500 requests, want %d to %d", name, got, c.least, c.most)
		}
	}
	// Where nobody is known none is believed to be slow at once.
	var e latency
	e.heard(0, &Result{Status: 200, GRPC: -1, Took: 2 * time.Second}, 0)
	if got := e.expect(0, 0); got != quick*rise {
		t.Errorf("the first of all takes %v s", got)
	}
	e.word.Store(0)
	e.heard(0, &Result{Status: 200, GRPC: -1, Took: 2 * time.Second}, 0.03)
	if got := e.expect(0, 0); got != 0.06 {
		t.Errorf("the first of one takes %v s", got)
	}
}

// TestFirstAnswerOnConnection: what took long because a connection was made for
// it does not make its endpoint slow, nor is it unknown any more.
func TestFirstAnswerOnConnection(t *testing.T) {
	t.Parallel()
	var fresh, known latency
	fresh.heard(0, &Result{Status: 200, GRPC: -1, Took: time.Second, Dialled: true}, 0.03)
	if got := fresh.expect(0, 0); got != 0.03 {
		t.Errorf("the endpoint is known by the time of its handshake: %v s", got)
	}
	known.heard(0, &Result{Status: 200, GRPC: -1, Took: 2 * time.Millisecond}, 1)
	was := known.word.Load()
	known.heard(time.Second, &Result{Status: 200, GRPC: -1, Took: time.Second, Dialled: true}, 1)
	if known.word.Load() != was {
		t.Error("a handshake has made the endpoint slow")
	}
	known.heard(time.Second, &Result{Status: 503, GRPC: -1, Took: time.Second, Dialled: true}, 1)
	if known.word.Load() == was {
		t.Error("a failure on a new connection is not heard")
	}
}

// TestQuickAnswersNeedNoNote: what is left out makes no difference, now or later.
func TestQuickAnswersNeedNoNote(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 9))
	some := func() time.Duration { return time.Duration(rnd.Int64N(int64(2 * quickly))) }
	left := 0
	for range 10_000 {
		var noted, spared latency
		now := time.Hour
		noted.heard(now, &Result{Status: 200, Took: some()}, 0.5)
		spared.word.Store(noted.word.Load())
		now += time.Duration(rnd.Int64N(int64(time.Minute)))
		r := Result{Status: 200 + rnd.IntN(400), Took: some(), GRPC: rnd.IntN(16) - 1}
		if !spared.same(&r) {
			continue
		}
		left++
		noted.heard(now, &r, 0.5)
		for range 3 {
			now += time.Duration(rnd.Int64N(int64(10 * time.Second)))
			if a, b := noted.expect(now, 1), spared.expect(now, 1); a != b {
				t.Fatalf("%v: %v, noted %v", r, b, a)
			}
			next := Result{Status: 503, Took: some()}
			noted.heard(now, &next, 0.5)
			spared.heard(now, &next, 0.5)
			if a, b := noted.expect(now, 1), spared.expect(now, 1); a != b {
				t.Fatalf("after a failure: %v: %v, noted %v", r, b, a)
			}
		}
	}
	if left < 100 {
		t.Errorf("%d answers were left out", left)
	}
}
