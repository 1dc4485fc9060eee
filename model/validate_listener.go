package model

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	switch l.Protocol {
	case HTTP, HTTPS, TLS, TCP, UDP:
	default:
		v.broken("bad-protocol", "listener "+l.Name+" speaks "+strconv.Quote(string(l.Protocol)), "write http, https, tls, tcp or udp")
		v.because("Accepted", "UnsupportedProtocol")
	}
	if l.Passthrough && l.Protocol != TLS {
		// Ending the TLS of clients who were promised that nobody does is no way out.
		v.broken("bad-value", fmt.Sprintf("listener %s speaks %s and passes TLS through", l.Name, l.Protocol), "only tls can be passed through")
	}
	v.introduced(l)
	switch l.MinTLS {
	case "", "1.2", "1.3":
	default:
		v.broken("bad-value", "listener "+l.Name+" wants at least TLS "+strconv.Quote(l.MinTLS), "write 1.2 or 1.3")
	}
	v.clientAuth(l)
	if l.NoHTTP1 && l.NoHTTP2 {
		v.broken("bad-value", "listener "+l.Name+" speaks neither HTTP/1.1 nor HTTP/2", "leave one of them")
	}
	if l.TrustedHops < 0 {
		v.broken("bad-value", fmt.Sprintf("listener %s trusts %d hops", l.Name, l.TrustedHops), "write 0 or more")
	}
	if len(v.problems) > said {
		return nil
	}
	v.limits(l)
	switch {
	case l.Protocol == HTTP && (len(l.Certificates) > 0 || l.HTTP3):
		v.doubtful("unused", "listener "+l.Name+" has certificates or offers HTTP/3 but speaks plain HTTP", "did you mean https?")
	case l.Passthrough && len(l.Certificates) > 0:
		v.doubtful("unused", "listener "+l.Name+" has certificates but passes TLS through", "the services show theirs")
	case (l.Protocol == TCP || l.Protocol == UDP) && (l.Hostname != "" || len(l.Certificates) > 0):
		v.doubtful("unused", fmt.Sprintf("listener %s has a hostname or certificates but speaks %s, which knows no names", l.Name, l.Protocol), "did you mean tls?")
	}
	if !l.Terminates() {
		if l.Issuance != nil {
			v.doubtful("unused", "listener "+l.Name+" gets certificates but ends no TLS", "did you mean https?")
		}
		return l
	}
	return v.certified(l)
}

// clientAuth must be right: a listener must not serve as if nobody had asked
// for certificates.
func (v *checker) clientAuth(l *Listener) {
	a := l.ClientAuth
	switch {
	case a == nil:
	case !l.Terminates():
		v.broken("bad-value", "listener "+l.Name+" asks clients for certificates but ends no TLS", "clientAuth is for https, and for tls that is not passed through")
	case len(a.CA) == 0 && a.CAFile == "":
		v.broken("no-certificate", "listener "+l.Name+" asks clients for certificates but has no CA to check them with", "write clientAuth: {ca: clients.pem}")
	case len(a.CA) > 0 && a.CAFile != "":
		v.broken("bad-value", "the CA for clients of listener "+l.Name+" is given inline and as a file", "give one of the two")
	case len(a.CA) > 0 && !hasPEM(a.CA, "CERTIFICATE"):
		v.broken("bad-certificate", "the CA for clients of listener "+l.Name+" holds no PEM certificate", "it begins with -----BEGIN CERTIFICATE-----")
	}
}

