package model

import (
	"fmt"
	"slices"
	"strconv"
)

// locality checks where the endpoints of s are, and what that means. What is
// wrong of it is not used.
func (v *checker) locality(s *Service) *Service {
	wrong := func(e *Endpoint) bool {
		ok := true
		for _, part := range [...][2]string{{"region", e.Place.Region}, {"zone", e.Place.Zone}, {"network", e.Place.Network}} {
			if part[1] != "" && !IsPlaceName(part[1]) {
				ok = false
				v.broken("bad-value", "service "+s.Name+" has an endpoint "+e.Host+" in the "+part[0]+" "+strconv.Quote(part[1])+", which is not used",
					"write letters, digits, dots, dashes and underscores, at most 63")
			}
		}
		if e.Priority < 0 || e.Priority >= MostPriorities {
			ok = false
			v.broken("bad-value", fmt.Sprintf("service %s has an endpoint %s of priority %d; 0 is used", s.Name, e.Host, e.Priority), priorityHint)
		}
		return !ok
	}
	var mended *Service
	somewhere := false
	for i, e := range s.Endpoints {
		somewhere = somewhere || e.Place != (Place{})
		if !wrong(e) {
			continue
		}
		if mended == nil {
			mended = copied(s)
			mended.Endpoints = slices.Clone(s.Endpoints)
		}
		e = copied(e)
		mended.Endpoints[i] = e
		for _, part := range [...]*string{&e.Place.Region, &e.Place.Zone, &e.Place.Network} {
			if *part != "" && !IsPlaceName(*part) {
				*part = ""
			}
		}
		if e.Priority < 0 || e.Priority >= MostPriorities {
			e.Priority = 0
		}
	}
	if mended != nil {
		s = mended
	}
	if s.Locality == nil {
		return s
	}
	v.on("locality")
	l := *s.Locality
	switch l.Prefer {
	case "", PreferZone, PreferRegion, PreferNone:
	default:
		v.broken("bad-value", "service "+s.Name+" prefers the "+strconv.Quote(string(l.Prefer))+"; zone is used", "write zone, region or none")
		l.Prefer = ""
	}
	if l.MinEndpoints < 0 {
		v.broken("bad-value", fmt.Sprintf("service %s tells zones apart from %d endpoints on; %d is used", s.Name, l.MinEndpoints, DefaultMinEndpoints), "write 1 or more")
		l.MinEndpoints = 0
	}
	if l.Overprovisioning != 0 && (l.Overprovisioning < 100 || l.Overprovisioning > 1000) {
		v.broken("bad-value", fmt.Sprintf("service %s is over-provisioned to %d%%; %d%% is used", s.Name, l.Overprovisioning, DefaultOverprovisioning), "write 100 to 1000")
		l.Overprovisioning = 0
	}
	if l.Panic < 0 || l.Panic > 100 {
		v.broken("bad-value", fmt.Sprintf("service %s panics below %d%%; 0 is used", s.Name, l.Panic), "write 0 to 100")
		l.Panic = 0
	}
	if l != *s.Locality {
		s = copied(s)
		s.Locality = &l
	}
	if (l.Prefer != "" || l.MinEndpoints != 0) && !somewhere && s.Mesh == nil && len(s.Endpoints) > 0 {
		v.doubtful("unused", "service "+s.Name+" says what it prefers, but no endpoint of it says where it is", `write zone at endpoints: {address: "10.0.0.1:9002", zone: eu-1/eu-1a}`)
	}
	return s
}

const priorityHint = "write 0 to 15; 0 goes first"
