package model

import (
	"fmt"
	"strconv"
)

// capacity checks what may run on a service at once. What is wrong is left out:
// its default is what the service had without it.
func (v *checker) capacity(s *Service) *Service {
	l := *s.Limits
	switch {
	case l.Requests < 0 || l.Least < 0 || l.Most < 0:
		v.broken("bad-value", "service "+s.Name+" has a limit below nothing", "leave it out for none")
		l.Requests, l.Least, l.Most = max(l.Requests, 0), 0, 0
	case !l.Adaptive && (l.Least > 0 || l.Most > 0):
		v.doubtful("unused", "service "+s.Name+" has bounds of an adaptive limit, which it does not have", "write adaptive: true, or requests for a fixed limit")
		l.Least, l.Most = 0, 0
	case l.Most > 0 && l.Least > l.Most:
		v.broken("bad-value", fmt.Sprintf("service %s has an adaptive limit of at least %d and at most %d; at least %d counts", s.Name, l.Least, l.Most, l.Least), "make least the smaller one")
		l.Most = l.Least
	case l.Adaptive && l.Requests > 0 && l.Least > l.Requests:
		v.broken("bad-value", fmt.Sprintf("service %s has an adaptive limit of at least %d and at most %d requests; at most %d counts", s.Name, l.Least, l.Requests, l.Requests), "make least the smaller one")
		l.Least = l.Requests
	case l == ServiceLimits{}:
		v.doubtful("unused", "service "+s.Name+" has limits that say nothing", "write requests: 100, or adaptive: true")
	}
	for _, f := range [...]struct {
		name string
		n    *int
	}{{"connections", &l.Connections}, {"connections of an endpoint", &l.EndpointConnections}, {"requests that wait", &l.Pending}, {"retries", &l.Retries}} {
		if *f.n < NoLimit {
			v.broken("bad-value", fmt.Sprintf("the limit of %s of service %s is %d; its default counts", f.name, s.Name, *f.n), "write a number above nothing, or off")
			*f.n = 0
		}
	}
	for _, f := range [...]struct {
		name string
		n    *int
	}{
		{"requests", &l.Requests}, {"least requests", &l.Least}, {"most requests", &l.Most}, {"connections", &l.Connections},
		{"connections of an endpoint", &l.EndpointConnections}, {"requests that wait", &l.Pending}, {"retries", &l.Retries},
	} {
		if *f.n > MostLimit {
			v.broken("bad-value", fmt.Sprintf("the limit of %s of service %s is %d; %d counts", f.name, s.Name, *f.n, MostLimit), "leave it out for its default")
			*f.n = MostLimit
		}
	}
	if l.Connections > 0 && l.EndpointConnections > l.Connections {
		v.doubtful("unused", fmt.Sprintf("service %s may have %d connections, so the limit of %d to each endpoint is never met", s.Name, l.Connections, l.EndpointConnections), "make that of the endpoints the smaller one")
	}
	if l.Wait < 0 && l.Pending > 0 {
		v.doubtful("unused", "no request waits for its turn at service "+s.Name+", so pending bounds only those whose connections are being made", "leave wait out, or pending")
	}
	v.short("the time that a request waits for its turn", l.Wait)
	if l.Wait > MostWait {
		v.broken("bad-value", fmt.Sprintf("a request waits %v for its turn at service %s; at most %v counts", l.Wait, s.Name, MostWait), "clients give up before")
		l.Wait = MostWait
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
	if v.matters("route "+r.Name, r.Priority) {
		return r
	}
	r = copied(r)
	r.Priority = PriorityNormal
	return r
}

// matters says whether there is such a priority.
func (v *checker) matters(who string, p Priority) bool {
	switch p {
	case PriorityNormal, PlainPriority, PriorityLow, PriorityCritical:
		return true
	}
	v.doubtful("bad-value", who+" has the priority "+strconv.Quote(string(p)), "write low, normal or critical; it counts as normal")
	return false
}
