package app

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/dialect/gatewayapi"
	"github.com/naru-mesh/naru/dialect/native"
)

// Two dialects read TrafficPolicies. The schema for editors is native's, and knows
// the fields of the other.
func TestSchemaKnowsAllOfTrafficPolicy(t *testing.T) {
	t.Parallel()
	text, err := native.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	spec := reflect.TypeFor[gatewayapi.TrafficPolicySpec]()
	for i := range spec.NumField() {
		f := spec.Field(i)
		if f.Name == "_" { // a hint for a field by another's name
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if schema.Defs["policySpec"].Properties[name] == nil {
			t.Errorf("dialect/native does not know %s of a TrafficPolicy: add it to policySpec as elsewhere", name)
		}
	}
}
