package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// Options of an Agent.
type Options struct {
	// Authority signs. Not nil; it may be unreachable.
	Authority identity.Authority
	// TTL is what is asked of it; 0 leaves that to it.
	TTL time.Duration
	// Folder is where SVIDs, keys and bundles are written, so that the next
	// process has them without an authority; "" keeps them in memory alone.
	Folder string
	// Sealer seals what is written. Not nil where Folder is not "".
	Sealer *identity.Sealer
	// Replaced, where it is not nil, hears of each SVID that has taken another's
	// place. It must not block.
	Replaced func(id identity.ID)
	// Forgotten, where it is not nil, hears of the list of that name in bundles that
	// have changed, and, with whatever list, of a trust domain that is not believed
	// any more: what was accepted may not be. It must not block.
	Forgotten func([]identity.Forgotten)
	Log       *slog.Logger
}

// Agent holds identities. It implements wire.Identities.
type Agent struct {
	opt  Options
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	held   sync.Map // of *keeper by identity, as a string
	judge  atomic.Pointer[judge]
	counts counts
	tokens tokens
	// asking bounds the requests under way: a machine with many workloads does
	// not overrun an authority that comes back.
	asking chan struct{}

	mu      sync.Mutex // of what follows, and of starting and ending keepers
	closed  bool
	keepers map[identity.ID]*keeper
	retry   chan struct{} // closed by Retry
	changed chan struct{} // closed by a new SVID or bundle
}

// judge is what others are judged by. It does not change.
type judge struct {
	bundles  *identity.Bundles
	verifier *identity.Verifier
}

const maxAsking = 8

// New makes an Agent that holds nothing yet. What is on the disk and not usable
// is said in the log and gone without.
func New(opt Options) (*Agent, error) {
	if opt.Folder != "" && opt.Sealer == nil {
		return nil, errors.New("identities: what is kept on the disk must be sealed, and there is no key")
	}
	a := &Agent{opt: opt, log: opt.Log, keepers: map[identity.ID]*keeper{}, asking: make(chan struct{}, maxAsking),
		retry: make(chan struct{}), changed: make(chan struct{})}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if opt.Folder != "" {
		if err := a.prepareFolder(); err != nil {
			return nil, fmt.Errorf("identities: %w", err)
		}
		if b := a.readBundles(); b != nil {
			a.judge.Store(&judge{bundles: b, verifier: identity.NewVerifier(b)})
		}
	}
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.all.Go(a.followBundles)
	return a, nil
}

// Close ends all keepers and waits for them. What is held can still be used.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop()
	a.all.Wait()
}

// Hold begins to hold an identity, which is in canonical form. Each Hold has a
// release of its own, which may be called twice; after the last one the
// identity is not held any more. It returns at once: Wait waits.
func (a *Agent) Hold(id identity.ID) (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.keepers[id]
	if k == nil {
		k = &keeper{id: id, agent: a, forced: make(chan struct{}, 1)}
		k.ctx, k.stop = context.WithCancel(a.ctx)
		a.keepers[id] = k
		if old := a.readSVID(id); old != nil && !(a.Bundles() != nil && a.Bundles().Outdated(old.svid.Chain[0], id)) {
			k.current.Store(old)
			a.announce()
		}
		a.held.Store(string(id), k)
		if !a.closed {
			a.all.Go(k.run)
		}
	}
	k.holders++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if k.holders--; k.holders == 0 {
			k.stop()
			delete(a.keepers, id)
			a.held.Delete(string(id))
			a.announce()
		}
	})
}

// Retry asks the authority at once for all that is due: it is back.
func (a *Agent) Retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.retry)
	a.retry = make(chan struct{})
}

// Renew replaces the SVID and the key of an identity now, though they are not
// due: somebody may have seen the key. The old ones are shown until the new
// come. false: it is not held.
func (a *Agent) Renew(id identity.ID) bool {
	k, ok := a.held.Load(string(id))
	if ok {
		k.(*keeper).force()
	}
	return ok
}

