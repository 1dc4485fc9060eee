package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

// ProxyHeader is what a load balancer says about a connection before its first
// byte, in the PROXY protocol (version 1 or 2, as HAProxy specifies it).
type ProxyHeader struct {
	// Remote is the client and Local what it connected to. Both are invalid
	// where the sender speaks for itself (LOCAL, as in health checks) or cannot
	// say (UNKNOWN, UNSPEC, UNIX): then the connection is from whom it is from.
	Remote, Local netip.AddrPort
}

var errProxyHeader = errors.New("the PROXY protocol's header is malformed")

// Bounds of a header. The specification has 107 bytes for version 1; version 2
// may carry TLVs, of which client certificates are the largest in use.
const (
	proxyV1Most = 107
	proxyV2Most = 16 << 10
)

const (
	proxyV1      = "PROXY "
	proxyV2      = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Fixed = len(proxyV2) + 4
)

// ParseProxyHeader reads the header that b begins with; n is its length. With
// n of 0 and no error, b is only its beginning. What is no header is an error
// as soon as that can be seen.
func ParseProxyHeader(b []byte) (h ProxyHeader, n int, err error) {
	switch {
	case begins(b, proxyV2):
		return parseProxyV2(b)
	case begins(b, proxyV1):
		return parseProxyV1(b)
	}
	return h, 0, errProxyHeader
}

// begins says whether b begins with s, or may when more of it comes.
func begins(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

// parseProxyV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".
func parseProxyV1(b []byte) (h ProxyHeader, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), proxyV1Most)], '\n')
	switch {
	case end < 0 && len(b) < proxyV1Most:
		return h, 0, nil
	case end < 1 || b[end-1] != '\r':
		return h, 0, errProxyHeader
	}
	n = end + 1
	words := bytes.Split(b[len(proxyV1):end-1], []byte{' '})
	if string(words[0]) == "UNKNOWN" {
		return h, n, nil // whatever follows
	}
	is4 := string(words[0]) == "TCP4"
	if len(words) != 5 || !is4 && string(words[0]) != "TCP6" {
		return h, 0, errProxyHeader
	}
	var ok bool
	if h.Remote, ok = proxyAddress(words[1], words[3], is4); ok {
		h.Local, ok = proxyAddress(words[2], words[4], is4)
	}
	if !ok {
		return ProxyHeader{}, 0, errProxyHeader
	}
	return h, n, nil
}

func proxyAddress(ip, port []byte, is4 bool) (a netip.AddrPort, ok bool) {
	addr, err := netip.ParseAddr(string(ip))
	if err != nil || addr.Is4() != is4 || addr.Zone() != "" {
		return a, false
	}
	number, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' || port[0] == '+' {
		return a, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}

// parseProxyV2 reads the signature, version and command, family and transport,
// the length of what follows, the addresses, and skips the TLVs behind them.
func parseProxyV2(b []byte) (h ProxyHeader, n int, err error) {
	const version, local, proxy = 0x2, 0x0, 0x1
	if len(b) > len(proxyV2) {
		if c := b[len(proxyV2)]; c>>4 != version || c&15 > proxy {
			return h, 0, errProxyHeader
		}
	}
	if len(b) < proxyV2Fixed {
		return h, 0, nil
	}
	n = proxyV2Fixed + int(binary.BigEndian.Uint16(b[proxyV2Fixed-2:]))
	family, transport := b[len(proxyV2)+1]>>4, b[len(proxyV2)+1]&15
	if n > proxyV2Most || family > 3 || transport > 2 {
		return h, 0, errProxyHeader
	}
	size := map[byte]int{1: 4, 2: 16}[family]
	if isLocal := b[len(proxyV2)]&15 == local; isLocal || transport == 0 {
		size = 0
	}
	if n < proxyV2Fixed+2*size+4*min(size, 1) {
		return h, 0, errProxyHeader
	}
	if len(b) < n {
		return h, 0, nil
	}
	if size > 0 {
		at := b[proxyV2Fixed:n]
		remote, _ := netip.AddrFromSlice(at[:size])
		asked, _ := netip.AddrFromSlice(at[size : 2*size])
		ports := at[2*size:]
		h.Remote = netip.AddrPortFrom(remote.Unmap(), binary.BigEndian.Uint16(ports))
		h.Local = netip.AddrPortFrom(asked.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	}
	return h, n, nil
}

// AppendProxyHeader writes the header of a TCP connection in version 1 or 2.
func AppendProxyHeader(to []byte, version int, h ProxyHeader) []byte {
	remote, local := plainAddress(h.Remote), plainAddress(h.Local)
	known := remote.IsValid() && local.IsValid()
	is4 := remote.Addr().Is4() && local.Addr().Is4()
	if version == 1 {
		if !known {
			return append(to, "PROXY UNKNOWN\r\n"...)
		}
		family := "TCP6 "
		if is4 {
			family = "TCP4 "
		}
		to = append(append(to, proxyV1...), family...)
		to = append(appendV1(to, remote.Addr(), is4), ' ')
		to = append(appendV1(to, local.Addr(), is4), ' ')
		to = append(strconv.AppendUint(to, uint64(remote.Port()), 10), ' ')
		return append(strconv.AppendUint(to, uint64(local.Port()), 10), "\r\n"...)
	}
	to = append(to, proxyV2...)
	switch {
	case !known:
		return append(to, 0x21, 0x00, 0, 0)
	case is4:
		a, b := remote.Addr().As4(), local.Addr().As4()
		to = append(append(append(to, 0x21, 0x11, 0, 12), a[:]...), b[:]...)
	default:
		a, b := remote.Addr().As16(), local.Addr().As16()
		to = append(append(append(to, 0x21, 0x21, 0, 36), a[:]...), b[:]...)
	}
	to = binary.BigEndian.AppendUint16(to, remote.Port())
	return binary.BigEndian.AppendUint16(to, local.Port())
}

func plainAddress(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// appendV1 writes an address; with a peer of the other family, as IPv6.
func appendV1(to []byte, a netip.Addr, is4 bool) []byte {
	if !is4 && a.Is4() {
		a = netip.AddrFrom16(a.As16())
	}
	return a.AppendTo(to)
}
