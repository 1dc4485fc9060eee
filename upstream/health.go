package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/outlier"
	"github.com/naru-mesh/naru/wire"
)

// parallelChecks bounds how many checks of a Set wait for an answer at a time:
// each holds a socket.
const parallelChecks = 512

// checkAgent is what services see in their logs.
const checkAgent = "naru-health"

// watchHealth lets health checks run from now on.
func (c *Cluster) watchHealth() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = true
	c.startChecks()
}

// startChecks begins a check of each endpoint that has none. With c.mu held.
func (c *Cluster) startChecks() {
	if !c.checked || c.retired || c.spec.Load().service.Health == nil {
		return
	}
	for i := range c.members {
		c.startCheck(c.members[i].ep)
	}
}

// used says whether anything depends on how ep is: it may be chosen, or could be
// if it were well. Of a large service each proxy checks its own subset. With c.mu
// held.
func (c *Cluster) used(ep *Endpoint) bool {
	g := &c.layout.groups[ep.group]
	return g.subset == 0 || g.members[ep.row].seated || ep.sick.Load()
}

// recheck begins or ends the check of an endpoint whose use has changed. With
// c.mu held.
func (c *Cluster) recheck(ep *Endpoint) {
	if g := &c.layout.groups[ep.group]; ep.row >= len(g.members) || g.members[ep.row].ep != ep {
		return // removed
	}
	if c.used(ep) {
		c.startCheck(ep)
	} else {
		c.endCheck(ep)
	}
}

// startCheck begins one of ep, unless it has one. With c.mu held.
func (c *Cluster) startCheck(ep *Endpoint) {
	sp := c.spec.Load()
	if !c.checked || c.retired || sp.service.Health == nil || ep.endCheck != nil || !c.used(ep) {
		return
	}
	k := newCheck(c, ep, sp.service)
	k.own = sp.own
	var ctx context.Context
	ctx, ep.endCheck = context.WithCancel(c.owner.ctx)
	c.owner.launch(func() { k.run(ctx) })
}

// endChecks ends all checks, and when none will follow what they had found; the
// plan is left to the caller. With c.mu held.
func (c *Cluster) endChecks() {
	follow := c.spec.Load().service.Health != nil
	for _, m := range c.members {
		c.endCheck(m.ep)
		if !follow && m.ep.sick.Swap(false) {
			c.layout.note(m.ep)
		}
	}
}

// judge takes a verdict, and what the last check failed of, unless the check has ended.
func (c *Cluster) judge(ctx context.Context, ep *Endpoint, sick bool, of string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if ep.ails = of; ep.sick.Load() != sick {
		ep.sick.Store(sick)
		c.changed(ep)
	}
}

// endCheck ends the check of ep, and forgets what it has told. With c.mu held.
func (c *Cluster) endCheck(ep *Endpoint) {
	if ep.endCheck != nil {
		ep.endCheck()
		ep.endCheck, ep.ails = nil, ""
	}
}

// check asks one endpoint how it is, on a goroutine of its own.
type check struct {
	cluster *Cluster
	ep      *Endpoint
	cfg     model.HealthCheck // defaults filled in
	tls     *model.BackendTLS
	own     *model.Certificate
	dialer  func(t *model.BackendTLS, own *model.Certificate, host string, protocols ...string) (wire.Dialer, error)
	speaks  model.ServiceProtocol
	host    string // of the request
}

func newCheck(c *Cluster, ep *Endpoint, svc *model.Service) *check {
	k := &check{cluster: c, ep: ep, cfg: svc.Health.Filled(), tls: svc.TLS, speaks: svc.Protocol}
	if c != nil {
		k.dialer = c.owner.env.TLS
	}
	k.cfg.Interval, k.cfg.Timeout = min(k.cfg.Interval, longest), min(k.cfg.Timeout, longest)
	switch {
	case k.cfg.Host != "":
		k.host = k.cfg.Host
	case svc.Host != "":
		k.host = svc.Host
	default:
		k.host = net.JoinHostPort(ep.host, strconv.Itoa(int(ep.addr.Port())))
	}
	return k
}

// Results that contradict the state are soon followed by the next question, so
// that a change is known early: after a share of the interval, but no sooner
// than fastLeast.
const (
	fastShare = 5
	fastLeast = 200 * time.Millisecond
)

// pause is until the next question: the interval, give or take a tenth, so that
// the checks of many gateways do not come together.
func (k *check) pause(pending bool) time.Duration {
	d := k.cfg.Interval
	if pending {
		d = min(d, max(d/fastShare, fastLeast))
	}
	return d * time.Duration(900+rand.IntN(201)) / 1000
}

