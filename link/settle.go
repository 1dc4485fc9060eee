package link

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// settleTime bounds how long a control plane waits for its proxies, and
// settleLook is how often it looks: they are many, and a wait is short.
const (
	settleTime = 10 * time.Second
	settleLook = 20 * time.Millisecond
)

// settleRequest asks whether all proxies know that nothing new goes to a
// workload.
type settleRequest struct {
	Workload string
	// Alone: other control planes are not asked.
	Alone bool
}

// gone says whether the configuration has a workload to which nothing new goes,
// or has none of that name.
func (c *catalog) gone(workload string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[Name{KindWorkload, workload}]
	if e == nil {
		return true
	}
	w, ok := e.noun.(*model.Workload)
	return !ok || w.State == model.Draining
}

// settle answers once all proxies have the news that a workload leaves, here
// and at the other control planes. A proxy that takes nothing, and a control
// plane that cannot be asked, are waited for as long as the caller does.
func (s *Server) settle(ctx context.Context, q *settleRequest) (*empty, error) {
	c, err := s.from(ctx)
	switch {
	case err != nil:
	case c.control == "" || !q.Alone:
		c, _, err = s.node(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Settle(ctx, q.Workload, q.Alone)
}

// Settle is what proxies ask for by Client.Settle; alone is about those of this
// control plane. An error is that of ctx, which ends after 10 s.
func (s *Server) Settle(ctx context.Context, workload string, alone bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	failed := make(chan error, 1)
	if !alone {
		list, err := Replicas(ctx, s.options.Store)
		if err != nil {
			return status.Error(codes.FailedPrecondition, "which other control planes there are: "+err.Error())
		}
		for _, r := range list {
			if r.Name == s.options.Name || r.Address == "" {
				continue
			}
			others.Go(func() {
				if err := s.askReplica(ctx, r, "Settle", &settleRequest{Workload: workload, Alone: true}, &empty{}); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
	}
	look := time.NewTicker(settleLook)
	defer look.Stop()
	target := uint64(0)
	for {
		if target == 0 && s.catalog.gone(workload) {
			target, _, _ = s.catalog.state()
		}
		if target != 0 && s.reached(target) {
			break
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-look.C:
		}
	}
	others.Wait()
	select {
	case err := <-failed:
		return status.Error(codes.FailedPrecondition, err.Error()) // to try again is of no use
	default:
		return nil
	}
}

// reached says whether all proxies of this control plane have taken everything
// up to a change.
func (s *Server) reached(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		x.mu.Lock()
		behind := x.reached < seq
		x.mu.Unlock()
		if behind {
			return false
		}
	}
	return true
}

// Settle waits until all proxies know that nothing new goes to a workload of
// this node that is registered as draining. An error: not all do, or it is not
// known.
func (c *Client) Settle(ctx context.Context, workload string) error {
	return c.call(ctx, "Settle", &settleRequest{Workload: workload}, &empty{})
}
