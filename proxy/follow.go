package proxy

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Follow applies each Snapshot of feed until ctx ends. applied is told of
// every attempt, in order; the first one that succeeds makes the proxy ready.
// It may be nil.
func (p *Proxy) Follow(ctx context.Context, feed model.Feed, applied func(*model.Snapshot, error)) {
	var after model.Version
	for {
		s, err := next(ctx, feed, after, collect)
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

// calm is how long nothing must have changed before what the last change left
// behind is collected.
const calm = 100 * time.Millisecond

// next waits for the Snapshot after a Version, and calls idle once when none
// has come for a while.
func next(ctx context.Context, feed model.Feed, after model.Version, idle func()) (*model.Snapshot, error) {
	if after != "" {
		soon, cancel := context.WithTimeout(ctx, calm)
		s, err := feed.Next(soon, after)
		late := soon.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !late {
			return s, err
		}
		idle()
	}
	return feed.Next(ctx, after)
}

// collect frees what a change has left behind, where that is much. Otherwise
// the collector runs in the middle of every third or fourth change of a big
// configuration, which it makes twice as long, and the memory of all of them
// is taken meanwhile.
func collect() {
	const much = 4 << 20 // bytes
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	if heap[0].Value.Uint64() > heap[1].Value.Uint64()+much {
		runtime.GC()
	}
}

// lower gives s with what its policies say in its nouns.
func (p *Proxy) lower(s *model.Snapshot) *model.Snapshot {
	c := p.policies.Lower(&s.Config)
	if c == &s.Config {
		return s
	}
	return &model.Snapshot{Config: *c, Version: s.Version}
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
	s = p.lower(s)
	old := p.program.Load()
	change, trouble := p.opt.Clusters.Prepare(s.Services, s.Certificates...)
	defer change.Discard() // does nothing once committed
	c := &compiler{families: p.opt.Families, loops: len(p.workers), http2: p.opt.HTTP2 != nil, clusters: change.Clusters(), issuers: p.opt.Issuers, mesh: &p.opt, old: old}
	prog := c.compile(s)
	if trouble != nil {
		// Those services fail, or go on as before; the rest is good.
		prog.Problems = append(prog.Problems, unusable(s, trouble)...)
	}
	entrances, err := c.entrances()
	if err != nil {
		return err
	}
	if err := p.swap(prog, entrances); err != nil {
		return err
	}
	surplus := change.Commit()
	p.inForce.Store(prog)
	for _, problem := range prog.Problems {
		if old == nil || !slices.Contains(old.Problems, problem) {
			p.opt.Log.Error(problem.String(), "code", problem.Code)
		}
	}
	p.forget(s)
	if old != nil {
		p.retire(old, surplus)
	}
	return nil
}
