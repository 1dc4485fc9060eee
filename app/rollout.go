package app

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/rollout"
	"github.com/naru-mesh/naru/traffic"
)

// keep makes what is between the configuration and those who follow it: the
// weights of rollouts.
func (c *controlPlane) keep(feed model.Feed, registry *observe.Registry) *rollout.Keeper {
	var policies traffic.Lowering
	c.rollouts = rollout.New(rollout.Options{
		Join: policies.Lower, Feed: feed, Store: c.store, Replica: c.opt.Node, Log: c.log,
		Counts: func(context.Context) []rollout.Report {
			return append(c.countedElsewhere(), rollout.Report{Source: c.opt.Node, At: time.Now(), Trials: registry.Trials()})
		},
	})
	c.rollouts.Observe(registry)
	return c.rollouts
}

// countedElsewhere is what gateways have counted that follow this control plane.
func (c *controlPlane) countedElsewhere() (all []rollout.Report) {
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	if server == nil {
		return nil
	}
	for node, text := range server.Counts() {
		reports, err := rollout.Decode(node, text)
		if err != nil {
			c.log.Debug("rollout", "error", err)
			continue
		}
		all = append(all, reports...)
	}
	return all
}

// counted is what a gateway tells its control plane for rollouts. It is of this life
// of the process: the next one begins at nothing.
func (g *gateway) counted() func() []byte {
	life := strconv.FormatInt(time.Now().UnixNano(), 36)
	return func() []byte {
		return rollout.Encode(rollout.Report{Source: life, At: time.Now(), Trials: g.registry.Trials()})
	}
}

// meetRollouts opens the socket of naru rollout where a Snapshot has any and
// there is no mesh, which has opened it already. That nobody can ask is no reason
// not to serve.
func (g *gateway) meetRollouts(s *model.Snapshot) {
	if g.plane == nil || g.plane.met || !slices.ContainsFunc(s.Routes, func(r *model.Route) bool { return r.Rollout != nil }) {
		return
	}
	if err := g.meetPlane(); err != nil && !g.unmet {
		g.unmet = true
		g.log.Warn("naru rollout cannot ask this process", "error", err)
	}
}

// Rollouts and Rollout are as admin.Plane's.
func (v planeView) Rollouts(context.Context) ([]rollout.View, error) { return v.rollouts.Views(), nil }

func (v planeView) Rollout(ctx context.Context, wish admin.RolloutWish) (rollout.View, error) {
	return v.rollouts.Do(ctx, wish.Name, wish.Action)
}

// writtenAs is the Version of control's Snapshot that one which serves was made
// of: it was given weights, and lowered.
func (g *gateway) writtenAs(v model.Version) model.Version {
	if of := g.lowering.Of(v); of != "" {
		v = of
	}
	return g.plane.rollouts.Of(v)
}
