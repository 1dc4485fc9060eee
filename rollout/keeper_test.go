package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/memory"
)

// written is a model.Feed of what a test has written.
type written struct {
	mu      sync.Mutex
	s       *model.Snapshot
	changed chan struct{}
}

func (w *written) write(change func(*model.Route)) {
	r := &model.Route{
		Name: "shop", Parents: []string{"l"}, Backends: []model.Backend{{Service: "old", Weight: 1}, {Service: "new"}},
		Rollout: &model.Rollout{Name: "shop", To: "new", Steps: []model.RolloutStep{{Share: 10_000}, {Share: model.Million}}, Hold: 10 * time.Second},
	}
	change(r)
	c := &model.Config{Listeners: []*model.Listener{{Name: "l", Port: 80, Protocol: model.HTTP}}, Routes: []*model.Route{r}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.s = model.Freeze(c); w.changed != nil {
		close(w.changed)
	}
	w.changed = make(chan struct{})
}

func (w *written) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		w.mu.Lock()
		s, changed := w.s, w.changed
		w.mu.Unlock()
		if s.Version != after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// plane is a process with a Keeper, whose proxy serves what the test says.
type plane struct {
	*Keeper
	t    *testing.T
	stop func()

	mu     sync.Mutex
	counts map[string]*Counts
}

func newPlane(t *testing.T, name string, feed model.Feed, st store.Store) *plane {
	p := &plane{t: t, counts: map[string]*Counts{}}
	p.Keeper = New(Options{Feed: feed, Store: st, Replica: name, Counts: func(context.Context) []Report {
		p.mu.Lock()
		defer p.mu.Unlock()
		r := Report{Source: name}
		for run, c := range p.counts {
			r.Trials = append(r.Trials, observe.TrialCounts{Run: run, Arms: *c})
		}
		return []Report{r}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	p.stop = func() { cancel(); <-done }
	return p
}

// route is the only one, as proxies get it.
func (p *plane) route() *model.Route {
	s, err := p.Next(p.t.Context(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	return s.Routes[0]
}

// serves counts n requests of one side, of which some fail.
func (p *plane) serves(a observe.Arm, n, failed uint64) {
	run := p.route().Rollout.Run
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts[run]
	if c == nil {
		c = &Counts{}
		p.counts[run] = c
	}
	c[a].Begun += n
	c[a].Headed += n
	c[a].Requests += n
	c[a].Failed += failed
	c[a].Times[20] += n
}

func (p *plane) is(weight int, phase Phase) {
	p.t.Helper()
	r := p.route()
	if v := p.Views(); len(v) != 1 || v[0].Phase != phase || r.Backends[1].Weight != weight || r.Backends[0].Weight != model.Million-weight && weight+r.Backends[0].Weight != 1 {
		p.t.Fatalf("%+v, weights %d and %d; want %s at %d", v, r.Backends[0].Weight, r.Backends[1].Weight, phase, weight)
	}
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestKeeper: from what is written to the weights that proxies get, through a
// rollback, a restart of the process, and what somebody wants.
func TestKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		feed := &written{}
		feed.write(func(*model.Route) {})
		p := newPlane(t, "one", feed, st)
		wait(time.Second)
		p.is(10_000, Progressing)
		if r := p.route(); !r.Rollout.Live || r.Rollout.Run == "" {
			t.Fatalf("nobody counts: %+v", r.Rollout)
		}
		p.serves(observe.Baseline, 5000, 5)
		p.serves(observe.Canary, 40, 0)
		wait(15 * time.Second)
		p.is(10_000, Holding) // 40 of 50
		p.serves(observe.Canary, 60, 0)
		wait(time.Second)
		p.is(model.Million, Progressing)
		p.serves(observe.Canary, 1000, 900)
		wait(time.Second)
		p.is(0, RolledBack)
		if p.route().Rollout.Live {
			t.Error("proxies go on counting")
		}
		p.stop()

		p = newPlane(t, "one", feed, st)
		synctest.Wait()
		p.is(0, RolledBack) // at once, and for good
		if all := p.Problems(); len(all) != 1 || all[0].Code != "rolled-back" {
			t.Errorf("problems %v", all)
		}
		wait(time.Hour)
		p.is(0, RolledBack)
		if _, err := p.Do(t.Context(), "shop", Restart); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		p.is(10_000, Progressing)
		if _, err := p.Do(t.Context(), "shop", Promote); err != nil {
			t.Fatal(err)
		}
		p.is(model.Million, Succeeded)
		if all := p.Problems(); len(all) != 0 {
			t.Errorf("problems %v", all)
		}
		wait(time.Minute)
		p.is(model.Million, Succeeded)
		feed.write(func(r *model.Route) { r.Rollout.Version = "2" })
		wait(time.Second)
		p.is(10_000, Progressing) // another spec begins anew
		feed.write(func(r *model.Route) { r.Rollout = nil })
		wait(time.Second)
		if r := p.route(); r.Backends[0].Weight != 1 || r.Backends[1].Weight != 0 || len(p.Views()) != 0 {
			t.Errorf("without a rollout: %+v", r.Backends)
		}
		if want, _ := feed.Next(t.Context(), ""); p.Snapshot() != want || p.Of(want.Version) != want.Version {
			t.Error("a Snapshot without rollouts is not passed on as it is")
		}
		wait(2 * keepGone)
		if list, _, _ := st.List(t.Context(), below); len(list) != 0 {
			t.Errorf("a State that nobody wants is kept: %v", list)
		}
		p.stop()
	})
}

// TestKeepers: of two processes that share a store one decides, by what both
// have counted; when it goes the other does.
func TestKeepers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		feed := &written{}
		feed.write(func(*model.Route) {})
		one := newPlane(t, "one", feed, st)
		wait(time.Second)
		two := newPlane(t, "two", feed, st)
		wait(time.Second)
		if one.route().Rollout.Run != two.route().Rollout.Run {
			t.Fatal("they are not of one mind")
		}
		one.serves(observe.Baseline, 1000, 0)
		two.serves(observe.Baseline, 1000, 0)
		one.serves(observe.Canary, 30, 0)
		two.serves(observe.Canary, 30, 0)
		wait(12 * time.Second)
		one.is(model.Million, Progressing)
		two.is(model.Million, Progressing)
		if list, _, _ := st.List(t.Context(), countsBelow); len(list) != 1 {
			t.Errorf("%d keys with counts", len(list))
		}
		one.stop()
		wait(time.Second)
		two.serves(observe.Canary, 100, 100)
		wait(2 * time.Second)
		two.is(0, RolledBack)
		wait(2 * time.Second)
		if list, _, _ := st.List(t.Context(), countsBelow); len(list) != 0 {
			t.Errorf("%d keys with counts are left", len(list))
		}
		two.stop()
	})
}

// away is a store that does not answer.
type away struct{ store.Store }

func (away) List(context.Context, string) ([]store.Item, store.Revision, error) {
	return nil, 0, store.ErrUnavailable
}

func (away) Lead(ctx context.Context, _ string) (<-chan struct{}, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestKeeperWithoutStore: everything stays with what served before, and the rest
// of the configuration does not wait for long.
func TestKeeperWithoutStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := &written{}
		feed.write(func(r *model.Route) { r.Backends[1].Weight = 9 })
		p := newPlane(t, "one", feed, away{})
		began := time.Now()
		p.is(0, Pending)
		if d := time.Since(began); d > firstLoad {
			t.Errorf("it took %v", d)
		}
		if _, err := p.Do(t.Context(), "shop", Abort); err == nil {
			t.Error("what has not begun is aborted")
		}
		p.stop()
	})
}

