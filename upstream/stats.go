package upstream

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// Counts are figures of an endpoint, or the sum over endpoints.
type Counts struct {
	// Active is how many requests run; Opening and Idle are connections that
	// are being made and that wait for work; Open is all connections.
	Active, Opening, Idle, Open int64
	// Picks is how often it was chosen, Connects how often dialled.
	Picks, Connects uint64
	// OtherZone is how many of the picks were not in our own zone, as far as that
	// and the endpoint's are known; Panicked of endpoints that were not well.
	OtherZone, Panicked uint64
	// Diverted is how many of the picks were by keys of endpoints that had as much
	// as they may (model.Service.HashBalanceFactor).
	Diverted uint64
	// Keyless is how many of the picks had no key where keys decide.
	Keyless uint64
	// Failures is how many connects failed, by ConnectReasons.
	Failures [len(connectReasons)]uint64
	// Results is how many tries went how, by Outcome. Of those that were Answered,
	// Bad speak against the endpoint by their status, and Limited say that it has
	// too much to do.
	Results      [outcomes]uint64
	Bad, Limited uint64
	// Ejections is how often it was ejected, by EjectionReasons; Probes how many
	// requests have probed it, of which ProbesFailed did badly.
	Ejections            [len(ejectionReasons)]uint64
	Probes, ProbesFailed uint64
}

// Limits are all but NoLimit.
func Limits() (list []Limit) {
	for l := LimitRequests; l < limits; l++ {
		list = append(list, l)
	}
	return list
}

// ConnectReasons are the reasons of Counts.Failures, in its order.
func ConnectReasons() [len(connectReasons)]observe.Reason { return connectReasons }

// EndpointStats are the figures of an endpoint that is configured now.
type EndpointStats struct {
	Host    string
	Addr    netip.AddrPort
	Weight  int
	Healthy bool
	// Ails is what its last health check failed of, if it has: once does not make it ill.
	Ails string
	// Ejection is why it is ejected, "" when it is not; Figures say what was
	// counted. It began at Ejected, and the next request after Probe probes it.
	Ejection       string
	Figures        string
	Ejected, Probe time.Time
	Place          model.Place
	Priority       int
	// Latency is how long it takes to answer as peak EWMA has it now; 0 where it is
	// not known, or nothing goes by it.
	Latency time.Duration
	Counts
}

// tries are the names of Counts.Tries.
var tries = [...]string{"good", "bad", "busy", "unreached", "broken", "late", "torn", "abandoned"}

// Tries calls visit with how many tries went how: "good", "bad" (answered by a
// status that speaks against the endpoint), "busy" (429, RESOURCE_EXHAUSTED), or by
// Outcome, where there was no good answer. What is 0 is left out.
func (n *Counts) Tries(visit func(how string, n uint64)) {
	answered := n.Results[Answered]
	for i, x := range [len(tries)]uint64{
		answered - min(answered, n.Bad+n.Limited+n.Results[Torn]), n.Bad, n.Limited,
		n.Results[Unreached], n.Results[Broken], n.Results[Late], n.Results[Torn], n.Results[Abandoned],
	} {
		if x > 0 {
			visit(tries[i], x)
		}
	}
}

// TierStats are the figures of endpoints that are equally far, of one priority.
type TierStats struct {
	Priority int
	Distance model.Distance
	Zone     string // "": of all zones
	// Load is the share of the requests that it gets, 0 to 1.
	Load           float64
	Healthy, Total int // endpoints
	Used           int // those that are chosen among: fewer with a subset
	// Panics: those that are not well are used, too.
	Panics bool
}

// ServiceStats are the figures of a service. The sums cover endpoints that
// were removed too: their connections while any is left, their counters for
// ever.
type ServiceStats struct {
	Service   string
	Endpoints []EndpointStats
	// Unresolved are names of its endpoints whose last lookup has failed.
	Unresolved []*Unresolved
	// Running and Limit are those of a service with limits: requests that run,
	// and how many of class Normal may; 0 where there is no limit. Refused is how
	// many were not let in, by Class.
	Running, Limit int
	Refused        [classes]uint64
	// Limited is how many were refused, by Limit. Pending wait now, for their turn
	// or for a connection that is being made; Waited is how often one had to wait
	// for its turn. MaxConnections and MaxPending bound what they say; 0: nothing
	// does.
	Limited                             [limits]uint64
	Pending, MaxPending, MaxConnections int
	Waited                              uint64
	// Held is how often an endpoint did as badly as those that are ejected, and
	// was not, because it was the last, or too many were.
	Held   uint64
	Tiers  []TierStats // in the order in which they are tried
	Panics uint64      // how often endpoints began to be used that are not well
	Counts
	// Retries are the tries after the first.
	Retries RetryStats
	// Choices are why endpoints were chosen, and passed over.
	Choices ChoiceStats
}

