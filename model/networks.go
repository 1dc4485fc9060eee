package model

import (
	"net"
	"strconv"
)

// MeshNetwork is how the workloads of a network (Place.Network) are reached from
// others: through its gateways. These pass on TLS that is for a workload of their
// network, by its SNI, and end none: identities are those of both ends, and what
// is said stays between them.
type MeshNetwork struct {
	// Name is that of the network, "dc2".
	Name string `json:"name"`
	// Gateway is host:port, by which the other networks reach its gateways; of a
	// DNS name every address is one. The gateways, which are in the network
	// themselves, listen on that port.
	Gateway string `json:"gateway"`
}

// At gives Gateway's parts; ok says that it has them.
func (n *MeshNetwork) At() (host string, port uint16, ok bool) {
	host, text, err := net.SplitHostPort(n.Gateway)
	number, wrong := strconv.ParseUint(text, 10, 16)
	return host, uint16(number), err == nil && wrong == nil && host != "" && number > 0
}

// networks writes what m says of them; nothing where it says nothing.
func (b *content) networks(m *Mesh) {
	if len(m.Networks) == 0 {
		return
	}
	b.text("networks")
	b.number(uint64(len(m.Networks)))
	for _, n := range m.Networks {
		b.text(n.Name, n.Gateway)
	}
}

// networks checks them. One that is wrong is left out: its workloads are dialled
// at their own addresses.
func (v *checker) networks(m *Mesh) *Mesh {
	good, seen := m.Networks, map[string]bool{}
	for i := range m.Networks {
		n := &m.Networks[i]
		host, _, ok := n.At()
		usable := false
		switch {
		case !IsPlaceName(n.Name):
			v.broken("bad-value", "no network can be named "+strconv.Quote(n.Name), "letters, digits, dots, dashes and underscores, at most 63, for example dc2")
		case seen[n.Name]:
			v.broken("duplicate-name", "network "+n.Name+" has two gateways", "name it once; a DNS name may have several addresses")
		case !ok || !isHost(host):
			v.broken("bad-address", "the gateway of network "+n.Name+" is at "+strconv.Quote(n.Gateway), "write host:port, for example 203.0.113.7:15443")
		default:
			seen[n.Name], usable = true, true
		}
		good = keep(good, m.Networks, i, usable)
	}
	if len(good) < len(m.Networks) {
		m = copied(m)
		m.Networks = good
	}
	return m
}
