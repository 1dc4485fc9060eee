package capture

import (
	"net/netip"

	"github.com/cilium/ebpf/asm"
)

// Below the original at fp-24.
const (
	dialKey = -originalSize - dialSize
	flowKey = dialKey - flowSize
	portKey = flowKey - 8
)

// track is the sock_ops program, on the cgroups of workloads and of the proxy.
// A connection is noted before its SYN leaves and forgotten when it ends, so
// that nobody who gets the same source port later inherits it.
type track struct{ program }

// trackWorkload publishes the originals of a workload's connections, and lets
// the workload reach its own ports.
func trackWorkload(cage uint32) asm.Instructions {
	p := &track{}
	p.begin()
	p.add(asm.JEq.Imm(asm.R1, opActive, "stands"))
	p.add(asm.JEq.Imm(asm.R1, opState, "state"))
	p.add(asm.JNE.Imm(asm.R1, opTCPConnect, "allow"))

	p.storage(false, 0)
	p.add(asm.JEq.Imm(asm.R0, 0, "direct"), asm.Mov.Reg(asm.R8, asm.R0))
	p.flow("c", false)
	p.add(asm.LoadMapPtr(asm.R1, 0).WithReference("flows"))
	p.stack(asm.R2, flowKey)
	p.add(asm.Mov.Reg(asm.R3, asm.R8), asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
	p.watch()
	p.add(asm.Ja.Label("allow"))

	p.at("direct")
	p.served()
	p.add(asm.LoadMem(asm.R1, asm.R0, 0, asm.Word), asm.JNE.Imm32(asm.R1, int32(cage), "allow"))
	p.dial("d")
	p.admit()
	p.watch()
	p.add(asm.Ja.Label("allow"))

	p.at("state")
	p.load(asm.R1, opsNewState)
	p.add(asm.JNE.Imm(asm.R1, stateClose, "allow"))
	p.flow("e", false)
	p.remove("flows", flowKey)
	p.at("stands")
	p.served()
	p.dial("s")
	p.remove("dials", dialKey)
	p.end("allow", 1)
	return p.ins
}

// trackProxy hands the originals to the proxy's accepted sockets, and lets it
// reach the ports of workloads: with a mark only those of its connections that
// carry it.
func trackProxy(mark uint32) asm.Instructions {
	p := &track{}
	p.begin()
	p.add(asm.JEq.Imm(asm.R1, opPassive, "accepted"))
	p.add(asm.JEq.Imm(asm.R1, opActive, "stands"))
	p.add(asm.JEq.Imm(asm.R1, opState, "state"))
	p.add(asm.JNE.Imm(asm.R1, opTCPConnect, "allow"))

	if mark != 0 {
		p.add(asm.LoadMem(asm.R1, asm.R7, socketMark, asm.Word), asm.JNE.Imm32(asm.R1, int32(mark), "allow"))
	}
	p.served()
	p.dial("d")
	p.admit()
	p.watch()
	p.add(asm.Ja.Label("allow"))

	p.at("accepted")
	p.flow("a", true)
	p.find("flows", flowKey)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"))
	for i := int16(0); i < originalSize; i += 8 {
		p.add(asm.LoadMem(asm.R1, asm.R0, i, asm.DWord), asm.StoreMem(asm.RFP, -originalSize+i, asm.R1, asm.DWord))
	}
	p.storage(true, -originalSize)
	p.remove("flows", flowKey)
	p.add(asm.Ja.Label("allow"))

	p.at("state")
	p.load(asm.R1, opsNewState)
	p.add(asm.JNE.Imm(asm.R1, stateClose, "allow"))
	p.at("stands")
	p.served()
	p.dial("s")
	p.remove("dials", dialKey)
	p.end("allow", 1)
	return p.ins
}

// begin: R6 context, R7 socket, R1 what happened.
func (p *track) begin() {
	p.add(asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R7, asm.R6, opsSocket, asm.DWord), asm.JEq.Imm(asm.R7, 0, "allow"))
	p.load(asm.R1, opsOp)
}

// watch asks to be told of the socket's changes of state.
func (p *track) watch() {
	p.load(asm.R2, opsFlags)
	p.add(asm.Or.Imm(asm.R2, stateFlag), asm.Mov.Reg(asm.R1, asm.R6), asm.FnSockOpsCbFlagsSet.Call())
}

// served: R0 = which cage serves the port at the other end; leaves by "allow"
// when none does.
func (p *track) served() {
	p.load(asm.R1, opsRemotePort) // network order, in the upper half where that matters
	p.add(asm.HostTo(asm.BE, asm.R1, asm.Word), asm.StoreMem(asm.RFP, portKey, asm.R1, asm.Word))
	p.find("ports", portKey)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"))
}

