package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/http1"
	"github.com/naru-mesh/naru/wire/http2"
	"github.com/naru-mesh/naru/wire/loop"
	"github.com/naru-mesh/naru/wire/secure"
	"github.com/naru-mesh/naru/wire/tunnel"
)

// trust is a trust domain of the test: wire.Identities for whatever has been
// issued.
type trust struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	pool *x509.CertPool

	// judged hears of who is let in, where somebody wants to.
	judged chan<- string

	mu   sync.Mutex
	have map[string]*tls.Certificate
}

func newTrust(t *testing.T) *trust {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return &trust{key: key, root: root, pool: pool, have: map[string]*tls.Certificate{}}
}

// issue gives an identity a certificate, which may be of another identity.
func (r *trust) issue(t *testing.T, id, really string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(really)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{u}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, r.root, &key.PublicKey, r.key)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.have[id] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (r *trust) Certificate(id string) *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have[id]
}

func (r *trust) Verify(chain []*x509.Certificate) (string, error) {
	if len(chain) == 0 || len(chain[0].URIs) != 1 {
		return "", errors.New("no SPIFFE ID")
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: r.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if r.judged != nil && err == nil {
		r.judged <- chain[0].URIs[0].String()
	}
	return chain[0].URIs[0].String(), err
}

// capturing is a driver whose captured connections say where they wanted to go
// by the address that they come from: the test's, in place of the kernel's word.
type capturing struct {
	*loop.Driver
	wanted *sync.Map // netip.Addr to netip.AddrPort
}

func (d capturing) Listen(addr netip.AddrPort, opt wire.ListenOptions, accept wire.Acceptor) (wire.Listening, error) {
	if !opt.Captured {
		return d.Driver.Listen(addr, opt, accept)
	}
	opt.Captured = false
	return d.Driver.Listen(addr, opt, func(c wire.Conn, over bool) {
		if to, ok := d.wanted.Load(c.Peer().Remote.Addr().Unmap()); ok {
			c.Peer().Original = to.(netip.AddrPort)
		}
		accept(c, over)
	})
}

// logged keeps Records.
type logged struct{ to chan observe.Record }

func (l logged) Write(r *observe.Record) {
	keep := *r
	keep.Host, keep.Path = slices.Clone(r.Host), slices.Clone(r.Path)
	select {
	case l.to <- keep:
	default:
	}
}

// machine is a node of the mesh in this process.
type machine struct {
	t        *testing.T
	node     mesh.Node
	proxy    *proxy.Proxy
	registry *observe.Registry
	lowering mesh.Lowering
	freezer  model.Freezer
	wanted   *sync.Map
	gateway  map[string]bool // identities of gateways
	sources  byte            // addresses that were dialled from
	records  chan observe.Record
	log      *keptLog
	names    *sync.Map   // of strangers: string to []netip.Addr
	lent     atomic.Bool // connections to local ports are the workload's
}

// keptLog is a log that is read.
type keptLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *keptLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *keptLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newMachine makes one that waits for clients that speak first for as long as they
// need on a busy machine.
func newMachine(t *testing.T, from *trust) *machine {
	t.Helper()
	return newMachineWaiting(t, from, patience)
}

func newMachineWaiting(t *testing.T, from *trust, detect time.Duration) *machine {
	t.Helper()
	m := &machine{t: t, wanted: &sync.Map{}, records: make(chan observe.Record, 1000), log: &keptLog{}, names: &sync.Map{}}
	log := slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inner, err := loop.New(loop.Options{Loops: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	driver := capturing{inner, m.wanted}
	n := len(driver.Loops())
	m.registry = observe.NewRegistry(n)
	security := secure.New(n)
	codec, codec2 := http1.New(n), http2.New(n)
	codec.HandOver(codec2)
	clusters := upstream.NewSet(upstream.Env{
		Driver: driver, Codec: codec, HTTP2: codec2, Tunnels: tunnel.Tunnels{}, Log: log,
		Identity: func(own, peer, name string) (wire.Dialer, error) {
			return security.Client(&wire.ClientTLS{ServerName: name, Identities: from, Identity: own, Peer: peer, Protocols: []string{"h2"}})
		},
	})
	decisions := authz.NewMetrics(m.registry, log)
	m.proxy = proxy.New(proxy.Options{
		Driver: driver, Datagrams: inner, Server: codec, HTTP2: codec2, Security: security, Clusters: clusters, Registry: m.registry,
		Gateway:    func(id string) bool { return m.gateway[id] },
		Verify:     passportCheck{},
		Identities: from, Tunnels: tunnel.Tunnels{}, Drain: 200 * time.Millisecond, Log: log,
		Client: codec, Detect: detect,
		Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			if a, ok := m.names.Load(name); ok {
				return a.([]netip.Addr), nil
			}
			return nil, errors.New("no such name")
		},
		Attest: func(workload string, client, door netip.AddrPort) error {
			if !m.lent.Load() || workload != "shop/storefront-1" || !client.IsValid() || !door.IsValid() {
				return errors.New("it is somebody else's")
			}
			return nil
		},
		Authorize: func(all []*model.Policy, t filter.Target) (filter.Authorizer, error) {
			return authz.New(all, t, decisions)
		},
	})
	t.Cleanup(func() {
		clusters.Close()
		driver.Close()
	})
	return m
}

// apply lowers and applies a configuration.
func (m *machine) apply(cfg *model.Config) *model.Snapshot {
	m.t.Helper()
	s := m.freezer.Freeze(m.lowering.Lower(cfg, m.node))
	if err := m.proxy.Apply(s); err != nil {
		m.t.Fatal(err)
	}
	for _, p := range m.proxy.Problems() {
		m.t.Fatal(p.String())
	}
	return s
}

// watch keeps Records from now on.
func (m *machine) watch() { m.proxy.SetRecorder(logged{m.records}) }

// dial connects as a captured workload would to an address.
func (m *machine) dial(to string) *net.TCPConn {
	m.t.Helper()
	conn, err := m.try(to)
	if err != nil {
		m.t.Fatal(err)
	}
	return conn
}

// refused dials, and sees that the connection is reset before anything comes.
func (m *machine) refused(to string) {
	m.t.Helper()
	conn, err := m.try(to)
	if err == nil {
		var b []byte
		if b, err = io.ReadAll(conn); len(b) > 0 {
			m.t.Errorf("%q came", b)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		m.t.Errorf("%v, and not a reset", err)
	}
}

// dialPlain connects as somebody without a proxy would to an address of a local
// whose plaintext is captured.
func (m *machine) dialPlain(to string) net.Conn {
	m.t.Helper()
	conn, err := m.tryAt(m.node.Plain, to)
	if err != nil {
		m.t.Fatal(err)
	}
	return conn
}

func (m *machine) try(to string) (*net.TCPConn, error) {
	return m.tryAt(m.node.Locals[0].Outbound, to)
}

func (m *machine) tryAt(port uint16, to string) (*net.TCPConn, error) {
	m.sources++
	from := netip.AddrFrom4([4]byte{127, 0, 9, m.sources})
	if to != "" {
		m.wanted.Store(from, netip.MustParseAddrPort(to))
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: patience}
	conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	m.t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(patience))
}

func number16(t *testing.T, s string) uint16 {
	t.Helper()
	if _, port, err := net.SplitHostPort(s); err == nil {
		s = port
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// Names of what the tests' mesh consists of.
const (
	storefront = "spiffe://naru.local/ns/shop/sa/storefront"
	ordersID   = "spiffe://naru.local/ns/shop/sa/orders"
	vip        = "240.0.0.1"
)

// meshPair is two machines: storefront runs on one and calls orders, on the other.
type meshPair struct {
	trust  *trust
	a, b   *machine
	cfg    *model.Config
	relay  *relay
	orders *model.Workload
	called *model.Service
	to     string // VIP and port of orders
}

// newMeshPair makes them, for a service at address that speaks protocol.
func newMeshPair(t *testing.T, address string, protocol model.AppProtocol, change func(*meshPair)) *meshPair {
	t.Helper()
	return newMeshPairWaiting(t, patience, address, protocol, change)
}

// newMeshPairWaiting makes them for clients of whom some do not speak first.
func newMeshPairWaiting(t *testing.T, detect time.Duration, address string, protocol model.AppProtocol, change func(*meshPair)) *meshPair {
	t.Helper()
	p := &meshPair{trust: newTrust(t)}
	for _, id := range []string{storefront, ordersID} {
		p.trust.issue(t, id, id)
	}
	p.a, p.b = newMachineWaiting(t, p.trust, detect), newMachineWaiting(t, p.trust, detect)
	port := number16(t, address)
	p.called = &model.Service{Name: "orders", Mesh: &model.MeshService{Namespace: "shop", Host: "orders", Port: 80, Protocol: protocol}}
	meshPort := freeport.Hold(t)
	p.relay = newRelay(t, "127.0.0.1:"+meshPort)
	p.orders = &model.Workload{
		Name: "shop/orders-1", Namespace: "shop", Account: "orders", Node: "b", Address: "127.0.0.1", MeshPort: number16(t, p.relay.addr),
		Ports: []model.WorkloadPort{{Service: "orders", Port: port}},
	}
	caller := &model.Workload{Name: "shop/storefront-1", Namespace: "shop", Account: "storefront", Node: "a", Address: "127.0.0.1"}
	p.cfg = &model.Config{Services: []*model.Service{p.called}, Workloads: []*model.Workload{p.orders, caller}, Mesh: &model.Mesh{}}
	p.to = vip + ":80"
	p.a.node = mesh.Node{
		Locals: []mesh.Local{{Workload: caller, Outbound: number16(t, freeport.Hold(t))}},
		VIP:    func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(vip)} },
	}
	p.b.node = mesh.Node{MeshPort: number16(t, meshPort), Locals: []mesh.Local{{Workload: p.orders}}}
	if change != nil {
		change(p)
	}
	p.b.apply(p.cfg)
	p.a.apply(p.cfg)
	return p
}

// relay stands between two machines and keeps what passes.
type relay struct {
	addr string
	deaf bool // keeps nothing
	mu   sync.Mutex
	seen []byte
	open int
	all  []net.Conn
}

// cut closes what is open.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		c.Close()
	}
	r.all = nil
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: ln.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			on, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			r.mu.Lock()
			r.open++
			r.all = append(r.all, from, on)
			r.mu.Unlock()
			for _, way := range [][2]net.Conn{{from, on}, {on, from}} {
				all.Go(func() {
					defer way[0].Close()
					defer way[1].Close()
					buf := make([]byte, 64<<10)
					for {
						n, err := way[0].Read(buf)
						r.mu.Lock()
						if len(r.seen) < 4<<20 && !r.deaf {
							r.seen = append(r.seen, buf[:n]...)
						}
						r.mu.Unlock()
						if _, werr := way[1].Write(buf[:n]); err != nil || werr != nil {
							return
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() { ln.Close() })
	return r
}

// passed is what has passed so far, and on how many connections.
func (r *relay) passed() ([]byte, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen), r.open
}

// made is how many connections there have been.
func (r *relay) made() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}
