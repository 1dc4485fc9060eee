package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/enclose"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/identity/federation"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/rollout"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/source/stored"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/etcd"
	"github.com/naru-mesh/naru/store/late"
)

// controlPlane is the control plane in this process: the authority, who
// remembers, and the link to other processes.
type controlPlane struct {
	opt      MeshOptions
	log      *slog.Logger
	registry *observe.Registry
	store    *late.Store
	sealer   *identity.Sealer // there when the store is
	workers  *link.StoreRegistry
	control  *control.Control
	rollouts *rollout.Keeper // a Feed: control's, with the weights of now
	met      bool            // the socket of naru status is open
	view     planeView       // what of it is shown; set before begin
	began    time.Time

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	begun  chan struct{} // closed when there is an authority

	mu        sync.Mutex
	away      error // why it has not begun, though it was to
	trust     string
	authority *ca.Authority
	server    *link.Server
	enclosed  *enclose.Feed // what it tells of; nil without it
	listening string
	resident  map[string]*model.Workload // what this process has registered
	federated *federation.Keeper
	bundle    *bundleServer
	joiners   []link.Joiner
}

// openControlPlane opens the store. The rest begins with the first
// configuration that has a mesh, because that names the trust domain.
func openControlPlane(opt MeshOptions, log *slog.Logger, registry *observe.Registry) (_ *controlPlane, err error) {
	c := &controlPlane{opt: opt, log: log, registry: registry, began: time.Now().UTC(), begun: make(chan struct{}), resident: map[string]*model.Workload{}}
	if c.store, err = late.Open(c.openState, log); err != nil {
		return nil, err
	}
	if c.joiners, err = opt.Join.joiners(); err != nil {
		return nil, errors.Join(err, c.store.Close())
	}
	c.workers = link.NewStoreRegistry(c.store)
	c.workers.TTL = opt.Lease
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// openState opens the store, and what seals the keys in it.
func (c *controlPlane) openState() (s store.Store, err error) {
	s, c.sealer, err = openState(&c.opt, c.log)
	return s, err
}

// etcd is the store where it is one, nil otherwise.
func (c *controlPlane) etcd() *etcd.Store {
	inner, _ := c.store.Now()
	e, _ := inner.(*etcd.Store)
	return e
}

// source is the documents that the store has.
func (c *controlPlane) source() source.Source {
	s := stored.New(c.store, c.log)
	if c.opt.Data != "" {
		alone := len(c.opt.State.Etcd)+len(c.opt.State.Peers) == 0
		s.Keep(filepath.Join(c.opt.Data, "documents"), alone)
	}
	return s
}

// begin starts what needs to know the trust domain; once.
func (c *controlPlane) begin(ctx context.Context, s *model.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.authority != nil {
		return nil
	}
	trust := trustOf(s)
	if _, err := c.store.Now(); err != nil {
		return fmt.Errorf("the authority of the mesh: %w", err)
	}
	options := ca.Options{TrustDomain: trust, Store: c.store, Sealer: c.sealer, TTL: c.opt.CertificateLife, Replica: c.opt.Node, Log: c.log}
	if c.opt.Given.ChainFile != "" {
		options.Given = &c.opt.Given
	}
	authority, err := ca.New(ctx, options)
	if err != nil {
		return fmt.Errorf("the authority of the mesh: %w", err)
	}
	if c.opt.BundleListen != "" {
		if c.bundle, err = serveBundle(c.opt.BundleListen, trust, authority, c.log); err != nil {
			return err
		}
		defer func() {
			if c.authority == nil { // something below has failed
				c.bundle.close()
				c.bundle = nil
			}
		}()
	}
	if c.opt.Listen != "" {
		ln, err := net.Listen("tcp", c.opt.Listen)
		if err != nil {
			return fmt.Errorf("control plane: %w (%s ADDRESS takes another)", err, cmp.Or(c.opt.listenFlag, "--control-listen"))
		}
		c.enclosed = enclose.New(c.rollouts, c.log)
		server, err := link.NewServer(link.ServerOptions{
			Name: c.opt.Node, TrustDomain: trust, Feed: c.enclosed, Authority: authority, Store: c.store, Registry: c.workers, Joiners: c.joiners, Report: c.report, Log: c.log,
			Heartbeat: min(link.DefaultHeartbeat, cmp.Or(c.opt.Lease, link.RegistrationTTL)/3),
		})
		if err != nil {
			ln.Close()
			return err
		}
		c.server, c.listening = server, ln.Addr().String()
		server.Metrics(c.registry)
		c.tasks.Go(func() {
			if err := server.Serve(c.ctx, ln); err != nil && c.ctx.Err() == nil {
				c.log.Error("nodes are not served any more", "error", err)
			}
		})
		c.log.Info("nodes are served", "address", c.listening)
	}
	authority.Register(c.registry)
	if e := c.etcd(); e != nil {
		e.Observe(c.registry)
	}
	c.tasks.Go(func() { authority.Run(c.ctx) })
	c.tasks.Go(func() { c.rotate(authority, c.server) })
	c.tasks.Go(c.stay)
	c.federated = federation.NewKeeper(trust, authority, c.log)
	federation.Register(c.registry, c.federated.Followers)
	c.tasks.Go(func() { c.federated.Run(c.ctx, c.control) })
	c.trust, c.authority = trust, authority
	close(c.begun)
	c.announce()
	return nil
}

// ownMargin is for how long proxies must have had the newest bundle before it
// counts: what they have got they take in a moment later.
const ownMargin = time.Second

// rotate tells the authority when all proxies have the newest bundle. That of
// this process has it with the authority; server is nil where there are no others.
func (c *controlPlane) rotate(authority *ca.Authority, server *link.Server) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var since time.Time // all have had it
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		at := authority.Status().Published
		if at == 0 || server != nil && slices.ContainsFunc(server.Status(), func(p link.ProxyStatus) bool { return !p.Bundles }) {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < ownMargin*9/10 { // the tick is not exact
			continue
		}
		if err := c.informed(at); err != nil {
			c.log.Debug("the new root does not sign yet", "why", err)
			continue
		}
		if err := authority.Acknowledged(c.ctx, at); err != nil && c.ctx.Err() == nil {
			c.log.Warn("the new root does not sign yet", "error", err)
		}
	}
}

