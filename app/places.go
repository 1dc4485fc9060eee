package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// places are the network namespaces of workloads that have one (nftables), by
// ports: an outbound door is one workload's, and a port is served by one
// workload of a machine. What of them is closed stays until the port is given
// to another one: what is meant for it fails, and does not come to whoever has
// that port on the machine itself.
type places struct {
	mu    sync.Mutex
	doors map[uint16]*capture.Cage
	ports map[uint16]syscall.RawConn
	// serve is a copy of ports.
	serve atomic.Pointer[map[uint16]syscall.RawConn]
}

// put says where a workload is; nil is the machine's own network.
func (p *places) put(r *resident, cage *capture.Cage) error {
	var ns syscall.RawConn
	if cage != nil {
		var err error
		if ns, err = cage.Namespace(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doors == nil {
		p.doors, p.ports = map[uint16]*capture.Cage{}, map[uint16]syscall.RawConn{}
	}
	delete(p.doors, r.outbound)
	if ns != nil {
		p.doors[r.outbound] = cage
	}
	for _, port := range r.ports {
		delete(p.ports, port.Port)
		if ns != nil {
			p.ports[port.Port] = ns
		}
	}
	now := make(map[uint16]syscall.RawConn, len(p.ports))
	for port, ns := range p.ports {
		now[port] = ns
	}
	p.serve.Store(&now)
	return nil
}

// of is the network namespace in which an address of the loopback is meant; nil
// is the machine's own.
func (p *places) of(addr netip.AddrPort) syscall.RawConn {
	if all := p.serve.Load(); all != nil && addr.Addr().IsLoopback() {
		return (*all)[addr.Port()]
	}
	return nil
}

// placed is the driver of the proxy, whose outbound doors are where the
// workloads are. Of a workload in a network namespace the machine's own port is
// a door for plaintext: who connects there means the workload.
type placed struct {
	*loop.Driver
	places *places
}

// Listen implements wire.Driver.
func (d placed) Listen(addr netip.AddrPort, opt wire.ListenOptions, accept wire.Acceptor) (l wire.Listening, err error) {
	d.places.mu.Lock()
	cage, served := d.places.doors[addr.Port()], d.places.ports[addr.Port()] != nil
	d.places.mu.Unlock()
	if opt.Captured && served && addr.Addr().IsUnspecified() {
		l, err = d.Driver.Listen(addr, opt, func(c wire.Conn, over bool) {
			c.Peer().Original = c.Peer().Local
			accept(c, over)
		})
		return l, named(err, addr.Port())
	}
	if cage == nil || !addr.Addr().IsLoopback() {
		l, err = d.Driver.Listen(addr, opt, accept)
		return l, named(err, addr.Port())
	}
	if e := cage.Inside(func() error {
		l, err = d.Driver.Listen(addr, opt, accept)
		return nil
	}); e != nil {
		return nil, e
	}
	return l, err
}

// dialFrom dials on a loop from a network namespace.
func dialFrom(l wire.Loop, ns syscall.RawConn, addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	d, ok := l.(wire.NamespaceDialer)
	if !ok {
		return l.Dial(netip.AddrPort{}, h) // fails
	}
	var c wire.Conn
	if ns.Control(func(fd uintptr) { c = d.DialFrom(int(fd), addr, h) }) != nil {
		c = d.DialFrom(-1, addr, h) // the workload has left: so does this
	}
	return c
}

// dial reaches the workload as marked does, for what is not on a loop.
func (r *resident) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if r.cage == nil || r.cage.Netns == "" {
		return r.node.marked.ordinary().DialContext(ctx, network, addr)
	}
	e := r.cage.Inside(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return nil
	})
	return conn, errors.Join(e, err)
}

// method is how a workload's traffic is to come: as it wishes, and as well as
// the machine and whoever starts it can. note says what it goes without.
func (n *node) method(w *admin.Wish, by admin.Caller) (how capture.Method, note string, err error) {
	switch w.Capture {
	case "off":
		return uncapturedMethod, "", nil
	case "explicit":
		return capture.Explicit, "", nil
	}
	why := n.opt.uncaptured
	if n.cages != nil {
		how = n.cages.Method()
		if was := capture.Method(w.Running); was != how && (was == capture.Nftables || was != "" && how == capture.Nftables) {
			return "", "", fmt.Errorf("the command runs already, captured by %s, and this proxy captures by %s: start the command again", was, how)
		}
		if how != capture.Nftables {
			return how, "", nil
		}
		if w.Running != "" && !n.cages.Lives(w.Namespace+"/"+w.Instance) {
			return "", "", errors.New("the command runs already, in a network namespace that has lost its name: start the command again")
		}
		if why = mayEnter(by.PID); why == "" {
			return how, "", nil
		}
	}
	if w.Capture == "transparent" {
		return "", "", fmt.Errorf("traffic cannot be captured here: %s", why)
	}
	return capture.Explicit, "traffic is not captured (" + why + "): HTTP_PROXY and HTTPS_PROXY lead to the mesh; a program that does not look at them needs a local port (--reach SERVICE:PORT), or goes out as it is", nil
}

// uncapturedMethod is that of capture "off".
const uncapturedMethod capture.Method = "off"

// mayEnter says why a process may not start something in a network namespace
// of ours (setns(2)); "" when it may.
func mayEnter(pid int) string {
	const sysAdmin = 21 // capabilities(7)
	at := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(at + "/status")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || caps&(1<<sysAdmin) == 0 {
			return "nftables needs naru exec to have CAP_SYS_ADMIN, as root has it: its command starts in a network namespace"
		}
	}
	own, _ := os.Readlink("/proc/self/ns/user")
	if its, err := os.Readlink(at + "/ns/user"); err != nil || its != own {
		return "nftables needs naru exec to be in the proxy's user namespace: its command starts in a network namespace"
	}
	return ""
}

// StartWorkload starts the command of a workload where its node has a place for
// it. It starts on the calling goroutine's thread.
func StartWorkload(cmd *exec.Cmd, about *admin.About) error {
	err := capture.Place{Netns: about.Netns}.Start(cmd)
	var of *os.PathError
	if about.Netns != "" && errors.Is(err, os.ErrPermission) && (!errors.As(err, &of) || of.Op != "fork/exec") {
		return fmt.Errorf("%w: it takes CAP_SYS_ADMIN, as root has it, to start a command in a network namespace; --capture explicit does without", err)
	}
	return err
}

// hasIPv6 says what is wrong with the loopback's IPv6 address here.
func hasIPv6() error {
	l, err := net.Listen("tcp", netip.AddrPortFrom(loopback6, 0).String())
	if err == nil {
		err = l.Close()
	}
	return err
}

// namesInside opens the mesh DNS in the network namespace of a resident.
func (n *node) namesInside(r *resident) (all []io.Closer, err error) {
	on := []netip.Addr{loopback}
	if r.six {
		on = append(on, loopback6)
	}
	var sockets []dnsSocket
	if err := r.cage.Inside(func() (err error) {
		sockets, err = dnsSockets(on, dnsPort)
		return err
	}); err != nil {
		return nil, fmt.Errorf("the mesh DNS of a network namespace: %w", err)
	}
	for _, s := range sockets {
		all = append(all, s.udp, s.tcp)
	}
	for _, s := range sockets {
		if err := n.names.Serve(s.udp, s.tcp, r.wish.Namespace); err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(all []io.Closer) {
	for _, c := range all {
		_ = c.Close() // somebody else may have closed it
	}
}
