package overload

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// server is a loop in fake time: requests come at a rate, wait in order, and are
// refused or served, which takes their cost, when it is their turn.
type server struct {
	capacity float64 // requests of normal cost, a second
	refusing float64 // cost of a refusal, as a share of that of a request
	mix      [Classes]float64

	now    time.Duration
	busy   time.Duration // until then
	queue  []waiting
	gate   Gate
	rnd    *rand.Rand
	seen   [Classes]uint64
	came   [Classes]int
	served [Classes]int
	late   int // served after the client has left
}

type waiting struct {
	since time.Duration
	class Class
}

const patience = time.Second

// tick lets a tick's requests come and go, and gives the shortest wait in it, that
// of the first in the queue where it is never empty.
func (s *server) tick(rate float64) (least time.Duration) {
	least = time.Duration(math.MaxInt64)
	cost := time.Duration(float64(time.Second) / s.capacity)
	gap := time.Duration(float64(time.Second) / rate)
	end := s.now + Tick
	for next := s.now; next < end; next += gap {
		class, dice := Normal, s.rnd.Float64()
		switch {
		case dice < s.mix[Critical]:
			class = Critical
		case dice < s.mix[Critical]+s.mix[Low]:
			class = Low
		}
		s.came[class]++
		s.queue = append(s.queue, waiting{next, class})
		for len(s.queue) > 0 && s.busy <= next {
			w := s.queue[0]
			s.queue = s.queue[1:]
			s.busy = max(s.busy, w.since)
			waited := s.busy - w.since
			least = min(least, waited)
			switch {
			case !s.gate.Calm() && !s.gate.Admit(w.class, s.rnd.Uint32()):
				s.busy += time.Duration(s.refusing * float64(cost))
			case waited > patience:
				s.late++
				s.busy += cost
			default:
				s.served[w.class]++
				s.busy += cost
			}
		}
	}
	s.now = end
	return least
}

// run runs for a time at a rate.
func (s *server) run(c *Controller, d time.Duration, rate float64) (d1 *Decision, worst time.Duration) {
	for range d / Tick {
		delay := s.tick(rate)
		worst = max(worst, delay)
		now := s.gate.Seen()
		var seen [Classes]uint64
		for i := range now {
			seen[i] = now[i] - s.seen[i]
		}
		s.seen = now
		d1 = c.Update(&Sample{Took: Tick, Delays: []time.Duration{delay}, Seen: [][Classes]uint64{seen}})
		s.gate.Set(d1.Levels[0], &d1.Loops[0], d1.Close)
	}
	return d1, worst
}

func (s *server) reset() { s.came, s.served, s.late = [Classes]int{}, [Classes]int{}, 0 }

const bound = 200 * time.Millisecond

// TestTooMuch: at several times the capacity the loop does as much as it can, the
// critical requests are served, what is admitted is served in time, and everything
// is calm again within five seconds.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		times, refusing float64
		mix             [Classes]float64
	}{
		"3x, 5% critical":                     {3, 0.02, [Classes]float64{Critical: 0.05}},
		"3x, a third low":                     {3, 0.02, [Classes]float64{Critical: 0.05, Low: 0.33}},
		"3x, nearly all low":                  {3, 0.02, [Classes]float64{Critical: 0.05, Low: 0.9}},
		"1.2x":                                {1.2, 0.05, [Classes]float64{Critical: 0.05, Low: 0.1}},
		"6x, 2% critical":                     {6, 0.01, [Classes]float64{Critical: 0.02}},
		"3x, nearly the capacity is critical": {3, 0.02, [Classes]float64{Critical: 0.3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{capacity: 5000, refusing: c.refusing, mix: c.mix, rnd: rand.New(rand.NewPCG(1, 2))}
			ctl := NewController(1, Bounds{Delay: bound})
			s.run(ctl, 2*time.Second, s.capacity/2)
			if d := ctl.out.Level; d != Calm {
				t.Fatalf("at half the capacity: %v", d)
			}
			s.reset()
			const long = 10 * time.Second
			d, worst := s.run(ctl, long, c.times*s.capacity)
			for _, w := range s.queue { // these wait for their turn yet
				s.came[w.class]--
			}
			total := 0
			for _, n := range s.served {
				total += n
			}
			goodput := float64(total) / (s.capacity * long.Seconds())
			critical := float64(s.served[Critical]) / float64(s.came[Critical])
			t.Logf("goodput %.3f, critical %.4f, late %d, worst delay %v, level %v, served %v of %v", goodput, critical, s.late, worst, d.Level, s.served, s.came)
			if goodput < 0.9 {
				t.Errorf("goodput is %.3f of the capacity", goodput)
			}
			if critical < 0.999 {
				t.Errorf("%.4f of the critical requests are served", critical)
			}
			if worst > 3*bound {
				t.Errorf("something has waited for %v", worst)
			}
			if low, normal := s.served[Low], s.served[Normal]; c.times == 3 && c.mix[Low] > 0 && c.mix[Low] < 0.5 && low > s.came[Low]/20 {
				t.Errorf("%d low ones are served beside %d normal ones", low, normal)
			}
			calm := time.Duration(0)
			for d.Level > Calm && calm < 20*time.Second {
				d, _ = s.run(ctl, Tick, s.capacity/2)
				calm += Tick
			}
			if calm > 5*time.Second {
				t.Errorf("calm after %v", calm)
			}
		})
	}
}

