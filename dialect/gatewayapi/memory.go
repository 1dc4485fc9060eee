package gatewayapi

import (
	"github.com/naru-mesh/naru/model"
)

// memory is what one Translate leaves for the next. Everything in it was made
// by the Translate that it belongs to or is carried over unchanged, so what is
// gone from the documents is gone from memory.
type memory struct {
	items []any // that were translated
	world *world
	// torn is set while relink changes this memory: if it is still set, that
	// did not come to its end.
	torn bool

	listeners    map[string]*model.Listener
	certificates map[*secret]*model.Certificate
	services     map[string]*linkedService
	places       map[place]model.Origin

	// What Status tells.
	classes  []*gatewayClass
	gateways []*gatewayState
	attached []*linkedRoute // all routes, in order
}

func newMemory() *memory {
	return &memory{
		listeners:    make(map[string]*model.Listener),
		certificates: make(map[*secret]*model.Certificate),
		services:     make(map[string]*linkedService),
		places:       make(map[place]model.Origin),
	}
}

// remember takes over the items that were translated, though not their list,
// which belongs to the caller.
func (m *memory) remember(items []any) {
	if len(items) < len(m.items) {
		clear(m.items[len(items):])
	}
	m.items = append(m.items[:0], items...)
}

// place is a field of an object, of which the line and column are remembered:
// to find them, the document must be read again.
type place struct {
	object *object
	field  string
}

// known finds linked routes in a list. Most are asked for in the order of the
// list, so its next is tried first.
type known struct {
	list  []*linkedRoute
	next  int
	index map[*httpRoute]int // made when first needed
}

// find gives what became of a route and its index, or nil.
func (k *known) find(route *httpRoute) (*linkedRoute, int) {
	if k.next < len(k.list) && k.list[k.next].route == route {
		k.next++
		return k.list[k.next-1], k.next - 1
	}
	if k.index == nil {
		k.index = make(map[*httpRoute]int, len(k.list))
		for i, linked := range k.list {
			k.index[linked.route] = i
		}
	}
	i, ok := k.index[route]
	if !ok {
		return nil, -1
	}
	k.next = i + 1
	return k.list[i], i
}
