package outlier

// Streak counts the results of checks in a row that contradict the state.
type Streak int

// Add takes a result and says whether the state changes by it, for which so many are
// needed: healthy of one that is sick, unhealthy otherwise.
func (n *Streak) Add(failed, sick bool, healthy, unhealthy int) bool {
	if failed == sick {
		*n = 0
		return false
	}
	needs := unhealthy
	if sick {
		needs = healthy
	}
	if *n++; int(*n) < needs {
		return false
	}
	*n = 0
	return true
}
