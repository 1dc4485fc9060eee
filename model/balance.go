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
)

// Balances are all values of Balance, the default first.
func Balances() []Balance {
	return []Balance{PeakEWMA, RoundRobin, LeastRequest, Random}
}
