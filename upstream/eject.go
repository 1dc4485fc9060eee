package upstream

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/outlier"
)

// detection is a Cluster's part of failure detection.
type detection struct {
	// sweepAt is the loop time from which on the next Tell has the endpoints
	// judged, sweptAt when they last were, slower from what latency on an answer
	// is slow (0: not known).
	sweepAt, sweptAt, slower atomic.Int64

	// Guarded by the cluster's mutex. clock is a loop time, and wall when it was.
	outliers *outlier.Group
	clock    time.Duration
	wall     time.Time
	// lines counts what was logged since linesFrom.
	lines     int
	linesFrom time.Time
}

func (d *detection) begin(random func() float64) { d.outliers = outlier.New(outlier.Config{}, random) }

// ejectionReasons are the indices of Counts.Ejections.
var ejectionReasons = [...]outlier.Reason{
	outlier.Failures, outlier.Connects, outlier.SuccessRate, outlier.ConnectRate, outlier.Deviation, outlier.Slow, outlier.Silent,
}

// EjectionReasons name the indices of Counts.Ejections.
func EjectionReasons() (names [len(ejectionReasons)]string) {
	for i, r := range ejectionReasons {
		names[i] = r.String()
	}
	return names
}

// chore is what a loop leaves to the Set's goroutine: a sweep over a cluster, or
// what a probe of ep came to.
type chore struct {
	cluster *Cluster
	now     time.Duration
	ep      *Endpoint
	good    bool
	result  Result
}

// mostChores wait at a time. When there are more, loops try again later.
const mostChores = 1024

// post neither waits nor allocates.
func (s *Set) post(k chore) bool {
	select {
	case s.chores <- k:
		return true
	default:
		return false
	}
}

// attend does chores until the Set is closed.
func (s *Set) attend(chores <-chan chore) {
	for {
		select {
		case k := <-chores:
			k.do()
		case <-s.ctx.Done():
			return
		}
	}
}

func (k *chore) do() {
	c := k.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || !c.spec.Load().set.watch {
		return
	}
	c.clock, c.wall = k.now, time.Now()
	if k.ep == nil {
		c.judgeAll(k.now)
		return
	}
	if ev, ok := c.outliers.Probed(k.now, k.ep.state, k.good, k.result.Took, "its probe: "+k.result.told()); ok {
		c.note(&ev)
	}
}

// told is a Result in words.
func (r *Result) told() string {
	switch {
	case r.Outcome != Answered:
		return fmt.Sprintf("%v after %v", r.Outcome, r.Took.Round(time.Millisecond))
	case r.GRPC > 0:
		return fmt.Sprintf("gRPC status %d", r.GRPC)
	}
	return fmt.Sprintf("status %d", r.Status)
}

// ejectionOf makes the settings of e, nil included.
func ejectionOf(e *model.Ejection) (c outlier.Config) {
	if e == nil {
		return c
	}
	return outlier.Config{
		Failures: e.Failures, Connects: e.Connects,
		SuccessRate: hundredths(e.SuccessRate), Deviation: hundredths(e.Deviation), Slowness: hundredths(e.Slowness),
		MaxEjected: hundredths(e.MaxEjected), Backoff: e.Backoff, MaxBackoff: e.MaxBackoff,
	}
}

func hundredths(n int) float64 { return float64(n) / 100 }

// detect follows a change of the spec or of the members; the plan is left to the
// caller. With c.mu held.
func (c *Cluster) detect() {
	sp := c.spec.Load()
	c.outliers.Set(ejectionOf(sp.service.Ejection), c.watching)
	if !sp.set.watch {
		for _, ev := range c.outliers.Release(c.loopTime()) {
			c.apply(&ev)
			c.layout.note(ev.Endpoint.Of.(*Endpoint))
		}
	}
}

// loopTime is about what loops' Now is. With c.mu held.
func (c *Cluster) loopTime() time.Duration {
	if c.wall.IsZero() {
		return 0
	}
	return c.clock + time.Since(c.wall)
}

// judgeAll looks at all endpoints. With c.mu held.
func (c *Cluster) judgeAll(now time.Duration) {
	timed := c.outliers.TimesDue(now)
	changed := false
	for _, m := range c.members {
		ep := m.ep
		ep.state.Spare = m.standby || ep.sick.Load()
		ep.observe(now, timed)
		if at := ep.probed.Load(); at != 0 && now-time.Duration(at) >= outlier.ProbeTime && ep.probed.CompareAndSwap(at, 0) {
			if ev, ok := c.outliers.Probed(now, ep.state, false, 0, fmt.Sprintf("its probe: no answer within %v", outlier.ProbeTime)); ok {
				c.apply(&ev)
			}
		}
	}
	for _, ev := range c.outliers.Sweep(now) {
		c.apply(&ev)
		changed = c.layout.note(ev.Endpoint.Of.(*Endpoint)) || changed
	}
	c.slower.Store(int64(c.outliers.Slower()))
	if changed {
		c.publish()
	}
}

