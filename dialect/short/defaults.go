package short

import (
	"cmp"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// defaults are what holds for all routes and services that do not say otherwise.
type defaults struct {
	Timeout   *timeouts `json:"timeout" doc:"as at a route" unit:"duration"`
	Retry     *retry    `json:"retry" doc:"as at a route"`
	Hedge     *hedge    `json:"hedge" doc:"as at a route"`
	Session   text      `json:"session" doc:"as at a route"`
	Priority  text      `json:"priority" doc:"as at a route" enum:"low,normal,critical"`
	Fault     *fault    `json:"fault" doc:"as at a route"`
	Shape     *shape    `json:"shape" doc:"as at a route, of each"`
	Balance   text      `json:"balance" doc:"as at a service" enum:"peak-ewma,round-robin,least-request,random,ring-hash,maglev"`
	Hash      words     `json:"hash" doc:"as at a service"`
	SlowStart *span     `json:"slowStart" doc:"as at a service" unit:"duration"`
	Locality  *locality `json:"locality" doc:"as at a service"`
	Health    *health   `json:"health" doc:"as at a service"`
	Ejection  *ejection `json:"ejection" doc:"as at a service"`
	Connect   *span     `json:"connect" doc:"as at a service" unit:"duration"`
	Idle      *span     `json:"idle" doc:"as at a service" unit:"duration"`
	Limits    *bounds   `json:"limits" doc:"as at a service; those at the top are of listeners"`
	MaxIdle   int       `json:"maxIdle" doc:"as at a service"`
	Streams   int       `json:"maxStreams" doc:"as at a service"`
	Budget    *budget   `json:"retryBudget" doc:"as at a service"`
	_         struct{}  `also:"retries,attempts" hint:"did you mean retry?"`
	_         struct{}  `also:"timeouts,requestTimeout" hint:"did you mean timeout? For example timeout: 3s"`
	_         struct{}  `also:"tls,protocol,host,endpoints,proxyProtocol" hint:"what a service is stands at the service; defaults say how it is treated"`
	_         struct{}  `also:"match,to,redirect,respond,rewrite,headers,cors,mirror,auth,cache" hint:"this is said at each route"`

	origin model.Origin
	fields []model.FieldOrigin
	broken bool
}

// ReadNode takes an object.
func (d *defaults) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	d.origin = in.Origin(n)
	if n.Kind != yaml.MappingNode {
		in.Wrong(n, "an object", "NAME: {retry: 2, timeout: 3s}")
		return
	}
	type plain defaults
	before := in.Broken()
	in.Into(n, (*plain)(d))
	checkRequests(in, n, d.Session)
	s := d.service()
	s.checkBalance(in, n)
	s.checkBounds(in, n)
	d.broken = in.Broken() > before
	d.fields = places(in, n)
}

// places are where the fields of n stand, by their names in package traffic.
func places(in *dialect.Decoder, n *yaml.Node) (all []model.FieldOrigin) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		in.Enter(name)
		at := in.Origin(n.Content[i+1])
		in.Leave()
		if name == "timeout" {
			name = "timeouts"
		}
		all = append(all, model.FieldOrigin{Field: name, Origin: at})
	}
	return all
}

// checkRequests checks what a route, a service and the defaults say of requests.
func checkRequests(in *dialect.Decoder, n *yaml.Node, s text) {
	if _, ok := session(string(s)); !ok {
		in.Problem(n, "bad-value", "a session is shown by cookie NAME or header NAME, not "+string(s), "for example session: cookie cart, or session: off")
	}
}

func (d *defaults) service() *service {
	return &service{Balance: d.Balance, Hash: d.Hash, SlowStart: d.SlowStart, Locality: d.Locality, Health: d.Health, Ejection: d.Ejection,
		Connect: d.Connect, Idle: d.Idle, Limits: d.Limits, MaxIdle: d.MaxIdle, Streams: d.Streams, Budget: d.Budget}
}

// noun makes a policy for everything, nil where nothing is said.
func (d *defaults) noun() *model.TrafficPolicy {
	if d == nil || d.broken {
		return nil
	}
	p := &model.TrafficPolicy{Name: "defaults", Targets: []model.PolicyTarget{{Kind: model.TargetMesh}}, Origin: d.origin, Fields: d.fields}
	r := route{Timeout: d.Timeout, Retry: d.Retry, Hedge: d.Hedge, Session: d.Session, Priority: d.Priority, Shape: d.Shape}
	p.Route = r.requests()
	if d.Fault != nil {
		p.Route.Filters = []model.Filter{{Fault: d.Fault.noun()}}
	}
	p.Service = d.service().noun("")
	return said(p)
}

// requests are how requests to a service are served, nil where nothing is said.
func (s *service) requests() *model.TrafficPolicy {
	r := route{Timeout: s.Timeout, Retry: s.Retry, Hedge: s.Hedge, Session: s.Session, Priority: s.Priority}
	namespace, name := model.DefaultNamespace, s.name
	if s.Mesh != nil {
		if m := s.Mesh.noun(s.name); m != nil {
			namespace, name = cmp.Or(m.Namespace, namespace), cmp.Or(m.Host, name)
		}
	}
	return said(&model.TrafficPolicy{
		Name: "service " + s.name, Targets: []model.PolicyTarget{{Kind: model.TargetService, Namespace: namespace, Name: name}},
		Route: r.requests(), Order: model.Order{Name: s.name}, Origin: s.origin, Fields: s.fields,
	})
}

// said takes out the halves of a policy that say nothing, and gives nil where
// nothing is left.
func said(p *model.TrafficPolicy) *model.TrafficPolicy {
	if p.Route != nil && reflect.ValueOf(p.Route).Elem().IsZero() {
		p.Route = nil
	}
	if p.Service != nil && reflect.ValueOf(p.Service).Elem().IsZero() {
		p.Service = nil
	}
	if p.Route == nil && p.Service == nil {
		return nil
	}
	return p
}

// requests are how a route's requests are served: what policies say too.
func (r *route) requests() *model.Route {
	m := &model.Route{Priority: model.Priority(r.Priority)}
	if r.Timeout != nil {
		m.Timeouts = model.Timeouts{Request: r.Timeout.Request.duration(), Backend: r.Timeout.Backend.duration(), Idle: r.Timeout.Idle.duration(), Stream: r.Timeout.Stream.duration()}
	}
	if r.Retry != nil {
		m.Retry = r.Retry.noun()
	}
	m.Session, _ = session(string(r.Session))
	if r.Hedge != nil {
		m.Hedge = r.Hedge.noun
	}
	if r.Shape != nil {
		m.Shape = r.Shape.noun()
	}
	return m
}
