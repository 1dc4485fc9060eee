package traffic

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
)

// What is right at a route, and right at a service, may be in vain where the two
// meet: a time that no route of the service has, a second try that no second
// endpoint can take. That is looked at when all policies count, whoever says it.

// meeting is a Route or Service as it counts.
type meeting[T any] struct {
	from, noun *T      // as it was written, and as it counts
	by         *merged // nil: no policy is for it
}

// each calls one for each noun as it counts.
func (l *last[T]) each(one func(*meeting[T])) {
	for i, x := range l.list {
		d := l.done[i]
		if d == nil {
			one(&meeting[T]{x, x, nil})
			continue
		}
		for k := range d.made {
			one(&meeting[T]{d.from, d.made[k].noun, d.made[k].by})
		}
	}
}

// place is where a field that counts was written, and how near; own is the place
// of the noun.
func (m *meeting[T]) place(name string, fields []field, own model.Origin) (model.Origin, Level) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if v, ok := fields[i].get(reflect.ValueOf(m.from).Elem()); ok && !weak(v) || m.by == nil {
		return own, Own
	}
	for j := range m.by.given {
		if g := &m.by.given[j]; g.field == i {
			return g.policy.At(fields[i].group), g.level
		}
	}
	return own, Own
}

// met is what was in vain at the last look: a workload that comes or goes changes
// none of this.
type met struct {
	services last[model.Service]
	routes   last[model.Route]
	flows    []*model.Flow
	policies []*model.TrafficPolicy
	problems []model.Problem
}

func (l *last[T]) same(o *last[T]) bool {
	return slices.Equal(l.list, o.list) && slices.Equal(l.done, o.done)
}

// again says whether c, which l was given, is the same as at the last look.
func (x *met) again(l *Lowering, c *model.Config) bool {
	return x.services.same(&l.services) && x.routes.same(&l.routes) && slices.Equal(x.flows, c.Flows) && slices.Equal(x.policies, c.Traffic)
}

// meetings tells what is in vain, as meet does.
func (t *teller) meetings(l *Lowering, c *model.Config, calls []judged) {
	if l.met != nil && l.met.again(l, c) {
		for _, p := range l.met.problems {
			t.tell(p)
		}
		return
	}
	before := len(t.problems)
	t.meet(l, c, calls)
	l.met = &met{l.services, l.routes, slices.Clone(c.Flows), slices.Clone(c.Traffic), slices.Clone(t.problems[before:])}
}

// meet tells what is in vain. calls are the routes by which nodes call services
// of the mesh, as far as policies are for them.
func (t *teller) meet(l *Lowering, c *model.Config, calls []judged) {
	services, waits := map[string]*model.Service{}, map[string]*patience{}
	l.services.each(func(m *meeting[model.Service]) {
		s := m.noun
		if services[s.Name] = s; s.Connect > 0 || s.Limits != nil && s.Limits.Wait > 0 {
			waits[s.Name] = &patience{}
		}
		t.ejection(m)
	})
	lead := func(to string, r *model.Route) {
		if p := waits[to]; p != nil {
			p.within(r)
		}
	}
	// Connections of others than requests take as long as they may, and wait for no
	// turn.
	more := func(to string) {
		if p := waits[to]; p != nil {
			p.connect.endless = true
		}
	}
	if len(waits) > 0 {
		called := map[string]*model.Route{}
		for i := range calls {
			called[calls[i].service] = calls[i].out
		}
		for name := range waits {
			if r := called[name]; r != nil {
				lead(name, r)
			} else if services[name].Mesh != nil {
				lead(name, &model.Route{Timeouts: model.Timeouts{Backend: model.AsRequest}})
			}
		}
		for _, f := range c.Flows {
			for i := range f.Backends {
				more(f.Backends[i].Service)
			}
		}
	}
	silent := silence{map[aimed]bool{}}
	l.routes.each(func(m *meeting[model.Route]) {
		silent.note(m)
		if answers(m.noun) {
			t.answering(m)
			return
		}
		for i := range m.noun.Backends {
			lead(m.noun.Backends[i].Service, m.noun)
		}
		mirrors(m.noun, func(to string, beside []model.Backend) {
			more(to)
			t.mirror(m.noun, to, beside)
		})
		t.lone(m, services)
		t.statuses(m, services)
	})
	for _, p := range c.Traffic {
		t.silenced(p, &silent)
	}
	if len(waits) > 0 {
		l.services.each(func(m *meeting[model.Service]) {
			if p := waits[m.noun.Name]; p != nil {
				t.waits(m, p)
			}
		})
	}
}

// longest is the longest of the times that routes have for something.
type longest struct {
	time    time.Duration
	endless bool         // one has no end
	route   *model.Route // that has it
	what    string       // it is for
	unsaid  bool         // it is the default
}

