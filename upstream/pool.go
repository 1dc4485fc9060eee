package upstream

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/outlier"
	"github.com/naru-mesh/naru/wire"
)

// pool holds the connections of one endpoint on one loop, which owns all of
// it. The counters are written by the loop and read by anyone.
type pool struct {
	ep   *Endpoint
	loop wire.Loop
	set  *settings // of the last pick
	gate *gate     // of the cluster
	line *line     // the cluster's, of this loop

	// newest and oldest are the ends of the idle connections, a stack: the
	// warmest is lent first, so that what is not needed grows old and ends.
	newest, oldest *link
	idle           int
	// partial is the head of the connections that carry exchanges and have room
	// for more: HTTP/2's. The first is filled before the next one gets any, so
	// that there are as few connections as the load needs.
	partial *link
	// bound is how many exchanges at once the service allows on a connection,
	// as far as is known; 0 is not at all. A new connection knows only later.
	bound int
	// sweep closes idle connections when their time is over.
	sweep wire.Timer
	// closed: the endpoint was removed; nothing is kept.
	closed bool
	fickle fickle
	// epoch counts how often the certificate has changed that is shown; what was
	// made in an earlier one is lent no more.
	epoch uint32
	// leases are the connections that flows have, the newest first.
	leases *Lease

	// Those picked and not yet settled are active.
	picks, settled, connects observe.Counter
	panicked                 observe.Counter // picks of one that is not well
	diverted, keyless        observe.Counter // picks by keys of others, and by none where keys decide
	open, opening            atomic.Int64
	// carrying counts connections with exchanges, where one can have several;
	// where not, those are as many as the active exchanges.
	carrying atomic.Int64
	multi    atomic.Bool
	failed   [len(connectReasons)]observe.Counter
	results  [outcomes]observe.Counter // of tries
	// Of those that were Answered, how many were bad, and refused because they
	// were too many; and how long the others took.
	bad, limited observe.Counter
	// untold are those of the picks of which nobody has told, nor will, as far as is
	// known: a flow that shows all the same how it went is taken back.
	untold observe.Counter
	took   [outlier.Buckets]observe.Counter
}

// connectReasons are why a connect can fail, in the order of the counters.
var connectReasons = [...]observe.Reason{
	observe.ConnectRefused, observe.ConnectTimeout, observe.ConnectFailed, observe.UpstreamTLS, observe.UpstreamIdentity, observe.NoIdentity,
}

// link is a connection of a pool. It is the connection's wire.ClientOwner, so
// that no event needs a search.
type link struct {
	pool         *pool
	conn         wire.ClientConn
	timer        wire.Timer    // bounds the connect
	since        time.Duration // when it became idle
	born         time.Duration
	newer, older *link // while idle; while partial the neighbours there

	lent    int // exchanges that run on it
	counted int // of those, in Endpoint.inflight
	bounded int // of those, in Cluster.running
	gated   int // of those, let in by the gate
	awaited int // of those, while it is opening, counted as such
	epoch   uint32

	opening  bool
	rested   bool // it was idle once
	used     bool // an exchange has ended on it
	timedOut bool
	place    place
	gone     bool
}

// Warm implements wire.Warmer.
func (k *link) Warm() uint64 { return uint64(k.since) + uint64(k.lent) }

// place is the list of the pool that a link stands in.
type place uint8

const (
	nowhere place = iota // carries all it can, or must not be lent again
	resting              // idle, in the stack
	partly               // among the partial
)

// errConnectTimeout is the cause that a try is told.
var errConnectTimeout = errors.New("no connection within the service's connect time")

func newPool(ep *Endpoint, l wire.Loop) *pool {
	p := &pool{ep: ep, loop: l, line: &line{}}
	p.sweep.Handler = p
	return p
}

// give lends for an Ask, and says there whether a connection is made for it.
func (p *pool) give(set *settings, a *Ask) (wire.ClientConn, Limit) {
	made := p.connects.Load()
	conn, met := p.lend(set, a.Fresh, false, a.Chosen == Alone)
	a.Dialled = p.connects.Load() != made
	return conn, met
}

