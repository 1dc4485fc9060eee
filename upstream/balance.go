package upstream

import (
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/ring"
)

// balance is how a tier chooses: a model.Balance.
type balance uint8

const (
	peakEWMA balance = iota
	roundRobin
	leastRequest
	random
	ringHash
	maglev
)

func balanceOf(svc *model.Service) balance {
	switch svc.Balance {
	case model.RoundRobin:
		return roundRobin
	case model.LeastRequest:
		return leastRequest
	case model.Random:
		return random
	case model.RingHash:
		return ringHash
	case model.Maglev:
		return maglev
	}
	return peakEWMA
}

// hashed says whether keys decide.
func (b balance) hashed() bool { return b == ringHash || b == maglev }

// timed says whether how long endpoints take decides, of requests without a key
// where keys do.
func (b balance) timed() bool { return b == peakEWMA || b.hashed() }

// counted says whether what runs on endpoints decides.
func (b balance) counted() bool { return b.timed() || b == leastRequest }

// table is a ring.Ring or ring.Maglev.
type table interface {
	Lookup(hash uint64, nth int) int
	First(hash uint64) (member int, at uint64)
	Next(at uint64) (member int, next uint64)
}

// keyed finds endpoints by keys. It does not change; of a large tier it may be of
// the members as they were a moment ago: who is gone is to be skipped.
type keyed struct {
	by    balance
	table table
	eps   []keyedEndpoint
	sum   uint64 // of their weights
}

type keyedEndpoint struct {
	ep      *Endpoint
	*glance // ep's
	weight  uint32
}

// find gives the endpoint that a key leads to, if nothing speaks against it; nil
// where it takes another look. The endpoint itself is not read: see glance.
func (t *tier) find(set *settings, a *Ask) *Endpoint {
	var e *keyedEndpoint
	if set.bound == 0 {
		e = &t.keys.eps[t.keys.table.Lookup(a.Hash, 0)]
	} else if e = t.roomy(set, a, 0); e == nil {
		return nil
	}
	if e.glance == nil || e.doubts.Load() != 0 || a.Tried.Has(e.ep) {
		return nil
	}
	return e.ep
}

// keysOf lays out members for keys; nil where keys do not decide.
func keysOf(members []member, by balance) *keyed {
	if !by.hashed() || len(members) == 0 {
		return nil
	}
	k := &keyed{by: by, eps: make([]keyedEndpoint, len(members))}
	for i := range members {
		k.eps[i] = keyedEndpoint{members[i].ep, members[i].ep.glance, members[i].weight}
		k.sum += uint64(members[i].weight)
	}
	k.build()
	return k
}

// build makes the table, which takes some milliseconds for thousands.
func (k *keyed) build() {
	list := make([]ring.Member, len(k.eps))
	for i, e := range k.eps {
		list[i] = ring.Member{Key: e.ep.key, Weight: e.weight}
	}
	if k.by == maglev {
		k.table = ring.NewMaglev(list)
		return
	}
	k.table = ring.NewRing(list, 0)
}

// candidate is the choice of the balancing alone, the nth that is asked for.
func (t *tier) candidate(cur *cursor, set *settings, now time.Duration, a *Ask, nth int) *Endpoint {
	ep := t.prefer(cur, set, now, a, nth)
	if set.slow.window == 0 || a.Hashed && t.keys != nil {
		return ep
	}
	// Where all begin at once, as after a failure of everything, one is taken
	// all the same.
	const turns = 4
	for n := 0; n < turns && t.count > 1 && ep.passed(cur, &set.slow, now); n++ {
		ep = t.prefer(cur, set, now, a, nth)
	}
	return ep
}

// prefer is candidate without regard to slow starts.
func (t *tier) prefer(cur *cursor, set *settings, now time.Duration, a *Ask, nth int) *Endpoint {
	switch set.balance {
	case roundRobin:
		return t.turn(cur)
	case random:
		return t.draw(cur).ep
	case leastRequest:
		return t.least(cur)
	}
	if a.Hashed && t.keys != nil {
		if set.bound > 0 {
			return t.bounded(cur, set, a, nth)
		}
		return t.keys.eps[t.keys.table.Lookup(a.Hash, nth)].ep
	}
	if a.flow {
		return t.least(cur)
	}
	return t.quickest(cur, now, a)
}

