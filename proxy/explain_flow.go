package proxy

import (
	"net/url"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/traffic"
)

// isFlow says whether the scheme of a question asks about a connection.
func isFlow(scheme string) bool { return model.Protocol(scheme).OfFlows() }

// explain says what would happen to a connection to e, or to datagrams. The
// host of the question is the server name that the client asks for.
func (e *entrance) explain(s *model.Snapshot, policies *traffic.Lowering, u *url.URL, defaults bool) *Explanation {
	out := &Explanation{URL: u.String(), Listener: e.listeners[0].noun.Name}
	if !isFlow(u.Scheme) {
		out.Means = "The port carries " + string(e.protocol) + ", not requests. Ask for " + string(e.protocol) + "://" + u.Host + "."
		return out
	}
	name, l := "", e.listeners[0]
	if e.protocol == model.TLS {
		name = u.Hostname()
		l, _ = e.hosts.FindString(name)
	}
	why := observe.NoFlow
	if l != nil {
		out.Listener = l.noun.Name
		if f, ok := l.flows.FindString(name); ok {
			why = f.explain(out, s)
			if out.Settings = policies.Flow(f.noun); defaults {
				out.Settings = traffic.FlowDefaults(out.Settings)
			}
			if out.Forward = "the bytes as they come"; l.noun.Terminates() {
				out.Forward = "what is inside the client's TLS, which ends here"
			} else if l.noun.Passthrough {
				out.Forward = "the client's TLS as it comes"
			}
		}
	}
	if why != observe.ReasonNone {
		out.Reason, out.Means = why.String(), why.Info().Means
	}
	return out
}

func (f *flow) explain(out *Explanation, s *model.Snapshot) observe.Reason {
	out.Route, out.Origin = f.noun.Name, f.noun.Origin.String()
	for i := range f.backends {
		b := explainBackend(s, f.backends[i].noun, f.total, "")
		switch {
		case b.Note == ofTheMesh:
		case b.Note != "" && b.Endpoints == nil && b.Service == "":
			b.Note = "does not exist: the connection is reset, invalid_backend"
		case b.Note != "":
			b.Note = "has no endpoints: the connection is reset, no_endpoint"
		}
		out.Backends = append(out.Backends, b)
	}
	if len(f.backends) == 0 {
		return observe.NoBackend
	}
	return observe.ReasonNone
}