// lend gives a connection that has room beside what it carries, the warmest
// idle one, or a new one; none where that would be one too many, unless force
// says that there must be one.
func (p *pool) lend(set *settings, fresh, force, alone bool) (wire.ClientConn, Limit) {
	p.set = set
	if most := set.bounds.running; most > 0 && p.line.running >= most && !force {
		return nil, LimitRequests
	}
	k := p.roomy()
	switch {
	case fresh:
		k = p.unused()
	case k == nil && p.newest != nil:
		k = p.newest
		p.unlink(k)
	}
	if k != nil && k.opening && !force && p.crowded() {
		return nil, LimitPending
	}
	if k == nil {
		if met := p.reserve(force); met != NoLimit {
			return nil, met
		}
		k = p.dial()
	}
	p.picks.Add(1)
	p.line.running++
	k.lent++
	if k.opening {
		k.awaited++
		p.connecting(1)
	}
	if set.gated {
		k.gated++
	}
	if set.balance.counted() && !alone {
		k.counted++
		p.ep.inflight.Add(1)
	}
	if set.bound > 0 {
		k.bounded++
		p.ep.bears(1)
	}
	if set.multi {
		if k.lent == 1 {
			p.carrying.Add(1)
		}
		k.settlePlace(1)
	}
	return k.conn, NoLimit
}

// roomy gives the first of the partial. What a service says (GOAWAY, fewer
// streams), and a lower bound, takes room away without an event: such connections
// leave now.
func (p *pool) roomy() *link {
	k := p.partial
	for k != nil && (k.conn.Room() <= 0 || k.lent >= p.set.streams) {
		p.leavePartial(k)
		k = p.partial
	}
	return k
}

// unused gives one of the partial on which no exchange has ended: as good as
// new, and many exchanges that need a new one may need it at once.
func (p *pool) unused() *link {
	for k := p.partial; k != nil; k = k.older {
		if !k.used && k.conn.Room() > 0 && k.lent < p.set.streams {
			return k
		}
	}
	return nil
}

// learn takes note of what the service allows.
func (k *link) learn() {
	k.used = true
	if room := k.conn.Room(); room != 0 {
		k.pool.bound = room + k.lent
	}
}

// settlePlace puts a connection of many exchanges where it belongs. coming is
// 1 when it is being lent: its codec does not know of that exchange yet.
func (k *link) settlePlace(coming int) {
	room := min(k.conn.Room()-coming, k.pool.set.streams-k.lent)
	if !k.used && k.pool.bound > 0 {
		room = min(room, k.pool.bound-k.lent)
	}
	want := nowhere
	if k.lent > 0 && room > 0 && !k.gone && !k.pool.closed && k.epoch == k.pool.epoch {
		want = partly
	}
	if k.place == want {
		return
	}
	if k.place == partly {
		k.pool.leavePartial(k)
		return
	}
	k.pool.joinPartial(k)
}

// joinPartial puts k behind the first of the partial, which is being filled.
func (p *pool) joinPartial(k *link) {
	k.place = partly
	if p.partial == nil {
		p.partial = k
		return
	}
	first := p.partial
	k.newer, k.older = first, first.older
	if first.older != nil {
		first.older.newer = k
	}
	first.older = k
}

// leavePartial takes k out.
func (p *pool) leavePartial(k *link) {
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		p.partial = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	}
	k.newer, k.older = nil, nil
	k.place = nowhere
}

// dial opens a connection, which reserve has counted.
func (p *pool) dial() *link {
	k := &link{pool: p, opening: true, epoch: p.epoch, born: p.loop.Now()}
	k.timer.Handler = k
	p.connects.Add(1)
	p.open.Add(1)
	p.opening.Add(1)
	k.conn = p.ep.codec.Open(k, k.dial)
	if p.set.connect > 0 && k.opening {
		p.loop.Arm(&k.timer, p.set.connect)
	}
	return k
}

func (k *link) dial(h wire.ConnHandler) wire.Conn {
	ep := k.pool.ep
	return ep.dialer.Dial(k.pool.loop, ep.addr, h)
}

// OnOpen hears that the connection stands.
func (k *link) OnOpen(wire.ClientConn) {
	if k.opening {
		k.opened()
		k.pool.ep.connected()
		if k.lent > 0 && k.pool.set.multi {
			k.settlePlace(0) // only now it is known what there is room for
		}
	}
}

// opened ends the opening, either way.
func (k *link) opened() {
	k.opening = false
	k.pool.opening.Add(-1)
	k.pool.loop.Disarm(&k.timer)
	if k.awaited > 0 {
		k.pool.connecting(-int64(k.awaited))
		k.awaited = 0
	}
	k.pool.stood()
}

// OnTimer ends a connect that takes too long.
func (k *link) OnTimer(*wire.Timer) {
	if k.opening {
		k.timedOut = true
		k.conn.Abort(wire.Failure{Reason: observe.ConnectTimeout, Err: errConnectTimeout, Unsent: true})
	}
}

// OnIdle takes the connection back.
func (k *link) OnIdle(wire.ClientConn) {
	if k.lent == 0 || k.gone {
		return
	}
	k.idled()
	k.pool.ep.cluster.freed(k.pool.loop)
}