// observe adds up what the loops counted.
func (ep *Endpoint) observe(now time.Duration, timed bool) {
	var t outlier.Totals
	var took outlier.Histogram
	var told uint64
	for i := range ep.pools {
		p := ep.pools[i].Load()
		if p == nil {
			continue
		}
		for o := range outcomes {
			if o != Torn {
				told += p.results[o].Load()
			}
		}
		told += p.untold.Load()
		// What is part of another figure is read before it.
		bads, limits, cut := p.bad.Load(), p.limited.Load(), p.results[Torn].Load()
		answered := p.results[Answered].Load()
		t.Good += answered - min(answered, bads+limits+cut)
		t.Bad += bads + cut + p.results[Broken].Load() + p.results[Late].Load()
		t.Limited += limits
		for j := range p.failed {
			t.Unreached += p.failed[j].Load()
		}
		t.Connects += p.connects.Load()
		if timed {
			for j := range p.took {
				took[j] += uint32(p.took[j].Load())
			}
		}
	}
	for i := range ep.pools { // after what was told: each was picked before
		if p := ep.pools[i].Load(); p != nil {
			t.Pending += p.picks.Load()
		}
	}
	t.Pending -= min(t.Pending, told)
	t.FailedRow, t.UnreachedRow = ep.failedRow.Len(), int(ep.failures.Load())
	if timed {
		ep.state.Observe(now, &t, &took)
		return
	}
	ep.state.Observe(now, &t, nil)
}

// note applies an event by itself. With c.mu held.
func (c *Cluster) note(ev *outlier.Event) {
	c.apply(ev)
	if !ev.Again {
		c.changed(ev.Endpoint.Of.(*Endpoint))
	}
}

// apply makes an event known to the loops, and to the log. With c.mu held; the
// plan is left to the caller.
func (c *Cluster) apply(ev *outlier.Event) {
	ep := ev.Endpoint.Of.(*Endpoint)
	ep.probed.Store(0)
	if ev.Back {
		ep.failedRow.Back(c.spec.Load().set.failures)
		ep.connected()
		ep.warm(fromFirstLook)
		ep.due.Store(0)
		c.log(slog.LevelInfo, "endpoint is back", ep, "because", ev.Figures, "after", ev.Out.Round(time.Millisecond))
		return
	}
	ep.probe = time.Now().Add(ev.Wait)
	ep.due.Store(int64(ev.Endpoint.Due()))
	if ev.Again {
		ep.probesFailed++
		c.log(slog.LevelInfo, "endpoint stays ejected", ep, "because", ev.Figures, "for", ev.Wait.Round(time.Millisecond))
		if out := c.plan.Load().out; out != nil {
			out.soonest.Store(0)
		}
		return
	}
	ep.ejected = time.Now()
	c.log(slog.LevelWarn, "endpoint is ejected", ep, "reason", ev.Reason.String(), "because", ev.Figures, "for", ev.Wait.Round(time.Millisecond))
}

// A cluster says mostLines things within linesTime.
const (
	mostLines = 20
	linesTime = 10 * time.Second
)

// log says what became of ep, within bounds. With c.mu held.
func (c *Cluster) log(level slog.Level, what string, ep *Endpoint, args ...any) {
	log := c.owner.env.Log
	now := time.Now()
	if now.Sub(c.linesFrom) > linesTime {
		if n := c.lines - mostLines; n > 0 {
			log.Warn("more was ejected and came back than is told", "service", c.name, "lines", n)
		}
		c.lines, c.linesFrom = 0, now
	}
	if c.lines++; c.lines > mostLines {
		return
	}
	log.Log(c.owner.ctx, level, what, append([]any{"service", c.name, "endpoint", ep.addr}, args...)...)
}

// passed takes a health check that has passed.
func (c *Cluster) passed(ep *Endpoint) {
	if ep.due.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ev, ok := c.outliers.Healthy(c.loopTime(), ep.state); ok {
		c.note(&ev)
	}
}

// describe fills in what is known of an ejection. With the cluster's mutex held.
func (w *watched) describe(st *EndpointStats) {
	if why := w.state.Out(); why != outlier.None {
		st.Ejection, st.Figures, st.Ejected, st.Probe = why.String(), w.state.Figures(), w.ejected, w.probe
	}
}

// counts fills in how often it was ejected. With the cluster's mutex held.
func (w *watched) counts(n *Counts) {
	for i, r := range ejectionReasons {
		n.Ejections[i] = w.state.Ejections(r)
	}
	n.Probes, n.ProbesFailed = w.probes.Load(), w.probesFailed
}