// add takes a time; 0 and below is none.
func (l *longest) add(d time.Duration, r *model.Route, what string, unsaid bool) {
	if l.endless = l.endless || d <= 0; d > l.time {
		l.time, l.route, l.what, l.unsaid = d, r, what, unsaid
	}
}

// below says whether there are times, and each is shorter than d.
func (l *longest) below(d time.Duration) bool { return !l.endless && l.time > 0 && l.time < d }

func (l *longest) String() string {
	most := l.time.String()
	if l.unsaid {
		most += ", the default"
	}
	return "no " + l.what + " there has more than " + most + " (route " + l.route.Name + ")"
}

// patience is how long those who call a service wait for a connection, and for
// their turn.
type patience struct{ connect, turn longest }

// within adds what the requests of a route have.
func (p *patience) within(r *model.Route) {
	t := &r.Timeouts
	p.turn.add(t.Request, r, "request", false) // a try begins when it is its turn
	try := t.Backend
	if try == 0 {
		try = max(model.DefaultBackendTimeout, t.Request)
	}
	if t.Request > 0 && (try <= 0 || t.Request <= try) {
		p.connect.add(t.Request, r, "request", false)
		return
	}
	p.connect.add(try, r, "try", t.Backend == 0)
}

// waits tells of times of a service that are longer than all of its routes have.
func (t *teller) waits(m *meeting[model.Service], p *patience) {
	s := m.noun
	if p.connect.below(s.Connect) {
		at, _ := m.place("connect", serviceFields, s.Origin)
		t.tell(model.Problem{
			Origin: at, Code: "long-connect",
			Message: fmt.Sprintf("service %s has %v to connect, but %s: that ends the wait for a connection", s.Name, s.Connect, &p.connect),
			Hint:    "make connect the shorter one",
		})
	}
	if s.Limits != nil && p.turn.below(s.Limits.Wait) {
		at, _ := m.place("limits.wait", serviceFields, s.Origin)
		t.tell(model.Problem{
			Origin: at, Code: "long-wait",
			Message: fmt.Sprintf("a request waits up to %v for its turn at service %s, but %s: that ends the wait", s.Limits.Wait, s.Name, &p.turn),
			Hint:    "make wait the shorter one: what waits so long is not served in time",
		})
	}
}

// ejection tells of one back-off that passes the default of the other.
func (t *teller) ejection(m *meeting[model.Service]) {
	s, e := m.noun, m.noun.Ejection
	switch {
	case e == nil || e.Off:
	case e.MaxBackoff == 0 && e.Backoff > model.MostEjection:
		at, _ := m.place("ejection.backoff", serviceFields, s.Origin)
		t.tell(model.Problem{
			Origin: at, Code: "contradiction",
			Message: fmt.Sprintf("the back-off of service %s begins with %v, more than the %v that it grows to by default: it is always %v", s.Name, e.Backoff, model.MostEjection, e.Backoff),
			Hint:    "write maxBackoff too, for example maxBackoff: " + span(2*e.Backoff),
		})
	case e.Backoff == 0 && e.MaxBackoff > 0 && e.MaxBackoff < model.DefaultEjection:
		at, _ := m.place("ejection.maxBackoff", serviceFields, s.Origin)
		t.tell(model.Problem{
			Origin: at, Code: "contradiction",
			Message: fmt.Sprintf("the back-off of service %s grows to at most %v, less than the %v that it begins with by default: it is always %v", s.Name, e.MaxBackoff, model.DefaultEjection, model.DefaultEjection),
			Hint:    "write backoff too, for example backoff: " + span(e.MaxBackoff/2),
		})
	}
}

// answers says whether a route asks no service.
func answers(r *model.Route) bool {
	return slices.ContainsFunc(r.Filters, func(f model.Filter) bool { return f.Redirect != nil || f.Respond != nil })
}

// ofTries gives the names of what a Route says of how services are asked.
func ofTries(r *model.Route) (names []string) {
	if r.Retry != nil && r.Retry.Attempts > 0 {
		names = append(names, "retry")
	}
	if r.Hedge != nil && !r.Hedge.Off {
		names = append(names, "hedge")
	}
	if r.Session != nil && r.Session.Kind != model.SessionOff {
		names = append(names, "session")
	}
	return names
}

// answering tells of what a route says of tries, and answers by itself.
func (t *teller) answering(m *meeting[model.Route]) {
	names := ofTries(m.from)
	if len(names) == 0 {
		return
	}
	t.tell(model.Problem{
		Origin: m.from.Origin, Code: "unused",
		Message: fmt.Sprintf("route %s has %s, but answers by itself: no service is asked, so that never applies", m.from.Name, strings.Join(names, ", ")),
		Hint:    "leave it out",
	})
}

// silence is which policies are for a route, or a rule, that answers by itself:
// true where another noun of the target asks a service.
type silence struct{ asks map[aimed]bool }

