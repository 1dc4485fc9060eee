package upstream

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/queue"
	"github.com/naru-mesh/naru/wire"
)

// Limit is one of the bounds of a service that a request can meet.
type Limit uint8

const (
	NoLimit Limit = iota
	LimitRequests
	LimitConnections
	LimitEndpointConnections
	LimitPending
	LimitRetries

	limits
)

// String is the limit's name in metrics, "" for NoLimit.
func (l Limit) String() string {
	return [limits]string{"", "requests", "connections", "endpoint_connections", "pending", "retries"}[l]
}

// limitErrors are written once.
var limitErrors = [limits]error{
	LimitRequests:            errors.New("as many requests run as the service's limit of requests allows"),
	LimitConnections:         errors.New("as many connections are open as the service's limit of connections allows"),
	LimitEndpointConnections: errors.New("each endpoint has as many connections as the service's limit for it allows"),
	LimitPending:             errors.New("as many requests wait as the service's limit of pending allows"),
	LimitRetries:             errors.New("as many retries run as the service's limit of retries allows"),
}

// Err tells of the limit in the access log; nil for NoLimit.
func (l Limit) Err() error { return limitErrors[l] }

// bounds are a model.ServiceLimits with the defaults filled in; 0 is none.
type bounds struct {
	connections, endpoint int64
	// pending bounds those that wait, opening the connections that are being made
	// for some of them. The others cost no file.
	pending, opening int64
	retries          int64
	// running bounds the requests on one loop, where many share a connection.
	running int
	wait    time.Duration // 0: nobody waits for its turn
}

// Connections that are being made are a sixteenth of what may wait, and no fewer
// than these: a service that nobody can connect to keeps few files busy, and little
// memory with the bodies that wait there, at most half a megabyte each; one that can
// be connected to makes way for the next within a millisecond.
const openingPart, leastOpening = 16, 32

// leastRunning requests may run on each loop, however few files there may be.
const leastRunning = 16

// boundsOf fills in the limits of svc for so many loops. Where requests share
// connections those do not bound them; a limit that is written, or found, does, and
// without one each loop has its part of what connections might be. Loops are not all
// as busy, but no service that works comes near it, and to count together would cost
// every request.
func boundsOf(svc *model.Service, set *settings, files, loops int) bounds {
	l := svc.Limits.Filled(files)
	b := bounds{
		connections: int64(max(l.Connections, 0)), endpoint: int64(max(l.EndpointConnections, 0)),
		pending: int64(max(l.Pending, 0)), retries: int64(max(l.Retries, 0)), wait: max(l.Wait, 0),
	}
	if written := svc.Limits != nil && svc.Limits.Connections > 0; set.streams > 1 && !set.gated && !written && b.connections > 0 {
		b.running = max(l.Connections/loops, leastRunning)
	}
	if b.pending > 0 {
		b.opening = min(max(b.pending/openingPart, leastOpening), b.pending)
	}
	return b
}

// bulkhead is a cluster's part of the limits on connections and on who waits. It
// lives as long as the cluster; loops share its atomics. Nothing of it is touched
// by a request that finds a connection and a service without a limit of requests,
// but for one look whether anybody waits.
type bulkhead struct {
	// waiting counts those in the queues, connecting the requests and flows whose
	// connections are being made, opening those connections, conns all of them.
	waiting, connecting, opening, conns atomic.Int64
	retrying                            atomic.Int64 // tries after the first that run
	limited                             [limits]atomic.Uint64
	waited                              atomic.Uint64 // how often one had to wait
	queues                              []line        // one for each loop
	next                                atomic.Uint32 // the loop that is looked at first
	asked                               atomic.Bool   // a loop looks for a connection that it does not use
}

