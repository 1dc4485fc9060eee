package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/attest"
	"github.com/naru-mesh/naru/identity/workloadapi"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
)

// plane is the control plane as a node needs it: the one in this process, or
// one at the other end of a link.
type plane interface {
	identity.Authority
	Register(ctx context.Context, w *model.Workload) error
	Unregister(ctx context.Context, namespace, name string) error
	// Settle waits until everybody knows that a workload leaves; an error: it is
	// not known whether.
	Settle(ctx context.Context, workload string) error
}

// node serves the workloads of this machine: it is who admin's socket asks.
type node struct {
	opt     MeshOptions
	log     *slog.Logger
	plane   plane
	agent   *agent.Agent
	trust   string           // trust domain
	gateway identity.ID      // as which our own listeners call services; "" without
	cages   *capture.Capture // nil: nothing is captured but by environment
	names   *capture.DNS     // nil without cages
	door    *admin.WorkloadServer
	api     *workloadapi.Server
	lower   *mesh.Feed
	callers attest.Callers // of local ports for services
	// Of the process.
	passports *passports
	marked    *marked
	release   func() // of the gateway's identity
	far       bool   // others than this process call its workloads
	rest      *time.Timer
	// inbound gives the sockets of the plaintext door once they are open.
	inbound func(port uint16) []syscallConn
	// front names what of this process clients reach at a port; nil: nothing.
	front func(port uint16) string
	// serving hears which configuration of the control plane's is in force; nil:
	// nobody wants to.
	serving func(model.Version)
	tasks   sync.WaitGroup
	over    chan struct{} // closed when it ends

	mu         sync.Mutex
	locals     map[string]*resident
	given      uint16 // the outbound door of the newest: none is given again soon
	plain      uint16 // where plaintext from others is brought to
	generation int
	applied    int
	serves     model.Version // with it
	moved      chan struct{} // closed when applied or known changes
	known      *model.Config // the control plane's newest
	addresses  map[string][]netip.Addr
	six        bool                 // captured workloads are served on ::1, too
	served     map[string]answering // by namespace
}

// Ports of a node. Those of outbound doors lie below the range that systems
// give to connections.
const (
	firstOutbound = 15100
	lastOutbound  = 16999
	firstPlain    = 15006 // of the door for plaintext from others
	lastPlain     = 15049
	// The mesh DNS has a port for each namespace: one that only root can take
	// while we are away, and that nobody has (IANA), or else of those from dnsPort.
	firstLowDNS, lastLowDNS = 954, 988
	dnsPort                 = 15053
	dnsPorts                = 40
)

// Attach implements admin.Workloads.
func (n *node) Attach(ctx context.Context, wish *admin.Wish, by admin.Caller) (admin.Attached, error) {
	r, err := n.take(wish, by)
	if err != nil {
		return nil, err
	}
	if err := n.settle(r); err != nil {
		r.Leave()
		return nil, err
	}
	n.log.Info("a workload has come", "workload", r.name, "identity", r.id, "pid", by.PID, "capture", r.about.Capture)
	return r, nil
}

