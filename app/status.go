package app

import (
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/rollout"
	"github.com/naru-mesh/naru/upstream"
)

// status is the page /status of the admin server.
type status struct {
	Version       string          `json:"version"`
	Configuration *configStatus   `json:"configuration,omitempty"`
	Active        int             `json:"active"` // exchanges under way
	Listening     []portStatus    `json:"listening"`
	Services      []serviceStatus `json:"services"`
	// Overload is how far the proxy itself has too much to do; nil: it does not
	// look.
	Overload *overloadStatus `json:"overload,omitempty"`
	// Certificates are those that naru gets by itself, at most maxShown.
	Certificates []certificateStatus `json:"certificates,omitempty"`
	// Rollouts are those that are configured.
	Rollouts []rollout.View `json:"rollouts,omitempty"`
	// Control is the control plane elsewhere, of a node.
	Control *controlStatus `json:"control,omitempty"`
}

type controlStatus struct {
	Connected   bool      `json:"connected"`
	Server      string    `json:"server,omitempty"` // the replica that was followed last
	LastContact time.Time `json:"lastContact,omitzero"`
	// FromDisk: what serves was kept from before this start.
	FromDisk bool `json:"fromDisk"`
	// Skew is how far its clock is ahead of this machine's, in seconds.
	Skew  float64 `json:"skew"`
	Clock string  `json:"clock,omitempty"` // what that leads to
	// Limited is why it can sign and register nothing now.
	Limited string `json:"limited,omitempty"`
	Error   string `json:"error,omitempty"`
}

type certificateStatus struct {
	Name    string         `json:"name"`
	By      model.IssuedBy `json:"by"`
	Issuer  string         `json:"issuer"`
	Expires time.Time      `json:"expires"`
}

type configStatus struct {
	Version string    `json:"version"`
	Built   time.Time `json:"built"`
	Routes  int       `json:"routes"`
	Flows   int       `json:"flows"`
	// Problems counts mistakes; /problems lists them.
	Problems int `json:"problems"`
}

type portStatus struct {
	Address     string `json:"address"`
	Protocol    string `json:"protocol"`
	TLS         bool   `json:"tls"`
	Connections int    `json:"connections"`
}

type serviceStatus struct {
	Service   string           `json:"service"`
	Endpoints []endpointStatus `json:"endpoints"`
	Tiers     []tierStatus     `json:"tiers"` // in the order in which they are tried
	// Unresolved are the names of endpoints whose last lookup has failed.
	Unresolved []unresolvedStatus `json:"unresolved,omitempty"`
	// Panics is how often endpoints began to be used that are not healthy,
	// OtherZone how many picks were in another zone than ours.
	Panics    uint64 `json:"panics,omitempty"`
	OtherZone uint64 `json:"otherZone,omitempty"`
	// Chosen and Skipped are how often endpoints were chosen, and passed over, by
	// why: see naru_service_choices_total.
	Chosen  map[string]uint64 `json:"chosen,omitempty"`
	Skipped map[string]uint64 `json:"skipped,omitempty"`
}

type unresolvedStatus struct {
	Host  string `json:"host"`
	Error string `json:"error"`
	Keeps int    `json:"keeps"` // addresses from before, that serve
}

// tierStatus is endpoints of one priority that are equally far.
type tierStatus struct {
	Priority int     `json:"priority"`
	Distance string  `json:"distance"`       // zone, region, network or elsewhere
	Zone     string  `json:"zone,omitempty"` // "": of all zones
	Load     float64 `json:"load"`           // share of the requests, 0 to 1
	Healthy  int     `json:"healthy"`
	Used     int     `json:"used"` // those that can be chosen: fewer than healthy with a subset
	Total    int     `json:"total"`
	Panic    bool    `json:"panic,omitempty"` // all are used, healthy or not
}

