package ca

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
)

// Run follows the store and takes the steps that are due, until ctx ends.
func (a *Authority) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { a.follow(ctx) })
	both.Go(func() {
		tick := time.NewTicker(stepEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.reload(ctx)
				if err := a.step(ctx); err != nil && ctx.Err() == nil {
					a.log.Warn("the authority could not look after its record", "err", err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	both.Wait()
}

// follow keeps the view that of the store.
func (a *Authority) follow(ctx context.Context) {
	for ctx.Err() == nil {
		at, err := a.load(ctx)
		if err == nil {
			err = a.opt.Store.Watch(ctx, a.opt.Prefix, at, a.told)
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, store.ErrCompacted) {
			a.log.Warn("the authority does not follow the store; it goes on with what it knows", "err", err)
			select {
			case <-time.After(followAgain):
			case <-ctx.Done():
			}
		}
	}
}

// told takes in what changed.
func (a *Authority) told(events []store.Event) error {
	a.touch()
	old := a.view.Load()
	r, at, federated := old.record, old.at, old.federated
	for _, e := range events {
		if domain, ok := strings.CutPrefix(e.Key, a.federatedPrefix()); ok {
			federated = maps.Clone(federated)
			if e.Deleted {
				delete(federated, domain)
			} else {
				federated[domain] = e.Item
			}
		}
		if e.Key != a.recordKey() {
			continue
		}
		if e.Deleted {
			return errors.New("somebody deleted the authority's record")
		}
		var err error
		if r, err = a.decode(e.Value); err != nil {
			return err
		}
		at = e.Changed
	}
	return a.see(r, at, federated)
}

// step takes the steps that are due, in one transaction.
func (a *Authority) step(ctx context.Context) error {
	err := a.change(ctx, func(r *record, now time.Time) (bool, error) {
		changed := r.step(now, a.pace)
		changed = r.remember(now, a.pace) || changed
		if r.wantsKey(now) {
			k, err := a.makeTokenKey()
			if err != nil {
				return false, err
			}
			r.addKey(k, now)
			changed = true
		}
		if end, ok := ownEnd(r); ok && r.Published == 0 && now.After(end.Add(-rootLeft)) {
			n, err := a.makeRoot(now)
			if err != nil {
				return false, err
			}
			r.prepare(n, now, a.pace)
			a.log.Info("the root is old: a new one is published", "expires", end)
			changed = true
		}
		return changed, nil
	})
	if err != nil {
		a.trouble.Store(&err)
	} else {
		a.trouble.Store(nil)
	}
	return err
}

// reload reads a given authority again.
func (a *Authority) reload(ctx context.Context) {
	if a.opt.Given == nil {
		return
	}
	g, err := a.opt.Given.read(a.opt.TrustDomain, a.opt.Now())
	if err != nil {
		a.log.Warn("the files of the given authority are not usable; the old one goes on", "err", err)
		return
	}
	old := a.given.Load()
	if string(join(old.above)) == string(join(g.above)) && string(join(old.roots)) == string(join(g.roots)) {
		return
	}
	a.given.Store(g)
	if err := a.change(ctx, func(r *record, now time.Time) (bool, error) { return r.give(g.roots, now, a.pace), nil }); err != nil {
		a.given.Store(old) // again in a minute
		a.log.Warn("the new roots of the given authority are not published yet", "err", err)
	}
}

// Rotate begins to replace the root: it publishes a new one. It is an error
// where the root is in files, and where a rotation has begun and not switched.
func (a *Authority) Rotate(ctx context.Context) error {
	return a.change(ctx, func(r *record, now time.Time) (bool, error) {
		if a.opt.Given != nil {
			return false, fmt.Errorf("the root of %s is not naru's own: put the new one beside the old in the file of the roots", a.opt.TrustDomain)
		}
		if r.Published != 0 {
			return false, fmt.Errorf("a rotation is under way: the new root signs when all have bundle %d, or from %s on", r.Published, r.Deadline.UTC().Format(time.RFC3339))
		}
		n, err := a.makeRoot(now)
		if err != nil {
			return false, err
		}
		r.prepare(n, now, a.pace)
		return true, nil
	})
}

// Acknowledged tells that everybody who checks identities has the bundle of our
// trust domain with this sequence, or a later one.
func (a *Authority) Acknowledged(ctx context.Context, sequence uint64) error {
	if v := a.view.Load(); v.record.Published == 0 || sequence < v.record.Published {
		return nil
	}
	return a.change(ctx, func(r *record, now time.Time) (bool, error) { return r.acknowledge(sequence, now, a.pace), nil })
}

// SetFederated makes b the bundle of another trust domain, for all replicas.
func (a *Authority) SetFederated(ctx context.Context, b *identity.Bundle) error {
	if b.TrustDomain == a.opt.TrustDomain {
		return fmt.Errorf("trust domain %s is our own: nobody else's bundle speaks for it", b.TrustDomain)
	}
	doc, err := b.Document()
	if err != nil {
		return err
	}
	return a.put(ctx, b.TrustDomain, store.Op{Value: doc})
}

// DropFederated ends the federation with a trust domain.
func (a *Authority) DropFederated(ctx context.Context, trustDomain string) error {
	return a.put(ctx, trustDomain, store.Op{Delete: true})
}

func (a *Authority) put(ctx context.Context, trustDomain string, op store.Op) error {
	op.Key = a.federatedPrefix() + trustDomain
	old, known := a.view.Load().federated[trustDomain]
	if op.Delete && !known || known && string(old.Value) == string(op.Value) && !op.Delete {
		return nil
	}
	if _, _, err := a.opt.Store.Txn(ctx, nil, op); err != nil {
		return err
	}
	_, err := a.load(ctx)
	return err
}
