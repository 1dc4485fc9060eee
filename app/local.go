package app

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/naru-mesh/naru/wire"
)

// localMark is the SO_MARK by which what captures workloads knows the proxy's
// own connections to their ports. Those that the proxy makes on behalf of a
// workload do not have it: a workload cannot reach another one past its proxy
// by way of ours.
const localMark = 0x6e617275

// marked dials workloads of this machine.
type marked struct {
	mark   atomic.Uint32 // 0 while nothing is captured by eBPF
	places places
}

// Dial implements wire.Dialer.
func (m *marked) Dial(l wire.Loop, addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	if ns := m.places.of(addr); ns != nil {
		return dialFrom(l, ns, addr, h)
	}
	if mark := m.mark.Load(); mark != 0 {
		if d, ok := l.(wire.MarkedDialer); ok {
			return d.DialMarked(addr, mark, h)
		}
	}
	return l.Dial(addr, h)
}

// ordinary is the same for what is not on a loop.
func (m *marked) ordinary() *net.Dialer {
	mark := m.mark.Load()
	if mark == 0 {
		return &net.Dialer{}
	}
	return &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_MARK, int(mark))
		}); err != nil {
			return err
		}
		return failed
	}}
}
