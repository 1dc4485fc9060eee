package upstream

import (
	"slices"
	"time"
)

// tier are endpoints among which the balancing chooses. It does not change.
//
// Round-robin goes over the rows again and again. A row whose weight is less
// than full is passed over in some rounds: its offset moves on by its weight
// each round, and it is taken when the sum carries. So a pick needs no state
// but the position and the round, the shares are exact in the long run, and
// light endpoints with different offsets come in different rounds. An endpoint
// much heavier than the mean stands in several rows, evenly spread, which
// bounds how many rows a pick passes over (about five on average).
type tier struct {
	rows  rows
	count int     // endpoints; rows may be more
	mean  float32 // of their weights
	share float32 // of the requests that the tier gets, 0 to 1
	// keys find, for a key, an endpoint; nil where keys do not decide. whole is the
	// weight of those that they can lead to, times 100.
	keys  *keyed
	whole float64
}

// row is an endpoint's turn.
type row struct {
	ep     *Endpoint
	share  uint32 // of full
	offset uint32 // below full
	weight uint32 // the endpoint's own
}

// full is the share of a row that is taken in every round.
const full = 1 << 31

// maxWeight bounds an endpoint's weight, so that products fit.
const maxWeight = 1 << 20

// maxExcess is how many times the mean a row's weight may be.
const maxExcess = 4

// layRows lays out members, of which there are some. scale is the weight of a row
// that is taken in every round.
func layRows(members []member) (list []row, sum uint64, scale float64) {
	var heaviest uint64
	for i := range members {
		sum += uint64(members[i].weight)
		heaviest = max(heaviest, uint64(members[i].weight))
	}
	n := uint64(len(members))
	if heaviest*n <= maxExcess*sum {
		scale = float64(heaviest)
		list = make([]row, len(members))
		for i := range members {
			m := &members[i]
			list[i] = row{ep: m.ep, weight: m.weight, share: uint32(uint64(m.weight) * full / heaviest)}
		}
	} else {
		list, scale = spread(members, sum)
	}
	for i := range list {
		r := &list[i]
		r.share = max(r.share, 1)
		r.offset = uint32(i) * 0x9E3779B9 % full // golden ratio: neighbours far apart
	}
	return list, sum, scale
}

// spread gives endpoints heavier than maxExcess times the mean several rows.
func spread(members []member, sum uint64) ([]row, float64) {
	type placed struct {
		at float64 // position in the round, 0 to 1
		row
	}
	n := uint64(len(members))
	var list []placed
	var most float64
	for i, m := range members {
		k := max(1, (uint64(m.weight)*n+maxExcess*sum-1)/(maxExcess*sum))
		most = max(most, float64(m.weight)/float64(k))
		at := (float64(i) + 0.5) / float64(n)
		for range k {
			list = append(list, placed{at, row{ep: m.ep, weight: m.weight, share: uint32(k)}})
			if at += 1 / float64(k); at >= 1 {
				at--
			}
		}
	}
	slices.SortStableFunc(list, func(a, b placed) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	rows := make([]row, len(list))
	for i, l := range list {
		l.share = uint32(min(float64(l.weight)/float64(l.share)/most*full, full))
		rows[i] = l.row
	}
	return rows, most
}

// cursor is a loop's place in the plans of one cluster. It outlives them.
type cursor struct {
	row, round uint32
	random     uint64 // state of splitmix64
	started    bool
	loop       uint16
	split      uint32 // where the next draw of a tier is
	// asked are requests that the budget of retries has not seen, as it need not
	// until then.
	asked uint32
	until time.Duration
	_     [24]byte // a cache line each: loops write them all the time
}

// next gives 64 random bits.
func (cur *cursor) next() uint64 {
	cur.random += 0x9E3779B97F4A7C15
	z := cur.random
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// turn is round-robin's.
func (t *tier) turn(cur *cursor) *Endpoint {
	if !cur.started {
		// row is a fraction until the number of rows is known.
		cur.started = true
		cur.row = uint32(uint64(cur.row) * uint64(t.rows.n) >> 32)
	}
	for {
		if int(cur.row) >= t.rows.n {
			cur.row = 0
			cur.round++
		}
		r := t.rows.at(int(cur.row))
		cur.row++
		if (r.offset+cur.round*r.share)%full+r.share >= full {
			return r.ep
		}
	}
}

// draw is a random row, by weight.
func (t *tier) draw(cur *cursor) *row {
	for {
		z := cur.next()
		r := t.rows.at(int((z >> 32) * uint64(t.rows.n) >> 32))
		if uint32(z)%full < r.share {
			return r
		}
	}
}

// another is tried when something speaks against first: other candidates, then
// a look along the rows for the best that there is. A retry is rare and a
// service whose endpoints are all down has time, but not without bound.
func (t *tier) another(cur *cursor, set *settings, now time.Duration, a *Ask, first *Endpoint) *Endpoint {
	const candidates, look = 8, 256
	avoid := a.Tried
	if t.count == 1 {
		return t.rows.at(0).ep
	}
	for n := range candidates {
		if ep := t.candidate(cur, set, now, a, n+1); ep.usable(now, avoid) {
			return ep
		}
	}
	at := int(cur.next() % uint64(t.rows.n))
	best := first
	if !a.Hashed || t.keys == nil {
		// Where all are equally bad they share what comes; the balancing would have
		// sent it all to the one that was the best when it still worked.
		if ep := t.draw(cur).ep; ep.hope(now, avoid) >= best.hope(now, avoid) {
			best = ep
		}
	}
	for range min(t.rows.n, look) {
		ep := t.rows.at(at).ep
		if ep.usable(now, avoid) {
			return ep
		}
		if ep.hope(now, avoid) > best.hope(now, avoid) {
			best = ep
		}
		if at++; at == t.rows.n {
			at = 0
		}
	}
	return best
}
