package gatewayapi

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The reference names every kind and version, every option of a listener and
// every field of a BackendPolicy.
func TestReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/gateway-api.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(word string) bool {
		return regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(word) + `([^\w-]|$)`).Match(text)
	}
	words := optionNames()
	for _, k := range servedKinds {
		words = append(append(words, k.kind), k.versions...)
	}
	words = append(words, fields(reflect.TypeFor[BackendPolicySpec]())...)
	words = append(words, fields(reflect.TypeFor[TrafficPolicySpec]())...)
	for _, word := range words {
		if !names(word) {
			t.Errorf("docs/reference/gateway-api.md does not tell of %s", word)
		}
	}
}

// fields are the names of a struct's fields and of those of naru's own structs
// inside.
func fields(of reflect.Type) []string {
	var out []string
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
		if f.Type.Kind() == reflect.Pointer && strings.HasSuffix(f.Type.Elem().PkgPath(), "/gatewayapi") {
			out = append(out, fields(f.Type.Elem())...)
		}
	}
	return out
}
