package proxy

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/traffic"
	"github.com/naru-mesh/naru/wire"
)

// Question is a request that somebody wants explained.
type Question struct {
	Method  string
	URL     string // absolute, or a path for the only listener
	Headers []model.Field
	// Shares are what rollouts give to their new version now, of a million
	// requests, by the rollout's name; one that is not there is not known.
	Shares map[string]int
	// Defaults asks also for the fields of policies that nobody says.
	Defaults bool
}

// Explanation is what would happen to a request, and why.
type Explanation struct {
	Method   string   `json:"method"`
	URL      string   `json:"url"`
	Listener string   `json:"listener,omitempty"`
	Route    string   `json:"route,omitempty"`
	Origin   string   `json:"origin,omitempty"`
	Path     string   `json:"path,omitempty"` // as it is matched
	Filters  []string `json:"filters,omitempty"`
	Answer   int      `json:"answer,omitempty"` // status of an answer that naru gives by itself
	Location string   `json:"location,omitempty"`
	Forward  string   `json:"forward,omitempty"` // request line and host as the service sees them
	// Settings are what is said of how the request, or the connection, is served,
	// and by whom.
	Settings []traffic.Setting `json:"settings,omitempty"`
	Backends []ExplainBackend  `json:"backends,omitempty"`
	// Rollout is there where one moves requests between the Backends.
	Rollout *ExplainRollout `json:"rollout,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Means   string          `json:"means,omitempty"`
	Near    []ExplainNear   `json:"near,omitempty"`
}

// ExplainBackend is a destination with its share.
type ExplainBackend struct {
	Service string  `json:"service"`
	Percent float64 `json:"percent"` // as it is written
	// InForce is the share of now, where a rollout moves it and that is known.
	InForce   *float64 `json:"inForce,omitempty"`
	Host      string   `json:"host,omitempty"` // what the service is called, where that is not the request's
	Endpoints []string `json:"endpoints,omitempty"`
	Note      string   `json:"note,omitempty"`
	// Settings are what is said of how it is reached, and by whom.
	Settings []traffic.Setting `json:"settings,omitempty"`
}

// ExplainRollout is a rollout: while it lasts, and after that, it is what gives the
// backends their shares, and not what is written.
type ExplainRollout struct {
	Name  string    `json:"name"`
	To    string    `json:"to"`
	Steps []float64 `json:"steps"` // percent
	// Phase is what whoever decides says; "": nobody was asked, or knows of it.
	Phase string `json:"phase,omitempty"`
}

// ExplainNear is a route that did not win, and why.
type ExplainNear struct {
	Route  string   `json:"route"`
	Match  string   `json:"match"`
	Origin string   `json:"origin,omitempty"`
	Why    []string `json:"why"`
}

// Explain says what the configuration s would do with a request. It opens no
// socket and asks no service. The error is a mistake in the question.
func Explain(s *model.Snapshot, families []filter.Family, q Question) (*Explanation, error) {
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL: %v", q.URL, err)
	}
	var policies traffic.Lowering
	if lowered := policies.Lower(&s.Config); lowered != &s.Config {
		s = &model.Snapshot{Config: *lowered, Version: s.Version}
	}
	c := &compiler{families: families, loops: 1}
	c.compile(s)
	entrances, err := c.entrances()
	if err != nil {
		return nil, err
	}
	e, err := entranceFor(c.prog.Snapshot, entrances, u)
	if err != nil {
		return nil, err
	}
	if e.protocol.OfFlows() {
		return e.explain(s, &policies, u, q.Defaults), nil
	}
	if out := otherProtocol(e, q, u); out != nil {
		return out, nil
	}
	x := &exchange{w: &worker{}, prog: c.prog, door: &door{}}
	x.Peer = &wire.Peer{Local: e.addr.AddrPort}
	if err := x.ask(q, u); err != nil {
		return nil, err
	}
	c.prog.doors = []*entrance{e}
	out := &Explanation{Method: q.Method, URL: q.URL}
	why := x.match()
	out.Path = string(x.Request.Path)
	if x.listener != nil {
		out.Listener = x.listener.noun.Name
		x.near(out)
	}
	if why == observe.ReasonNone {
		out.Settings = policies.Route(x.rule.noun)
		if q.Defaults {
			out.Settings = traffic.RouteDefaults(out.Settings)
		}
		why = x.walk(out, s, q)
		for i := range out.Backends {
			if v := c.services[out.Backends[i].Service]; v != nil {
				if out.Backends[i].Settings = policies.Service(v); q.Defaults {
					out.Backends[i].Settings = traffic.ServiceDefaults(out.Backends[i].Settings)
				}
			}
		}
	}
	if why != observe.ReasonNone {
		out.Reason, out.Means = why.String(), why.Info().Means
		if out.Answer == 0 {
			out.Answer = why.Info().Status
		}
	}
	return out, nil
}

// otherProtocol explains a request that the port does not understand, because
// only one of the two speaks TLS; nil where they agree.
func otherProtocol(e *entrance, q Question, u *url.URL) *Explanation {
	if u.Scheme == "" || (u.Scheme == "https") == e.secure {
		return nil
	}
	out := &Explanation{Method: q.Method, URL: q.URL, Listener: e.listeners[0].noun.Name, Answer: 400}
	if l, ok := e.hosts.Find([]byte(u.Host)); ok {
		out.Listener = l.noun.Name
	}
	u.Scheme = "https"
	why, what := observe.HandshakeFailed, "speaks TLS, and this request comes without"
	if !e.secure {
		u.Scheme, why, what = "http", observe.BadRequestLine, "does not speak TLS, and this request begins with a handshake"
	}
	out.Reason = why.String()
	out.Means = fmt.Sprintf("Port %d %s. Ask for %s.", e.addr.Port(), what, u)
	return out
}

// entranceFor finds the port that a URL leads to: the one it names, else the
// only one of its scheme.
func entranceFor(s *model.Snapshot, all map[address]*entrance, u *url.URL) (*entrance, error) {
	if len(s.Listeners) == 0 {
		return nil, fmt.Errorf("the configuration has no listener")
	}
	port, known := 0, make([]string, 0, len(all))
	if u.Port() != "" {
		port, _ = strconv.Atoi(u.Port())
	}
	var found *entrance
	candidates := 0
	for _, addr := range slices.SortedFunc(maps.Keys(all), address.compare) {
		e := all[addr]
		known = append(known, strconv.Itoa(int(e.addr.Port())))
		switch {
		case isFlow(u.Scheme) && (e.protocol.OfFlows() && (u.Scheme == "udp") == e.addr.udp) && (port == 0 || int(e.addr.Port()) == port):
			return e, nil
		case isFlow(u.Scheme) || e.addr.udp:
		case port != 0 && int(e.addr.Port()) == port:
			return e, nil
		case port == 0 && !e.protocol.OfFlows() && (u.Scheme == "" || (u.Scheme == "https") == e.secure):
			if n := map[string]int{"http": 80, "https": 443}[u.Scheme]; int(e.addr.Port()) == n {
				return e, nil
			}
			found = e
			candidates++
		}
	}
	switch {
	case port != 0 && isFlow(u.Scheme):
		return nil, fmt.Errorf("no listener for %s on port %d; there is %s", u.Scheme, port, strings.Join(known, ", "))
	case isFlow(u.Scheme):
		return nil, fmt.Errorf("no listener for %s", u.Scheme)
	case port != 0:
		return nil, fmt.Errorf("no listener on port %d; there is %s", port, strings.Join(known, ", "))
	}
	if candidates != 1 {
		return nil, fmt.Errorf("say which port, as in http://%s:%s%s", pick(u.Hostname(), "localhost"), known[0], u.Path)
	}
	return found, nil
}

// Ask makes an exchange of a question, as policies see it: its path is normalized.
func Ask(q Question, u *url.URL) (*filter.Exchange, error) {
	x := &exchange{}
	if err := x.ask(q, u); err != nil {
		return nil, err
	}
	path, ok := route.Normalize(x.Request.Path, nil)
	if !ok {
		return nil, fmt.Errorf("%s is refused: %s", u.EscapedPath(), observe.BadTarget.Info().Means)
	}
	x.Request.Path = path
	return &x.Exchange, nil
}

// ask fills in the request.
func (x *exchange) ask(q Question, u *url.URL) error {
	h := &x.Request
	h.Method, h.Minor = []byte(q.Method), 1
	h.Path = []byte(pick(u.EscapedPath(), "/"))
	h.Query, h.HasQuery = []byte(u.RawQuery), u.RawQuery != ""
	h.Authority = []byte(pick(u.Host, "localhost"))
	for _, f := range q.Headers {
		if !wire.ValidName(f.Name) || !wire.ValidValue(f.Value) {
			return fmt.Errorf("%q is not a header", f.Name+": "+f.Value)
		}
		if strings.EqualFold(f.Name, "Host") {
			h.Authority = []byte(f.Value)
			continue
		}
		h.AddString(wire.KeyOf(f.Name), f.Value)
	}
	return nil
}

// walk goes through filters and backends without sending anything.
func (x *exchange) walk(out *Explanation, s *model.Snapshot, q Question) observe.Reason {
	r := x.rule
	out.Route, out.Origin = r.noun.Name, r.noun.Origin.String()
	out.Filters = slices.Clone(r.chain.Names())
	for i := range r.mirrors {
		m := &r.mirrors[i]
		part := 100.0
		if m.of > 0 {
			part = 100 * float64(m.n) / float64(m.of)
		}
		out.Filters = append(out.Filters, fmt.Sprintf("mirror to %s (%.4g%%)", m.service, part))
	}
	if r.shape != nil {
		out.Filters = append(out.Filters, "shape")
	}
	if r.chain.OnRequest(&x.Exchange) == filter.Answer {
		out.Answer = x.Response.Status
		if v, ok := x.Response.Get(wire.KeyLocation); ok {
			out.Location = string(v)
		}
		return x.Why
	}
	if r.broken != observe.ReasonNone {
		return r.broken
	}
	if len(r.backends) == 0 {
		return observe.NoBackend
	}
	line := string(x.Request.Path)
	if x.Request.HasQuery {
		line += "?" + string(x.Request.Query)
	}
	out.Forward = fmt.Sprintf("%s %s Host: %s", x.Request.Method, line, x.Request.Authority)
	for i := range r.backends {
		b := &r.backends[i]
		made := explainBackend(s, b.noun, r.total, b.host)
		if b.broken == observe.InvalidFilter {
			made.Endpoints, made.Note = nil, "its filters cannot be built: answers 500 invalid_filter"
		}
		out.Backends = append(out.Backends, made)
	}
	if r.noun.Rolls() {
		out.roll(s, r, q.Shares)
	}
	return observe.ReasonNone
}

// roll says what the rollout of r makes of the shares, also of those that are
// nothing as they are written.
func (e *Explanation) roll(s *model.Snapshot, r *rule, shares map[string]int) {
	o := r.noun.Rollout.Filled()
	e.Rollout = &ExplainRollout{Name: o.Name, To: o.To}
	for _, step := range o.Steps {
		e.Rollout.Steps = append(e.Rollout.Steps, percentOf(step.Share))
	}
	share, known := shares[o.Name]
	weighed := model.Weigh(r.noun.Backends, o.To, share)
	for i := range r.noun.Backends {
		noun := &r.noun.Backends[i]
		at := slices.IndexFunc(e.Backends, func(b ExplainBackend) bool { return b.Service == noun.Service })
		if at < 0 {
			at = len(e.Backends)
			e.Backends = append(e.Backends, explainBackend(s, noun, r.total, ""))
		}
		if known {
			now := percentOf(weighed[i].Weight)
			e.Backends[at].InForce = &now
		}
	}
}

// percentOf is a share of a million.
func percentOf(share int) float64 { return float64(share) / (model.Million / 100) }

// ofTheMesh is said of a service whose workloads the configuration does not know.
const ofTheMesh = "those of its workloads that run (naru status)"

func explainBackend(s *model.Snapshot, noun *model.Backend, total int, host string) ExplainBackend {
	made := ExplainBackend{Service: noun.Service, Percent: 100 * float64(noun.Weight) / float64(total), Host: host}
	i := slices.IndexFunc(s.Services, func(v *model.Service) bool { return v.Name == noun.Service })
	switch {
	case i < 0:
		made.Note = "does not exist, or has a mistake: answers 500 invalid_backend"
	case len(s.Services[i].Endpoints) == 0 && s.Services[i].Mesh != nil && !s.Services[i].Mesh.External:
		made.Note = ofTheMesh
	case len(s.Services[i].Endpoints) == 0:
		made.Note = "has no endpoints: answers 503 no_endpoint"
	default:
		for _, ep := range s.Services[i].Endpoints {
			made.Endpoints = append(made.Endpoints, net.JoinHostPort(ep.Host, strconv.Itoa(int(ep.Port))))
		}
	}
	return made
}

// near lists the routes that came close and why they did not win.
func (x *exchange) near(out *Explanation) {
	for _, n := range x.listener.table.Explain(&x.Request, x.Request.Authority) {
		if len(n.Why) == 0 {
			continue // the winner
		}
		noun := x.listener.rules[n.Rule].noun
		out.Near = append(out.Near, ExplainNear{
			Route: noun.Name, Origin: noun.Origin.String(), Match: describe(n.Host, &n.Match), Why: n.Why,
		})
	}
}

// describe writes a match on one line.
func describe(host string, m *model.Match) string {
	var b strings.Builder
	if m.Method != "" {
		b.WriteString(m.Method + " ")
	}
	b.WriteString(host)
	switch m.PathKind {
	case model.PathAny:
		b.WriteString("/")
	case model.PathExact:
		b.WriteString("=" + m.Path)
	case model.PathRegex:
		b.WriteString("~" + m.Path)
	default:
		b.WriteString(m.Path)
	}
	fields := func(what string, list []model.FieldMatch) {
		for _, f := range list {
			b.WriteString(" " + what + " " + f.Name)
		}
	}
	fields("header", m.Headers)
	fields("query", m.Queries)
	fields("cookie", m.Cookies)
	return b.String()
}

// Ensure that both halves of an exchange are what the codecs expect.
var (
	_ wire.RequestSink  = (*exchange)(nil)
	_ wire.ResponseSink = (*exchange)(nil)
	_ wire.ResponseSink = (*mirror)(nil)
	_ wire.Server       = (*door)(nil)
)