// line are those who wait on one loop, which owns all of it but the atomics.
type line struct {
	cluster *Cluster
	loop    wire.Loop
	queue   queue.Queue
	timer   wire.Timer
	turn    *queue.Waiter // whose turn it is at this moment
	back    bool          // and it waits here again; it may also wait elsewhere then
	running int           // requests of the loop's, whether somebody waits or not
	serve   func()        // made when first needed

	best   atomic.Int32 // of queue, for the others
	posted atomic.Bool  // serve will run
	hops   atomic.Int32 // how many other loops are to be asked when that serves nobody
	_      [64]byte
}

func (c *Cluster) newQueues() []line {
	list := make([]line, len(c.owner.loops))
	for i := range list {
		list[i].cluster, list[i].loop = c, c.owner.loops[i]
		list[i].timer.Handler = &list[i]
	}
	return list
}

// rank is a Class in the order of the queue.
func (c Class) rank() queue.Rank { return [classes]queue.Rank{Normal: 1, Low: 0, Critical: 2}[c] }

// full is the answer to a request that has met a limit: it waits, or is refused.
func (c *Cluster) full(l wire.Loop, set *settings, a *Ask, met Limit) observe.Reason {
	if a.Waiter == nil || set.bounds.wait == 0 {
		return c.refuse(a, met)
	}
	k, w := &c.queues[l.Index()], a.Waiter
	first := k.turn != w
	if !first {
		k.queue.Rejoin(w) // it was not its turn after all
		k.back = true
	} else {
		if most := set.bounds.pending; most > 0 {
			if a.Class == Critical {
				most += max(most/5, 2)
			}
			for c.waiting.Load()+c.connecting.Load() >= most {
				worst := k.queue.Worst(a.Class.rank())
				if worst == nil {
					return c.refuse(a, LimitPending)
				}
				k.inVain(worst)
			}
		}
		if k.serve == nil {
			k.serve = k.serves
		}
		k.queue.Join(l.Now(), w, a.Class.rank())
		c.waited.Add(1)
		c.waiting.Add(1)
		k.changed()
	}
	w.For = uint8(met)
	// What has become free before it was counted nobody was told of.
	if first && met == LimitEndpointConnections || c.open(k, set, a.Class, met) {
		k.post(0)
	}
	if met == LimitConnections || met == LimitEndpointConnections {
		c.askForOne(l.Index())
	}
	return observe.ReasonNone
}

func (c *Cluster) refuse(a *Ask, met Limit) observe.Reason {
	a.Met = met
	c.countRefused(a.Class, met)
	return observe.Overloaded
}

func (c *Cluster) countRefused(class Class, met Limit) {
	c.gate.refused[class].Add(1)
	c.limited[met].Add(1)
}

// open says whether the limit may be passed now, as far as can be seen.
func (c *Cluster) open(k *line, set *settings, class Class, met Limit) bool {
	b := &set.bounds
	switch met {
	case LimitRequests:
		return (!set.gated || c.gate.active.Load() < c.gate.bound(class)) && (b.running == 0 || k.running < b.running)
	case LimitConnections:
		return b.connections == 0 || c.conns.Load() < b.connections
	case LimitPending:
		return (b.opening == 0 || c.opening.Load() < b.opening) && c.connecting.Load() < b.pending
	}
	return false
}

// Leave takes a Waiter out whose request is not wanted any more; it is called on
// l. One that does not wait stays so.
func (c *Cluster) Leave(l wire.Loop, w *queue.Waiter) {
	if w.Waits() {
		c.queues[l.Index()].leave(w)
	}
}

// changed keeps what others read, and the timer.
func (k *line) changed() {
	k.best.Store(int32(k.queue.Best()))
	if k.queue.Len() > 0 && !k.timer.Armed() {
		k.loop.Arm(&k.timer, k.queue.Due(k.loop.Now(), k.wait()))
	}
}

func (k *line) leave(w *queue.Waiter) {
	k.queue.Leave(w)
	k.cluster.waiting.Add(-1)
	k.changed()
}

func (k *line) wait() time.Duration {
	if w := k.cluster.plan.Load().set.bounds.wait; w > 0 {
		return w
	}
	return model.DefaultWait // of those who waited when that was changed
}

