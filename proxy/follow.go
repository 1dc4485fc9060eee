package proxy

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Follow applies each Snapshot of feed until ctx ends. applied is told of
// every attempt, in order; the first one that succeeds makes the proxy ready.
// It may be nil.
func (p *Proxy) Follow(ctx context.Context, feed model.Feed, applied func(*model.Snapshot, error)) {
	var after model.Version
	for {
		s, err := feed.Next(ctx, after)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			p.opt.Log.Error("configuration feed failed; trying again", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		after = s.Version
		err = p.Apply(s)
		if err != nil {
			what := "configuration not applied"
			if p.Program() != nil {
				what += "; the one before goes on serving"
			}
			p.opt.Log.Error(what, "version", s.Version, "error", err)
		}
		if applied != nil {
			applied(s, err)
		}
	}
}

// Apply makes s what new exchanges are served by. On an error nothing has
// changed.
func (p *Proxy) Apply(s *model.Snapshot) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining.Load() {
		return errDraining
	}
	defer func() {
		// A defect in compiling must not take down what serves.
		if r := recover(); r != nil {
			err = errors.New("compiling the configuration failed")
			p.opt.Log.Error("panic while compiling", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	old := p.program.Load()
	change, trouble := p.opt.Clusters.Prepare(s.Services)
	defer change.Discard() // does nothing once committed
	if trouble != nil {
		// Those services fail, or go on as before; the rest is good.
		p.opt.Log.Error("services with unusable TLS settings", "error", trouble)
	}
	c := &compiler{families: p.opt.Families, loops: len(p.workers), clusters: change.Clusters(), old: old}
	prog := c.compile(s)
	entrances, err := c.entrances()
	if err != nil {
		return err
	}
	if err := p.swap(prog, entrances); err != nil {
		return err
	}
	surplus := change.Commit()
	for _, problem := range prog.Problems {
		p.opt.Log.Error(problem.String())
	}
	p.forget(s)
	if old != nil {
		p.retire(old, surplus)
	}
	return nil
}
