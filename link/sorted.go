package link

import (
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// lists changes the lists of a Config, which are sorted by name, one noun at a
// time. Those that others may have are copied first, once.
type lists struct {
	model.Config
	ours [kinds]bool
}

// put makes noun the one of name n; nil takes it away.
func (c *lists) put(n Name, noun any) {
	switch n.Kind {
	case KindMesh:
		c.Mesh, _ = noun.(*model.Mesh)
	case KindService:
		put(c, &c.Services, nameOfService, n, noun)
	case KindWorkload:
		put(c, &c.Workloads, nameOfWorkload, n, noun)
	case KindPolicy:
		put(c, &c.Policies, nameOfPolicy, n, noun)
	case KindRoute:
		put(c, &c.Routes, nameOfRoute, n, noun)
	case KindFlow:
		put(c, &c.Flows, nameOfFlow, n, noun)
	case KindListener:
		put(c, &c.Listeners, nameOfListener, n, noun)
	case KindCertificate:
		put(c, &c.Certificates, nameOfCertificate, n, noun)
	case KindTraffic:
		put(c, &c.Traffic, nameOfTraffic, n, noun)
	}
}

func put[T any](c *lists, list *[]*T, name func(*T) string, n Name, noun any) {
	x, _ := noun.(*T)
	i, is := search(*list, name, n.Name)
	if x == nil && !is {
		return
	}
	if !c.ours[n.Kind] {
		*list, c.ours[n.Kind] = append(make([]*T, 0, len(*list)+1), *list...), true
	}
	switch {
	case x == nil:
		*list = slices.Delete(*list, i, i+1)
	case is:
		(*list)[i] = x
	default:
		*list = slices.Insert(*list, i, x)
	}
}

// has says whether noun is the one of name n in c, whose lists are sorted by name.
func has(c *model.Config, n Name, noun any) bool {
	switch n.Kind {
	case KindMesh:
		return noun == any(c.Mesh)
	case KindService:
		return is(c.Services, nameOfService, n, noun)
	case KindWorkload:
		return is(c.Workloads, nameOfWorkload, n, noun)
	case KindPolicy:
		return is(c.Policies, nameOfPolicy, n, noun)
	case KindRoute:
		return is(c.Routes, nameOfRoute, n, noun)
	case KindFlow:
		return is(c.Flows, nameOfFlow, n, noun)
	case KindListener:
		return is(c.Listeners, nameOfListener, n, noun)
	case KindCertificate:
		return is(c.Certificates, nameOfCertificate, n, noun)
	case KindTraffic:
		return is(c.Traffic, nameOfTraffic, n, noun)
	}
	return false
}

func is[T any](list []*T, name func(*T) string, n Name, noun any) bool {
	i, found := search(list, name, n.Name)
	return found && noun == any(list[i])
}

func search[T any](list []*T, name func(*T) string, n string) (int, bool) {
	return slices.BinarySearchFunc(list, n, func(x *T, n string) int { return strings.Compare(name(x), n) })
}

func nameOfService(x *model.Service) string         { return x.Name }
func nameOfWorkload(x *model.Workload) string       { return x.Name }
func nameOfPolicy(x *model.Policy) string           { return x.Name }
func nameOfRoute(x *model.Route) string             { return x.Name }
func nameOfFlow(x *model.Flow) string               { return x.Name }
func nameOfListener(x *model.Listener) string       { return x.Name }
func nameOfCertificate(x *model.Certificate) string { return x.Name }
func nameOfTraffic(x *model.TrafficPolicy) string   { return x.Name }

// sortAll sorts the lists of c, which may be of a map.
func sortAll(c *model.Config) {
	byName(c.Services, nameOfService)
	byName(c.Workloads, nameOfWorkload)
	byName(c.Policies, nameOfPolicy)
	byName(c.Routes, nameOfRoute)
	byName(c.Flows, nameOfFlow)
	byName(c.Listeners, nameOfListener)
	byName(c.Certificates, nameOfCertificate)
	byName(c.Traffic, nameOfTraffic)
}

func byName[T any](list []*T, name func(*T) string) {
	slices.SortFunc(list, func(a, b *T) int { return strings.Compare(name(a), name(b)) })
}
