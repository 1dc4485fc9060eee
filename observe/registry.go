package observe

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Scope is what a Traffic was counted for.
type Scope string

const (
	ScopeRoute    Scope = "route"
	ScopeService  Scope = "service"
	ScopeListener Scope = "listener"
	// Connections and sessions of flows: by flow, and by the service they led to.
	ScopeFlow        Scope = "flow"
	ScopeServiceFlow Scope = "service_flow"
)

// Registry holds every metric of the process.
//
// Loops ask for their Traffic once (when a Program is built) and keep the
// pointer; nothing else of the Registry but Refused is for the request path.
type Registry struct {
	loops   int
	refused []refusals // by loop

	mu      sync.Mutex // guards what follows
	traffic map[Scope]map[string][]*Traffic
	funcs   map[string]Family
	calls   map[string][]*Calls // by route, then loop
	trials  map[string][]*Trial // by run, then loop; nil without

	mirrored map[string][]*Mirrored // by service, then loop
}

// refusals are counted with locked additions: they are rare, and what refuses
// is not always the loop. The pad keeps loops off each other's cache lines.
type refusals struct {
	counts [Reasons]atomic.Uint64
	_      [64]byte
}

// NewRegistry makes an empty Registry for loops numbered from 0.
func NewRegistry(loops int) *Registry {
	return &Registry{
		loops:   max(loops, 1),
		refused: make([]refusals, max(loops, 1)),
		traffic: map[Scope]map[string][]*Traffic{},
		funcs:   map[string]Family{},
		calls:   map[string][]*Calls{},

		mirrored: map[string][]*Mirrored{},
	}
}

// Traffic gives what loop counts for name, the same each time; it is made when
// first asked for, so that what is configured but unused costs nothing. It
// locks and allocates: keep the pointer. loop counts from 0.
func (g *Registry) Traffic(s Scope, name string, loop int) *Traffic {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.traffic[s] == nil {
		g.traffic[s] = map[string][]*Traffic{}
	}
	list := g.traffic[s][name]
	if loop >= len(list) {
		list = append(list, make([]*Traffic, max(loop+1, g.loops)-len(list))...)
		g.traffic[s][name] = list
	}
	if list[loop] == nil {
		list[loop] = &Traffic{}
	}
	return list[loop]
}

// Keep forgets the Traffic of names that the function does not want, so that
// reloads do not grow memory. A Traffic that a draining Program still holds
// goes on working and is no longer seen. If the name comes back it starts at
// 0, which readers of counters know as a restart. With ScopeService it does so
// with what is Mirrored.
func (g *Registry) Keep(s Scope, names func(string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range g.traffic[s] {
		if !names(name) {
			delete(g.traffic[s], name)
		}
	}
	if s == ScopeService {
		maps.DeleteFunc(g.mirrored, func(name string, _ []*Mirrored) bool { return !names(name) })
	}
}

// Refused counts why naru itself ended an exchange or a connection. No lock,
// no allocation, from any goroutine; a loop gives its own number.
func (g *Registry) Refused(loop int, why Reason) {
	if why == ReasonNone {
		return
	}
	if why >= Reasons {
		why = Internal
	}
	if uint(loop) >= uint(len(g.refused)) {
		loop = 0
	}
	g.refused[loop].counts[why].Add(1)
}

// Func adds a metric that is read when it is asked for, from the asking
// goroutine: collect calls emit once for each set of label values. A second
// Func of the same name takes the place of the first.
func (g *Registry) Func(name, help string, kind Kind, labels []string, collect func(emit func(value float64, labelValues ...string))) {
	g.add(Family{Name: name, Help: help, Kind: kind, Labels: labels, each: func(emit func(*Sample)) {
		var s Sample
		collect(func(value float64, labelValues ...string) {
			s.Value = value
			s.Values = fit(labelValues, len(labels))
			emit(&s)
		})
	}})
}

func (g *Registry) add(f Family) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.funcs[f.Name] = f
}

// fit gives values the length n, so that a slip in a collect function spoils a
// label and not the whole scrape.
func fit(values []string, n int) []string {
	for len(values) < n {
		values = append(values, "")
	}
	return values[:n]
}

// Collect calls emit for every Family, sorted by name. What changes meanwhile
// may or may not be seen.
func (g *Registry) Collect(emit func(Family)) {
	g.mu.Lock()
	all := make([]Family, 0, len(g.funcs)+16)
	for _, f := range g.funcs {
		all = append(all, f)
	}
	g.mu.Unlock()
	all = append(all, g.refusedFamily(), g.callsFamily(), g.mirroredFamily())
	for _, s := range []Scope{ScopeRoute, ScopeService, ScopeListener} {
		all = append(all, g.trafficFamilies(s)...)
	}
	all = append(all, g.flowFamilies(ScopeFlow, "flow", "a tcp, tls or udp route")...)
	all = append(all, g.flowFamilies(ScopeServiceFlow, "service", "tcp, tls and udp routes to a service")...)
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range all {
		emit(f)
	}
}

func (g *Registry) refusedFamily() Family {
	return Family{
		Name:   "naru_refused_total",
		Help:   "Exchanges and connections that naru itself ended, by reason; `naru explain REASON` tells what each means.",
		Kind:   KindCounter,
		Labels: []string{"reason"},
		each: func(emit func(*Sample)) {
			for why := ReasonNone + 1; why < Reasons; why++ {
				var n uint64
				for i := range g.refused {
					n += g.refused[i].counts[why].Load()
				}
				if n > 0 {
					emit(&Sample{Values: []string{why.String()}, Value: float64(n)})
				}
			}
		},
	}
}
