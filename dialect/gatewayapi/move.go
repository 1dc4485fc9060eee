package gatewayapi

import (
	"fmt"
	"slices"

	"github.com/naru-mesh/naru/source"
)

// Move implements dialect.Mover: it makes the same objects, some lines further
// down or up.
func (*Dialect) Move(was any, old, now source.Document) any {
	m := move{to: now, by: max(now.Line, 1) - max(old.Line, 1)}
	out := &parsed{objects: make([]any, 0, len(objects(was)))}
	for _, o := range objects(was) {
		out.objects = append(out.objects, m.object(o))
	}
	return out
}

// move is where objects go.
type move struct {
	to source.Document
	by int // lines
}

// here changes a copy of what all objects have in common.
func (m *move) here(o *object) {
	o.text = m.to
	o.at.Line += m.by
}

// object gives a moved copy of one of the compact forms.
func (m *move) object(o any) any {
	switch o := o.(type) {
	case *gatewayClass:
		c := *o
		m.here(&c.object)
		return &c
	case *gatewayObject:
		c := *o
		m.here(&c.object)
		return &c
	case *httpRoute:
		c := *o
		m.here(&c.object)
		c.rules = slices.Clone(c.rules)
		for i := range c.rules {
			c.rules[i].noun.Origin.Line += m.by
		}
		return &c
	case *grant:
		c := *o
		m.here(&c.object)
		return &c
	case *service:
		c := *o
		m.here(&c.object)
		return &c
	case *slice:
		c := *o
		m.here(&c.object)
		return &c
	case *secret:
		c := *o
		m.here(&c.object)
		return &c
	case *configMap:
		c := *o
		m.here(&c.object)
		return &c
	case *namespace:
		c := *o
		m.here(&c.object)
		return &c
	case *backendPolicy:
		c := *o
		m.here(&c.object)
		return &c
	default:
		panic(fmt.Sprintf("gatewayapi: %T cannot be moved", o))
	}
}