// address writes the near or far address to fp+to.
func (p *track) address(l string, to, four, six int16) {
	p.load(asm.R1, opsFamily)
	p.add(asm.JEq.Imm(asm.R1, familyIP6, l+"wide"))
	p.mapped(to, four)
	p.add(asm.Ja.Label(l + "done"))
	p.at(l + "wide")
	p.wide(to, six)
	p.at(l + "done")
}

// flow writes the key of a connection: its source, and the port of the proxy.
// Without the port a stranger who takes a source address that is in use could
// get the original of somebody else's connection at another listener.
func (p *track) flow(l string, accepted bool) {
	p.add(asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetNetnsCookie.Call(), asm.StoreMem(asm.RFP, flowKey, asm.R0, asm.DWord))
	if accepted {
		p.address(l, flowKey+8, opsRemoteIP4, opsRemoteIP6)
		p.load(asm.R1, opsRemotePort)
		p.load(asm.R2, opsLocalPort)
		p.add(asm.HostTo(asm.BE, asm.R1, asm.Word))
	} else {
		p.address(l, flowKey+8, opsLocalIP4, opsLocalIP6)
		p.load(asm.R1, opsLocalPort)
		p.load(asm.R2, opsRemotePort)
		p.add(asm.HostTo(asm.BE, asm.R2, asm.Word))
	}
	p.add(asm.StoreMem(asm.RFP, flowKey+24, asm.R1, asm.Word), asm.StoreMem(asm.RFP, flowKey+28, asm.R2, asm.Word))
}

// dial writes the key of a connection to a served port: both its ends. Without
// the address of the far one a stranger could take the source address of a
// connection that waits for the workload, and get in by another address of it.
func (p *track) dial(l string) {
	p.address(l, dialKey, opsLocalIP4, opsLocalIP6)
	p.address(l+"to", dialKey+24, opsRemoteIP4, opsRemoteIP6)
	p.load(asm.R1, opsLocalPort)
	p.add(asm.StoreMem(asm.RFP, dialKey+16, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.RFP, portKey, asm.Word), asm.StoreMem(asm.RFP, dialKey+20, asm.R1, asm.Word))
}

// admit lets the connection that dial has named through to the port.
func (p *track) admit() {
	p.add(asm.LoadMapPtr(asm.R1, 0).WithReference("dials"))
	p.stack(asm.R2, dialKey)
	p.stack(asm.R3, portKey) // any value
	p.add(asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
}

// inbound is the sk_lookup program: it sees the first packet of each TCP
// connection that comes to this network namespace, and the datagrams that no
// connected socket is for, whoever sent it.
func inbound() asm.Instructions {
	p := &track{}
	p.add(asm.Mov.Reg(asm.R6, asm.R1))
	p.load(asm.R2, seekProtocol)
	p.load(asm.R1, seekLocalPort)
	p.load(asm.R8, seekFamily)
	p.add(asm.JEq.Imm(asm.R2, protoTCP, "tcp"), asm.JNE.Imm(asm.R2, protoUDP, "allow"))
	p.add(asm.Or.Imm(asm.R1, datagrams), asm.StoreMem(asm.RFP, portKey, asm.R1, asm.Word))
	p.find("ports", portKey)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"), asm.Ja.Label("own"))
	p.at("tcp")
	p.add(asm.StoreMem(asm.RFP, portKey, asm.R1, asm.Word), asm.StoreMem(asm.RFP, dialKey+20, asm.R1, asm.Word))
	p.find("ports", portKey)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"))

	// A door of the proxy's own is nobody else's, whoever connects: another
	// program that takes its port while the proxy is away gets nothing.
	p.add(asm.LoadMem(asm.R1, asm.R0, 0, asm.Word), asm.And.Imm(asm.R1, 1), asm.JEq.Imm(asm.R1, 0, "own"))

	p.add(asm.JEq.Imm(asm.R8, familyIP6, "wide"))
	p.mapped(dialKey, seekRemoteIP4)
	p.mapped(dialKey+24, seekLocalIP4)
	p.add(asm.Ja.Label("from"))
	p.at("wide")
	p.wide(dialKey, seekRemoteIP6)
	p.wide(dialKey+24, seekLocalIP6)
	p.at("from")
	p.add(asm.LoadMem(asm.R1, asm.R6, seekRemotePort, asm.Half), asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.StoreMem(asm.RFP, dialKey+16, asm.R1, asm.Word))
	p.find("dials", dialKey)
	p.add(asm.JNE.Imm(asm.R0, 0, "allow"), asm.Ja.Label("proxy"))

	// What is the proxy's own is on the loopback, and not for other machines. It
	// is at one address: from another one of 127.0.0.0/8 a stranger could connect
	// with the source of a workload's connection, and be taken for that.
	p.at("own")
	p.add(asm.JEq.Imm(asm.R8, familyIP6, "own6"))
	p.load(asm.R1, seekLocalIP4)
	p.add(asm.JEq.Imm32(asm.R1, word(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 3), "proxy"), asm.Ja.Label("allow"))
	p.at("own6")
	for i := range 4 {
		p.load(asm.R1, seekLocalIP6+4*int16(i))
		p.add(asm.JNE.Imm32(asm.R1, word(netip.IPv6Loopback(), i), "allow"))
	}

	// Without a listener of the proxy's nobody gets in.
	p.at("proxy")
	p.add(asm.JEq.Imm(asm.R8, familyIP6, "six"))
	p.find("inbound4", portKey)
	p.add(asm.Ja.Label("assign"))
	p.at("six")
	p.find("inbound6", portKey)
	p.at("assign")
	p.add(asm.JEq.Imm(asm.R0, 0, "deny"),
		asm.Mov.Reg(asm.R7, asm.R0), asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.R0), asm.Mov.Imm(asm.R3, 0), asm.FnSkAssign.Call(),
		asm.Mov.Reg(asm.R8, asm.R0), asm.Mov.Reg(asm.R1, asm.R7), asm.FnSkRelease.Call(),
		asm.JNE.Imm(asm.R8, 0, "deny"))
	p.end("allow", 1)
	p.end("deny", 0)
	return p.ins
}

