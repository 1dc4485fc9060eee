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
	sets     []*setState
	policies []*policyState
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

// place is a field of an object, of which the line and column are remembered:
// to find them, the document must be read again.
type place struct {
	object *object
	field  string
}