// failing is a store to which nothing can be written.
type failing struct {
	store.Store
	mu   sync.Mutex
	down bool
}

func (f *failing) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return 0, false, fmt.Errorf("%w: no room", store.ErrUnavailable)
	}
	return f.Store.Txn(ctx, conds, ops...)
}

// TestRollbackWithoutStore: what does badly goes back although nobody can write
// that down, which is made up for later.
func TestRollbackWithoutStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		defer inner.Close()
		st := &failing{Store: inner}
		feed := &written{}
		feed.write(func(*model.Route) {})
		p := newPlane(t, "one", feed, st)
		wait(time.Second)
		p.is(10_000, Progressing)
		down := func(is bool) {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.down = is
		}
		down(true)
		p.serves(observe.Canary, 50, 50)
		wait(time.Second)
		p.is(0, RolledBack)
		if _, err := p.Do(t.Context(), "shop", Restart); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("restart: %v", err)
		}
		down(false)
		wait(time.Second)
		item, err := inner.Get(t.Context(), below+"shop")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := decode(item.Value); err != nil || s.Phase != RolledBack {
			t.Errorf("%v, %v", s, err)
		}
		p.stop()
	})
}

// TestUnreadableState: of a State that cannot be read, whoever wrote it, the rollout
// begins anew and is saved over it; nobody hears of it again and again.
func TestUnreadableState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		spoil := func() {
			t.Helper()
			if _, done, err := st.Txn(t.Context(), nil, store.Op{Key: below + "shop", Value: []byte(`{"step": "first"}`)}); err != nil || !done {
				t.Fatal(done, err)
			}
		}
		spoil()
		feed := &written{}
		feed.write(func(*model.Route) {})
		p := newPlane(t, "one", feed, st)
		wait(time.Second)
		p.is(10_000, Progressing)
		readable := func(when string) {
			t.Helper()
			item, err := st.Get(t.Context(), below+"shop")
			if err != nil {
				t.Fatal(err)
			}
			if s, err := decode(item.Value); err != nil || s.Phase != Progressing || s.Run != p.route().Rollout.Run {
				t.Errorf("%s: the store says %s", when, item.Value)
			}
		}
		readable("at the start")
		run := p.route().Rollout.Run
		spoil()
		wait(time.Second)
		p.is(10_000, Progressing)
		readable("meanwhile")
		if now := p.route().Rollout.Run; now != run {
			t.Error("who knows how far it is begins anew")
		}
		p.stop()
	})
}