// answer is the getsockopt program on the proxy's cgroup. SO_ORIGINAL_DST at
// SOL_IP is for IPv4, at SOL_IPV6 for IPv6, as netfilter has it.
func answer() asm.Instructions {
	p := &program{}
	read := func(r asm.Register, offset int16, size asm.Size) { p.add(asm.LoadMem(r, asm.R6, offset, size)) }
	room := func(n int32) {
		read(asm.R8, optValue, asm.DWord)
		read(asm.R9, optEnd, asm.DWord)
		p.add(asm.Mov.Reg(asm.R1, asm.R8), asm.Add.Imm(asm.R1, n), asm.JGT.Reg(asm.R1, asm.R9, "allow"))
	}
	done := func(n int32) {
		p.add(asm.Mov.Imm(asm.R1, n), asm.StoreMem(asm.R6, optLength, asm.R1, asm.Word),
			asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R6, optResult, asm.R1, asm.Word))
	}
	p.add(asm.Mov.Reg(asm.R6, asm.R1))
	read(asm.R1, optName, asm.Word)
	p.add(asm.JNE.Imm(asm.R1, originalDst, "allow"))
	read(asm.R7, optSocket, asm.DWord)
	p.storage(false, 0)
	p.add(asm.JEq.Imm(asm.R0, 0, "allow"), asm.LoadMem(asm.R2, asm.R0, 8, asm.Word))
	read(asm.R1, optLevel, asm.Word)
	p.add(asm.JEq.Imm(asm.R1, 41, "wide"), asm.JNE.Imm(asm.R1, 0, "allow"), asm.JNE.Imm32(asm.R2, mappedWord, "allow"))
	room(16)
	p.add(asm.StoreImm(asm.R8, 0, familyIP4, asm.Half),
		asm.LoadMem(asm.R1, asm.R0, 16, asm.Half), asm.StoreMem(asm.R8, 2, asm.R1, asm.Half),
		asm.LoadMem(asm.R1, asm.R0, 12, asm.Word), asm.StoreMem(asm.R8, 4, asm.R1, asm.Word),
		asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R8, 8, asm.R1, asm.DWord))
	done(16)
	p.add(asm.Ja.Label("allow"))

	p.at("wide")
	p.add(asm.JEq.Imm32(asm.R2, mappedWord, "allow"))
	room(28)
	p.add(asm.StoreImm(asm.R8, 0, familyIP6, asm.Half),
		asm.LoadMem(asm.R1, asm.R0, 16, asm.Half), asm.StoreMem(asm.R8, 2, asm.R1, asm.Half),
		asm.StoreImm(asm.R8, 4, 0, asm.Word), asm.StoreImm(asm.R8, 24, 0, asm.Word))
	for i := int16(0); i < 16; i += 4 {
		p.add(asm.LoadMem(asm.R1, asm.R0, i, asm.Word), asm.StoreMem(asm.R8, 8+i, asm.R1, asm.Word))
	}
	done(28)
	p.end("allow", 1)
	return p.ins
}
