package observe

import "sync"

// mostTallied bounds the sets of labels of a Tally.
const mostTallied = 1000

// Others stands in a Tally for whoever came when it was full.
const Others = "others"

// Tally counts by labels that are not configured, such as who calls: up to
// 1,000 sets of them, and then all others as one. It locks: it is for what
// happens once a connection, not for requests.
type Tally struct {
	mu     sync.Mutex
	counts map[[2]string]uint64
}

// NewTally makes a Tally that g shows as a counter with two labels.
func (g *Registry) NewTally(name, help string, labels [2]string) *Tally {
	t := &Tally{counts: map[[2]string]uint64{}}
	g.Func(name, help, KindCounter, labels[:], t.each)
	return t
}

// Add counts one, and says whether it is the first of its labels.
func (t *Tally) Add(a, b string) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{a, b}
	n, known := t.counts[key]
	if !known && len(t.counts) >= mostTallied {
		key = [2]string{Others, Others}
		n, known = t.counts[key]
	}
	t.counts[key] = n + 1
	return !known
}

func (t *Tally) each(emit func(value float64, labelValues ...string)) {
	t.mu.Lock()
	all := make(map[[2]string]uint64, len(t.counts))
	for k, n := range t.counts {
		all[k] = n
	}
	t.mu.Unlock()
	for k, n := range all {
		emit(float64(n), k[0], k[1])
	}
}
