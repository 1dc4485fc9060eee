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
		if name, ok := v["name"].(string); ok && sensitive(name) {
			if _, ok := v["value"].(string); ok {
				v["value"] = hidden
			}
		}
		for _, e := range v {
			hide(e)
		}
	}
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
