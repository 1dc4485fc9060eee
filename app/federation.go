package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/identity/federation"
	"github.com/naru-mesh/naru/model"
)

// federations follow the trust domains that the newest configuration names.
type federations struct {
	trust     string
	authority *ca.Authority
	log       *slog.Logger

	mu  sync.Mutex
	all map[model.Federation]*followed
}

// followed is one of them.
type followed struct {
	follower *federation.Follower // nil: it cannot be followed
	err      error                // why
	origin   model.Origin
	end      func() // waits
}

// follow keeps the bundles that a feed's configuration wants, until ctx ends.
func (f *federations) follow(ctx context.Context, feed model.Feed) {
	defer f.set(ctx, nil)
	after := model.Version("")
	for {
		s, err := feed.Next(ctx, after)
		if err != nil {
			return
		}
		after = s.Version
		f.set(ctx, meshOf(s))
	}
}

// set begins and ends followers; nil ends all, and keeps the bundles.
func (f *federations) set(ctx context.Context, m *model.Mesh) {
	var want []model.Federation
	if m != nil {
		want = m.Federated
	}
	f.mu.Lock()
	var ended []*followed
	for d, one := range f.all {
		if !slices.Contains(want, d) {
			ended = append(ended, one)
			delete(f.all, d)
		}
	}
	f.mu.Unlock()
	for _, one := range ended {
		one.end()
	}
	if m == nil {
		return
	}
	f.drop(ctx, want)
	for _, d := range want {
		f.mu.Lock()
		_, known := f.all[d]
		f.mu.Unlock()
		if known {
			continue
		}
		one := f.begin(d, m.Origin)
		f.mu.Lock()
		f.all[d] = one
		f.mu.Unlock()
	}
}

// drop ends the belief in trust domains that are not federated any more.
func (f *federations) drop(ctx context.Context, want []model.Federation) {
	known, err := f.authority.Bundles(ctx, nil)
	if err != nil {
		return // ctx has ended
	}
	for _, b := range known.Federated {
		if slices.ContainsFunc(want, func(d model.Federation) bool { return d.TrustDomain == b.TrustDomain }) {
			continue
		}
		for wait := time.Second; ; wait = min(2*wait, time.Minute) {
			err := f.authority.DropFederated(ctx, b.TrustDomain)
			if err == nil {
				f.log.Info("a trust domain is not believed any more", "trust domain", b.TrustDomain)
				break
			}
			f.log.Error("a trust domain is believed still", "trust domain", b.TrustDomain, "error", err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// begin follows one; what it has is for the time until the first answer.
func (f *federations) begin(d model.Federation, origin model.Origin) *followed {
	one := &followed{origin: origin, end: func() {}}
	ctx, cancel := context.WithCancel(context.Background())
	domain, err := f.domain(ctx, d)
	if err == nil {
		one.follower, err = federation.Follow(f.trust, domain, func(b *identity.Bundle) error { return f.authority.SetFederated(ctx, b) }, f.log)
	}
	if err != nil {
		cancel()
		one.err = err
		f.log.Error("a trust domain cannot be followed", "trust domain", d.TrustDomain, "error", err)
		return one
	}
	var run sync.WaitGroup
	run.Go(func() { one.follower.Run(ctx) })
	one.end = func() { cancel(); run.Wait() }
	return one
}

// domain reads what a federation names. The newest bundle that is known goes
// before the first.
func (f *federations) domain(ctx context.Context, d model.Federation) (federation.Domain, error) {
	x := federation.Domain{TrustDomain: d.TrustDomain, URL: d.URL, EndpointID: identity.ID(d.EndpointID)}
	all, err := f.authority.Bundles(ctx, nil)
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

// followers are those of now.
func (f *federations) followers() (all []*federation.Follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.all {
		if one.follower != nil {
			all = append(all, one.follower)
		}
	}
	return all
}

// problems say which bundles are not to be had.
func (f *federations) problems() (all []model.Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d, one := range f.all {
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

// endpointID is whose SVID our own bundle endpoint shows (https_spiffe): that
// of every replica.
func endpointID(trust string) identity.ID { return identity.ID("spiffe://" + trust + "/bundle") }

// bundleServer is our own bundle endpoint.
type bundleServer struct {
	listening string
	http      *http.Server
	agent     *agent.Agent
	release   func()
	over      chan struct{} // closed when it ends
}

func serveBundle(address, trust string, authority *ca.Authority, log *slog.Logger) (_ *bundleServer, err error) {
	b := &bundleServer{over: make(chan struct{})}
	if b.agent, err = agent.New(agent.Options{Authority: authority, Log: log}); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		b.agent.Close()
		return nil, fmt.Errorf("--bundle-listen: %w", err)
	}
	b.listening = ln.Addr().String()
	id := endpointID(trust)
	b.release = b.agent.Hold(id)
	own := func() *identity.Bundle {
		if all := b.agent.Bundles(); all != nil {
			return all.Own
		}
		return nil
	}
	b.http = &http.Server{
		Handler: federation.Handler(own), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' mistakes
	}
	tlsOf := federation.ServerTLS(id, b.agent.Certificate)
	go func() {
		defer close(b.over)
		if err := b.http.Serve(tls.NewListener(ln, tlsOf)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("our bundle is not served any more", "error", err)
		}
	}()
	log.Info("our bundle is served", "url", "https://"+b.listening+"/", "endpoint", id)
	return b, nil
}

func (b *bundleServer) close() {
	_ = b.http.Close()
	<-b.over
	b.release()
	b.agent.Close()
}
