package capture

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
)

// VIP stands for a service: no machine has it. A connection to it is captured,
// and its proxy knows which service is meant.
type VIP struct{ IP4, IP6 netip.Addr }

// Ranges of virtual addresses. 240.0.0.0/4 is reserved (RFC 1112 section 4) and
// on no network; Linux lets programs connect to it. The IPv6 one is a unique
// local prefix of our own (RFC 4193).
var (
	VIPs4 = netip.MustParsePrefix("240.0.0.0/8")
	VIPs6 = netip.MustParsePrefix("fd6e:6172:7501::/48")
)

// Addresses gives every name its VIP: the same on every machine and after
// every restart, as long as the names are the same. It is the hash of the name.
// Where two names have the same IPv4 hash (among 1,000 names, in 3 meshes of 100),
// the one that comes first in the alphabet has it, and the other one its next
// hash: only then can a new name move an old one. IPv6 hashes have 80 bits.
func Addresses(names []string) map[string]VIP {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	all := make(map[string]VIP, len(names))
	// Whoever has what it hashes to keeps it: only then do the others choose.
	taken := make(map[netip.Addr]bool, len(names))
	var rest []string
	for _, name := range names {
		v := hashed(name, 0)
		if taken[v.IP4] {
			rest = append(rest, name)
			continue
		}
		taken[v.IP4], all[name] = true, v
	}
	for _, name := range rest {
		for n := byte(1); ; n++ {
			if v := hashed(name, n); !taken[v.IP4] {
				taken[v.IP4], all[name] = true, v
				break
			}
		}
	}
	return all
}

func hashed(name string, try byte) VIP {
	sum := sha256.Sum256(append([]byte(name), 0, try))
	// The last byte is 1 to 254: neither looks like a network nor a broadcast.
	host := binary.BigEndian.Uint32(sum[:])
	four := [4]byte{240, byte(host >> 16), byte(host >> 8), byte(host%254) + 1}
	six := VIPs6.Addr().As16()
	copy(six[6:], sum[4:14])
	return VIP{netip.AddrFrom4(four), netip.AddrFrom16(six)}
}