// run asks until ctx ends: at once, and then again and again, one question at a
// time. An address that never answers costs one attempt, bounded in time.
func (k *check) run(ctx context.Context) {
	log := k.cluster.owner.env.Log.With("service", k.cluster.name, "endpoint", k.ep.addr)
	ask, err := k.prepare(ctx)
	if err != nil {
		log.Error("health check is not possible; the endpoint counts as it did before", "error", err)
		k.cluster.judge(ctx, k.ep, k.ep.sick.Load(), observe.Brief(fmt.Errorf("health check is not possible: %w", err)))
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	against, told := outlier.Streak(0), ""
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case k.cluster.owner.checks <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := k.bounded(ctx, ask)
		<-k.cluster.owner.checks
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			k.cluster.passed(k.ep)
		}
		sick, of := k.ep.sick.Load(), observe.Brief(err)
		turns := against.Add(err != nil, sick, k.cfg.Healthy, k.cfg.Unhealthy)
		if turns || of != told {
			told = of
			k.cluster.judge(ctx, k.ep, sick != turns, of)
		}
		switch {
		case turns && sick:
			log.Info("endpoint is healthy")
		case turns:
			log.Warn("endpoint is unhealthy", "error", err)
		}
		timer.Reset(k.pause(against > 0))
	}
}

// prepare makes the question of the check's kind: nil is a healthy answer.
func (k *check) prepare(ctx context.Context) (ask func(context.Context) error, err error) {
	if k.cfg.Kind == model.HealthTCP {
		return k.connect, nil
	}
	if k.cfg.Kind == model.HealthTLS {
		lender, err := k.lender()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return k.shake(ctx, lender) }, nil
	}
	client, err := k.client()
	if err != nil {
		return nil, err
	}
	if k.cfg.Kind == model.HealthGRPC {
		return k.askGRPC(client), nil
	}
	target, err := url.ParseRequestURI(k.cfg.Path)
	if err != nil {
		return nil, err
	}
	target.Scheme, target.Host = k.scheme(), k.host // client's DialContext knows where
	req := (&http.Request{
		Method: http.MethodGet, URL: target, Host: k.host,
		Header: http.Header{"User-Agent": {checkAgent}},
	}).WithContext(ctx)
	return func(ctx context.Context) error { return k.askHTTP(ctx, client, req) }, nil
}

func (k *check) scheme() string {
	if k.tls != nil {
		return "https"
	}
	return "http"
}

// client makes one whose connections last for one check: that the endpoint
// takes new ones is part of being healthy.
//
// Checks are few and may take their time, so they are made with net/http, on
// goroutines of their own, and not on the loops, which serve: a check sees
// what a client of the service would see, whatever state the pools are in.
func (k *check) client() (*http.Client, error) {
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return k.dial(ctx)
		},
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              k.protocols(),
	}
	if k.tls != nil {
		lender, err := k.lender()
		if err != nil {
			return nil, err
		}
		transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return k.secure(ctx, lender) }
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// protocols are what the check speaks: that of the service, but gRPC is always
// HTTP/2.
func (k *check) protocols() *http.Protocols {
	p := new(http.Protocols)
	two := k.speaks == model.HTTP2 || k.cfg.Kind == model.HealthGRPC
	p.SetHTTP1(!two)
	p.SetHTTP2(k.tls != nil && (two || k.speaks == model.HTTPAuto))
	p.SetUnencryptedHTTP2(k.tls == nil && two)
	return p
}

// alpn is what protocols means over TLS.
func (k *check) alpn() []string {
	switch {
	case k.speaks == model.HTTP2 || k.cfg.Kind == model.HealthGRPC:
		return []string{"h2"}
	case k.speaks == model.HTTPAuto:
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// lender makes what checks with the same certificates, authorities and names
// as requests do.
func (k *check) lender() (wire.Lender, error) {
	if k.dialer == nil {
		return nil, errors.New("TLS to services is not available")
	}
	d, err := k.dialer(k.tls, k.own, k.ep.host, k.alpn()...)
	if err != nil {
		return nil, err
	}
	lender, ok := d.(wire.Lender)
	if !ok {
		return nil, errors.New("TLS for health checks is not available")
	}
	return lender, nil
}

// secure dials with TLS.
func (k *check) secure(ctx context.Context, lender wire.Lender) (net.Conn, error) {
	cfg, err := lender.Lend(k.ep.addr)
	if err != nil {
		return nil, err
	}
	plain, err := k.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := tls.Client(plain, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return c, nil
}

func (k *check) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", k.ep.addr.String())
}

// connect is the check of kind tcp.
func (k *check) connect(ctx context.Context) error {
	c, err := k.dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

// shake is the check of kind tls.
func (k *check) shake(ctx context.Context, lender wire.Lender) error {
	c, err := k.secure(ctx, lender)
	if err != nil {
		return err
	}
	return c.Close()
}

// bounded asks within the check's time.
func (k *check) bounded(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	err := ask(ctx)
	if errors.Is(err, context.DeadlineExceeded) || err != nil && ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("no answer within %v", k.cfg.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// askHTTP is the check of kind http.
func (k *check) askHTTP(ctx context.Context, client *http.Client, req *http.Request) error {
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode < k.cfg.MinStatus || res.StatusCode > k.cfg.MaxStatus {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
