package naming

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// Names are what clients may call targets. Nil are none.
type Names struct {
	list []model.MeshName
	// at gives the target of "db.shop:5432", and of "db.shop:0" the first so
	// called.
	at map[string]netip.AddrPort
}

// anyPort is no port: with it each name is there once more.
const anyPort = 0

// Longest is more than a name, a colon and a port (RFC 1035 section 2.3.4): with
// so much room a question allocates nothing.
const Longest = 300

// Compile makes Names of a list, which nobody writes to any more; nil of none.
func Compile(list []model.MeshName) *Names {
	if len(list) == 0 {
		return nil
	}
	n := &Names{list, make(map[string]netip.AddrPort, 2*len(list))}
	for i := range list {
		one := &list[i]
		a, err := netip.ParseAddr(one.Address)
		if err != nil {
			continue
		}
		to := netip.AddrPortFrom(a.Unmap(), one.Port)
		n.at[string(appendKey(nil, []byte(one.Name), one.Port))] = to
		if key := string(appendKey(nil, []byte(one.Name), anyPort)); !n.at[key].IsValid() {
			n.at[key] = to
		}
	}
	return n
}

// At is the target of a name at a port. room is written to.
func (n *Names) At(name []byte, port uint16, room []byte) (netip.AddrPort, bool) {
	if n == nil || port == anyPort {
		return netip.AddrPort{}, false
	}
	to, ok := n.at[string(appendKey(room[:0], name, port))]
	return to, ok
}

// Authority is the target of what a request of http names, HOST or HOST:PORT:
// without a port the one at 80, else the first of that name. It is not valid where
// the name is none, and then wrong says so if it is one at other ports. room is
// written to.
func (n *Names) Authority(authority, room []byte) (to netip.AddrPort, wrong error) {
	if n == nil {
		return to, nil
	}
	name, digits, said := authority, []byte(nil), false
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 {
		name, digits = authority[:i], authority[i+1:]
		said = len(digits) > 0
	}
	if !said {
		to, ok := n.At(name, 80, room)
		if !ok {
			to = n.at[string(appendKey(room[:0], name, anyPort))]
		}
		return to, nil
	}
	port, err := strconv.ParseUint(string(digits), 10, 16)
	if err != nil {
		return to, nil // an address of IPv6
	}
	to, ok := n.At(name, uint16(port), room)
	if !ok {
		wrong = n.Elsewhere(name, uint16(port), room)
	}
	return to, wrong
}

// Elsewhere says at which ports a name is called that is not at this one; nil
// where it is, or is no name. room is written to.
func (n *Names) Elsewhere(name []byte, port uint16, room []byte) error {
	if n == nil {
		return nil
	}
	if _, ok := n.at[string(appendKey(room[:0], name, anyPort))]; !ok {
		return nil
	}
	if _, ok := n.At(name, port, room); ok {
		return nil
	}
	lower := strings.ToLower(strings.TrimSuffix(string(name), "."))
	var ports []uint16
	for i := range n.list {
		if one := &n.list[i]; one.Name == lower && !slices.Contains(ports, one.Port) {
			ports = append(ports, one.Port)
		}
	}
	return Wrong(lower, ports, port)
}

// Wrong says at which ports a name is called that is not at this one. ports are
// sorted.
func Wrong(name string, ports []uint16, port uint16) error {
	slices.Sort(ports)
	text := name + " is called at port "
	if len(ports) > 1 {
		text = name + " is called at ports "
	}
	for i, p := range ports {
		if i > 0 {
			text += ", "
		}
		text += strconv.Itoa(int(p))
	}
	return errors.New(text + ", and not at " + strconv.Itoa(int(port)))
}

func appendKey(to, name []byte, port uint16) []byte {
	for _, c := range bytes.TrimSuffix(name, []byte(".")) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return strconv.AppendUint(append(to, ':'), uint64(port), 10)
}
