package control

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// gather holds the newest Set of every source.
type gather struct {
	mu      sync.Mutex
	sets    []source.Set
	read    []bool // which sources have said something
	changed chan struct{}
}

func newGather(sources int) *gather {
	g := &gather{
		sets:    make([]source.Set, sources),
		read:    make([]bool, sources),
		changed: make(chan struct{}, 1),
	}
	if sources == 0 {
		g.changed <- struct{}{} // nothing to wait for
	}
	return g
}

// put takes the place of what source i said before.
func (g *gather) put(i int, s source.Set) {
	g.mu.Lock()
	g.sets[i], g.read[i] = s, true
	ready := !slices.Contains(g.read, false)
	g.mu.Unlock()
	if !ready {
		return
	}
	select {
	case g.changed <- struct{}{}:
	default: // a round is due already, and will see this
	}
}

// next waits for a change and gives the newest Sets; false when ctx ended.
func (g *gather) next(ctx context.Context) ([]source.Set, bool) {
	if ctx.Err() != nil {
		return nil, false
	}
	select {
	case <-ctx.Done():
		return nil, false
	case <-g.changed:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sets), true
}

// watch follows one source until ctx ends. A source that gives up keeps its
// last Set in service, with a Problem.
func (g *gather) watch(ctx context.Context, i int, s source.Source) {
	err := s.Watch(ctx, func(set source.Set) { g.put(i, set) })
	if ctx.Err() != nil {
		return
	}
	why := "it ended"
	if err != nil {
		why = err.Error()
	}
	g.mu.Lock()
	last := g.sets[i]
	g.mu.Unlock()
	last.Problems = append(slices.Clone(last.Problems), model.Problem{
		Origin:   model.Origin{Source: s.Name()},
		Severity: model.Broken,
		Code:     "source-failed",
		Message:  "changes of " + s.Name() + " are no longer seen: " + strings.TrimSuffix(why, "."),
		Hint:     "restart naru when the cause is gone",
	})
	g.put(i, last)
}

// Read gives what each source holds now, for Check. It returns ctx's error
// when ctx ends first, or the error of a source that cannot be read at all.
func Read(ctx context.Context, sources []source.Source) ([]source.Set, error) {
	sets := make([]source.Set, len(sources))
	for i, s := range sources {
		once, cancel := context.WithCancel(ctx)
		got := false
		err := s.Watch(once, func(set source.Set) {
			if !got {
				sets[i], got = set, true
			}
			cancel()
		})
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !got {
			return nil, err
		}
	}
	return sets, nil
}
