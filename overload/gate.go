package overload

import (
	"math"
	"sync/atomic"
)

// Gate is one loop's part of a Decision: its loop asks it about requests, the
// Controller's owner sets it. The zero Gate lets everything in.
type Gate struct {
	// word is the whole of it, so that a loop reads it with one load: the level in
	// the low byte, whether to close in the next, then the shares of 65535 by
	// class. 0 is calm.
	word atomic.Uint64
	// What came and what was refused while it was not calm: only the loop writes
	// these.
	seen [Classes]atomic.Uint64
	shed [Levels][Classes]atomic.Uint64
	_    [64]byte // another loop's Gate is not on this one's cache lines
}

const (
	closeBit  = 1 << 8
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
	share := word >> (shareFrom + shareBits*uint(c)) & shareAll
	if share == 0 || share < shareAll && uint64(dice&shareAll) >= share {
		return true
	}
	one(&g.shed[word&0xff][c])
	return false
}

// one adds one to what one goroutine writes.
func one(n *atomic.Uint64) { n.Store(n.Load() + 1) }

// Closes says whether the connection of a refused request is to be closed.
func (g *Gate) Closes() bool { return g.word.Load()&closeBit != 0 }

// Set puts a loop's part of d in force. Any goroutine, but one at a time.
func (g *Gate) Set(level Level, refused *Shares, closes bool) {
	if level == Calm {
		g.word.Store(0)
		return
	}
	word := uint64(level)
	if closes {
		word |= closeBit
	}
	for c, share := range refused {
		word |= uint64(min(max(share, 0), 1)*shareAll+0.5) << (shareFrom + shareBits*c)
	}
	g.word.Store(word)
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
