package app

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/export"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/wire/loop"
)

// RunNode serves this machine's workloads by a control plane elsewhere, until
// ctx ends.
func RunNode(ctx context.Context, opt Options) error {
	g, err := newGateway(opt)
	if err != nil {
		return err
	}
	defer g.close()
	m := &g.opt.Mesh
	o := link.ClientOptions{
		Node: m.Node, Servers: m.Control, Token: m.Token, Version: Version(), Log: g.log,
		Certificates: g.held, Backoff: 5 * time.Second, Serves: true,
	}
	if m.Gateway {
		o.Subscriptions, o.Counts = link.ForGateway(), g.counted()
	}
	if err := m.credential(&o); err != nil {
		return err
	}
	if m.Data != "" {
		sealer, err := identity.OpenSealer(m.SealKey, m.Data)
		if err != nil {
			return err
		}
		o.State = filepath.Join(m.Data, "link")
		o.Seal = func(b []byte) ([]byte, error) { return sealer.Seal("link", b), nil }
		o.Open = func(b []byte) ([]byte, error) { return sealer.Open("link", b) }
	}
	if g.client, err = link.NewClient(o); err != nil {
		return err
	}
	if m.somewhere {
		m.Address = ownAddress(g.client.Servers())
	}
	g.client.At(netip.AddrPortFrom(netip.MustParseAddr(m.Address), m.MeshPort).String())
	g.measureLink()
	run := func(ctx context.Context) {
		if err := g.client.Run(ctx); err != nil && ctx.Err() == nil {
			g.fail(err)
			g.log.Error("the control plane is not followed any more", "error", err)
		}
	}
	begin := func(_ context.Context, s *model.Snapshot) error {
		n, err := g.beginNode(g.client, trustOf(s), meshOf(s).Domain, m.Gateway)
		if err == nil {
			n.serving = g.client.Serves
			n.tasks.Go(func() { g.returning(n) })
		}
		return err
	}
	return g.serve(ctx, g.client, run, begin)
}

// held are the certificates of this process, for naru status.
func (g *gateway) held() (all []link.CertificateState) {
	a := g.identities.agent.Load()
	if a == nil {
		return nil
	}
	for _, h := range a.Held() {
		if !h.NotAfter.IsZero() {
			all = append(all, link.CertificateState{ID: string(h.ID), NotAfter: h.NotAfter.Unix()})
		}
	}
	return all
}

// returning has what is due signed at once when the control plane, or its store,
// is back.
func (g *gateway) returning(n *node) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	able := true
	for {
		select {
		case <-n.over:
			return
		case <-t.C:
		}
		s := g.client.Status()
		now := s.Connected && s.Limited == ""
		if now && !able {
			n.agent.Retry()
		}
		able = now
	}
}

// meetPlane opens the socket of naru token and naru status.
func (g *gateway) meetPlane() error {
	if g.plane.met {
		return nil
	}
	server, err := admin.ListenPlane(g.opt.Mesh.ControlSocket, g.plane.view, g.log)
	if err != nil {
		return err
	}
	g.plane.met = true
	g.plane.tasks.Go(func() { _ = server.Serve() })
	context.AfterFunc(g.plane.ctx, server.Close)
	return nil
}

// planeView is admin.Plane.
type planeView struct {
	*controlPlane
	all func() []model.Problem
	own func() admin.ProxyStatus // the proxy in this process; nil without one
}

// own is the proxy in this process, as naru status shows it.
func (g *gateway) own() admin.ProxyStatus {
	p := admin.ProxyStatus{Node: g.opt.Mesh.Node, Gateway: true, Version: Version(), From: "this process", Since: g.began, Replica: g.opt.Mesh.Node, Bundles: true}
	if prog := g.proxy.Program(); prog != nil {
		p.Configuration = string(cmp.Or(g.lowering.Of(prog.Snapshot.Version), prog.Snapshot.Version))
	}
	for _, c := range g.held() {
		if at := time.Unix(c.NotAfter, 0); p.Next.IsZero() || at.Before(p.Next) {
			p.Next = at
		}
	}
	return p
}

