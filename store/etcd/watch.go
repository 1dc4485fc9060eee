package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/naru-mesh/naru/store"
)

// again is how long to wait before asking a server anew that did not answer.
const again = 200 * time.Millisecond

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(errClosed) })()
	for {
		if c, err := s.client(); err == nil {
			err = s.follow(ctx, c, prefix, &after, tell)
			if err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(again):
		}
	}
}

// follow watches through one client until it ends: nil is "ask again". after
// moves along.
func (s *Store) follow(ctx context.Context, c *clientv3.Client, prefix string, after *store.Revision, tell func([]store.Event) error) error {
	// One that nobody leads may lag behind: the client then goes to another.
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	news := c.Watch(watching, s.opt.Prefix+prefix, clientv3.WithPrefix(), clientv3.WithRev(int64(*after)+1), clientv3.WithProgressNotify())
	for r := range news {
		if err := r.Err(); err != nil {
			if errors.Is(convert(context.Background(), err), store.ErrCompacted) {
				return fmt.Errorf("%w: revision %d, remembered are those from %d", store.ErrCompacted, *after, r.CompactRevision)
			}
			return nil
		}
		if r.IsProgressNotify() {
			*after = max(*after, store.Revision(r.Header.Revision))
		}
		for events := r.Events; len(events) > 0; {
			n := 1
			for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
				n++
			}
			if err := tell(s.events(events[:n])); err != nil {
				return err
			}
			*after = store.Revision(events[0].Kv.ModRevision)
			events = events[n:]
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

func (s *Store) events(list []*clientv3.Event) []store.Event {
	events := make([]store.Event, len(list))
	for i, e := range list {
		if e.Type == clientv3.EventTypeDelete {
			events[i] = store.Event{Deleted: true, Item: store.Item{
				Key: strings.TrimPrefix(string(e.Kv.Key), s.opt.Prefix), Changed: store.Revision(e.Kv.ModRevision),
			}}
			continue
		}
		events[i] = store.Event{Item: s.item(e.Kv)}
	}
	return events
}