// TestBusy: a proxy whose processors are used up while nothing waits for long, one
// that is disturbed now and then, and one with a wave of requests that passes, refuse
// nothing.
func TestBusy(t *testing.T) {
	t.Parallel()
	c := NewController(1, Bounds{Delay: bound, CPU: 0.95, Wait: bound, Memory: 1 << 30})
	for i := range 1000 {
		s := Sample{Took: Tick, CPU: 1, Wait: 10 * time.Millisecond, Memory: 1 << 29, Delays: []time.Duration{90 * time.Millisecond}}
		if i%20 == 0 {
			s.Delays[0] = time.Second // one stall
		}
		d := c.Update(&s)
		if d.Level > Accepting || d.Loops[0] != (Shares{}) || d.Close {
			t.Fatalf("tick %d: %+v", i, d)
		}
	}
}

// TestHelpless: where what is critical is itself too much, some of it is refused,
// after everything else, and connections are accepted slowly.
func TestHelpless(t *testing.T) {
	t.Parallel()
	s := &server{capacity: 10000, refusing: 0.02, mix: [Classes]float64{Critical: 0.8}, rnd: rand.New(rand.NewPCG(3, 4))}
	c := NewController(1, Bounds{Delay: bound})
	var order []Level
	for range 100 {
		d, _ := s.run(c, Tick, 30000)
		if len(order) == 0 || d.Level > order[len(order)-1] {
			order = append(order, d.Level)
		}
		if d.Level == RefusingCritical && (d.Loops[0][Normal] < 1 || d.Accept != AcceptSlowly) {
			t.Fatalf("critical ones are refused before others: %+v", d)
		}
	}
	if order[len(order)-1] != RefusingCritical {
		t.Errorf("levels %v", order)
	}
	s.reset()
	s.run(c, 10*time.Second, 30000)
	if g := float64(s.served[Critical]) / (s.capacity * 10); g < 0.6 {
		t.Errorf("goodput is %.2f", g)
	}
	// A few critical ones are not refused, however long everything waits: it would
	// help nobody.
	few := NewController(1, Bounds{Delay: bound})
	for range 100 {
		d := few.Update(&Sample{Took: Tick, Delays: []time.Duration{10 * bound}, Seen: [][Classes]uint64{{Normal: 950, Critical: 50}}})
		if d.Loops[0][Critical] > 0 {
			t.Fatalf("%+v", d)
		}
	}
	if few.out.Accept != AcceptSlowly {
		t.Errorf("accepts %v", few.out.Accept)
	}
}

// TestOrder: a loop is looked at more closely before anything is refused, and low
// goes before normal.
func TestOrder(t *testing.T) {
	t.Parallel()
	c := NewController(2, Bounds{Delay: bound})
	next := func(delay time.Duration) *Decision {
		return c.Update(&Sample{Took: Tick, Delays: []time.Duration{0, delay}, Seen: [][Classes]uint64{{}, {Normal: 500, Low: 500}}})
	}
	if d := next(bound / 3); d.Level != Calm || d.Accept != AcceptAll {
		t.Errorf("below half of the bound: %+v", d)
	}
	if d := next(bound * 2 / 3); d.Level != Accepting || d.Accept != AcceptMany {
		t.Errorf("above half of the bound: %+v", d)
	}
	if d := next(bound); d.Level != Accepting {
		t.Errorf("at the bound for one tick: %+v", d)
	}
	d := next(bound + bound/10)
	if d.Level != RefusingLow || d.Loops[1][Normal] != 0 || d.Loops[1][Low] <= 0 || d.Loops[1][Low] >= 1 {
		t.Errorf("at the bound for two: %+v", d)
	}
	if d.Loops[0] != (Shares{}) || d.Levels[0] != Calm {
		t.Errorf("the other loop refuses, too: %+v", d)
	}
	for range 10 {
		d = next(2 * bound)
	}
	if d.Level != RefusingNormal || d.Loops[1][Low] != 1 || d.Loops[1][Normal] <= 0 {
		t.Errorf("twice the bound: %+v", d)
	}
	if d.Because != [Resources]bool{QueueDelay: true} {
		t.Errorf("because %v", d.Because)
	}
	for i := 0; d.Level > Calm; i++ {
		before := d.Loops[1]
		d = next(0)
		if d.Loops[1][Normal] > before[Normal] || i > 50 {
			t.Fatalf("tick %d: %+v after %v", i, d, before)
		}
	}
}

