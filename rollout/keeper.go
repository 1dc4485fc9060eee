package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// below is where the States are in the store.
const below = "rollouts/"

// Options are what a Keeper is made of.
type Options struct {
	Feed  model.Feed // of control
	Store store.Store
	// Join gives a Config with what its policies say in its Routes; nil: nobody
	// does. It is called by one goroutine.
	Join func(*model.Config) *model.Config
	// Counts gives what proxies have counted; it is asked at each tick, and must
	// not block for long.
	Counts func(context.Context) []Report
	// Replica is this process's name among those that share the store.
	Replica string
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// Keeper holds the rollouts of a process. It is a model.Feed. Any goroutine may
// call it.
type Keeper struct {
	options Options
	log     *slog.Logger
	loaded  chan struct{} // closed when the store has been read once

	mu      sync.Mutex
	states  map[string]*held
	base    *model.Snapshot // of control
	specs   map[string]*model.Rollout
	rolled  map[string]*model.Rollout // of base, by route, also by policies
	made    *model.Snapshot
	bases   map[model.Version]model.Version
	freeze  model.Freezer
	changed chan struct{}
	leads   bool
	counts  map[decision]uint64
}

// held is a State, and the Revision of the store that it is of; figures may be
// newer.
type held struct {
	state  State
	at     store.Revision
	unread bool // what the store has at that Revision cannot be read
}

// decision is what is counted.
type decision struct {
	name string
	what string
}

// New makes a Keeper; nothing happens until Run.
func New(o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{options: o, log: o.Log, loaded: make(chan struct{}), states: map[string]*held{}, bases: map[model.Version]model.Version{}, changed: make(chan struct{}), counts: map[decision]uint64{}}
}

// Run follows the Feed and the store, and leads when it may, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { k.watch(ctx) })
	parts.Go(func() { k.lead(ctx) })
	parts.Go(func() { k.publish(ctx) })
	k.follow(ctx)
	parts.Wait()
}

// watch keeps the States as the store has them.
func (k *Keeper) watch(ctx context.Context) {
	first := true
	for said := ""; ; {
		list, at, err := k.options.Store.List(ctx, below)
		if err == nil {
			said = ""
			k.reload(list)
			if first {
				first = false
				close(k.loaded)
			}
			err = k.options.Store.Watch(ctx, below, at, func(events []store.Event) error {
				k.take(events)
				return nil
			})
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); !errors.Is(err, store.ErrCompacted) && text != said {
			said = text
			k.log.Warn("rollout: the store cannot be followed; weights stay as they are", "error", err)
		}
		if !pause(ctx, time.Second) {
			return
		}
	}
}

// reload takes all that the store has.
func (k *Keeper) reload(list []store.Item) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.states
	k.states = make(map[string]*held, len(list))
	for _, item := range list {
		k.states[nameOf(item)] = k.read(item, was[nameOf(item)])
	}
	k.make()
}

func (k *Keeper) take(events []store.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range events {
		if e.Deleted {
			delete(k.states, strings.TrimPrefix(e.Key, below))
			continue
		}
		k.put(e.Item)
	}
	k.make()
}

// put takes what the store says, unless we know something newer. k.mu is held.
func (k *Keeper) put(item store.Item) {
	if h := k.states[nameOf(item)]; h == nil || h.at < item.Changed {
		k.states[nameOf(item)] = k.read(item, h)
	}
}

func nameOf(item store.Item) string { return strings.TrimPrefix(item.Key, below) }

// read reads what the store says. Where it cannot be read what we have known of it
// holds, nil without, and the leader writes that over it, or a rollout that begins anew.
func (k *Keeper) read(item store.Item, known *held) *held {
	s, err := decode(item.Value)
	switch {
	case err == nil:
		return &held{state: *s, at: item.Changed}
	case known != nil:
		k.log.Error("rollout: what the store says of a rollout cannot be read; what was known of it holds", "key", item.Key, "error", err)
		return &held{known.state, item.Changed, true}
	}
	k.log.Error("rollout: what the store says of a rollout cannot be read; it begins anew", "key", item.Key, "error", err)
	return &held{at: item.Changed}
}

// save writes a State where the store still has what it was made of. done is
// false where it has not.
func (k *Keeper) save(ctx context.Context, s *State, from store.Revision) (at store.Revision, done bool, err error) {
	text, err := s.encode()
	if err != nil {
		return 0, false, err
	}
	key := below + s.Name
	return k.options.Store.Txn(ctx, []store.Cond{{Key: key, Changed: from}}, store.Op{Key: key, Value: text})
}

// set takes a State that was saved, or could not be. k.mu is not held.
func (k *Keeper) set(s *State, at store.Revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.states[s.Name]
	if h != nil && h.at > at {
		return // somebody was faster
	}
	k.states[s.Name] = &held{state: *s, at: at, unread: h != nil && h.unread && h.at == at}
	if h == nil || h.state.Run != s.Run || h.state.Share != s.Share || h.state.Phase.Over() != s.Phase.Over() || h.state.Spec != s.Spec {
		k.make() // otherwise the weights are what they were
	}
}

// Do does what somebody wants with a rollout, whoever leads.
func (k *Keeper) Do(ctx context.Context, name string, a Action) (View, error) {
	for range 10 {
		k.mu.Lock()
		spec, h := k.specs[name], k.states[name]
		var s State
		var from store.Revision
		err := k.known(name)
		if err == nil && (h == nil || h.state.Spec != spec.Spec()) {
			err = fmt.Errorf("rollout %s has not begun yet: try again in a moment", name)
		}
		if err == nil {
			s, from = h.state, h.at
		}
		k.mu.Unlock()
		if err != nil {
			return View{}, err
		}
		if err := s.Do(spec, a, k.options.Now()); err != nil {
			return View{}, err
		}
		at, done, err := k.save(ctx, &s, from)
		switch {
		case err != nil:
			return View{}, fmt.Errorf("rollout %s: %w", name, err)
		case done:
			k.set(&s, at)
			k.tell(&s, string(a))
			return k.view(name), nil
		}
		if err := k.again(ctx, name); err != nil {
			return View{}, err
		}
	}
	return View{}, fmt.Errorf("rollout %s: others change it all the time; try again", name)
}

// known says why there is no rollout of a name. k.mu is held.
func (k *Keeper) known(name string) error {
	names := k.names()
	switch {
	case k.specs[name] != nil:
		return nil
	case len(names) == 0:
		return errors.New("there are no rollouts: write rollout: SERVICE at a route")
	}
	return fmt.Errorf("there is no rollout %s: there are %s", name, strings.Join(names, ", "))
}

// again reads what the store has of a rollout.
func (k *Keeper) again(ctx context.Context, name string) error {
	item, err := k.options.Store.Get(ctx, below+name)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNotFound):
		delete(k.states, name)
	case err != nil:
		return fmt.Errorf("rollout %s: %w", name, err)
	default:
		k.put(item)
	}
	k.make()
	return nil
}

// tell logs and counts what has become of a rollout.
func (k *Keeper) tell(s *State, what string) {
	k.mu.Lock()
	k.counts[decision{s.Name, what}]++
	k.mu.Unlock()
	level := slog.LevelInfo
	if s.Phase == RolledBack {
		level = slog.LevelWarn
	}
	k.log.Log(context.Background(), level, "rollout "+s.Name+": "+string(s.Phase), "to", s.To, "weight", model.Percent(s.Share), "step", s.Step+1, "why", s.Why)
}
