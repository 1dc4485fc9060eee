package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/naru-mesh/naru/store"
)

// Status is how the store stands.
type Status struct {
	// Kind is "embedded", "member" or "outside".
	Kind string `json:"kind"`
	// Member is the one that was asked, Leader the one that orders the writes,
	// as etcd's numbers; Leader is empty while there is none.
	Member string `json:"member"`
	Leader string `json:"leader,omitempty"`
	// Revision is the newest that Member knows.
	Revision store.Revision `json:"revision"`
	// Size of the database in bytes, and what of it is in use.
	Size  int64 `json:"size"`
	InUse int64 `json:"inUse"`
	// Free is what the disk has left in bytes; -1 where it is not this machine's.
	Free int64 `json:"free"`
	// Lag counts writes that are agreed on and not yet visible at Member.
	Lag uint64 `json:"lag"`
	// Problems are what etcd says is wrong ("NOSPACE").
	Problems []string `json:"problems,omitempty"`
}

// Status asks how things stand; of an outside cluster, the first member that
// answers. It works without a quorum.
func (s *Store) Status(ctx context.Context) (Status, error) {
	endpoints := s.opt.Endpoints
	if s.server != nil {
		endpoints = []string{""}
	}
	var last error
	for _, endpoint := range endpoints {
		r, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.StatusResponse, error) {
			return c.Status(ctx, endpoint)
		})
		if err != nil {
			last = err
			continue
		}
		t := Status{
			Kind: "outside", Member: number(r.Header.MemberId), Revision: store.Revision(r.Header.Revision),
			Size: r.DbSize, InUse: r.DbSizeInUse, Free: -1, Lag: r.RaftIndex - r.RaftAppliedIndex, Problems: r.Errors,
		}
		if r.Leader != 0 {
			t.Leader = number(r.Leader)
		}
		if s.server != nil {
			t.Kind = "embedded"
			if len(s.opt.Peers) > 1 {
				t.Kind = "member"
			}
			if free, err := freeBytes(s.opt.Dir); err == nil {
				t.Free = free
			}
		}
		return t, nil
	}
	return Status{}, last
}

func number(id uint64) string { return fmt.Sprintf("%x", id) }