// TestMemory: shares follow the memory that is needed, at once upwards and slowly
// downwards.
func TestMemory(t *testing.T) {
	t.Parallel()
	c := NewController(1, Bounds{Memory: 1000})
	for _, s := range []struct {
		used   int64
		level  Level
		shares Shares
	}{
		{849, Calm, Shares{}},
		{860, Accepting, Shares{}},
		{900, RefusingLow, Shares{Low: 0.5}},
		{940, RefusingNormal, Shares{Low: 1, Normal: 0.5}},
		{965, RefusingNormal, Shares{Low: 1, Normal: 1}},
		{980, RefusingCritical, Shares{Low: 1, Normal: 1, Critical: 0.5}},
		{500, RefusingNormal, Shares{Low: 1, Normal: 1}},
		{500, RefusingNormal, Shares{Low: 1, Normal: 1}},
		{500, RefusingNormal, Shares{Low: 1, Normal: 0.75}},
	} {
		d := c.Update(&Sample{Took: Tick, Memory: s.used, Delays: []time.Duration{0}})
		for class, want := range s.shares {
			if math.Abs(d.Loops[0][class]-want) > 1e-6 {
				t.Errorf("%d: shares %v, want %v", s.used, d.Loops[0], s.shares)
			}
		}
		if d.Level != s.level || (d.Accept == AcceptSeldom) != (s.level > Calm) || d.Close != (s.level > Calm) || d.Because[Memory] != (s.level > Calm) {
			t.Errorf("%d: %+v, want level %v", s.used, d, s.level)
		}
	}
	for range 20 {
		c.Update(&Sample{Took: Tick, Memory: 500, Delays: []time.Duration{0}})
	}
	if c.out.Level != Calm {
		t.Errorf("%v, two seconds later", c.out.Level)
	}
}

// TestStarved: processors count where goroutines wait for them as well.
func TestStarved(t *testing.T) {
	t.Parallel()
	c := NewController(1, Bounds{CPU: 0.95, Wait: bound})
	for i, s := range []struct {
		cpu  float64
		wait time.Duration
		want Level
	}{
		{1, 0, Calm}, {0.5, bound, Calm}, {0.97, bound, Accepting}, {0.9, bound * 2 / 3, Accepting}, {1, bound / 3, Calm},
	} {
		d := c.Update(&Sample{Took: Tick, CPU: s.cpu, Wait: s.wait, Delays: []time.Duration{0}})
		if d.Level != s.want || d.Because[CPU] != (s.want > Calm) || d.Loops[0] != (Shares{}) {
			t.Errorf("%d: %+v, want %v", i, d, s.want)
		}
	}
}

// TestGate: a gate refuses its shares, counts, and is one word.
func TestGate(t *testing.T) {
	t.Parallel()
	var g Gate
	if !g.Calm() || g.Closes() {
		t.Error("a new gate is not calm")
	}
	g.Set(RefusingNormal, &Shares{Low: 1, Normal: 0.25}, true)
	if g.Calm() || !g.Closes() {
		t.Error("the gate is calm")
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	refused := [Classes]int{}
	const n = 40000
	for c := range Class(Classes) {
		for range n {
			if !g.Admit(c, rnd.Uint32()) {
				refused[c]++
			}
		}
	}
	if refused[Low] != n || refused[Critical] != 0 || math.Abs(float64(refused[Normal])/n-0.25) > 0.01 {
		t.Errorf("refused %v of %d", refused, n)
	}
	for c := range Class(Classes) {
		if g.Seen()[c] != n || g.Shed(RefusingNormal, c) != uint64(refused[c]) || g.Shed(RefusingLow, c) != 0 {
			t.Errorf("%v: seen %d, shed %d", c, g.Seen()[c], g.Shed(RefusingNormal, c))
		}
	}
	g.Set(Accepting, &Shares{}, false)
	if g.Calm() || !g.Admit(Low, 0) {
		t.Error("refused where nothing is to be")
	}
	g.Set(Calm, &Shares{Low: 1}, true)
	if !g.Calm() || g.Closes() {
		t.Error("not calm again")
	}
}

func BenchmarkCalm(b *testing.B) {
	var g Gate
	for b.Loop() {
		if !g.Calm() {
			b.Fatal()
		}
	}
}

// TestNoise: where the delay goes up and down, as much is admitted as where it
// stands still.
func TestNoise(t *testing.T) {
	t.Parallel()
	q := queue{active: true, admitted: 0.3, last: bound}
	for i := range 201 {
		q.steer(bound+time.Duration(i%2*2-1)*30*time.Millisecond, bound, Tick)
		q.last = bound + time.Duration(i%2*2-1)*30*time.Millisecond
	}
	if q.admitted < 0.2 || q.admitted > 0.6 {
		t.Errorf("of what comes %.3f is admitted, after 0.3", q.admitted)
	}
	// Below half of the bound it only grows.
	for i := range 30 {
		before := q.admitted
		q.steer(time.Duration(i%2)*bound/3, bound, Tick)
		q.last = time.Duration(i%2) * bound / 3
		if q.admitted < before {
			t.Fatalf("%.3f after %.3f", q.admitted, before)
		}
	}
	if q.admitted != 1 {
		t.Errorf("%.3f after three seconds of nothing", q.admitted)
	}
}
