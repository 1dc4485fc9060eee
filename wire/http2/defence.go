package http2

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// waste is what a peer may do a little of for nothing: each costs us work and
// is of no use by itself.
type waste uint8

const (
	wasteResets     waste = iota // streams that end without a response, by the peer or because of it
	wasteSettings                // SETTINGS
	wastePings                   // PING
	wastePriorities              // PRIORITY, PRIORITY_UPDATE
	wasteWindows                 // WINDOW_UPDATE
	wasteEmpties                 // DATA without data, unknown frames
	wastes
)

// allowances are how much of each is forgiven. Use of the connection (earn)
// and time make up for what was spent.
var allowances = [wastes]struct {
	most   int32 // at once
	second int32 // forgiven in a second
	why    observe.Reason
}{
	wasteResets:     {200, 20, observe.RapidReset},
	wasteSettings:   {50, 2, observe.SettingsFlood},
	wastePings:      {100, 10, observe.PingFlood},
	wastePriorities: {300, 20, observe.PriorityFlood},
	wasteWindows:    {1000, 100, observe.WindowFlood},
	wasteEmpties:    {100, 10, observe.EmptyFrameFlood},
}

// budget is how much of a waste was spent and not forgiven yet.
type budget struct {
	spent int32
	at    time.Duration // up to when time has forgiven
}

// spend takes one; false when there was too much of it, which m.why then says.
func (m *session) spend(w waste) bool {
	b, a := &m.budgets[w], &allowances[w]
	now := m.loc.loop.Now()
	if now > b.at {
		if n := int64(now-b.at) * int64(a.second) / int64(time.Second); n > 0 {
			b.spent = int32(max(0, int64(b.spent)-n))
			b.at = now
		}
	}
	if b.spent++; b.spent <= a.most {
		return true
	}
	m.why = a.why
	return false
}

// earn makes up for n of what was spent.
func (m *session) earn(w waste, n int32) {
	if b := &m.budgets[w]; b.spent > 0 {
		b.spent = max(0, b.spent-n)
	}
}

// Bounds of a header block in the making: its frames, and its bytes beyond
// twice what the header list may have. Below them a list that is too large is
// answered with 431; beyond, reading on would cost more than an answer is worth.
const (
	maxBlocks   = 64
	blockMargin = 64 << 10
)

// blockFits says whether a header block may grow to n bytes in that many
// frames.
func (m *session) blockFits(n, frames int) bool {
	list := maxResponseHead
	if !m.client {
		list = m.lim.HeadBytes
		if list < 0 {
			list = 1 << 20
		}
	}
	if n <= 2*list+blockMargin && frames <= maxBlocks {
		return true
	}
	m.why = observe.ContinuationFlood
	return false
}

// unreadMost bounds what waits for a peer that does not read. Data stop at
// wire.HighWater; what comes on top are heads and acknowledgements.
const unreadMost = 3 * (256 << 10)

// unread says whether the peer leaves too much unread while it asks for more.
func (m *session) unread() bool {
	if len(m.out)+m.conn.Buffered() <= unreadMost {
		return false
	}
	m.why = observe.UnreadFlood
	return true
}

// readBlock reads a header block, to its end: it may change the table.
func (m *session) readBlock(block []byte, sink fieldSink) code {
	switch m.read.read(block, sink) {
	case nil:
		return codeNone
	case errUnwanted:
		m.why = observe.HeadTooLarge
		return codeEnhanceYourCalm
	}
	return codeCompression
}
