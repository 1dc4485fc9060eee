package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/identity/workloadapi"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store/late"
	"github.com/naru-mesh/naru/wire"
)

// MeshOptions are those of a process that serves workloads, or is a control
// plane.
type MeshOptions struct {
	// Data is the folder for what must outlive the process; "" keeps all in
	// memory.
	Data string
	// SealKey is a file with the key that private keys in Data are sealed with;
	// "" is one that is made there.
	SealKey string
	// State is where a control plane's state is that several share.
	State StateOptions
	// Node is this machine's name in the mesh; "" is its host name.
	Node string
	// Address is the IP address at which others reach this machine's workloads;
	// "" is the one from which it reaches its control plane, else that its
	// default route leaves from, or 127.0.0.1. Bind is where the mesh port listens; "" is Address.
	Address, Bind string
	MeshPort      uint16 // 0 is model.MeshPort
	// Zone is where this machine is, "zone" or "region/zone", and Network the set
	// of machines that it reaches by their addresses; "" is not known.
	Zone, Network string
	// Socket is where naru exec meets this process; "" is
	// admin.DefaultSocket, or a file in Data for others than root.
	Socket string
	// ControlSocket is where naru token and naru status meet a control plane.
	ControlSocket string
	// Capture is "auto" (""), "ebpf", "nftables" or "off".
	Capture string
	// Scope tells what this process captures with from what another on the same
	// machine does; "" is "naru".
	Scope string
	// Allow lists which users may run workloads of which accounts and services,
	// besides those of their own name in namespace default: USER=ACCOUNT (of
	// namespace default), USER=NAMESPACE/ACCOUNT, USER=*.
	Allow []string
	// Listen is the address at which a control plane serves nodes; "" none.
	Listen string
	// CertificateLife is that of workloads' certificates; 0 is 24 h. Lease is for
	// how long a workload stays registered when its node is not heard of; 0 is
	// link.RegistrationTTL.
	CertificateLife, Lease time.Duration
	// Given is an authority of somebody else that signs in place of naru's own;
	// without files there is none.
	Given ca.Given
	// Advertise are the addresses that tokens name; none: Address and the port
	// of Listen.
	Advertise []string
	// Join lets nodes join by certificates; BundleListen is the address of our
	// own bundle endpoint, "" none.
	Join         JoinOptions
	BundleListen string
	// Gateway has a node serve the configuration's own listeners, too. Its Token
	// must be a gateway's.
	Gateway bool
	// Control are control planes of a node; Token joins it to one.
	Control []string
	Token   string
	// Credential joins instead of a Token: files CERT,KEY. RootHash, in
	// hexadecimal, is by what it knows the right control plane, and TrustDomain
	// that one's; "" is model.DefaultTrustDomain.
	Credential, RootHash, TrustDomain string

	place      model.Place
	uid        int
	somewhere  bool   // Address is not said
	uncaptured string // why nothing is captured
	listenFlag string // that of Listen; "" is --control-listen
}

// Check says what of the options cannot be, as the command line has them.
func (o *MeshOptions) Check() error {
	switch o.Capture {
	case "", "auto", "ebpf", "nftables", "off":
	default:
		return fmt.Errorf("--capture %s: it is auto, ebpf, nftables or off", o.Capture)
	}
	if o.Address != "" {
		if a, err := netip.ParseAddr(o.Address); err != nil || a.IsUnspecified() {
			return fmt.Errorf("--address %s: write an IP address of this machine at which others reach it", o.Address)
		}
	}
	if o.Bind != "" {
		if _, err := netip.ParseAddr(o.Bind); err != nil {
			return fmt.Errorf("--bind %s: write an IP address of this machine", o.Bind)
		}
	}
	if o.Node != "" && !link.IsNodeName(o.Node) {
		return fmt.Errorf("--node %s: write letters, digits, dots, dashes and underscores, at most 253", o.Node)
	}
	if _, err := o.where(); err != nil {
		return err
	}
	for _, a := range o.Allow {
		if who, what, ok := strings.Cut(a, "="); !ok || who == "" || what == "" {
			return fmt.Errorf("--allow %s: write USER=ACCOUNT, USER=NAMESPACE/ACCOUNT or USER=*", a)
		}
	}
	for flag, list := range map[string][]string{"--advertise": o.Advertise, "--control": o.Control} {
		for _, at := range list {
			if host, port, err := net.SplitHostPort(at); err != nil || host == "" || port == "" {
				return fmt.Errorf("%s %s: write HOST:PORT, for example 10.0.0.1:15012", flag, at)
			}
		}
	}
	if g := &o.Given; (g.ChainFile == "") != (g.KeyFile == "") || g.RootsFile != "" && g.ChainFile == "" {
		return errors.New("an authority of your own is --ca-cert and --ca-key together: the chain of its certificate, and its key; --ca-roots are the roots where the chain does not end in one")
	}
	if o.Lease != 0 && o.Lease < minLease {
		return fmt.Errorf("--lease %v: write at least %v", o.Lease, minLease)
	}
	if o.CertificateLife != 0 && (o.CertificateLife < time.Minute || o.CertificateLife > 90*24*time.Hour) {
		return fmt.Errorf("--certificate-life %v: write 1m to 2160h", o.CertificateLife)
	}
	return nil
}

