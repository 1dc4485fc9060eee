package gatewayapi

import (
	"reflect"
	"slices"

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
		out.objects = append(out.objects, moved.Interface())
	}
	return out
}
