package model

import "time"

// TrafficPolicy sets fields of all Routes, Flows and Services that its Targets name,
// where nothing nearer sets them: it is what one TrafficPolicy, BackendPolicy or
// "defaults" of a user says. It travels as it was written; package traffic joins
// it with the nouns when they are compiled, field by field.
type TrafficPolicy struct {
	// Name is unique in a Config: "TrafficPolicy shop/patient", "defaults".
	Name    string         `json:"name"`
	Targets []PolicyTarget `json:"targets"`
	// Route and Service have the fields that are set, and no others: a field that
	// is zero is not said. What makes a noun what it is (name, matches, endpoints,
	// TLS) is not looked at. Of Route.Filters a Fault counts. Of Flows Route says
	// the Priority. nil: nothing is said of Routes, or of Services.
	Route   *Route   `json:"route,omitempty"`
	Service *Service `json:"service,omitempty"`
	// Order decides between policies for one target: the older counts (Gateway
	// API, GEP-713).
	Order  Order  `json:"order"`
	Origin Origin `json:"origin"`
	// Fields are the places of single fields, by their names in package traffic
	// ("retry", "timeouts.request", "ejection"), for messages.
	Fields []FieldOrigin `json:"-"`
}

// FieldOrigin is where a field was written.
type FieldOrigin struct {
	Field  string
	Origin Origin
}

// At is where a field was written, or the policy itself.
func (p *TrafficPolicy) At(field string) Origin {
	for i := range p.Fields {
		if p.Fields[i].Field == field {
			return p.Fields[i].Origin
		}
	}
	return p.Origin
}

// TargetKind is what a PolicyTarget names.
type TargetKind string

const (
	TargetMesh      TargetKind = "Mesh"      // everything that naru serves
	TargetNamespace TargetKind = "Namespace" // the routes, or the services, of one
	TargetGateway   TargetKind = "Gateway"   // what came in through it; Section: one listener
	TargetService   TargetKind = "Service"   // requests to it; Section: one port
	TargetHTTPRoute TargetKind = "HTTPRoute" // Section: one rule
	TargetGRPCRoute TargetKind = "GRPCRoute" // likewise
	TargetTCPRoute  TargetKind = "TCPRoute"  // its connections, which have a priority alone
	TargetTLSRoute  TargetKind = "TLSRoute"  // likewise
	TargetUDPRoute  TargetKind = "UDPRoute"  // likewise
)

// OfFlows says whether it names Flows, of which a policy says their priority.
func (k TargetKind) OfFlows() bool {
	return k == TargetTCPRoute || k == TargetTLSRoute || k == TargetUDPRoute
}

// PolicyTarget names what a TrafficPolicy is for, as users call it.
type PolicyTarget struct {
	Kind TargetKind `json:"kind"`
	// Namespace is "" for TargetMesh alone, and Name for that and
	// TargetNamespace.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Section   string `json:"section,omitempty"`
}

// String is how people write it: "Service shop/orders", "HTTPRoute shop/cart
// rule pay".
func (t PolicyTarget) String() string {
	switch t.Kind {
	case TargetMesh:
		return "the mesh"
	case TargetNamespace:
		return "namespace " + t.Namespace
	}
	text := string(t.Kind) + " " + t.Namespace + "/" + t.Name
	if t.Section == "" {
		return text
	}
	switch t.Kind {
	case TargetGateway:
		return text + " listener " + t.Section
	case TargetService:
		return text + " port " + t.Section
	}
	return text + " rule " + t.Section
}

// Subject is the user's object that a Route, Flow or Service was made of: what
// policies name it by. The zero Subject of a Route or Flow is one of DefaultNamespace
// that no policy names; that of a Service is the Service of its Mesh, or of its
// Name in DefaultNamespace.
type Subject struct {
	// Kind is that of a Route's or Flow's object: TargetHTTPRoute, TargetTCPRoute,
	// or TargetService where package mesh made it of a Service; "" for Services.
	Kind      TargetKind `json:"kind,omitempty"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name,omitempty"`
	Section   string     `json:"section,omitempty"` // name of the rule or port
}

// Values by which something nearer switches off what a policy has switched on.
const (
	// SessionOff: each request is balanced by itself.
	SessionOff SessionKind = "off"
	// HealthOff: endpoints are not asked.
	HealthOff HealthKind = "off"
	// PlainPriority is PriorityNormal, said.
	PlainPriority Priority = "normal"
)

// AsRequest of Timeouts.Backend: a try may take as long as the request, unless a
// policy says how long. To what runs it is as any negative time: none.
const AsRequest time.Duration = -2

func (p *TrafficPolicy) name() string   { return p.Name }
func (p *TrafficPolicy) origin() Origin { return p.Origin }

func (p *TrafficPolicy) write(b *content) {
	b.text(p.Name)
	b.number(uint64(len(p.Targets)))
	for _, t := range p.Targets {
		b.text(string(t.Kind), t.Namespace, t.Name, t.Section)
	}
	if b.bool(p.Route != nil) {
		p.Route.write(b)
	}
	if b.bool(p.Service != nil) {
		p.Service.write(b)
	}
	b.int(p.Order.Created)
	b.text(p.Order.Name)
	b.int(int64(p.Order.Index))
	b.place(&p.Origin)
	b.number(uint64(len(p.Fields)))
	for i := range p.Fields {
		b.text(p.Fields[i].Field)
		b.place(&p.Fields[i].Origin)
	}
}

// subject writes one; nothing where it is zero, so that nothing else changes.
func (b *content) subject(s *Subject) {
	if *s != (Subject{}) {
		b.text("subject", string(s.Kind), s.Namespace, s.Name, s.Section)
	}
}
