package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Method is how traffic is captured.
type Method string

const (
	// EBPF: programs on the workload's cgroup. It needs CAP_BPF, CAP_NET_ADMIN,
	// a writable cgroup2 hierarchy and Linux 5.15.
	EBPF Method = "ebpf"
	// Nftables: the workload runs in a network namespace of its own, whose
	// connections are redirected. It needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
	Nftables Method = "nftables"
	// Explicit: nothing is captured; the workload must be told where its proxy is.
	Explicit Method = "explicit"
)

// Options of a Capture. The zero value is good.
type Options struct {
	// Method is the only one to try; "" is the best that the machine allows.
	Method Method
	// Scope names what is ours in cgroupfs, bpffs and /run/netns: proxies with
	// different scopes do not meet. "" is "naru".
	Scope string
	// Parent is the cgroup folder that holds the workloads' cgroups; "" is
	// <Scope>.slice at the top of the cgroup2 hierarchy.
	Parent string
	// Self is the cgroup folder that this process is moved into; "" is
	// <Scope>-proxy below the one that it is in.
	Self string
	// BPFFS is the bpf file system for pins. "" is the one that is mounted;
	// where none is, it is mounted on /sys/fs/bpf (CAP_SYS_ADMIN).
	BPFFS string
	// Mark is the SO_MARK (wire.MarkedDialer) of those of the proxy's
	// connections that reach the ports of workloads. EBPF only. 0: all of them do, also
	// those that it makes because a workload asked for that address.
	Mark uint32
	// Log hears of what was found standing and could not be removed; nil is
	// slog.Default.
	Log *slog.Logger
}

// WorkloadOptions say what becomes of a workload's connections.
type WorkloadOptions struct {
	// Name is unique on the machine: "shop/orders-7f3a".
	Name string
	// Outbound and Outbound6 are where the workload's proxy listens
	// (wire.ListenOptions.Captured, plain TCP, not MPTCP), on IPv4 and IPv6
	// loopback. Without one of them, connections of that family are refused.
	// Choose ports outside of net.ipv4.ip_local_port_range: while the proxy is
	// away another program could get them.
	Outbound, Outbound6 netip.AddrPort
	// DNS and DNS6 are where the mesh DNS listens, by UDP and TCP. Without
	// either, DNS is treated as other traffic is.
	DNS, DNS6 netip.AddrPort
	// Exclude and ExcludePorts are TCP destinations that the workload reaches
	// directly. What does not leave the machine's loopback always is.
	Exclude      []netip.Prefix
	ExcludePorts []uint16
	// Mark is the SO_MARK of connections that leave directly; 0: none do. Who
	// has CAP_NET_ADMIN or CAP_NET_RAW can set it.
	Mark uint32
	// RefuseQUIC refuses UDP to port 443, so that clients fall back to TCP.
	RefuseQUIC bool

	// Ports are those that the workload serves: whoever connects to one, and is
	// neither the proxy nor the workload, gets to Inbound. EBPF only: with
	// Nftables nobody reaches the workload but who is inside, as the proxy's
	// sockets are (Cage.Inside, Cage.Namespace).
	Ports []uint16
	// Inbound are the proxy's listening sockets for that (wire.Listening of
	// wire/loop, *net.TCPListener): one for each family, or one for both. The
	// accepted connections have the workload's address as their local one. Until
	// there is one for a family, its connections are refused.
	Inbound []syscall.Conn

	// Doors are the proxy's listening sockets at Outbound and Outbound6. EBPF:
	// with them nobody gets what the workload sends but these sockets, also when
	// another program takes the port while the proxy is away.
	Doors []syscall.Conn

	// Names are the mesh DNS's sockets at DNS and DNS6, of UDP and TCP (not
	// MPTCP). EBPF: with them nobody else answers the workload there, and without
	// them there, while the proxy is away, it is refused.
	Names []syscall.Conn
}

// Capture is what one proxy has set up. Its methods may be called from any
// goroutine.
type Capture struct {
	method Method
	why    string
	log    *slog.Logger

	mu    sync.Mutex
	does  machinery
	cages map[string]*Cage
}

// machinery is a Method at work.
type machinery interface {
	// workload makes or replaces what a workload needs.
	workload(k *Cage, opt *WorkloadOptions) error
	// release takes it away; its processes are captured no longer.
	release(k *Cage) error
	// waiting names the workloads that are captured and not ours yet.
	waiting() []string
	// sweep removes what belongs to no process any more, but for the cages
	// whose escaped names are given.
	sweep(keep map[string]bool) error
	// close lets go of the files; with all set of everything else too.
	close(all bool) error
}

