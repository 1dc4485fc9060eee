package observe

import (
	"maps"
	"slices"
)

// Mirrored counts one loop's copies of requests to one service by how they ended.
// Only that loop may use it; any goroutine may read what it has counted.
type Mirrored struct {
	answered [classes]Counter // by the class of the status
	failed   [Reasons]Counter
	partial  [partials]Counter
}

// Partial is why a copy did not get all of its request's body.
type Partial uint8

const (
	// Behind: the service took the body more slowly than it came, and a copy holds
	// up no request.
	Behind Partial = iota
	// Incomplete: the request itself ended before its body did.
	Incomplete
	partials
)

var partialNames = [partials]string{"behind", "incomplete"}

// Mirrored gives what loop counts for a service, the same each time, until
// ScopeService is kept without it. It locks and allocates: keep the pointer.
func (g *Registry) Mirrored(service string, loop int) *Mirrored {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.mirrored[service]
	if loop >= len(list) {
		list = append(list, make([]*Mirrored, max(loop+1, g.loops)-len(list))...)
		g.mirrored[service] = list
	}
	if list[loop] == nil {
		list[loop] = &Mirrored{}
	}
	return list[loop]
}

// Answered counts a copy that has got a whole response of the status.
func (m *Mirrored) Answered(status int) {
	class := status / 100
	if status < 0 || class >= classes {
		class = 0
	}
	m.answered[class].Add(1)
}

// Failed counts a copy that has got none, or was not sent at all.
func (m *Mirrored) Failed(why Reason) {
	if why >= Reasons {
		why = Internal
	}
	m.failed[why].Add(1)
}

// GivenUp counts a copy that was given up before all of it was sent.
func (m *Mirrored) GivenUp(why Partial) { m.partial[why].Add(1) }

// each calls emit for each result.
func (m *Mirrored) each(emit func(result string, n *Counter)) {
	for class := range m.answered {
		emit(codes[len(known)+class], &m.answered[class])
	}
	for why := range m.failed {
		emit(Reason(why).String(), &m.failed[why])
	}
	for why := range m.partial {
		emit(partialNames[why], &m.partial[why])
	}
}

func (g *Registry) mirroredFamily() Family {
	return Family{
		Name:   "naru_mirrored_total",
		Help:   "Copies of requests that mirrors were to send to a service, once they have ended, by result: the class of the status that came back (2xx), the reason for which none came or nothing was sent (overloaded, connect_refused), behind (given up because the service took the body more slowly than it came), incomplete (the request ended before its body did).",
		Kind:   KindCounter,
		Labels: []string{"service", "result"},
		each: func(emit func(*Sample)) {
			g.mu.Lock()
			names := slices.Sorted(maps.Keys(g.mirrored))
			loops := make([][]*Mirrored, len(names))
			for i, name := range names {
				loops[i] = slices.Clone(g.mirrored[name])
			}
			g.mu.Unlock()
			for i, name := range names {
				sums := map[string]uint64{}
				for _, m := range loops[i] {
					if m != nil {
						m.each(func(result string, n *Counter) { sums[result] += n.Load() })
					}
				}
				for _, result := range slices.Sorted(maps.Keys(sums)) {
					if n := sums[result]; n > 0 {
						emit(&Sample{Values: []string{name, result}, Value: float64(n)})
					}
				}
			}
		},
	}
}
