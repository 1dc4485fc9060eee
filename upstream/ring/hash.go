package ring

// Sum hashes b: FNV-1a, whose bits are then mixed as it alone leaves similar
// values near each other. It is the same on every machine and in every version.
func Sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return Mix(h)
}

// Mix spreads what differs in some bits over all of them (splitmix64).
func Mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Member is one of those that hashes belong to.
type Member struct {
	// Key is Sum of what the member is known by, such as its address. Of two
	// members with one key the first is as if it were alone.
	Key uint64
	// Weight is its share, relative to the others; 0 counts as 1.
	Weight uint32
}