func (k *link) idled() {
	k.settle()
	p := k.pool
	if p.set.multi {
		k.learn()
	}
	if k.lent > 0 {
		k.settlePlace(0)
		return
	}
	if k.place == partly {
		p.leavePartial(k)
	}
	if k.rested {
		p.fickle.row = 0 // it has served again
	}
	if p.closed || p.set.maxIdle < 0 || p.fickle.now(p.loop) || k.conn.Room() <= 0 || k.epoch != p.epoch || p.surplus() {
		// Not at once: what the connection lends to the sink's last event must
		// outlive it.
		p.loop.Post(k.conn.Close)
		return
	}
	if p.idle >= p.set.maxIdle {
		p.retire(p.oldest)
	}
	p.push(k)
}

// OnGone forgets the connection.
func (k *link) OnGone(_ wire.ClientConn, err error) {
	if k.gone {
		return
	}
	k.gone = true
	p := k.pool
	if k.opening {
		k.opened()
		if i := connectFailure(err, k.timedOut); i >= 0 {
			p.failed[i].Add(1)
			p.connectFailed()
		}
	}
	if k.rested && err != nil && (k.place == resting || k.lent > 0) {
		p.fickle.lost(p.loop.Now(), k)
	}
	for k.lent > 0 {
		k.settle()
	}
	switch k.place {
	case resting:
		p.unlink(k)
	case partly:
		p.leavePartial(k)
	}
	p.open.Add(-1)
	p.gave()
}

// settle ends the accounting of an exchange.
func (k *link) settle() {
	k.lent--
	k.pool.line.running--
	k.pool.settled.Add(1)
	if k.lent == 0 && k.pool.set.multi {
		k.pool.carrying.Add(-1)
	}
	if k.awaited > k.lent {
		k.awaited--
		k.pool.connecting(-1)
	}
	if k.gated > k.lent {
		k.gated--
		k.pool.gate.leave()
	}
	if k.counted > k.lent {
		k.counted--
		k.pool.ep.inflight.Add(-1)
	}
	if k.bounded > k.lent {
		k.bounded--
		k.pool.ep.bears(-1)
	}
}

// push puts k on the stack.
func (p *pool) push(k *link) {
	k.place, k.rested = resting, true
	k.since = p.loop.Now()
	k.older = p.newest
	if p.newest != nil {
		p.newest.newer = k
	} else {
		p.oldest = k
	}
	p.newest = k
	p.idle++
	if p.set.idle > 0 && !p.sweep.Armed() {
		p.loop.Arm(&p.sweep, p.set.idle)
	}
}

// unlink takes k out of the stack.
func (p *pool) unlink(k *link) {
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		p.newest = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		p.oldest = k.newer
	}
	k.newer, k.older = nil, nil
	k.place = nowhere
	p.idle--
}

// retire closes an idle connection.
func (p *pool) retire(k *link) {
	p.unlink(k)
	k.conn.Close()
}

// OnTimer closes what was idle too long and waits for the next. The timer is
// left armed when the stack empties: arming it for every exchange would cost
// more than a firing now and then.
func (p *pool) OnTimer(*wire.Timer) {
	if p.set.idle <= 0 {
		return
	}
	now := p.loop.Now()
	for k := p.oldest; k != nil; k = p.oldest {
		if wait := k.since + p.set.idle - now; wait > 0 {
			p.loop.Arm(&p.sweep, wait)
			return
		}
		p.retire(k)
	}
}

// empty closes the pool after its endpoint was removed: what is idle now, what
// is busy when its exchange ends.
func (p *pool) empty() {
	p.closed = true
	p.loop.Disarm(&p.sweep)
	for k := p.partial; k != nil; k = p.partial {
		p.leavePartial(k)
		k.conn.Close() // when what it carries has ended
	}
	for p.oldest != nil {
		p.retire(p.oldest)
	}
	for k := p.leases; k != nil; {
		older := k.older // k may end itself
		k.holder.OnRemoved()
		k = older
	}
}

// connectFailure finds the counter of a connect's end; -1 when it was given up,
// which is no failure of the endpoint.
func connectFailure(err error, timedOut bool) int {
	if timedOut || errors.Is(err, syscall.ETIMEDOUT) {
		return 1
	}
	var d *wire.DialError
	switch {
	case !errors.As(err, &d):
		return -1
	case d.TLS:
		switch why := wire.DialReason(err); why {
		case observe.UpstreamIdentity, observe.NoIdentity:
			return slices.Index(connectReasons[:], why)
		}
		return 3
	case errors.Is(err, syscall.ECONNREFUSED):
		return 0
	}
	return 2
}
