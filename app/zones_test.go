package app

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// Zones on endpoints are told to mean nothing where nobody has said in which naru
// is, once for all services, and where they go by zones at all.
func TestZonesNeedAZone(t *testing.T) {
	t.Parallel()
	in := func(name, zone string, prefer model.Nearness) *model.Service {
		s := &model.Service{Name: name, Endpoints: []*model.Endpoint{{Host: "10.0.0.1", Port: 80, Place: model.Place{Zone: zone}}}, Origin: model.Origin{Source: name + ".yaml"}}
		if prefer != "" {
			s.Locality = &model.Locality{Prefer: prefer}
		}
		return s
	}
	of := in("mesh", "eu-b", "")
	of.Endpoints[0].Authority = "10.0.0.1:80" // its workload's node has said so, nobody has written it
	for _, c := range []struct {
		services []*model.Service
		here     model.Place
		want     string
	}{
		{[]*model.Service{in("a", "", ""), in("b", "eu-b", "")}, model.Place{Network: "n"}, "b.yaml: warning: service b says in which zones its endpoints are, but"},
		{[]*model.Service{in("b", "eu-b", ""), in("c", "eu-c", model.PreferRegion), in("d", "eu-c", model.PreferZone)}, model.Place{}, "b.yaml: warning: service b, and 2 more, say in which zones their endpoints are, but"},
		{[]*model.Service{in("b", "eu-b", "")}, model.Place{Zone: "eu-c"}, ""},
		{[]*model.Service{in("a", "", ""), in("b", "eu-b", model.PreferNone), of}, model.Place{}, ""},
	} {
		got := ""
		for _, p := range unplaced(c.services, c.here) {
			got += p.String()
		}
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
