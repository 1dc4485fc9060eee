package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// Bounds of what strangers can cause.
const (
	maxFlights = 32
	maxResting = 10_000
	maxFlight  = 3 * time.Minute
	askTimeout = 5 * time.Second
	firstRest  = time.Minute // after an order failed; doubled each time
	lastRest   = time.Hour
	askedRest  = 10 * time.Second // after the URL that was asked refused
)

// flight is an order on demand.
type flight struct {
	done   chan struct{}
	cancel context.CancelFunc
	cert   *tls.Certificate
	err    error
}

// rest is a name that is not tried for a while.
type rest struct {
	until time.Time
	pause time.Duration
	err   error
}

var errBusy = errors.New("too many certificates are being got on demand")

// refusal is the answer of the rule, not a failure.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// demanded says whether w lets certificates be got for name on demand, as far
// as that is known without asking.
func (w *want) demanded(name string) bool { return allowed(w.Issuance, name) }

func allowed(i *model.Issuance, name string) bool {
	if name == "" || len(i.OnDemand) == 0 && i.Ask == "" || identity.Obtainable(i, name) != "" || !certmagic.SubjectQualifiesForCert(name) {
		return false
	}
	return len(i.OnDemand) == 0 || slices.ContainsFunc(i.OnDemand, func(p string) bool { return identity.Covers(p, name) })
}

// decide is asked by certmagic before it loads or orders name on demand.
func (a *authority) decide(ctx context.Context, name string) error {
	a.mu.Lock()
	demands := a.demands
	a.mu.Unlock()
	err := error(refusal{"no listener allows a certificate for " + name})
	for _, i := range demands {
		if !allowed(i, name) {
			continue
		}
		if i.Ask == "" {
			return nil
		}
		if err = ask(ctx, i.Ask, name); err == nil {
			return nil
		}
	}
	return err
}

// ask asks u whether name may have a certificate.
func ask(ctx context.Context, u, name string) error {
	at, err := url.Parse(u)
	if err != nil {
		return err
	}
	q := at.Query()
	q.Set("domain", name)
	at.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	res, err := asking.Do(req)
	if err != nil {
		return fmt.Errorf("asking whether %s may have a certificate: %w", name, err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refusal{fmt.Sprintf("%s does not allow a certificate for %s: it says %d", u, name, res.StatusCode)}
	}
	return nil
}

// asking follows nobody elsewhere: a redirect is not a yes.
var asking = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// storedOnDemand gives what is in the cache for a name on demand, and has it
// renewed when that is due.
func (a *authority) storedOnDemand(n string, hello *tls.ClientHelloInfo) *tls.Certificate {
	cert, ok := a.find(n, hello)
	if !ok {
		return nil
	}
	if cert.NeedsRenewal(a.onDemand) {
		_, _ = a.fly(n, hello) // why it fails is told where it fails
		if cert.Expired() {
			return nil
		}
	}
	return &cert.Certificate
}

// demand gets a certificate for a name on demand. The order goes on when ctx
// ends: the next client finds its outcome.
func (a *authority) demand(ctx context.Context, n string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f, err := a.fly(n, hello)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.cert, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly gives the flight of n, a new one if need be.
func (a *authority) fly(n string, hello *tls.ClientHelloInfo) (*flight, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.flights[n]; f != nil {
		return f, nil
	}
	switch r := a.resting[n]; {
	case a.ctx.Err() != nil:
		return nil, errGone
	case r != nil && time.Now().Before(r.until):
		return nil, fmt.Errorf("not tried again before %s: %w", r.until.UTC().Format(time.TimeOnly), r.err)
	case len(a.flights) >= maxFlights:
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(a.ctx, maxFlight)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	a.flights[n] = f
	h := *hello
	h.ServerName, h.Conn = n, nowhere{} // the connection may be gone before the flight
	a.tasks.Go(func() {
		defer cancel()
		cert, err := a.onDemand.GetCertificateWithContext(ctx, &h)
		a.land(n, f, cert, err)
	})
	return f, nil
}

// land ends a flight.
func (a *authority) land(n string, f *flight, cert *tls.Certificate, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.flights, n)
	r := a.resting[n]
	switch no := (refusal{}); {
	case err == nil:
		f.cert = cert
		delete(a.resting, n)
	case r != nil && r.until.After(time.Now()):
		f.err = r.err // it failed, and event has seen why
	case errors.As(err, &no):
		f.err = no
		a.sleep(n, &rest{pause: askedRest, err: no})
		a.manager.log.Debug("no certificate on demand", "name", n, "why", no.why)
	default:
		f.err = err
		if a.ctx.Err() == nil {
			a.sleep(n, &rest{pause: askedRest, err: err})
			a.manager.log.Warn("no certificate on demand", "name", n, "error", err)
		}
	}
	close(f.done)
}

// tire ends the flight of a name whose order has failed: certmagic would keep
// its clients waiting for another try.
func (a *authority) tire(n string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.flights[n]
	if f == nil {
		return
	}
	pause := firstRest
	if r := a.resting[n]; r != nil && r.pause >= firstRest {
		pause = min(2*r.pause, lastRest)
	}
	a.sleep(n, &rest{pause: pause, err: err})
	f.cancel()
}

// sleep is with mu held.
func (a *authority) sleep(n string, r *rest) {
	now := time.Now()
	r.until = now.Add(r.pause)
	if len(a.resting) >= maxResting {
		for k, old := range a.resting {
			if old.until.Before(now) {
				delete(a.resting, k)
			}
		}
		if len(a.resting) >= maxResting {
			clear(a.resting)
		}
	}
	a.resting[n] = r
}

// maxDemandProblems bounds what is told of names that strangers asked for.
const maxDemandProblems = 20

// demandProblems are orders on demand of w that failed lately. What was
// refused is no problem.
func (a *authority) demandProblems(w *want) (list []model.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, n := range sorted(a.resting) {
		r := a.resting[n]
		no := refusal{}
		if len(list) == maxDemandProblems || errors.As(r.err, &no) || !w.demanded(n) || r.until.Before(now) {
			continue
		}
		list = append(list, model.Problem{Severity: model.Doubtful, Code: "no-certificate",
			Message: fmt.Sprintf("there is no certificate on demand for %s: %v", n, r.err), Hint: "it is tried again when a client asks for it"})
	}
	return list
}

var noHello = &tls.ClientHelloInfo{Conn: nowhere{}}

// nowhere is the connection of nobody.
type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return &net.TCPAddr{} }
func (nowhere) LocalAddr() net.Addr  { return &net.TCPAddr{} }
