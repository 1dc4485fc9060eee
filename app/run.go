package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/export"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/filter/fault"
	"github.com/naru-mesh/naru/filter/transcode"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire/http1"
	"github.com/naru-mesh/naru/wire/http2"
	"github.com/naru-mesh/naru/wire/http3"
	"github.com/naru-mesh/naru/wire/loop"
	"github.com/naru-mesh/naru/wire/secure"
	"github.com/naru-mesh/naru/wire/tunnel"
)

// gateway is a process that serves: everything Run makes.
type gateway struct {
	opt      Options
	began    time.Time
	log      *slog.Logger
	driver   *loop.Driver
	security *secure.Security
	quic     *http3.Server
	clusters *upstream.Set
	registry *observe.Registry
	proxy    *proxy.Proxy
	guard    *guard
	control  *control.Control
	logs     *accessLogs
	// descriptors are the files that filters have read.
	descriptors transcode.Descriptors
	faults      fault.Counts // that filters have injected
	issuers     map[model.IssuedBy]identity.Issuer
	// Of the mesh. lowering is between the configuration and the proxy; plane is
	// nil where the control plane is elsewhere; client is the link to that.
	lowering   *mesh.Feed
	plane      *controlPlane
	client     *link.Client
	identities identities
	decisions  *authz.Metrics
	passports  passports
	marked     marked
	node       *node       // nil until there is a mesh; set by the follower, with mu held
	rest       *time.Timer // releases what starting has needed

	mu    sync.Mutex
	admin *admin.Server
	// adminWanted is the address that was configured last.
	adminWanted string
	ready       error           // why not; nil when ready
	refused     error           // why the newest configuration is not in force; nil when it is
	unsettled   error           // which of its settings is not; nil when all are
	unwanted    []model.Problem // with the certificates that it wants
	unplaced    []model.Problem // with places that mean nothing here
	unmet       bool            // it was said that naru rollout cannot ask
	workloads   string          // where they are met and how they are captured; "" without a mesh

	ended atomic.Bool // its parts are being closed

	first chan error // the outcome of the first configuration

	// The follower's own.
	announced model.Version
	// timed is the version of the control's whose time was told.
	timed   model.Version
	serving []model.Problem // with what serves, when it was last looked at
}

// vacateTime bounds the wait for callers of workloads to hear that these leave.
const vacateTime = 5 * time.Second

var errNoConfig = errors.New("no configuration has been applied yet")

// Run serves until ctx ends, and then drains. The error says why it could not
// start; mistakes in the configuration are logged and do not stop what is
// good, unless nothing is.
func Run(ctx context.Context, opt Options) error {
	g, err := newGateway(opt)
	if err != nil {
		return err
	}
	defer g.close()
	src, err := sources(opt)
	if err != nil {
		return err
	}
	if g.plane, err = openControlPlane(g.opt.Mesh, g.log, g.registry); err != nil {
		return err
	}
	g.control = control.New(control.Options{Sources: append(src, g.plane.source()), Dialects: Dialects(), Log: g.log})
	g.control.Observe(g.registry)
	g.plane.control, g.plane.view = g.control, planeView{g.plane, g.problems, g.own}
	rollouts := g.plane.keep(g.control, g.registry)
	return g.serve(ctx, rollouts, func(ctx context.Context) {
		var both sync.WaitGroup
		both.Go(func() { rollouts.Run(ctx) })
		g.control.Run(ctx)
		both.Wait()
	}, g.beginMesh)
}

