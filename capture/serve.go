package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/cilium/ebpf"
)

// doorOf is the owner of a cage's outbound doors in the map of ports: even,
// where those of workloads' ports are odd.
func doorOf(cage uint32) uint32 { return cage &^ 1 }

// serve names the ports of a cage and the sockets that take what comes to them.
// The sockets go first: a port without one is refused.
func (p *programs) serve(cage uint32, opt *WorkloadOptions) error {
	if err := p.serveNames(opt); err != nil {
		return err
	}
	var doors []uint16
	for _, at := range []netip.AddrPort{opt.Outbound, opt.Outbound6} {
		if at.IsValid() && len(opt.Doors) > 0 {
			doors = append(doors, at.Port())
		}
	}
	if err := p.serveAs(doorOf(cage), doors, opt.Doors); err != nil {
		return err
	}
	return p.serveAs(cage, opt.Ports, opt.Inbound)
}

func (p *programs) taken(name string, port uint16) bool {
	var owner uint32
	if p.maps == nil || p.maps["ports"].Lookup(uint32(port), &owner) != nil {
		return false
	}
	number, ok := p.number(name)
	return !ok || owner != doorOf(number)
}

func (p *programs) serveAs(owner uint32, ports []uint16, sockets []syscall.Conn) error {
	for _, port := range ports {
		var has uint32
		if p.maps["ports"].Lookup(uint32(port), &has) == nil && has != owner {
			return fmt.Errorf("port %d is served by another workload of this machine", port)
		}
	}
	for _, c := range sockets {
		if err := p.assign(c, ports); err != nil {
			return err
		}
	}
	for _, port := range ports {
		if err := p.maps["ports"].Put(uint32(port), owner); err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
	return p.dropPorts(func(port, has uint32) bool { return has == owner && !slices.Contains(ports, uint16(port)) })
}

// assign has a socket take what comes to ports.
func (p *programs) assign(c syscall.Conn, ports []uint16) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		kind := kindOf(int(fd))
		for _, name := range familiesOf(int(fd)) {
			for _, port := range ports {
				if err := p.maps[name].Put(kind|uint32(port), uint64(fd)); err != nil {
					failed = fmt.Errorf("socket for port %d: %w", port, err)
				}
			}
		}
	})
	return errors.Join(err, failed)
}

// datagrams is set in the key of a port of UDP.
const datagrams = 1 << 16

// namesOwner is that of the mesh DNS, which is for many cages: even, and not
// one of doorOf.
const namesOwner = 1 << 30

// serveNames has nobody answer at the ports of the mesh DNS but its sockets.
func (p *programs) serveNames(opt *WorkloadOptions) error {
	if len(opt.Names) == 0 {
		return nil
	}
	var ports []uint16
	for _, at := range []netip.AddrPort{opt.DNS, opt.DNS6} {
		if at.IsValid() && !slices.Contains(ports, at.Port()) {
			ports = append(ports, at.Port())
		}
	}
	for _, c := range opt.Names {
		if err := p.assign(c, ports); err != nil {
			return fmt.Errorf("mesh DNS: %w", err)
		}
	}
	for _, port := range ports {
		for _, kind := range []uint32{0, datagrams} {
			if err := p.maps["ports"].Put(kind|uint32(port), uint32(namesOwner)); err != nil {
				return fmt.Errorf("port %d of the mesh DNS: %w", port, err)
			}
		}
	}
	return nil
}

// dropPorts frees the ports for which which says so.
func (p *programs) dropPorts(which func(port, owner uint32) bool) error {
	var port, owner uint32
	found := map[uint32]uint32{}
	it := p.maps["ports"].Iterate()
	for it.Next(&port, &owner) {
		found[port] = owner
	}
	err := it.Err()
	for _, port := range sortedKeys(found) {
		if !which(port, found[port]) {
			continue
		}
		for _, name := range []string{"ports", "inbound4", "inbound6"} {
			if e := p.maps[name].Delete(port); !errors.Is(e, ebpf.ErrKeyNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}
