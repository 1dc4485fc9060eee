package model

import (
	"fmt"
	"strconv"
)

// capacity checks what may run on a service at once. What is wrong is left out:
// no bound is what the service had without it.
func (v *checker) capacity(s *Service) *Service {
	l := *s.Limits
	switch {
	case l.Requests < 0 || l.Least < 0 || l.Most < 0:
		v.broken("bad-value", "service "+s.Name+" has a limit below nothing", "leave it out for none")
		l = ServiceLimits{Adaptive: l.Adaptive, Requests: max(l.Requests, 0)}
	case !l.Adaptive && (l.Least > 0 || l.Most > 0):
		v.doubtful("unused", "service "+s.Name+" has bounds of an adaptive limit, which it does not have", "write adaptive: true, or requests for a fixed limit")
		l.Least, l.Most = 0, 0
	case l.Most > 0 && l.Least > l.Most:
		v.broken("bad-value", fmt.Sprintf("service %s has an adaptive limit of at least %d and at most %d; at least %d counts", s.Name, l.Least, l.Most, l.Least), "make least the smaller one")
		l.Most = l.Least
	case l == ServiceLimits{}:
		v.doubtful("unused", "service "+s.Name+" has limits that say nothing", "write requests: 100, or adaptive: true")
	}
	if l == *s.Limits {
		return s
	}
	s = copied(s)
	s.Limits = &l
	return s
}

// priority checks how much a route's requests matter.
func (v *checker) priority(r *Route) *Route {
	switch r.Priority {
	case PriorityNormal, PlainPriority, PriorityLow, PriorityCritical:
		return r
	}
	v.broken("bad-value", "route "+r.Name+" has the priority "+strconv.Quote(string(r.Priority)), "write low, normal or critical; it counts as normal")
	r = copied(r)
	r.Priority = PriorityNormal
	return r
}
