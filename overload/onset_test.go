package overload

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/naru-mesh/naru/backlog"
)

// site is a loop that puts off what matters little (package backlog), its Gate and
// its Controller, in fake time: requests are read as they come, responses come after
// the service's time and are passed on in some pieces.
type site struct {
	piece, reading time.Duration // what a piece of a response, and a request, takes
	pieces         int
	service        time.Duration

	now        time.Duration
	gate       Gate
	controller *Controller
	rnd        *rand.Rand
	backlog    backlog.Backlog[*job]
	first      []*job // critical, at once
	away       []*job // at the service
	looked     time.Duration
	seen       [Classes]uint64
	done       []*job
	most       int // waited at once
}

// job is a request.
type job struct {
	class     Class
	came, due time.Duration // due: the next piece is there
	left      int           // pieces
	took      time.Duration // 0: refused
}

// load runs for a time at a rate of requests a second, one of twenty critical.
func (s *site) load(rate float64, d time.Duration) {
	gap := time.Duration(float64(time.Second) / rate)
	end, next, n := s.now+d, s.now, 0
	for s.now < end {
		for ; next <= s.now; next += gap {
			s.come(next, n%20 == 0)
			n++
		}
		s.turn(next)
	}
}

func (s *site) come(at time.Duration, critical bool) {
	j := &job{class: Normal, came: at, left: s.pieces}
	if critical {
		j.class = Critical
	}
	s.now += s.reading
	if s.done = append(s.done, j); !s.gate.Calm() && !s.gate.Admit(j.class, s.rnd.Uint32()) {
		return
	}
	j.due = s.now + s.service
	s.away = append(s.away, j)
}

// turn takes note of what has come from the service, does one piece, or waits.
func (s *site) turn(next time.Duration) {
	away := s.away[:0]
	for _, j := range s.away {
		switch {
		case j.due > s.now:
			away = append(away, j)
			next = min(next, j.due)
		case j.class == Critical:
			s.first = append(s.first, j)
		case j.left < s.pieces:
			s.backlog.Begun(j, s.now)
		default:
			s.backlog.Fresh(j, s.now)
		}
	}
	s.away = away
	s.most = max(s.most, s.backlog.Len())
	switch {
	case len(s.first) > 0:
		j := s.first[0]
		s.first = s.first[1:]
		s.serve(j)
	default:
		j, ok := s.backlog.Next(s.now)
		if !ok {
			s.now = max(s.now, next)
			break
		}
		s.serve(j)
	}
	s.gate.Waits(s.backlog.Wait(s.now, 0))
	if s.now-s.looked >= Tick {
		s.look()
	}
}

func (s *site) serve(j *job) {
	s.now += s.piece
	if j.left--; j.left == 0 {
		j.took = s.now - j.came
		return
	}
	j.due = s.now + s.piece/4 // the peer makes room, or sends more
	s.away = append(s.away, j)
}

func (s *site) look() {
	n := s.gate.Seen()
	var seen [Classes]uint64
	for c := range n {
		seen[c] = n[c] - s.seen[c]
	}
	d := s.controller.Update(&Sample{Took: s.now - s.looked, Delays: []time.Duration{0}, Waits: []time.Duration{s.gate.Wait()}, Seen: [][Classes]uint64{seen}})
	s.gate.Set(d.Levels[0], &d.Loops[0], d.Close)
	s.looked, s.seen = s.now, n
}