// grantOf is what is wished for a node.
func grantOf(w admin.TokenWish) link.Grant {
	return link.Grant{Node: w.Node, Gateway: w.Gateway, Any: w.Any, Namespaces: w.Namespaces, Accounts: w.Accounts, Addresses: w.Addresses}
}

func (v planeView) Token(ctx context.Context, w admin.TokenWish) (admin.TokenMade, error) {
	g := grantOf(w)
	text, err := v.token(ctx, g, w.TTL)
	return admin.TokenMade{Token: text, May: g.String(), At: v.advertised()}, err
}

func (v planeView) Grant(ctx context.Context, w admin.TokenWish) (string, error) {
	g, err := link.ChangeGrant(ctx, v.store, w.Node, func(g *link.Grant) {
		if w.Only {
			*g = link.Grant{}
		}
		g.Add(grantOf(w))
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("there is no node %s: nodes are there once they have joined", w.Node)
	}
	return g.String(), err
}

func (v planeView) Forget(ctx context.Context, node string) error {
	a, err := v.signer()
	if err != nil {
		return err
	}
	err = link.RemoveNode(ctx, v.store, node)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no node %s", node)
	}
	if err != nil {
		return err
	}
	return a.Forget(ctx, identity.ForgetMachine(node, time.Now()))
}

// forgetTime is what those have to get new certificates who have an identity by
// right, before the old ones are refused.
const forgetTime = 10 * time.Second

func (v planeView) ForgetIdentity(ctx context.Context, namespace, account string) error {
	a, err := v.signer()
	if err != nil {
		return err
	}
	for what, name := range map[string]string{"namespace": namespace, "account": account} {
		if err := noName(what, name); err != nil {
			return err
		}
	}
	v.mu.Lock()
	trust := v.trust
	v.mu.Unlock()
	now := time.Now()
	return a.Forget(ctx, identity.Forgotten{ID: identity.WorkloadID(trust, namespace, account), Issued: now.Truncate(time.Second), From: now.Add(forgetTime)})
}

func (v planeView) Bundle(ctx context.Context) ([]byte, error) {
	a, err := v.signer()
	if err != nil {
		return nil, err
	}
	all, err := a.Bundles(ctx, nil)
	if err != nil {
		return nil, err
	}
	return all.Own.Document()
}

func (v planeView) Rotate(ctx context.Context) error {
	a, err := v.signer()
	if err != nil {
		return err
	}
	return a.Rotate(ctx)
}

func (v planeView) Reissue(context.Context) error {
	a, err := v.signer()
	if err != nil {
		return err
	}
	return a.Reissue()
}

// here is the state without what the other replicas know.
func (v planeView) here(ctx context.Context) (*admin.PlaneStatus, error) {
	authority, err := v.signer()
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	server, enclosed, trust, listening := v.server, v.enclosed, v.trust, v.listening
	v.mu.Unlock()
	a := authority.Status()
	s := &admin.PlaneStatus{
		Version: Version(), Replica: v.opt.Node, TrustDomain: trust, Listening: listening, Problems: len(v.all()), Published: a.Published,
		Proxies: []admin.ProxyStatus{}, Workloads: []admin.WorkloadView{},
	}
	for _, f := range a.Forgotten {
		s.Forgotten = append(s.Forgotten, f.String())
	}
	for _, r := range a.Roots {
		s.Roots = append(s.Roots, admin.RootStatus{Subject: r.Subject, Stage: r.Stage, NotAfter: r.NotAfter})
	}
	if server != nil {
		s.Limited = server.Limited()
	}
	if e := v.etcd(); e != nil && s.Limited == "" {
		short, cancel := context.WithTimeout(ctx, time.Second)
		if status, err := e.Status(short); err == nil {
			s.Store = status
		}
		cancel()
	}
	if now := v.rollouts.Snapshot(); now != nil {
		s.Configuration = string(now.Version)
		for _, w := range now.Workloads {
			view := admin.WorkloadView{Name: w.Name, Node: w.Node, Address: w.Address, State: cmp.Or(string(w.State), "serving")}
			for _, p := range w.Ports {
				view.Services = append(view.Services, p.Service)
			}
			s.Workloads = append(s.Workloads, view)
		}
	}
	if v.own != nil {
		s.Proxies = append(s.Proxies, v.own())
	}
	if server == nil {
		return s, nil
	}
	if root := server.Root(); root != nil {
		hash := link.RootHash(root)
		s.RootHash = hex.EncodeToString(hash[:])
	}
	for _, p := range server.Status() {
		one := admin.ProxyStatus{
			Node: p.Node, Gateway: p.Gateway, Version: p.Version, From: p.From, Since: p.Since,
			Configuration: string(enclosed.Of(p.System)), Lag: p.Lag, Silent: p.Silent, Skew: p.Skew, Certificate: p.Certificate, Bundles: p.Bundles, Replica: v.opt.Node,
		}
		for _, r := range p.Refusals {
			one.Refusals = append(one.Refusals, fmt.Sprintf("%s %s: %s (%s)", r.Kind, r.Name, r.Message, r.Origin))
		}
		for _, d := range p.Denied {
			one.Denied = append(one.Denied, d.Account+": "+d.Why)
		}
		for _, c := range p.Certificates {
			if at := time.Unix(c.NotAfter, 0); one.Next.IsZero() || at.Before(one.Next) {
				one.Next = at
			}
		}
		s.Proxies = append(s.Proxies, one)
	}
	return s, nil
}