// serve follows a feed, which run fills, until ctx ends; begin is called with
// the first Snapshot that has a mesh.
func (g *gateway) serve(ctx context.Context, feed model.Feed, run func(context.Context), begin func(context.Context, *model.Snapshot) error) error {
	g.lowering = mesh.NewFeed(feed)
	g.lowering.Node, g.lowering.Begin = g.describeNode, func(ctx context.Context, s *model.Snapshot) error {
		err := begin(ctx, s)
		if err != nil {
			g.fail(err)
			return err
		}
		g.node.see(s)
		return nil
	}
	g.lowering.Seen = func(s *model.Snapshot) {
		if g.node != nil {
			g.node.see(s)
		}
	}

	g.lowering.Kept = func(s *model.Snapshot, generation int) {
		if g.node != nil {
			g.node.still(s.Version, generation)
		}
	}

	// What follows the configuration ends before the proxy drains.
	following, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { run(following) })
	tasks.Go(func() {
		g.proxy.Follow(following, &looking{&retrying{Feed: g.lowering, lacking: g.lacking}, g.prepare}, g.applied)
	})
	tasks.Go(func() { g.watchDescriptors(following) })
	tasks.Go(func() { g.guard.run(following) })
	end := func() { stop(); tasks.Wait() }
	defer end()

	select {
	case <-ctx.Done():
		return nil
	case err := <-g.first:
		if err != nil {
			return err
		}
	}
	g.greet()
	g.rest.Reset(0)
	<-ctx.Done()
	g.mu.Lock()
	n := g.node
	g.mu.Unlock()
	if n != nil {
		short, cancel := context.WithTimeout(context.Background(), min(vacateTime, max(pick(g.opt.Drain, defaultDrain), 0)))
		n.vacate(short)
		cancel()
	}
	end()
	return g.drain()
}

// fail ends a start that cannot succeed. Later it is told in the log, and tried
// again.
func (g *gateway) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ready != nil {
		select {
		case g.first <- err:
		default:
		}
	}
}

// beginMesh begins the mesh whose control plane is in this process.
func (g *gateway) beginMesh(ctx context.Context, s *model.Snapshot) error {
	if err := g.plane.beginOrWait(ctx, s); err != nil {
		return err
	}
	_, err := g.beginNode(inner{g.plane}, trustOf(s), meshOf(s).Domain, true)
	if err != nil {
		return err
	}
	return g.meetPlane()
}