// TestOnset: of three times what can be done critical requests are answered from the
// first one on, what is done is what can be, and what is let in is answered in time,
// in the first second as in the tenth, whatever a response is made of. Two seconds
// after the load nothing is refused.
func TestOnset(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*site{
		"large responses": {piece: 800 * time.Microsecond, pieces: 8, reading: 200 * time.Microsecond, service: 5 * time.Millisecond},
		"small ones":      {piece: 400 * time.Microsecond, pieces: 1, reading: 80 * time.Microsecond, service: time.Millisecond},
		"a slow service":  {piece: 2 * time.Millisecond, pieces: 2, reading: 200 * time.Microsecond, service: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.controller, s.rnd = NewController(1, Bounds{Delay: bound}), rand.New(rand.NewPCG(1, 2))
			s.gate.Bound(bound)
			capacity := float64(time.Second) / float64(s.reading+s.piece*time.Duration(s.pieces))
			s.load(capacity/2, 2*time.Second)
			for _, j := range s.done {
				if j.took == 0 && s.now-j.came > patience {
					t.Fatal("half of what can be done is refused")
				}
			}
			s.done, s.most = nil, 0
			from := s.now
			s.load(3*capacity, 10*time.Second)
			to := s.now
			s.load(capacity/2, 2*time.Second)
			after := s.now
			s.load(capacity/2, time.Second)
			end := s.now
			s.load(capacity/2, time.Second)
			var good [13]float64
			for _, j := range s.done {
				switch {
				case j.class == Critical && (j.took == 0 || j.took > patience/4) && j.came < end:
					t.Fatalf("critical, %v after the load began: took %v", j.came-from, j.took)
				case j.took > patience:
					t.Fatalf("%v after the load began one is let in and takes %v", j.came-from, j.took)
				case j.took == 0 && j.came >= after && j.came < end:
					t.Fatalf("one is refused %v after the load", j.came-to)
				case j.took > 0 && j.came+j.took < to:
					good[(j.came+j.took-from)/time.Second]++
				}
			}
			// Reading what is refused is not what can be done.
			most := (1 - 3*capacity*s.reading.Seconds()) / (capacity * s.piece.Seconds() * float64(s.pieces))
			for second, n := range good[:10] {
				want := most
				if second == 0 { // what comes while the first are at the service
					want *= 1 - s.service.Seconds()
				}
				if share := n / capacity; share < 0.95*want {
					t.Errorf("second %d: %.2f of the capacity, want %.2f", second, share, want)
				}
			}
			if limit := int(capacity * 3 * waitAllNormal * bound.Seconds()); s.most > limit {
				t.Errorf("%d have waited at once, want %d at most", s.most, limit)
			}
			t.Logf("capacity %.0f/s, %.2f of it, at most %d waited", capacity, most, s.most)
		})
	}
}

// TestWaits: what waits has a share of low, then of normal priority refused, from that
// moment on and whatever share is refused besides; critical ones never.
func TestWaits(t *testing.T) {
	t.Parallel()
	var g Gate
	rnd := rand.New(rand.NewPCG(3, 4))
	refuses := func(when string, want ...float64) {
		t.Helper()
		for c, want := range want {
			const n = 20000
			refused := 0
			for range n {
				if !g.Calm() && !g.Admit(Class(c), rnd.Uint32()) {
					refused++
				}
			}
			if got := float64(refused) / n; math.Abs(got-want) > 0.02 || (want == 0 || want == 1) && got != want {
				t.Errorf("%s: %.3f of %v are refused, want %.2f", when, got, Class(c), want)
			}
		}
	}
	g.Waits(time.Hour)
	refuses("without a bound", 0, 0, 0)
	g.Bound(bound)
	g.Waits(bound)
	if !g.Calm() {
		t.Error("it is not calm at the bound")
	}
	g.Waits(bound * 11 / 10)
	refuses("a little beyond the bound", 0.5, 0, 0)
	if g.Shed(RefusingLow, Low) == 0 || g.Wait() != bound*11/10 {
		t.Errorf("%d are counted; %v wait", g.Shed(RefusingLow, Low), g.Wait())
	}
	g.Waits(bound * 7 / 5)
	refuses("further beyond it", 1, 0.5, 0)
	if g.Shed(RefusingNormal, Normal) == 0 {
		t.Error("none are counted")
	}
	g.Set(RefusingLow, &Shares{Low: 0.9}, false)
	refuses("with a smaller share besides", 1, 0.5, 0)
	g.Set(RefusingNormal, &Shares{Low: 1, Normal: 0.8}, false)
	refuses("with a larger one", 1, 0.8, 0)
	g.Set(Calm, &Shares{}, false)
	g.Waits(10 * bound)
	refuses("far beyond it", 1, 1, 0)
	g.Set(RefusingCritical, &Shares{1, 1, 1}, true)
	refuses("at the highest level", 1, 1, 1)
	if n := g.Shed(RefusingCritical, Low); n == 0 {
		t.Error("those below are counted at another level")
	}
	g.Set(Calm, &Shares{}, false)
	g.Waits(0)
	if !g.Calm() {
		t.Error("not calm again")
	}
	g.Waits(2 * bound)
	g.Bound(0)
	g.Waits(2 * bound)
	refuses("without a bound again", 0, 0, 0)

	// A Controller tells the level, and leaves the shares to the gate.
	c := NewController(2, Bounds{Delay: bound})
	d := c.Update(&Sample{Took: Tick, Delays: []time.Duration{0, 0}, Waits: []time.Duration{0, bound * 7 / 5}})
	if d.Level != RefusingNormal || d.Levels[0] != Calm || !d.Because[QueueDelay] || d.Accept != AcceptMany || d.Loops[1] != (Shares{}) {
		t.Errorf("the controller says %+v", d)
	}
}
