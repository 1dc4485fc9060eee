package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Offsets in structs of linux/bpf.h, which do not change.
const (
	// struct bpf_sock_addr
	addrIP4, addrIP6, addrPort, addrProtocol, addrSocket = 4, 8, 24, 36, 64
	// struct bpf_sock
	socketMark = 16
	// struct bpf_sock_ops
	opsOp, opsNewState, opsFamily, opsRemoteIP4, opsLocalIP4 = 0, 8, 20, 24, 28
	opsRemoteIP6, opsLocalIP6, opsRemotePort, opsLocalPort   = 32, 48, 64, 68
	opsFlags, opsSocket                                      = 84, 184
	opTCPConnect, opActive, opPassive, opState               = 3, 4, 5, 10
	stateFlag, stateClose                                    = 1 << 2, 7
	// struct bpf_sockopt
	optSocket, optValue, optEnd, optLevel, optName, optLength, optResult = 0, 8, 16, 24, 28, 32, 36
	// struct bpf_sk_lookup
	seekFamily, seekProtocol, seekRemoteIP4, seekRemoteIP6, seekRemotePort = 8, 12, 16, 20, 36
	seekLocalIP4, seekLocalIP6, seekLocalPort                              = 40, 44, 60

	familyIP4, familyIP6         = 2, 10
	protoTCP, protoUDP, protoMPT = 6, 17, 262
	originalDst                  = 80 // SO_ORIGINAL_DST
)

// An original is the value of the maps orig and flows, and says where a
// connection wanted to go: address (16 bytes, IPv4 is v4-mapped), port (network
// order), protocol (2 bytes), 0 (4 bytes).

const (
	originalSize = 24
	flowSize     = 32 // network namespace cookie, source address, source port, proxy's port
	dialSize     = 40 // source address, source port, destination port, destination address
)

// mapSpecs are the maps of a Capture; they are pinned, and a successor goes on
// with them. Whoever changes what a key or a value means renames its map.
func mapSpecs() map[string]*ebpf.MapSpec {
	u8 := &btf.Int{Name: "u8", Size: 1}
	number := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	value := &btf.Struct{Name: "original", Size: originalSize, Members: []btf.Member{
		{Name: "bytes", Type: &btf.Array{Index: number, Type: u8, Nelems: originalSize}}}}
	const noPrealloc = 1 // BPF_F_NO_PREALLOC
	return map[string]*ebpf.MapSpec{
		// Freed by the kernel with the socket.
		"orig": {Type: ebpf.SkStorage, KeySize: 4, ValueSize: originalSize, Flags: noPrealloc, Key: number, Value: value},
		// From before the SYN until the proxy's socket stands.
		"flows": {Type: ebpf.LRUHash, KeySize: flowSize, ValueSize: originalSize, MaxEntries: 65536},
		// Connections on their way to a workload's port that may reach it.
		"dials": {Type: ebpf.LRUHash, KeySize: dialSize, ValueSize: 4, MaxEntries: 65536},
		// Served port to the number of the cage that serves it.
		"ports": {Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 8192, Flags: noPrealloc},
		// Served port to the listening socket of its proxy.
		"inbound4": {Type: ebpf.SockHash, KeySize: 4, ValueSize: 8, MaxEntries: 8192},
		"inbound6": {Type: ebpf.SockHash, KeySize: 4, ValueSize: 8, MaxEntries: 8192},
	}
}

// program is assembled instruction by instruction. R6 is the context, R7 the
// socket. The stack holds an original at fp-24, and keys below it.
type program struct {
	ins   asm.Instructions
	label string
}

func (p *program) add(all ...asm.Instruction) {
	for _, in := range all {
		if p.label != "" {
			in, p.label = in.WithSymbol(p.label), ""
		}
		p.ins = append(p.ins, in)
	}
}

// at names the next instruction.
func (p *program) at(label string) { p.label = label }

// end returns value.
func (p *program) end(label string, value int32) {
	if label != "" {
		p.at(label)
	}
	p.add(asm.Mov.Imm(asm.R0, value), asm.Return())
}

// load reads a word of the context.
func (p *program) load(to asm.Register, offset int16) {
	p.add(asm.LoadMem(to, asm.R6, offset, asm.Word))
}

// stack has r point to fp+offset.
func (p *program) stack(r asm.Register, offset int32) {
	p.add(asm.Mov.Reg(r, asm.RFP), asm.Add.Imm(r, offset))
}

// find: R0 = the value in a map for the key at fp+key, or 0.
func (p *program) find(name string, key int32) {
	p.add(asm.LoadMapPtr(asm.R1, 0).WithReference(name))
	p.stack(asm.R2, key)
	p.add(asm.FnMapLookupElem.Call())
}

func (p *program) remove(name string, key int32) {
	p.add(asm.LoadMapPtr(asm.R1, 0).WithReference(name))
	p.stack(asm.R2, key)
	p.add(asm.FnMapDeleteElem.Call())
}

// storage: R0 = what orig holds for the socket R7, or 0. create makes it from
// the original at fp+from.
func (p *program) storage(create bool, from int32) {
	p.add(asm.LoadMapPtr(asm.R1, 0).WithReference("orig"), asm.Mov.Reg(asm.R2, asm.R7))
	if create {
		p.stack(asm.R3, from)
		p.add(asm.Mov.Imm(asm.R4, 1)) // BPF_SK_STORAGE_GET_F_CREATE
	} else {
		p.add(asm.Mov.Imm(asm.R3, 0), asm.Mov.Imm(asm.R4, 0))
	}
	p.add(asm.FnSkStorageGet.Call())
}

// note stores the original at fp-24 with the socket R7: a socket may connect
// more than once. Without memory for it, it goes to deny.
func (p *program) note(deny string) {
	p.storage(true, -originalSize)
	p.add(asm.JEq.Imm(asm.R0, 0, deny))
	for i := int16(0); i < originalSize; i += 8 {
		p.add(asm.LoadMem(asm.R1, asm.RFP, -originalSize+i, asm.DWord), asm.StoreMem(asm.R0, i, asm.R1, asm.DWord))
	}
}

// mapped writes an IPv4 address of the context to fp+to as 16 bytes.
func (p *program) mapped(to, from int16) {
	p.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, to, asm.R1, asm.DWord), asm.StoreImm(asm.RFP, to+8, int64(mappedWord), asm.Word))
	p.load(asm.R1, from)
	p.add(asm.StoreMem(asm.RFP, to+12, asm.R1, asm.Word))
}

// wide writes an IPv6 address of the context to fp+to.
func (p *program) wide(to, from int16) {
	for i := int16(0); i < 16; i += 4 {
		p.load(asm.R1, from+i)
		p.add(asm.StoreMem(asm.RFP, to+i, asm.R1, asm.Word))
	}
}

// mappedWord is the third word of a v4-mapped address.
var mappedWord = word(netip.MustParseAddr("::ffff:0.0.0.0"), 2)

// word gives 32 bits of an address as the kernel loads them.
func word(a netip.Addr, i int) int32 {
	b := a.As16()
	return int32(binary.NativeEndian.Uint32(b[4*i:]))
}

// netPort is a port as the kernel loads it.
func netPort(v uint16) int32 {
	return int32(binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)}))
}