type endpointStatus struct {
	Address  string `json:"address"`
	Host     string `json:"host,omitempty"`
	Place    string `json:"place,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Healthy  bool   `json:"healthy"`
	// CheckError is what the last health check failed of.
	CheckError  string `json:"checkError,omitempty"`
	Weight      int    `json:"weight"`
	Active      int64  `json:"active"`
	Connections int64  `json:"connections"`
	// Chosen is how often, and Tries how these went: see
	// naru_service_endpoint_tries_total. LatencyMS is by what peak-ewma goes.
	Chosen    uint64            `json:"chosen"`
	Tries     map[string]uint64 `json:"tries,omitempty"`
	LatencyMS float64           `json:"latencyMs,omitempty"`
	// Ejection is there while it is ejected.
	Ejection *ejectionStatus `json:"ejection,omitempty"`
}

type ejectionStatus struct {
	Reason  string    `json:"reason"`
	Because string    `json:"because"` // figures
	Since   time.Time `json:"since"`
	Probe   time.Time `json:"probe"` // the next request after that is one
}

func (g *gateway) status() status {
	s := status{Version: Version(), Active: g.proxy.Active(), Listening: []portStatus{}, Services: []serviceStatus{}, Overload: g.guard.status()}
	if prog := g.proxy.Program(); prog != nil {
		s.Configuration = &configStatus{
			Version: string(prog.Snapshot.Version), Built: prog.Built,
			Routes: len(prog.Snapshot.Routes), Flows: len(prog.Snapshot.Flows), Problems: len(g.problems()),
		}
	}
	if g.client != nil {
		c := g.client.Status()
		s.Control = &controlStatus{Connected: c.Connected, Server: c.Server, LastContact: c.LastContact, FromDisk: c.FromDisk, Skew: c.Skew.Seconds(), Clock: c.Clock, Limited: c.Limited, Error: c.Error}
	}
	if g.plane != nil {
		s.Rollouts = g.plane.rollouts.Views()
	}
	for _, b := range g.proxy.Bound() {
		s.Listening = append(s.Listening, portStatus{Address: b.Addr.String(), Protocol: string(b.Protocol), TLS: b.Secure, Connections: b.Conns})
	}
	g.clusters.Stats(func(st *upstream.ServiceStats) {
		one := serviceStatus{Service: st.Service, Endpoints: []endpointStatus{}, Tiers: []tierStatus{}, Panics: st.Panics, OtherZone: st.OtherZone}
		st.Choices.Each(func(skip bool, why string, n uint64) {
			to := &one.Chosen
			if skip {
				to = &one.Skipped
			}
			if *to == nil {
				*to = map[string]uint64{}
			}
			(*to)[why] = n
		})
		for _, t := range st.Tiers {
			one.Tiers = append(one.Tiers, tierStatus{t.Priority, t.Distance.String(), t.Zone, t.Load, t.Healthy, t.Used, t.Total, t.Panics})
		}
		for _, u := range st.Unresolved {
			one.Unresolved = append(one.Unresolved, unresolvedStatus{u.Host, u.Why, u.Keeps})
		}
		for _, ep := range st.Endpoints {
			host := ep.Host
			if host == ep.Addr.Addr().String() {
				host = ""
			}
			var out *ejectionStatus
			if ep.Ejection != "" {
				out = &ejectionStatus{Reason: ep.Ejection, Because: ep.Figures, Since: ep.Ejected, Probe: ep.Probe}
			}
			var tries map[string]uint64
			ep.Tries(func(how string, n uint64) {
				if tries == nil {
					tries = map[string]uint64{}
				}
				tries[how] = n
			})
			one.Endpoints = append(one.Endpoints, endpointStatus{
				Address: ep.Addr.String(), Host: host, Place: ep.Place.String(), Priority: ep.Priority, Healthy: ep.Healthy, CheckError: ep.Ails,
				Weight: max(ep.Weight, 1), Active: ep.Active, Connections: ep.Open, Chosen: ep.Picks, Tries: tries,
				LatencyMS: float64(ep.Latency.Microseconds()) / 1000, Ejection: out,
			})
		}
		s.Services = append(s.Services, one)
	})
	for _, by := range []model.IssuedBy{model.ACME, model.Local} {
		for _, h := range g.issuers[by].Holdings(maxShown) {
			s.Certificates = append(s.Certificates, certificateStatus{Name: h.Name, By: by, Issuer: h.Issuer, Expires: h.NotAfter})
		}
	}
	return s
}
