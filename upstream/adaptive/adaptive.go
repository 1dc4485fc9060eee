// Package adaptive finds out how many requests at once a service bears, from
// how long it takes to answer.
//
// # Words
//
// A window is the time over which answers are averaged. The long average goes
// over many windows: what the service took when it was well. The gradient
// compares both: 1 while the service is as quick as ever, less when requests
// wait inside it. The allowance is how much the limit may grow with each
// window, and so the queue that is kept in the service: its square root, as one
// more request in four is a lot, and one more in four hundred is nothing.
//
// # Life
//
// The owner counts answers, and hands in a window when it has ended: Update
// gives the limit from then on.
//
// # Rules
//
// The limit is that of the algorithm Gradient2 of Netflix's library
// concurrency-limits, told here in our own words: limit x gradient + allowance,
// smoothed. It never sends the service less than it could do in order to learn
// how quick it can be (Envoy's gradient controller does, for a moment); what has
// become slower for good is learnt by the long average within minutes. A limit
// that is not used up does not grow: an idle service has proved nothing.
//
// Time is an argument. Nothing here locks.
//
// # Not here
//
// Counting, and what happens to a request beyond the limit (package upstream).
package adaptive

import (
	"math"
	"time"
)

// Bounds of a limit where nothing else is said.
const (
	// DefaultMin keeps a few requests going whatever happens: with none there
	// would be no answers to learn from.
	DefaultMin = 8
	// DefaultMax is where a service counts as having no limit of its own.
	DefaultMax = 4096
	// Initial is the limit before anything is known: more than most services
	// run at once on one proxy, and little enough not to drown one.
	Initial = 128
)

// Of the algorithm.
const (
	// Window is the least time, and MinSamples the least answers, of a window.
	Window     = 100 * time.Millisecond
	MinSamples = 10
	// tolerance is how much slower than the long average answers may be before
	// the limit falls: ordinary variation is no overload.
	tolerance = 1.5
	// smoothing is the weight of a new estimate beside the limit of before.
	smoothing = 0.2
	// memory is the number of windows that the long average goes over: about a
	// minute.
	memory = 600
	// backOff is what is left of the limit after a window in which requests
	// were dropped or not answered in time.
	backOff = 0.9
	// quick: answers in less time say more of the proxy than of the service.
	quick = 100 * time.Microsecond
)

// Sample is what came in one window.
type Sample struct {
	// Mean is the mean time to an answer.
	Mean time.Duration
	// Most is how many requests ran at once at most.
	Most int
	// Dropped says that some were not answered in time, or refused by the
	// service because it is overloaded.
	Dropped bool
}

// Limit is the limit of one service. Its zero value is not ready: see New.
type Limit struct {
	least, most float64
	limit       float64
	long        float64 // long average, seconds; 0: nothing is known
	windows     int
}

// New gives a limit between least and most; 0 is the default of each.
func New(least, most int) *Limit {
	if least <= 0 {
		least = DefaultMin
	}
	if most <= 0 {
		most = DefaultMax
	}
	most = max(most, least)
	l := &Limit{least: float64(least), most: float64(most)}
	l.limit = min(max(Initial, l.least), l.most)
	return l
}

// Now is the limit, at least 1.
func (l *Limit) Now() int { return max(int(l.limit), 1) }

// Update takes the next window and gives the new limit.
func (l *Limit) Update(s Sample) int {
	short := max(s.Mean, quick).Seconds()
	l.remember(short)
	if s.Dropped {
		l.limit = max(l.limit*backOff, l.least)
		return l.Now()
	}
	gradient := min(max(tolerance*l.long/short, 0.5), 1)
	if gradient == 1 && float64(s.Most) < l.limit/2 {
		return l.Now() // it was not put to the test
	}
	next := l.limit*gradient + math.Sqrt(l.limit)
	l.limit = min(max(l.limit*(1-smoothing)+next*smoothing, l.least), l.most)
	return l.Now()
}

// remember adds a window to the long average. At first that is the plain mean
// of all; when the service has become much quicker, it is pulled down, so that
// an overload that it began in is forgotten.
func (l *Limit) remember(short float64) {
	l.windows = min(l.windows+1, memory)
	l.long += (short - l.long) / float64(l.windows)
	if l.long/short > 2 {
		l.long *= 0.95
	}
}
