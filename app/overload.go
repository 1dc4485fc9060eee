package app

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/overload"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/wire/http3"
	"github.com/naru-mesh/naru/wire/loop"
)

// guard keeps the proxy from having too much to do. It measures while loops have
// something to do, and sleeps with them.
type guard struct {
	log    *slog.Logger
	driver *loop.Driver
	quic   *http3.Server
	gates  []*overload.Gate
	groups *overload.Cgroups
	given  int64 // GOMEMLIMIT; 0 where nobody has set it

	mu         sync.Mutex
	was        *model.Overload // configured last
	set        bool            // it was
	bounds     overload.Bounds
	controller *overload.Controller // nil: off
	usage      *overload.Usage
	last       overload.Sample
	decision   overload.Decision
	level      overload.Level // as told: it falls a second later than it may
	below      int            // ticks for which it has been lower
	sampled    time.Time
	delays     []time.Duration
	waits      []time.Duration
	longer     []time.Duration // of the two, of each loop
	seen       []seenRequests  // by loop, when last looked at
	since      []seenRequests  // by loop, in the tick
}

// seenRequests are those of a loop by class.
type seenRequests = [overload.Classes]uint64

// Times of the guard.
const (
	// alert is for how long it looks closely after the last sign of pressure.
	alert = 2 * time.Second
	// settle is for how many ticks a level must be lower before that is told.
	settle = 10
	// limitShare is the share of the bound from which on the runtime collects
	// harder, below that from which on requests are refused: what is beyond is not
	// garbage.
	limitShare = 0.80
)

func newGuard(d *loop.Driver, quic *http3.Server, log *slog.Logger) *guard {
	n := len(d.Loops())
	g := &guard{log: log, driver: d, quic: quic, groups: overload.FindCgroups(os.DirFS("/")), seen: make([]seenRequests, n), since: make([]seenRequests, n)}
	for range n {
		g.gates = append(g.gates, &overload.Gate{})
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		g.given = limit
	}
	g.usage = overload.NewUsage(g.groups.Processors(runtime.NumCPU()))
	d.OnWait(func(loop int, wait time.Duration) { g.gates[loop].Waits(wait) })
	return g
}

// ReadOverload reads what is written after overload: in the short form, for a proxy
// without a file of its own. An error says what is wrong and what would be right.
func ReadOverload(text string) (*model.Overload, error) {
	doc := source.Document{Path: "--overload", Line: 1, Data: []byte("overload: " + text + "\n")}
	s, problems := control.Check([]source.Set{{Documents: []source.Document{doc}}}, []dialect.Dialect{short.New()})
	for _, p := range problems {
		if p.Origin.Source == doc.Path {
			return nil, errors.New(told(&p))
		}
	}
	if s.Settings.Overload == nil {
		return nil, errors.New("nothing is said (for example off, or {memory: 1GiB})")
	}
	return s.Settings.Overload, nil
}

// told is what is wrong, and what would be right.
func told(p *model.Problem) string {
	if p.Hint == "" {
		return p.Message
	}
	return p.Message + " (" + p.Hint + ")"
}

// configure puts bounds in force; o may be nil. What changes begins calm.
func (g *guard) configure(o *model.Overload) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.set && (o == g.was || o != nil && g.was != nil && *o == *g.was) {
		return
	}
	g.was, g.set = o, true
	f := o.Filled()
	g.controller, g.bounds = nil, overload.Bounds{}
	g.calm()
	if f.Off {
		g.limit(0)
		return
	}
	memory := f.Memory
	if memory == 0 {
		memory = g.groups.MemoryLimit()
		if g.given > 0 && (memory == 0 || g.given < memory) {
			memory = g.given
		}
	}
	g.bounds = overload.Bounds{Memory: max(memory, 0), Delay: max(f.QueueDelay, 0)}
	if f.CPU > 0 {
		g.bounds.CPU, g.bounds.Wait = float64(f.CPU)/100, model.DefaultOverload.QueueDelay
		if g.bounds.Delay > 0 {
			g.bounds.Wait = g.bounds.Delay
		}
	}
	for _, gate := range g.gates {
		gate.Bound(g.bounds.Delay)
	}
	g.limit(g.bounds.Memory)
	g.controller = overload.NewController(len(g.gates), g.bounds)
}

// limit has the runtime collect harder before memory is short, unless GOMEMLIMIT
// says when.
func (g *guard) limit(memory int64) {
	switch {
	case g.given > 0:
	case memory > 0:
		debug.SetMemoryLimit(int64(float64(memory) * limitShare))
	default:
		debug.SetMemoryLimit(math.MaxInt64)
	}
}

// calm opens everything.
func (g *guard) calm() {
	for _, gate := range g.gates {
		gate.Set(overload.Calm, &overload.Shares{}, false)
		gate.Bound(0)
	}
	g.pace(overload.AcceptAll)
	g.decision, g.level, g.below = overload.Decision{}, overload.Calm, 0
}

// pace has connections accepted so. QUIC's cannot wait in the kernel: what counts
// is how many handshakes are under way.
func (g *guard) pace(a overload.Accept) {
	g.driver.SetPace([...]loop.Pace{overload.AcceptAll: loop.PaceAll, overload.AcceptMany: loop.PaceMany, overload.AcceptSlowly: loop.PaceTurn, overload.AcceptSeldom: loop.PaceRest}[a])
	g.quic.SetHandshakes([...]int{overload.AcceptAll: 0, overload.AcceptMany: 0, overload.AcceptSlowly: 8, overload.AcceptSeldom: 1}[a])
}

