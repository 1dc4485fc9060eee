package overload

import (
	"math"
	"sync/atomic"
	"time"
)

// Gate is one loop's part of a Decision: its loop asks it about requests, the
// Controller's owner sets it, and the loop itself tells it what waits. The zero Gate
// lets everything in.
type Gate struct {
	// word is the whole of it, so that a loop reads it with one load: the level in
	// the low byte, whether to close and whether own is to be asked in the next, then the
	// shares of 65535 by class. 0 is calm.
	word atomic.Uint64
	// bound is that of what waits, 0 none; wait is what waits now, and own what the
	// loop refuses because of it, of shareAll.
	bound, wait atomic.Int64
	own         [Classes]uint64
	// What came and what was refused while it was not calm: only the loop writes
	// these.
	seen [Classes]atomic.Uint64
	shed [Levels][Classes]atomic.Uint64
	_    [64]byte // another loop's Gate is not on this one's cache lines
}

const (
	closeBit  = 1 << 8
	ownBit    = 1 << 9
	shareFrom = 16
	shareBits = 16
	shareAll  = math.MaxUint16
)

// Calm says whether everything is let in.
func (g *Gate) Calm() bool { return g.word.Load() == 0 }

// Admit says whether a request of a class is let in, and counts it. dice is a
// random number. It is for the Gate's loop, where the Gate is not Calm.
func (g *Gate) Admit(c Class, dice uint32) bool {
	word := g.word.Load()
	one(&g.seen[c])
	level := Level(word & 0xff)
	share := word >> (shareFrom + shareBits*uint(c)) & shareAll
	if word&ownBit != 0 && g.own[c] > share {
		share = g.own[c]
		level = max(level, RefusingLow+Level(c))
	}
	if share == 0 || share < shareAll && uint64(dice&shareAll) >= share {
		return true
	}
	one(&g.shed[level][c])
	return false
}

// Bound is what may wait: see Waits. 0 is no bound. Any goroutine.
func (g *Gate) Bound(most time.Duration) { g.bound.Store(int64(max(most, 0))) }

// Waits tells how long a request that came now would wait, and refuses a share
// accordingly, until it is told again. It is for the Gate's loop.
func (g *Gate) Waits(wait time.Duration) {
	g.wait.Store(int64(wait))
	refused := WaitShares(wait, time.Duration(g.bound.Load()))
	for c, share := range refused {
		g.own[c] = uint64(share * shareAll)
	}
	switch on, was := refused != (Shares{}), g.word.Load()&ownBit != 0; {
	case on && !was:
		g.word.Or(ownBit)
	case was && !on:
		g.word.And(^uint64(ownBit))
	}
}

// Wait is what Waits was told last. Any goroutine.
func (g *Gate) Wait() time.Duration { return time.Duration(g.wait.Load()) }

// one adds one to what one goroutine writes.
func one(n *atomic.Uint64) { n.Store(n.Load() + 1) }

// Closes says whether the connection of a refused request is to be closed.
func (g *Gate) Closes() bool { return g.word.Load()&closeBit != 0 }

// Set puts a loop's part of d in force. Any goroutine, but one at a time.
func (g *Gate) Set(level Level, refused *Shares, closes bool) {
	word := uint64(level)
	if closes && level > Calm {
		word |= closeBit
	}
	for c, share := range refused {
		if level > Calm {
			word |= uint64(min(max(share, 0), 1)*shareAll+0.5) << (shareFrom + shareBits*c)
		}
	}
	for {
		was := g.word.Load()
		if g.word.CompareAndSwap(was, word|was&ownBit) {
			return
		}
	}
}

// Seen is how many requests have come, by class, while the Gate was not calm.
func (g *Gate) Seen() (n [Classes]uint64) {
	for c := range n {
		n[c] = g.seen[c].Load()
	}
	return n
}

// Shed is how many requests of a class were refused at a level.
func (g *Gate) Shed(l Level, c Class) uint64 { return g.shed[l][c].Load() }
