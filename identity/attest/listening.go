package attest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/identity"
)

// Listening is a TCP socket that takes connections.
type Listening struct {
	At    netip.AddrPort
	inode uint32
}

// Listenings are all in the network of a process, whoever's they are.
func Listenings(pid int) (all []Listening, err error) {
	// The kernel tells its sockets in pieces, and where others come and go meanwhile
	// it may leave one out, but hardly twice.
	for _, name := range [...]string{"tcp", "tcp", "tcp6", "tcp6"} {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/" + name)
		if errors.Is(err, fs.ErrNotExist) && name == "tcp6" {
			continue // there is no IPv6
		}
		if err != nil {
			return nil, err
		}
		for _, l := range readListenings(string(text)) {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// Own are those of all that a process, or what it has started, has open, as far
// as this process may see that.
func Own(pid int, all []Listening) (own []Listening) {
	w := Workload{By: identity.Process{PID: pid, Began: identity.Began(pid)}}
	for _, p := range w.processes() {
		sockets := socketsOf(p)
		for _, l := range all {
			if sockets[l.inode] {
				own = append(own, l)
			}
		}
	}
	return own
}

// readListenings reads lines as of proc_pid_net(5): sl, local_address,
// rem_address, st, tx:rx, tr:when, retrnsmt, uid, timeout, inode.
func readListenings(text string) (all []Listening) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != "0A" {
			continue
		}
		at, ok := readAddress(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 32)
		if ok && err == nil {
			all = append(all, Listening{at, uint32(inode)})
		}
	}
	return all
}

// readAddress reads ADDRESS:PORT, in hexadecimal: an address as the machine
// has it in memory, word by word.
func readAddress(s string) (at netip.AddrPort, ok bool) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, wrong := strconv.ParseUint(port, 16, 16)
	if err != nil || wrong != nil || len(b)%4 != 0 {
		return at, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}

// socketsOf are those that a process has open; none where that cannot be seen.
func socketsOf(pid int) map[uint32]bool {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	all := map[uint32]bool{}
	for _, n := range names {
		to, err := os.Readlink(folder + "/" + n)
		if err != nil {
			continue
		}
		number, ok := strings.CutPrefix(to, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); ok && err == nil {
			all[uint32(inode)] = true
		}
	}
	return all
}
