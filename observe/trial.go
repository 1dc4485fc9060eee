package observe

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Arm is one of the two sides that a trial compares.
type Arm uint8

const (
	Baseline Arm = iota // what has served before
	Canary              // the new version
	Arms
)

// Times counts durations finely enough to compare two versions: eight buckets
// each time that they double, from 131 µs to 69 s. It is a value; two can be
// added.
type Times [1 + timesOctaves*timesSteps + 1]uint64

const (
	timesFirst   = 17 // the first bucket ends at 2^17 ns
	timesOctaves = 19
	timesSteps   = 8
)

// timesBucket gives the bucket of a duration; a negative one is 0.
func timesBucket(d time.Duration) int {
	n := uint64(max(d, 0))
	length := bits.Len64(n)
	if length <= timesFirst {
		return 0
	}
	sub := int(n>>(length-4)) & (timesSteps - 1)
	return min(1+(length-timesFirst-1)*timesSteps+sub, len(Times{})-1)
}

// timesFrom is the least duration of a bucket.
func timesFrom(bucket int) time.Duration {
	if bucket == 0 {
		return 0
	}
	octave, sub := (bucket-1)/timesSteps, (bucket-1)%timesSteps
	return time.Duration(timesSteps+sub) << (timesFirst + octave - 3)
}

// Observe counts one duration.
func (t *Times) Observe(d time.Duration) { t[timesBucket(d)]++ }

// Total is how many durations there are.
func (t *Times) Total() (n uint64) {
	for _, c := range t {
		n += c
	}
	return n
}

// Slower is how many durations are surely not below d: those of the bucket that d
// lies in are not counted, unless it begins with d.
func (t *Times) Slower(d time.Duration) (n uint64) {
	for i := len(t) - 1; i >= 0 && timesFrom(i) >= d; i-- {
		n += t[i]
	}
	return n
}

// Quantile is a duration that percent of all are below: the end of the bucket
// where it lies. 0 without durations.
func (t *Times) Quantile(percent int) time.Duration {
	total := t.Total()
	var n uint64
	for i, c := range t {
		if n += c; c > 0 && n*100 >= total*uint64(percent) {
			return timesFrom(min(i+1, len(t)-1))
		}
	}
	return 0
}

// Add adds o to t.
func (t *Times) Add(o *Times) {
	for i, c := range o {
		t[i] += c
	}
}

// Less gives t without o, which was read of the same before.
func (t *Times) Less(o *Times) (d Times) {
	for i := range t {
		d[i] = t[i] - o[i]
	}
	return d
}

// Trial is what one loop counts of the two sides of a trial. Only that loop may
// write to it; any goroutine may read.
type Trial struct{ arms [Arms]arm }

type arm struct {
	begun, headed    Counter
	requests, failed Counter
	times            [len(Times{})]Counter
}

// Begin counts a request that its service is asked for. Each is followed by one
// Headed.
func (t *Trial) Begin(a Arm) { t.arms[a].begun.Add(1) }

// Headed counts that a request has its response's head, or has ended without one.
func (t *Trial) Headed(a Arm) { t.arms[a].headed.Add(1) }

// Done counts a finished request: how it went, and what it took to its
// response's head. One that failed without a head has taken no time.
func (t *Trial) Done(a Arm, failed bool, took time.Duration) {
	s := &t.arms[a]
	s.requests.Add(1)
	if failed {
		s.failed.Add(1)
	}
	if took > 0 {
		s.times[timesBucket(took)].Add(1)
	}
}

// GaveUp counts a request whose client went away before there was a response. It
// has neither failed nor succeeded, but it has taken at least so long.
func (t *Trial) GaveUp(a Arm, after time.Duration) { t.arms[a].times[timesBucket(after)].Add(1) }

// ArmCounts is what was counted of one side.
type ArmCounts struct {
	// Begun are the requests that the service was asked for, Headed those that do
	// not wait for their response's head any more.
	Begun, Headed uint64
	// Requests have ended, and some of them Failed.
	Requests, Failed uint64
	Times            Times
}

// TrialCounts are the counts of all loops.
type TrialCounts struct {
	Run  string
	Arms [Arms]ArmCounts
}

// Trial gives what loop counts for a run, the same each time. It locks and
// allocates: keep the pointer.
func (g *Registry) Trial(run string, loop int) *Trial {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.trials[run]
	if loop >= len(list) {
		list = append(list, make([]*Trial, max(loop+1, g.loops)-len(list))...)
		if g.trials == nil {
			g.trials = map[string][]*Trial{}
		}
		g.trials[run] = list
	}
	if list[loop] == nil {
		list[loop] = &Trial{}
	}
	return list[loop]
}

// KeepTrials forgets the trials of runs that the function does not want, as Keep
// does with Traffic.
func (g *Registry) KeepTrials(runs func(string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for run := range g.trials {
		if !runs(run) {
			delete(g.trials, run)
		}
	}
}

// Trials reads all trials, by run.
func (g *Registry) Trials() []TrialCounts {
	g.mu.Lock()
	all := make([]TrialCounts, 0, len(g.trials))
	loops := make([][]*Trial, 0, len(g.trials))
	for run, list := range g.trials {
		all = append(all, TrialCounts{Run: run})
		loops = append(loops, slices.Clone(list))
	}
	g.mu.Unlock()
	for i := range all {
		for _, t := range loops[i] {
			if t != nil {
				t.read(&all[i].Arms)
			}
		}
	}
	slices.SortFunc(all, func(a, b TrialCounts) int { return strings.Compare(a.Run, b.Run) })
	return all
}

// read adds what t holds. What cannot be more than something else is read before
// that.
func (t *Trial) read(to *[Arms]ArmCounts) {
	for a := range t.arms {
		from, s := &t.arms[a], &to[a]
		s.Failed += from.failed.Load()
		s.Headed += from.headed.Load()
		for i := range from.times {
			s.Times[i] += from.times[i].Load()
		}
		s.Requests += from.requests.Load()
		s.Begun += from.begun.Load()
	}
}
