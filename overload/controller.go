package overload

import (
	"math"
	"time"
)

// Level is how far things are.
type Level uint8

const (
	// Calm: everything is accepted.
	Calm Level = iota
	// Accepting: where memory or processors are short, new connections wait in the
	// kernel for longer.
	Accepting
	// RefusingLow: requests of low priority are refused, by a share.
	RefusingLow
	// RefusingNormal: all of low, and a share of normal priority.
	RefusingNormal
	// RefusingCritical: all but a share of critical priority.
	RefusingCritical

	Levels
)

// String is the level's name in metrics: what is held back.
func (l Level) String() string {
	return [Levels]string{"calm", "accepting", "low", "normal", "critical"}[min(l, RefusingCritical)]
}

// Resource is what may be short.
type Resource uint8

const (
	Memory Resource = iota
	CPU
	QueueDelay

	Resources
)

// String is the resource's name in metrics and in the configuration.
func (r Resource) String() string { return [Resources]string{"memory", "cpu", "queueDelay"}[r] }

// Accept is how listening sockets accept.
type Accept uint8

const (
	// AcceptAll: as connections come, a few a turn.
	AcceptAll Accept = iota
	// AcceptMany: many a turn. Turns are long and requests are refused by how much
	// they matter, which no connection can say before it is accepted.
	AcceptMany
	// AcceptSlowly: one a turn. Refusing does not help, so what is open goes first.
	AcceptSlowly
	// AcceptSeldom: one in a tenth of a second, so that nobody waits without end.
	AcceptSeldom
)

// Bounds are how much is too much. 0 is no bound.
type Bounds struct {
	// Memory in bytes.
	Memory int64
	// CPU is a share of the processors, 0 to 1. Beyond it is too much only where
	// goroutines wait for as long as Wait: used up is not overloaded.
	CPU  float64
	Wait time.Duration
	// Delay is how long an event of a loop may wait.
	Delay time.Duration
}

// Tick is the time between two Samples while not all is calm. It is CoDel's
// interval: a queue that is empty once in it is none.
const Tick = 100 * time.Millisecond

// Sample is what was measured since the last one.
type Sample struct {
	// Took is the time since.
	Took time.Duration
	// Memory that is needed, in bytes.
	Memory int64
	// CPU is the share of the processors that was used, 0 to 1; Wait is how long
	// goroutines have waited for one, in the middle.
	CPU  float64
	Wait time.Duration
	// Delays are the shortest times that events have waited, by loop; Waits how long
	// what a loop puts off will wait (Gate.Wait).
	Delays, Waits []time.Duration
	// Seen are the requests that came, by loop and class. They are counted while
	// the loop's Gate is not calm.
	Seen [][Classes]uint64
}

// Shares are how many of a class's requests are refused, 0 to 1, by Class.
type Shares [Classes]float64

// Of what a loop puts off, as shares of the bound: where what is refused begins, and
// where it is all. Far from each other, so that a share is found between them without
// swinging.
const (
	waitLow, waitAllLow       = 1.0, 1.2
	waitNormal, waitAllNormal = 1.2, 1.6
)

// WaitShares is what is refused because of what a loop has put off, which will take
// a while: as the wait is told in advance, and grows by what is let in too much, a
// share in proportion to it is all that it takes to bound it.
func WaitShares(wait, bound time.Duration) (refused Shares) {
	if bound > 0 && wait > 0 {
		w := float64(wait) / float64(bound)
		refused[Low], refused[Normal] = ramp(w, waitLow, waitAllLow), ramp(w, waitNormal, waitAllNormal)
	}
	return refused
}

// Decision is what follows from a Sample.
type Decision struct {
	// Level is the highest of all loops and resources.
	Level Level
	// Because says which resources are beyond their bounds, or have not been
	// below them for long enough.
	Because [Resources]bool
	Accept  Accept
	// Close: connections whose request is refused are closed, because it is
	// connections that take the memory.
	Close bool
	// Loops are what is refused, by loop.
	Loops []Shares
	// Levels are those of the loops.
	Levels []Level
}

