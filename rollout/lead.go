package rollout

import (
	"context"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// Of leading.
const (
	mostTick  = 250 * time.Millisecond // between two decisions
	leastTick = 20 * time.Millisecond
	saveEvery = 5 * time.Second // figures, where nothing else changes
	keepGone  = time.Minute     // a State whose rollout nobody configures any more
	saveTime  = 2 * time.Second // that the store has to answer
)

// lead decides, where no other process does.
func (k *Keeper) lead(ctx context.Context) {
	for k.waitSpecs(ctx) {
		lost, err := k.options.Store.Lead(ctx, "rollouts")
		if err != nil {
			if ctx.Err() != nil || !pause(ctx, time.Second) {
				return
			}
			continue
		}
		k.leading(true)
		newLeader(k).run(ctx, lost)
		k.leading(false)
	}
}

func (k *Keeper) leading(is bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leads = is
	k.wake()
}

// waitSpecs waits until there are rollouts: without one nobody leads, and the
// store has nothing to do.
func (k *Keeper) waitSpecs(ctx context.Context) bool {
	for {
		k.mu.Lock()
		n, changed := len(k.specs)+len(k.states), k.changed
		k.mu.Unlock()
		if n > 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// leader is who decides.
type leader struct {
	*Keeper
	engines map[string]*ticking
	ledger  *ledger
	gone    map[string]time.Time
	asked   time.Time // when the counts of others were read
}

// ticking is an Engine, and what was saved of it.
type ticking struct {
	*Engine
	spec    string
	own     string         // the run that began in our sight
	at      store.Revision // of what it goes by
	saved   time.Time
	unsaved bool // what has changed could not be saved
}

func newLeader(k *Keeper) *leader {
	return &leader{Keeper: k, engines: map[string]*ticking{}, ledger: newLedger(), gone: map[string]time.Time{}}
}

func (l *leader) run(ctx context.Context, lost <-chan struct{}) {
	for {
		t := time.NewTimer(l.tick(ctx))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-lost:
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// tick decides for all rollouts, and says how long to wait for the next one.
func (l *leader) tick(ctx context.Context) time.Duration {
	now := l.options.Now()
	l.mu.Lock()
	known := l.base != nil
	specs := make(map[string]*model.Rollout, len(l.specs))
	for name, spec := range l.specs {
		specs[name] = spec
	}
	l.mu.Unlock()
	if !known {
		return mostTick
	}
	own := map[string]bool{}
	for name, spec := range specs {
		own[l.engine(name, spec, now).own] = true
	}
	reports := l.options.Counts(ctx)
	if len(specs) > 0 && now.Sub(l.asked) >= exchangeEvery {
		l.asked = now
		short, cancel := context.WithTimeout(ctx, saveTime)
		reports = append(reports, l.others(short)...)
		cancel()
	}
	l.ledger.add(reports, func(run string) bool { return own[run] })
	wait, runs := mostTick, map[string]bool{}
	for name, spec := range specs {
		e := l.engines[name]
		before := e.State()
		changed := e.Tick(now, l.ledger.of(before.Run), l.ledger.waiting(before.Run))
		after := e.State()
		runs[after.Run] = true
		if changed {
			l.tell(&after, happened(&before, &after))
		}
		l.keep(ctx, e, &after, changed, now)
		for _, s := range spec.Filled().Steps {
			wait = min(wait, max(s.Hold/8, leastTick))
		}
	}
	l.ledger.keep(runs)
	l.forget(ctx, specs, now)
	return wait
}

// engine gives that of a rollout, which goes by what the store says.
func (l *leader) engine(name string, spec *model.Rollout, now time.Time) *ticking {
	l.mu.Lock()
	var state *State
	var at store.Revision
	unread := false
	if h := l.states[name]; h != nil {
		s := h.state
		state, at, unread = &s, h.at, h.unread
	}
	l.mu.Unlock()
	e, sum := l.engines[name], spec.Spec()
	switch {
	case e == nil || e.spec != sum || state == nil && e.at != 0:
		e = &ticking{Engine: NewEngine(spec, state, now), spec: sum, at: at, unsaved: unread}
		l.engines[name] = e
		if state == nil || state.Run != e.State().Run {
			e.own, e.unsaved = e.State().Run, true
		}
	case at != e.at && state.Spec == sum:
		was := e.State().Run
		if e.Adopt(state, now); state.Run != was {
			e.own = state.Run
		}
		e.at, e.unsaved = at, unread
	case at != e.at:
		e.at, e.unsaved = at, true // of somebody who has another configuration
	}
	return e
}

// keep saves what has changed: at once, and figures now and then. Where the store
// is away it holds here all the same, and is saved later.
func (l *leader) keep(ctx context.Context, e *ticking, s *State, changed bool, now time.Time) {
	e.unsaved = e.unsaved || changed
	if !e.unsaved && (s.Phase.Over() || now.Sub(e.saved) < saveEvery) {
		l.set(s, e.at)
		return
	}
	short, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	at, done, err := l.save(short, s, e.at)
	switch {
	case err != nil:
		if ctx.Err() == nil && !e.unsaved {
			l.log.Warn("rollout "+s.Name+": how far it is cannot be saved", "error", err)
		}
		e.unsaved = true
		l.set(s, e.at)
	case done:
		e.at, e.saved, e.unsaved = at, now, false
		l.set(s, at)
	default:
		// Somebody has changed it meanwhile: that counts, from the next tick on.
		if err := l.again(short, s.Name); err != nil && ctx.Err() == nil {
			l.log.Warn("rollout", "error", err)
		}
	}
}

// happened is the word for a change in the metrics.
func happened(before, after *State) string {
	if before.Phase == after.Phase && before.Step == after.Step {
		return string(after.Phase)
	}
	if after.Phase == Progressing {
		return "step"
	}
	return string(after.Phase)
}

// forget removes what nobody configures any more: not at once, for a file may be
// between two versions.
func (l *leader) forget(ctx context.Context, specs map[string]*model.Rollout, now time.Time) {
	l.mu.Lock()
	left := map[string]store.Revision{}
	for name, h := range l.states {
		if specs[name] == nil {
			left[name] = h.at
		}
	}
	l.mu.Unlock()
	for name := range l.gone {
		if _, still := left[name]; !still {
			delete(l.gone, name)
		}
	}
	for name := range l.engines {
		if specs[name] == nil {
			delete(l.engines, name)
		}
	}
	for name, at := range left {
		since, ok := l.gone[name]
		if !ok {
			l.gone[name] = now
			continue
		}
		if now.Sub(since) < keepGone {
			continue
		}
		short, cancel := context.WithTimeout(ctx, saveTime)
		key := below + name
		_, done, err := l.options.Store.Txn(short, []store.Cond{{Key: key, Changed: at}}, store.Op{Key: key, Delete: true})
		cancel()
		if err == nil && done {
			l.mu.Lock()
			delete(l.states, name)
			l.mu.Unlock()
			l.log.Info("rollout " + name + ": nobody configures it any more; it is forgotten")
		}
	}
}
