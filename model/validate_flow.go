package model

import (
	"cmp"
	"fmt"
	"slices"
)

// flow checks one by itself.
func (v *checker) flow(f *Flow) *Flow {
	who := "flow " + f.Name
	parents := v.hang(who, f.Parents, func(l *Listener) bool {
		switch {
		case !l.Protocol.OfFlows():
			v.broken("wrong-listener", fmt.Sprintf("%s hangs on listener %s, which speaks %s: it has requests, not connections", who, l.Name, l.Protocol),
				"flows stand behind tcp, tls and udp")
			v.because("Accepted", "NotAllowedByListeners")
			return false
		case len(f.Hostnames) > 0 && l.Protocol != TLS:
			// It would take what was never meant for it.
			v.broken("wrong-listener", fmt.Sprintf("%s is for certain hostnames, but listener %s speaks %s, where nobody says a name", who, l.Name, l.Protocol),
				"leave them out, or let the listener speak tls")
			return false
		}
		return true
	})
	if len(parents) == 0 {
		return nil
	}
	hostnames := v.reached(who, f.Hostnames, parents)
	if len(hostnames) == 0 && len(f.Hostnames) > 0 {
		return nil
	}
	backends, sum := v.shares(who, f.Backends, func(*Backend) bool {
		v.broken("bad-value", who+" has filters, which are for requests", "leave them out")
		return false
	})
	if sum == 0 {
		v.doubtful("no-backend", who+" leads nowhere, its connections are reset", "give it a service")
	}
	v.short("an idle time", f.Idle)
	known := v.matters(who, f.Priority)
	if len(parents) == len(f.Parents) && len(hostnames) == len(f.Hostnames) && backends == nil && known {
		return f
	}
	f = copied(f)
	if !known {
		f.Priority = PriorityNormal
	}
	f.Parents, f.Hostnames = parents, hostnames
	if backends != nil {
		f.Backends = backends
	}
	return f
}

// shadowed warns of flows that get nothing, because others go before them
// wherever they would. It gives the list as it is.
func (v *checker) shadowed(flows []*Flow) []*Flow {
	type spot struct{ listener, hostname string }
	first := map[spot]*Flow{}
	byOrder := slices.Clone(flows)
	slices.SortStableFunc(byOrder, func(a, b *Flow) int { return cmp.Or(a.Order.Compare(b.Order), cmp.Compare(a.Name, b.Name)) })
	for _, f := range byOrder {
		var before *Flow
		free := false
		hostnames := f.Hostnames
		if len(hostnames) == 0 {
			hostnames = []string{""}
		}
		for _, parent := range f.Parents {
			for _, h := range hostnames {
				if other := first[spot{parent, h}]; other != nil {
					before = other
					continue
				}
				first[spot{parent, h}] = f
				free = true
			}
		}
		if !free && before != nil {
			v.at = f.Origin
			v.doubtful("duplicate-match", fmt.Sprintf("flow %s never gets a connection: flow %s (%s) is for the same and goes before it", f.Name, before.Name, place(before.Origin)),
				"leave one out, or let them differ; one flow may lead to several services by weight")
		}
	}
	return flows
}