// RenewAll is Renew for all that are held, and waits for it until ctx ends. It
// gives how many have been replaced; the error says why one was not.
func (a *Agent) RenewAll(ctx context.Context) (int, error) {
	old := map[*keeper]*held{}
	a.mu.Lock()
	for _, k := range a.keepers {
		old[k] = k.current.Load()
	}
	a.mu.Unlock()
	for k := range old {
		k.force()
	}
	all := len(old)
	for {
		changed := a.Changed()
		for k, h := range old {
			if k.current.Load() != h || k.ctx.Err() != nil {
				delete(old, k)
			}
		}
		if len(old) == 0 {
			return all, nil
		}
		select {
		case <-changed:
		case <-a.ctx.Done():
			return all - len(old), errors.New("identities are not kept any more")
		case <-ctx.Done():
			for k := range old {
				why := ctx.Err()
				if t := k.trouble.Load(); t != nil {
					why = *t
				}
				return all - len(old), fmt.Errorf("%s has no new certificate yet: %w", k.id, why)
			}
		}
	}
}

func (a *Agent) retried() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.retry
}

// Changed is closed when an SVID or a bundle comes or goes. Ask for it before
// looking at what there is.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// announce is called with mu held.
func (a *Agent) announce() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Certificate implements wire.Identities.
func (a *Agent) Certificate(id string) *tls.Certificate {
	if s := a.newest(id); s != nil {
		return s.shown
	}
	return nil
}

func (a *Agent) newest(id string) *held {
	k, ok := a.held.Load(id)
	if !ok {
		return nil
	}
	s := k.(*keeper).current.Load()
	if s == nil || !time.Now().Before(s.until()) {
		return nil
	}
	return s
}

// Verify implements wire.Identities.
func (a *Agent) Verify(chain []*x509.Certificate) (string, error) {
	j := a.judge.Load()
	if j == nil {
		return "", errNoBundle
	}
	id, err := j.verifier.Verify(chain, time.Now())
	if err != nil {
		a.counts.refused.Add(1)
	}
	return string(id), err
}

// Forgot says whether a certificate that was accepted is not any more, because
// whom it was given to is forgotten, or its trust domain is not believed any more.
func (a *Agent) Forgot(cert *x509.Certificate, id string) bool {
	j := a.judge.Load()
	return j != nil && j.verifier.Forgot(cert, identity.ID(id), time.Now())
}

var errNoBundle = fmt.Errorf("%w: the authority has not given its bundle yet, so nobody can be judged", identity.ErrBadSVID)

// SVID is the newest of an identity, nil where there is none.
func (a *Agent) SVID(id identity.ID) *identity.SVID {
	if s := a.newest(string(id)); s != nil {
		return &s.svid
	}
	return nil
}

// Bundles are those of now, nil before the first came.
func (a *Agent) Bundles() *identity.Bundles {
	if j := a.judge.Load(); j != nil {
		return j.bundles
	}
	return nil
}

// Wait waits until there is an SVID of an identity that is held, and the bundles
// are known, or until ctx ends: then it says why there is none.
func (a *Agent) Wait(ctx context.Context, id identity.ID) error {
	for {
		changed := a.Changed()
		if a.Bundles() != nil && a.SVID(id) != nil {
			return nil
		}
		select {
		case <-changed:
		case <-a.ctx.Done():
			return fmt.Errorf("%s: identities are not kept any more", id)
		case <-ctx.Done():
			if err := a.trouble(id); err != nil {
				return fmt.Errorf("%s has no certificate yet: %w", id, err)
			}
			return fmt.Errorf("%s has no certificate yet: %w", id, ctx.Err())
		}
	}
}

// trouble is why an identity has no new SVID, nil where it has.
func (a *Agent) trouble(id identity.ID) error {
	if k, ok := a.held.Load(string(id)); ok {
		if err := k.(*keeper).trouble.Load(); err != nil {
			return *err
		}
	}
	return nil
}
