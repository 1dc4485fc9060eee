package loop

import (
	"net/netip"
	"syscall"
	"unsafe"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

const (
	// batchMost is how many datagrams one system call receives or sends.
	batchMost = 16
	// packetRoom has room for the largest datagram. Only pages that were
	// written to are resident, so small messages cost a page each.
	packetRoom = 64 << 10
	// controlRoom has room for one address of either family and its head.
	controlRoom = unix.SizeofCmsghdr + 24
)

// message is the kernel's struct mmsghdr.
type message struct {
	head unix.Msghdr
	len  uint32
}

// batch is a loop's room for datagrams that come and go.
type batch struct {
	in, out  [batchMost]message
	inPlace  [batchMost]unix.Iovec
	outPlace [batchMost]unix.Iovec
	from, to [batchMost]sockaddr
	// The control messages must be aligned as their heads are.
	inControl, outControl [batchMost][controlRoom / 8]uint64
	buffer                []byte
	list                  []wire.Datagram
}

func newBatch() *batch {
	return &batch{buffer: make([]byte, batchMost*packetRoom), list: make([]wire.Datagram, batchMost)}
}

// receive takes what is there, up to a batch, into b.list.
func (b *batch) receive(s *packetSocket) (int, syscall.Errno) {
	for i := range b.in {
		b.inPlace[i].Base = &b.buffer[i*packetRoom]
		b.inPlace[i].SetLen(packetRoom)
		h := &b.in[i].head
		*h = unix.Msghdr{Iov: &b.inPlace[i]}
		h.SetIovlen(1)
		if !s.remote.IsValid() {
			h.Name = (*byte)(unsafe.Pointer(&b.from[i]))
			h.Namelen = uint32(unsafe.Sizeof(b.from[i]))
		}
		if s.anyLocal {
			h.Control = (*byte)(unsafe.Pointer(&b.inControl[i]))
			h.SetControllen(controlRoom)
		}
	}
	r, _, e := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.in)), batchMost, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	for i := range int(r) {
		d := &b.list[i]
		*d = wire.Datagram{Data: b.buffer[i*packetRoom:][:b.in[i].len], Remote: s.remote}
		if !s.remote.IsValid() {
			d.Remote = decode(&b.from[i])
		}
		if s.anyLocal {
			d.Local = askedFor(&b.in[i].head)
		}
	}
	return int(r), 0
}

// askedFor is the address that a message was sent to (ip(7), IP_PKTINFO).
func askedFor(h *unix.Msghdr) netip.Addr {
	if h.Controllen < unix.SizeofCmsghdr {
		return netip.Addr{}
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(h.Control))
	body := unsafe.Add(unsafe.Pointer(h.Control), unix.SizeofCmsghdr)
	switch {
	case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && h.Controllen >= unix.SizeofCmsghdr+unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4((*unix.Inet4Pktinfo)(body).Spec_dst)
	case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && h.Controllen >= unix.SizeofCmsghdr+unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(body)
		return netip.AddrFrom16(info.Addr).Unmap()
	}
	return netip.Addr{}
}

// send sends up to a batch and says how many the kernel took.
func (b *batch) send(s *packetSocket, list []wire.Datagram) (int, syscall.Errno) {
	for i := range list {
		d := &list[i]
		b.outPlace[i] = unix.Iovec{Base: unsafe.SliceData(d.Data)}
		b.outPlace[i].SetLen(len(d.Data))
		h := &b.out[i].head
		*h = unix.Msghdr{Iov: &b.outPlace[i]}
		h.SetIovlen(1)
		if s.remote.IsValid() {
			continue
		}
		to := d.Remote
		if s.six && to.Addr().Is4() {
			to = netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
		}
		size, err := encode(to, &b.to[i])
		if err != nil || !to.IsValid() {
			return 0, syscall.EADDRNOTAVAIL
		}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.to[i])), uint32(size)
		if d.Local.IsValid() && s.anyLocal {
			leaveFrom(h, &b.outControl[i], d.Local, s.six, b.to[i].Scope_id)
		}
	}
	r, _, e := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.out)), uintptr(len(list)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// leaveFrom makes a message leave from an address, so that a client hears from
// whom it has asked.
func leaveFrom(h *unix.Msghdr, room *[controlRoom / 8]uint64, local netip.Addr, six bool, scope uint32) {
	*room = [controlRoom / 8]uint64{}
	c := (*unix.Cmsghdr)(unsafe.Pointer(room))
	body := unsafe.Add(unsafe.Pointer(room), unix.SizeofCmsghdr)
	size := unix.SizeofInet4Pktinfo
	if six {
		size = unix.SizeofInet6Pktinfo
		c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		(*unix.Inet6Pktinfo)(body).Addr = local.As16()
		if local.IsLinkLocalUnicast() {
			(*unix.Inet6Pktinfo)(body).Ifindex = scope
		}
	} else {
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		(*unix.Inet4Pktinfo)(body).Spec_dst = local.Unmap().As4()
	}
	c.SetLen(unix.SizeofCmsghdr + size)
	h.Control = (*byte)(unsafe.Pointer(room))
	h.SetControllen(unix.SizeofCmsghdr + (size+7)&^7)
}
