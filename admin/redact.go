package admin

import (
	"encoding/json"
	"strings"
)

// hidden stands where a secret stood.
const hidden = "[hidden]"

// Redact gives v as a JSON value in which the values of header fields that may
// hold a credential are hidden. Private keys are never encoded by model.
func Redact(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	hide(tree)
	return tree, nil
}

// hide looks for {"name": ..., "value": ...} pairs, which is how the model
// writes header fields, query parameters and cookies.
func hide(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			hide(e)
		}
	case map[string]any:
		name, _ := v["name"].(string)
		if value, ok := v["value"].(string); ok && (sensitive(name) || credential(value)) {
			v["value"] = hidden
		}
		if cookies, ok := v["cookies"].([]any); ok {
			hideCookies(cookies)
		}
		for _, e := range v {
			hide(e)
		}
	}
}

// hideCookies hides what cookies are compared with: most are sessions, and
// their names do not tell ("sid").
func hideCookies(list []any) {
	for _, e := range list {
		if c, ok := e.(map[string]any); ok && c["value"] != nil {
			c["value"] = hidden
		}
	}
}

// credential says whether a value is of one of the schemes of Authorization,
// whatever field holds it.
func credential(value string) bool {
	scheme, _, ok := strings.Cut(value, " ")
	return ok && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic"))
}

// sensitive says whether a field of this name often holds a credential.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "token", "secret", "password", "api-key", "apikey", "session"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