// run looks until ctx ends: when loops beat, and by itself as long as something is
// refused.
func (g *guard) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var until time.Time // looking closely
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.driver.Beats():
		case <-timer.C:
		}
		now := time.Now()
		if g.look(now) {
			until = now.Add(alert)
			g.driver.Beat(overload.Tick)
		} else if now.After(until) {
			g.driver.Beat(loop.CalmBeat)
		}
		if now.Before(until) {
			timer.Reset(overload.Tick)
		}
	}
}

// look takes a Sample and does what follows from it; it says whether to look again
// soon.
func (g *guard) look(now time.Time) (closely bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.controller == nil {
		return false
	}
	took := now.Sub(g.sampled)
	if took < overload.Tick/2 && !g.sampled.IsZero() {
		return g.decision.Level > overload.Calm || g.near()
	}
	g.sampled = now
	g.sample(took)
	d := g.controller.Update(&g.last)
	g.decision.Level, g.decision.Because, g.decision.Accept, g.decision.Close = d.Level, d.Because, d.Accept, d.Close
	for i, gate := range g.gates {
		gate.Set(d.Levels[i], &d.Loops[i], d.Close)
	}
	g.pace(d.Accept)
	g.tell(d)
	g.usage.Collect(now, d.Because[overload.Memory])
	return d.Level > overload.Calm || g.near()
}

// near says whether a bound may soon be reached.
func (g *guard) near() bool {
	for _, d := range g.longer {
		if g.bounds.Delay > 0 && d >= g.bounds.Delay/8 {
			return true
		}
	}
	return g.bounds.Memory > 0 && g.last.Memory >= g.bounds.Memory/4*3 || g.bounds.CPU > 0 && g.last.CPU >= g.bounds.CPU && g.last.Wait >= g.bounds.Wait/8
}

func (g *guard) sample(took time.Duration) {
	g.delays = g.driver.Delays(g.delays[:0])
	for i, gate := range g.gates {
		n := gate.Seen()
		for c := range n {
			g.since[i][c] = n[c] - g.seen[i][c]
		}
		g.seen[i] = n
	}
	g.waits, g.longer = g.waits[:0], g.longer[:0]
	for i, gate := range g.gates {
		g.waits = append(g.waits, gate.Wait())
		g.longer = append(g.longer, max(g.delays[i], g.waits[i]))
	}
	g.last = overload.Sample{Took: took, Delays: g.delays, Waits: g.waits, Seen: g.since}
	g.usage.Read(&g.last, took)
	g.last.Memory += g.groups.SocketMemory()
}

// tell writes one line for each change of the level: a rise at once, a fall when
// it has lasted.
func (g *guard) tell(d *overload.Decision) {
	switch {
	case d.Level == g.level:
		g.below = 0
		return
	case d.Level < g.level:
		if g.below++; g.below < settle {
			return
		}
	}
	was := g.level
	g.level, g.below = d.Level, 0
	args := []any{"level", d.Level.String(), "was", was.String()}
	if d.Because[overload.Memory] {
		args = append(args, "memory", g.last.Memory, "of", g.bounds.Memory)
	}
	if d.Because[overload.CPU] {
		args = append(args, "cpu", g.last.CPU, "goroutinesWait", g.last.Wait)
	}
	if d.Because[overload.QueueDelay] {
		worst := time.Duration(0)
		for _, delay := range g.longer {
			worst = max(worst, delay)
		}
		args = append(args, "queueDelay", worst, "most", g.bounds.Delay)
	}
	switch {
	case d.Level == overload.Calm:
		g.log.Info("the proxy is not overloaded any more", args...)
	case d.Level < was:
		g.log.Info("the proxy is less overloaded", args...)
	default:
		g.log.Warn("the proxy is overloaded", args...)
	}
}

// overloadStatus is the guard on the page /status.
type overloadStatus struct {
	Level   string   `json:"level"`
	Because []string `json:"because,omitempty"` // memory, cpu, queueDelay
	// Memory is what was needed when last looked at, in bytes, and its bound; 0 is
	// none.
	Memory      int64 `json:"memory"`
	MemoryBound int64 `json:"memoryBound,omitempty"`
	// CPU is the share of the processors that was used, 0 to 1.
	CPU        float64 `json:"cpu"`
	Processors float64 `json:"processors"`
	// QueueDelay is the longest of what the loops' events wait, in seconds.
	QueueDelay      float64           `json:"queueDelay"`
	QueueDelayBound float64           `json:"queueDelayBound,omitempty"`
	Shed            map[string]uint64 `json:"shed,omitempty"` // requests and connections by priority
}

// status is nil where nothing is guarded.
func (g *guard) status() *overloadStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.controller == nil {
		return nil
	}
	s := &overloadStatus{
		Level: g.level.String(), Memory: g.last.Memory, MemoryBound: g.bounds.Memory, CPU: math.Round(g.last.CPU*1000) / 1000,
		Processors: g.usage.Processors(), QueueDelayBound: g.bounds.Delay.Seconds(),
	}
	for r := range overload.Resources {
		if g.decision.Because[r] {
			s.Because = append(s.Because, r.String())
		}
	}
	for _, d := range g.longer {
		s.QueueDelay = max(s.QueueDelay, d.Seconds())
	}
	g.eachShed(func(_ overload.Level, c overload.Class, n uint64) {
		if s.Shed == nil {
			s.Shed = map[string]uint64{}
		}
		s.Shed[c.String()] += n
	})
	return s
}

// eachShed calls f with what was refused at each level of each class, of all loops.
func (g *guard) eachShed(f func(l overload.Level, c overload.Class, n uint64)) {
	for l := range overload.Levels {
		for c := overload.Low; c < overload.Classes; c++ {
			n := uint64(0)
			for _, gate := range g.gates {
				n += gate.Shed(l, c)
			}
			if n > 0 {
				f(l, c, n)
			}
		}
	}
}
