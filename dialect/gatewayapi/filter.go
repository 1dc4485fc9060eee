package gatewayapi

import (
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// filters is a list of filters as far as it was read.
type filters struct {
	list    []model.Filter
	mirrors []mirror
	// redirects: one of them answers.
	redirects bool
	// failing: one of them cannot be served and must not be skipped.
	failing bool
	// clash: they do not go together.
	clash bool
}

// httpFilters are the types of filters of an HTTPRoute.
func httpFilters() []string {
	return []string{
		string(gateway.HTTPRouteFilterRequestHeaderModifier), string(gateway.HTTPRouteFilterResponseHeaderModifier),
		string(gateway.HTTPRouteFilterRequestRedirect), string(gateway.HTTPRouteFilterURLRewrite),
		string(gateway.HTTPRouteFilterRequestMirror), string(gateway.HTTPRouteFilterCORS),
		string(gateway.HTTPRouteFilterExternalAuth), string(gateway.HTTPRouteFilterExtensionRef),
	}
}

// filters reads the filters of a rule or of a backendRef. matches are those of
// the rule, known the types that its kind has.
func (r *reader) filters(field string, in []gateway.HTTPRouteFilter, matches []gateway.HTTPRouteMatch, known []string) filters {
	var out filters
	if len(in) > mostFilters {
		r.broken(item(field, mostFilters), "bad-value", "at most 16 filters", "")
		in = in[:mostFilters]
	}
	seen := make(map[gateway.HTTPRouteFilterType]bool, len(in))
	for i := range in {
		f, at := &in[i], item(field, i)
		if !r.union(at, f, known) {
			continue
		}
		repeats := f.Type == gateway.HTTPRouteFilterRequestMirror || f.Type == gateway.HTTPRouteFilterExtensionRef
		if seen[f.Type] && !repeats {
			r.broken(at, "conflict", "the filter "+string(f.Type)+" is there twice", "")
			out.clash = true
			continue
		}
		seen[f.Type] = true
		r.filter(at, f, matches, &out)
	}
	if seen[gateway.HTTPRouteFilterRequestRedirect] && seen[gateway.HTTPRouteFilterURLRewrite] {
		r.broken(field, "conflict", "RequestRedirect and URLRewrite do not go together", "")
		out.clash = true
	}
	return out
}

// filter reads one filter, whose type and content agree.
func (r *reader) filter(at string, f *gateway.HTTPRouteFilter, matches []gateway.HTTPRouteMatch, out *filters) {
	var noun model.Filter
	switch f.Type {
	case gateway.HTTPRouteFilterRequestHeaderModifier:
		noun.RequestHeaders = r.headerEdit(at+".requestHeaderModifier", f.RequestHeaderModifier)
	case gateway.HTTPRouteFilterResponseHeaderModifier:
		noun.ResponseHeaders = r.headerEdit(at+".responseHeaderModifier", f.ResponseHeaderModifier)
	case gateway.HTTPRouteFilterRequestRedirect:
		noun.Redirect = r.redirect(at+".requestRedirect", f.RequestRedirect, matches)
		out.redirects = true
	case gateway.HTTPRouteFilterURLRewrite:
		noun.Rewrite = r.rewrite(at+".urlRewrite", f.URLRewrite, matches)
	case gateway.HTTPRouteFilterRequestMirror:
		m, some := r.requestMirror(at+".requestMirror", f.RequestMirror)
		if !some {
			return
		}
		noun.Mirror = m
		ref := r.reference(at+".requestMirror.backendRef", &f.RequestMirror.BackendRef)
		out.mirrors = append(out.mirrors, mirror{filter: len(out.list), reference: ref})
	case gateway.HTTPRouteFilterCORS:
		noun.CORS = r.cors(at+".cors", f.CORS)
	case gateway.HTTPRouteFilterExternalAuth:
		r.failing(at, "the filter ExternalAuth is not served by this version, so requests get 500")
		out.failing = true
		return
	default:
		r.failing(at, "naru knows no filter of kind "+string(f.ExtensionRef.Kind)+" of "+
			quoted(string(f.ExtensionRef.Group))+", so requests get 500")
		out.failing = true
		return
	}
	out.list = append(out.list, noun)
}

// failing notes a filter that cannot be served. The rule is served all the
// same, with 500, because a filter must not be skipped.
func (r *reader) failing(field, message string) {
	p := r.broken(field, "not-served", message, "")
	p.Condition = string(gateway.RouteConditionResolvedRefs)
	p.Reason = string(gateway.RouteReasonInvalidKind)
}

// union checks that a filter has the content of its type, which is one of
// known, and no other.
func (r *reader) union(at string, f *gateway.HTTPRouteFilter, known []string) bool {
	contents := []struct {
		kind  gateway.HTTPRouteFilterType
		field string
		there bool
	}{
		{gateway.HTTPRouteFilterRequestHeaderModifier, "requestHeaderModifier", f.RequestHeaderModifier != nil},
		{gateway.HTTPRouteFilterResponseHeaderModifier, "responseHeaderModifier", f.ResponseHeaderModifier != nil},
		{gateway.HTTPRouteFilterRequestRedirect, "requestRedirect", f.RequestRedirect != nil},
		{gateway.HTTPRouteFilterURLRewrite, "urlRewrite", f.URLRewrite != nil},
		{gateway.HTTPRouteFilterRequestMirror, "requestMirror", f.RequestMirror != nil},
		{gateway.HTTPRouteFilterCORS, "cors", f.CORS != nil},
		{gateway.HTTPRouteFilterExternalAuth, "externalAuth", f.ExternalAuth != nil},
		{gateway.HTTPRouteFilterExtensionRef, "extensionRef", f.ExtensionRef != nil},
	}
	if !r.oneOf(at+".type", string(f.Type), known...) {
		return false
	}
	ok := true
	for _, c := range contents {
		switch {
		case c.there && c.kind != f.Type:
			r.broken(at+"."+c.field, "conflict", c.field+" is for filters of type "+string(c.kind),
				"write type: "+string(c.kind))
			ok = false
		case !c.there && c.kind == f.Type:
			r.broken(at, "missing-field", "a filter of type "+string(c.kind)+" has "+c.field, "")
			ok = false
		}
	}
	return ok
}

// requestMirror reads what share of the requests is copied; false when none.
func (r *reader) requestMirror(at string, in *gateway.HTTPRequestMirrorFilter) (*model.Mirror, bool) {
	out := &model.Mirror{}
	switch {
	case in.Percent != nil && in.Fraction != nil:
		r.broken(at, "conflict", "percent and fraction do not go together", "")
	case in.Percent != nil:
		if *in.Percent < 0 || *in.Percent > 100 {
			r.broken(at+".percent", "bad-value", "percent is between 0 and 100", "")
		}
		out.Numerator, out.Denominator = int(*in.Percent), 100
	case in.Fraction != nil:
		out.Numerator, out.Denominator = int(in.Fraction.Numerator), int(or(in.Fraction.Denominator, 100))
		switch {
		case out.Denominator < 1:
			r.broken(at+".fraction.denominator", "bad-value", "denominator is at least 1", "")
		case out.Numerator < 0 || out.Numerator > out.Denominator:
			r.broken(at+".fraction.numerator", "bad-value", "numerator is between 0 and denominator", "")
		}
	default:
		return out, true
	}
	if out.Numerator == out.Denominator {
		out.Numerator, out.Denominator = 0, 0
		return out, true
	}
	return out, out.Numerator > 0
}

// cors reads a CORS filter.
func (r *reader) cors(at string, in *gateway.HTTPCORSFilter) *model.CORS {
	out := &model.CORS{Credentials: or(in.AllowCredentials, false)}
	for i, origin := range in.AllowOrigins {
		if wrong := checkOrigin(string(origin)); wrong != "" {
			r.broken(item(at+".allowOrigins", i), "bad-value", wrong, "write for example https://app.example.com")
		}
		out.Origins = append(out.Origins, string(origin))
	}
	for i, m := range in.AllowMethods {
		r.oneOf(item(at+".allowMethods", i), string(m), append(methods(), "*")...)
		out.Methods = append(out.Methods, string(m))
	}
	out.Headers = r.corsNames(at+".allowHeaders", in.AllowHeaders)
	out.ExposeHeaders = r.corsNames(at+".exposeHeaders", in.ExposeHeaders)
	r.alone(at+".allowOrigins", out.Origins)
	r.alone(at+".allowMethods", out.Methods)
	r.alone(at+".allowHeaders", out.Headers)
	if len(out.Origins) == 0 {
		r.doubtful(at, "missing-field", "without allowOrigins no other origin may read the answers", "")
	}
	if in.MaxAge < 0 {
		r.broken(at+".maxAge", "bad-value", "maxAge is at least 1 second", "")
	}
	out.MaxAge = time.Duration(in.MaxAge) * time.Second
	return out
}

// corsNames reads header names, of which "*" is any.
func (r *reader) corsNames(at string, in []gateway.HTTPHeaderName) []string {
	var out []string
	for i, name := range in {
		if !isToken(string(name)) {
			r.broken(item(at, i), "bad-value", string(name)+" is not a header name", "")
		}
		out = append(out, string(name))
	}
	return out
}

// alone checks that "*" is the only item where it is one.
func (r *reader) alone(at string, list []string) {
	for _, s := range list {
		if s == "*" && len(list) > 1 {
			r.broken(at, "conflict", "* stands alone", "")
			return
		}
	}
}
