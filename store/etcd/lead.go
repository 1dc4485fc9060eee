package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Lead implements store.Store. While the store cannot be reached it waits. lost
// is closed at the latest when the others may believe that this one is gone.
func (s *Store) Lead(ctx context.Context, name string) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(errClosed) })
	done := func() { stop(); cancel(nil) }
	for {
		if c, err := s.client(); err == nil {
			if lost := s.campaign(ctx, done, c, name); lost != nil {
				return lost, nil
			}
		}
		select {
		case <-ctx.Done():
			err := context.Cause(ctx)
			done()
			return nil, err
		case <-time.After(again):
		}
	}
}

// campaign leads, or gives nil when ctx ended or the server did not answer. done
// is called when leading is over.
func (s *Store) campaign(ctx context.Context, done func(), c *clientv3.Client, name string) <-chan struct{} {
	won := make(chan chan struct{}, 1)
	s.tasks.Go(func() {
		defer close(won)
		// The lease outlives ctx by what giving it back takes.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(s.opt.Wait, cancel) })()
		session, err := s.session(ctx, own, c)
		if err != nil {
			return
		}
		election := concurrency.NewElection(session, s.opt.Prefix+"leaders/"+name)
		if err := election.Campaign(ctx, s.opt.Name); err != nil {
			_ = session.Close() // or the lease ends by itself
			return
		}
		lost := make(chan struct{})
		won <- lost
		select {
		case <-ctx.Done():
		case <-session.Done():
		}
		close(lost) // before anybody else leads
		_ = session.Close()
		done()
	})
	select {
	case lost := <-won:
		if lost == nil {
			return nil
		}
		return lost
	case <-ctx.Done():
		return nil
	}
}

// session makes a lease that is kept alive while own lives; the making of it
// ends with ctx too.
func (s *Store) session(ctx, own context.Context, c *clientv3.Client) (*concurrency.Session, error) {
	making, cancel := context.WithTimeout(ctx, s.opt.Wait)
	defer cancel()
	ttl := int64((s.opt.LeaderTTL + time.Second - 1) / time.Second)
	lease, err := c.Grant(making, ttl)
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(c, concurrency.WithLease(lease.ID), concurrency.WithTTL(int(ttl)), concurrency.WithContext(own))
}
