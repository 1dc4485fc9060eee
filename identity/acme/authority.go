package acme

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// authority is one account at one directory.
type authority struct {
	manager *Manager
	cache   *certmagic.Cache
	// Two configurations of one account: certmagic renews certificates of the
	// first by itself, those of the second when a client asks for them.
	held, onDemand *certmagic.Config
	ctx            context.Context // ends with close
	cancel         context.CancelFunc
	tasks          sync.WaitGroup
	closing        sync.Once

	mu      sync.Mutex
	names   map[string]*name
	demands []*model.Issuance
	known   map[string]bool // names whose certificates are in the cache
	flights map[string]*flight
	resting map[string]*rest
}

// name is one that a certificate is held for.
type name struct {
	cancel  context.CancelFunc
	settled chan struct{} // closed once it is known how the first order went
	trouble error         // of the last order; nil when it went well
	started bool          // settled is closed
}

// maxCached bounds the certificates in memory of one authority; those of
// names on demand are read from storage again.
const maxCached = 10_000

func newAuthority(m *Manager, key account) (*authority, error) {
	if key.storage == "" {
		return nil, errors.New("there is no folder to keep certificates in: name one as storage")
	}
	if err := writable(key.storage); err != nil {
		return nil, fmt.Errorf("certificates cannot be kept: %w", err)
	}
	var roots *x509.CertPool
	if key.caFile != "" {
		text, err := os.ReadFile(key.caFile)
		if err != nil {
			return nil, fmt.Errorf("the authority's own roots: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the authority's own roots: %s holds no PEM certificate", key.caFile)
		}
	}
	a := &authority{
		manager: m, names: map[string]*name{}, known: map[string]bool{},
		flights: map[string]*flight{}, resting: map[string]*rest{},
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	log := newZap(m.log)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   a.configOf,
		RenewCheckInterval: m.opt.Check,
		Capacity:           maxCached,
		Logger:             log,
	})
	base := certmagic.Config{
		RenewalWindowRatio: m.opt.Left,
		Storage:            &certmagic.FileStorage{Path: key.storage},
		OnEvent:            a.event,
		ShouldEmitFunc:     func(string) bool { return false }, // handshakes: not worth an event
		Logger:             log,
	}
	a.held = certmagic.New(a.cache, base)
	iss := issuer{certmagic.NewACMEIssuer(a.held, certmagic.ACMEIssuer{
		CA: key.directory, Email: key.email, Agreed: true, TrustedRoots: roots, Logger: log,
		// What is to be answered is in memory; see anchor.go.
		DisableDistributedSolvers: true,
		ListenHost:                anchorHost, AltHTTPPort: m.anchor.port, AltTLSALPNPort: m.anchor.port,
	})}
	a.held.Issuers = []certmagic.Issuer{iss}
	base.OnDemand = &certmagic.OnDemandConfig{DecisionFunc: a.decide}
	base.Issuers = a.held.Issuers
	a.onDemand = certmagic.New(a.cache, base)
	return a, nil
}

// issuer is certmagic's without its habits of asking the terminal for an email
// address, and of taking over the one that another account has.
type issuer struct{ of *certmagic.ACMEIssuer }

func (i issuer) IssuerKey() string { return i.of.IssuerKey() }

func (i issuer) PreCheck(ctx context.Context, names []string, _ bool) error {
	if i.of.Email == "" {
		return nil
	}
	return i.of.PreCheck(ctx, names, false)
}

func (i issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	return i.of.Issue(ctx, csr)
}

func (i issuer) Revoke(ctx context.Context, cert certmagic.CertificateResource, reason int) error {
	return i.of.Revoke(ctx, cert, reason)
}

func (i issuer) GetRenewalInfo(ctx context.Context, cert certmagic.Certificate) (acme.RenewalInfo, error) {
	return i.of.GetRenewalInfo(ctx, cert)
}

var _ interface {
	certmagic.Issuer
	certmagic.PreChecker
	certmagic.Revoker
	certmagic.RenewalInfoGetter
} = issuer{}

// writable says why nothing can be kept in folder, which is made.
func writable(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".writable-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// configOf tells certmagic who renews cert.
func (a *authority) configOf(cert certmagic.Certificate) (*certmagic.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range cert.Names {
		if a.names[n] != nil {
			return a.held, nil
		}
	}
	return a.onDemand, nil
}

// hold makes names those that certificates are held for, and demands the rules
// for others. One caller at a time.
func (a *authority) hold(names map[string]bool, demands []*model.Issuance) {
	a.mu.Lock()
	a.demands = demands
	var gone []certmagic.SubjectIssuer
	for n, was := range a.names {
		if !names[n] {
			was.cancel()
			was.settle(errGone)
			delete(a.names, n)
			delete(a.known, n)
			gone = append(gone, certmagic.SubjectIssuer{Subject: n})
		}
	}
	a.mu.Unlock()
	a.cache.RemoveManaged(gone) // without mu: the cache calls configOf in its lock

	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range sorted(names) {
		if a.names[n] == nil {
			ctx, cancel := context.WithCancel(a.ctx)
			a.names[n] = &name{cancel: cancel, settled: make(chan struct{})}
			a.tasks.Go(func() { a.manage(ctx, n) })
		}
	}
}

var errGone = errors.New("its listener is gone")

// manage gets the certificate of n, from storage or the authority, and has it
// renewed from then on. certmagic goes on trying until ctx ends.
func (a *authority) manage(ctx context.Context, n string) {
	if err := a.held.ManageAsync(ctx, []string{n}); err != nil {
		a.settle(n, err)
	}
}

// stored is a certificate of a held name, be it old.
func (a *authority) stored(n string, hello *tls.ClientHelloInfo) *tls.Certificate {
	if cert, ok := a.find(n, hello); ok {
		return &cert.Certificate
	}
	return nil
}

func (a *authority) find(n string, hello *tls.ClientHelloInfo) (certmagic.Certificate, bool) {
	list := a.cache.AllMatchingCertificates(n)
	if len(list) == 0 {
		return certmagic.Certificate{}, false
	}
	cert, err := certmagic.DefaultCertificateSelector(hello, list)
	return cert, err == nil
}

// await waits until it is known how the first order of a held name went.
func (a *authority) await(ctx context.Context, n string) error {
	a.mu.Lock()
	held := a.names[n]
	a.mu.Unlock()
	if held == nil {
		return errGone
	}
	select {
	case <-held.settled:
	case <-ctx.Done():
		return fmt.Errorf("the certificate of %s has not come yet: %w", n, ctx.Err())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if held.trouble != nil {
		return fmt.Errorf("there is no certificate for %s: %w", n, held.trouble)
	}
	return nil
}

// close ends what runs, and waits for what is its own.
func (a *authority) close() {
	a.closing.Do(func() {
		a.cancel()
		a.mu.Lock()
		for _, n := range a.names {
			n.settle(errGone)
		}
		a.mu.Unlock()
		a.tasks.Wait()
		a.cache.Stop()
	})
}

// holdings are the certificates in the cache.
func (a *authority) holdings() (all []identity.Holding) {
	a.mu.Lock()
	names := sorted(a.known)
	a.mu.Unlock()
	for _, n := range names {
		cert, ok := a.find(n, &tls.ClientHelloInfo{})
		if !ok || cert.Leaf == nil {
			continue
		}
		by := cert.Leaf.Issuer
		all = append(all, identity.Holding{Name: n, Issuer: cmp.Or(by.CommonName, by.String()), NotAfter: cert.Leaf.NotAfter})
	}
	return all
}
