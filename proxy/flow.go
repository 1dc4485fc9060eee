package proxy

import (
	"cmp"
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
)

// flow is a model.Flow compiled.
type flow struct {
	noun     *model.Flow
	backends []flowBackend
	total    int // of weights
	traffic  []*observe.Traffic
}

// flowBackend is a model.Backend of a Flow compiled.
type flowBackend struct {
	noun    *model.Backend
	cluster *upstream.Cluster // nil: did not resolve
	source  bool              // the client's address is the key
	traffic []*observe.Traffic
}

// flows compiles the Flows and hangs them on their listeners: for each name
// the one that goes before the others.
func (c *compiler) flows() {
	nouns := slices.Clone(c.prog.Snapshot.Flows)
	slices.SortFunc(nouns, func(a, b *model.Flow) int {
		return cmp.Or(a.Order.Compare(b.Order), cmp.Compare(a.Name, b.Name))
	})
	for _, l := range c.prog.byName {
		if l.noun.Protocol.OfFlows() || l.noun.Mesh != nil {
			l.flows = route.NewHosts[*flow]()
		}
	}
	type spot struct {
		l    *listener
		host string
	}
	taken := map[spot]bool{}
	for _, noun := range nouns {
		f := &flow{noun: noun, traffic: make([]*observe.Traffic, c.loops)}
		for i := range noun.Backends {
			b := &noun.Backends[i]
			if b.Weight > 0 {
				f.backends = append(f.backends, flowBackend{noun: b, cluster: c.clusters[b.Service], source: c.bySource(b.Service), traffic: make([]*observe.Traffic, c.loops)})
				f.total += b.Weight
			}
		}
		for _, parent := range noun.Parents {
			l := c.prog.byName[parent]
			if l == nil || l.flows == nil {
				continue
			}
			over := ""
			if l.noun.Protocol == model.TLS || l.bySNI() {
				over = l.noun.Hostname
			}
			hosts, ok := route.Intersect(over, noun.Hostnames)
			if ok && len(hosts) == 0 {
				hosts = []string{""}
			}
			for _, h := range hosts {
				if !taken[spot{l, h}] {
					taken[spot{l, h}] = true
					l.flows.Add(h, f)
				}
			}
		}
	}
}

// choose takes one of the flow's backends, by weight.
func (f *flow) choose(w *worker) (*flowBackend, observe.Reason) {
	if f.total == 0 {
		return nil, observe.NoBackend
	}
	n := w.rnd.IntN(f.total) // as of a rule: it may be more than 32 bits
	for i := range f.backends {
		b := &f.backends[i]
		if n -= b.noun.Weight; n < 0 {
			if b.cluster == nil {
				return b, observe.InvalidBackend
			}
			return b, observe.ReasonNone
		}
	}
	return nil, observe.NoBackend
}

// counted gives the traffic of a flow and of the service that it leads to, made
// when first needed; the second may be nil.
func (w *worker) counted(f *flow, b *flowBackend) (t [2]*observe.Traffic) {
	g := w.proxy.opt.Registry
	if f.traffic[w.index] == nil {
		f.traffic[w.index] = g.Traffic(observe.ScopeFlow, f.noun.Name, w.index)
	}
	t[0] = f.traffic[w.index]
	if b != nil && b.noun.Service != "" {
		if b.traffic[w.index] == nil {
			b.traffic[w.index] = g.Traffic(observe.ScopeServiceFlow, b.noun.Service, w.index)
		}
		t[1] = b.traffic[w.index]
	}
	return t
}

// passed is what went through a connection or a session, and how it ended.
type passed struct {
	traffic       [2]*observe.Traffic
	in, out       int64 // from the client and to it
	began         time.Duration
	connected     time.Duration // 0 never
	tries         int
	detail        error
	why, notAgain observe.Reason // it ended, and another try was not made
}

func (p *passed) begin() {
	for _, t := range p.traffic {
		if t != nil {
			t.Begin()
		}
	}
}

func (p *passed) moved(in, out int) {
	p.in += int64(in)
	p.out += int64(out)
	for _, t := range p.traffic {
		if t != nil {
			t.Moved(in, out)
		}
	}
}

// uncount ends what begin has begun, with nothing to tell.
func (p *passed) uncount() {
	for _, t := range p.traffic {
		if t != nil {
			t.Done(&observe.Record{})
		}
	}
}

// account writes the one Record of a connection or session; describe fills in
// what only the access log wants.
func (p *passed) account(w *worker, describe func(*observe.Record)) {
	r := &w.record
	*r = observe.Record{Loop: w.index, Duration: w.loop.Now() - p.began, Reason: p.why}
	for _, t := range p.traffic {
		if t != nil {
			t.Done(r) // the bytes were counted as they passed
		}
	}
	w.proxy.opt.Registry.Refused(w.index, p.why)
	if to := w.proxy.recorder.Load(); to != nil {
		r.Start = w.wall(p.began)
		r.BytesIn, r.BytesOut, r.Attempts, r.Detail, r.Flags = p.in, p.out, p.tries, p.detail, p.why.Flags()
		if r.NotRetried = p.notAgain; p.tries > 1 {
			r.Retried = upstream.Unconnected.String()
		}
		if p.connected > 0 {
			r.Upstream = p.connected - p.began
		}
		describe(r)
		(*to).Write(r)
	}
}
