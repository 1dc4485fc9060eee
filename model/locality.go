package model

import "strings"

// Place is where something runs. What is "" is not known, and not compared.
type Place struct {
	// Region is a group of zones with fast links between them, Zone a part of it
	// that fails by itself: "eu-central", "eu-central-1a".
	Region string `json:"region,omitempty"`
	Zone   string `json:"zone,omitempty"`
	// Network is a set of machines that reach each other by their addresses.
	Network string `json:"network,omitempty"`
}

// Distance is how far two places are from one another.
type Distance uint8

const (
	InZone    Distance = iota
	InRegion           // not known to be in the same zone, nor in another region
	InNetwork          // in another region
	Elsewhere          // in another network
)

// String is the distance's name in metrics and admin answers.
func (d Distance) String() string { return [...]string{"zone", "region", "network", "elsewhere"}[d] }

// To is how far q is from p.
func (p Place) To(q Place) Distance {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	switch {
	case differ(p.Network, q.Network):
		return Elsewhere
	case differ(p.Region, q.Region):
		return InNetwork
	case p.Zone == "" || p.Zone != q.Zone:
		return InRegion
	}
	return InZone
}

// ParsePlace reads "region/zone", or a zone alone. hint says what is wrong, ""
// nothing.
func ParsePlace(s string) (p Place, hint string) {
	region, zone, both := strings.Cut(s, "/")
	if !both {
		region, zone = "", s
	}
	if both && !IsPlaceName(region) || !IsPlaceName(zone) {
		return p, "write a zone as eu-central-1a, or a region and a zone as eu-central/eu-central-1a"
	}
	return Place{Region: region, Zone: zone}, ""
}

// String is how ParsePlace reads it, with the network before where there is one:
// "dc1:eu-central/eu-central-1a".
func (p Place) String() string {
	s := p.Zone
	if p.Region != "" {
		s = p.Region + "/" + s
	}
	if p.Network != "" {
		s = p.Network + ":" + s
	}
	return s
}

// IsPlaceName says whether s can be the name of a region, zone or network: 1 to
// 63 letters, digits, dots, dashes and underscores.
func IsPlaceName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// Nearness says which endpoints go before others.
type Nearness string

const (
	// PreferZone: those of the proxy's own zone, as far as they can carry its
	// share; then those of its region; then of its network. The default.
	PreferZone Nearness = "zone"
	// PreferRegion: those of the own region, in whatever zone.
	PreferRegion Nearness = "region"
	// PreferNone: wherever they are.
	PreferNone Nearness = "none"
)

// Locality says how much it matters where the endpoints of a Service are, and
// how many of them are healthy. The zero Locality is the default one.
type Locality struct {
	Prefer Nearness `json:"prefer,omitempty"` // "" is PreferZone
	// MinEndpoints is how many endpoints a region has at least, of one priority,
	// for its zones to be told apart. 0 is DefaultMinEndpoints.
	MinEndpoints int `json:"minEndpoints,omitempty"`
	// Overprovisioning is how much of their share healthy endpoints can carry, in
	// percent, 100 to 1000; 0 is DefaultOverprovisioning.
	Overprovisioning int `json:"overprovisioning,omitempty"`
	// Panic is a percentage, 0 to 100: where all healthy endpoints together cannot
	// carry everything, a priority of which fewer are healthy uses all that it has.
	// With 0 that is so where none is healthy at all, of no priority.
	Panic int `json:"panic,omitempty"`
}

// Defaults of a Locality.
const (
	// DefaultMinEndpoints: with fewer a zone has so few that callers who are not
	// spread evenly are soon too many for it.
	DefaultMinEndpoints = 6
	// DefaultOverprovisioning: a zone or priority carries all of its load until
	// fewer than 72% of it are healthy.
	DefaultOverprovisioning = 140
	// MostPriorities is one more than the greatest Endpoint.Priority.
	MostPriorities = 16
)

// write appends to b what l says; nothing where it is nil.
func (l *Locality) write(b *content) {
	if l != nil {
		b.text("locality", string(l.Prefer))
		b.int(int64(l.MinEndpoints))
		b.int(int64(l.Overprovisioning))
		b.int(int64(l.Panic))
	}
}