// inVain tells w that it is not served.
func (k *line) inVain(w *queue.Waiter) {
	k.leave(w)
	class := [queue.Ranks]Class{Low, Normal, Critical}[w.Rank()]
	k.cluster.countRefused(class, Limit(w.For))
	w.Handler.OnInVain()
}

// OnTimer tells those who have waited long enough.
func (k *line) OnTimer(*wire.Timer) {
	now, wait := k.loop.Now(), k.wait()
	for w := k.queue.Late(now, wait); w != nil; w = k.queue.Late(now, wait) {
		k.inVain(w)
	}
	k.changed()
}

// post has the line served from its loop's top: what becomes free does so within
// a connection's event.
func (k *line) post(hops int32) {
	if k.hops.Load() < hops {
		k.hops.Store(hops) // one that is lost between loops is no matter
	}
	if k.posted.CompareAndSwap(false, true) {
		k.loop.Post(k.serve)
	}
}

// serves gives those who wait their turn, as long as they can be served. Whose
// turn it is is counted until it is served: what becomes free meanwhile, on
// another loop, has the line served again. When it cannot be served after all, as
// a connection of this loop is what it lacks, what is free is for the next loop.
func (k *line) serves() {
	k.posted.Store(false)
	hops := k.hops.Swap(0)
	c := k.cluster
	for k.queue.Len() > 0 {
		w := k.queue.Next(k.loop.Now(), k.wait())
		k.queue.Leave(w)
		k.turn, k.back = w, false
		w.Handler.OnTurn()
		k.turn = nil
		if k.back {
			c.passOn(k.loop.Index(), hops)
			return
		}
		c.waiting.Add(-1)
		k.changed()
	}
	if c.waiting.Load() > 0 {
		c.wake(k.loop.Index()) // the others
	}
}

// freed is called when a request or a connection of the cluster's has ended, or a
// connection stands.
func (c *Cluster) freed(loop wire.Loop) {
	if c != nil && c.waiting.Load() > 0 {
		c.wake(loop.Index())
	}
}

// others is how often, of so many times, who waits on other loops goes before who
// matters as much and waits on the loop where something has become free. To wake
// another loop costs a system call; never to do it would leave loops without work.
const others = 4

// wake gives the line its turn in which the one waits who matters most; of equal
// ones mostly the own.
func (c *Cluster) wake(own int) {
	n := len(c.queues)
	first, at, best := own, -1, int32(0)
	if turn := int(c.next.Add(1)); turn%others == 0 {
		first = turn / others
	}
	for i := range n {
		j := (first + i) % n
		if b := c.queues[j].best.Load(); b > best {
			at, best = j, b
		}
	}
	if at >= 0 {
		c.queues[at].post(int32(n - 1))
	}
}

// passOn gives the next loop on which somebody waits its turn.
func (c *Cluster) passOn(from int, hops int32) {
	for i := 1; i < len(c.queues) && hops > 0; i++ {
		hops--
		if k := &c.queues[(from+i)%len(c.queues)]; k.best.Load() > 0 {
			k.post(hops)
			return
		}
	}
}

// wakeAll is for a change of the limits.
func (c *Cluster) wakeAll() {
	for i := range c.queues {
		if c.queues[i].best.Load() > 0 {
			c.queues[i].post(0)
		}
	}
}

// outranked says whether somebody waits who goes before a request that comes.
func (c *Cluster) outranked(i int, a *Ask) bool {
	if a.Waiter != nil && c.queues[i].turn == a.Waiter {
		return false
	}
	for j := range c.queues {
		if c.queues[j].best.Load() > int32(a.Class.rank()) {
			return true
		}
	}
	return false
}

// enters lets a request in where the service has a limit of requests.
func (c *Cluster) enters(i int, a *Ask) bool {
	return (c.waiting.Load() == 0 || !c.outranked(i, a)) && c.gate.admit(a.Class)
}

