package app

import (
	"net/netip"

	"github.com/naru-mesh/naru/identity/attest"
)

// ListensAt gives where TCP connections are taken in the network of a process;
// own: by it and what it has started alone, as far as this process may see that.
func ListensAt(pid int, own bool) ([]netip.AddrPort, error) {
	all, err := attest.Listenings(pid)
	if own {
		all = attest.Own(pid, all)
	}
	list := make([]netip.AddrPort, len(all))
	for i, l := range all {
		list[i] = l.At
	}
	return list, err
}