// Stats calls visit for each current cluster, by name. What it gets is lent
// until it returns. The figures are read one by one, while loops go on.
func (s *Set) Stats(visit func(*ServiceStats)) {
	s.mu.Lock()
	list := make([]*Cluster, 0, len(s.clusters))
	for _, c := range s.clusters {
		list = append(list, c)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b *Cluster) int { return strings.Compare(a.name, b.name) })
	var st ServiceStats
	for _, c := range list {
		c.stats(&st)
		visit(&st)
	}
}

// stats fills st, reusing its memory.
func (c *Cluster) stats(st *ServiceStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prune()
	*st = ServiceStats{Service: c.name, Endpoints: st.Endpoints[:0], Tiers: c.layout.stats(st.Tiers[:0]), Panics: c.panics, Held: c.outliers.Held(), Counts: c.past, Retries: c.retryStats(), Choices: c.choiceStats(), Unresolved: c.unresolved()}
	if p := c.plan.Load(); p.set.gated {
		st.Running, st.Limit = int(c.gate.active.Load()), int(c.gate.limit.Load())
	}
	b := &c.plan.Load().set.bounds
	st.MaxPending, st.MaxConnections = int(b.pending), int(b.connections)
	st.Pending, st.Waited = int(c.waiting.Load()+c.connecting.Load()), c.waited.Load()
	for i := range st.Limited {
		st.Limited[i] = c.limited[i].Load()
	}
	for i := range st.Refused {
		st.Refused[i] = c.gate.refused[i].Load()
	}
	now := c.loopTime()
	for _, m := range c.members {
		e := EndpointStats{
			Host: m.ep.host, Addr: m.ep.addr, Weight: int(m.weight),
			Healthy: !m.ep.sick.Load(), Ails: m.ep.ails, Place: m.of.place, Priority: m.of.priority, Counts: m.ep.counts(),
			Latency: m.ep.latency.told(now),
		}
		m.ep.describe(&e)
		st.Endpoints = append(st.Endpoints, e)
		st.Counts.add(&e.Counts)
	}
	for _, ep := range c.leaving {
		n := ep.counts()
		st.Counts.add(&n)
	}
}

// prune moves the counters of removed endpoints to the past, once nothing of
// theirs is left to count.
func (c *Cluster) prune() {
	c.leaving = slices.DeleteFunc(c.leaving, func(ep *Endpoint) bool {
		if int(ep.left.Load()) < len(ep.pools) {
			return false
		}
		n := ep.counts()
		if n.Open > 0 {
			return false
		}
		c.past.add(&n)
		return true
	})
}

// counts adds up what the loops counted.
func (ep *Endpoint) counts() (n Counts) {
	for i := range ep.pools {
		p := ep.pools[i].Load()
		if p == nil {
			continue
		}
		settled := p.settled.Load() // first: what is settled was picked
		one := Counts{
			Picks: p.picks.Load(), Opening: p.opening.Load(), Open: p.open.Load(),
			Connects: p.connects.Load(), Panicked: p.panicked.Load(), Diverted: p.diverted.Load(), Keyless: p.keyless.Load(),
		}
		if ep.outside {
			one.OtherZone = one.Picks
		}
		one.Active = max(0, int64(one.Picks-settled))
		// An opening connection is lent to the request that caused it, unless
		// that one was given up; while the loop writes, the figures may be from
		// before and after.
		busy := one.Active
		if p.multi.Load() {
			busy = p.carrying.Load()
		}
		one.Idle = max(0, one.Open-max(busy, one.Opening))
		for j := range p.failed {
			one.Failures[j] = p.failed[j].Load()
		}
		// What is part of another figure is read before it.
		one.Bad, one.Limited, one.Results[Torn] = p.bad.Load(), p.limited.Load(), p.results[Torn].Load()
		for j := range p.results {
			if Outcome(j) != Torn {
				one.Results[j] = p.results[j].Load()
			}
		}
		n.add(&one)
	}
	ep.watched.counts(&n)
	return n
}

func (n *Counts) add(m *Counts) {
	n.Active += m.Active
	n.Opening += m.Opening
	n.Idle += m.Idle
	n.Open += m.Open
	n.Picks += m.Picks
	n.Connects += m.Connects
	n.OtherZone += m.OtherZone
	n.Panicked += m.Panicked
	n.Diverted += m.Diverted
	n.Keyless += m.Keyless
	for i := range n.Failures {
		n.Failures[i] += m.Failures[i]
	}
	for i := range n.Results {
		n.Results[i] += m.Results[i]
	}
	n.Bad += m.Bad
	n.Limited += m.Limited
	for i := range n.Ejections {
		n.Ejections[i] += m.Ejections[i]
	}
	n.Probes += m.Probes
	n.ProbesFailed += m.ProbesFailed
}
