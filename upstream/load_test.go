package upstream

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// TestConnectionForEachRequest: where each request has a connection made for it, as
// a service has it that closes them, one that has failed once is neither left without
// requests while there are few nor given all where there are many.
func TestConnectionForEachRequest(t *testing.T) {
	t.Parallel()
	for name, gap := range map[string]time.Duration{"few": 50 * time.Millisecond, "many": time.Millisecond} {
		p, m := planOf(peakEWMA, 1, 1, 1)
		cur := cursor{random: 77}
		rnd := rand.New(rand.NewPCG(3, 4))
		ends := map[*Endpoint][]time.Duration{} // of what runs
		counts := map[*Endpoint]int{}
		now := time.Hour
		m[0].ep.latency.heard(now, &Result{Status: 503, GRPC: -1, Took: time.Millisecond, Dialled: true}, 0)
		const n = 3000
		for range n {
			now += gap
			for _, k := range m {
				left := ends[k.ep][:0]
				for _, at := range ends[k.ep] {
					if at > now {
						left = append(left, at)
						continue
					}
					k.ep.inflight.Add(-1)
					k.ep.latency.heard(at, &Result{Status: 200, GRPC: -1, Took: 20 * time.Millisecond, Dialled: true}, p.usual(&cur, at))
				}
				ends[k.ep] = left
			}
			ep := p.choose(&cur, now, &Ask{Once: true})
			ep.inflight.Add(1)
			counts[ep]++
			ends[ep] = append(ends[ep], now+10*time.Millisecond+time.Duration(rnd.Int64N(int64(20*time.Millisecond))))
		}
		for i, k := range m {
			if got := counts[k.ep]; got < n/12 || got > n/2 {
				t.Errorf("where there are %s endpoint %d of three got %d of %d", name, i, got, n)
			}
		}
	}
}

// TestLatencyOfWeeksAgo: what was told before the clock's wrap, or half of it, is
// forgotten as all else is.
func TestLatencyOfWeeksAgo(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, weeks := range []time.Duration{1, 4, 5, 6, 7} {
		var e latency
		for range 9 {
			e.heard(day, &Result{Outcome: Late, Took: time.Second}, 1)
		}
		now := day + weeks*7*day
		if got := e.expect(now, 0); got != quick {
			t.Errorf("%d weeks after it failed it is expected to take %v s", weeks, got)
		}
		if !e.due(now) {
			t.Errorf("%d weeks after it failed it is too early to ask it", weeks)
		}
	}
}

// TestAgainAfterFailures: who is avoided for failures is not found out about by
// another try of a request, and by one every three seconds where nobody waits long
// enough for its answer.
func TestAgainAfterFailures(t *testing.T) {
	t.Parallel()
	p, m := planOf(peakEWMA, 1, 1, 1)
	bad := m[0].ep
	for i := range m {
		m[i].ep.latency.heard(0, &Result{Status: 200, GRPC: -1, Took: 10 * time.Millisecond}, 1)
	}
	for range 9 {
		bad.latency.heard(0, &Result{Outcome: Late, Took: time.Second}, 1)
	}
	const now = again + time.Second
	tried := &Tried{}
	tried.Add(m[1].ep)
	cur := cursor{random: 5}
	counts := map[bool]int{}
	for range 1000 {
		for _, another := range []bool{false, true} {
			a := &Ask{}
			if another {
				a.Tried = tried
			}
			if p.choose(&cur, now, a) == bad {
				counts[another]++
			}
		}
	}
	if counts[false] < 500 || counts[true] > 100 {
		t.Errorf("%d of 1000 first tries find out, and %d others", counts[false], counts[true])
	}
	was := bad.latency.expect(now, 0)
	bad.latency.heard(now, &Result{Outcome: Abandoned, Took: time.Second}, 1)
	if bad.latency.due(now + again - 100*time.Millisecond) {
		t.Error("the next is sent at once where the one before was given up")
	}
	if got := bad.latency.expect(now, 0); got < was*0.99 || got > was*1.01 || !bad.latency.due(now+again+100*time.Millisecond) {
		t.Errorf("it is expected to take %v s, which were %v", got, was)
	}
}

// TestRiseFromWhatIsLeft: also below an old peak one request raises what is left of it
// at most fourfold.
func TestRiseFromWhatIsLeft(t *testing.T) {
	t.Parallel()
	var e latency
	for range 9 {
		e.heard(0, &Result{Status: 200, GRPC: -1, Took: time.Second}, 1)
	}
	now := 3 * decay
	was := e.expect(now, 0)
	if e.heard(now, &Result{Status: 200, GRPC: -1, Took: 900 * time.Millisecond}, 1); e.expect(now, 0) > was*rise*1.01 {
		t.Errorf("from %v to %v s", was, e.expect(now, 0))
	}
}

// TestConnectedAgain: who takes connections again is another only where none of
// before is left.
func TestConnectedAgain(t *testing.T) {
	t.Parallel()
	ep := &Endpoint{pools: make([]atomic.Pointer[pool], 2)}
	a, b := &pool{}, &pool{}
	ep.pools[0].Store(a)
	ep.pools[1].Store(b)
	a.open.Store(3)
	a.opening.Store(2)
	b.open.Store(1)
	again := func() float32 {
		ep.latency.heard(0, &Result{Status: 200, GRPC: -1, Took: time.Second}, 1)
		ep.connectFailed(0)
		ep.connected()
		return ep.latency.expect(0, 0)
	}
	if again() == 0 {
		t.Error("one with too much to do is taken for another when it takes a connection")
	}
	b.opening.Store(1)
	if again() != 0 {
		t.Error("what the one before took counts for the one that takes connections again")
	}
}

// TestSlowStartOfTheOnly: one that was alone has everything, and does not begin when
// another comes.
func TestSlowStartOfTheOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	with := func(n int, first bool) {
		s := service("a", n)
		if !first {
			s.Endpoints = s.Endpoints[1:]
		}
		s.SlowStart = &model.SlowStart{Window: 100 * time.Second}
		w.apply(s)
	}
	with(1, true)
	with(2, false) // the second takes the place of the first
	w.loops[0].pass(time.Minute)
	with(3, false)
	counts := map[*Endpoint]int{}
	for range 400 {
		conn, ep := w.pick("a")
		conn.opened()
		conn.finish()
		counts[ep]++
	}
	if got := counts[w.cluster("a").members[1].ep]; got == 0 || got > 80 {
		t.Errorf("the one that has come got %d of 400, want about 40", got)
	}
}

// TestRestOfWhoIsGone: an endpoint that is not the service's, or not any more, is not
// waited for in place of those that are.
func TestRestOfWhoIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	c := w.cluster("a")
	var p Pauses
	var tried Tried
	is, gone := c.members[0].ep, &Endpoint{}
	tried.Add(is)
	p.Note(gone, time.Second)
	p.Note(is, 5*time.Second)
	if got := c.Rest(2*time.Second, &tried, &p); got != 3*time.Second || tried.Has(is) {
		t.Errorf("rests %v", got)
	}
	p = Pauses{}
	p.Note(gone, 5*time.Second)
	tried.Reset()
	tried.Add(is)
	if got := c.Rest(2*time.Second, &tried, &p); got != 0 {
		t.Errorf("rests %v for one that is gone", got)
	}
}
