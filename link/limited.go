package link

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/store"
)

// storeEvery is how often the store is asked whether it is there, and storeTime how
// long it may take to answer.
const (
	storeEvery = time.Second
	storeTime  = 2 * time.Second
)

// watchStore asks the store, and tells proxies when it goes away and when it is
// back: what they have wanted signed or registered is due then.
func (s *Server) watchStore(ctx context.Context) {
	for pause(ctx, storeEvery) {
		bounded, cancel := context.WithTimeout(ctx, storeTime)
		_, err := s.options.Store.Get(bounded, nodesBelow)
		late := bounded.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrNotFound):
			err = nil
		case err != nil && late:
			err = fmt.Errorf("%w: it did not answer within %v", store.ErrUnavailable, storeTime)
		}
		was := s.limited.Load()
		switch {
		case err != nil && was == nil:
			s.limited.Store(&limit{s.options.Now(), err})
			s.log.Error("link: the store does not answer: proxies keep what they have and hear what is new in files; nobody can join, and nothing can be signed or registered", "err", err)
		case err == nil && was != nil:
			s.limited.Store(nil)
			s.log.Info("link: the store answers again", "after", s.options.Now().Sub(was.since).Round(time.Millisecond))
		default:
			continue
		}
		s.mu.Lock()
		for _, x := range s.sessions {
			x.poke()
		}
		s.mu.Unlock()
	}
}

// limit is since when and why the store does not answer.
type limit struct {
	since time.Time
	err   error
}

// Limited says why nobody can join and nothing can be signed or registered
// here; "": all can be.
func (s *Server) Limited() string {
	if l := s.limited.Load(); l != nil {
		return fmt.Sprintf("the store of control plane %s does not answer since %s: %v", s.options.Name, l.since.UTC().Format(time.RFC3339), l.err)
	}
	return ""
}

// unavailable is what a caller is told whose wish could not be looked at. That
// the store is away is no reason to look for another connection.
func unavailable(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, store.ErrUnavailable) {
		return status.Error(codes.FailedPrecondition, "the control plane's store does not answer, so nobody can join and nothing can be signed or registered until it does: "+err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// records are those of nodes that were read last: with the store away, who is
// known may come back for the configuration.
type records struct {
	mu   sync.Mutex
	last map[string]*nodeRecord
}

func (r *records) keep(node string, record *nodeRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case record == nil:
		delete(r.last, node)
	case r.last == nil:
		r.last = map[string]*nodeRecord{node: record}
	default:
		r.last[node] = record
	}
}

func (r *records) of(node string) *nodeRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[node]
}

// node gives the record of the node that makes a call.
func (s *Server) node(ctx context.Context) (caller, *nodeRecord, error) {
	c, err := s.from(ctx)
	if err == nil && c.node == "" {
		err = errors.New("this needs the certificate of a node that has joined")
	}
	if err != nil {
		return c, nil, s.denied(codes.Unauthenticated, whyCertificate, c, err)
	}
	if l := s.limited.Load(); l != nil {
		return c, nil, unavailable(l.err) // not after a wait for it
	}
	item, err := s.options.Store.Get(ctx, nodesBelow+c.node)
	if errors.Is(err, store.ErrNotFound) {
		s.records.keep(c.node, nil)
		return c, nil, s.denied(codes.PermissionDenied, whyUnknownNode, c, fmt.Errorf("node %s has not joined, or was removed", c.node))
	}
	if err != nil {
		return c, nil, unavailable(err)
	}
	r := &nodeRecord{}
	if err := json.Unmarshal(item.Value, r); err != nil {
		return c, nil, status.Error(codes.Internal, "the record of the node: "+err.Error())
	}
	r.Grant.Node, r.changed = c.node, item.Changed
	s.records.keep(c.node, r)
	return c, r, s.replaced(c, r)
}

// began says whether a certificate is not older than the joining of the node.
func (r *nodeRecord) began(leaf *x509.Certificate) bool { return !leaf.NotBefore.Before(r.Since) }

// replaced refuses a machine whose name another one has by now: it was forgotten,
// or lost, and its certificate is good for days.
func (s *Server) replaced(c caller, r *nodeRecord) error {
	if r.began(c.leaf) {
		return nil
	}
	return s.denied(codes.PermissionDenied, whyUnknownNode, c, fmt.Errorf("another machine has joined as node %s since this certificate was made", c.node))
}

// follower is node for a stream: configuration is given by the last record, too.
func (s *Server) follower(ctx context.Context) (caller, *nodeRecord, error) {
	c, r, err := s.node(ctx)
	if status.Code(err) == codes.FailedPrecondition {
		if last := s.records.of(c.node); last != nil {
			return c, last, s.replaced(c, last)
		}
	}
	return c, r, err
}
