package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/observe"
)

// Bounds.
const (
	// maxDocument bounds a bundle, in bytes: all proxies are told all of them, in
	// one message. One with ten roots and ten keys has about 20 KB.
	maxDocument = 128 << 10
	fetchFor    = 30 * time.Second
	// A bundle's own hint counts within these.
	minRefresh = 10 * time.Second
	maxRefresh = time.Hour
	firstPause = 5 * time.Second
)

// Domain is a trust domain that is followed.
type Domain struct {
	TrustDomain string
	URL         string // of its bundle endpoint, https
	// EndpointID is the identity that the endpoint must show (https_spiffe); ""
	// is https_web.
	EndpointID identity.ID
	// Roots are for https_web; nil is the system's.
	Roots *x509.CertPool
	// First is the bundle that the endpoint is checked with at first, for
	// https_spiffe with an EndpointID of TrustDomain itself: the newest that is
	// known. It is told, too, before anything is fetched.
	First *identity.Bundle
	// Others gives the bundles to check an endpoint with whose EndpointID is of
	// another trust domain. May be nil where it is not.
	Others func() *identity.Bundles
}

// Check says what is wrong with a Domain, for our own trust domain.
func (d *Domain) Check(own string) error {
	if err := identity.CheckTrustDomain(d.TrustDomain); err != nil {
		return err
	}
	if d.TrustDomain == own {
		return fmt.Errorf("trust domain %s is our own: federate with others", own)
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("the bundle endpoint of %s is %q (write https://host/path)", d.TrustDomain, d.URL)
	}
	if d.EndpointID == "" {
		return nil
	}
	id, err := identity.ParseID(string(d.EndpointID))
	switch {
	case err != nil:
		return fmt.Errorf("the bundle endpoint of %s: %w", d.TrustDomain, err)
	case id.TrustDomain() == d.TrustDomain && d.First == nil:
		return fmt.Errorf("the bundle endpoint of %s is to show %s, and no first bundle is given to check that with", d.TrustDomain, id)
	case id.TrustDomain() != d.TrustDomain && d.Others == nil:
		return fmt.Errorf("the bundle endpoint of %s is to show %s, which is of another trust domain, of which no bundle is known", d.TrustDomain, id)
	}
	return nil
}

// Follower follows one Domain.
type Follower struct {
	domain Domain
	tell   func(*identity.Bundle) error
	log    *slog.Logger
	last   atomic.Pointer[identity.Bundle]
	retry  chan struct{} // holds one

	fetched, failed atomic.Uint64
	when            atomic.Int64 // of the last success, Unix seconds; 0: none
	trouble         atomic.Pointer[error]
}

