package http3

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// waste is what a client may do a little of for nothing. Most of what floods
// HTTP/2 is QUIC's here, which has its own defences.
type waste uint8

const (
	wasteResets     waste = iota // requests given up by the client, or malformed
	wasteEmpties                 // frames without meaning: empty ones, unknown ones
	wastePriorities              // PRIORITY_UPDATE
	wastes
)

// allowances are how much of each is forgiven.
var allowances = [wastes]struct {
	most   int // at once
	second int // forgiven in a second
	why    observe.Reason
}{
	wasteResets:     {200, 20, observe.RapidReset},
	wasteEmpties:    {100, 10, observe.EmptyFrameFlood},
	wastePriorities: {300, 20, observe.PriorityFlood},
}

// budget is how much of a waste was spent and not forgiven yet.
type budget struct {
	spent int
	at    time.Duration // up to when time has forgiven
}

// spend takes one. Where there was too much of it the connection ends, and the
// answer is false.
func (m *session) spend(w waste) bool {
	b, a := &m.budgets[w], &allowances[w]
	if now := m.loop.Now(); now > b.at {
		if n := int(int64(now-b.at) * int64(a.second) / int64(time.Second)); n > 0 {
			b.spent = max(0, b.spent-n)
			b.at = now
		}
	}
	if b.spent++; b.spent <= a.most {
		return true
	}
	m.broken(codeExcessiveLoad, a.why)
	return false
}

// earn makes up for n of what was spent.
func (m *session) earn(w waste, n int) {
	b := &m.budgets[w]
	b.spent = max(0, b.spent-n)
}