// stay keeps what this process has registered.
func (c *controlPlane) stay() {
	t := time.NewTicker(cmp.Or(c.opt.Lease, link.RegistrationTTL) / 4)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		if c.workers.Alive(c.ctx, c.opt.Node) == nil {
			continue
		}
		c.mu.Lock()
		list := make([]*model.Workload, 0, len(c.resident))
		for _, w := range c.resident {
			list = append(list, w)
		}
		c.mu.Unlock()
		for _, w := range list {
			if err := c.workers.Register(c.ctx, c.opt.Node, w); err != nil && c.ctx.Err() == nil {
				c.log.Warn("a workload is not registered", "workload", w.Name, "error", err)
			}
		}
	}
}

// errNoMesh is why there are no tokens.
var errNoMesh = errors.New("there is no mesh: write mesh: {} in the configuration")

// token makes a token for a node.
func (c *controlPlane) token(ctx context.Context, grant link.Grant, ttl time.Duration) (string, error) {
	c.mu.Lock()
	server, trust := c.server, c.trust
	c.mu.Unlock()
	if away := c.missing(); away != nil {
		return "", fmt.Errorf("the control plane has not begun: %w", away)
	}
	switch {
	case trust == "":
		return "", errNoMesh
	case server == nil:
		return "", errors.New("this control plane serves no nodes: start it with --control-listen 0.0.0.0:15012")
	case server.Limited() != "":
		return "", errors.New("no token can be made now: " + server.Limited())
	case server.Root() == nil:
		return "", errors.New("the control plane is about to begin; try again in a moment")
	}
	t, err := link.CreateToken(ctx, c.store, grant, ttl, time.Now(), server.Root(), trust, c.advertised())
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

// advertised are the addresses that nodes are told.
func (c *controlPlane) advertised() []string {
	if len(c.opt.Advertise) > 0 {
		return c.opt.Advertise
	}
	host, port, err := net.SplitHostPort(c.listening)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = c.opt.Address
	}
	return []string{net.JoinHostPort(host, port)}
}

// problems of the authority and of what proxies refused.
func (c *controlPlane) problems() (all []model.Problem) {
	all = c.rollouts.Problems()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away != nil {
		all = append(all, model.Problem{
			Severity: model.Broken, Code: "store-unavailable", Message: "the control plane has not begun: " + c.away.Error(),
			Hint: "what was known before serves; nothing is signed, registered or stored until this is mended, and then naru goes on by itself",
		})
	}
	if c.authority != nil {
		all = append(all, c.authority.Problems()...)
		all = append(all, c.federated.Problems()...)
	}
	if c.server != nil {
		all = append(all, c.server.Problems()...)
	}
	return all
}

// close ends it all.
func (c *controlPlane) close() {
	if c.bundle != nil {
		c.bundle.close()
	}
	c.cancel()
	c.tasks.Wait()
	if err := c.store.Close(); err != nil {
		c.log.Warn("the store", "error", err)
	}
}
