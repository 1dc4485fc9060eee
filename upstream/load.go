package upstream

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// latency is how long an endpoint takes to answer: a peak-EWMA of the times
// that were told, in one word, so that it is read and written whole. The upper
// half is seconds (float32), the lower half when that was (ticks of the loop's
// clock). Zero is unknown.
//
// It rises at once and falls with exp(-t/decay), as Finagle's and Linkerd's do,
// with these differences, each for a fault that the plain formula has:
//
//   - It rises at most fourfold for one request. One that happens to be slow
//     would otherwise keep its endpoint without requests for a minute, while
//     the others do its work. Two or three in a row reach any height.
//   - Below quick it is not told apart: on a local network that is the chance
//     of when a loop looks.
//   - An endpoint that is not known gets one request at once, and no second
//     until that has come back, rather than a time that is a guess: what is
//     guessed too high starves a new endpoint among quick ones, too low floods
//     it.
//   - The first answer is believed up to twice what the others take. It is often a
//     slow one (caches are cold, connections of its own are made), and where few
//     requests come an endpoint that has begun with a second among milliseconds
//     would have nothing to show for a minute that it has become quick. Where the
//     connection was made for it, it counts for what the others take.
//   - One that is avoided for failures alone gets a request that can be repeated
//     when it has answered none for a while, and a good answer then leaves a quarter
//     of what they have come to. One that failed once and is well would otherwise
//     wait for as long as one that is slow.
type latency struct{ word atomic.Uint64 }

const (
	decay = 10 * time.Second
	// tick is the resolution of the clock, which wraps after 52 days: what was told so
	// long ago is new for a moment, as what comes from a loop's clock that is ahead.
	tick  = 1 << 20 * time.Nanosecond
	ahead = uint32(time.Minute / tick) // it is less

	quick   float32 = 0.001 // seconds
	rise    float32 = 4
	first   float32 = 2 // times as long as the others a first answer counts at most
	unknown float32 = 1 // what an endpoint is expected to take while its first request runs
	worst   float32 = 5 // what failures come to

	quickly = time.Millisecond // quick

	// suspect is the bit of a word that says that failures have raised the value:
	// its sign, as it is never negative. again is how long after the last answer an
	// endpoint that is avoided for that gets a request.
	suspect = 1 << 63
	again   = 3 * time.Second
)

// quickWord is quick as the upper half of a word; of positive numbers that of the
// greater is the greater (IEEE 754).
var quickWord = uint64(math.Float32bits(quick))

// unpack gives the value as it was told, 0 when it is unknown, and what is left
// of one at now.
func unpack(word uint64, now time.Duration) (value, left float32) {
	value = math.Float32frombits(uint32(word &^ suspect >> 32))
	age := since(word, now)
	if age < uint32(decay/256/tick) {
		return value, 1
	}
	return value, float32(math.Exp(float64(-time.Duration(age)*tick) / float64(decay)))
}

// since gives how many ticks ago a word was told. Loops' clocks differ a little: what
// is from the future is from now.
func since(word uint64, now time.Duration) uint32 {
	if age := uint32(now/tick) - uint32(word); age < math.MaxUint32-ahead {
		return age
	}
	return 0
}

// told gives what is known at now, 0 where nothing is; at 0, the loops' time not being
// known, what it was.
func (e *latency) told(now time.Duration) time.Duration {
	word := e.word.Load()
	if word == 0 {
		return 0
	}
	value, left := unpack(word, now)
	if now == 0 {
		left = 1
	}
	return time.Duration(float64(max(value*left, quick)) * float64(time.Second))
}

// expect gives the seconds that one request would take at now where pending run
// already; 0 where the endpoint is not known and idle.
func (e *latency) expect(now time.Duration, pending int64) float32 {
	word := e.word.Load()
	if word == 0 {
		if pending == 0 {
			return 0
		}
		return unknown
	}
	value, left := unpack(word, now)
	return max(value*left, quick)
}

// forget makes it unknown again: who was out, or took no connections, and is back is
// most often another process, and what failures have come to says nothing of it.
func (e *latency) forget() { e.word.Store(0) }

// due says whether an endpoint that is avoided should have a request, to show
// whether it still fails.
func (e *latency) due(now time.Duration) bool { return paused(e.word.Load(), now) }

