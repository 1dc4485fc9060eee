package load

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/wire"
)

// run is a Plan under way.
type run struct {
	plan    Plan
	base    time.Time
	dialer  wire.Dialer
	workers []*worker
	gap     time.Duration // between the requests of one worker of an open loop

	measuring atomic.Bool
	stopping  atomic.Bool
	stop      chan struct{} // the parent wants the end
	holding   chan struct{} // all held connections had their answer
}

func newRun(plan Plan) *run {
	return &run{plan: plan, base: time.Now(), stop: make(chan struct{}), holding: make(chan struct{})}
}

func (r *run) now() time.Duration { return time.Since(r.base) }
func (r *run) inWindow() bool     { return r.measuring.Load() }

// begin starts the clients on the loops.
func (r *run) begin(d wire.Driver, dialer wire.Dialer) {
	r.dialer = dialer
	loops := d.Loops()
	loops = loops[:min(len(loops), r.plan.Conns)]
	if r.plan.Hold {
		loops = loops[:1] // one count of what is still to be opened
	}
	conn := ""
	if r.plan.Fresh {
		conn = "close"
	}
	method := r.plan.Method
	if method == "" {
		method = "GET"
	}
	if r.plan.Rate > 0 {
		r.gap = time.Duration(float64(time.Second) * float64(len(loops)) / r.plan.Rate)
	}
	for i, l := range loops {
		w := &worker{run: r, plan: &r.plan, loop: l}
		for _, p := range r.plan.Paths {
			w.requests = append(w.requests, with(request(method, r.plan.Host, p, conn, r.plan.Body), r.plan.Fields))
		}
		r.workers = append(r.workers, w)
		conns := r.plan.Conns / len(loops)
		if i < r.plan.Conns%len(loops) {
			conns++
		}
		l.Post(func() { w.start(conns) })
	}
	if r.plan.Rate > 0 {
		// Connections open first: nothing is due until then.
		first := r.now() + openTime
		for i, w := range r.workers {
			w.at = first + r.gap*time.Duration(i)/time.Duration(len(r.workers))
		}
		go r.pace(first)
	}
}

// openTime is how long connections have to open before an open loop begins.
const openTime = 100 * time.Millisecond

// pace wakes the workers when something is due, on a thread of its own: the
// loops' timers and the runtime's are good to milliseconds only.
func (r *run) pace(next time.Duration) {
	runtime.LockOSThread() // never unlocked: the thread ends, and its slack with it
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	releases := make([]func(), len(r.workers))
	for i, w := range r.workers {
		releases[i] = w.release
	}
	step := r.gap / time.Duration(len(r.workers))
	for i := 0; !r.stopping.Load(); i++ {
		if wait := next - r.now(); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // a signal may cut it short: harmless
		}
		w := i % len(r.workers)
		r.workers[w].loop.Post(releases[w])
		next += step
	}
}

// measure waits for the warm-up and the window, ends the clients, and gives
// the figures.
func (r *run) measure() Result {
	if r.plan.Hold {
		select {
		case <-r.holding:
		case <-r.stop:
		case <-time.After(time.Minute):
		}
		res := Result{Requests: int(r.done()), Elapsed: r.now()}
		r.sum(&res)
		return res
	}
	r.sleep(r.plan.Warm)
	window := r.open()
	done := r.done()
	started := make(map[*client]time.Duration)
	r.each(func(w *worker) {
		for _, c := range w.clients {
			if c.asking {
				started[c] = c.since
			}
		}
	})
	length := r.plan.Window
	if length == 0 {
		length = 24 * time.Hour // until Stop
	}
	r.sleep(length - (r.now() - window.from))
	res := Result{Requests: int(r.done() - done)}
	window.close(&res)
	r.stopping.Store(true)
	r.each(func(w *worker) {
		for _, c := range w.clients {
			if since, was := started[c]; was && c.asking && c.since == since {
				res.Stuck++
			}
		}
		res.Late += len(w.due)
	})
	r.end()
	r.sum(&res)
	return res
}

// window is the time in which things count.
type window struct {
	run      *run
	from     time.Duration
	used     cost.Sample
	occupied time.Duration
}

func (r *run) open() *window {
	r.measuring.Store(true)
	return &window{r, r.now(), cost.Read(r.plan.Pids), cost.Occupied(r.plan.CPU)}
}

func (w *window) close(res *Result) {
	res.CPU = cost.Read(w.run.plan.Pids).Since(w.used)
	res.Elapsed = w.run.now() - w.from
	w.run.measuring.Store(false)
	res.Others = max(0, cost.Occupied(w.run.plan.CPU)-w.occupied-res.CPU)
}

func (r *run) sleep(d time.Duration) {
	select {
	case <-r.stop:
	case <-time.After(d):
	}
}

func (r *run) done() (n int64) {
	for _, w := range r.workers {
		n += w.done.Load()
	}
	return n
}

// each calls fn on each worker's loop, one after the other, and waits.
func (r *run) each(fn func(w *worker)) {
	for _, w := range r.workers {
		var wait sync.WaitGroup
		wait.Add(1)
		w.loop.Post(func() { defer wait.Done(); fn(w) })
		wait.Wait()
	}
}

// end closes all connections.
func (r *run) end() {
	r.each(func(w *worker) {
		for _, c := range w.clients {
			c.end()
		}
	})
}

// sum adds up what the workers counted.
func (r *run) sum(res *Result) {
	var all histogram
	r.each(func(w *worker) {
		all.merge(&w.counts)
		res.Failed += int(w.failures.Load())
		res.Reopened += int(w.reopened.Load())
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, why := range w.why {
			if !slices.Contains(res.Failures, why) {
				res.Failures = append(res.Failures, why)
			}
		}
	})
	res.P50, res.P99, res.Most = all.quantile(0.5), all.quantile(0.99), all.most
}
