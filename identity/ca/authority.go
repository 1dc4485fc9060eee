package ca

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
)

// Times.
const (
	rootLife = 10 * 365 * 24 * time.Hour
	// minTTL and maxTTL bound the life of a certificate.
	minTTL     = time.Minute
	maxTTL     = 90 * 24 * time.Hour
	defaultTTL = 24 * time.Hour

	defaultToken = 5 * time.Minute
	maxToken     = time.Hour

	// maxStale is for how long a replica signs that does not reach the store.
	maxStale = 24 * time.Hour

	// keyLife is when a key for tokens is followed by another, keyAhead for how
	// long that one is published before it signs, and keyRetire for how long
	// tokens of the one before may be valid after that.
	keyLife   = 30 * 24 * time.Hour
	keyAhead  = 30 * time.Minute
	keyRetire = maxStale + maxToken + identity.Leeway

	// rootLeft is when a root of our own is followed by another.
	rootLeft = rootLife / 10
	// warnLeft is when it is worth a warning.
	warnLeft = 30 * 24 * time.Hour

	stepEvery = time.Minute
	// followAgain is when the store is followed again after an error.
	followAgain = 2 * time.Second
	// refresh is how often others are told to ask for the bundle.
	refresh = identity.DefaultRefresh
)

// Options of an Authority.
type Options struct {
	TrustDomain string
	Store       store.Store
	// Prefix is where the authority keeps what it knows: "authority/" where "".
	Prefix string
	// Sealer seals the private keys. All replicas have the same key. Not nil.
	Sealer *identity.Sealer
	// Replica names this one among others, in the names of intermediates; "" is
	// "authority".
	Replica string
	// TTL is the life of a certificate where nobody asks for another: 24 h where
	// 0. MaxTTL is the longest: 90 days where 0, and at most. It also decides
	// for how long a root is kept after a rotation.
	TTL, MaxTTL time.Duration
	// Intermediate is the life of an intermediate: a year where 0. It is
	// replaced at half of it.
	Intermediate time.Duration
	// Publish is how long a new root waits, at most, for everybody to have it: a
	// day where 0.
	Publish time.Duration
	// Given is an authority of somebody else below which this one signs; nil:
	// it makes a root of its own.
	Given *Given
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Authority implements identity.Authority.
type Authority struct {
	opt    Options
	log    *slog.Logger
	pace   pace
	counts counts

	mu    sync.Mutex // held by those who replace the view
	view  atomic.Pointer[view]
	fresh atomic.Int64 // when the store last answered, in Unix nanoseconds
	given atomic.Pointer[issuer]
	// trouble is why the last step failed, nil where it did not.
	trouble atomic.Pointer[error]
}

// view is what the authority knows at a moment. It does not change.
type view struct {
	record    record
	at        store.Revision // of the record
	federated map[string]store.Item
	given     *issuer
	bundles   *identity.Bundles
	signer    *signer // nil where unsigned says why there is none
	unsigned  error
	tokens    map[string]*tokenSigner // by key id
	// replaced is closed when there is another view.
	replaced chan struct{}
}

var _ identity.Authority = (*Authority)(nil)

// New reads what the store knows of the authority, or makes its first root. The
// store must be reachable: errors wrap its.
func New(ctx context.Context, opt Options) (*Authority, error) {
	if err := identity.CheckTrustDomain(opt.TrustDomain); err != nil {
		return nil, err
	}
	opt.Prefix = cmp.Or(opt.Prefix, "authority/")
	opt.Replica = cmp.Or(opt.Replica, "authority")
	opt.TTL = cmp.Or(opt.TTL, defaultTTL)
	opt.MaxTTL = cmp.Or(opt.MaxTTL, maxTTL)
	opt.Intermediate = cmp.Or(opt.Intermediate, 365*24*time.Hour)
	opt.Publish = cmp.Or(opt.Publish, 24*time.Hour)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	switch {
	case opt.MaxTTL < minTTL || opt.MaxTTL > maxTTL:
		return nil, fmt.Errorf("authority of %s: the longest life of a certificate is %s (write %s to %s)", opt.TrustDomain, opt.MaxTTL, minTTL, maxTTL)
	case opt.TTL < minTTL || opt.TTL > opt.MaxTTL:
		return nil, fmt.Errorf("authority of %s: the life of a certificate is %s (write %s to %s)", opt.TrustDomain, opt.TTL, minTTL, opt.MaxTTL)
	case opt.Intermediate < 2*opt.TTL:
		return nil, fmt.Errorf("authority of %s: the life of an intermediate is %s (write at least %s, twice that of a certificate)", opt.TrustDomain, opt.Intermediate, 2*opt.TTL)
	}
	a := &Authority{opt: opt, log: opt.Log}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.pace = pace{publish: opt.Publish, retire: opt.MaxTTL + maxStale + identity.Backdate}
	if opt.Given != nil {
		g, err := opt.Given.read(opt.TrustDomain, opt.Now())
		if err != nil {
			return nil, fmt.Errorf("authority of %s: %w", opt.TrustDomain, err)
		}
		a.given.Store(g)
	}
	if err := a.open(ctx); err != nil {
		return nil, fmt.Errorf("authority of %s: %w", opt.TrustDomain, err)
	}
	if made := opt.Sealer.Made; made != "" {
		a.log.Info("private keys in the store are sealed with a key in a file; who can read it can read them (--seal-key keeps it elsewhere)", "file", made)
	}
	return a, nil
}

func (a *Authority) recordKey() string { return a.opt.Prefix + "record" }

func (a *Authority) federatedPrefix() string { return a.opt.Prefix + "federated/" }

// open makes the first view.
func (a *Authority) open(ctx context.Context) error {
	for {
		if _, err := a.load(ctx); err == nil || !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return err
			}
			break
		}
		r := record{TrustDomain: a.opt.TrustDomain}
		if err := a.fill(&r, a.opt.Now()); err != nil {
			return err
		}
		value, err := json.Marshal(&r)
		if err != nil {
			return err
		}
		_, done, err := a.opt.Store.Txn(ctx, []store.Cond{{Key: a.recordKey()}}, store.Op{Key: a.recordKey(), Value: value})
		if err != nil {
			return err
		}
		if done {
			a.log.Info("a new authority was made", "trust domain", a.opt.TrustDomain)
		}
		// Another replica was first where it was not done: its record is read.
	}
	if g := a.given.Load(); g != nil {
		if err := a.change(ctx, func(r *record, now time.Time) (bool, error) { return r.give(g.roots, now, a.pace), nil }); err != nil {
			return err
		}
	}
	return a.step(ctx)
}

