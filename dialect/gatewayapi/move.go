package gatewayapi

import (
	"reflect"
	"slices"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Move implements dialect.Mover: it copies the objects, some lines further
// down or up.
func (*Dialect) Move(was any, old, now source.Document) any {
	by := max(now.Line, 1) - max(old.Line, 1)
	out := &parsed{}
	for _, o := range was.(*parsed).objects {
		moved := reflect.New(reflect.TypeOf(o).Elem())
		moved.Elem().Set(reflect.ValueOf(o).Elem())
		common := moved.Interface().(compact).common()
		common.text, common.at.Line = now, common.at.Line+by
		if route, ok := moved.Interface().(*routeObject); ok {
			route.rules = slices.Clone(route.rules)
			for i := range route.rules {
				route.rules[i].noun.Origin.Line += by
			}
		}
		switch policy := moved.Interface().(type) {
		case *trafficPolicy:
			policy.noun = movedPolicy(policy.noun, by)
		case *backendPolicy:
			policy.treatment = movedPolicy(policy.treatment, by)
		}
		out.objects = append(out.objects, moved.Interface())
	}
	return out
}

func movedPolicy(p *model.TrafficPolicy, by int) *model.TrafficPolicy {
	if p == nil {
		return nil
	}
	out := *p
	out.Origin.Line += by
	out.Fields = slices.Clone(p.Fields)
	for i := range out.Fields {
		out.Fields[i].Origin.Line += by
	}
	return &out
}
