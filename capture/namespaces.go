package capture

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespaces is the machinery of Nftables: a network namespace for each
// workload, named below /run/netns as ip-netns(8) does, joined to the host by a
// pair of virtual interfaces, and in it the rules that redirect. All rules are
// inside: whatever happens to those of the host, nobody gets in.
type namespaces struct{ prefix string } // of the names

// netnsFolder is that of ip-netns(8).
const netnsFolder = "/run/netns"

// The workloads' networks, four addresses each: the host has the first usable
// one, the workload the second. They are link-local: nobody routes them.
var (
	nets4 = netip.MustParsePrefix("169.254.64.0/18")
	nets6 = netip.MustParsePrefix("fd6e:6172:7500::/64")
)

func openNamespaces(opt *Options) (machinery, error) {
	if err := probeNftables(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(netnsFolder, 0o755); err != nil {
		return nil, err
	}
	return &namespaces{opt.Scope + "-"}, nil
}

// probeNftables tries what is needed in a namespace that ends at once.
func probeNftables() error {
	return apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return rules(&WorkloadOptions{Outbound: netip.MustParseAddrPort("127.0.0.1:1")})
	})
}

// apart runs fn on a thread whose namespaces it may change.
func apart(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		err = fn()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine
		done <- err
	}()
	return <-done
}

// inside runs fn in a network namespace.
func inside(netns string, fn func() error) error {
	return apart(func() error {
		if err := enter(netns); err != nil {
			return err
		}
		return fn()
	})
}

// enter brings the thread into a network namespace.
func enter(netns string) error {
	f, err := os.Open(netns)
	if err != nil {
		return err
	}
	defer f.Close()
	switch err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s is no network namespace here: its maker has mounts of its own (PrivateMounts= and the like of a systemd service)", netns)
	case err != nil:
		return fmt.Errorf("enter %s: %w", netns, err)
	}
	return nil
}

func (n *namespaces) path(name string) string { return filepath.Join(netnsFolder, n.prefix+name) }

func (n *namespaces) workload(k *Cage, opt *WorkloadOptions) error {
	name := escape(opt.Name)
	path := n.path(name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := n.create(path, name); err != nil {
			return errors.Join(err, n.remove(name))
		}
	} else if err != nil {
		return err
	}
	if k.netns == nil {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		k.netns = f
	}
	k.Netns = path
	return inside(path, func() error { return rules(opt) })
}

// create makes the namespace and its way to the host. Nothing can leave it
// before the rules are there: nothing runs in it.
func (n *namespaces) create(path, name string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	err = apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "bind", unix.MS_BIND, "")
	})
	if err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	host := veth(n.prefix + name)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: host}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make virtual interface %s: %w", host, err)
	}
	host4, host6, err := free(n.prefix + name)
	if err != nil {
		return err
	}
	if _, err := raise(host, host4, host6); err != nil {
		return err
	}
	return inside(path, func() error {
		if _, err := raise("lo", netip.Addr{}, netip.Addr{}); err != nil {
			return err
		}
		has6, err := raise("eth0", host4.Next(), host6.Next())
		if err != nil {
			return err
		}
		// A way to everywhere: what has no route is refused before it could be
		// redirected.
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, via := range []netip.Addr{host4, host6} {
			err := netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: via.AsSlice()})
			if err != nil && (via.Is4() || has6) {
				return fmt.Errorf("default route by %v: %w", via, err)
			}
		}
		return nil
	})
}

// veth names the host's end: at most 15 bytes.
func veth(name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("naru%08x", h.Sum32())
}

// free finds a network that no interface of the host has.
func free(name string) (four, six netip.Addr, err error) {
	used := map[netip.Addr]bool{}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return four, six, err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used[p.Addr()] = true
		}
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	const count = 1 << 12
	for i := range uint32(count) {
		at := (h.Sum32() + i) % count
		b4, b6 := nets4.Addr().As4(), nets6.Addr().As16()
		b4[2] += byte(at >> 6)
		b4[3] = byte(at<<2) + 1
		b6[14], b6[15] = byte(at>>6), byte(at<<2)+1
		four, six = netip.AddrFrom4(b4), netip.AddrFrom16(b6)
		if !used[four] && !used[six] {
			return four, six, nil
		}
	}
	return four, six, fmt.Errorf("all %d networks of %v are in use", count, nets4)
}

// raise gives an interface its addresses, where valid, and takes it up. Where
// the machine has no IPv6 it goes without that.
func raise(name string, four, six netip.Addr) (has6 bool, err error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return false, fmt.Errorf("interface %s: %w", name, err)
	}
	for _, a := range []netip.Addr{four, six} {
		if !a.IsValid() {
			continue
		}
		bits := a.BitLen() - 2
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
		if a.Is6() {
			addr.Flags = unix.IFA_F_NODAD // nobody else is there to have it
		}
		switch err := netlink.AddrAdd(l, addr); {
		case err == nil:
			has6 = a.Is6()
		case a.Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		default:
			return false, fmt.Errorf("address %v of %s: %w", a, name, err)
		}
	}
	return has6, netlink.LinkSetUp(l)
}

func (n *namespaces) release(k *Cage) error { return n.remove(escape(k.name)) }

// remove cuts the namespace off and forgets its name; the kernel frees it with
// its last process.
func (n *namespaces) remove(name string) error {
	var err error
	if l, e := netlink.LinkByName(veth(n.prefix + name)); e == nil {
		err = netlink.LinkDel(l)
	}
	path := n.path(name)
	if e := unix.Unmount(path, unix.MNT_DETACH); e != nil && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENOENT) {
		err = errors.Join(err, e)
	}
	if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// all names the namespaces of this scope.
func (n *namespaces) all() []string {
	entries, _ := os.ReadDir(netnsFolder)
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), n.prefix); ok {
			names = append(names, name)
		}
	}
	return names
}

func (n *namespaces) waiting() []string {
	var names []string
	used := inUse()
	for _, name := range n.all() {
		if used[inode(n.path(name))] {
			names = append(names, name)
		}
	}
	return names
}

func (n *namespaces) sweep(keep map[string]bool) error {
	var err error
	used := inUse()
	for _, name := range n.all() {
		if !keep[name] && !used[inode(n.path(name))] {
			err = errors.Join(err, n.remove(name))
		}
	}
	return err
}

func (n *namespaces) close(all bool) error {
	var err error
	if all {
		for _, name := range n.all() {
			err = errors.Join(err, n.remove(name))
		}
	}
	return err
}

// inUse has the inode of every network namespace that a process is in.
func inUse() map[uint64]bool {
	found := map[uint64]bool{}
	all, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range all {
		found[inode(path)] = true
	}
	delete(found, 0)
	return found
}

func inode(path string) uint64 {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil {
		return 0
	}
	return s.Ino
}