// fill gives the first record what it needs to sign.
func (a *Authority) fill(r *record, now time.Time) error {
	if g := a.given.Load(); g != nil {
		r.give(g.roots, now, a.pace)
	} else {
		n, err := a.makeRoot(now)
		if err != nil {
			return err
		}
		n.Stage, n.Since = active, now
		r.Roots = append(r.Roots, n)
		r.Sequence++
	}
	k, err := a.makeTokenKey()
	if err != nil {
		return err
	}
	r.addKey(k, now)
	return nil
}

// load reads all from the store and makes it the view.
func (a *Authority) load(ctx context.Context) (store.Revision, error) {
	items, at, err := a.opt.Store.List(ctx, a.opt.Prefix)
	if err != nil {
		return 0, err
	}
	a.touch()
	federated := map[string]store.Item{}
	var rec *store.Item
	for i := range items {
		if items[i].Key == a.recordKey() {
			rec = &items[i]
		} else if domain, ok := strings.CutPrefix(items[i].Key, a.federatedPrefix()); ok {
			federated[domain] = items[i]
		}
	}
	if rec == nil {
		return 0, store.ErrNotFound
	}
	r, err := a.decode(rec.Value)
	if err != nil {
		return 0, err
	}
	return at, a.see(r, rec.Changed, federated)
}

func (a *Authority) decode(value []byte) (record, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("what the store has at %s is not an authority's: %w", a.recordKey(), err)
	}
	if r.TrustDomain != a.opt.TrustDomain {
		return r, fmt.Errorf("the store holds the authority of trust domain %s, not of %s (go back to that name, or begin with an empty store: identities cannot be renamed)", r.TrustDomain, a.opt.TrustDomain)
	}
	return r, nil
}

func (a *Authority) touch() { a.fresh.Store(a.opt.Now().UnixNano()) }

// see makes the view of what was read. An older record than that of the view
// changes nothing of it; federated nil leaves those.
func (a *Authority) see(r record, at store.Revision, federated map[string]store.Item) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.view.Load()
	if old != nil {
		if federated == nil && at == old.at && old.given == a.given.Load() && old.serves(a.opt.Now()) {
			return nil
		}
		if federated == nil {
			federated = old.federated
		}
		if at < old.at {
			r, at = old.record, old.at
		}
	}
	v := &view{record: r, at: at, federated: federated, given: a.given.Load(), replaced: make(chan struct{})}
	var err error
	if v.bundles, err = a.bundlesOf(&r, federated); err != nil {
		return err
	}
	if err := a.equip(v, old, a.opt.Now()); err != nil {
		return err
	}
	if old != nil && old.bundles.Equal(v.bundles) {
		v.bundles = old.bundles
	}
	a.view.Store(v)
	if old != nil {
		close(old.replaced)
	}
	return nil
}

// serves says whether what v signs with needs no replacing.
func (v *view) serves(now time.Time) bool {
	return v.signer != nil && (v.signer.due.IsZero() || now.Before(v.signer.due))
}

// change makes a transaction of what do does to the record, again where another
// replica was faster. do returns false where there is nothing to change.
func (a *Authority) change(ctx context.Context, do func(r *record, now time.Time) (bool, error)) error {
	for {
		item, err := a.opt.Store.Get(ctx, a.recordKey())
		if err != nil {
			return err
		}
		a.touch()
		r, err := a.decode(item.Value)
		if err != nil {
			return err
		}
		changed, err := do(&r, a.opt.Now())
		if err != nil {
			return err
		}
		if !changed {
			return a.see(r, item.Changed, nil)
		}
		value, err := json.Marshal(&r)
		if err != nil {
			return err
		}
		at, done, err := a.opt.Store.Txn(ctx, []store.Cond{{Key: a.recordKey(), Changed: item.Changed}}, store.Op{Key: a.recordKey(), Value: value})
		if err != nil {
			return err
		}
		if done {
			return a.see(r, at, nil)
		}
	}
}

// Bundles implements identity.Authority.
func (a *Authority) Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error) {
	for {
		v := a.view.Load()
		if after == nil || !v.bundles.Equal(after) {
			return v.bundles, nil
		}
		select {
		case <-v.replaced:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