// where reads Zone and Network.
func (o *MeshOptions) where() (p model.Place, err error) {
	if o.Zone != "" {
		var hint string
		if p, hint = model.ParsePlace(o.Zone); hint != "" {
			return p, fmt.Errorf("--zone %s: %s", o.Zone, hint)
		}
	}
	if p.Network = o.Network; o.Network != "" && !model.IsPlaceName(o.Network) {
		return p, fmt.Errorf("--network %s: write letters, digits, dots, dashes and underscores, at most 63", o.Network)
	}
	return p, nil
}

// minLease is for three heartbeats of a second.
const minLease = 3 * time.Second

// settle fills in what is not said.
func (o *MeshOptions) settle() error {
	o.uid = os.Getuid()
	var err error
	if o.place, err = o.where(); err != nil {
		return err
	}
	if o.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--node: %w", err)
		}
		o.Node = name
	}
	if o.Address == "" {
		o.Address, o.somewhere = ownAddress(nil), true
	}
	if _, err := netip.ParseAddr(o.Address); err != nil {
		return fmt.Errorf("--address %s: write an IP address of this machine", o.Address)
	}
	o.MeshPort = cmp.Or(o.MeshPort, uint16(model.MeshPort))
	if o.Socket == "" {
		o.Socket = admin.DefaultSocket
		if o.uid != 0 {
			o.Socket = ownSocket("node.sock")
		}
	}
	o.ControlSocket = PlaneSocket(o.ControlSocket)
	return nil
}

// PlaneSocket is where a control plane is met when nothing else is said.
func PlaneSocket(said string) string {
	switch {
	case said != "":
		return said
	case os.Getuid() == 0:
		return admin.DefaultPlaneSocket
	}
	return ownSocket("control.sock")
}

// ownSocket is for users who may not write to /run: below XDG_RUNTIME_DIR, or
// in a folder for temporary files, of which each user has one of his own.
func ownSocket(name string) string {
	if own := os.Getenv("XDG_RUNTIME_DIR"); own != "" {
		return filepath.Join(own, "naru", name)
	}
	return filepath.Join(os.TempDir(), "naru-"+strconv.Itoa(os.Getuid()), name)
}

// NodeSocket is where the proxy of this machine is met when nothing else is
// said: the machine's own, or else one that this user runs.
func NodeSocket(said string) string {
	if said != "" {
		return said
	}
	if own := ownSocket("node.sock"); os.Getuid() != 0 {
		if _, err := os.Stat(admin.DefaultSocket); err != nil {
			return own
		}
	}
	return admin.DefaultSocket
}

func (o *MeshOptions) apiSocket() string {
	return filepath.Join(filepath.Dir(o.Socket), "workload.sock")
}

// ownAddress is what connections to the first of servers that is found would
// come from: that is where the control plane takes this machine to be. Where
// that is on this machine, or there is none, it is that of the default route,
// and without one the only address that the machine has besides its loopback's.
// Nothing is sent but to find names.
func ownAddress(servers []string) string {
	for _, to := range append(servers[:len(servers):len(servers)], "192.0.2.1:9") {
		conn, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("udp", to)
		if err != nil {
			continue
		}
		conn.Close()
		if at, ok := conn.LocalAddr().(*net.UDPAddr); ok && !at.IP.IsLoopback() && !at.IP.IsLinkLocalUnicast() && at.Zone == "" {
			return at.IP.String()
		}
	}
	list, _ := net.InterfaceAddrs()
	return onlyAddress(list)
}

