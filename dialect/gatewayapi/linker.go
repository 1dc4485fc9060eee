package gatewayapi

import (
	"cmp"
	"slices"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// linker joins the objects of one Translate.
type linker struct {
	*world
	was, now *memory
	fragment *model.Fragment
	routes   []*routeObject

	names map[kindKey][]string // made when a hint is wanted
	hints map[kindKey]string

	shown   []*secret // whose certificates are shown
	read    *dialect.Document
	try     linkedRoute      // scratch
	fitting []*listenerState // scratch
	// count is 1 where routes are linked, and -1 where they are taken away:
	// what listeners and ports count of them.
	count int
}

// world is what routes are linked to. It does not depend on them, but for what
// it counts and for their names.
type world struct {
	named      map[string]*object // by what they are about
	twice      bool               // an object has the name of another
	classes    map[string]*gatewayClass
	gateways   map[key]*gatewayState
	sets       map[key]*setState
	services   map[key]*serviceState
	order      []*serviceState // as they came
	slices     map[key][]*slice
	grants     map[string][]*grant // by the namespace they are in
	secrets    map[key]*secret
	configMaps map[key]*configMap
	namespaces map[string]*namespace
	policies   []*backendPolicy
	traffic    []*trafficPolicy
	// kinds is how many HTTPRoutes and GRPCRoutes there are; contested says
	// that they were both when contests were decided.
	kinds     [2]int
	contested bool
	// said is the Fragment without routes and what follows from them.
	said model.Fragment
}

// kindKey names an object among all, or, without namespace or name, those of
// one namespace or name.
type kindKey struct {
	kind string
	key
}

func newLinker(was *memory) *linker {
	routes := len(was.attached)
	l := &linker{
		world: &world{
			named:      make(map[string]*object, routes+2*len(was.services)),
			classes:    make(map[string]*gatewayClass),
			gateways:   make(map[key]*gatewayState),
			sets:       make(map[key]*setState),
			services:   make(map[key]*serviceState, len(was.services)),
			slices:     make(map[key][]*slice, len(was.services)),
			grants:     make(map[string][]*grant),
			secrets:    make(map[key]*secret),
			configMaps: make(map[key]*configMap),
			namespaces: make(map[string]*namespace),
		},
		was:      was,
		now:      newMemory(),
		fragment: &model.Fragment{},
		routes:   make([]*routeObject, 0, routes),
		count:    1,
	}
	l.now.world = l.world
	l.now.attached = make([]*linkedRoute, 0, routes)
	l.now.services = make(map[string]*linkedService, len(was.services))
	return l
}

// add takes an object in. Of two with one name the first counts.
func (l *linker) add(o any) {
	if !l.first(o.(compact).common()) {
		return
	}
	switch o := o.(type) {
	case *gatewayClass:
		l.classes[o.name] = o
		l.now.classes = append(l.now.classes, o)
	case *gatewayObject:
		g := &gatewayState{gateway: o}
		g.owner = owner{object: &o.object, gateway: g}
		l.gateways[o.key] = g
		l.now.gateways = append(l.now.gateways, g)
	case *listenerSet:
		set := &setState{set: o, owner: owner{object: &o.object}}
		l.sets[o.key] = set
		l.now.sets = append(l.now.sets, set)
	case *routeObject:
		l.routes = append(l.routes, o)
	case *service:
		s := newServiceState(o)
		l.services[o.key] = s
		l.order = append(l.order, s)
	case *slice:
		l.slices[o.service] = append(l.slices[o.service], o)
	case *grant:
		l.grants[o.namespace] = append(l.grants[o.namespace], o)
	case *secret:
		l.secrets[o.key] = o
	case *configMap:
		l.configMaps[o.key] = o
	case *namespace:
		l.namespaces[o.name] = o
	case *backendPolicy:
		l.policies = append(l.policies, o)
	case *trafficPolicy:
		l.traffic = append(l.traffic, o)
	}
}

// first says whether an object is the first of its name.
func (l *linker) first(o *object) bool {
	id := o.at.Object
	if there, ok := l.named[id]; ok {
		l.note(model.Problem{
			Origin:   o.at,
			Severity: model.Broken,
			Code:     "duplicate-name",
			Message:  o.about() + " is already at " + there.at.String(),
			Hint:     "only the first of them counts",
		})
		l.twice = true
		return false
	}
	l.named[id] = o
	return true
}

// link makes the nouns.
func (l *linker) link() {
	slices.SortStableFunc(l.now.gateways, func(a, b *gatewayState) int {
		return byAge(&a.gateway.object, &b.gateway.object)
	})
	slices.SortStableFunc(l.now.sets, func(a, b *setState) int { return byAge(&a.set.object, &b.set.object) })
	slices.SortStableFunc(l.policies, func(a, b *backendPolicy) int { return byAge(&a.object, &b.object) })
	l.linkGateways()
	l.linkPolicies()
	l.linkCertificates()
	l.said = *l.fragment
	l.contests()
	before := byRoute(l.was.attached)
	for _, route := range l.routes {
		l.now.attached = append(l.now.attached, l.linkRoute(route, before[route]))
	}
	l.tell()
}

// tell makes the Fragment, when all routes are linked.
func (l *linker) tell() {
	said := &l.said
	l.fragment = &model.Fragment{Listeners: slices.Clone(said.Listeners), Certificates: slices.Clone(said.Certificates),
		Traffic:  slices.Clone(said.Traffic),
		Problems: slices.Clone(said.Problems), Routes: make([]*model.Route, 0, len(l.now.attached))}
	for _, linked := range l.now.attached {
		l.fragment.Routes = append(l.fragment.Routes, linked.nouns...)
		l.fragment.Flows = append(l.fragment.Flows, linked.flows...)
		l.fragment.Problems = append(l.fragment.Problems, linked.problems...)
	}
	l.linkServices()
}

// byAge puts the older first.
func byAge(a, b *object) int {
	switch {
	case a.older(b):
		return -1
	case b.older(a):
		return 1
	default:
		return 0
	}
}

// note adds a Problem.
func (l *linker) note(p model.Problem) {
	l.fragment.Problems = append(l.fragment.Problems, p)
}

// problem makes a Problem at a field of an object.
func (l *linker) problem(o *object, field string, p model.Problem) model.Problem {
	p.Origin = l.origin(o, field)
	p.Severity = cmp.Or(p.Severity, model.Broken)
	return p
}

// origin finds the place of a field. The YAML tree was not kept, for it is
// many times larger than its text, so the document is read once more.
func (l *linker) origin(o *object, field string) model.Origin {
	at := place{o, field}
	origin, ok := l.was.places[at]
	if !ok {
		if l.read == nil || l.read.Path != o.text.Path || l.read.Line != o.text.Line || l.read.Sum != o.text.Sum {
			l.read, _ = dialect.Read(o.text)
		}
		path := field
		if o.base != "" {
			path = o.base + "." + field
		}
		origin = l.read.Origin(l.read.At(path), path)
		origin.Object = o.about()
	}
	l.now.places[at] = origin
	return origin
}

// permitted says whether an object of a kind may refer to one in another
// namespace.
func (l *linker) permitted(from *object, kind string, to key) bool {
	if from.namespace == to.namespace {
		return true
	}
	for _, g := range l.grants[to.namespace] {
		if g.permits(from.kind, from.namespace, kind, to.name) {
			return true
		}
	}
	return false
}

// grantHint tells what ReferenceGrant would permit a reference.
func grantHint(from *object, kind string, to key) string {
	return "a ReferenceGrant in namespace " + to.namespace + " from " + from.kind + " of namespace " + from.namespace +
		" to " + kind + " would permit it"
}

// nearest proposes a name of a kind in a namespace. Both the names and the
// proposals are remembered, for many mistakes are the same mistake.
func (l *linker) nearest(kind string, wanted key) string {
	asked := kindKey{kind, wanted}
	hint, ok := l.hints[asked]
	if ok {
		return hint
	}
	if l.names == nil {
		l.index()
	}
	hint = didYouMean(wanted.name, l.names[kindKey{kind, key{namespace: wanted.namespace}}])
	if elsewhere := l.names[kindKey{kind, key{name: wanted.name}}]; hint == "" && len(elsewhere) > 0 {
		hint = "there is " + kind + " " + elsewhere[0] + "/" + wanted.name
	}
	l.hints[asked] = hint
	return hint
}

// index lists the names by kind and namespace, and the namespaces by kind and
// name.
func (l *linker) index() {
	l.names, l.hints = make(map[kindKey][]string), make(map[kindKey]string)
	for _, o := range l.named {
		there := kindKey{o.kind, key{namespace: o.namespace}}
		l.names[there] = append(l.names[there], o.name)
		if o.namespace != "" {
			called := kindKey{o.kind, key{name: o.name}}
			l.names[called] = append(l.names[called], o.namespace)
		}
	}
	for _, names := range l.names {
		slices.Sort(names)
	}
}
