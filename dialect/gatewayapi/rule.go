package gatewayapi

import (
	"strconv"
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Retries.
const (
	defaultAttempts = 1
	mostAttempts    = 10 // model.Retry
)

// unsupported is the refusal of a rule with a value that is not valid.
func unsupported(message string) refusal {
	return refusal{string(gateway.RouteReasonUnsupportedValue), message}
}

// newRule begins a rule.
func (r *reader) newRule(route *routeObject, i int) rule {
	return rule{noun: model.Route{
		Name:      route.prefix() + strconv.Itoa(i),
		Hostnames: route.hostnames,
		Order:     model.Order{Created: route.created, Name: route.String(), Index: i},
		Subject:   model.Subject{Kind: model.TargetKind(route.kind), Namespace: route.namespace, Name: route.name},
		Origin:    r.origin(item("spec.rules", i)),
	}}
}

// httpRule reads one rule, or says why it cannot be served.
func (r *reader) httpRule(route *routeObject, i int, in *gateway.HTTPRouteRule) (rule, refusal) {
	field, out := item("spec.rules", i), r.newRule(route, i)
	if r.spoiled(field) {
		return out, unsupported("it could not be read")
	}
	before := len(r.problems)
	out.noun.Matches = r.matches(field, in.Matches)
	fs := r.filters(field+".filters", in.Filters, in.Matches, httpFilters())
	out.backends = r.backendRefs(field, in)
	out.noun.Timeouts = r.timeouts(field, in.Timeouts)
	out.noun.Retry = r.retry(field, in.Retry)
	out.noun.Session = r.session(field, in.SessionPersistence)
	if fs.redirects && len(in.BackendRefs) > 0 {
		r.broken(field+".backendRefs", "conflict", "a rule that redirects has no backendRefs",
			"remove the backendRefs, or the RequestRedirect filter")
		fs.clash = true
	}
	return out, r.finish(&out, fs, before)
}

// finish gives a rule its filters, or says why it cannot be served. before is
// how many problems there were when it began.
func (r *reader) finish(out *rule, fs filters, before int) refusal {
	out.noun.Filters, out.mirrors = fs.list, fs.mirrors
	if fs.failing {
		// The filter must not be skipped, so nothing behind it may happen.
		out.noun.Filters, out.mirrors = nil, nil
		out.backends = []backend{{weight: 1, failing: true}}
	}
	if fs.clash {
		return refusal{string(gateway.RouteReasonIncompatibleFilters), "its filters do not go together"}
	}
	for _, p := range r.problems[before:] {
		if p.Severity == model.Broken && p.Condition == "" {
			return unsupported(p.Message)
		}
	}
	return refusal{}
}

// backendRefs reads where a rule leads.
func (r *reader) backendRefs(field string, in *gateway.HTTPRouteRule) []backend {
	refs := r.fewBackends(field, len(in.BackendRefs))
	var out []backend
	for i := range in.BackendRefs[:refs] {
		at := item(field+".backendRefs", i)
		b := r.backendRef(at, &in.BackendRefs[i].BackendRef)
		fs := r.filters(at+".filters", in.BackendRefs[i].Filters, in.Matches, httpFilters())
		b.filters, b.mirrors, b.failing = fs.list, fs.mirrors, fs.failing
		out = append(out, b)
	}
	return out
}

// fewBackends gives how many of n backendRefs are read.
func (r *reader) fewBackends(field string, n int) int {
	if n > mostBackends {
		r.broken(item(field+".backendRefs", mostBackends), "bad-value", "a rule has at most 16 backendRefs", "")
	}
	return min(n, mostBackends)
}

// backendRef reads a reference with its weight.
func (r *reader) backendRef(at string, in *gateway.BackendRef) backend {
	b := backend{reference: r.reference(at, &in.BackendObjectReference), weight: int(or(in.Weight, 1))}
	if b.weight < 0 || b.weight > heaviest {
		r.broken(at+".weight", "bad-value", "a weight is between 0 and 1000000", "")
	}
	return b
}

// reference reads a reference to a backend.
func (r *reader) reference(field string, in *gateway.BackendObjectReference) reference {
	ref := reference{
		field:   field,
		service: key{string(or(in.Namespace, gateway.Namespace(r.home))), string(in.Name)},
		port:    or(in.Port, 0),
	}
	kind, group := string(or(in.Kind, "Service")), string(or(in.Group, coreGroup))
	switch {
	case in.Name == "":
		r.broken(field, "missing-field", "a backendRef names a Service: name is missing", "")
	case kind != "Service" || group != coreGroup:
		ref.stranger = kind + " of " + quoted(group)
	case in.Port == nil:
		r.broken(field, "missing-field", "a backendRef to a Service has a port", "")
	case !isPort(ref.port):
		r.broken(field+".port", "bad-value", "a port is between 1 and 65535", "")
	}
	return ref
}

// timeouts reads the timeouts of a rule. In the model 0 is the default, and
// negative is none.
func (r *reader) timeouts(field string, in *gateway.HTTPRouteTimeouts) model.Timeouts {
	var out model.Timeouts
	if in == nil {
		return out
	}
	var ok bool
	if in.Request != nil {
		if out.Request, ok = r.duration(field+".timeouts.request", *in.Request); !ok {
			return out
		}
		// The request's bound is the only one that was asked for: the default
		// of a try must not come first.
		out.Backend = model.AsRequest
	}
	if in.BackendRequest != nil {
		if out.Backend, ok = r.duration(field+".timeouts.backendRequest", *in.BackendRequest); !ok {
			return out
		}
		if out.Request > 0 && out.Backend > out.Request {
			r.broken(field+".timeouts.backendRequest", "bad-value",
				"backendRequest must not be longer than request", "")
		}
	}
	return model.Timeouts{Request: out.Request, Backend: out.Backend}
}

// duration reads a duration of which zero means none, as the model writes it.
func (r *reader) duration(field string, text gateway.Duration) (time.Duration, bool) {
	d, ok := duration(string(text))
	if !ok {
		r.broken(field, "bad-value", string(text)+" is not a duration", "write for example 500ms, 10s or 1h30m")
		return 0, false
	}
	if d == 0 {
		return -1, true
	}
	return d, true
}

// retry reads when a failed try is made again.
func (r *reader) retry(field string, in *gateway.HTTPRouteRetry) *model.Retry {
	if in == nil {
		return nil
	}
	out := &model.Retry{Attempts: or(in.Attempts, defaultAttempts)}
	switch {
	case out.Attempts < 1:
		r.broken(field+".retry.attempts", "bad-value", "attempts is at least 1", "leave retry out for no retry")
	case out.Attempts > mostAttempts:
		r.doubtful(field+".retry.attempts", "bad-value", "naru retries at most 10 times", "")
		out.Attempts = mostAttempts
	}
	for i, code := range in.Codes {
		if code < 400 || code > 599 {
			r.broken(item(field+".retry.codes", i), "bad-value", "a status to retry is between 400 and 599", "")
			continue
		}
		out.Codes = append(out.Codes, int(code))
	}
	if in.Backoff != nil {
		d, ok := duration(string(*in.Backoff))
		if !ok {
			r.broken(field+".retry.backoff", "bad-value", string(*in.Backoff)+" is not a duration",
				"write for example 100ms")
		}
		out.Backoff = max(d, 0)
	}
	return out
}
