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
// smoothed. A limit that is not used up does not grow: an idle service has proved
// nothing.
//
// In one thing it differs. There the long average follows whatever is measured, so
// that an overload which lasts becomes what is usual: the limit, and the time in the
// service, then grow by half a minute until nothing is limited (trial_test.go has
// the figures). That a full service takes longer may be because too much is let in,
// or because it has become slower, and while the limit is met only a trial tells
// these apart. So while it is met the long average does not rise by itself; after
// each ten seconds of that half of the limit is tried for some tenths of a second
// (twice the limit, where half is below the least). Where requests are answered as
// much quicker as there are fewer, they have waited for each other, and the quicker
// time is what is usual (where that is news, half again is tried); where not, the service takes that long, and the long
// average goes halfway there. Requests wait for their turn meanwhile, and the service
// does hardly less: Envoy's controller goes down to three at once.
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
	// full: where so much of the limit is used it is what holds requests back. Low
	// ones are let in up to three quarters of it.
	full = 0.7
	// between is for how many windows a limit is met until there is a trial: ten
	// seconds.
	between = 100
	// waited: where fewer requests take less than this part of the time, they have
	// waited for each other. With half of the requests half of the time is a queue
	// and nothing else, and all of it none; a service that does a third more with
	// twice as many is still worth the more.
	waited = 0.75
	// news: a trial that finds the service to be so much quicker than the long
	// average goes on with half again. So an overload that naru has begun in is
	// known after one trial.
	news = 0.9
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
	met         int     // windows in a row in which the limit was met
	usual       float64 // what answers took in these, seconds
	trial       trial
}

// trial is a limit that is tried for a moment.
type trial struct {
	left   int     // windows; 0: there is none
	before float64 // the limit before
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
	met := float64(s.Most) >= full*l.limit
	if l.trial.left > 0 {
		l.judge(short, met, s.Dropped)
		return l.Now()
	}
	if s.Mean > 0 {
		l.remember(short, met)
	}
	if s.Dropped {
		l.limit, l.met = max(l.limit*backOff, l.least), 0
		return l.Now()
	}
	l.meet(short, met)
	if l.trial.left > 0 {
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
// an overload that it began in is forgotten. While the limit is met it does not
// rise.
func (l *Limit) remember(short float64, met bool) {
	if met && l.windows > 0 && short > l.long {
		return
	}
	l.windows = min(l.windows+1, memory)
	l.long += (short - l.long) / float64(l.windows)
	if l.long/short > 2 {
		l.long *= 0.95
	}
}

// meet counts for how long the limit has been met, and begins a trial.
func (l *Limit) meet(short float64, met bool) {
	if !met {
		l.met = 0
		return
	}
	if l.met++; l.met == 1 {
		l.usual = short
	}
	l.usual += (short - l.usual) * smoothing
	if l.met < between {
		return
	}
	l.met = 0
	try := l.limit / 2
	if try < l.least {
		if try = min(l.limit*2, l.most); try < l.limit*1.5 {
			return // there is no room for one
		}
	}
	l.trial.before = l.limit
	l.try(try)
}

// try has limit hold for some windows. What was let in before is answered within
// the usual time, and what waits in the service then within half of it.
func (l *Limit) try(limit float64) {
	l.trial.left = min(2+int(1.5*l.usual/Window.Seconds()), 30)
	l.limit = limit
}

// judge takes a window of a trial, and ends it with the last.
func (l *Limit) judge(short float64, met, dropped bool) {
	t := &l.trial
	if t.left--; t.left > 0 && met && !dropped {
		return
	}
	fewer, more, tried := short, l.usual, l.limit
	if l.limit > t.before {
		fewer, more = more, fewer
	}
	l.limit = t.before
	switch {
	case dropped:
		l.limit = max(l.limit*backOff, l.least)
	case t.left > 0: // less comes now
	case fewer < waited*more:
		more = l.long
		l.long = min(l.long, fewer)
		if fewer < news*more && tried < t.before && tried/2 >= l.least {
			l.usual = fewer
			l.try(tried / 2)
			return
		}
	default:
		l.long += (fewer - l.long) / 2
	}
	t.left = 0
}