// Of the controller of delays.
const (
	// integral is what a delay of twice the bound takes of what is admitted, in a
	// tick; a longer one takes more, up to four times. proportional is for its growth:
	// a delay that grows by half of the time that passes says that twice as much is
	// admitted as can be done, and 1 would take half of it at once.
	integral     = 0.1
	proportional = 0.7
	// leastAdmitted keeps a few requests going, to see by; it is also where
	// growing again begins: from there to all takes 41 ticks.
	leastAdmitted = 0.02
	// persistent is how many ticks a delay must be there before anything is
	// refused, and settled how many it must be gone.
	persistent = 2
	settled    = 5
	// helpless is for how many ticks the delay must be twice the bound and not fall,
	// with all refused that is not critical, before new connections are accepted
	// slowly, and critical requests refused where they are weighty: a share of all
	// that comes, below which refusing them would help nobody.
	helpless = 10
	weighty  = 0.25
	// smoothing is the weight of a tick's requests beside those of before; of fewer
	// than few nothing is concluded.
	smoothing = 0.3
	few       = 10
)

// Of memory, as shares of the bound: where what is refused begins, and where it
// is all.
const (
	memoryAccept                      = 0.85
	memoryLow, memoryAllLow           = 0.88, 0.92
	memoryNormal, memoryAllNormal     = 0.92, 0.96
	memoryCritical, memoryAllCritical = 0.97, 0.99
	memoryFall                        = 0.01 // at most, for each tick: it comes back slower than it goes
)

// Controller turns Samples into Decisions. It is for one goroutine.
type Controller struct {
	bounds Bounds
	loops  []queue
	memory float64 // the share of the bound, falling slowly
	cpu    bool    // goroutines wait
	out    Decision
}

// queue is the delay of one loop.
type queue struct {
	near     bool // the bound
	active   bool // something may be refused
	over     int  // ticks in a row at or beyond the bound
	under    int  // ticks in a row well below it
	stuck    int  // ticks in a row that refusing has not helped
	last     time.Duration
	admitted float64
	seen     [Classes]float64
}

// NewController makes one that is calm.
func NewController(loops int, b Bounds) *Controller {
	c := &Controller{bounds: b, loops: make([]queue, loops)}
	for i := range c.loops {
		c.loops[i].admitted = 1
	}
	c.out.Loops, c.out.Levels = make([]Shares, loops), make([]Level, loops)
	return c
}

// Update takes the next Sample. The Decision's lists are the Controller's, until
// the next call.
func (c *Controller) Update(s *Sample) *Decision {
	d := &c.out
	d.Level, d.Accept, d.Close, d.Because = Calm, AcceptAll, false, [Resources]bool{}
	all, level := c.remember(s)
	if level > Calm {
		d.Because[Memory], d.Accept, d.Close = true, AcceptSeldom, true
	}
	if c.starved(s) {
		d.Because[CPU], d.Accept, level = true, AcceptSeldom, max(level, Accepting)
	}
	for i := range c.loops {
		var delay time.Duration
		if i < len(s.Delays) {
			delay = s.Delays[i]
		}
		if i < len(s.Seen) {
			c.loops[i].saw(&s.Seen[i])
		}
		own, at := c.loops[i].update(delay, c.bounds.Delay, s.Took)
		if i < len(s.Waits) { // its Gate does what follows from that
			refused := WaitShares(s.Waits[i], c.bounds.Delay)
			at = max(at, levelOf(&refused))
		}
		if at > Calm {
			d.Because[QueueDelay], d.Accept = true, max(d.Accept, AcceptMany)
		}
		if c.loops[i].stuck >= helpless {
			d.Accept = max(d.Accept, AcceptSlowly)
		}
		for class := range own {
			own[class] = max(own[class], all[class])
		}
		d.Loops[i], d.Levels[i] = own, max(at, level)
		d.Level = max(d.Level, d.Levels[i])
	}
	return d
}

// remember is what follows from the memory that is needed: it rises at once and
// falls slowly.
func (c *Controller) remember(s *Sample) (all Shares, level Level) {
	if c.bounds.Memory <= 0 {
		return all, Calm
	}
	c.memory = max(float64(s.Memory)/float64(c.bounds.Memory), c.memory-memoryFall)
	all[Low] = ramp(c.memory, memoryLow, memoryAllLow)
	all[Normal] = ramp(c.memory, memoryNormal, memoryAllNormal)
	all[Critical] = ramp(c.memory, memoryCritical, memoryAllCritical)
	if level = levelOf(&all); level == Calm && c.memory >= memoryAccept {
		level = Accepting
	}
	return all, level
}

