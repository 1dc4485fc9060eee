package model

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	read := func(s string) Place {
		network, rest, ok := strings.Cut(s, ":")
		if !ok {
			network, rest = "", s
		}
		p, _ := ParsePlace(rest)
		p.Network = network
		return p
	}
	for _, c := range []struct {
		from, to string
		want     Distance
	}{
		{"eu/a", "eu/a", InZone}, {"a", "a", InZone}, {"a", "eu/a", InZone}, {"eu/a", "a", InZone}, {"dc1:eu/a", "eu/a", InZone},
		{"eu/a", "eu/b", InRegion}, {"a", "b", InRegion}, {"eu/a", "", InRegion}, {"", "eu/a", InRegion}, {"", "", InRegion}, {"dc1:", "dc1:", InRegion},
		{"eu/a", "us/a", InNetwork}, {"dc1:eu/a", "dc1:us/a", InNetwork},
		{"dc1:eu/a", "dc2:eu/a", Elsewhere}, {"dc1:", "dc2:eu/a", Elsewhere},
	} {
		if got := read(c.from).To(read(c.to)); got != c.want {
			t.Errorf("from %q to %q: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for s, good := range map[string]bool{
		"a": true, "eu-central-1a": true, "eu-central/eu-central-1a": true, "EU_1/a.b": true, strings.Repeat("a", 63): true,
		"": false, "/": false, "/a": false, "a/": false, "a/b/c": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		p, hint := ParsePlace(s)
		if (hint == "") != good || good && p.String() != s {
			t.Errorf("%q: %+v, %q", s, p, hint)
		}
	}
}

func TestLocalityIsMended(t *testing.T) {
	t.Parallel()
	near := Place{Region: "eu", Zone: "a"}
	for name, c := range map[string]struct {
		service Service
		says    string
		want    func(*Service) bool
	}{
		"a zone": {Service{Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 1, Place: Place{Region: "eu", Zone: "a b", Network: "n"}}}},
			`in the zone "a b", which is not used`, func(s *Service) bool { return s.Endpoints[0].Place == Place{Region: "eu", Network: "n"} }},
		"a priority": {Service{Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 1, Priority: 16}}},
			"of priority 16; 0 is used", func(s *Service) bool { return s.Endpoints[0].Priority == 0 }},
		"a preference": {Service{Locality: &Locality{Prefer: "rack", Panic: 7}, Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 1, Place: near}}},
			`prefers the "rack"; zone is used`, func(s *Service) bool { return *s.Locality == Locality{Panic: 7} }},
		"least endpoints": {Service{Locality: &Locality{MinEndpoints: -1}},
			"from -1 endpoints on; 6 is used", func(s *Service) bool { return *s.Locality == Locality{} }},
		"over-provisioning": {Service{Locality: &Locality{Overprovisioning: 99}},
			"to 99%; 140% is used", func(s *Service) bool { return *s.Locality == Locality{} }},
		"panic": {Service{Locality: &Locality{Panic: 101}},
			"panics below 101%; 0 is used", func(s *Service) bool { return *s.Locality == Locality{} }},
		"no zones to prefer": {Service{Locality: &Locality{Prefer: PreferZone}, Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 1}}},
			"no endpoint of it says where it is", func(s *Service) bool { return s.Locality.Prefer == PreferZone }},
	} {
		s := c.service
		s.Name = "s"
		before, first := s, Endpoint{}
		if len(s.Endpoints) > 0 {
			first = *s.Endpoints[0]
		}
		out, problems := Validate(&Config{Services: []*Service{&s}})
		told := false
		for _, p := range problems {
			told = told || strings.Contains(p.Message, c.says)
		}
		if !told || len(out.Services) != 1 || !c.want(out.Services[0]) {
			t.Errorf("%s: %v, %+v", name, problems, out.Services)
		}
		if s.Locality != before.Locality || len(s.Endpoints) > 0 && *s.Endpoints[0] != first {
			t.Errorf("%s: what was given was written to", name)
		}
	}
	_, problems := Validate(&Config{Services: []*Service{{Name: "s", Locality: &Locality{Prefer: PreferRegion, MinEndpoints: 1, Overprovisioning: 100, Panic: 100},
		Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 1, Place: near, Priority: 15}}}}})
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
}
