package gatewayapi

import (
	"slices"
	"sync"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// ControllerName is the spec.controllerName of the GatewayClasses that naru
// serves.
const ControllerName = "naru.dev/gateway"

// DefaultClass is the class that needs no GatewayClass document.
const DefaultClass = "naru"

// Dialect reads Gateway API documents. Its methods may be called from several
// goroutines, though Translate runs one at a time.
type Dialect struct {
	// Key says what is wrong with the expression of a key to hash, nil where
	// nothing is; where it is nil itself, nobody looks before it is to serve.
	Key func(expression string) error

	mu   sync.Mutex
	last *memory
}

var _ dialect.Mover = (*Dialect)(nil)

// New gives a Dialect that remembers nothing yet.
func New() *Dialect { return &Dialect{last: newMemory()} }

// Name is "gatewayapi".
func (*Dialect) Name() string { return "gatewayapi" }

// Claims takes every document that looks like a Kubernetes object, of whatever
// group, so that kinds that naru does not serve get a Problem too.
func (*Dialect) Claims(doc *dialect.Document) bool {
	return doc.Get("apiVersion") != nil || doc.Get("kind") != nil
}

// parsed is what Parse makes of one document: its objects in order, each a
// pointer to one of the compact forms (*gatewayClass, *routeObject, ...).
type parsed struct {
	objects []any
	key     func(expression string) error // of the Dialect
}

// Parse reads a document, with all the items of a List.
func (d *Dialect) Parse(doc *dialect.Document) (any, []model.Problem) {
	out := &parsed{key: d.Key}
	problems := readObject(doc, doc.Root, "", typeMeta{}, 0, out)
	if len(out.objects) == 0 {
		return nil, problems
	}
	return out, problems
}

// Translate links everything that was parsed.
func (d *Dialect) Translate(items []any) *model.Fragment {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := relink(d.last, items)
	if l == nil {
		l = newLinker(d.last)
		for _, item := range items {
			for _, o := range item.(*parsed).objects {
				l.add(o)
			}
		}
		l.link()
		d.last = l.now
	}
	d.last.items = slices.Clone(items) // the list is the caller's
	return l.fragment
}
