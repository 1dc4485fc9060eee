package capture

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is that of our table in a workload's network namespace.
const tableName = "naru"

// rules replaces the table of the thread's network namespace, in one
// transaction: there is no moment without rules. REDIRECT leads to the
// loopback, and connection tracking answers SO_ORIGINAL_DST.
func rules(opt *WorkloadOptions) error {
	own, err := addresses()
	if err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	conn.AddTable(t) // so that there is one to delete
	conn.DelTable(t)
	conn.AddTable(t)
	nat := &chain{conn: conn, of: conn.AddChain(&nftables.Chain{Name: "redirect", Table: t, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest})}
	if opt.Mark != 0 {
		nat.rule(meta(expr.MetaKeyMARK, binary.NativeEndian.AppendUint32(nil, opt.Mark)), leave)
	}
	for _, f := range []struct {
		family   byte
		dns, out netip.AddrPort
	}{{unix.NFPROTO_IPV4, opt.DNS, opt.Outbound}, {unix.NFPROTO_IPV6, opt.DNS6, opt.Outbound6}} {
		family := meta(expr.MetaKeyNFPROTO, []byte{f.family})
		tcp, udp := meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP}), meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_UDP})
		if opt.DNS.IsValid() || opt.DNS6.IsValid() {
			// Without a server of this family it goes to a closed port.
			nat.rule(family, udp, port(53), redirectTo(f.dns.Port()))
			nat.rule(family, tcp, port(53), redirectTo(f.dns.Port()))
		}
		if f.family == unix.NFPROTO_IPV4 {
			nat.rule(family, within(netip.MustParsePrefix("127.0.0.0/8")), leave)
		} else {
			nat.rule(family, within(netip.MustParsePrefix("::1/128")), leave)
		}
		for _, a := range own { // it may call itself by these, too
			if a.Is4() == (f.family == unix.NFPROTO_IPV4) {
				nat.rule(family, within(netip.PrefixFrom(a, a.BitLen())), leave)
			}
		}
		for _, p := range opt.Exclude {
			if p.Addr().Is4() == (f.family == unix.NFPROTO_IPV4) {
				nat.rule(family, tcp, within(p), leave)
			}
		}
		for _, p := range opt.ExcludePorts {
			nat.rule(family, tcp, port(p), leave)
		}
		nat.rule(family, tcp, redirectTo(f.out.Port()))
		if opt.RefuseQUIC {
			nat.rule(family, udp, port(443), redirectTo(0))
		}
	}
	// The proxy's connections to the workload are made inside: from outside
	// there are none, also when the host forwards or somebody guesses the address.
	in := &chain{conn: conn, of: conn.AddChain(&nftables.Chain{Name: "refuse", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})}
	in.rule(not(expr.MetaKeyIIFNAME, interfaceName("lo")), syn(), refuse)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables rules: %w", err)
	}
	return nil
}

// addresses of the thread's network namespace but for its loopback's.
func addresses() (all []netip.Addr, err error) {
	list, err := net.InterfaceAddrs()
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			all = append(all, p.Addr().WithZone(""))
		}
	}
	return all, err
}

type chain struct {
	conn *nftables.Conn
	of   *nftables.Chain
}

func (c *chain) rule(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	c.conn.AddRule(&nftables.Rule{Table: c.of.Table, Chain: c.of, Exprs: all})
}

// leave lets a packet go where it wants to.
var leave = []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}

func meta(key expr.MetaKey, is []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: is}}
}

// port is the destination's.
func port(n uint16) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, n)}}
}

// within is for destinations in a network of the packet's family.
func within(p netip.Prefix) []expr.Any {
	offset, size := uint32(16), uint32(4)
	if p.Addr().Is6() {
		offset, size = 24, 16
	}
	ones := make([]byte, size)
	for i := range ones {
		ones[i] = 0xff
	}
	all, _ := netip.AddrFromSlice(ones)
	mask, _ := all.Prefix(p.Bits())
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask.Addr().AsSlice(), Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()}}
}

// redirectTo a port of the loopback; 0 is port 1, where nobody listens.
func redirectTo(port uint16) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, max(port, 1))}, &expr.Redir{RegisterProtoMin: 1}}
}

// interfaceName is as the kernel compares them.
func interfaceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func not(key expr.MetaKey, is []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: is}}
}

// syn is for the first packet of a TCP connection.
func syn() []expr.Any {
	const synAck = 0x12
	return append(meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synAck}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}})
}

// refuse answers with a reset.
var refuse = []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}
