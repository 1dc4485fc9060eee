package upstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/naru-mesh/naru/model"
)

// firstAnswer bounds how long Prepare waits for names that are new.
const firstAnswer = 2 * time.Second

// Change is a configuration of the Set that is ready but not in force. It
// ends with Commit or Discard.
type Change struct {
	set      *Set
	clusters map[string]*Cluster
	updates  []update
}

// update gives a cluster its spec: a new one at once, one that stays when the
// Change is committed.
type update struct {
	cluster *Cluster
	spec    *spec
	isNew   bool
}

// Prepare builds the clusters of services, whose names are unique; certificates
// are those that BackendTLS.Certificate may name. A Service
// that did not change keeps its *Cluster as it is; one that changed keeps its
// *Cluster too, and will be updated in place by Commit: endpoints that stay
// keep their connections and their health. Everything that can fail or wait
// happens here; names not looked up before are waited for, together, for up
// to 2 s, and come later when they take longer. A cluster that is new works
// before Commit, but its health is not checked yet.
//
// The error, if any, joins one for each Service whose TLS cannot be set up;
// the Change is usable all the same and never nil. Such a Service goes on as
// it was before; when it is new, its picks give UpstreamTLS.
//
// There is one Change at a time: Prepare discards one that has not ended.
func (s *Set) Prepare(services []*model.Service, certificates ...*model.Certificate) (*Change, error) {
	ch := &Change{set: s, clusters: make(map[string]*Cluster, len(services))}
	s.mu.Lock()
	before := s.pending
	current := s.clusters
	s.mu.Unlock()
	if before != nil {
		before.Discard()
	}

	byName := make(map[string]*model.Certificate, len(certificates))
	for _, c := range certificates {
		byName[c.Name] = c
	}
	own := func(svc *model.Service) *model.Certificate {
		if svc.TLS == nil || svc.TLS.Certificate == "" {
			return nil
		}
		return byName[svc.TLS.Certificate] // nil: newSpec says so
	}

	var errs []error
	var waits []*name
	for _, svc := range services {
		c := current[svc.Name]
		var hunks []model.Hunk
		little := false
		if c != nil {
			hunks, little = alike(c.Service().Endpoints, svc.Endpoints)
		}
		if c != nil && c.spec.Load().err == nil && len(hunks) == 0 && sameService(c.Service(), svc) && c.spec.Load().own.Same(own(svc)) {
			ch.clusters[svc.Name] = c
			continue
		}
		isNew := c == nil
		if isNew {
			c = newCluster(s, svc)
		}
		ch.clusters[svc.Name] = c
		sp, fresh, err := newSpec(c, svc, own(svc), hunks, little)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", svc.Name, err))
			if !isNew {
				sp.discard(c)
				continue
			}
		}
		waits = append(waits, fresh...)
		ch.updates = append(ch.updates, update{c, sp, isNew})
	}
	s.names.await(waits, firstAnswer)
	for _, u := range ch.updates {
		if u.isNew {
			u.cluster.adopt(u.spec)
		}
	}

	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.pending = ch
	}
	s.mu.Unlock()
	if closed {
		ch.Discard()
	}
	return ch, errors.Join(errs...)
}

// Cluster gives the cluster of a Service, nil when the Change has none of that
// name.
func (ch *Change) Cluster(name string) *Cluster { return ch.clusters[name] }

// Clusters gives all clusters by name. It must not be written to.
func (ch *Change) Clusters() map[string]*Cluster { return ch.clusters }

// Commit puts the Change in force: clusters that stay take their new endpoints
// and settings, health checks begin. It returns the clusters that are named no
// more; they go on working until they are given to Retire. A Change that has
// ended already (discarded by a later Prepare or by Close) does nothing.
func (ch *Change) Commit() (old []*Cluster) {
	s := ch.set
	s.mu.Lock()
	if s.pending != ch {
		s.mu.Unlock()
		return nil
	}
	s.pending = nil
	updates := ch.updates
	ch.updates = nil
	for name, c := range s.clusters {
		if ch.clusters[name] != c {
			old = append(old, c)
			s.retiring[c] = struct{}{}
			s.gone.Add(1)
		}
	}
	s.clusters = ch.clusters
	s.mu.Unlock()
	for _, u := range updates {
		if !u.isNew {
			u.cluster.adopt(u.spec)
		}
		u.cluster.watchHealth()
	}
	return old
}

// Discard drops the Change: clusters that it made end, the others never knew.
// After Commit it does nothing.
func (ch *Change) Discard() {
	s := ch.set
	s.mu.Lock()
	if s.pending == ch {
		s.pending = nil
	}
	updates := ch.updates
	ch.updates = nil
	s.mu.Unlock()
	for _, u := range updates {
		if u.isNew {
			u.cluster.retire()
		} else {
			u.spec.discard(u.cluster)
		}
	}
}
