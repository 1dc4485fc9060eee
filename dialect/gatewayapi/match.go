package gatewayapi

import (
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// matches reads the alternatives of a rule. None is the default of the CRD,
// every path.
func (r *reader) matches(field string, in []gateway.HTTPRouteMatch) []model.Match {
	if len(in) == 0 {
		return []model.Match{{PathKind: model.PathPrefix, Path: "/"}}
	}
	if len(in) > 64 {
		r.broken(item(field+".matches", 64), "bad-value", "a rule has at most 64 matches", "")
		in = in[:64]
	}
	out := make([]model.Match, len(in))
	for i := range in {
		at := item(field+".matches", i)
		m := model.Match{PathKind: model.PathPrefix, Path: "/"}
		if in[i].Path != nil {
			m.PathKind, m.Path = r.path(at+".path", in[i].Path)
		}
		if in[i].Method != nil {
			m.Method = r.method(at+".method", string(*in[i].Method))
		}
		for j := range in[i].Headers {
			h := &in[i].Headers[j]
			m.Headers = r.fieldMatch(item(at+".headers", j), "header", m.Headers, string(h.Name), string(or(h.Type, "")), h.Value)
		}
		for j := range in[i].QueryParams {
			q := &in[i].QueryParams[j]
			m.Queries = r.fieldMatch(item(at+".queryParams", j), "query parameter", m.Queries, string(q.Name), string(or(q.Type, "")), q.Value)
		}
		out[i] = m
	}
	return out
}

// path reads a path match. A prefix ends without its slash, which is of no
// account in it.
func (r *reader) path(field string, in *gateway.HTTPPathMatch) (model.PathKind, string) {
	value := or(in.Value, "/")
	kind := model.PathPrefix
	switch or(in.Type, gateway.PathMatchPathPrefix) {
	case gateway.PathMatchPathPrefix:
	case gateway.PathMatchExact:
		kind = model.PathExact
	case gateway.PathMatchRegularExpression:
		if wrong := checkRegex(value); wrong != "" {
			r.broken(field+".value", "bad-value", wrong, "expressions are RE2 and match the whole path")
		}
		return model.PathRegex, value
	default:
		r.unknownValue(field+".type", string(*in.Type), "Exact", "PathPrefix", "RegularExpression")
		return kind, value
	}
	if wrong := checkPath(value); wrong != "" {
		hint := ""
		if !strings.HasPrefix(value, "/") && checkPath("/"+value) == "" {
			hint = "write /" + value
		}
		r.broken(field+".value", "bad-value", wrong, hint)
	}
	if kind == model.PathPrefix && len(value) > 1 {
		value = strings.TrimSuffix(value, "/")
	}
	return kind, value
}

// methods are those of the CRD.
func methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
}

// method reads a method.
func (r *reader) method(field, method string) string {
	r.oneOf(field, method, methods()...)
	return method
}

// fieldMatch adds a header or query match to those there are. Of two with the
// same name the first counts.
func (r *reader) fieldMatch(field, what string, to []model.FieldMatch, name, kind, value string) []model.FieldMatch {
	m := model.FieldMatch{Kind: model.FieldExact, Name: name, Value: value}
	switch kind {
	case "", "Exact":
		if value == "" {
			r.broken(field, "missing-field", "a "+what+" match has a value", "")
		}
	case "RegularExpression":
		m.Kind = model.FieldRegex
		if wrong := checkRegex(value); wrong != "" {
			r.broken(field+".value", "bad-value", wrong, "expressions are RE2 and match the whole value")
		}
	default:
		r.unknownValue(field+".type", kind, "Exact", "RegularExpression")
	}
	switch {
	case name == "":
		r.broken(field, "missing-field", "a "+what+" match has a name", "")
		return to
	case !isToken(name):
		r.broken(field+".name", "bad-value", name+" is not a valid name", "")
	}
	for _, there := range to {
		same := there.Name == name
		if what == "header" {
			same = strings.EqualFold(there.Name, name)
		}
		if same {
			r.doubtful(field, "duplicate-name", "another match for "+there.Name+" comes first, and only that one counts", "")
			return to
		}
	}
	return append(to, m)
}

// oneOf checks that a value is one of those known.
func (r *reader) oneOf(field, value string, known ...string) bool {
	for _, k := range known {
		if k == value {
			return true
		}
	}
	r.unknownValue(field, value, known...)
	return false
}

// unknownValue notes a value that is none of those known.
func (r *reader) unknownValue(field, value string, known ...string) {
	if value == "" {
		r.broken(field, "missing-field", field[strings.LastIndexByte(field, '.')+1:]+" is missing",
			"one of "+strings.Join(known, ", "))
		return
	}
	r.broken(field, "bad-value", value+" is none of "+strings.Join(known, ", "), didYouMean(value, known))
}

// didYouMean proposes the nearest of the names, if one is near.
func didYouMean(name string, names []string) string {
	if near := dialect.Nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}
