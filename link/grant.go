package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// Grant is what a node may have once it has joined.
type Grant struct {
	// Node is the name that it may take, or a pattern as of path.Match:
	// "web-1", "web-*". A pattern takes no name that somebody has already.
	Node string `json:"node"`
	// Gateway: it may have Listeners and Certificates.
	Gateway bool `json:"gateway,omitempty"`
	// Any: workloads of every account of every namespace may be there.
	Any bool `json:"any,omitempty"`
	// Accounts are those of Namespaces (none: model.DefaultNamespace), or of the
	// namespace that they name, "shop/orders", "shop/*". Without Accounts it is
	// all of the Namespaces; without either, and without Any, nobody. They bound
	// what may be registered there, and so which identities it may ask for.
	Namespaces []string `json:"namespaces,omitempty"`
	Accounts   []string `json:"accounts,omitempty"`
	// Addresses are networks (CIDR) or addresses at which its workloads may be
	// besides the one that the node's connection comes from. Loopback and
	// link-local addresses lie in none but in one that lies wholly in those.
	Addresses []string `json:"addresses,omitempty"`
}

// accounts gives them as namespace/account, sorted.
func (g *Grant) accounts() (all []string) {
	in := g.Namespaces
	if len(in) == 0 {
		in = []string{model.DefaultNamespace}
	}
	if len(g.Accounts) == 0 {
		for _, n := range g.Namespaces {
			all = append(all, n+"/*")
		}
	}
	for _, a := range g.Accounts {
		if strings.Contains(a, "/") {
			all = append(all, a)
			continue
		}
		for _, n := range in {
			all = append(all, n+"/"+a)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// allows says whether a workload of that namespace and account may be there.
func (g *Grant) allows(namespace, account string) bool {
	if g.Any {
		return true
	}
	all := g.accounts()
	return slices.Contains(all, namespace+"/"+account) || slices.Contains(all, namespace+"/*")
}

// allowsWorkload says whether it may be there. What a gateway calls services as
// comes with being one.
func (g *Grant) allowsWorkload(namespace, account string) bool {
	return g.allows(namespace, account) || g.Gateway && namespace == model.DefaultNamespace && account == model.GatewayAccount
}

// Add gives more: accounts of namespaces, or addresses. What there was stays.
func (g *Grant) Add(more Grant) {
	g.Gateway = g.Gateway || more.Gateway
	for _, a := range more.Addresses {
		if !slices.Contains(g.Addresses, a) {
			g.Addresses = append(g.Addresses, a)
		}
	}
	switch {
	case more.Any:
		g.Any, g.Namespaces, g.Accounts = true, nil, nil
	case !g.Any:
		all := append(g.accounts(), more.accounts()...)
		slices.Sort(all)
		g.Namespaces, g.Accounts = nil, slices.Compact(all)
	}
}

// Check says what of a grant cannot be.
func (g *Grant) Check() error {
	if _, err := path.Match(g.Node, "x"); err != nil || g.Node == "" {
		return fmt.Errorf("node %q is no name or pattern: write web-1, web-* or *", g.Node)
	}
	for _, n := range g.Namespaces {
		if !IsNodeName(n) {
			return fmt.Errorf("%q is no namespace", n)
		}
	}
	for _, a := range g.Accounts {
		namespace, account, both := strings.Cut(a, "/")
		if !both {
			namespace, account = model.DefaultNamespace, a
		}
		if !IsNodeName(namespace) || !IsNodeName(account) && !(both && account == "*") {
			return fmt.Errorf("%q is no account: write orders, or shop/orders for one of namespace shop", a)
		}
	}
	for _, a := range g.Addresses {
		if _, err := network(a); err != nil {
			return fmt.Errorf("%q is no address: write 192.0.2.10, or a network such as 192.0.2.0/28", a)
		}
	}
	switch has := len(g.Namespaces)+len(g.Accounts) > 0; {
	case g.Any && has:
		return errors.New("any account is more than those that are named: one or the other")
	case !g.Any && !has && !g.Gateway:
		return errors.New("nothing may run there: name accounts or namespaces, or say any")
	}
	return nil
}

// String says it in words: "workloads of default/cart and default/orders, at the
// address that it connects from".
func (g Grant) String() string {
	s := "no workloads"
	if all := g.accounts(); g.Any {
		s = "workloads of every account of every namespace"
	} else if len(all) > 0 {
		s = "workloads of " + inWords(all)
	}
	if g.Gateway {
		s += ", and a gateway's listeners and certificates"
	}
	return s + ", at " + inWords(append([]string{"the address that it connects from"}, g.Addresses...))
}

func inWords(list []string) string {
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// network reads an address or a network.
func network(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// special says whether an address means something else on each machine.
func special(a netip.Addr) bool { return a.IsLoopback() || a.IsLinkLocalUnicast() }

// lists says whether an address is one of the grant's.
func (g *Grant) lists(at netip.Addr) bool {
	return slices.ContainsFunc(g.Addresses, func(s string) bool {
		p, err := network(s)
		if err != nil || !p.Contains(at) {
			return false
		}
		// 0.0.0.0/0 does not mean everybody's loopback. A network whose first
		// address is special lies wholly in those where it is not too wide.
		return !special(at) || special(p.Masked().Addr()) && p.Bits() >= leastSpecial(at)
	})
}

// leastSpecial is the length of the prefix of 127.0.0.0/8, 169.254.0.0/16, ::1
// and fe80::/10.
func leastSpecial(a netip.Addr) int {
	switch {
	case a.Is4() && a.IsLoopback():
		return 8
	case a.Is4():
		return 16
	case a.IsLoopback():
		return 128
	}
	return 10
}

// mayBeAt says whether a node whose connection comes from an address may have
// workloads at another: whoever is at an address gets what is sent there, so
// that it must have shown that it is, or have been trusted to be. own gives the
// addresses of the control plane's machine: a node on that, too, may be at any
// of them.
func (g *Grant) mayBeAt(from, at netip.Addr, own func() []netip.Addr) bool {
	from, at = from.Unmap().WithZone(""), at.Unmap().WithZone("")
	if at == from || g.lists(at) {
		return true
	}
	// Nobody else can connect from an address of ours.
	here := own()
	is := func(a netip.Addr) bool { return a.IsLoopback() || slices.Contains(here, a) }
	return is(from) && is(at)
}

// ownAddresses are those of this machine.
func ownAddresses() (all []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then nobody is taken to be on this machine
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				all = append(all, ip.Unmap())
			}
		}
	}
	return all
}

// checkAddress refuses a workload at an address that is not its node's.
func (s *Server) checkAddress(c caller, g *Grant, w *model.Workload) error {
	at, err := netip.ParseAddr(w.Address)
	if err != nil {
		return err // checkWorkload was here before
	}
	from, err := netip.ParseAddrPort(c.address)
	if err == nil && g.mayBeAt(from.Addr(), at, s.options.Own) {
		return nil
	}
	return fmt.Errorf("node %s may not have workloads at %s: its connection comes from %s; start it with --address %s, or where that is right (NAT, several networks) write on the control plane: naru token grant --node %s --address %s",
		c.node, at, from.Addr().Unmap(), from.Addr().Unmap().WithZone(""), c.node, at)
}

// ChangeGrant changes what a node that has joined may have, from its next
// registration on. change gets what it may have now. store.ErrNotFound: there is
// no such node.
func ChangeGrant(ctx context.Context, s store.Store, node string, change func(*Grant)) (Grant, error) {
	for {
		r, changed, err := nodeOf(ctx, s, node)
		if err != nil {
			return r.Grant, err
		}
		change(&r.Grant)
		r.Grant.Node, r.Set = node, true
		if err := r.Grant.Check(); err != nil {
			return r.Grant, err
		}
		value, err := json.Marshal(r)
		if err != nil {
			return r.Grant, err
		}
		key := nodesBelow + node
		_, done, err := s.Txn(ctx, []store.Cond{{Key: key, Changed: changed}}, store.Op{Key: key, Value: value})
		if err != nil || done {
			return r.Grant, err
		}
	}
}

func nodeOf(ctx context.Context, s store.Store, node string) (r nodeRecord, changed store.Revision, err error) {
	item, err := s.Get(ctx, nodesBelow+node)
	if err != nil {
		return r, changed, err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return r, changed, fmt.Errorf("the record of node %s: %w", node, err)
	}
	return r, item.Changed, nil
}
