package gatewayapi

import (
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// HashKey is a part of requests.
type HashKey struct {
	// Type is Header, Cookie, QueryParam, SourceIP or CEL.
	Type string `json:"type,omitempty"`
	// Name is that of the header, cookie or parameter.
	Name string `json:"name,omitempty"`
	// Expression is CEL's: it gives text, a number or a truth value.
	Expression string `json:"expression,omitempty"`
}

// SlowStart gives endpoints that arrive or come back less at first: weight x
// max(minPercent/100, (t/window)^(1/aggression)).
type SlowStart struct {
	Window     gateway.Duration `json:"window,omitempty"`     // required
	Aggression float64          `json:"aggression,omitempty"` // default 1: a straight line
	MinPercent int              `json:"minPercent,omitempty"` // default 10
}

// slowStart reads one.
func (r *reader) slowStart(in *SlowStart) *model.SlowStart {
	const field = "spec.loadBalancing.slowStart"
	if in.Window == "" {
		r.broken(field, "missing-field", "a slow start has a window", "slowStart: {window: 30s}")
		return nil
	}
	out := &model.SlowStart{Window: r.bound(field+".window", in.Window), Aggression: in.Aggression, Floor: in.MinPercent}
	if out.Window > model.MostSlowStart {
		r.broken(field+".window", "bad-value", "a slow start takes an hour at most", "")
	}
	if in.Aggression < 0 || in.Aggression > 100 {
		r.broken(field+".aggression", "bad-value", "aggression is above 0, up to 100", "")
	}
	if in.MinPercent < 0 || in.MinPercent > 100 {
		r.broken(field+".minPercent", "bad-value", "minPercent is from 1 to 100", "")
	}
	return out
}

// loadBalancing reads how endpoints share requests.
func (r *reader) loadBalancing(p *backendPolicy, in *LoadBalancing) {
	const field = "spec.loadBalancing"
	switch in.Policy {
	case "": // not said: another policy may, or it is PeakEWMA
	case "PeakEWMA":
		p.noun.Balance = model.PeakEWMA
	case "RoundRobin":
		p.noun.Balance = model.RoundRobin
	case "LeastRequest":
		p.noun.Balance = model.LeastRequest
	case "Random":
		p.noun.Balance = model.Random
	case "RingHash":
		p.noun.Balance = model.RingHash
	case "Maglev":
		p.noun.Balance = model.Maglev
	default:
		r.unknownValue(field+".policy", in.Policy, "PeakEWMA", "RoundRobin", "LeastRequest", "Random", "RingHash", "Maglev")
	}
	for i, k := range in.Hash {
		at := item(field+".hash", i)
		key := model.HashKey{Name: k.Name}
		switch k.Type {
		case "Header":
			key.Kind = model.HashHeader
		case "Cookie":
			key.Kind = model.HashCookie
		case "QueryParam":
			key.Kind = model.HashQuery
		case "SourceIP":
			key.Kind = model.HashSource
		case "CEL":
			if r.expression(at, &k) {
				p.noun.Hash = append(p.noun.Hash, model.HashKey{Kind: model.HashCEL, Name: k.Expression})
			}
			continue
		default:
			r.unknownValue(at+".type", k.Type, "Header", "Cookie", "QueryParam", "SourceIP", "CEL")
			continue
		}
		if k.Expression != "" {
			r.broken(at+".expression", "conflict", "an expression is for type CEL", "write type: CEL, without a name")
			continue
		}
		if (key.Kind == model.HashSource) != (strings.TrimSpace(k.Name) == "") {
			r.broken(at, "bad-value", "headers, cookies and parameters have a name, a source has none", "{type: Cookie, name: session}")
			continue
		}
		p.noun.Hash = append(p.noun.Hash, key)
	}
	if f := in.HashBalanceFactor; f != 0 && (f <= 100 || f > model.MostHashBalance) {
		r.broken(field+".hashBalanceFactor", "bad-value", strconv.Itoa(f)+"% can not bound what an endpoint gets", "write 101 to "+strconv.Itoa(model.MostHashBalance)+", for example 125")
	}
	if in.SubsetSize < 0 {
		r.broken(field+".subsetSize", "bad-value", "a subset has at least one endpoint", "for example subsetSize: 100")
	}
	if in.SubsetSize > 0 && p.noun.Balance.Hashes() {
		r.broken(field+".subsetSize", "conflict", in.Policy+" needs all proxies to know the same endpoints: there is no subset", "remove one of them")
	}
	p.noun.HashBalanceFactor, p.noun.SubsetSize = in.HashBalanceFactor, in.SubsetSize
	if in.SlowStart != nil {
		p.noun.SlowStart = r.slowStart(in.SlowStart)
	}
	if p.noun.Balance.Hashes() && len(in.Hash) == 0 {
		r.broken(field+".policy", "no-hash", in.Policy+" needs hash: what requests have in common", "hash: [{type: Cookie, name: session}]")
	}
}

// expression checks a key that is an expression.
func (r *reader) expression(at string, k *HashKey) bool {
	switch {
	case k.Name != "":
		r.broken(at+".name", "conflict", "a key of type CEL has an expression and no name", `expression: request.headers["x-user"]`)
		return false
	case k.Expression == "" || len(k.Expression) > model.MostHashCode:
		r.broken(at, "bad-value", "a key of type CEL has an expression, up to "+strconv.Itoa(model.MostHashCode)+" characters", `expression: request.headers["x-user"]`)
		return false
	}
	if r.key != nil {
		if err := r.key(k.Expression); err != nil {
			r.broken(at+".expression", "bad-expression", "the expression can not be used: "+err.Error(), "docs/reference/policy.md has its variables")
			return false
		}
	}
	return true
}

// session reads how a rule's clients stay with an endpoint.
func (r *reader) session(field string, in *gateway.SessionPersistence) *model.Session {
	if in == nil {
		return nil
	}
	field += ".sessionPersistence"
	before := len(r.problems)
	out := &model.Session{Kind: model.SessionCookie, Name: or(in.SessionName, "")}
	if out.Name != "" && !isToken(out.Name) {
		r.broken(field+".sessionName", "bad-value", strconv.Quote(out.Name)+" can name no cookie or header", "")
	}
	switch kind := or(in.Type, gateway.CookieBasedSessionPersistence); kind {
	case gateway.CookieBasedSessionPersistence:
	case gateway.HeaderBasedSessionPersistence:
		out.Kind = model.SessionHeader
	default:
		r.unknownValue(field+".type", string(kind), "Cookie", "Header")
	}
	if in.AbsoluteTimeout != nil {
		out.Lifetime = r.bound(field+".absoluteTimeout", *in.AbsoluteTimeout)
	}
	if c := in.CookieConfig; c != nil {
		switch kind := or(c.LifetimeType, gateway.SessionCookieLifetimeType); kind {
		case gateway.SessionCookieLifetimeType:
		case gateway.PermanentCookieLifetimeType:
			out.Permanent = true
		default:
			r.unknownValue(field+".cookieConfig.lifetimeType", string(kind), "Session", "Permanent")
		}
		if out.Permanent && (out.Kind != model.SessionCookie || out.Lifetime == 0) {
			r.broken(field, "bad-value", "a permanent session is a cookie with an absoluteTimeout", "absoluteTimeout: 24h")
		}
	}
	if len(r.problems) > before {
		return nil
	}
	return out
}
