package traffic

import (
	"reflect"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// Every field of a Route and of a Service is one that policies can say, or one
// that makes the noun what it is: whoever adds one decides.
func TestEveryFieldIsDecided(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		of     reflect.Type
		fields []field
		own    []string
	}{
		{reflect.TypeFor[model.Route](), routeFields, []string{"Name", "Parents", "Hostnames", "Matches", "Backends", "CountCalls", "Order", "Subject", "Origin"}},
		{reflect.TypeFor[model.Service](), serviceFields, []string{"Name", "Endpoints", "Host", "Protocol", "ProxyProtocol", "TLS", "Mesh", "Identity", "Local", "Subject", "Origin", "Refused"}},
	} {
		for i := range x.of.NumField() {
			name := x.of.Field(i).Name
			said := slices.ContainsFunc(x.fields, func(f field) bool { return f.at == i })
			if said == slices.Contains(x.own, name) {
				t.Errorf("%s.%s: list it in field.go if policies can say it, else here", x.of.Name(), name)
			}
		}
	}
}