// ramp is 0 up to from, and 1 from to on.
func ramp(v, from, to float64) float64 { return min(max((v-from)/(to-from), 0), 1) }

// starved says whether what does not run on a loop waits for a processor, of which
// none is left: TLS handshakes, QUIC.
func (c *Controller) starved(s *Sample) bool {
	b := &c.bounds
	switch {
	case b.CPU <= 0 || b.Wait <= 0:
		c.cpu = false
	case s.Wait >= b.Wait && s.CPU >= b.CPU:
		c.cpu = true
	case s.Wait < b.Wait/2:
		c.cpu = false
	}
	return c.cpu
}

func levelOf(s *Shares) Level {
	switch {
	case s[Critical] > 0:
		return RefusingCritical
	case s[Normal] > 0:
		return RefusingNormal
	case s[Low] > 0:
		return RefusingLow
	}
	return Calm
}

// saw takes note of a tick's requests.
func (q *queue) saw(n *[Classes]uint64) {
	for i := range n {
		q.seen[i] += smoothing * (float64(n[i]) - q.seen[i])
	}
}

// update is what follows from the delay of a tick.
func (q *queue) update(delay, bound, took time.Duration) (refused Shares, level Level) {
	if bound <= 0 {
		*q = queue{admitted: 1}
		return refused, Calm
	}
	if delay >= bound {
		q.over++
	} else {
		q.over = 0
	}
	if delay < bound/4 {
		q.under++
	} else {
		q.under = 0
	}
	if delay >= bound/2 {
		q.near = true
	}
	q.active = q.active || q.over >= persistent
	if q.active {
		q.steer(delay, bound, took)
		refused = q.share(delay, bound)
	}
	q.last = delay
	if q.under >= settled && q.admitted >= 1 {
		*q = queue{admitted: 1}
		return Shares{}, Calm
	}
	if level = levelOf(&refused); level == Calm && (q.near || q.active) {
		level = Accepting
	}
	return refused, level
}

// steer changes what is admitted: by how far the delay is from its bound, and by
// how fast it grows.
func (q *queue) steer(delay, bound, took time.Duration) {
	took = min(max(took, Tick/2), 5*Tick)
	far := min(max(float64(delay-bound)/float64(bound), -1), 4)
	// What is well below the bound is noise. What grows takes as much as it gives when
	// it shrinks again, or noise would take all.
	growth := min(max(float64(max(delay, bound/2)-max(q.last, bound/2))/float64(took), -0.8), 0.8)
	ticks := float64(took) / float64(Tick)
	q.admitted *= math.Exp(-integral*far*ticks + proportional*math.Copysign(math.Log1p(-math.Abs(growth)), -growth))
	q.admitted = min(max(q.admitted, leastAdmitted), 1)
	if q.admitted > 0.99 {
		q.admitted = 1
	}
}

// share spreads what is not admitted over the classes: those of low priority
// first.
func (q *queue) share(delay, bound time.Duration) (refused Shares) {
	total := 0.0
	for _, n := range q.seen {
		total += n
	}
	left := 1 - q.admitted
	if left <= 0 {
		q.stuck = 0
		return refused
	}
	if total < few { // nothing is known of what comes
		refused[Low], refused[Normal] = 1, left
		return refused
	}
	left *= total
	for _, class := range [...]Class{Low, Normal} {
		n := q.seen[class]
		switch {
		case left <= 0:
		case left < n:
			refused[class] = left / n
		default:
			refused[class] = 1
		}
		left = max(left-n, 0)
	}
	switch {
	case left == 0:
		q.stuck = 0
		return refused
	case q.stuck >= helpless:
	case delay < 2*bound || delay < q.last:
		q.stuck = 0
	default:
		q.stuck++
	}
	if n := q.seen[Critical]; q.stuck >= helpless && n >= weighty*total {
		refused[Critical] = min(left/n, 1)
		return refused
	}
	// More than can be refused need not be: it would take the longer to admit
	// again.
	q.admitted = max(q.admitted, min(q.seen[Critical]/total, 1))
	return refused
}
