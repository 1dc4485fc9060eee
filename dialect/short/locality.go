package short

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// locality says how much it matters where endpoints are.
type locality struct {
	Prefer           text            `json:"prefer" doc:"which endpoints go first: of the own zone, as far as they can carry its share, then of the own region; of the region alike; or none" enum:"zone,region,none" default:"zone"`
	MinEndpoints     int             `json:"minEndpoints" doc:"with fewer endpoints in the region its zones are alike" default:"6"`
	Overprovisioning wholePercentage `json:"overprovisioning" doc:"how much of their share healthy endpoints can carry: 100 to 1000" default:"140" unit:"percent"`
	Panic            wholePercentage `json:"panic" doc:"below so many healthy endpoints all are used, where those that are healthy elsewhere cannot carry the rest: 0 to 100; with 0 where none is healthy" default:"0" unit:"percent"`
	_                struct{}        `also:"panicThreshold,healthyPanicThreshold" hint:"did you mean panic?"`
	_                struct{}        `also:"mode,failover,distribute,enabled,policy" hint:"did you mean prefer? zone, region or none"`
	_                struct{}        `also:"zone,region,network" hint:"where an endpoint is stands at it: for example endpoints: [{address: \"10.0.0.1:9002\", zone: eu/eu-a}]; where this proxy is says naru run --zone"`
}

var preferences = []string{string(model.PreferZone), string(model.PreferRegion), string(model.PreferNone)}

// ReadNode takes zone, region, none or an object.
func (l *locality) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain locality
		in.Into(n, (*plain)(l))
	} else {
		in.Into(n, &l.Prefer)
	}
	if p := string(l.Prefer); p == off || p == "false" {
		l.Prefer = text(model.PreferNone)
	} else if p != "" && !slices.Contains(preferences, p) {
		in.Problem(n, "bad-value", "locality is zone, region or none, not "+strconv.Quote(p), dialect.DidYouMean(p, preferences, "preferences"))
	}
	switch {
	case l.MinEndpoints < 0:
		in.Problem(n, "bad-value", "minEndpoints of a locality is 1 or more", "leave it out for 6")
	case l.Overprovisioning != 0 && (l.Overprovisioning < 100 || l.Overprovisioning > 1000):
		in.Problem(n, "bad-value", "overprovisioning is 100 to 1000 percent, not "+strconv.Itoa(int(l.Overprovisioning)), "leave it out for 140")
	case l.Panic < 0 || l.Panic > 100:
		in.Problem(n, "bad-value", "panic is 0 to 100 percent, not "+strconv.Itoa(int(l.Panic)), "leave it out for 0: only where none is healthy")
	}
}

func (l *locality) noun() *model.Locality {
	m := &model.Locality{Prefer: model.Nearness(l.Prefer), MinEndpoints: l.MinEndpoints, Overprovisioning: int(l.Overprovisioning), Panic: int(l.Panic)}
	if *m == (model.Locality{}) {
		return nil
	}
	return m
}

// place is where the endpoint is.
func (e *endpoint) place(in *dialect.Decoder, n *yaml.Node) (p model.Place) {
	if e.Priority < 0 || e.Priority >= model.MostPriorities {
		in.Problem(n, "bad-value", "a priority is 0 to "+strconv.Itoa(model.MostPriorities-1)+", not "+strconv.Itoa(e.Priority), "0 goes first")
	}
	if e.Zone != "" {
		var hint string
		if p, hint = model.ParsePlace(string(e.Zone)); hint != "" {
			in.Problem(n, "bad-value", "no zone is called "+strconv.Quote(string(e.Zone)), hint)
		}
	}
	if p.Network = string(e.Network); p.Network != "" && !model.IsPlaceName(p.Network) {
		in.Problem(n, "bad-value", "no network is called "+strconv.Quote(p.Network), "write letters, digits, dots, dashes and underscores, at most 63")
	}
	return p
}
