package capture

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf/asm"
)

// redirection is the program on connect4, connect6, sendmsg4 and sendmsg6,
// which changes the destination of one workload's connections and DNS queries.
type redirection struct {
	program
	opt  *WorkloadOptions
	six  bool // connect6, sendmsg6
	send bool // sendmsg: UDP that is not connected
}

func redirect(opt *WorkloadOptions, six, send bool) asm.Instructions {
	r := &redirection{opt: opt, six: six, send: send}
	r.add(asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R7, asm.R6, addrSocket, asm.DWord))
	if opt.Mark != 0 {
		r.add(asm.LoadMem(asm.R1, asm.R7, socketMark, asm.Word), asm.JEq.Imm32(asm.R1, int32(opt.Mark), "allow"))
	}
	r.load(asm.R8, addrProtocol)
	r.load(asm.R9, addrPort)
	if six {
		// An IPv6 socket that means an IPv4 address.
		r.load(asm.R1, addrIP6)
		r.load(asm.R2, addrIP6+4)
		r.add(asm.Or.Reg(asm.R1, asm.R2), asm.JNE.Imm(asm.R1, 0, "native"))
		r.load(asm.R1, addrIP6+8)
		r.add(asm.JNE.Imm32(asm.R1, mappedWord, "native"))
		r.family("m", true, addrIP6+12)
		r.at("native")
		r.family("n", false, addrIP6)
	} else {
		r.family("n", true, addrIP4)
	}
	// A socket that was captured once and is not now has no original.
	r.at("clear")
	if !send {
		r.add(asm.LoadMapPtr(asm.R1, 0).WithReference("orig"), asm.Mov.Reg(asm.R2, asm.R7), asm.FnSkStorageDelete.Call())
	}
	r.end("", 1)
	r.end("allow", 1)
	r.end("deny", 0)
	return r.ins
}

// family decides about destinations of one address family, at offset ip of the
// context. Every path leaves it.
func (r *redirection) family(l string, four bool, ip int16) {
	out, dns, other := r.opt.Outbound6, r.opt.DNS6, r.opt.DNS
	if four {
		out, dns, other = r.opt.Outbound, r.opt.DNS, r.opt.DNS6
	}
	names := "" // where DNS goes
	switch {
	case dns.IsValid():
		names = l + "dns"
	case other.IsValid():
		names = "deny" // the resolver asks its next server
	}
	r.add(asm.JEq.Imm(asm.R8, protoUDP, l+"udp"), asm.JEq.Imm(asm.R8, protoMPT, l+"tcp"), asm.JNE.Imm(asm.R8, protoTCP, "allow"))
	r.at(l + "tcp")
	r.add(asm.Mov.Reg(asm.R1, asm.R9))
	if names != "" {
		r.add(asm.JEq.Imm(asm.R1, netPort(53), names))
	}
	for _, port := range r.opt.ExcludePorts {
		r.add(asm.JEq.Imm(asm.R1, netPort(port), "clear"))
	}
	r.loopback(l+"t", four, ip)
	for i, p := range r.opt.Exclude {
		if p.Addr().Is4() == four {
			r.within(p, ip, fmt.Sprint(l, "not", i))
		}
	}
	if out.IsValid() {
		r.remember(four, ip, protoTCP)
		r.rewrite(out)
		r.add(asm.Ja.Label("allow"))
	} else {
		r.add(asm.Ja.Label("deny"))
	}

	r.at(l + "udp")
	r.add(asm.Mov.Reg(asm.R1, asm.R9))
	if names != "" {
		r.add(asm.JEq.Imm(asm.R1, netPort(53), names))
	}
	if r.opt.RefuseQUIC {
		r.add(asm.JNE.Imm(asm.R1, netPort(443), "clear"))
		r.loopback(l+"u", four, ip)
		r.add(asm.Ja.Label("deny"))
	} else {
		r.add(asm.Ja.Label("clear"))
	}

	if dns.IsValid() {
		r.at(names)
		if len(r.opt.Names) > 0 {
			r.answered(four, dns.Port())
		}
		r.remember(four, ip, 0)
		r.rewrite(dns)
		r.add(asm.Ja.Label("allow"))
	}
}

// loopback leaves by "clear" for what does not leave the machine; the
// unspecified address connects to it too.
func (r *redirection) loopback(l string, four bool, ip int16) {
	if four {
		r.load(asm.R1, ip)
		r.add(asm.JEq.Imm(asm.R1, 0, "clear"), asm.HostTo(asm.BE, asm.R1, asm.Word),
			asm.RSh.Imm(asm.R1, 24), asm.JEq.Imm(asm.R1, 127, "clear"))
		return
	}
	r.load(asm.R1, ip)
	for i := int16(4); i < 12; i += 4 {
		r.load(asm.R2, ip+i)
		r.add(asm.Or.Reg(asm.R1, asm.R2))
	}
	r.add(asm.JNE.Imm(asm.R1, 0, l+"far"))
	r.load(asm.R1, ip+12)
	r.add(asm.HostTo(asm.BE, asm.R1, asm.Word), asm.JLE.Imm(asm.R1, 1, "clear")) // :: and ::1
	r.at(l + "far")
	r.add(asm.Mov.Imm(asm.R1, 0))
}