// onlyAddress is the one IPv4 address of list that other machines may reach, or
// 127.0.0.1 where there is none or several, of which nobody has said which.
func onlyAddress(list []net.Addr) string {
	only := loopback.String()
	for _, a := range list {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || !n.IP.IsGlobalUnicast() {
			continue
		}
		if only != loopback.String() {
			return loopback.String()
		}
		only = n.IP.String()
	}
	return only
}

// identities are those of the agent, once there is one.
type identities struct {
	trust string // domain; set before agent
	agent atomic.Pointer[agent.Agent]
}

var errNoIdentities = errors.New("this process has no identities")

// Certificate implements wire.Identities.
func (i *identities) Certificate(id string) *tls.Certificate {
	if a := i.agent.Load(); a != nil {
		return a.Certificate(id)
	}
	return nil
}

// Verify implements wire.Identities.
func (i *identities) Verify(chain []*x509.Certificate) (string, error) {
	a := i.agent.Load()
	if a == nil {
		return "", errNoIdentities
	}
	id, err := a.Verify(chain)
	if err == nil && !identity.IsWorkload(id, i.trust) {
		return "", fmt.Errorf("%s is the identity of a machine or a control plane: workloads alone call and are called", id)
	}
	return id, err
}

// identified makes the dialer of mutual TLS between workloads.
func (g *gateway) identified(own, peer, serverName string) (wire.Dialer, error) {
	return g.security.Client(&wire.ClientTLS{ServerName: serverName, Identities: &g.identities, Identity: own, Peer: peer, Protocols: []string{"h2"}})
}

// authorize makes the Authorizer of a target.
func (g *gateway) authorize(policies []*model.Policy, t filter.Target) (filter.Authorizer, error) {
	return authz.New(policies, t, g.decisions)
}

// beginNode makes the node of this process: once it is known that there is a
// mesh. serve says that the configuration's own listeners are served here.
func (g *gateway) beginNode(p plane, trust, domain string, serve bool) (_ *node, err error) {
	opt := g.opt.Mesh
	n := &node{
		opt: opt, log: g.log, plane: p, trust: trust, lower: g.lowering, rest: g.rest, locals: map[string]*resident{}, generation: 1,
		moved: make(chan struct{}), over: make(chan struct{}), served: map[string]answering{}, inbound: g.inboundSockets, front: g.front, addresses: map[string][]netip.Addr{},
	}
	options := agent.Options{Authority: p, Log: g.log, Replaced: func(id identity.ID) { g.clusters.Renew(string(id)) }, Forgotten: g.expel}
	if opt.Data != "" {
		options.Folder = filepath.Join(opt.Data, "identities")
		options.Sealer, err = identity.OpenSealer(opt.SealKey, opt.Data)
		switch {
		case err != nil && late.LacksRoom(err):
			g.log.Error("identities are kept in memory alone this time: they do not outlive the process", "folder", opt.Data, "error", err)
			options.Folder, err = "", nil
		case err != nil:
			return nil, err
		}
	}
	n.far = g.plane == nil || g.opt.Mesh.Listen != ""
	if n.agent, err = agent.New(options); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.agent.Close()
			if n.cages != nil {
				_ = n.cages.Leave() // those of a predecessor stay closed
			}
		}
	}()
	if err := n.openCapture(&g.marked, domain); err != nil {
		return nil, err
	}
	if serve {
		n.gateway = identity.WorkloadID(trust, model.DefaultNamespace, model.GatewayAccount)
		n.release = n.agent.Hold(n.gateway)
	}
	if err := g.passports.begin(trust, n.gateway, g); err != nil {
		return nil, err
	}
	n.passports, n.marked = &g.passports, &g.marked
	n.api = workloadapi.New(n.agent, n.attest, g.log)
	if n.door, err = admin.ListenWorkloads(opt.Socket, n, g.log); err != nil {
		return nil, err
	}
	api, err := workloadapi.Listen(n.opt.apiSocket())
	if err != nil {
		n.door.Close()
		return nil, fmt.Errorf("%w (it is beside the node socket: --socket PATH takes another place)", err)
	}
	n.tasks.Go(func() {
		if err := n.api.Serve(api); err != nil {
			g.log.Error("the Workload API is not served any more", "error", err)
		}
	})
	n.tasks.Go(n.door.Serve)
	n.agent.Register(g.registry)
	n.api.Register(g.registry)
	g.measureNode(n)
	g.identities.trust = trust
	g.identities.agent.Store(n.agent)
	g.mu.Lock()
	g.node = n
	g.mu.Unlock()
	if serve {
		// It is known as a workload that serves nothing: for its passports.
		self := &model.Workload{
			Name: model.DefaultNamespace + "/gateway-" + label(opt.Node), Namespace: model.DefaultNamespace, Account: model.GatewayAccount, Node: opt.Node,
			Address: opt.Address, PassportKey: g.passports.public,
		}
		ctx, cancel := context.WithCancel(context.Background())
		n.tasks.Go(func() { <-n.over; cancel() })
		n.tasks.Go(func() { n.tell(ctx, self) })
	}
	g.mu.Lock()
	g.workloads = fmt.Sprintf("naru exec --socket %s (captured by %s)", opt.Socket, n.captured())
	g.mu.Unlock()
	g.log.Info("workloads are served", "node", opt.Node, "address", opt.Address, "socket", opt.Socket, "capture", n.captured())
	return n, nil
}

