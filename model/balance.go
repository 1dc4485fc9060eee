package model

import (
	"math"
	"time"
)

// Balance is how a Service's endpoints share its requests. All respect the
// endpoints' weights.
type Balance string

const (
	// PeakEWMA is the default: of two by chance, the endpoint where what is open
	// would take less time. Connections of Flows, whose first answer tells
	// nothing, go by LeastRequest.
	PeakEWMA     Balance = "peak-ewma"
	RoundRobin   Balance = "round-robin"   // one after the other
	LeastRequest Balance = "least-request" // of two by chance, the one with fewer requests open
	Random       Balance = "random"
	// RingHash and Maglev give one endpoint to all requests with one key
	// (Service.Hash), and move few keys when endpoints change. A request without
	// a key goes as by PeakEWMA.
	RingHash Balance = "ring-hash" // moves fewest
	Maglev   Balance = "maglev"    // most even
)

// Hashes says whether requests go by their keys.
func (b Balance) Hashes() bool { return b == RingHash || b == Maglev }

// HashKind says which part of a request a HashKey is.
type HashKind string

const (
	HashHeader HashKind = "header" // the value of a header, its lines joined by ", "
	HashCookie HashKind = "cookie"
	HashQuery  HashKind = "query"  // the first value of a parameter, decoded
	HashSource HashKind = "source" // the client's address, as trusted hops tell it
	HashCEL    HashKind = "cel"    // what a CEL expression gives: text, a number, a truth value or bytes
)

// HashKinds are all values of HashKind.
func HashKinds() []HashKind {
	return []HashKind{HashHeader, HashCookie, HashQuery, HashSource, HashCEL}
}

// HashKey is a part of a request by which RingHash and Maglev choose.
type HashKey struct {
	Kind HashKind `json:"kind"`
	// Name is that of the header, cookie or parameter, or the expression; "" for
	// HashSource.
	Name string `json:"name,omitempty"`
}

// SlowStart gives an endpoint that has arrived, or has come back after it was
// ejected, less than its weight for a while: weight x max(Floor/100, (t /
// Window)^(1 / Aggression)). Those that a Service begins with are not held
// back, and neither are requests that go by their keys.
type SlowStart struct {
	// Window is how long that takes; 0 is none.
	Window time.Duration `json:"window"`
	// Aggression is how early it gets more: above 1 the share grows fast at first,
	// below 1 late. 0 is 1, a straight line.
	Aggression float64 `json:"aggression,omitempty"`
	// Floor is the percentage of the weight to begin with; 0 is
	// DefaultSlowStartFloor.
	Floor int `json:"floor,omitempty"`
}

// DefaultSlowStartFloor is SlowStart.Floor where nothing is said.
const DefaultSlowStartFloor = 10

// MostSlowStart bounds SlowStart.Window.
const MostSlowStart = time.Hour

// MostHashKeys bounds Service.Hash.
const MostHashKeys = 8

// MostHashBalance bounds Service.HashBalanceFactor, MostHashCode the characters
// of an expression of a HashKey.
const (
	MostHashBalance = 1000
	MostHashCode    = 1024
)

// Balances are all values of Balance, the default first.
func Balances() []Balance {
	return []Balance{PeakEWMA, RoundRobin, LeastRequest, Random, RingHash, Maglev}
}

// balancing writes what says how endpoints share requests; nothing where nothing
// is said.
func (b *content) balancing(s *Service) {
	if len(s.Hash) > 0 {
		b.text("hash")
		b.number(uint64(len(s.Hash)))
		for _, k := range s.Hash {
			b.text(string(k.Kind), k.Name)
		}
	}
	if s.HashBalanceFactor != 0 || s.SubsetSize != 0 {
		b.text("bounded")
		b.int(int64(s.HashBalanceFactor))
		b.int(int64(s.SubsetSize))
	}
	if w := s.SlowStart; w != nil {
		b.text("slow start")
		b.time(w.Window)
		b.number(math.Float64bits(w.Aggression))
		b.int(int64(w.Floor))
	}
}
