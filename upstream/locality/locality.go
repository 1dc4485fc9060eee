package locality

// Capacity is the weight of endpoints.
type Capacity struct {
	Healthy, Total uint64 // Healthy is at most Total
}

// health is which part of its load a level can carry.
func (c Capacity) health(factor float64) float64 {
	if c.Total == 0 {
		return 0
	}
	return min(1, factor*float64(c.Healthy)/float64(c.Total))
}

// Below says whether less than a share of the endpoints is healthy, in percent.
func (c Capacity) Below(percent int) bool {
	return c.Healthy*100 < c.Total*uint64(max(percent, 0))
}

// Levels appends to shares what each level carries, the first first: as much as
// it can, and the next what that leaves. Where all together cannot carry
// everything each gets in proportion to what it can, and where nothing is
// healthy in proportion to what it has. carried is the part of everything that
// all can carry, at most 1.
func Levels(shares []float64, levels []Capacity, factor float64) (_ []float64, carried float64) {
	total := uint64(0)
	for _, c := range levels {
		carried = min(1, carried+c.health(factor))
		total += c.Total
	}
	rest := 1.0
	for _, c := range levels {
		share := 0.0
		switch {
		case carried > 0:
			share = min(rest, c.health(factor)/carried)
		case total > 0:
			share = float64(c.Total) / float64(total)
		}
		rest -= share
		shares = append(shares, share)
	}
	return shares, carried
}

// Zones appends to shares what the callers of the zone own, an index, give each
// zone of a level.
//
// How many callers a zone has no proxy knows; it takes them to be evenly spread
// over the zones that have endpoints. So a zone is there for its callers as long
// as it can carry the mean of all zones. What it cannot goes to the others by
// what they have left when their own callers are served, or, where none has
// anything left, by what they have.
func Zones(shares []float64, zones []Capacity, own int, factor float64) []float64 {
	total, count := uint64(0), 0
	for _, z := range zones {
		if z.Total > 0 {
			total += z.Total
			count++
		}
	}
	if total == 0 {
		return append(shares, make([]float64, len(zones))...)
	}
	// can is what a zone carries, of the load of one zone's callers.
	mean := float64(total) / float64(count)
	can := func(z Capacity) float64 { return factor * float64(z.Healthy) / mean }
	local := min(1, can(zones[own]))
	left, healthy := 0.0, 0.0
	for i, z := range zones {
		if i != own {
			left += max(0, can(z)-1)
			healthy += float64(z.Healthy)
		}
	}
	if healthy == 0 {
		local = 1
	}
	for i, z := range zones {
		switch {
		case i == own:
			shares = append(shares, local)
		case local == 1:
			shares = append(shares, 0)
		case left > 0:
			shares = append(shares, (1-local)*max(0, can(z)-1)/left)
		default:
			shares = append(shares, (1-local)*float64(z.Healthy)/healthy)
		}
	}
	return shares
}
