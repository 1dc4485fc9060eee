package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// worker is the clients of one loop during one Plan. Its counters are read
// from outside; everything else belongs to the loop.
type worker struct {
	run     *run
	plan    *Plan
	loop    wire.Loop
	clients []*client

	requests [][]byte
	next     int // of requests

	idle []*client       // open loop: who can ask, the longest idle first
	due  []time.Duration // open loop: requests that wait for a client
	at   time.Duration   // open loop: when the next request of this worker is due
	hold int             // connections still to be opened

	done, failures, reopened atomic.Int64

	mu     sync.Mutex // why
	why    []string
	counts histogram
}

const (
	mostFailures = 10000
	mostReasons  = 8
	holdAtOnce   = 64
)

func (w *worker) dial(c *client) wire.Conn {
	return w.run.dialer.Dial(w.loop, w.plan.Addr, c)
}

func (w *worker) request() []byte {
	r := w.requests[w.next]
	if w.next++; w.next == len(w.requests) {
		w.next = 0
	}
	return r
}

// start opens the connections. On the loop.
func (w *worker) start(conns int) {
	if w.plan.Hold {
		w.hold = conns
		conns = min(conns, holdAtOnce)
	}
	for range conns {
		w.one()
	}
}

func (w *worker) one() {
	c := &client{worker: w}
	w.clients = append(w.clients, c)
	c.open()
	if w.plan.Rate > 0 {
		w.idle = append(w.idle, c)
		return
	}
	c.ask(w.run.now())
}

// answered counts a request that was due at since.
func (w *worker) answered(since time.Duration) {
	w.done.Add(1)
	if w.run.inWindow() {
		w.counts.add(w.run.now() - since)
	}
}

// free gives a client its next task.
func (w *worker) free(c *client) {
	switch {
	case c.ended:
	case w.plan.Hold:
		if c.served {
			w.held()
		} else {
			c.ask(w.run.now()) // the first try failed
		}
	case w.plan.Rate == 0:
		c.ask(w.run.now())
	case len(w.due) > 0:
		since := w.due[0]
		w.due = w.due[1:]
		c.ask(since)
	default:
		w.idle = append(w.idle, c)
	}
}

// idleGone takes a client whose connection has ended out of the idle ones.
func (w *worker) idleGone(c *client) {
	w.idle = slices.DeleteFunc(w.idle, func(o *client) bool { return o == c })
}

// held: another connection has had its answer.
func (w *worker) held() {
	if w.hold--; w.hold == 0 {
		close(w.run.holding)
	} else if w.hold >= holdAtOnce {
		w.one()
	}
}

// release sends the requests that are due. On the loop.
func (w *worker) release() {
	now := w.run.now()
	for ; w.at <= now; w.at += w.run.gap {
		if w.run.stopping.Load() {
			return
		}
		if len(w.idle) == 0 {
			w.due = append(w.due, w.at)
			continue
		}
		c := w.idle[0]
		w.idle = w.idle[1:]
		c.ask(w.at)
	}
}

func (w *worker) failed(why string) {
	w.failures.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.why) < mostReasons && !slices.Contains(w.why, why) {
		w.why = append(w.why, why)
	}
}
