package capture

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	resolvConf = "/etc/resolv.conf"
	confAge    = 5 * time.Second // between looks at it
	askAtMost  = 3               // servers, for one query
)

// forward asks the servers of this machine, by the protocol that the client
// came by: an answer that is too long for UDP tells the client to come again by
// TCP, as it would without us. EDNS goes along as it is. nil: none answered.
func (d *DNS) forward(q *dns.Msg, network string) *dns.Msg {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return nil
	}
	servers := d.opt.Upstream
	if len(servers) == 0 {
		servers = d.conf.servers(time.Now())
	}
	size := uint16(dns.MinMsgSize)
	if o := q.IsEdns0(); o != nil {
		size = max(size, o.UDPSize())
	}
	client := &dns.Client{Net: strings.TrimRight(network, "46"), Timeout: d.opt.Timeout, UDPSize: size}
	var last *dns.Msg
	for i, server := range servers {
		if i == askAtMost {
			break
		}
		ask := q.Copy()
		ask.Id = dns.Id()
		m, _, err := client.Exchange(ask, server.String())
		if err != nil || m.Id != ask.Id || len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype {
			continue
		}
		// Another server may know better than one that has trouble itself.
		if m.Rcode != dns.RcodeServerFailure && m.Rcode != dns.RcodeRefused {
			return m
		}
		last = m
	}
	return last
}

// resolvers are the servers of /etc/resolv.conf.
type resolvers struct {
	mu    sync.Mutex
	read  time.Time // when we looked
	stamp time.Time // when it was changed
	list  []netip.AddrPort
	own   map[netip.AddrPort]bool
}

// never asks an address: it is our own.
func (r *resolvers) never(a netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		r.own = map[netip.AddrPort]bool{}
	}
	r.own[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = true
}

func (r *resolvers) servers(now time.Time) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.read) < confAge {
		return r.list
	}
	r.read = now
	info, err := os.Stat(resolvConf)
	if err != nil || info.ModTime().Equal(r.stamp) {
		return r.list // one that is being replaced: the old one is good
	}
	conf, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return r.list
	}
	r.stamp, r.list = info.ModTime(), nil
	for _, s := range conf.Servers {
		a, err := netip.ParseAddrPort(net.JoinHostPort(s, conf.Port))
		if err == nil && !r.own[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] {
			r.list = append(r.list, a)
		}
	}
	return r.list
}
