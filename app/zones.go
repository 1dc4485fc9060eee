package app

import (
	"fmt"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// unplaced tells of zones that are written on endpoints and mean nothing here,
// because nobody has said where here is; nothing where that is known.
func unplaced(services []*model.Service, here model.Place) []model.Problem {
	if here.Zone != "" {
		return nil
	}
	var first *model.Service
	more := 0
	for _, s := range services {
		l := s.Locality
		if l != nil && l.Prefer != "" && l.Prefer != model.PreferZone && l.Prefer != model.PreferRegion ||
			!slices.ContainsFunc(s.Endpoints, func(e *model.Endpoint) bool { return e.Place.Zone != "" && e.Authority == "" }) {
			continue
		}
		if first == nil {
			first = s
		} else {
			more++
		}
	}
	if first == nil {
		return nil
	}
	who := "service " + first.Name + " says in which zones its endpoints are"
	if more > 0 {
		who = fmt.Sprintf("service %s, and %d more, say in which zones their endpoints are", first.Name, more)
	}
	return []model.Problem{{
		Origin: first.Origin, Severity: model.Doubtful, Code: "no-zone",
		Message: who + ", but not known is in which this naru is: all zones are alike to it",
		Hint:    "say it at the start: naru run --zone eu-central-1a",
	}}
}

// locate tells what of the endpoints' places in s means nothing here.
func (g *gateway) locate(s *model.Snapshot) {
	now := unplaced(s.Services, g.opt.Mesh.place)
	g.mu.Lock()
	before := g.unplaced
	g.unplaced = now
	g.mu.Unlock()
	for _, p := range now {
		if !slices.Contains(before, p) {
			g.log.Warn(p.String(), "code", p.Code)
		}
	}
}
