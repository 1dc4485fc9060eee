package app

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// answering is a mesh DNS of one namespace.
type answering struct {
	at      netip.AddrPort
	sockets []syscallConn
}

// dnsSocket is one address of the mesh DNS.
type dnsSocket struct {
	udp net.PacketConn
	tcp net.Listener
}

// dnsSockets opens a port on all addresses, or on none.
func dnsSockets(on []netip.Addr, port uint16) (all []dnsSocket, err error) {
	var tcp net.ListenConfig
	tcp.SetMultipathTCP(false) // package capture takes none
	for _, a := range on {
		s, at := dnsSocket{}, netip.AddrPortFrom(a, port).String()
		if s.udp, err = net.ListenPacket("udp", at); err == nil {
			if s.tcp, err = tcp.Listen(context.Background(), "tcp", at); err != nil {
				s.udp.Close()
			}
		}
		if err != nil {
			for _, s := range all {
				s.udp.Close()
				s.tcp.Close()
			}
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// answer sees that names are answered for a namespace, and says where.
func (n *node) answer(namespace string) (answering, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at, ok := n.served[namespace]; ok {
		return at, nil
	}
	on := []netip.Addr{loopback}
	if n.six {
		on = append(on, loopback6)
	}
	for port := uint16(firstLowDNS); port < dnsPort+dnsPorts; port++ {
		if port > lastLowDNS {
			port = max(port, dnsPort)
		}
		sockets, err := dnsSockets(on, port)
		if err != nil {
			continue
		}
		at := answering{at: netip.AddrPortFrom(loopback, port)}
		for _, s := range sockets {
			for _, socket := range []any{s.udp, s.tcp} {
				if c, ok := socket.(syscallConn); ok {
					at.sockets = append(at.sockets, c)
				}
			}
			n.tasks.Go(func() {
				if err := n.names.Serve(s.udp, s.tcp, namespace); err != nil {
					n.log.Error("names are not answered any more", "namespace", namespace, "error", err)
				}
			})
		}
		n.served[namespace] = at
		return at, nil
	}
	return answering{}, errors.New("no port is free for the mesh DNS")
}
