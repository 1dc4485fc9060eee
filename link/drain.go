package link

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// mostSent bounds how many updates are remembered that a proxy has and does not
// go by yet.
const mostSent = 64

// sentUpdate is an update and how far in the catalog it leads.
type sentUpdate struct{ nonce, seq uint64 }

// note remembers an update that is being sent. x.mu is held.
func (x *session) note(nonce, seq uint64) {
	if len(x.underway) == mostSent {
		x.underway = slices.Delete(x.underway, 0, 1) // the next stands for it
	}
	x.underway = append(x.underway, sentUpdate{nonce, seq})
}

// goes takes note that the proxy goes by an update, and by all before it. x.mu is
// held.
func (x *session) goes(nonce uint64) {
	n := 0
	for n < len(x.underway) && x.underway[n].nonce <= nonce {
		x.inForce = x.underway[n].seq
		n++
	}
	x.underway = slices.Delete(x.underway, 0, n)
}

// progress wakes who waits for proxies.
type progress struct {
	waiting atomic.Int32
	mu      sync.Mutex
	moved   chan struct{}
}

// next is closed at the next step of any proxy.
func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}

// step is called after each.
func (p *progress) step() {
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// leaving gives since when the catalog has a workload as one that drains, or has
// it no more; !ok: it serves. of is its node.
func (c *catalog) leaving(name string) (seq uint64, of string, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[Name{KindWorkload, name}]
	if e == nil {
		return c.seq, "", true
	}
	w, there := e.noun.(*model.Workload)
	if !there {
		return e.seq, "", true
	}
	return e.seq, w.Node, w.State == model.Draining
}

// Drained waits until every proxy of this replica goes by a configuration in
// which a workload drains, or is not, or until ctx ends: the error says who does
// not. Proxies that are not connected are not waited for. "" as node asks for
// whichever.
func (s *Server) Drained(ctx context.Context, node, name string) error {
	s.progress.waiting.Add(1)
	defer s.progress.waiting.Add(-1)
	for {
		_, _, changed := s.catalog.state()
		moved := s.progress.next()
		seq, of, ok := s.catalog.leaving(name)
		if node != "" && of != "" && of != node {
			return status.Error(codes.PermissionDenied, fmt.Sprintf("workload %s is not on node %s", name, node))
		}
		lack := []string{"the control plane"}
		if ok {
			if lack = s.behind(seq); len(lack) == 0 {
				return nil
			}
		}
		select {
		case <-changed:
		case <-moved:
		case <-ctx.Done():
			return status.Error(codes.DeadlineExceeded, fmt.Sprintf("that workload %s leaves is not known to %s", name, strings.Join(lack[:min(len(lack), 5)], ", ")))
		}
	}
}

// behind lists proxies that do not go by the catalog as of seq.
func (s *Server) behind(seq uint64) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		x.mu.Lock()
		if x.inForce < seq {
			list = append(list, x.node)
		}
		x.mu.Unlock()
	}
	slices.Sort(list)
	return list
}

func (s *Server) drained(ctx context.Context, q *drainedRequest) (*drainedResponse, error) {
	c, _, err := s.follower(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Drained(ctx, c.node, q.Name); err != nil {
		return nil, err
	}
	return &drainedResponse{Shared: s.options.Shared}, nil
}

// madeUpdate is an update and the Snapshot that was made of it.
type madeUpdate struct {
	nonce   uint64
	version model.Version
}

// Serves says that the proxy goes by a Snapshot of Next now: the control plane
// waits for that before it says that a workload is not called any more. It does
// not block. Only with ClientOptions.Serves.
func (c *Client) Serves(v model.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = v
	for i := len(c.made) - 1; i >= 0; i-- {
		if c.made[i].version == v {
			c.inForce = c.made[i].nonce
			c.made = slices.Delete(c.made, 0, i+1)
			select {
			case c.serves <- struct{}{}:
			default:
			}
			return
		}
	}
}

// making takes note of an update and what was made of it; it gives the nonce where
// that serves already. mu is held.
func (c *Client) making(nonce uint64) uint64 {
	switch {
	case !c.options.Serves || c.snapshot == nil:
		return 0
	case c.snapshot.Version == c.serving:
		c.made = c.made[:0]
		c.inForce = nonce
		return nonce
	case len(c.made) == mostSent:
		c.made = slices.Delete(c.made, 0, 1)
	}
	c.made = append(c.made, madeUpdate{nonce, c.snapshot.Version})
	return 0
}

// served is the update that the proxy goes by.
func (c *Client) served() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inForce
}

// Drained waits until the proxies of the control plane that is followed do not
// call a workload of this node any more, or until ctx ends. shared: there are
// other control planes, whose proxies it does not know.
func (c *Client) Drained(ctx context.Context, name string) (shared bool, err error) {
	var a drainedResponse
	err = c.call(ctx, "Drained", &drainedRequest{name}, &a)
	return a.Shared, err
}
