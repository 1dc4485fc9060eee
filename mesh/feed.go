package mesh

import (
	"context"
	"slices"
	"sync"

	"github.com/naru-mesh/naru/model"
)

// Feed is a model.Feed that lowers the Snapshots of another for this node: again
// when the node's workloads change. It is for one follower; the functions are
// set before that begins, and called by it.
type Feed struct {
	from model.Feed
	// Begin is called with the first Snapshot that has a mesh, once; an error is
	// told to the follower, and it is called again.
	Begin func(context.Context, *model.Snapshot) error
	begun bool
	// Node tells what the node is, and its generation.
	Node func(*model.Config) (Node, int)
	// Seen is told which Snapshot of the other came; nil: nobody is.
	Seen func(*model.Snapshot)
	// Kept is told that what the follower has is also that of a newer
	// generation; nil: nobody is.
	Kept func(s *model.Snapshot, generation int)

	lower  Lowering
	freeze model.Freezer
	base   *model.Snapshot
	made   *model.Snapshot
	at     int // the node's generation in made

	mu          sync.Mutex
	changed     chan struct{} // closed when the node has changed
	generations map[model.Version]int
	newest      model.Version // of from
	problems    []model.Problem
}

// NewFeed needs Begin and Node to be set.
func NewFeed(from model.Feed) *Feed {
	return &Feed{from: from, changed: make(chan struct{}), generations: map[model.Version]int{}}
}

// Again has the newest Snapshot lowered anew. Any goroutine.
func (l *Feed) Again() {
	l.mu.Lock()
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
}

// Generation is the node's in a Snapshot that was made, 0 for an unknown one.
func (l *Feed) Generation(v model.Version) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generations[v]
}

// Problems are those of the newest Snapshot that was made.
func (l *Feed) Problems() []model.Problem {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.problems)
}

// Of is the Version of what a Snapshot was made of, "" for an unknown one.
func (l *Feed) Of(v model.Version) model.Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.generations[v]; !ok {
		return ""
	}
	return l.newest
}

// Next implements model.Feed.
func (l *Feed) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.base != nil {
			if err := l.make(ctx); err != nil {
				return nil, err
			}
			if l.made.Version != after {
				return l.made, nil
			}
			if l.Kept != nil {
				l.Kept(l.made, l.at)
			}
		}
		if err := l.wait(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// wait waits for another Snapshot, or for changed.
func (l *Feed) wait(ctx context.Context, changed <-chan struct{}) error {
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		select {
		case <-changed:
			cancel()
		case <-short.Done():
		}
	}()
	var after model.Version
	if l.base != nil {
		after = l.base.Version
	}
	s, err := l.from.Next(short, after)
	interrupted := short.Err() != nil && ctx.Err() == nil
	cancel()
	<-woken
	switch {
	case err == nil:
		l.base, l.made = s, nil
		if l.Seen != nil {
			l.Seen(s)
		}
		return nil
	case interrupted:
		l.made = nil
		return nil
	}
	return err
}

// make sets made, where it is not of now.
func (l *Feed) make(ctx context.Context) error {
	if l.base.Mesh == nil && !l.begun {
		l.made = l.base
		return nil
	}
	if !l.begun {
		if err := l.Begin(ctx, l.base); err != nil {
			return err
		}
		l.begun = true
	}
	node, generation := l.Node(&l.base.Config)
	if l.made != nil && l.at == generation {
		return nil
	}
	l.made, l.at = l.freeze.Freeze(l.lower.Lower(&l.base.Config, node)), generation
	l.mu.Lock()
	l.problems = l.lower.Problems()
	clear(l.generations)
	l.generations[l.made.Version], l.newest = generation, l.base.Version
	l.mu.Unlock()
	return nil
}
