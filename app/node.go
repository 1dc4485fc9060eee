package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
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
	lower   *lowering
	// passports of the process.
	passports *passports
	marked    *marked
	release   func() // of the gateway's identity
	// inbound gives the sockets of the plaintext door once they are open.
	inbound func(port uint16) []syscallConn
	tasks   sync.WaitGroup
	over    chan struct{} // closed when it ends

	mu         sync.Mutex
	locals     map[string]*resident
	generation int
	applied    int
	moved      chan struct{} // closed when applied or known changes
	known      *model.Config // the control plane's newest
	addresses  map[string]netip.Addr
	served     map[string]netip.AddrPort // by namespace, where its names are answered
}

// resident is a workload of this machine.
type resident struct {
	node     *node
	wish     admin.Wish
	workload *model.Workload // replaced, not written to
	id       identity.ID
	outbound uint16
	// pass is the password of its outbound door where it is told of it by its
	// environment; "": it is captured, or has no way there.
	pass    string
	cage    *capture.Cage
	release func()
	about   admin.About
	pid     int
	uid     uint32
	need    int // the generation that has it

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Ports of a node. Those of outbound doors lie below the range that systems
// give to connections.
const (
	firstOutbound = 15100
	lastOutbound  = 16999
	plainPort     = 15006
	dnsPort       = 15053 // and those after it, one a namespace
	dnsPorts      = 40
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
	n.log.Info("a workload has come", "workload", r.workload.Name, "identity", r.id, "pid", by.PID, "capture", r.about.Capture)
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
		Name: w.Namespace + "/" + w.Instance, Namespace: w.Namespace, Account: w.Account, Node: n.opt.Node,
		Address: n.opt.Address, MeshPort: n.opt.MeshPort, State: model.Unhealthy, Weight: w.Weight,
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.locals[noun.Name] != nil {
		return nil, fmt.Errorf("instance %s is there already", noun.Name)
	}
	if !n.administers(by) {
		if has := n.ownedBy(by.UID); has >= mostWorkloads {
			return nil, fmt.Errorf("user %s has %d workloads here, which is the most", userName(by.UID), has)
		}
	}
	for i, p := range w.Ports {
		service := cmp.Or(p.Service, w.Service)
		if p.Service == "" && i > 0 { // of one service one port
			service += "-" + strconv.Itoa(int(p.Port))
		}
		if err := noName("service", service); err != nil {
			return nil, err
		}
		for _, other := range n.locals {
			if slices.ContainsFunc(other.workload.Ports, func(o model.WorkloadPort) bool { return o.Port == p.Port }) {
				return nil, fmt.Errorf("port %d is that of %s on this machine", p.Port, other.workload.Name)
			}
		}
		noun.Ports = append(noun.Ports, model.WorkloadPort{Service: n.serviceName(w.Namespace, service, p.Port), Port: p.Port, Protocol: model.AppProtocol(p.Protocol)})
	}
	port, err := n.freePort()
	if err != nil {
		return nil, err
	}
	r := &resident{node: n, wish: w, workload: noun, id: identity.WorkloadID(n.trust, w.Namespace, w.Account), outbound: port, pid: by.PID, uid: by.UID}
	if w.Capture == "explicit" || n.cages == nil && (w.Capture == "" || w.Capture == "auto") {
		r.pass = rand.Text()
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	n.locals[noun.Name] = r
	return r, nil
}

// serviceName is the Service that a port of a workload is an endpoint of: one
// that is configured, or the one that is made because a workload names it. mu
// is held.
func (n *node) serviceName(namespace, host string, port uint16) string {
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
	return cmp.Or(found, model.ServiceName(namespace, host))
}

// ownedBy counts a user's workloads. mu is held.
func (n *node) ownedBy(uid uint32) (has int) {
	for _, r := range n.locals {
		if r.uid == uid {
			has++
		}
	}
	return has
}

// freePort finds one for an outbound door. mu is held.
func (n *node) freePort() (uint16, error) {
	for p := uint16(firstOutbound); p <= lastOutbound; p++ {
		taken := false
		for _, r := range n.locals {
			taken = taken || r.outbound == p
		}
		if taken {
			continue
		}
		l, err := net.Listen("tcp", netip.AddrPortFrom(loopback, p).String())
		if err == nil {
			l.Close()
			return p, nil
		}
	}
	return 0, errors.New("no port is free for another workload")
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// settle gets a resident its identity, its capture and its door.
func (n *node) settle(r *resident) error {
	r.release = n.agent.Hold(r.id)
	r.about = admin.About{Name: r.workload.Name, Identity: string(r.id), Capture: "off"}
	r.about.Env = append(r.about.Env, "SPIFFE_ENDPOINT_SOCKET=unix://"+n.opt.apiSocket(), "NARU_WORKLOAD="+r.workload.Name)
	n.mu.Lock()
	n.generation++
	r.need = n.generation
	n.mu.Unlock()
	n.lower.again()
	// Its doors are opened before anything is brought to them.
	ctx, cancel := context.WithTimeout(r.ctx, doorTime)
	defer cancel()
	if err := n.until(ctx, func() bool { return n.applied >= r.need }); err != nil {
		return errors.New("the proxy has no door for it: the newest configuration is not in force (see /problems of the admin server)")
	}
	if err := n.cage(r); err != nil {
		return err
	}
	n.api.Recheck()
	r.tasks.Go(func() { n.tell(r.ctx, r.workload) })
	return nil
}

// doorTime bounds the wait for a configuration with a workload's doors.
const doorTime = 10 * time.Second

// cage captures a resident's traffic, as well as it can be.
func (n *node) cage(r *resident) error {
	proxy := netip.AddrPortFrom(loopback, r.outbound)
	explicit := func() {
		r.about.Capture = string(capture.Explicit)
		r.about.Env = append(r.about.Env, explicitEnv(proxy, r.pass)...)
	}
	switch {
	case r.wish.Capture == "off":
		return nil
	case r.wish.Capture == "explicit":
		explicit()
		return nil
	case n.cages == nil && r.wish.Capture == "transparent":
		return fmt.Errorf("traffic cannot be captured here: %s", n.opt.uncaptured)
	case n.cages == nil:
		r.about.Notes = append(r.about.Notes, "traffic is not captured ("+n.opt.uncaptured+"): HTTP_PROXY and HTTPS_PROXY lead to the mesh, what does not look at them goes out as it is")
		explicit()
		return nil
	}
	dns, err := n.answer(r.wish.Namespace)
	if err != nil {
		return err
	}
	if r.cage, err = n.cages.Workload(n.cageOptions(r, dns)); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	r.about.Capture = string(n.cages.Method())
	if err := r.cage.Adopt(r.pid); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// passOf is what the door of a resident knows its workload by.
func (r *resident) passOf() []byte {
	if r.pass == "" {
		return nil
	}
	sum := sha256.Sum256([]byte("Basic " + base64.StdEncoding.EncodeToString([]byte(passUser+":"+r.pass))))
	return sum[:]
}

// passUser is the user name with the password of an outbound door.
const passUser = "naru"

// explicitEnv is what HTTP clients look at. Others cannot read the environment
// of a user's processes.
func explicitEnv(proxy netip.AddrPort, pass string) []string {
	url := "http://" + passUser + ":" + pass + "@" + proxy.String()
	return []string{"HTTP_PROXY=" + url, "http_proxy=" + url, "HTTPS_PROXY=" + url, "https_proxy=" + url, "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1"}
}

func (n *node) cageOptions(r *resident, dns netip.AddrPort) capture.WorkloadOptions {
	opt := capture.WorkloadOptions{Name: r.workload.Name, Outbound: netip.AddrPortFrom(loopback, r.outbound), DNS: dns}
	for _, p := range r.workload.Ports {
		opt.Ports = append(opt.Ports, p.Port)
	}
	if n.inbound != nil {
		opt.Inbound = n.inbound(plainPort)
	}
	return opt
}

// answer sees that names are answered for a namespace, and says where.
func (n *node) answer(namespace string) (netip.AddrPort, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at, ok := n.served[namespace]; ok {
		return at, nil
	}
	for port := dnsPort + len(n.served); port < dnsPort+dnsPorts; port++ {
		at := netip.AddrPortFrom(loopback, uint16(port))
		udp, err := net.ListenPacket("udp4", at.String())
		if err != nil {
			continue
		}
		tcp, err := net.Listen("tcp4", at.String())
		if err != nil {
			udp.Close()
			continue
		}
		n.served[namespace] = at
		n.tasks.Go(func() {
			if err := n.names.Serve(udp, tcp, namespace); err != nil {
				n.log.Error("names are not answered any more", "namespace", namespace, "error", err)
			}
		})
		return at, nil
	}
	return netip.AddrPort{}, errors.New("no port is free for the mesh DNS")
}

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

// About implements admin.Attached.
func (r *resident) About() admin.About { return r.about }

// Ready implements admin.Attached.
func (r *resident) Ready(ctx context.Context) error {
	return r.node.agent.Wait(ctx, r.id)
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

// Started implements admin.Attached.
func (r *resident) Started() { r.tasks.Go(r.watch) }

// become tells everybody of a state.
func (r *resident) become(state model.WorkloadState) {
	n := r.node
	n.mu.Lock()
	if r.workload.State == state || r.workload.State == model.Draining {
		n.mu.Unlock()
		return
	}
	w := *r.workload
	w.State = state
	r.workload = &w
	n.generation++
	n.mu.Unlock()
	n.lower.again()
	n.tell(r.ctx, &w)
}

// Drain implements admin.Attached. Others know when the control plane has sent
// the news to us, too.
func (r *resident) Drain(ctx context.Context) error {
	r.become(model.Draining)
	return r.node.until(ctx, func() bool {
		if r.node.known == nil || len(r.workload.Ports) == 0 {
			return true
		}
		i := slices.IndexFunc(r.node.known.Workloads, func(w *model.Workload) bool { return w.Name == r.workload.Name })
		return i < 0 || r.node.known.Workloads[i].State == model.Draining
	})
}

// Leave implements admin.Attached.
func (r *resident) Leave() {
	n := r.node
	r.cancel()
	r.tasks.Wait()
	n.mu.Lock()
	delete(n.locals, r.workload.Name)
	n.generation++
	n.mu.Unlock()
	n.lower.again()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := n.plane.Unregister(ctx, r.wish.Namespace, r.wish.Instance); err != nil {
		n.log.Warn("a workload that has left is registered still; it ends with its lease", "workload", r.workload.Name, "error", err)
	}
	if r.release != nil {
		r.release()
	}
	if r.cage != nil {
		if err := r.cage.Close(); err != nil {
			n.log.Warn("what captured a workload cannot be removed", "workload", r.workload.Name, "error", err)
		}
	}
	n.api.Recheck()
	n.log.Info("a workload has left", "workload", r.workload.Name)
}

// describe is what package mesh needs to know, and its generation.
func (n *node) describe(*model.Config) (mesh.Node, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := mesh.Node{Address: n.opt.Bind, MeshPort: n.opt.MeshPort, Serve: n.gateway != "", Gateway: n.gateway, VIP: n.vip(n.addresses)}
	if n.cages != nil {
		d.Plain = plainPort
	}
	for _, r := range n.locals {
		d.Locals = append(d.Locals, mesh.Local{Workload: r.workload, Outbound: r.outbound, Pass: r.passOf()})
	}
	slices.SortFunc(d.Locals, func(a, b mesh.Local) int { return cmp.Compare(a.Workload.Name, b.Workload.Name) })
	return d, n.generation
}

func (n *node) vip(all map[string]netip.Addr) func(string) netip.Addr {
	if n.cages == nil {
		return nil
	}
	return func(service string) netip.Addr { return all[service] }
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
	addresses := make(map[string]netip.Addr, len(full))
	for _, v := range s.Services {
		if v.Mesh == nil {
			continue
		}
		at := vips[full[v.Name]].IP4
		addresses[v.Name] = at
		for _, name := range append([]string{full[v.Name]}, v.Mesh.Names...) {
			names[name] = capture.Name{Addrs: []netip.Addr{at}, Port: v.Mesh.Port}
		}
	}
	if n.names != nil {
		n.names.SetNames(names)
	}
	n.passports.know(&s.Config, n.trust)
	n.mu.Lock()
	n.known, n.addresses = &s.Config, addresses
	n.generation++
	close(n.moved)
	n.moved = make(chan struct{})
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
	generation := n.lower.generation(s.Version)
	n.mu.Lock()
	n.applied = max(n.applied, generation)
	close(n.moved)
	n.moved = make(chan struct{})
	n.mu.Unlock()
}

// attest says who a process is: by the cgroup that it is in, or by whom it was
// started.
func (n *node) attest(pid, _ int) ([]identity.ID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.locals {
		if r.cage != nil && inCgroup(pid, r.cage.Cgroup) || descends(pid, r.pid) {
			return []identity.ID{r.id}, nil
		}
	}
	return nil, nil
}

// end lets all workloads go, and everything else.
func (n *node) end() {
	close(n.over)
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
		if err := n.cages.Close(); err != nil {
			n.log.Warn("what captured workloads cannot be removed", "error", err)
		}
	}
}
