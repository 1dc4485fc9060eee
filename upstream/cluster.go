package upstream

import (
	"hash/fnv"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/budget"
	"github.com/naru-mesh/naru/upstream/outlier"
	"github.com/naru-mesh/naru/upstream/ring"
	"github.com/naru-mesh/naru/wire"
)

// Cluster is a Service that runs.
type Cluster struct {
	name  string
	owner *Set
	spec  atomic.Pointer[spec]
	plan  atomic.Pointer[plan]
	bulkhead
	// tokens are the members by their tokens; nil where no route has sessions.
	tokens  atomic.Pointer[index]
	salt    uint64   // of tokens: the service's
	cursors []cursor // one for each loop
	gate    gate
	budget  atomic.Pointer[budget.Budget]
	retries []retries // one for each loop
	choices []choices // likewise
	// running is how many requests and connections run, where that bounds those of an
	// endpoint.
	running atomic.Int64

	// mu orders changes; no loop takes it.
	mu        sync.Mutex
	retired   bool
	checked   bool      // health checks may run: the cluster was committed
	targets   []*target // by the spec's endpoints; of one with an error none
	members   []member
	layout    layout              // of the members
	gathers   bool                // what finds keys will be made anew
	doubles   int                 // endpoints that were named once more
	rebuilds  int                 // how often everything was made anew
	watching  []*outlier.Endpoint // of members, in their order
	panicked  bool                // all were chosen, healthy or not, in the plan that is current
	panics    uint64              // how often that began
	endpoints map[endpointKey]*Endpoint
	// leaving are endpoints that were removed and still have connections; past
	// is what those that are gone had counted.
	leaving []*Endpoint
	past    Counts

	detection
}

// endpointKey says when an endpoint of a new spec is the one from before.
type endpointKey struct {
	addr  netip.AddrPort
	host  string // it may decide which certificate is right
	trust int
	// Of the mesh: who must be there, and for what.
	peer, sni string
}

// newCluster makes a cluster without endpoints; adopt gives it a spec.
func newCluster(s *Set, svc *model.Service) *Cluster {
	c := &Cluster{
		name:      svc.Name,
		owner:     s,
		cursors:   s.newCursors(svc.Name),
		retries:   make([]retries, len(s.loops)),
		choices:   make([]choices, len(s.loops)),
		endpoints: map[endpointKey]*Endpoint{},
	}
	c.plan.Store(newPlan(nil, settingsOf(svc), observe.NoEndpoint))
	c.queues = c.newQueues()
	c.detection.begin(s.random)
	c.rebudget(svc)
	c.salt = ring.Mix(nameSum(svc.Name))
	return c
}

// newCursors makes one for each loop. Loops start evenly spread over the rows,
// from a place that differs with name: two loops never march in step. Nor do
// clusters of one name that are made one after the other: else jobs of which each
// calls once would call the same endpoint all.
func (s *Set) newCursors(name string) []cursor {
	start := cursor{random: s.seed ^ nameSum(name) ^ s.gone.Load()*0xD1342543DE82EF95}
	base := start.next()
	list := make([]cursor, len(s.loops))
	for i := range list {
		cur := &list[i]
		cur.loop = uint16(i)
		cur.random = start.next()
		cur.round = uint32(start.next())
		cur.row = uint32(base) + uint32(uint64(i)<<32/uint64(len(list)))
	}
	return list
}

// nameSum tells clusters apart, on every proxy alike.
func nameSum(name string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	return hash.Sum64()
}

// Name is the Service's.
func (c *Cluster) Name() string { return c.name }

// Service is what the cluster runs now. It must not be written to.
func (c *Cluster) Service() *model.Service { return c.spec.Load().service }