// within leaves by "clear" for addresses in a network.
func (r *redirection) within(p netip.Prefix, ip int16, outside string) {
	first, a := 0, p.Masked().Addr()
	if a.Is4() {
		first = 3
	}
	for bits, i := p.Bits(), int16(0); bits > 0; bits, i = bits-32, i+1 {
		r.load(asm.R1, ip+4*i)
		if bits < 32 {
			ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
			m, _ := ones.Prefix(bits)
			r.add(asm.And.Imm32(asm.R1, word(m.Addr(), 3)))
		}
		r.add(asm.JNE.Imm32(asm.R1, word(a, first+int(i)), outside))
	}
	if p.Bits() == 0 { // nothing is outside, but the verifier wants a way there
		r.add(asm.JEq.Imm(asm.R8, 0, outside))
	}
	r.add(asm.Ja.Label("clear"))
	r.at(outside)
	r.add(asm.Mov.Imm(asm.R1, 0))
}

// answered leaves by "deny" when the mesh DNS has no socket: nobody else is to
// be waited for, who might take its port and guess what is asked.
func (r *redirection) answered(four bool, port uint16) {
	name := "inbound6"
	if four {
		name = "inbound4"
	}
	r.add(asm.StoreImm(asm.RFP, portKey, datagrams|int64(port), asm.Word))
	r.find(name, portKey)
	r.add(asm.JEq.Imm(asm.R0, 0, "deny"), asm.Mov.Reg(asm.R1, asm.R0), asm.FnSkRelease.Call())
}

// remember notes the destination with the socket.
func (r *redirection) remember(four bool, ip int16, protocol int64) {
	if four {
		r.mapped(-originalSize, ip)
	} else {
		r.wide(-originalSize, ip)
	}
	r.add(asm.StoreMem(asm.RFP, -originalSize+16, asm.R9, asm.Half))
	if protocol != 0 {
		r.add(asm.StoreImm(asm.RFP, -originalSize+18, protocol, asm.Half))
	} else {
		r.add(asm.StoreMem(asm.RFP, -originalSize+18, asm.R8, asm.Half))
	}
	r.add(asm.StoreImm(asm.RFP, -originalSize+20, 0, asm.Word))
	r.note("deny")
}

// rewrite sets the destination. To an IPv6 socket an IPv4 address is v4-mapped.
func (r *redirection) rewrite(to netip.AddrPort) {
	set := func(offset int16, v int32) {
		r.add(asm.Mov.Imm32(asm.R1, v), asm.StoreMem(asm.R6, offset, asm.R1, asm.Word))
	}
	if r.six {
		for i := range 4 {
			set(addrIP6+4*int16(i), word(to.Addr(), i))
		}
	} else {
		set(addrIP4, word(to.Addr(), 3))
	}
	set(addrPort, netPort(to.Port()))
}

// fromNames leaves by "allow" what does not come from the address of the mesh
// DNS: another program may have its port on another address of the loopback.
func (p *program) fromNames(opt *WorkloadOptions, six bool) {
	is := func(offset int16, a netip.Addr, i int, no string) {
		p.load(asm.R1, offset)
		p.add(asm.JNE.Imm32(asm.R1, word(a, i), no))
	}
	if !six {
		is(addrIP4, opt.DNS.Addr().Unmap(), 3, "allow")
		return
	}
	for _, at := range []struct {
		addr netip.AddrPort
		no   string
	}{{opt.DNS, "six"}, {opt.DNS6, "allow"}} {
		if !at.addr.IsValid() {
			p.add(asm.Ja.Label(at.no))
		} else {
			for i := range 4 {
				is(addrIP6+4*int16(i), at.addr.Addr(), i, at.no)
			}
			p.add(asm.Ja.Label("names"))
		}
		p.at(at.no)
	}
	p.label = ""
	p.at("names")
}

// restore is the program on getpeername and recvmsg: where the kernel shows the
// proxy's address, it shows the one that the workload knows.
func restore(opt *WorkloadOptions, six, recv bool) asm.Instructions {
	ports := []uint16{opt.DNS.Port(), opt.DNS6.Port()}
	if !recv {
		ports = append(ports, opt.Outbound.Port(), opt.Outbound6.Port())
	}
	slices.Sort(ports)
	p := &program{}
	p.add(asm.Mov.Reg(asm.R6, asm.R1))
	if recv {
		p.fromNames(opt, six)
	}
	p.load(asm.R1, addrPort)
	for _, port := range slices.Compact(ports) {
		if port != 0 {
			p.add(asm.JEq.Imm(asm.R1, netPort(port), "ours"))
		}
	}
	p.add(asm.Ja.Label("allow"))
	p.at("ours")
	p.add(asm.LoadMem(asm.R7, asm.R6, addrSocket, asm.DWord))
	p.storage(false, 0)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"))
	if six {
		for i := int16(0); i < 16; i += 4 {
			p.add(asm.LoadMem(asm.R1, asm.R0, i, asm.Word), asm.StoreMem(asm.R6, addrIP6+i, asm.R1, asm.Word))
		}
	} else {
		p.add(asm.LoadMem(asm.R1, asm.R0, 12, asm.Word), asm.StoreMem(asm.R6, addrIP4, asm.R1, asm.Word))
	}
	p.add(asm.LoadMem(asm.R1, asm.R0, 16, asm.Half), asm.StoreMem(asm.R6, addrPort, asm.R1, asm.Word))
	p.end("allow", 1)
	return p.ins
}
