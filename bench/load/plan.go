package load

import (
	"net/netip"
	"time"
)

// Plan is what clients are to do.
type Plan struct {
	Addr   netip.AddrPort
	Host   string   // Host and server name
	Paths  []string // asked for in turn
	Method string   // "" is GET
	Body   int      // bytes of the request's body
	Fields string   // further field lines of the request, each with its CRLF
	Want   int      // bytes of the answer's body

	Conns int
	TLS   bool
	Pipe  bool    // by the port that passes connections on unread
	Fresh bool    // a connection for each request, in the closed loop only
	Rate  float64 // requests a second, over all connections; 0 is the closed loop

	Warm   time.Duration
	Window time.Duration // 0: until Stop
	Pids   []int         // the proxy's processes, whose time is read
	CPU    int           // the processor that they run on

	// Hold is a plan of its own: each of Conns connections asks once, and then
	// stays open and idle until Release. At most holdAtOnce ask together.
	Hold bool
}

// Result is what came of a Plan in its window.
type Result struct {
	Requests int           // completed, as wanted
	Failed   int           // anything else, the warm-up and the end included
	Failures []string      // the first few kinds
	Reopened int           // connections that the proxy closed between requests
	Elapsed  time.Duration // the window as it really was
	CPU      time.Duration // of the processes Pids
	Others   time.Duration // what others used of the proxy's processor
	P50, P99 time.Duration
	Most     time.Duration
	// Stuck is how many clients waited for an answer during the whole window.
	Stuck int
	// Late is how many requests of an open loop were due and not yet answered
	// at the end.
	Late int
}

// PerRequest is processor time for each request.
func (r *Result) PerRequest() time.Duration {
	return r.CPU / time.Duration(max(r.Requests, 1))
}

// PerSecond is requests in a second.
func (r *Result) PerSecond() float64 {
	return float64(r.Requests) / max(r.Elapsed, 1).Seconds()
}

// Busy is the share of one processor that the processes used.
func (r *Result) Busy() float64 { return r.CPU.Seconds() / max(r.Elapsed, 1).Seconds() }

// Disturbed is the share of the proxy's processor that others used.
func (r *Result) Disturbed() float64 { return r.Others.Seconds() / max(r.Elapsed, 1).Seconds() }
