package upstream

import (
	"errors"
	"slices"

	"github.com/naru-mesh/naru/observe"
)

// Unresolved is a name whose last lookup has failed, as an error. It does not change.
type Unresolved struct {
	Host  string
	Why   string // the error, cut short
	Keeps int    // addresses from before, that serve
}

func (u *Unresolved) Error() string { return u.Why }

var (
	errNoEndpoints = errors.New("the service's list of endpoints is empty")
	errLookup      = errors.New("the lookup of the service's name has no answer yet")
)

// unresolved are the names that could not be looked up, each once.
func (c *Cluster) unresolved() (list []*Unresolved) {
	for _, x := range c.spec.Load().named {
		if u := x.n.failed.Load(); u != nil && !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list
}

// Because tells more of why nothing was lent, for the access log: the limit that was
// met, or why there is no endpoint; nil where that is all. It does not allocate.
func (c *Cluster) Because(why observe.Reason, met Limit) error {
	sp := c.spec.Load()
	switch {
	case met != NoLimit || sp == nil:
		return met.Err()
	case why != observe.NoEndpoint && why != observe.UpstreamTLS:
		return nil
	case sp.err != nil:
		return sp.err
	case len(sp.service.Endpoints) == 0:
		return errNoEndpoints
	}
	for _, x := range sp.named {
		if u := x.n.failed.Load(); u != nil && u.Keeps == 0 {
			return u
		} else if u == nil && x.n.current.Load() == nil {
			return errLookup
		}
	}
	return nil
}