func (x *silence) note(m *meeting[model.Route]) {
	if m.by == nil {
		return
	}
	asks := !answers(m.noun)
	for i := range m.by.steps {
		if s := &m.by.steps[i]; s.policy != nil && (s.level == Rule || s.level == Route) {
			x.asks[s.aimed] = x.asks[s.aimed] || asks
		}
	}
}

// silenced tells of what a policy says of tries where there is none.
func (t *teller) silenced(p *model.TrafficPolicy, silent *silence) {
	if p.Route == nil {
		return
	}
	for i, target := range p.Targets {
		if asks, met := silent.asks[aimed{p, i}]; !met || asks {
			continue
		}
		for _, name := range ofTries(p.Route) {
			t.tell(model.Problem{
				Origin: p.At(name), Code: "unused",
				Message: fmt.Sprintf("%s says %s for %s, which answers by itself: no service is asked, so that never applies", p.Name, name, target),
				Hint:    "leave it out, or leave the target out",
			})
		}
	}
}

// mirrors calls one for each service that gets copies, with the backends whose
// requests are copied.
func mirrors(r *model.Route, one func(to string, beside []model.Backend)) {
	list := func(filters []model.Filter, beside []model.Backend) {
		for i := range filters {
			if m := filters[i].Mirror; m != nil {
				one(m.Service, beside)
			}
		}
	}
	list(r.Filters, r.Backends)
	for i := range r.Backends {
		list(r.Backends[i].Filters, r.Backends[i:i+1])
	}
}

// mirror tells of copies that go where the requests go.
func (t *teller) mirror(r *model.Route, to string, beside []model.Backend) {
	at := slices.IndexFunc(beside, func(b model.Backend) bool { return b.Service == to })
	if at < 0 {
		return
	}
	p := model.Problem{Origin: r.Origin, Code: "self-mirror", Hint: "mirror to another service, or leave it out"}
	switch rolls := r.Rollout != nil && r.Rollout.To == to; {
	case rolls:
		p.Message = fmt.Sprintf("route %s mirrors to service %s, which its rollout leads to: that gets copies beside its share of the requests", r.Name, to)
	case beside[at].Weight > 0:
		p.Message = fmt.Sprintf("route %s mirrors to service %s, which it leads to itself: that gets such requests twice", r.Name, to)
	default:
		return
	}
	t.tell(p)
}

// led gives the services that a route asks, nil where one is not known.
func led(r *model.Route, services map[string]*model.Service) (all []*model.Service) {
	for i := range r.Backends {
		b := &r.Backends[i]
		if b.Weight == 0 && (r.Rollout == nil || r.Rollout.To != b.Service) {
			continue
		}
		s := services[b.Service]
		if s == nil {
			return nil
		}
		all = append(all, s)
	}
	return all
}

// lone tells of a hedge where there is no second endpoint, and will be none.
func (t *teller) lone(m *meeting[model.Route], services map[string]*model.Service) {
	if m.noun.Hedge == nil {
		return
	}
	at, level := m.place("hedge", routeFields, m.noun.Origin)
	list := led(m.noun, services)
	if level > Service || len(list) == 0 || slices.ContainsFunc(list, func(s *model.Service) bool { return !fixed(s) }) {
		return // what is said for many need not be of use everywhere
	}
	t.tell(model.Problem{
		Origin: at, Code: "lone-endpoint",
		Message: fmt.Sprintf("route %s hedges, but service %s has one endpoint, and a second try goes to another: it never hedges", m.noun.Name, list[0].Name),
		Hint:    "give the service a second endpoint, or leave the hedge out",
	})
}

// fixed says whether a service has one endpoint as long as nobody writes another.
// Names have as many as they have addresses, and Subjects of Kubernetes as many
// as run.
func fixed(s *model.Service) bool {
	if s.Mesh != nil || s.Subject.Name != "" || len(s.Endpoints) != 1 {
		return false
	}
	_, err := netip.ParseAddr(s.Endpoints[0].Host)
	return err == nil
}

// statuses tells of retries on gRPC statuses where no gRPC is spoken.
func (t *teller) statuses(m *meeting[model.Route], services map[string]*model.Service) {
	r := m.noun
	if r.Retry == nil || len(r.Retry.GRPC) == 0 || r.Retry.Attempts == 0 || r.MakesCalls() {
		return // of such calls Validate has told
	}
	at, level := m.place("retry", routeFields, r.Origin)
	list := led(r, services)
	if level > Service || len(list) == 0 || slices.ContainsFunc(list, func(s *model.Service) bool { return s.Mesh != nil || !s.SpeaksHTTP1() }) {
		return
	}
	t.tell(model.Problem{
		Origin: at, Code: "not-http2",
		Message: fmt.Sprintf("route %s retries on gRPC statuses, but service %s speaks HTTP/1, which gRPC is not spoken over", r.Name, list[0].Name),
		Hint:    "give the service protocol: http2, or retry on statuses of HTTP: [502, 503, 504]",
	})
}