// Open sets up what all workloads share. It moves this process into a cgroup
// of its own (EBPF), so it comes before anything listens. The error says of
// each method that was tried why it cannot be.
func Open(opt Options) (*Capture, error) {
	if opt.Scope == "" {
		opt.Scope = "naru"
	}
	if opt.Scope != escape(opt.Scope) {
		return nil, fmt.Errorf("scope %q: want letters, digits and \"-\"", opt.Scope)
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	c := &Capture{log: opt.Log, cages: map[string]*Cage{}}
	var failed []error
	for _, m := range []struct {
		method Method
		open   func(*Options) (machinery, error)
	}{{EBPF, openPrograms}, {Nftables, openNamespaces}, {Explicit, openNothing}} {
		if opt.Method != "" && opt.Method != m.method {
			continue
		}
		does, err := m.open(&opt)
		if err == nil {
			c.method, c.does = m.method, does
			if len(failed) > 0 {
				c.why = errors.Join(failed...).Error()
			}
			if err := does.sweep(nil); err != nil {
				c.log.Warn("what a workload left behind cannot be removed", "err", err)
			}
			return c, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", m.method, err))
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("method %q: want %s, %s or %s", opt.Method, EBPF, Nftables, Explicit)
	}
	return nil, errors.Join(failed...)
}

// Method is the one in use.
func (c *Capture) Method() Method { return c.method }

// Why says why a better method is not in use; "" when the best is.
func (c *Capture) Why() string { return c.why }

// Taken says whether a port is an outbound door of another workload than name,
// which may be one that a predecessor has captured: that still sends there.
func (c *Capture) Taken(name string, port uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.does.(*programs)
	return ok && p.taken(escape(name), port)
}

// Waiting names what a predecessor left standing for workloads that still run
// and that Workload was not called for yet, as the names of their cgroups: they
// are refused every connection until it is.
func (c *Capture) Waiting() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rest []string
	mine := c.names()
	for _, name := range c.does.waiting() {
		if !mine[name] {
			rest = append(rest, name)
		}
	}
	return rest
}

// Lives says whether processes live in what a predecessor left standing for a
// workload.
func (c *Capture) Lives(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.does.waiting(), escape(name))
}

// Occupied says whether others than a process live in what a predecessor left
// standing for a workload: the one that it was made for was brought into it, and
// what has only taken its name was not (EBPF).
func (c *Capture) Occupied(name string, pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.does.(*programs)
	if !ok {
		return false
	}
	cage, err := os.Readlink(filepath.Join(p.folder(escape(name)), "cgroup"))
	if err != nil || !populated(cage) {
		return false
	}
	at, err := cgroupOf(pid)
	return err != nil || at != cage && !strings.HasPrefix(at, cage+"/")
}

// names of the cages, escaped.
func (c *Capture) names() map[string]bool {
	all := map[string]bool{}
	for name := range c.cages {
		all[escape(name)] = true
	}
	return all
}

// Sweep removes what workloads left that have ended without Cage.Close. Open
// does so too.
func (c *Capture) Sweep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.does.sweep(c.names())
}

// Workload makes a Cage, or replaces the options of the one with that name.
// When it fails, a cage that was there captures as before or refuses.
func (c *Capture) Workload(opt WorkloadOptions) (*Cage, error) {
	fail := func(err error) (*Cage, error) {
		return nil, fmt.Errorf("capture of workload %q: %w", opt.Name, err)
	}
	if err := opt.check(c.method); err != nil {
		return fail(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.cages[opt.Name]
	if k == nil {
		k = &Cage{name: opt.Name, of: c}
	}
	if err := c.does.workload(k, &opt); err != nil {
		return fail(err)
	}
	c.cages[opt.Name] = k
	return k, nil
}

func (o *WorkloadOptions) check(m Method) error {
	switch {
	case o.Name == "":
		return errors.New("it has no name")
	case len(escape(o.Name)) > 128:
		return errors.New("the name is too long")
	case m == Explicit:
		return nil
	case !o.Outbound.IsValid() && !o.Outbound6.IsValid():
		return errors.New("no outbound address: every connection would be refused")
	case len(o.Exclude) > 64 || len(o.ExcludePorts) > 64:
		return errors.New("more than 64 exclusions")
	}
	for _, a := range []struct {
		name string
		addr netip.AddrPort
		four bool
	}{{"Outbound", o.Outbound, true}, {"Outbound6", o.Outbound6, false}, {"DNS", o.DNS, true}, {"DNS6", o.DNS6, false}} {
		if a.addr.IsValid() && (!a.addr.Addr().IsLoopback() || a.addr.Port() == 0 || a.addr.Addr().Is4() != a.four) {
			return fmt.Errorf("%s is %v: want an address of the loopback and a port", a.name, a.addr)
		}
	}
	for _, p := range o.Exclude {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("excluded network %v: want a CIDR of IPv4 or IPv6", p)
		}
	}
	for _, p := range o.Ports {
		if p == 0 {
			return errors.New("it serves port 0")
		}
	}
	return nil
}

// Close takes away what was set up; afterwards the Capture does nothing. Workloads that still run are captured no
// longer, and connect directly.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end(true)
}

// Leave lets everything stand for a successor, as a crash would: until it has
// come, workloads are refused every new connection.
func (c *Capture) Leave() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end(false)
}

func (c *Capture) end(all bool) error {
	does := c.does
	for _, k := range c.cages {
		k.forget()
	}
	c.cages, c.does = map[string]*Cage{}, ended{}
	return does.close(all)
}

// nothing is the machinery of Explicit.
type nothing struct{}

func openNothing(*Options) (machinery, error) { return nothing{}, nil }

func (nothing) workload(*Cage, *WorkloadOptions) error { return nil }
func (nothing) release(*Cage) error                    { return nil }
func (nothing) waiting() []string                      { return nil }
func (nothing) sweep(map[string]bool) error            { return nil }
func (nothing) close(bool) error                       { return nil }

// ended is the machinery of a closed Capture.
type ended struct{ nothing }

func (ended) workload(*Cage, *WorkloadOptions) error { return errors.New("capture is closed") }