// openCapture sets up the best capture that the options and the machine allow.
func (n *node) openCapture(m *marked, domain string) error {
	method := capture.Method(n.opt.Capture)
	switch method {
	case "off":
		n.opt.uncaptured = "--capture off"
		return nil
	case "auto":
		method = ""
	}
	c, err := capture.Open(capture.Options{Method: method, Scope: n.opt.Scope, Mark: localMark, Log: n.log})
	switch {
	case err != nil && method != "":
		return fmt.Errorf("--capture %s: %w", method, err)
	case err != nil:
		return fmt.Errorf("capture: %w", err)
	case c.Method() == capture.Explicit:
		n.opt.uncaptured = strings.ReplaceAll(c.Why(), "\n", "; ")
		return c.Close()
	}
	n.cages = c
	n.names, n.six = capture.NewDNS(capture.DNSOptions{Domain: domain, Log: n.log}), unused(loopback6.String(), firstOutbound, lastOutbound, nil) != 0
	if c.Method() != capture.EBPF {
		return nil
	}
	m.mark.Store(localMark)
	// The capture is by the socket, so that it may be any port.
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.freePlain()
}

// captured says how workloads' traffic comes to the proxy.
func (n *node) captured() string {
	if n.cages == nil {
		return "HTTP_PROXY and HTTPS_PROXY in their environment alone (" + n.opt.uncaptured + ")"
	}
	if why := n.cages.Why(); why != "" {
		return string(n.cages.Method()) + " (" + strings.ReplaceAll(why, "\n", "; ") + ")"
	}
	return string(n.cages.Method())
}

// label makes a part of a DNS name of a machine's name.
func label(name string) string {
	b := []byte(strings.ToLower(name))
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			b[i] = '-'
		}
	}
	return strings.Trim(string(b[:min(len(b), 40)]), "-")
}

// describeNode is what the lowering asks.
func (g *gateway) describeNode(c *model.Config) (mesh.Node, int) { return g.node.describe(c) }

// syscallConn is a socket of a loop.
type syscallConn = syscall.Conn

// inboundSockets are the listening sockets of a port of ours.
func (g *gateway) inboundSockets(port uint16) (all []syscallConn) {
	for _, l := range g.proxy.Sockets(port) {
		if s, ok := l.(syscall.Conn); ok {
			all = append(all, s)
		}
	}
	return all
}

// front names what of this process clients reach at a port of TCP; "": nothing.
func (g *gateway) front(port uint16) string {
	g.mu.Lock()
	a := g.admin
	g.mu.Unlock()
	if a != nil {
		if at, err := netip.ParseAddrPort(a.Addr()); err == nil && at.Port() == port {
			return "the admin server"
		}
	}
	program := g.proxy.Program()
	if program == nil {
		return ""
	}
	for _, l := range program.Snapshot.Listeners {
		if l.Port == port && l.Protocol != model.UDP && !strings.HasPrefix(l.Name, "mesh/") {
			return "listener " + l.Name
		}
	}
	return ""
}
