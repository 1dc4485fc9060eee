package upstream

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// Bounds of how long addresses are believed, and of one lookup. When one of them
// cannot be connected to they are looked up at once, though not within leastTTL
// of the last time; when that shows nothing new, not within twice as long, and so on
// to mostDoubt.
const (
	mostDoubt     = 10 * time.Second
	leastTTL      = time.Second
	mostTTL       = 30 * time.Second
	lookupTimeout = 5 * time.Second
	// firstRetry is the wait after a first failed lookup; it doubles up to
	// mostTTL.
	firstRetry = time.Second
	// parallelLookups bounds how many lookups run at a time.
	parallelLookups = 64
)

// resolver keeps the addresses of the names that clusters need: one goroutine
// for each name, however many clusters share it.
type resolver struct {
	set   *Set
	slots chan struct{} // taken while a lookup runs

	mu    sync.Mutex
	names map[string]*name
}

// name is a DNS name that is looked up again and again.
type name struct {
	host    string
	current atomic.Pointer[[]netip.Addr] // nil before the first answer
	failed  atomic.Pointer[Unresolved]   // the last lookup; nil where that has an answer
	tried   chan struct{}                // closed after the first lookup
	doubted chan struct{}                // holds one while doubt was told and not heard
	end     context.CancelFunc

	users map[*Cluster]int // holds; guarded by resolver.mu

	// answer is the last one, as it came, and have says how often each address is
	// in it. They are for follow alone.
	answer []netip.Addr
	have   map[netip.Addr]int
}

func newResolver(s *Set) *resolver {
	return &resolver{set: s, slots: make(chan struct{}, parallelLookups), names: map[string]*name{}}
}

// hold gives the name of host, looked up from now on; c will hear of changes
// until it drops the name. fresh says that the first lookup is not over.
func (r *resolver) hold(host string, c *Cluster) (n *name, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = r.names[host]
	if n == nil {
		n = &name{host: host, tried: make(chan struct{}), doubted: make(chan struct{}, 1), users: map[*Cluster]int{}}
		var ctx context.Context
		ctx, n.end = context.WithCancel(r.set.ctx)
		r.names[host] = n
		r.set.launch(func() { r.follow(ctx, n) })
	}
	n.users[c]++
	select {
	case <-n.tried:
		return n, false
	default:
		return n, true
	}
}

// drop undoes a hold of each of list.
func (r *resolver) drop(list []naming, c *Cluster) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range list {
		n := x.n
		if n.users[c]--; n.users[c] <= 0 {
			delete(n.users, c)
		}
		if len(n.users) == 0 && r.names[n.host] == n {
			delete(r.names, n.host)
			n.end()
		}
	}
}

// await waits until every name was looked up once, or for the time d.
func (r *resolver) await(names []*name, d time.Duration) {
	if len(names) == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for _, n := range names {
		select {
		case <-n.tried:
		case <-t.C:
			return
		case <-r.set.ctx.Done():
			return
		}
	}
}

// addresses are the last known; they must not be written to.
func (n *name) addresses() []netip.Addr {
	if a := n.current.Load(); a != nil {
		return *a
	}
	return nil
}

// doubt has n looked up soon: one of its addresses cannot be connected to. It does
// not wait, and may be called by loops.
func (n *name) doubt() {
	select {
	case n.doubted <- struct{}{}:
	default:
	}
}

// follow looks n up until ctx ends.
func (r *resolver) follow(ctx context.Context, n *name) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	var asked, due time.Time // the last lookup, and the next
	gap, doubt := leastTTL, false
	for {
		select {
		case <-timer.C:
		case <-n.doubted:
			doubt = true
			if at := asked.Add(gap); at.Before(due) {
				due = at
				timer.Reset(time.Until(at))
			}
			continue
		case <-ctx.Done():
			return
		}
		if doubt {
			gap = min(2*gap, mostDoubt)
		} else {
			gap = leastTTL
		}
		asked, doubt = time.Now(), false
		addrs, ttl, err := r.lookup(ctx, n.host)
		if ctx.Err() != nil {
			return
		}
		wait := min(max(ttl, leastTTL), mostTTL)
		if ttl <= 0 {
			wait = mostTTL
		}
		changed := false
		switch {
		case err != nil:
			wait = min(firstRetry<<min(failures, 10), mostTTL)
			if failures++; failures == 1 {
				r.set.env.Log.Warn("name lookup failed", "host", n.host, "error", err, "keeps", len(n.addresses()))
			}
			n.failed.Store(&Unresolved{Host: n.host, Keeps: len(n.addresses()), Why: observe.Brief(err)})
		default:
			if failures > 0 {
				r.set.env.Log.Info("name lookup works again", "host", n.host)
			}
			failures = 0
			changed = n.learn(addrs)
			n.failed.Store(nil)
		}
		select {
		case <-n.tried:
		default:
			close(n.tried)
		}
		if changed {
			gap = leastTTL
			for _, c := range r.usersOf(n) {
				c.addressesChanged(n)
			}
		}
		due = time.Now().Add(wait)
		timer.Reset(wait)
	}
}

// lookup asks once, when there is a slot.
func (r *resolver) lookup(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, ttl, err := r.set.env.Lookup(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, ttl, err
}

// learn takes an answer and says whether it is another than before. Servers
// turn the order round from answer to answer: only the set counts. What was there
// before keeps its place, and what is new comes last.
func (n *name) learn(addrs []netip.Addr) (changed bool) {
	if model.Turned(n.answer, addrs) {
		return false
	}
	if n.have == nil {
		n.have = make(map[netip.Addr]int, len(addrs))
	}
	// more is how much more often an address comes than before.
	more := map[netip.Addr]int{}
	var met []netip.Addr
	count := func(list []netip.Addr, by int) {
		for _, a := range list {
			a = a.Unmap()
			if _, is := more[a]; !is {
				met = append(met, a)
			}
			more[a] += by
		}
	}
	for _, h := range model.Hunks(n.answer, addrs, nil) {
		count(n.answer[h.A:h.B], -1)
		count(addrs[h.C:h.D], 1)
	}
	n.answer = slices.Clone(addrs)
	var come []netip.Addr
	gone := map[netip.Addr]bool{}
	for _, a := range met {
		was := n.have[a]
		switch now := was + more[a]; {
		case now == 0:
			delete(n.have, a)
			if was > 0 {
				gone[a] = true
			}
		case was == 0:
			come = append(come, a)
			fallthrough
		default:
			n.have[a] = now
		}
	}
	if len(gone) == 0 && len(come) == 0 {
		return false
	}
	old := n.addresses()
	list := make([]netip.Addr, 0, len(old)-len(gone)+len(come))
	for _, a := range old {
		if len(gone) == 0 || !gone[a] {
			list = append(list, a)
		}
	}
	list = append(list, come...)
	n.current.Store(&list)
	return true
}

func (r *resolver) usersOf(n *name) []*Cluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Cluster, 0, len(n.users))
	for c := range n.users {
		list = append(list, c)
	}
	return list
}

// systemLookup asks as the system is configured to (/etc/hosts included).
func systemLookup(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return addrs, 0, err
}
