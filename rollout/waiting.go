package rollout

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Waiting says at least how many requests of both sides have waited for their
// response's head for longer than a time, and wait still.
type Waiting func(longer time.Duration) [observe.Arms]uint64

// history is what one proxy has reported of a run, by the proxy's own clock: what
// it has counted may come here late, and at times not at all for a while, which
// says nothing of its requests.
type history struct {
	begun  []beginnings // oldest first; the last is of the newest report
	headed [observe.Arms]uint64
}

// beginnings is how many requests of both sides had begun at a time.
type beginnings struct {
	at    time.Time
	count [observe.Arms]uint64
}

// mostBeginnings bounds a history that nobody asks.
const mostBeginnings = 1024

// add takes a report. Counts that are less than before are of a proxy that has
// started anew.
func (h *history) add(at time.Time, c *Counts) {
	b := beginnings{at: at}
	for a := range c {
		b.count[a] = c[a].Begun
		h.headed[a] = c[a].Headed
	}
	if n := len(h.begun); n > 0 {
		for a, count := range h.begun[n-1].count {
			if b.count[a] < count {
				h.begun = nil
				break
			}
		}
	}
	if len(h.begun) >= mostBeginnings {
		h.begun = append(h.begun[:0], h.begun[mostBeginnings/2:]...)
	}
	h.begun = append(h.begun, b)
}

// waiting is a Waiting, as of the newest report: of those that had begun by then,
// all wait that have no head, if not others in their place.
func (h *history) waiting(longer time.Duration) (n [observe.Arms]uint64) {
	if len(h.begun) == 0 {
		return n
	}
	then := h.begun[len(h.begun)-1].at.Add(-longer)
	for len(h.begun) > 1 && !h.begun[1].at.After(then) {
		h.begun = h.begun[1:]
	}
	if h.begun[0].at.After(then) {
		return n
	}
	for a, begun := range h.begun[0].count {
		if begun > h.headed[a] {
			n[a] = begun - h.headed[a]
		}
	}
	return n
}
