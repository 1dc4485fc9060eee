package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of the hot path are raw: they never block, so the scheduler need
// not hear of them (1.5 to 2.5 µs a request).

func recv(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	return int(n), e
}

// discard throws away up to n received bytes without copying them (tcp(7),
// MSG_TRUNC).
func discard(fd int32, n int) (int, syscall.Errno) {
	got, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(n), unix.MSG_TRUNC, 0, 0)
	return int(got), e
}

// peek says EAGAIN when there is nothing to receive, not even an end.
func peek(fd int32) syscall.Errno {
	var b [1]byte
	_, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return e
}

// unread is how many bytes wait to be received (tcp(7), SIOCINQ).
func unread(fd int32) int {
	var n int32
	syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	return int(n)
}

func send(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// sendTwo sends a, then b, both not empty, in one call.
func sendTwo(fd int32, a, b []byte) (int, syscall.Errno) {
	iov := [2]unix.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	return sendVector(fd, &iov[0], 2)
}

func sendVector(fd int32, iov *unix.Iovec, count int) (int, syscall.Errno) {
	msg := unix.Msghdr{Iov: iov}
	msg.SetIovlen(count)
	n, _, e := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	return int(n), e
}

func closeSocket(fd int32) { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func shutdownWrite(fd int32) {
	syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// resetOnClose makes the coming close send a reset and drop what the kernel
// still holds.
func resetOnClose(fd int32) {
	linger := unix.Linger{Onoff: 1}
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}

func setNoDelay(fd int32) {
	one := int32(1)
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY,
		uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one), 0)
}

func setMark(fd int32, mark uint32) syscall.Errno {
	_, _, e := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MARK,
		uintptr(unsafe.Pointer(&mark)), unsafe.Sizeof(mark), 0)
	return e
}

// socketError takes the pending error of a socket; 0 when there is none.
func socketError(fd int32) syscall.Errno {
	var value int32
	size := uint32(unsafe.Sizeof(value))
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return syscall.Errno(value)
}

// accept takes one connection from a listening socket, non-blocking.
func accept(fd int32, from *sockaddr) (int32, syscall.Errno) {
	size := uint32(unsafe.Sizeof(*from))
	got, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(from)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(got), e
}

func connect(fd int32, to *sockaddr, size uintptr) syscall.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), size)
	return e
}

func socketName(fd int32, name *sockaddr) syscall.Errno {
	size := uint32(unsafe.Sizeof(*name))
	_, _, e := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&size)))
	return e
}

// epollControl sets what fd reports. id and generation come back with each
// event.
func epollControl(epoll int32, op int, fd int32, events uint32, id, generation int32) syscall.Errno {
	event := unix.EpollEvent{Events: events, Fd: id, Pad: generation}
	_, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&event)), 0, 0)
	return e
}

// epollPoll takes the events that are there.
func epollPoll(epoll int32, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), e
}

const forever = ^uintptr(0)

// epollWaitHeld waits for events or a signal and holds the P meanwhile.
func epollWaitHeld(epoll int32, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), forever, 0, 0)
	return int(n), e
}

// epollWaitReleased waits as other goroutines do: the runtime may take the P.
func epollWaitReleased(epoll int32, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), forever, 0, 0)
	return int(n), e
}

// signalEventfd makes an eventfd readable, which is an edge each time: it is
// never read.
func signalEventfd(fd int32) {
	one := uint64(1)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

// checkpoint gives the runtime a place to preempt the loop: a raw system call
// that was interrupted returns through code without a stack check, and only a
// stack check takes the pending preemption.
//
//go:noinline
func checkpoint() {
	var frame [256]byte
	fill(&frame)
}

//go:noinline
func fill(frame *[256]byte) { frame[0] = 1 }

func bindName(fd int32, name *sockaddr, size uintptr) syscall.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(name)), size)
	return e
}
