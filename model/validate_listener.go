package model

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// listener checks one by itself. Port 0 is any free port, as in tests.
func (v *checker) listener(l *Listener) *Listener {
	if l.Refused {
		return nil
	}
	said := len(v.problems)
	if l.Address != "" {
		if _, err := netip.ParseAddr(l.Address); err != nil {
			v.broken("bad-address", "listener "+l.Name+" cannot listen on "+strconv.Quote(l.Address),
				"write an IP address of this machine, or none for all")
		}
	}
	if l.Hostname != "" && !isHostname(l.Hostname, true) {
		v.broken("bad-hostname", "listener "+l.Name+" has the hostname "+strconv.Quote(l.Hostname), hostnameHint)
	}
	if l.Protocol != HTTP && l.Protocol != HTTPS {
		v.broken("bad-protocol", "listener "+l.Name+" speaks "+strconv.Quote(string(l.Protocol)), "write http or https")
	}
	switch l.MinTLS {
	case "", "1.2", "1.3":
	default:
		v.broken("bad-value", "listener "+l.Name+" wants at least TLS "+strconv.Quote(l.MinTLS), "write 1.2 or 1.3")
	}
	if l.TrustedHops < 0 {
		v.broken("bad-value", fmt.Sprintf("listener %s trusts %d hops", l.Name, l.TrustedHops), "write 0 or more")
	}
	if len(v.problems) > said {
		return nil
	}
	v.limits(l)
	if l.Protocol == HTTP {
		if len(l.Certificates) > 0 {
			v.doubtful("unused", "listener "+l.Name+" has certificates but speaks plain HTTP", "did you mean https?")
		}
		return l
	}
	return v.certified(l)
}

const hostnameHint = "write a DNS name in lower case, such as api.example.com or *.example.com"

func (v *checker) limits(l *Listener) {
	m := &l.Limits
	if m.HeadBytes > 0 && m.HeadBytes < 512 {
		v.doubtful("tiny-limit", fmt.Sprintf("listener %s takes heads of %d bytes, which few requests fit in", l.Name, m.HeadBytes), "")
	}
	if m.HeadBytes > 0 && m.URIBytes > m.HeadBytes {
		v.doubtful("tiny-limit", "listener "+l.Name+" takes longer request targets than heads", "raise headBytes")
	}
	v.short("an idle time", m.Idle)
	v.short("a head time", m.Head)
	v.short("a body time", m.Body)
	v.short("a write time", m.Write)
	v.short("a handshake time", m.Handshake)
}

// certified takes out the certificates that are not there; a listener without
// any cannot serve.
func (v *checker) certified(l *Listener) *Listener {
	good := l.Certificates
	for i, name := range l.Certificates {
		_, ok := v.certificates[name]
		if !ok {
			v.broken("unknown-certificate", "listener "+l.Name+" shows the certificate "+strconv.Quote(name)+", which is not there",
				meant(v, name, v.certificates))
		}
		good = keep(good, l.Certificates, i, ok)
	}
	if len(good) == 0 {
		if len(l.Certificates) == 0 {
			v.broken("no-certificate", "listener "+l.Name+" speaks HTTPS but has no certificate", "give it a certificate and a key")
		}
		return nil
	}
	if len(good) < len(l.Certificates) {
		l = copied(l)
		l.Certificates = good
	}
	return l
}

// keep filters a slice without writing to it: good is all until the first that
// is not ok, then a copy. i counts over all.
func keep[T any](good, all []T, i int, ok bool) []T {
	same := len(good) == len(all) // nothing dropped yet
	switch {
	case ok && !same:
		return append(good, all[i])
	case !ok && same:
		return append(make([]T, 0, len(all)-1), all[:i]...)
	}
	return good
}

func copied[T any](x *T) *T {
	y := *x
	return &y
}

// doors takes out listeners that get in each other's way: the first of a port
// says its protocol, the first of an address, port and hostname has it.
func (v *checker) doors(list []*Listener) []*Listener {
	type door struct {
		address  string
		port     uint16
		hostname string
	}
	first, taken := map[uint16]*Listener{}, map[door]*Listener{}
	good := list
	for i, l := range list {
		v.at = l.Origin
		d := door{l.Address, l.Port, l.Hostname}
		ok := true
		if l.Port == 0 {
			good = keep(good, list, i, ok)
			continue
		}
		if other := first[l.Port]; other != nil && other.Protocol != l.Protocol {
			ok = false
			v.broken("port-conflict", fmt.Sprintf("listener %s speaks %s on port %d, where listener %s (%s) speaks %s",
				l.Name, l.Protocol, l.Port, other.Name, place(other.Origin), other.Protocol), "use another port")
		} else if other := taken[d]; other != nil {
			ok = false
			v.broken("port-conflict", fmt.Sprintf("listener %s wants port %d for the same host as listener %s (%s)",
				l.Name, l.Port, other.Name, place(other.Origin)), "use another port, or another hostname")
		} else {
			taken[d] = l
			if first[l.Port] == nil {
				first[l.Port] = l
			}
		}
		good = keep(good, list, i, ok)
	}
	return good
}

// hasPEM says whether data holds a block whose type ends in kind.
func hasPEM(data []byte, kind string) bool {
	if !bytes.Contains(data, []byte(kind)) {
		return false
	}
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return false
		}
		if strings.HasSuffix(b.Type, kind) {
			return true
		}
	}
}

// isHostPort says whether s is a host (or nothing) and a port.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host != "" && !isHost(host) {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