// RunControl is the control plane alone, until ctx ends.
func RunControl(ctx context.Context, opt Options) error {
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := opt.Mesh.settle(); err != nil {
		return err
	}
	opt.Mesh.listenFlag = "--listen"
	registry := observe.NewRegistry(1)
	plane, err := openControlPlane(opt.Mesh, log, registry)
	if err != nil {
		return err
	}
	defer plane.close()
	src, err := sources(opt)
	if err != nil {
		return err
	}
	c := control.New(control.Options{Sources: append(src, plane.source()), Dialects: Dialects(), Log: log})
	c.Observe(registry)
	export.Process(registry, Version())
	plane.control = c
	problems := func() []model.Problem { return append(slices.Clone(c.Problems()), plane.problems()...) }
	view := planeView{plane, problems, nil}
	plane.view = view
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	rollouts := plane.keep(c, registry)
	go func() {
		var both sync.WaitGroup
		both.Go(func() { rollouts.Run(running) })
		c.Run(running)
		both.Wait()
		close(ended)
	}()
	defer func() { stop(); <-ended }()

	s, err := c.Next(ctx, "")
	if err != nil {
		return nil // told to stop
	}
	if s.Mesh == nil {
		return errNoMesh
	}
	if err := plane.beginOrWait(ctx, s); err != nil {
		return err
	}
	meet, err := admin.ListenPlane(opt.Mesh.ControlSocket, view, log)
	if err != nil {
		return err
	}
	defer meet.Close()
	go func() { _ = meet.Serve() }()
	at := "off"
	if addr := cmp.Or(opt.Admin, s.Settings.Admin, admin.DefaultAddr); addr != "off" {
		server, err := admin.Listen(addr, admin.Sources{
			Metrics: export.Prometheus(registry), Ready: func() (bool, string) {
				if away := plane.missing(); away != nil {
					return false, "the control plane has not begun: " + away.Error()
				}
				return true, ""
			},
			Snapshot: rollouts.Snapshot, Problems: problems, Log: log,
			Status: func() any {
				status, err := view.Status(context.Background())
				if err != nil {
					return err.Error()
				}
				return status
			},
		})
		if err != nil {
			return err
		}
		defer server.Close()
		go func() { _ = server.Serve() }()
		at = "http://" + server.Addr()
	}
	nodes, trust := plane.place(s)
	if opt.JSON {
		fmt.Fprintf(opt.Out, `{"event":"running","version":%q,"control":%q,"admin":%q,"configuration":%q}`+"\n", Version(), nodes, at, s.Version)
	} else {
		fmt.Fprintf(opt.Out, "naru %s is running, control plane of %s\n  nodes  %s\n  admin  %s\ntry:  naru token create --node NAME --account ACCOUNT, and there naru node --join TOKEN\nCtrl-C stops it.\n",
			Version(), trust, nodes, at)
	}
	loop.Release()
	<-ctx.Done()
	return nil
}
