package rollout

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
)

// firstLoad is how long Snapshots with rollouts wait for the store when the
// process starts: else what has been promoted would go back for a moment.
const firstLoad = 5 * time.Second

// follow takes the Snapshots of control.
func (k *Keeper) follow(ctx context.Context) {
	var after model.Version
	for {
		s, err := k.options.Feed.Next(ctx, after)
		if err != nil {
			if ctx.Err() != nil || !pause(ctx, time.Second) {
				return
			}
			continue
		}
		after = s.Version
		specs, rolled := k.rollouts(s)
		if len(specs) > 0 {
			k.waitLoaded(ctx)
		}
		k.mu.Lock()
		k.base, k.specs, k.rolled = s, specs, rolled
		k.make()
		k.mu.Unlock()
	}
}

func (k *Keeper) waitLoaded(ctx context.Context) {
	t := time.NewTimer(firstLoad)
	defer t.Stop()
	select {
	case <-k.loaded:
	case <-ctx.Done():
	case <-t.C:
		k.log.Warn("rollout: the store does not say how far rollouts are: until it does, everything goes to what served before")
	}
}

// rollouts are those of a Snapshot by name, and by route. Of several routes the
// first counts: model.Validate sees that they say the same. A route that does not
// lead to the new version of its policy, or nowhere else, has none.
func (k *Keeper) rollouts(s *model.Snapshot) (specs, rolled map[string]*model.Rollout) {
	c := &s.Config
	if k.options.Join != nil && len(c.Traffic) > 0 {
		c = k.options.Join(c)
	}
	specs, rolled = map[string]*model.Rollout{}, map[string]*model.Rollout{}
	for _, r := range c.Routes {
		o := r.Rollout
		if o == nil || !r.Rolls() {
			continue
		}
		if specs[o.Name] == nil {
			specs[o.Name] = o
		}
		rolled[writtenName(s, r.Name)] = specs[o.Name]
	}
	return specs, rolled
}

// writtenName is the name of the Route in s that one was joined from: of a Route
// whose listeners have different policies there are several, as NAME@LISTENER.
func writtenName(s *model.Snapshot, name string) string {
	for short := name; ; {
		if _, ok := slices.BinarySearchFunc(s.Routes, short, func(r *model.Route, n string) int { return strings.Compare(r.Name, n) }); ok {
			return short
		}
		i := strings.LastIndexByte(short, '@')
		if i < 0 {
			return name
		}
		short = short[:i]
	}
}

// make gives the newest Snapshot the weights of now. k.mu is held.
func (k *Keeper) make() {
	if k.base == nil {
		return
	}
	made := k.base
	if len(k.specs) > 0 {
		c := k.base.Config
		c.Routes = slices.Clone(c.Routes)
		for i, r := range c.Routes {
			if o := k.rolled[r.Name]; o != nil {
				c.Routes[i] = k.weighed(r, o)
			}
		}
		made = k.freeze.Freeze(&c)
	}
	if k.made != nil && k.made.Version == made.Version {
		return
	}
	k.made = made
	if len(k.bases) > 64 {
		clear(k.bases)
	}
	k.bases[made.Version] = k.base.Version
	k.wake()
}

// wake tells those who wait. k.mu is held.
func (k *Keeper) wake() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// weighed gives r with the weights of its rollout: all is for the baseline while
// that has no State. k.mu is held.
func (k *Keeper) weighed(r *model.Route, spec *model.Rollout) *model.Route {
	out, o, share := *r, *spec, 0
	if h := k.states[o.Name]; h != nil && h.state.Spec == o.Spec() {
		o.Run, o.Live, share = h.state.Run, !h.state.Phase.Over(), h.state.Share
	}
	out.Rollout, out.Backends = &o, model.Weigh(r.Backends, o.To, share)
	return &out
}

// Next implements model.Feed.
func (k *Keeper) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		k.mu.Lock()
		made, changed := k.made, k.changed
		k.mu.Unlock()
		if made != nil && made.Version != after {
			return made, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// Of is the Version of control's Snapshot that one of ours was made of, the same
// where it is not known.
func (k *Keeper) Of(v model.Version) model.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	if base, ok := k.bases[v]; ok {
		return base
	}
	return v
}

// Snapshot is the newest, nil before the first.
func (k *Keeper) Snapshot() *model.Snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.made
}

// names of the rollouts that are configured, sorted. k.mu is held.
func (k *Keeper) names() []string { return slices.Sorted(maps.Keys(k.specs)) }

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
