package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/late"
)

// beginOrWait begins the control plane, or, where its store is away, has it begin
// when that is back: what this machine knows serves meanwhile. An error is one
// that waiting does not mend.
func (c *controlPlane) beginOrWait(ctx context.Context, s *model.Snapshot) error {
	err := c.begin(ctx, s)
	if err == nil || ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away == nil {
		c.log.Error("the control plane does not begin yet; what was known before serves", "error", err)
		c.tasks.Go(func() { c.beginLate(s) })
	}
	c.away = err
	return nil
}

// beginLate begins the control plane as soon as its store answers.
func (c *controlPlane) beginLate(s *model.Snapshot) {
	said := ""
	for wait := late.First; ; wait = min(2*wait, late.Last) {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(wait):
		}
		// It is asked first, since nobody can look at the control plane while it
		// begins.
		_, err := c.store.Get(c.ctx, "link")
		if err == nil || errors.Is(err, store.ErrNotFound) {
			err = c.begin(c.ctx, s)
		}
		if c.ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.away = err
		c.mu.Unlock()
		if err == nil {
			c.log.Info("the control plane has begun", "trust domain", trustOf(s))
			return
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("the control plane does not begin yet", "error", err)
		}
	}
}

// missing is why the control plane has not begun; nil: it has, or nothing has
// hindered it yet.
func (c *controlPlane) missing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away
}

// signer is the authority; with an error there is none: not yet, or because
// nobody has asked for a mesh and the socket is there for rollouts alone.
func (c *controlPlane) signer() (*ca.Authority, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.authority != nil:
		return c.authority, nil
	case c.away != nil:
		return nil, fmt.Errorf("the control plane has not begun: %w", c.away)
	}
	if s := c.control.Snapshot(); s != nil && s.Mesh == nil {
		return nil, errNoMesh
	}
	return nil, fmt.Errorf("%w: the control plane is about to begin; try again in a moment", store.ErrUnavailable)
}

// inner is the plane of the node in this process, which may be there before the
// authority is.
type inner struct{ plane *controlPlane }

// SignX509 implements identity.Authority.
func (i inner) SignX509(ctx context.Context, id identity.ID, csr []byte, ttl time.Duration) ([][]byte, error) {
	a, err := i.plane.signer()
	if err != nil {
		return nil, err
	}
	return a.SignX509(identity.ForMachine(ctx, i.plane.opt.Node), id, csr, ttl)
}

// SignJWT implements identity.Authority.
func (i inner) SignJWT(ctx context.Context, id identity.ID, audience []string, ttl time.Duration) (string, error) {
	a, err := i.plane.signer()
	if err != nil {
		return "", err
	}
	return a.SignJWT(ctx, id, audience, ttl)
}

// Bundles implements identity.Authority.
func (i inner) Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error) {
	a, err := i.plane.signer()
	if err != nil && after != nil {
		// Whoever has some waits for others.
		select {
		case <-i.plane.begun:
			a, err = i.plane.signer()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return a.Bundles(ctx, after)
}

// Register makes a workload known.
func (i inner) Register(ctx context.Context, w *model.Workload) error {
	i.plane.mu.Lock()
	i.plane.resident[w.Name] = w
	i.plane.mu.Unlock()
	return i.plane.workers.Register(ctx, i.plane.opt.Node, w)
}

// Unregister ends that.
func (i inner) Unregister(ctx context.Context, namespace, name string) error {
	i.plane.mu.Lock()
	delete(i.plane.resident, namespace+"/"+name)
	i.plane.mu.Unlock()
	return i.plane.workers.Unregister(ctx, i.plane.opt.Node, namespace, name)
}

// Settle implements plane.
func (i inner) Settle(ctx context.Context, workload string) error {
	i.plane.mu.Lock()
	server := i.plane.server
	i.plane.mu.Unlock()
	if server == nil {
		return nil // nobody else follows
	}
	return server.Settle(ctx, workload, false)
}

// place is where nodes are served, and the trust domain, for people.
func (c *controlPlane) place(s *model.Snapshot) (nodes, trust string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away != nil {
		return "not served yet: " + c.away.Error(), trustOf(s)
	}
	return c.listening, trustOf(s)
}

// trustOf is the trust domain of a configuration.
func trustOf(s *model.Snapshot) string {
	return cmp.Or(meshOf(s).TrustDomain, model.DefaultTrustDomain)
}