// paused says whether failures have raised a value, and the last answer was long
// enough ago.
func paused(word uint64, now time.Duration) bool {
	return word&suspect != 0 && since(word, now) >= uint32(again/tick)
}

// same says that whatever heard would note of a try makes no difference: below quick
// an endpoint is not told apart.
func (e *latency) same(r *Result) bool {
	word := e.word.Load()
	return word != 0 && word>>32 <= quickWord && r.Took <= quickly && r.Outcome == Answered && r.Status < 429 && r.GRPC <= 0
}

// heard takes note of how a try went. others is what other endpoints take, in
// seconds, 0 where that is not known.
func (e *latency) heard(now time.Duration, r *Result, others float32) {
	word := e.word.Load()
	if r.Outcome == Unreached {
		// It stands aside for that (connectFailed), and says nothing of how long
		// it takes: when it can be reached again it is as good as before.
		return
	}
	took, failed := float32(max(r.Took, 1).Seconds()), r.failed()
	for range 2 { // whoever fails twice lets the others' count
		var value float32
		still := false // failures have raised what is left
		switch was, left := unpack(word, now); {
		case word == 0 && r.Outcome == Abandoned:
			return
		case word == 0 && failed:
			value = quick * rise
		case word == 0 && r.Dialled:
			// How long it takes is not known yet. But where each request has a connection
			// made for it, it never would be, and one that has failed once would be the
			// only one that is known, and get nothing, or everything.
			value = max(others, quick)
		case word == 0 && others == 0:
			value = min(took, quick*rise)
		case word == 0:
			value = min(took, max(others, quick)*first)
		default:
			peak := max(was*left, quick) * rise
			switch {
			case failed:
				// A quick failure must not draw requests: it counts as a slow
				// answer, so one hardly matters and a row of them does.
				value = max(min(peak, worst), was*left)
			case took >= was && r.Dialled:
				return // most of it may have been the connection
			case paused(word, now) && r.Outcome == Abandoned && took < was:
				value, still = max(was*left, min(took, peak)), true // the next is not sent at once
			case paused(word, now) && r.Outcome != Abandoned:
				value = max(was*left/rise, min(took, peak))
				still = value > took
			case took >= was:
				value = min(took, peak)
			case r.Outcome == Abandoned:
				return // it took longer than that, nobody knows how long
			case left == 1:
				// Too soon to fall. It is not noted, as time would begin again with each
				// of many answers, and it would never fall.
				return
			default:
				value = min(was*left+took*(1-left), peak)
				still = word&suspect != 0
			}
		}
		next := uint64(math.Float32bits(value))<<32 | uint64(uint32(now/tick))
		if failed || still {
			next |= suspect
		}
		if e.word.CompareAndSwap(word, next) {
			return
		}
		word = e.word.Load()
	}
}

// failed says whether the answer, or that there is none, speaks against an
// endpoint that was reached: what Linkerd's penalty counts.
func (r *Result) failed() bool {
	switch r.Outcome {
	case Broken, Late, Torn:
		return true
	case Unreached, Abandoned:
		return false
	}
	if r.GRPC > 0 {
		switch observe.GRPCCode(r.GRPC) {
		case observe.GRPCUnknown, observe.GRPCDeadlineExceeded, observe.GRPCResourceExhausted,
			observe.GRPCInternal, observe.GRPCUnavailable, observe.GRPCDataLoss:
			return true
		}
	}
	return r.Status == 429 || r.Status >= 500 && r.Status != 501
}

// usual is how long the endpoints take of which that is known: the median of some
// of them, 0 where none is.
func (p *plan) usual(cur *cursor, now time.Duration) float32 {
	const look, enough = 64, 9
	var known [enough]float32
	n := 0
	for i := range p.tiers {
		rows := &p.tiers[i].rows
		at := int(cur.next() >> 32 * uint64(rows.n) >> 32)
		for range min(rows.n, look) {
			if word := rows.at(at).ep.latency.word.Load(); word != 0 && n < enough {
				value, left := unpack(word, now)
				known[n] = max(value*left, quick)
				n++
			}
			if at++; at == rows.n {
				at = 0
			}
		}
	}
	if n == 0 {
		return 0
	}
	slices.Sort(known[:n])
	return known[(n-1)/2]
}