// Follow makes a Follower. tell is told each new bundle, on Run's goroutine; an
// error of it has it told again. log may be nil. own is our own trust domain.
func Follow(own string, d Domain, tell func(*identity.Bundle) error, log *slog.Logger) (*Follower, error) {
	if err := d.Check(own); err != nil {
		return nil, err
	}
	if d.First != nil && d.First.TrustDomain != d.TrustDomain {
		return nil, fmt.Errorf("the first bundle of %s is of %s", d.TrustDomain, d.First.TrustDomain)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{domain: d, tell: tell, log: log, retry: make(chan struct{}, 1)}
	f.last.Store(d.First)
	return f, nil
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	transport := f.transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: fetchFor, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	pause := time.Duration(0)
	told := false // First, or what was fetched
	for ctx.Err() == nil {
		if b := f.last.Load(); b != nil && !told {
			told = f.tell(b) == nil
		}
		b, err := f.fetch(ctx, client)
		if err == nil {
			err = f.take(b, told)
			told = told || err == nil
		}
		var wait time.Duration
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			f.failed.Add(1)
			f.trouble.Store(&err)
			pause = min(max(2*pause, firstPause), f.refresh())
			wait = pause/2 + rand.N(pause/2)
			f.log.Warn("the bundle of a federated trust domain could not be got; the last one stays", "trust domain", f.domain.TrustDomain,
				"again in", wait.Round(time.Millisecond), "err", err)
		} else {
			f.fetched.Add(1)
			f.trouble.Store(nil)
			f.when.Store(time.Now().Unix())
			pause = 0
			hint := f.refresh()
			wait = hint - rand.N(hint/10)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-f.retry:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// Retry asks the endpoint now.
func (f *Follower) Retry() {
	select {
	case f.retry <- struct{}{}:
	default:
	}
}

// refresh is how often to ask.
func (f *Follower) refresh() time.Duration {
	hint := identity.DefaultRefresh
	if b := f.last.Load(); b != nil && b.Refresh > 0 {
		hint = b.Refresh
	}
	return min(max(hint, minRefresh), maxRefresh)
}

// take makes b the bundle, if it is another and not an older one.
func (f *Follower) take(b *identity.Bundle, told bool) error {
	old := f.last.Load()
	if told && old.Equal(b) {
		return nil
	}
	if old != nil && b.Sequence < old.Sequence {
		return fmt.Errorf("the endpoint gave sequence %d, and %d is known already: where it has begun anew, take the trust domain out of the configuration and put it back", b.Sequence, old.Sequence)
	}
	if err := f.tell(b); err != nil {
		return err
	}
	f.last.Store(b)
	return nil
}

func (f *Follower) transport() *http.Transport {
	t := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: fetchFor, ResponseHeaderTimeout: fetchFor, MaxResponseHeaderBytes: 64 << 10,
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.domain.Roots}}
	if f.domain.EndpointID == "" {
		return t
	}
	// No connection outlives an answer: each is checked with the bundle of now.
	t.DisableKeepAlives = true
	t.TLSClientConfig.InsecureSkipVerify = true // a name is not what is checked, but what follows
	t.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
		id, err := f.verifier().Verify(s.PeerCertificates, time.Now())
		if err == nil && id != f.domain.EndpointID {
			err = fmt.Errorf("%w: the endpoint is %s, not %s", identity.ErrBadSVID, id, f.domain.EndpointID)
		}
		return err
	}
	return t
}

func (f *Follower) verifier() *identity.Verifier {
	if f.domain.EndpointID.TrustDomain() == f.domain.TrustDomain {
		return identity.NewVerifier(&identity.Bundles{Federated: []*identity.Bundle{f.last.Load()}})
	}
	if b := f.domain.Others(); b != nil {
		return identity.NewVerifier(b)
	}
	return identity.NewVerifier(&identity.Bundles{})
}

func (f *Follower) fetch(ctx context.Context, client *http.Client) (*identity.Bundle, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.domain.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", f.domain.URL, response.Status)
	}
	doc, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, err
	case len(doc) > maxDocument:
		return nil, fmt.Errorf("%s gave a bundle of more than %d KiB", f.domain.URL, maxDocument>>10)
	}
	return identity.ParseBundle(f.domain.TrustDomain, doc)
}

// Trouble is why there is no newer bundle, nil where it is new.
func (f *Follower) Trouble() error {
	if err := f.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Register adds the metrics of followers, by trust domain. all gives those of
// now.
func Register(g *observe.Registry, all func() []*Follower) {
	g.Func("naru_federation_fetches_total", "Times that the bundle endpoint of a federated trust domain was asked, by whether it gave one.", observe.KindCounter,
		[]string{"trust_domain", "result"}, func(emit func(float64, ...string)) {
			for _, f := range all() {
				emit(float64(f.fetched.Load()), f.domain.TrustDomain, "ok")
				emit(float64(f.failed.Load()), f.domain.TrustDomain, "failed")
			}
		})
	g.Func("naru_federation_fetched_timestamp_seconds", "When the bundle endpoint of a federated trust domain last gave a bundle, in seconds since 1970.", observe.KindGauge,
		[]string{"trust_domain"}, func(emit func(float64, ...string)) {
			for _, f := range all() {
				if when := f.when.Load(); when > 0 {
					emit(float64(when), f.domain.TrustDomain)
				}
			}
		})
}
