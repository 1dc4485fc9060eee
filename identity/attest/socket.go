package attest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
)

// errStranger says that no process of the workload has made the connection.
var errStranger = errors.New("it was made by no process of the workload")

// Callers tells who has made connections.
type Callers struct {
	mu   sync.Mutex
	last map[string]int // process, by workload
}

// Check says whether it was a process of the workload called name that
// connected from client to server, both addresses of this machine; nil: it was.
func (c *Callers) Check(all []Workload, name string, client, server netip.AddrPort) error {
	i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
	if i < 0 {
		return errors.New("the workload has left")
	}
	inode, uid, err := socketOf(client, server)
	if err != nil {
		return err
	}
	if all[i].Unseen {
		if uid != all[i].By.UID {
			return fmt.Errorf("it was made by user %d, and not by %d", uid, all[i].By.UID)
		}
		return nil
	}
	is := func(pid int) (bool, error) {
		has, err := holds(pid, inode)
		return has && Of(all, pid) == &all[i], err
	}
	c.mu.Lock()
	last := c.last[name]
	c.mu.Unlock()
	if last != 0 {
		if ok, _ := is(last); ok {
			return nil
		}
	}
	unseen := error(nil)
	for _, pid := range all[i].processes() {
		ok, err := is(pid)
		if errors.Is(err, os.ErrPermission) {
			unseen = err
		}
		if !ok {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last == nil {
			c.last = map[string]int{}
		}
		c.last[name] = pid
		return nil
	}
	if unseen != nil {
		return fmt.Errorf("%w, unless by one that cannot be looked into: %w", errStranger, unseen)
	}
	return errStranger
}

// Forget lets go of a workload that has left.
func (c *Callers) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, name)
}

// Of linux/sock_diag.h, linux/inet_diag.h and net/tcp_states.h.
const (
	inetDiag      = 4  // NETLINK_INET_DIAG
	byFamily      = 20 // SOCK_DIAG_BY_FAMILY
	requestLength = 56 // struct inet_diag_req_v2
	messageLength = 72 // struct inet_diag_msg
	stateListen   = 10
)

// socketOf gives the number of the client's socket of a connection, and the user
// who made it.
func socketOf(client, server netip.AddrPort) (inode, uid uint32, err error) {
	if !client.Addr().Unmap().Is4() || !server.Addr().Unmap().Is4() {
		return 0, 0, fmt.Errorf("a connection from %s: only those by IPv4 can be told apart", client)
	}
	client, server = netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, inetDiag)
	if err != nil {
		return 0, 0, fmt.Errorf("sock_diag: %w", err)
	}
	defer syscall.Close(fd)
	ask := make([]byte, syscall.NLMSG_HDRLEN, syscall.NLMSG_HDRLEN+requestLength)
	binary.NativeEndian.PutUint32(ask, syscall.NLMSG_HDRLEN+requestLength)
	binary.NativeEndian.PutUint16(ask[4:], byFamily)
	binary.NativeEndian.PutUint16(ask[6:], syscall.NLM_F_REQUEST)
	ask = append(ask, syscall.AF_INET, syscall.IPPROTO_TCP, 0, 0)
	ask = binary.NativeEndian.AppendUint32(ask, ^uint32(0)) // any state
	ask = append(ask, addresses(client, server)...)
	ask = append(ask, 0, 0, 0, 0)                                     // any interface
	ask = append(ask, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // without a cookie
	if err := syscall.Sendto(fd, ask, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, 0, fmt.Errorf("sock_diag: %w", err)
	}
	// The kernel has answered before Sendto returned.
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, syscall.MSG_DONTWAIT)
	if err != nil {
		return 0, 0, fmt.Errorf("sock_diag: %w", err)
	}
	return readSocket(answer[:n], client, server)
}

// addresses are the first 36 bytes of struct inet_diag_sockid.
func addresses(client, server netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint16(nil, client.Port())
	b = binary.BigEndian.AppendUint16(b, server.Port())
	for _, a := range [...]netip.Addr{client.Addr(), server.Addr()} {
		four := a.As4()
		b = append(b, four[:]...)
		b = append(b, make([]byte, 12)...)
	}
	return b
}

// readSocket reads the kernel's answer. Where there is no such connection it
// tells of whoever listens there, which is not asked for.
func readSocket(b []byte, client, server netip.AddrPort) (inode, uid uint32, err error) {
	all, err := syscall.ParseNetlinkMessage(b)
	if err != nil || len(all) == 0 {
		return 0, 0, errors.New("sock_diag: the answer is none")
	}
	switch m := &all[0]; {
	case m.Header.Type == syscall.NLMSG_ERROR && len(m.Data) >= 4:
		return 0, 0, fmt.Errorf("sock_diag: %w", syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))))
	case m.Header.Type != byFamily || len(m.Data) < messageLength:
		return 0, 0, errors.New("sock_diag: the answer is none")
	case m.Data[1] == stateListen || string(m.Data[4:40]) != string(addresses(client, server)):
		return 0, 0, errors.New("the connection is gone")
	default:
		inode, uid = binary.NativeEndian.Uint32(m.Data[68:]), binary.NativeEndian.Uint32(m.Data[64:])
		if inode == 0 {
			return 0, 0, errors.New("its client has closed it")
		}
		return inode, uid, nil
	}
}
