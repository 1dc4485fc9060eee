package upstream

import (
	"time"

	"github.com/naru-mesh/naru/wire"
)

// Some servers close each connection after its answer, a moment later, and do not
// say so. Requests that are sent meanwhile are lost, and of those some cannot be sent
// again, or not within the budget. So after mostBrief generations of connections that
// ended within brief of becoming idle, none is kept for fickleTime.
const (
	mostBrief  = 5
	brief      = 100 * time.Millisecond
	fickleTime = 10 * time.Second
)

// fickle is what a pool knows of how its endpoint ends connections.
type fickle struct {
	row    int           // generations that ended so
	lostAt time.Duration // when the last of these did
	until  time.Duration // no connection is kept
}

// lost takes note of a connection that the endpoint has ended while it was idle, or
// lent once more. Those that were made before the last one was lost are of its
// generation: when an instance dies, all end at once, and that says nothing.
func (f *fickle) lost(now time.Duration, k *link) {
	if now-k.since >= brief || f.row > 0 && k.born < f.lostAt {
		return
	}
	f.lostAt = now
	if f.row++; f.row >= mostBrief {
		f.row, f.until = mostBrief-1, now+fickleTime // when that is over one is enough
	}
}

// now says whether no connection is kept.
func (f *fickle) now(l wire.Loop) bool { return f.until != 0 && l.Now() < f.until }