// two are two endpoints by chance, where there are two: the first by weight, to
// be taken where nothing speaks for the other. That one is a neighbour of the
// first where its draws fall on the same, as they do when a weight is great.
func (t *tier) two(cur *cursor) (a, b *row) {
	a, b = t.draw(cur), t.draw(cur)
	if a.ep != b.ep || t.count == 1 {
		return a, b
	}
	b = t.draw(cur)
	for i := cur.next() >> 32 * uint64(t.rows.n) >> 32; a.ep == b.ep; i++ {
		b = t.rows.at(int(i % uint64(t.rows.n)))
	}
	return a, b
}

// least is least-request's: of two by chance the one with less that runs, for
// its weight. (M. Mitzenmacher, The Power of Two Choices, 2001.)
func (t *tier) least(cur *cursor) *Endpoint {
	a, b := t.two(cur)
	if b.ep.inflight.Load()*int64(a.weight) < a.ep.inflight.Load()*int64(b.weight) {
		return b.ep
	}
	return a.ep
}

// noise is how many times as long one endpoint may take as another and be no
// slower: what decides then is what runs on them. Without it a difference of a
// hair would send all requests one way while there are few of them.
const noise = 1.25

// quickest is peak-EWMA's: of two by chance the one where what runs would take
// less time, and one request more.
func (t *tier) quickest(cur *cursor, now time.Duration, ask *Ask) *Endpoint {
	a, b := t.two(cur)
	if a.ep == b.ep {
		return a.ep
	}
	na, nb := a.ep.inflight.Load(), b.ep.inflight.Load()
	va, vb := a.ep.latency.expect(now, na), b.ep.latency.expect(now, nb)
	if va <= vb*noise && vb <= va*noise {
		if nb*int64(a.weight) < na*int64(b.weight) {
			return b.ep
		}
		return a.ep
	}
	// What an endpoint can carry is for its weight: latency x (pending x mean /
	// weight + 1), both sides multiplied by both weights. A draw is by weight
	// already, so the request to come counts the same for both.
	wa, wb := float32(a.weight), float32(b.weight)
	if vb*(float32(nb)*t.mean+wb)*wa < va*(float32(na)*t.mean+wa)*wb {
		a, b, nb = b, a, na
	}
	// Another try is not for who may fail again.
	if nb == 0 && !ask.Once && (ask.Tried == nil || ask.Tried.n == 0) && b.ep.latency.due(now) {
		return b.ep
	}
	return a.ep
}

// mostFull is how many endpoints of a key are looked at that have as much as they
// may, and mostPlaces how many places of a ring for that; then load alone decides.
const (
	mostFull   = 8
	mostPlaces = 512
)

// bounded is the choice by a key where no endpoint may have more than a factor
// times its share of what runs: the next of the key that has less. (V. Mirrokni,
// M. Thorup, M. Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018.)
func (t *tier) bounded(cur *cursor, set *settings, a *Ask, nth int) *Endpoint {
	if e := t.roomy(set, a, nth); e != nil {
		return e.ep
	}
	a.diverted = true
	return t.least(cur)
}

// roomy gives the first of a key's endpoints, from the nth on, that has less than
// it may; nil where there is none soon. That is load < bound x running x weight /
// whole, which is exact where the tier has all that runs.
func (t *tier) roomy(set *settings, a *Ask, nth int) *keyedEndpoint {
	k := t.keys
	each := set.bound * (float64(k.eps[0].ep.cluster.running.Load())*float64(t.share) + 1)
	nth = min(nth, len(k.eps)-1)
	most := min(nth+mostFull, len(k.eps))
	var seen [2 * mostFull]int32
	n := 0
	i, at := k.table.First(a.Hash)
	for range mostPlaces {
		if !slices.Contains(seen[:n], int32(i)) {
			e := &k.eps[i]
			if n >= nth && float64(e.load.Load())*t.whole < each*float64(e.weight) {
				a.diverted = n > nth
				return e
			}
			seen[n] = int32(i)
			if n++; n == most {
				break
			}
		}
		i, at = k.table.Next(at)
	}
	return nil
}
