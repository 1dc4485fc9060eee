package gatewayapi

import (
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// headerEdit reads a header modifier. Only one action for a name is allowed.
func (r *reader) headerEdit(at string, in *gateway.HTTPHeaderFilter) *model.HeaderEdit {
	out := &model.HeaderEdit{}
	seen := make(map[string]bool)
	once := func(field, name string) {
		lower := strings.ToLower(name)
		switch {
		case !isToken(name):
			r.broken(field, "bad-value", name+" is not a header name", "")
		case seen[lower]:
			r.broken(field, "duplicate-name", "there is another action for the header "+name,
				"only one action for a header is allowed; write several values with commas")
		}
		seen[lower] = true
	}
	r.most(at+".set", len(in.Set))
	r.most(at+".add", len(in.Add))
	r.most(at+".remove", len(in.Remove))
	for i, h := range in.Set {
		once(item(at+".set", i), string(h.Name))
		out.Set = append(out.Set, r.header(item(at+".set", i), h))
	}
	for i, h := range in.Add {
		once(item(at+".add", i), string(h.Name))
		out.Add = append(out.Add, r.header(item(at+".add", i), h))
	}
	for i, name := range in.Remove {
		once(item(at+".remove", i), name)
		out.Remove = append(out.Remove, name)
	}
	return out
}

// most notes a list of more than 16 items.
func (r *reader) most(field string, n int) {
	if n > 16 {
		r.broken(item(field, 16), "bad-value", "at most 16 headers", "")
	}
}

// header reads a header to set or add.
func (r *reader) header(at string, in gateway.HTTPHeader) model.Field {
	switch {
	case in.Value == "":
		r.broken(at, "missing-field", "the header "+string(in.Name)+" has no value", "")
	case !isFieldValue(in.Value):
		r.broken(at+".value", "bad-value", "this cannot be the value of a header", "")
	}
	return model.Field{Name: string(in.Name), Value: in.Value}
}

// redirect reads a RequestRedirect.
func (r *reader) redirect(at string, in *gateway.HTTPRequestRedirectFilter, matches []gateway.HTTPRouteMatch) *model.Redirect {
	out := &model.Redirect{
		Scheme:   or(in.Scheme, ""),
		Hostname: r.hostname(at+".hostname", in.Hostname),
		Path:     r.pathEdit(at+".path", in.Path, matches),
		Status:   or(in.StatusCode, 302),
	}
	if in.Scheme != nil {
		r.oneOf(at+".scheme", *in.Scheme, "http", "https")
	}
	if in.Port != nil {
		if !isPort(*in.Port) {
			r.broken(at+".port", "bad-value", "a port is between 1 and 65535", "")
		}
		out.Port = uint16(*in.Port)
	}
	switch out.Status {
	case 301, 302, 303, 307, 308:
	default:
		r.broken(at+".statusCode", "bad-value", "a redirect is 301, 302, 303, 307 or 308", "")
	}
	return out
}

// rewrite reads a URLRewrite.
func (r *reader) rewrite(at string, in *gateway.HTTPURLRewriteFilter, matches []gateway.HTTPRouteMatch) *model.Rewrite {
	return &model.Rewrite{
		Hostname: r.hostname(at+".hostname", in.Hostname),
		Path:     r.pathEdit(at+".path", in.Path, matches),
	}
}

// hostname reads a host name without a wildcard, "" for none.
func (r *reader) hostname(field string, in *gateway.PreciseHostname) string {
	if in == nil {
		return ""
	}
	if wrong := checkHostname(string(*in), false); wrong != "" {
		r.broken(field, "bad-value", wrong, lowerHint(string(*in)))
	}
	return string(*in)
}

// pathEdit reads a path modifier. A prefix can be replaced only where the rule
// has exactly one match, and that one for a prefix.
func (r *reader) pathEdit(at string, in *gateway.HTTPPathModifier, matches []gateway.HTTPRouteMatch) *model.PathEdit {
	if in == nil {
		return nil
	}
	const full, prefix = string(gateway.FullPathHTTPPathModifier), string(gateway.PrefixMatchHTTPPathModifier)
	if !r.oneOf(at+".type", string(in.Type), full, prefix) {
		return nil
	}
	isFull := in.Type == gateway.FullPathHTTPPathModifier
	switch {
	case isFull && in.ReplaceFullPath == nil:
		r.broken(at, "missing-field", "type "+full+" has replaceFullPath", "")
		return nil
	case !isFull && in.ReplacePrefixMatch == nil:
		r.broken(at, "missing-field", "type "+prefix+" has replacePrefixMatch", "")
		return nil
	case isFull && in.ReplacePrefixMatch != nil:
		r.broken(at+".replacePrefixMatch", "conflict", "replacePrefixMatch is for type "+prefix, "")
		return nil
	case !isFull && in.ReplaceFullPath != nil:
		r.broken(at+".replaceFullPath", "conflict", "replaceFullPath is for type "+full, "")
		return nil
	case isFull:
		path := r.newPath(at+".replaceFullPath", *in.ReplaceFullPath)
		return &model.PathEdit{Full: &path}
	}
	path := r.newPath(at+".replacePrefixMatch", *in.ReplacePrefixMatch)
	if !onePrefix(matches) {
		r.broken(at+".replacePrefixMatch", "conflict",
			"a prefix can be replaced only in a rule with exactly one match, of type PathPrefix", "")
	}
	return &model.PathEdit{Prefix: &path}
}

// onePrefix says whether the rule has exactly one match, for a prefix. Without
// a match or a path that is the default.
func onePrefix(matches []gateway.HTTPRouteMatch) bool {
	switch {
	case len(matches) == 0:
		return true
	case len(matches) > 1:
		return false
	case matches[0].Path == nil:
		return true
	default:
		return or(matches[0].Path.Type, gateway.PathMatchPathPrefix) == gateway.PathMatchPathPrefix
	}
}

// newPath reads what a path is replaced with. Braces are encoded, because in
// the model they name the captures of a template.
func (r *reader) newPath(field, path string) string {
	if len(path) > 1024 {
		r.broken(field, "bad-value", "a path has at most 1024 characters", "")
	}
	if i := strings.IndexFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' || c == '?' }); i >= 0 {
		r.broken(field, "bad-value", "a path must not contain "+strconv.QuoteRune([]rune(path[i:])[0]), "")
	}
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(path)
}

// checkOrigin says what is wrong with an origin of a CORS filter, or "".
func checkOrigin(origin string) string {
	if origin == "*" {
		return ""
	}
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return origin + " is not an origin: it begins with http:// or https://"
	}
	host, port, hasPort := strings.Cut(rest, ":")
	if hasPort {
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return origin + " is not an origin: its port is not a number"
		}
	}
	if host == "*" {
		return ""
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return origin + " is not an origin: it is a scheme, a host and perhaps a port"
		}
	}
	return ""
}
