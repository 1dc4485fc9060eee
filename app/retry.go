package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// How long until a configuration is tried again that could not be applied, or
// not all of it: a port may become free, a certificate be put right.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 15 * time.Second
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

// shutDoor says that workloads of this machine cannot be reached, because the
// port of the mesh could not be opened: whoever looks after machines should know;
// "": they can.
func (g *gateway) shutDoor() string {
	for _, p := range g.proxy.Problems() {
		if p.Code == "not-opened" && (strings.HasPrefix(p.Message, "listener mesh/in/") || strings.HasPrefix(p.Message, "listener mesh/plaintext")) {
			return "workloads of this machine are not reached: " + p.Message
		}
	}
	return ""
}

// portTaken is the code of a listener whose port is a workload's.
const portTaken = "port-taken"

// mended logs what is no longer wrong with what serves, and what the lowering has
// found; the proxy logs its own.
func (g *gateway) mended() {
	now := g.unserved()
	for _, p := range now {
		if p.Code == portTaken && !slices.Contains(g.serving, p) {
			g.log.Error(p.String(), "code", p.Code)
		}
	}
	for _, p := range g.serving {
		if !slices.Contains(now, p) {
			g.log.Info("no longer a problem: "+p.String(), "code", p.Code)
		}
	}
	g.serving = now
}
