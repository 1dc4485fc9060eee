package model

import (
	"slices"
)

// Of what changes in a mesh nearly all is that a workload comes, goes or is
// unhealthy. That is looked at by itself where it can matter to nothing else.

// settled is the last Config that was validated, as far as a workload may be
// another in the next. Without ports it is none.
type settled struct {
	in, out  *Config // in.Workloads is no other's
	problems []Problem
	// ports are those that workloads serve, and how many do; declared are the
	// services of the mesh, valid those that serve.
	ports    map[servedPort]int
	declared map[string]bool
	valid    map[string]struct{}
}

type servedPort struct {
	service string
	port    uint16
}

// settle remembers a Config that was validated with problems, of which those
// from workloads were none.
func (v *checker) settle(in, out *Config, workloads bool) settled {
	if workloads || len(in.Workloads) == 0 || !slices.Equal(in.Workloads, out.Workloads) {
		return settled{}
	}
	s := settled{out: out, problems: v.problems, ports: map[servedPort]int{}, declared: map[string]bool{}, valid: v.services}
	copied := *in
	copied.Workloads = slices.Clone(in.Workloads)
	s.in = &copied
	for _, x := range in.Services {
		if x.Mesh != nil && !x.Refused {
			s.declared[x.Name] = true
		}
	}
	for _, w := range in.Workloads {
		for _, p := range w.Ports {
			s.ports[servedPort{p.Service, p.Port}]++
		}
	}
	return s
}

// again validates c, which is nothing but some workloads apart from the last; nil
// where more must be looked at.
func (s *settled) again(c *Config) *Config {
	if s.ports == nil || c.Mesh != s.in.Mesh || c.Settings != s.in.Settings ||
		!slices.Equal(c.Listeners, s.in.Listeners) || !slices.Equal(c.Routes, s.in.Routes) || !slices.Equal(c.Flows, s.in.Flows) ||
		!slices.Equal(c.Services, s.in.Services) || !slices.Equal(c.Certificates, s.in.Certificates) ||
		!slices.Equal(c.Policies, s.in.Policies) || !slices.Equal(c.Traffic, s.in.Traffic) {
		return nil
	}
	hunks := Hunks(s.in.Workloads, c.Workloads, nil)
	if !inOrder(c.Workloads, hunks) {
		return nil
	}
	v := &checker{services: s.valid, written: c}
	more := map[servedPort]int{}
	for _, h := range hunks {
		for _, w := range s.in.Workloads[h.A:h.B] {
			for _, p := range w.Ports {
				more[servedPort{p.Service, p.Port}]--
			}
		}
		for i := h.C; i < h.D; i++ {
			w := c.Workloads[i]
			v.at = w.Origin
			if w.Name == "" || i > 0 && c.Workloads[i-1].Name == w.Name || i+1 < len(c.Workloads) && c.Workloads[i+1].Name == w.Name ||
				v.workload(w) != w || len(v.problems) > 0 {
				return nil
			}
			for _, p := range w.Ports {
				if !s.declared[p.Service] {
					return nil // it may be made of this one
				}
				more[servedPort{p.Service, p.Port}]++
			}
		}
	}
	// Services and policies are compared with the ports that are served.
	for p, n := range more {
		if was := s.ports[p]; (was > 0) != (was+n > 0) {
			return nil
		}
	}
	for p, n := range more {
		s.ports[p] += n
	}
	in, out := *c, *s.out
	in.Workloads, out.Workloads = s.in.Workloads, c.Workloads
	for _, h := range slices.Backward(hunks) {
		in.Workloads = slices.Replace(in.Workloads, h.A, h.B, c.Workloads[h.C:h.D]...)
	}
	s.in, s.out = &in, &out
	return &out
}
