package upstream

import "time"

// Pauses are the endpoints that have answered a request by one that is tried again,
// and until when each has asked to be left alone. The zero value is none.
type Pauses struct {
	// Never: one has asked for no other try, wherever.
	Never bool

	n  int
	of [maxTried]pause
}

type pause struct {
	ep    *Endpoint
	until time.Duration // Loop.Now
}

// Note is that ep may be asked again from until on, by the loop's time. Of more than
// eleven the one is forgotten that may be asked the soonest.
func (p *Pauses) Note(ep *Endpoint, until time.Duration) {
	at := 0
	for i := range p.of[:p.n] {
		if p.of[i].ep == ep {
			p.of[i].until = until
			return
		}
		if p.of[i].until < p.of[at].until {
			at = i
		}
	}
	if p.n < len(p.of) {
		at = p.n
		p.n++
	}
	p.of[at] = pause{ep, until}
}

// Spare adds to tried those that are still to be left alone, and says whether there
// is one.
func (p *Pauses) Spare(tried *Tried, now time.Duration) (some bool) {
	for _, one := range p.of[:p.n] {
		if one.until > now {
			tried.Add(one.ep)
			some = true
		}
	}
	return some
}

// Rest gives how long the next try has to wait until somebody may be asked: 0 where
// the cluster has an endpoint that is not among tried, or where nobody is to be left
// alone. Otherwise those are taken out of tried that may be asked by then.
func (c *Cluster) Rest(now time.Duration, tried *Tried, p *Pauses) time.Duration {
	if c.Another(tried) || !p.Spare(tried, now) {
		return 0
	}
	// Who is gone, or of another service that the request was led to at first, is not
	// waited for. All that are left are among tried: they are few.
	first, plan := time.Duration(never), c.plan.Load()
	for _, one := range p.of[:p.n] {
		if tried.Only.IsValid() || plan.has(one.ep) {
			first = min(first, one.until)
		}
	}
	if first == never {
		return 0
	}
	first = max(first, now)
	for _, one := range p.of[:p.n] {
		if one.until <= first {
			tried.remove(one.ep)
		}
	}
	return first - now
}