func newGateway(opt Options) (*gateway, error) {
	g := &gateway{opt: opt, began: time.Now(), log: opt.Log, ready: errNoConfig, first: make(chan error, 1)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if err := g.opt.Mesh.settle(); err != nil {
		return nil, err
	}
	g.rest = time.AfterFunc(time.Hour, loop.Release)
	g.rest.Stop()
	var err error
	if g.driver, err = loop.New(loop.Options{Loops: opt.Loops, Log: g.log}); err != nil {
		return nil, err
	}
	g.registry = observe.NewRegistry(len(g.driver.Loops()))
	g.security = secure.New(len(g.driver.Loops()))
	codec, codec2 := http1.New(len(g.driver.Loops())), http2.New(len(g.driver.Loops()))
	codec.HandOver(codec2)
	g.clusters = upstream.NewSet(upstream.Env{
		Driver: g.driver, Codec: codec, HTTP2: codec2, TLS: g.dialer, Identity: g.identified, Local: &g.marked, Tunnels: tunnel.Tunnels{}, Place: g.opt.Mesh.place, ID: g.opt.Mesh.Node, Files: files(), Log: g.log,
	})
	g.decisions = authz.NewMetrics(g.registry, g.log)
	g.quic = http3.New(g.driver.Loops())
	g.guard = newGuard(g.driver, g.quic, g.log)
	g.issuers = g.newIssuers()
	g.proxy = proxy.New(proxy.Options{
		Driver: placed{g.driver, &g.marked.places}, Server: codec, HTTP2: codec2, Datagrams: g.driver, QUIC: g.quic, Security: g.security, Clusters: g.clusters,
		Drain:    max(pick(opt.Drain, defaultDrain), 0),
		Families: Families(&g.descriptors, &g.faults), Registry: g.registry, Issuers: g.issuers, Log: g.log,
		Identities: &g.identities, Tunnels: tunnel.Tunnels{}, Authorize: g.authorize, Key: authz.NewKey, Attest: g.lent, Client: codec,
		Verify: checking{&g.passports}, Mint: minting{&g.passports}, Gateway: g.passports.gateway,
		Gates: g.guard.gates,
	})
	g.logs = &accessLogs{gateway: g}
	g.logs.reopenOnHangup()
	g.measure()
	return g, nil
}

// close ends the parts in reverse.
func (g *gateway) close() {
	g.ended.Store(true)
	g.rest.Stop()
	g.mu.Lock()
	server := g.admin
	g.admin = nil
	g.mu.Unlock()
	if server != nil {
		server.Close()
	}
	if g.node != nil {
		g.node.end()
	}
	if g.plane != nil {
		g.plane.close()
	}
	for _, from := range g.issuers {
		from.Close()
	}
	g.quic.Close()
	g.clusters.Close()
	g.driver.Close()
	g.logs.close()
}

// drain lets what runs finish, for as long as the options allow.
func (g *gateway) drain() error {
	g.mu.Lock()
	g.ready = errors.New("shutting down")
	g.mu.Unlock()
	limit := max(pick(g.opt.Drain, defaultDrain), 0)
	g.log.Info("stopping: requests under way may finish", "active", g.proxy.Active(), "at most", limit)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := time.AfterFunc(limit, func() {
		if n := g.proxy.Active(); n > 0 {
			g.log.Warn("drain time is over; requests are cut off", "active", n)
		}
		cancel() // now: afterwards nobody knows how many there were
	})
	defer over.Stop()
	_ = g.proxy.Drain(ctx) // said above
	return nil
}

// applied hears of each attempt to apply a Snapshot.
func (g *gateway) applied(s *model.Snapshot, err error) {
	g.mu.Lock()
	g.refused = err
	g.mu.Unlock()
	if err == nil {
		g.locate(s)
		if g.announced != s.Version {
			g.announced = s.Version
			g.announce(s)
		}
		g.mended()
		g.certify(s)
		g.meetRollouts(s)
		g.decisions.Keep(s.Policies)
		if g.node != nil {
			g.node.has(s)
		}
		err = g.settle(&s.Settings)
		g.mu.Lock()
		g.unsettled = err
		if err != nil && g.ready == nil {
			g.log.Error("a setting is not applied", "error", err)
		}
		g.mu.Unlock()
	}
	if err == nil {
		err = g.worthwhile(s)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ready == nil {
		return // a later one; what serves goes on in any case
	}
	if err == nil {
		g.ready = nil
	}
	select {
	case g.first <- err:
	default:
	}
}

// announce logs that s serves from now on. took, which is not said of what only
// a workload has changed, is the time since its files
// were seen to have changed.
func (g *gateway) announce(s *model.Snapshot) {
	list := []any{"version", string(s.Version), "listeners", len(s.Listeners), "routes", len(s.Routes) + len(s.Flows),
		"services", len(s.Services), "problems", len(g.problems())}
	if g.control != nil {
		if r := g.control.Report(); r.Version != g.timed && g.writtenAs(s.Version) == r.Version {
			g.timed = r.Version
			list = append(list, "took", (r.Took + time.Since(r.Since)).Round(10*time.Microsecond))
		}
	}
	g.log.Info("configuration applied", list...)
}

// problems are all that is wrong now: with what is written, and with what
// serves. What an older configuration had wrong is not told where the newest
// could not be applied: why that is, is.
func (g *gateway) problems() []model.Problem {
	all := append(g.written(), g.uncertified()...)
	if g.plane != nil {
		all = append(all, g.plane.problems()...)
	}
	if g.client != nil {
		s := g.client.Status()
		if s.Clock != "" {
			all = append(all, model.Problem{Severity: model.Doubtful, Code: "clock-skew", Message: s.Clock})
		}
		if s.Limited != "" {
			all = append(all, model.Problem{Severity: model.Doubtful, Code: "store-unavailable", Message: s.Limited})
		}
	}
	g.mu.Lock()
	refused, unsettled := g.refused, g.unsettled
	all = append(all, g.unplaced...)
	g.mu.Unlock()
	if unsettled != nil {
		all = append(all, model.Problem{Severity: model.Broken, Code: "not-applied", Message: "a setting is not in force: " + unsettled.Error()})
	}
	if refused == nil {
		return append(append(all, g.unserved()...), g.descriptors.Problems()...)
	}
	return append(all, model.Problem{
		Severity: model.Broken, Code: "not-applied",
		Message: "the newest configuration is not in force: " + refused.Error(), Hint: "the one before goes on serving",
	})
}

// unserved is what is wrong with what serves: what this machine has no place for,
// and what the proxy could not do.
func (g *gateway) unserved() []model.Problem {
	return append(g.lowering.Problems(), g.proxy.Problems()...)
}

// written are the mistakes in the configuration, which are known where that is
// read.
func (g *gateway) written() []model.Problem {
	if g.control == nil {
		return nil
	}
	return slices.Clone(g.control.Problems())
}

// worthwhile says why it makes no sense to begin with s: a start that can only
// answer 404 should fail where somebody looks. Once something has served, any
// configuration is followed.
func (g *gateway) worthwhile(s *model.Snapshot) error {
	if g.client != nil {
		return nil // what it is to serve comes with workloads
	}
	mistakes := 0
	for _, p := range g.written() {
		if p.Severity == model.Broken {
			mistakes++
		}
	}
	switch {
	case len(s.Listeners) == 0 && mistakes == 0 && s.Mesh == nil:
		return errors.New("the configuration has no listener")
	case mistakes > 0 && (len(s.Listeners) == 0 || len(s.Routes)+len(s.Flows) == 0):
		return errors.New("nothing is left to serve but mistakes, which are listed above")
	}
	return nil
}

// prepare has the first requests in the access log: they may come before it is
// known that the Snapshot is applied. What is wrong settle tells.
func (g *gateway) prepare(s *model.Snapshot) {
	g.mu.Lock()
	first := g.ready != nil
	g.mu.Unlock()
	if first {
		_ = g.logs.set(pick(g.opt.AccessLog, s.Settings.AccessLog), s.Settings.AccessLogFile)
	}
}

// settle applies what is set for the whole process; the command line goes
// before the file.
func (g *gateway) settle(s *model.Settings) error {
	o := s.Overload
	if g.opt.Overload != nil {
		o = g.opt.Overload
	}
	g.guard.configure(o)
	if err := g.logs.set(pick(g.opt.AccessLog, s.AccessLog), s.AccessLogFile); err != nil {
		return err
	}
	addr := pick(pick(g.opt.Admin, s.Admin), admin.DefaultAddr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admin != nil {
		// Who scrapes it would lose it: it stays where it is until the next start.
		if addr != g.adminWanted {
			g.log.Warn("the admin server moves with the next start only", "serves", g.admin.Addr(), "configured", addr)
		}
		g.adminWanted = addr
		return nil
	}
	if addr == "off" {
		return nil
	}
	server, err := admin.Listen(addr, g.adminSources())
	if err != nil {
		return err
	}
	g.admin, g.adminWanted = server, addr
	go func() {
		if err := server.Serve(); err != nil {
			g.log.Error("admin server ended", "error", err)
		}
	}()
	return nil
}

func (g *gateway) adminSources() admin.Sources {
	return admin.Sources{
		Metrics: export.Prometheus(g.registry),
		Ready: func() (bool, string) {
			g.mu.Lock()
			ready := g.ready
			g.mu.Unlock()
			if ready != nil {
				return false, ready.Error()
			}
			shut := g.shutDoor()
			return shut == "", shut
		},
		Snapshot: func() *model.Snapshot {
			if prog := g.proxy.Program(); prog != nil {
				return prog.Snapshot
			}
			return nil
		},
		Problems: g.problems,
		Status:   func() any { return g.status() },
		Log:      g.log,
	}
}

// pick gives v, or def where v is zero.
func pick[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