// take checks a wish and gives it a place.
func (n *node) take(wish *admin.Wish, by admin.Caller) (*resident, error) {
	w := *wish
	w.Namespace = cmp.Or(w.Namespace, model.DefaultNamespace)
	w.Account = cmp.Or(w.Account, w.Service)
	if w.Instance == "" {
		var random [4]byte
		_, _ = rand.Read(random[:]) // it does not fail
		w.Instance = w.Account + "-" + hex.EncodeToString(random[:])
	}
	if err := n.check(&w, by); err != nil {
		return nil, err
	}
	noun := &model.Workload{
		Name: w.Namespace + "/" + w.Instance, Namespace: w.Namespace, Account: w.Account, Node: n.opt.Node, Place: n.opt.place,
		Address: n.opt.Address, MeshPort: n.opt.MeshPort, State: model.Unhealthy, Weight: w.Weight,
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.locals[noun.Name] != nil {
		return nil, fmt.Errorf("instance %s is there already", noun.Name)
	}
	if !n.administers(by) {
		if n.cages != nil && n.cages.Occupied(noun.Name, by.PID) {
			return nil, fmt.Errorf("instance %s runs still, under a proxy that has ended, and is not this one: take another name", noun.Name)
		}
		if has := n.ownedBy(by.UID); has >= mostWorkloads {
			return nil, fmt.Errorf("user %s has %d workloads here, which is the most", userName(by.UID), has)
		}
	}
	for i, p := range w.Ports {
		for _, other := range n.locals {
			if slices.ContainsFunc(other.ports, func(o model.WorkloadPort) bool { return o.Port == p.Port }) {
				return nil, fmt.Errorf("port %d is that of %s on this machine", p.Port, other.name)
			}
			if slices.ContainsFunc(other.reach, func(o mesh.Reach) bool { return o.Local == p.Port }) {
				return nil, fmt.Errorf("port %d is where %s reaches a service on this machine", p.Port, other.name)
			}
		}
		further := p.Service == "" && i > 0 // of one service
		noun.Ports = append(noun.Ports, model.WorkloadPort{Service: n.serviceName(w.Namespace, cmp.Or(p.Service, w.Service), p.Port, further), Port: p.Port, Protocol: model.AppProtocol(p.Protocol)})
	}
	how, note, err := n.method(&w, by)
	if err != nil {
		return nil, err
	}
	port, err := n.freePort(noun.Name)
	if err != nil {
		return nil, err
	}
	r := &resident{node: n, wish: w, name: noun.Name, ports: noun.Ports, workload: noun, news: make(chan struct{}, 1), id: identity.WorkloadID(n.trust, w.Namespace, w.Account), outbound: port, by: by, method: how}
	if r.method == capture.Explicit {
		r.pass = rand.Text()
		if err := n.again(r); err != nil {
			return nil, err
		}
	}
	if how == capture.Nftables && len(w.Reach) > 0 {
		return nil, errors.New("reach: the workload gets a network of its own here, in which it reaches services by name: leave reach out, or take capture explicit")
	}
	if err := n.takeReach(r); err != nil {
		return nil, err
	}
	r.six = n.six && r.pass == ""
	if note != "" {
		r.about.Notes = append(r.about.Notes, note)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	n.locals[noun.Name] = r
	return r, nil
}

// serviceName is the Service that a port of a workload is an endpoint of: one
// that is configured, or the one that is made because a workload names it. A
// further port is what clients call the same service at, and its name has that:
// no service of somebody else can be called so. mu is held.
func (n *node) serviceName(namespace, host string, port uint16, further bool) string {
	found := ""
	if n.known != nil {
		for _, s := range n.known.Services {
			if s.Mesh != nil && s.Mesh.Namespace == namespace && s.Mesh.Host == host {
				if s.Mesh.Port == port {
					return s.Name
				}
				found = s.Name
			}
		}
	}
	if further {
		return model.PortName(model.ServiceName(namespace, host), port)
	}
	return cmp.Or(found, model.ServiceName(namespace, host))
}

// ownedBy counts a user's workloads. mu is held.
func (n *node) ownedBy(uid uint32) (has int) {
	for _, r := range n.locals {
		if r.by.UID == uid {
			has++
		}
	}
	return has
}

// freePort finds one for a workload's outbound door. One to which a predecessor
// has led another workload is not free: what that sends until it is asked for
// again would be sent as this one. mu is held.
func (n *node) freePort(name string) (uint16, error) {
	taken := func(p uint16) bool {
		if n.taken(p) {
			return true
		}
		if n.cages != nil && n.cages.Taken(name, p) || n.inbound != nil && len(n.inbound(p)) > 0 {
			return true // the door of one that has left may be in its namespace still
		}
		return n.six && unused(loopback6.String(), p, p, nil) == 0
	}
	p := unused(loopback.String(), max(n.given+1, firstOutbound), lastOutbound, taken)
	if p == 0 {
		p = unused(loopback.String(), firstOutbound, lastOutbound, taken)
	}
	if p == 0 {
		return 0, errors.New("no port is free for another workload")
	}
	n.given = p
	return p, nil
}

// freePlain finds a port for the door for plaintext from others, first of all one
// after that of before. mu is held.
func (n *node) freePlain() error {
	p := unused("", max(n.plain+1, firstPlain), lastPlain, nil)
	if p == 0 {
		p = unused("", firstPlain, lastPlain, nil)
	}
	if p == 0 {
		return fmt.Errorf("no port from %d to %d is free for plaintext from others", firstPlain, lastPlain)
	}
	n.plain = p
	return nil
}

// unused finds a port that nobody listens on; 0: there is none.
func unused(host string, first, last uint16, taken func(uint16) bool) uint16 {
	for p := first; p <= last; p++ {
		if taken != nil && taken(p) {
			continue
		}
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(p)))); err == nil {
			l.Close()
			return p
		}
	}
	return 0
}

