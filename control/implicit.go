package control

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// implicit adds the Services that nobody has declared but a Workload names: an
// instance that registers itself makes its service. What is declared, even
// wrongly, is not made. c.Services is sorted by name, and stays so.
func implicit(c *model.Config) {
	var made []*model.Service
	declared := func(name string) bool {
		_, is := slices.BinarySearchFunc(c.Services, name, func(s *model.Service, name string) int {
			switch {
			case s.Name < name:
				return -1
			case s.Name > name:
				return 1
			}
			return 0
		})
		return is
	}
	for _, w := range c.Workloads {
		for _, p := range w.Ports {
			if declared(p.Service) || slices.ContainsFunc(made, func(s *model.Service) bool { return s.Name == p.Service }) {
				continue
			}
			if s := model.Implied(p); s != nil {
				made = append(made, s)
			}
		}
	}
	if len(made) > 0 {
		c.Services = byName(services, append(slices.Clone(c.Services), made...))
	}
}