// exits takes back what enters did, for a request that could not be lent a
// connection. Who met the limit meanwhile is told; not by one whose turn it was,
// as it is no news that it could not be served.
func (c *Cluster) exits(i int, set *settings, a *Ask) {
	if set.gated {
		c.gate.leave()
		if a.Waiter == nil || c.queues[i].turn != a.Waiter {
			c.freed(c.queues[i].loop)
		}
	}
}

// reserve counts a connection that is going to be made, unless there are too
// many; then it says of what. With force it is counted in any case.
func (p *pool) reserve(force bool) Limit {
	c := p.ep.cluster
	if c == nil {
		return NoLimit // in tests of parts
	}
	b := &p.set.bounds
	if force {
		c.conns.Add(1)
		p.ep.conns.Add(1)
		c.opening.Add(1)
		return NoLimit
	}
	if b.opening > 0 && c.opening.Load() >= b.opening {
		return LimitPending
	}
	if n := c.conns.Add(1); b.connections > 0 && n > b.connections {
		c.conns.Add(-1)
		return LimitConnections
	}
	if n := p.ep.conns.Add(1); b.endpoint > 0 && n > b.endpoint {
		p.ep.conns.Add(-1)
		c.conns.Add(-1)
		return LimitEndpointConnections
	}
	c.opening.Add(1)
	return NoLimit
}

// stood counts that a connection is being made no more.
func (p *pool) stood() {
	if c := p.ep.cluster; c != nil {
		c.opening.Add(-1)
		c.freed(p.loop)
	}
}

// crowded says whether as many requests as may wait do so for connections that are
// being made.
func (p *pool) crowded() bool {
	c, most := p.ep.cluster, p.set.bounds.pending
	return c != nil && most > 0 && c.connecting.Load() >= most
}

// gave counts that a connection is gone.
func (p *pool) gave() {
	if c := p.ep.cluster; c != nil {
		c.conns.Add(-1)
		p.ep.conns.Add(-1)
		c.freed(p.loop)
	}
}

// connecting counts those whose connection is being made.
func (p *pool) connecting(n int64) {
	if c := p.ep.cluster; c != nil {
		c.connecting.Add(n)
	}
}

// surplus says whether an idle connection should rather be made by another loop,
// on which somebody waits for one.
func (p *pool) surplus() bool {
	c := p.ep.cluster
	if c == nil || c.waiting.Load() == 0 || c.queues[p.loop.Index()].queue.Len() > 0 {
		return false
	}
	b := &p.set.bounds
	return b.connections > 0 && c.conns.Load() >= b.connections || b.endpoint > 0 && p.ep.conns.Load() >= b.endpoint
}

// askForOne has the other loops, one after the other, close a connection that they
// do not use, for somebody who waits on from.
func (c *Cluster) askForOne(from int) {
	if len(c.queues) > 1 && c.asked.CompareAndSwap(false, true) {
		c.ask((from+1)%len(c.queues), len(c.queues)-1)
	}
}

func (c *Cluster) ask(at, left int) {
	c.queues[at].loop.Post(func() {
		if left > 1 && !c.spareOne(at) {
			c.ask((at+1)%len(c.queues), left-1)
			return
		}
		if left == 1 {
			c.spareOne(at)
		}
		c.asked.Store(false)
	})
}

// spareOne closes an idle connection of loop at, unless somebody waits there.
func (c *Cluster) spareOne(at int) bool {
	const look = 4096
	if c.queues[at].queue.Len() > 0 {
		return false
	}
	n := 0
	p := c.plan.Load()
	for i := range p.tiers {
		for j := range p.tiers[i].rows.n {
			if n++; n > look {
				return false
			}
			if pl := p.tiers[i].rows.at(j).ep.pools[at].Load(); pl != nil && pl.oldest != nil {
				pl.retire(pl.oldest)
				return true
			}
		}
	}
	return false
}