var loopback, loopback6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// tell makes a workload known, and tries until it is, or ctx ends.
func (n *node) tell(ctx context.Context, w *model.Workload) {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := n.plane.Register(ctx, w)
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Warn("a workload is not registered yet", "workload", w.Name, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// until waits for something of the node to be so; is is called with mu held.
func (n *node) until(ctx context.Context, is func() bool) error {
	for {
		n.mu.Lock()
		ok, moved := is(), n.moved
		n.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stir has those look again who wait (until). mu is held.
func (n *node) stir() {
	close(n.moved)
	n.moved = make(chan struct{})
}

// describe is what package mesh needs to know, and its generation.
func (n *node) describe(*model.Config) (mesh.Node, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addresses := n.addresses // it is replaced, not written to
	d := mesh.Node{Network: n.opt.Network, Address: cmp.Or(n.opt.Bind, n.opt.Address), MeshPort: n.opt.MeshPort, Serve: n.gateway != "", Gateway: n.gateway, VIP: func(service string) []netip.Addr { return addresses[service] }}
	if n.cages != nil {
		d.Plain = n.plain
	}
	for _, r := range n.locals {
		if !r.placed {
			continue // its doors would open elsewhere
		}
		d.Locals = append(d.Locals, mesh.Local{Workload: r.workload, Outbound: r.outbound, Outbound6: r.six, Pass: r.passOf(), Own: r.own, Reach: r.reach, Apart: r.method == capture.Nftables})
	}
	slices.SortFunc(d.Locals, func(a, b mesh.Local) int { return cmp.Compare(a.Workload.Name, b.Workload.Name) })
	return d, n.generation
}

// see takes the control plane's newest configuration: its services have names
// and addresses here.
func (n *node) see(s *model.Snapshot) {
	names := make(map[string]capture.Name, len(s.Services))
	domain := cmp.Or(meshOf(s).Domain, model.DefaultMeshDomain)
	full := make(map[string]string, len(s.Services)) // the name that gives the address
	var list []string
	for _, v := range s.Services {
		if v.Mesh == nil {
			continue
		}
		name := v.Mesh.Host + "." + v.Mesh.Namespace + "." + domain
		full[v.Name] = name
		list = append(list, name)
	}
	slices.Sort(list)
	vips := capture.Addresses(slices.Compact(list))
	addresses := make(map[string][]netip.Addr, len(full))
	for _, v := range s.Services {
		if v.Mesh == nil {
			continue
		}
		vip := vips[full[v.Name]]
		at := []netip.Addr{vip.IP4}
		if n.six {
			at = append(at, vip.IP6)
		}
		addresses[v.Name] = at
		for _, name := range append([]string{full[v.Name]}, v.Mesh.Names...) {
			names[name] = capture.Name{Addrs: at, Port: v.Mesh.Port}
		}
	}
	if n.names != nil {
		n.names.SetNames(names)
	}
	n.passports.know(&s.Config, n.trust)
	n.mu.Lock()
	n.known, n.addresses = &s.Config, addresses
	n.generation++
	n.stir()
	n.mu.Unlock()
}

func meshOf(s *model.Snapshot) *model.Mesh {
	if s.Mesh == nil {
		return &model.Mesh{}
	}
	return s.Mesh
}

// has says that a Snapshot serves, which the lowering made.
func (n *node) has(s *model.Snapshot) {
	generation := n.lower.Generation(s.Version)
	n.mu.Lock()
	n.applied, n.serves = max(n.applied, generation), s.Version
	n.stir()
	n.mu.Unlock()
	n.inForce(s.Version)
}

// inForce says which configuration of the control plane's the proxy goes by.
func (n *node) inForce(v model.Version) {
	if of := n.lower.Of(v); n.serving != nil && of != "" {
		n.serving(of)
	}
}

// still says that what serves is also that of a newer generation.
func (n *node) still(v model.Version, generation int) {
	n.mu.Lock()
	news := v == n.serves && generation > n.applied
	if news {
		n.applied = generation
		n.stir()
	}
	n.mu.Unlock()
	if news {
		n.inForce(v)
	}
}

// vacate takes all workloads out of service and waits until those who call them
// know, or ctx ends.
func (n *node) vacate(ctx context.Context) {
	n.mu.Lock()
	all := slices.Collect(maps.Values(n.locals))
	n.mu.Unlock()
	var leaving sync.WaitGroup
	for _, r := range all {
		if len(r.wish.Ports) > 0 {
			leaving.Go(func() {
				if err := r.Drain(ctx); err != nil {
					n.log.Warn("not every caller knows that a workload leaves", "workload", r.about.Name, "error", err)
				}
			})
		}
	}
	leaving.Wait()
}

// end lets go of all workloads, and of everything else. Those that run on stay
// captured: they are refused new connections until another proxy takes them.
func (n *node) end() {
	close(n.over)
	n.mu.Lock()
	stay := len(n.locals)
	n.mu.Unlock()
	n.door.Close()
	n.api.Close()
	if n.names != nil {
		n.names.Close()
	}
	n.tasks.Wait()
	if n.release != nil {
		n.release()
	}
	n.agent.Close()
	if n.cages != nil {
		end := n.cages.Close
		if waiting := len(n.cages.Waiting()); stay+waiting > 0 {
			stay += waiting
			n.log.Info("workloads run on; they are refused new connections until a proxy is back", "workloads", stay)
			end = n.cages.Leave
		}
		if err := end(); err != nil {
			n.log.Warn("what captured workloads cannot be removed", "error", err)
		}
	}
}