// introduced checks who may say whom a connection is from. A network that
// cannot be read takes the listener out: without it, others might be believed.
func (v *checker) introduced(l *Listener) {
	p := l.ProxyProtocol
	if p == nil {
		return
	}
	if l.Protocol == UDP {
		v.broken("bad-value", "listener "+l.Name+" reads the PROXY protocol but speaks udp", "leave proxyProtocol out")
	}
	for _, s := range p.From {
		if _, err := netip.ParsePrefix(s); err != nil {
			v.broken("bad-value", "listener "+l.Name+" believes the PROXY protocol of "+strconv.Quote(s), "write a network, such as 10.0.0.0/8 or 192.0.2.7/32")
		}
	}
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
	v.short("a connection's age", m.Age)
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
			v.because("ResolvedRefs", "InvalidCertificateRef")
		}
		good = keep(good, l.Certificates, i, ok)
	}
	if len(good) == 0 && l.Issuance == nil {
		if len(l.Certificates) == 0 {
			v.broken("no-certificate", "listener "+l.Name+" speaks "+strings.ToUpper(string(l.Protocol))+" but has no certificate", "give it a certificate and a key")
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
// says its protocol, the first of an address, port and hostname has it. TCP and
// UDP ports of one number are two.
func (v *checker) doors(list []*Listener) []*Listener {
	type number struct {
		port uint16
		udp  bool
	}
	type door struct {
		address string
		number
		hostname string
	}
	first, taken, quic := map[number]*Listener{}, map[door]*Listener{}, map[uint16]*Listener{}
	ends := map[number]*Listener{} // the first that ends TLS
	good := list
	for i, l := range list {
		v.at = l.Origin
		n := number{l.Port, l.Protocol == UDP}
		d := door{l.Address, n, l.Hostname}
		if l.Protocol == TCP || l.Protocol == UDP {
			d.hostname = ""
		}
		if l.Port == 0 {
			good = keep(good, list, i, true)
			continue
		}
		said, conflict := len(v.problems), "ProtocolConflict"
		switch other := first[n]; {
		case other != nil && other.Protocol != l.Protocol:
			v.broken("port-conflict", fmt.Sprintf("listener %s speaks %s on port %d, where listener %s (%s) speaks %s",
				l.Name, l.Protocol, l.Port, other.Name, place(other.Origin), other.Protocol), "use another port")
		case n.udp && quic[l.Port] != nil:
			v.broken("port-conflict", fmt.Sprintf("listener %s speaks udp on port %d, where listener %s (%s) speaks HTTP/3",
				l.Name, l.Port, quic[l.Port].Name, place(quic[l.Port].Origin)), "use another port")
		case l.HTTP3 && first[number{l.Port, true}] != nil:
			v.broken("port-conflict", fmt.Sprintf("listener %s speaks HTTP/3 on port %d, where listener %s (%s) speaks udp",
				l.Name, l.Port, first[number{l.Port, true}].Name, place(first[number{l.Port, true}].Origin)), "use another port")
		case taken[d] != nil:
			conflict = "HostnameConflict"
			v.broken("port-conflict", fmt.Sprintf("listener %s wants port %d for the same host as listener %s (%s)",
				l.Name, l.Port, taken[d].Name, place(taken[d].Origin)), "use another port, or another hostname")
		case other != nil && !sameIntroduction(other.ProxyProtocol, l.ProxyProtocol):
			v.broken("port-conflict", fmt.Sprintf("listener %s reads the PROXY protocol otherwise than listener %s (%s) of the same port, and the header comes before anybody knows which is meant",
				l.Name, other.Name, place(other.Origin)), "say the same at both")
		case l.Terminates() && ends[n] != nil && !sameClientAuth(ends[n].ClientAuth, l.ClientAuth):
			// A connection is authenticated once, and may carry requests to any
			// host of the port.
			v.broken("port-conflict", fmt.Sprintf("listener %s asks clients for other certificates than listener %s (%s) of the same port, whose connections may carry its requests",
				l.Name, ends[n].Name, place(ends[n].Origin)), "say the same at both, or use another port")
		default:
			taken[d] = l
			if first[n] == nil {
				first[n] = l
			}
			if l.Terminates() && ends[n] == nil {
				ends[n] = l
			}
			if l.HTTP3 {
				quic[l.Port] = l
			}
		}
		ok := len(v.problems) == said
		if !ok {
			v.because("Conflicted", conflict)
		}
		good = keep(good, list, i, ok)
	}
	return good
}

func sameIntroduction(a, b *ProxyProtocol) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.From, b.From)
}

func sameClientAuth(a, b *ClientAuth) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.CAFile == b.CAFile && a.Optional == b.Optional && bytes.Equal(a.CA, b.CA)
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
