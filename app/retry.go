package app

import (
	"context"
	"slices"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// How long until a configuration is tried again that could not be applied, or
// not all of it: a port may become free, a certificate be put right.
const (
	firstRetry = 2 * time.Second
	lastRetry  = time.Minute
)

// retrying is a Feed that offers the newest Snapshot again while something of
// it is not in force, less and less often. It is for one follower.
type retrying struct {
	model.Feed
	lacking func() bool // whether something is not in force
	tried   model.Version
	pause   time.Duration
}

// Next implements model.Feed, but for the Snapshots that it offers again.
func (r *retrying) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	if after == "" || !r.lacking() {
		return r.Feed.Next(ctx, after)
	}
	if after != r.tried {
		r.tried, r.pause = after, firstRetry
	}
	patience, cancel := context.WithTimeout(ctx, r.pause)
	defer cancel()
	s, err := r.Feed.Next(patience, after)
	if err == nil || patience.Err() == nil || ctx.Err() != nil {
		return s, err
	}
	r.pause = min(2*r.pause, lastRetry)
	return r.Feed.Next(ctx, "")
}

// looking is a Feed whose Snapshots are looked at before they are followed.
type looking struct {
	model.Feed
	look func(*model.Snapshot)
}

// Next implements model.Feed.
func (l *looking) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	s, err := l.Feed.Next(ctx, after)
	if err == nil {
		l.look(s)
	}
	return s, err
}

// lacking says whether trying again may help.
func (g *gateway) lacking() bool {
	g.mu.Lock()
	refused := g.refused
	g.mu.Unlock()
	return refused != nil || slices.ContainsFunc(append(g.proxy.Problems(), g.uncertified()...), func(p model.Problem) bool {
		return p.Code == "not-opened" || p.Code == "not-compiled" || p.Code == identity.NoAuthority
	})
}

// mended logs what is no longer wrong with what serves.
func (g *gateway) mended() {
	now := g.proxy.Problems()
	for _, p := range g.serving {
		if !slices.Contains(now, p) {
			g.log.Info("no longer a problem: "+p.String(), "code", p.Code)
		}
	}
	g.serving = now
}
