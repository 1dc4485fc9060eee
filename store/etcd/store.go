package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/naru-mesh/naru/store"
)

// Store keeps its keys in etcd. Make it with Open.
type Store struct {
	opt    Options
	server *server          // nil: etcd is outside
	remote *clientv3.Client // nil: etcd is embedded

	life  context.Context // ends with Close
	end   context.CancelFunc
	tasks sync.WaitGroup // leadership
}

var _ store.Store = (*Store)(nil)

// soon is how soon a cluster outside is called again that did not answer. gRPC's
// own patience grows to two minutes, in which nothing is signed though etcd is
// back.
func soon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 5 * time.Second,
	})
}

// Open starts or reaches the etcd that o names. An embedded server that is alone
// serves when Open returns; a member may still be waiting for the others, and an
// outside cluster need not be there yet. ctx bounds Open alone.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Store{opt: o}
	s.life, s.end = context.WithCancel(context.Background())
	var err error
	if o.Dir != "" {
		s.server, err = openServer(ctx, o)
	} else {
		s.remote, err = clientv3.New(clientv3.Config{
			Endpoints: o.Endpoints, TLS: o.TLS, Username: o.User, Password: o.Password,
			Logger: zapLogger(o.Log, nil), DialTimeout: o.Wait,
			DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
			DialOptions: []grpc.DialOption{soon()},
		})
	}
	if err != nil {
		s.end()
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// client gives what to call now.
func (s *Store) client() (*clientv3.Client, error) {
	if s.life.Err() != nil {
		return nil, errClosed
	}
	if s.server != nil {
		return s.server.current()
	}
	return s.remote, nil
}

// call makes one bounded call. It is made on a goroutine: inside this process a
// server that has failed may never return, or end the goroutine it runs on.
func call[T any](ctx context.Context, s *Store, f func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c, err := s.client()
	if err != nil {
		return none, err
	}
	bounded := ctx
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, s.opt.Wait)
		defer cancel()
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{err: fmt.Errorf("%w: the server has failed", store.ErrUnavailable)}
		defer func() { answers <- a }()
		value, err := f(bounded, c)
		a = answer{value, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-bounded.Done():
		a.err = bounded.Err()
	}
	if a.err == nil {
		return a.value, nil
	}
	if s.life.Err() != nil {
		return none, errClosed
	}
	if s.server != nil && errors.Is(a.err, rpctypes.ErrNoSpace) {
		s.server.wake()
	}
	return none, convert(ctx, a.err)
}

func (s *Store) item(kv *mvccpb.KeyValue) store.Item {
	return store.Item{
		Key:     strings.TrimPrefix(string(kv.Key), s.opt.Prefix),
		Value:   kv.Value,
		Created: store.Revision(kv.CreateRevision),
		Changed: store.Revision(kv.ModRevision),
		Lease:   store.LeaseID(kv.Lease),
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Item, error) {
	r, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.GetResponse, error) {
		return c.Get(ctx, s.opt.Prefix+key)
	})
	switch {
	case err != nil:
		return store.Item{}, err
	case len(r.Kvs) == 0:
		return store.Item{}, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return s.item(r.Kvs[0]), nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	r, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.GetResponse, error) {
		return c.Get(ctx, s.opt.Prefix+prefix, clientv3.WithPrefix())
	})
	if err != nil {
		return nil, 0, err
	}
	list := make([]store.Item, len(r.Kvs))
	for i, kv := range r.Kvs {
		list[i] = s.item(kv)
	}
	return list, store.Revision(r.Header.Revision), nil
}

// Txn implements store.Store.
func (s *Store) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	compare := make([]clientv3.Cmp, len(conds))
	for i, c := range conds {
		compare[i] = clientv3.Compare(clientv3.ModRevision(s.opt.Prefix+c.Key), "=", int64(c.Changed))
	}
	then := make([]clientv3.Op, len(ops))
	grows := false
	for i, op := range ops {
		switch {
		case op.Key == "":
			return 0, false, errors.New("store: a change of a key without a name")
		case op.Delete:
			then[i] = clientv3.OpDelete(s.opt.Prefix + op.Key)
		default:
			grows = true
			then[i] = clientv3.OpPut(s.opt.Prefix+op.Key, string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease)))
		}
	}
	if err := s.room(grows); err != nil {
		return 0, false, err
	}
	r, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.TxnResponse, error) {
		return c.Txn(ctx).If(compare...).Then(then...).Commit()
	})
	if err != nil {
		return 0, false, err
	}
	return store.Revision(r.Header.Revision), r.Succeeded, nil
}

// room refuses a write that an embedded server might not survive.
func (s *Store) room(grows bool) error {
	if s.server == nil {
		return nil
	}
	return s.server.room(grows)
}

// Lease implements store.Store. ttl is rounded up to whole seconds.
func (s *Store) Lease(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if err := s.room(true); err != nil {
		return 0, err
	}
	seconds := int64((max(ttl, 2*time.Second) + time.Second - 1) / time.Second)
	r, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseGrantResponse, error) {
		return c.Grant(ctx, seconds)
	})
	if err != nil {
		return 0, err
	}
	return store.LeaseID(r.ID), nil
}

// KeepAlive implements store.Store.
func (s *Store) KeepAlive(ctx context.Context, id store.LeaseID) error {
	_, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseKeepAliveResponse, error) {
		return c.KeepAliveOnce(ctx, clientv3.LeaseID(id))
	})
	return err
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, id store.LeaseID) error {
	_, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseRevokeResponse, error) {
		return c.Revoke(ctx, clientv3.LeaseID(id))
	})
	return err
}

// Compact forgets what happened before a Revision: a Watch from earlier ends
// with store.ErrCompacted. An embedded server does it by itself (Options.Keep).
func (s *Store) Compact(ctx context.Context, before store.Revision) error {
	_, err := call(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.CompactResponse, error) {
		return c.Compact(ctx, int64(before))
	})
	if errors.Is(err, store.ErrCompacted) {
		return nil
	}
	return err
}

// Close implements store.Store. An embedded server ends with it.
func (s *Store) Close() error {
	if s.life.Err() != nil {
		return nil
	}
	s.end()
	s.tasks.Wait()
	if s.server != nil {
		return s.server.close()
	}
	return s.remote.Close()
}
