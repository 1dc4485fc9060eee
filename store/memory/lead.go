package memory

import (
	"context"
	"slices"
	"sync"
)

// Lead implements store.Store. Who asked first leads first.
func (s *Store) Lead(ctx context.Context, name string) (<-chan struct{}, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	turn := make(chan struct{})
	s.leaders[name] = append(s.leaders[name], turn)
	if len(s.leaders[name]) == 1 {
		close(turn)
	}
	s.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		s.leave(name, turn)
		return nil, ctx.Err()
	case <-s.life.Done():
		return nil, errClosed
	}
	lost := make(chan struct{})
	over := sync.OnceFunc(func() {
		s.leave(name, turn)
		close(lost)
	})
	stop := context.AfterFunc(s.life, over)
	context.AfterFunc(ctx, func() {
		stop()
		over()
	})
	return lost, nil
}

// leave takes one out of the line, and lets the next one lead.
func (s *Store) leave(name string, turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.leaders[name]
	i := slices.Index(line, turn)
	if i < 0 {
		return
	}
	line = slices.Delete(line, i, i+1)
	if len(line) == 0 {
		delete(s.leaders, name)
		return
	}
	s.leaders[name] = line
	if i == 0 {
		close(line[0])
	}
}
