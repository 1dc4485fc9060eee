package federation

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// Authority keeps the bundles of other trust domains (identity/ca).
type Authority interface {
	Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error)
	SetFederated(ctx context.Context, b *identity.Bundle) error
	DropFederated(ctx context.Context, trustDomain string) error
}

// Keeper follows the trust domains that the newest configuration names. Run
// does it; the other methods may be called from any goroutine.
type Keeper struct {
	trust     string
	authority Authority
	log       *slog.Logger

	mu  sync.Mutex
	all map[model.Federation]*followed
}

// NewKeeper makes one that follows nothing yet, for our own trust domain.
func NewKeeper(trust string, authority Authority, log *slog.Logger) *Keeper {
	return &Keeper{trust: trust, authority: authority, log: log, all: map[model.Federation]*followed{}}
}

// followed is one of them.
type followed struct {
	follower *Follower // nil: it cannot be followed
	err      error     // why
	origin   model.Origin
	end      func() // waits
}

// Run keeps the bundles that a feed's configuration wants, until ctx ends. What
// is known then stays; what is not wanted any more is dropped at once.
func (k *Keeper) Run(ctx context.Context, feed model.Feed) {
	defer k.set(ctx, nil)
	after := model.Version("")
	for {
		s, err := feed.Next(ctx, after)
		if err != nil {
			return
		}
		after = s.Version
		m := s.Mesh
		if m == nil {
			m = &model.Mesh{}
		}
		k.set(ctx, m)
	}
}

// set begins and ends followers; nil ends all, and keeps the bundles.
func (k *Keeper) set(ctx context.Context, m *model.Mesh) {
	var want []model.Federation
	if m != nil {
		want = m.Federated
	}
	k.mu.Lock()
	var ended []*followed
	for d, one := range k.all {
		if !slices.Contains(want, d) {
			ended = append(ended, one)
			delete(k.all, d)
		}
	}
	k.mu.Unlock()
	for _, one := range ended {
		one.end()
	}
	if m == nil {
		return
	}
	k.drop(ctx, want)
	for _, d := range want {
		k.mu.Lock()
		_, known := k.all[d]
		k.mu.Unlock()
		if known {
			continue
		}
		one := k.begin(d, m.Origin)
		k.mu.Lock()
		k.all[d] = one
		k.mu.Unlock()
	}
}

// drop ends the belief in trust domains that are not federated any more.
func (k *Keeper) drop(ctx context.Context, want []model.Federation) {
	known, err := k.authority.Bundles(ctx, nil)
	if err != nil {
		return // ctx has ended
	}
	for _, b := range known.Federated {
		if slices.ContainsFunc(want, func(d model.Federation) bool { return d.TrustDomain == b.TrustDomain }) {
			continue
		}
		for wait := time.Second; ; wait = min(2*wait, time.Minute) {
			err := k.authority.DropFederated(ctx, b.TrustDomain)
			if err == nil {
				k.log.Info("a trust domain is not believed any more", "trust domain", b.TrustDomain)
				break
			}
			k.log.Error("a trust domain is believed still", "trust domain", b.TrustDomain, "error", err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// begin follows one; what it has is for the time until the first answer.
func (k *Keeper) begin(d model.Federation, origin model.Origin) *followed {
	one := &followed{origin: origin, end: func() {}}
	ctx, cancel := context.WithCancel(context.Background())
	domain, err := k.domain(ctx, d)
	if err == nil {
		one.follower, err = Follow(k.trust, domain, func(b *identity.Bundle) error { return k.authority.SetFederated(ctx, b) }, k.log)
	}
	if err != nil {
		cancel()
		one.err = err
		k.log.Error("a trust domain cannot be followed", "trust domain", d.TrustDomain, "error", err)
		return one
	}
	var run sync.WaitGroup
	run.Go(func() { one.follower.Run(ctx) })
	one.end = func() { cancel(); run.Wait() }
	return one
}

// domain reads what a federation names. The newest bundle that is known goes
// before the first.
func (k *Keeper) domain(ctx context.Context, d model.Federation) (Domain, error) {
	x := Domain{TrustDomain: d.TrustDomain, URL: d.URL, EndpointID: identity.ID(d.EndpointID)}
	all, err := k.authority.Bundles(ctx, nil)
	if err != nil {
		return x, err
	}
	for _, b := range all.Federated {
		if b.TrustDomain == d.TrustDomain {
			x.First = b
		}
	}
	if d.CAFile == "" {
		return x, nil
	}
	text, err := os.ReadFile(d.CAFile)
	if err != nil {
		return x, err
	}
	if d.EndpointID == "" {
		x.Roots = x509.NewCertPool()
		if !x.Roots.AppendCertsFromPEM(text) {
			return x, fmt.Errorf("%s: there is no certificate in it (write the roots of the endpoint's certificate, in PEM)", d.CAFile)
		}
		return x, nil
	}
	first, err := identity.ParseBundle(d.TrustDomain, text)
	if err != nil {
		return x, fmt.Errorf("%s: %w (it is what naru bundle prints there)", d.CAFile, err)
	}
	if x.First == nil || first.Sequence > x.First.Sequence {
		x.First = first
	}
	return x, nil
}

// Followers are those of now, for Register.
func (k *Keeper) Followers() (all []*Follower) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.all {
		if one.follower != nil {
			all = append(all, one.follower)
		}
	}
	return all
}

// Problems say which bundles are not to be had.
func (k *Keeper) Problems() (all []model.Problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for d, one := range k.all {
		err := one.err
		if one.follower != nil {
			err = one.follower.Trouble()
		}
		if err != nil {
			all = append(all, model.Problem{Origin: one.origin, Severity: model.Doubtful, Code: "no-bundle", Message: "the bundle of the trust domain " + d.TrustDomain + ": " + err.Error(),
				Hint: "what was known of it before is believed on"})
		}
	}
	slices.SortFunc(all, func(a, b model.Problem) int { return strings.Compare(a.Message, b.Message) })
	return all
}
