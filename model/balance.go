package model

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
)

// HashKinds are all values of HashKind.
func HashKinds() []HashKind { return []HashKind{HashHeader, HashCookie, HashQuery, HashSource} }

// HashKey is a part of a request by which RingHash and Maglev choose.
type HashKey struct {
	Kind HashKind `json:"kind"`
	// Name is that of the header, cookie or parameter; "" for HashSource.
	Name string `json:"name,omitempty"`
}

// MostHashKeys bounds Service.Hash.
const MostHashKeys = 8

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
}