// Pick chooses an endpoint and lends a connection to it, of l's own pool:
// pooled, or dialled this moment, in which case what is sent waits until it
// stands. It is called on l; a is lent. When nothing can be lent, why says so
// and conn and ep are nil; where a has a Waiter, why may be ReasonNone: the
// request waits for its turn, and its Waiter will hear.
//
// The caller calls conn.Send once, or conn.Close when it changed its mind; the
// pool hears from the connection when it can be lent again. How the try went it
// tells by Tell.
func (c *Cluster) Pick(l wire.Loop, a *Ask) (conn wire.ClientConn, ep *Endpoint, why observe.Reason) {
	p := c.plan.Load()
	i, now := l.Index(), l.Now()
	cur := &c.cursors[i]
	if a.First {
		c.count(cur, now)
	}
	if p.set.gated && !c.enters(i, a) {
		return nil, nil, c.full(l, p.set, a, LimitRequests)
	}
	if a.Session != 0 {
		if ep = c.kept(now, a); ep != nil {
			a.Chosen = Kept
		}
	}
	probes := false
	if ep == nil && p.out != nil {
		if ep = c.probe(p, now, a); ep != nil {
			a.Chosen, probes = Probed, true
		}
	}
	if ep == nil {
		ep = p.choose(cur, now, a)
	}
	if ep == nil {
		c.exits(i, p.set, a)
		return nil, nil, p.none
	}
	pl := c.pool(ep, p.set, l)
	conn, met := pl.give(p.set, a)
	if met != NoLimit {
		if probes {
			ep.unprobed(now)
		}
		if conn, ep, pl = c.roomier(p, l, a); conn == nil {
			c.exits(i, p.set, a)
			return nil, nil, c.full(l, p.set, a, met)
		}
		a.Chosen = Elsewhere
	}
	c.chose(i, p, ep, a)
	if a.Untold {
		pl.untold.Add(1)
	}
	if p.panics && ep.ill.Load() {
		pl.panicked.Add(1)
	}
	if a.diverted {
		pl.diverted.Add(1)
	} else if !a.Hashed && p.set.balance.hashed() {
		pl.keyless.Add(1)
	}
	return conn, ep, observe.ReasonNone
}

// pool gives ep's pool on l, which is made when first needed.
func (c *Cluster) pool(ep *Endpoint, set *settings, l wire.Loop) *pool {
	at := &ep.pools[l.Index()]
	pl := at.Load()
	if pl == nil {
		pl = newPool(ep, l)
		pl.gate, pl.line = &c.gate, &c.queues[l.Index()]
		pl.multi.Store(set.multi)
		at.Store(pl)
	}
	return pl
}

// roomier looks for an endpoint that has a connection to lend, or room for one,
// where the one that was chosen has not; nothing where there is none.
func (c *Cluster) roomier(p *plan, l wire.Loop, a *Ask) (wire.ClientConn, *Endpoint, *pool) {
	const look = 256
	if a.Tried != nil && a.Tried.Only.IsValid() {
		return nil, nil, nil
	}
	cur, n := &c.cursors[l.Index()], 0
	for i := range p.tiers {
		rows := &p.tiers[i].rows
		at := int(cur.next() >> 32 * uint64(rows.n) >> 32)
		for range rows.n {
			if n++; n > look {
				return nil, nil, nil
			}
			ep := rows.at(at).ep
			if ep.usable(l.Now(), a.Tried) {
				pl := c.pool(ep, p.set, l)
				if conn, met := pl.give(p.set, a); met == NoLimit {
					return conn, ep, pl
				}
			}
			if at++; at == rows.n {
				at = 0
			}
		}
	}
	return nil, nil, nil
}

// Another says whether the cluster has an endpoint that is not among tried.
func (c *Cluster) Another(tried *Tried) bool {
	return !tried.Only.IsValid() && c.plan.Load().holds(tried)
}

// remove empties the pools of endpoints that are in the plan no more. A loop
// that is picking from the plan before does so before it runs what is posted.
func (c *Cluster) remove(eps []*Endpoint) {
	if len(eps) == 0 {
		return
	}
	for _, ep := range eps {
		ep.skipped(true) // keys may find it until others are found
		c.endCheck(ep)
	}
	c.prune()
	c.leaving = append(c.leaving, eps...)
	for i, l := range c.owner.loops {
		l.Post(func() {
			for _, ep := range eps {
				if p := ep.pools[i].Load(); p != nil {
					p.empty()
				}
				ep.left.Add(1)
			}
		})
	}
}

// retire ends the cluster.
func (c *Cluster) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return
	}
	c.retired = true
	defer c.wakeAll()
	sp := c.spec.Load()
	sp.release(c)
	var all []*Endpoint
	for _, m := range c.members {
		all = append(all, m.ep)
	}
	c.targets, c.members, c.watching, c.layout, c.endpoints = nil, nil, nil, layout{}, map[endpointKey]*Endpoint{}
	c.plan.Store(newPlan(nil, c.plan.Load().set, observe.NoEndpoint))
	c.remove(all)
}
