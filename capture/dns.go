package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// DNSOptions of a DNS. The zero value is good.
type DNSOptions struct {
	// Domain ends every full name; "" is "mesh". Nothing below it is asked of
	// others.
	Domain string
	// TTL of answers, and of the news that there is none; 0 is 10 s.
	TTL time.Duration
	// Upstream are the servers that are asked for all other names; none: those
	// of /etc/resolv.conf, read again when it changes.
	Upstream []netip.AddrPort
	// Timeout is how long one of them is waited for; 0 is 2 s. Three are asked
	// at most.
	Timeout time.Duration
	// Concurrent is how many queries may be on their way to others; 0 is 256.
	// Those beyond are answered with SERVFAIL.
	Concurrent int
	// Log hears of servers that cannot go on; nil is slog.Default.
	Log *slog.Logger
}

// Name is what a mesh name stands for.
type Name struct {
	// Addrs answer A and AAAA.
	Addrs []netip.Addr
	// Port answers SRV; 0: there is none.
	Port uint16
}

// DNS answers mesh names and forwards all others. Its methods may be called
// from any goroutine.
type DNS struct {
	opt    DNSOptions
	zone   string // "mesh."
	names  atomic.Pointer[nameTable]
	slots  chan struct{}
	conf   resolvers
	counts struct{ answered, forwarded, failed, dropped atomic.Uint64 }

	mu      sync.Mutex
	servers []*dns.Server
	running sync.WaitGroup
	closed  bool
}

// nameTable does not change.
type nameTable struct {
	names map[string]Name // lower case, with the last dot
	above map[string]bool // what has names below it
}

// DNSStats count queries since the beginning.
type DNSStats struct {
	Answered  uint64 // by ourselves
	Forwarded uint64 // answered by somebody else
	Failed    uint64 // by nobody: SERVFAIL
	Dropped   uint64 // from strangers, or malformed
}

// tcpConns bounds the open TCP connections of one listener.
const tcpConns = 256

// NewDNS makes a server without names and sockets. Close ends it.
func NewDNS(opt DNSOptions) *DNS {
	if opt.Domain == "" {
		opt.Domain = "mesh"
	}
	if opt.TTL == 0 {
		opt.TTL = 10 * time.Second
	}
	if opt.Timeout == 0 {
		opt.Timeout = 2 * time.Second
	}
	if opt.Concurrent <= 0 {
		opt.Concurrent = 256
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	d := &DNS{opt: opt, zone: dns.CanonicalName(opt.Domain), slots: make(chan struct{}, opt.Concurrent)}
	d.names.Store(&nameTable{})
	return d
}

// SetNames replaces all names, in one step. They are whole: "orders.shop.mesh",
// or "db.example.com" for a service outside. Clients may leave the domain away,
// and the namespace that they are in (Serve); a name that would be the short
// form of another one wins over it.
func (d *DNS) SetNames(names map[string]Name) {
	t := &nameTable{names: make(map[string]Name, len(names)), above: map[string]bool{}}
	for name, n := range names {
		name = dns.CanonicalName(name)
		t.names[name] = n
		if dns.IsSubDomain(d.zone, name) {
			for off, end := dns.NextLabel(name, 0); !end; off, end = dns.NextLabel(name, off) {
				t.above[name[off:]] = true
			}
		}
	}
	d.names.Store(t)
}

// Stats counts what was asked.
func (d *DNS) Stats() DNSStats {
	c := &d.counts
	return DNSStats{c.answered.Load(), c.forwarded.Load(), c.failed.Load(), c.dropped.Load()}
}

// Serve answers on both sockets until Close, which closes them, or until somebody
// else does. namespace is
// the one that the clients are in: within it services need no more than their
// own name. Only clients of the loopback and of our own network namespaces are
// answered.
func (d *DNS) Serve(udp net.PacketConn, tcp net.Listener, namespace string) error {
	h := &resolver{dns: d, search: []string{"", d.zone}}
	if namespace != "" {
		h.search = append(h.search, strings.ToLower(namespace)+"."+d.zone)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.Join(net.ErrClosed, udp.Close(), tcp.Close())
	}
	if a, ok := udp.LocalAddr().(*net.UDPAddr); ok {
		d.conf.never(a.AddrPort())
	}
	for _, s := range []*dns.Server{
		{PacketConn: udp, Handler: h, UDPSize: 4096},
		{Listener: &bounded{Listener: tcp, slots: make(chan struct{}, tcpConns)}, Handler: h, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
			IdleTimeout: func() time.Duration { return 10 * time.Second }},
	} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		d.servers = append(d.servers, s)
		ended := make(chan error, 1)
		d.running.Add(1)
		go func() {
			defer d.running.Done()
			err := s.ActivateAndServe()
			ended <- err
			d.drop(s)
			if err != nil && !errors.Is(err, net.ErrClosed) {
				d.opt.Log.Error("the mesh DNS no longer answers", "err", err)
			}
		}()
		select {
		case <-started:
		case err := <-ended:
			return fmt.Errorf("mesh DNS: %w", err)
		}
	}
	return nil
}

// drop forgets a server that has ended.
func (d *DNS) drop(s *dns.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.servers, s); i >= 0 {
		d.servers = slices.Delete(d.servers, i, i+1)
	}
}

// Close ends every server and waits for the queries under way.
func (d *DNS) Close() {
	d.mu.Lock()
	d.closed = true
	servers := d.servers
	d.servers = nil
	d.mu.Unlock()
	for _, s := range servers {
		_ = s.Shutdown() // it says only that it was not running
	}
	d.running.Wait()
}

// bounded is a listener with a bound of open connections.
type bounded struct {
	net.Listener
	slots chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			c.Close()
		}
	}
}

type slot struct {
	net.Conn
	free func()
}

func (s *slot) Close() error {
	s.free()
	return s.Conn.Close()
}

// resolver handles the queries of one pair of sockets.
type resolver struct {
	dns    *DNS
	search []string // what may follow a name
}

// ServeDNS answers one query, on a goroutine of its own.
func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d := r.dns
	if !ours(w.RemoteAddr()) || q.Response || q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		d.counts.dropped.Add(1)
		if ours(w.RemoteAddr()) && !q.Response {
			m := new(dns.Msg)
			_ = w.WriteMsg(m.SetRcode(q, dns.RcodeFormatError)) // a client that is gone
		}
		return
	}
	m := r.answer(q)
	if m != nil {
		d.counts.answered.Add(1)
	} else if m = d.forward(q, w.RemoteAddr().Network()); m != nil {
		d.counts.forwarded.Add(1)
	} else {
		d.counts.failed.Add(1)
		m = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		m.RecursionAvailable = true
	}
	m.Id = q.Id
	if w.RemoteAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = max(size, int(o.UDPSize()))
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m)
}

// ours says whether a client is of this machine.
func ours(a net.Addr) bool {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	ip := p.Addr().Unmap()
	return ip.IsLoopback() || nets4.Contains(ip) || nets6.Contains(ip)
}

// answer is that of the table; nil when somebody else must know.
func (r *resolver) answer(q *dns.Msg) *dns.Msg {
	d, question := r.dns, q.Question[0]
	asked := strings.ToLower(question.Name)
	if question.Qclass != dns.ClassINET {
		return nil
	}
	t := d.names.Load()
	name, found := asked, Name{}
	ok := false
	if question.Qtype == dns.TypeSRV {
		name = service(asked)
	}
	for _, end := range r.search {
		if found, ok = t.names[name+end]; ok {
			name += end
			break
		}
	}
	if !ok && !dns.IsSubDomain(d.zone, asked) {
		return nil
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	ttl := uint32(d.opt.TTL / time.Second)
	header := func(name string, kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	if ok {
		addresses := func(owner string) (all []dns.RR) {
			for _, a := range found.Addrs {
				four := a.Unmap().Is4()
				switch {
				case four && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeSRV || question.Qtype == dns.TypeANY):
					all = append(all, &dns.A{Hdr: header(owner, dns.TypeA), A: a.Unmap().AsSlice()})
				case !four && (question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeSRV || question.Qtype == dns.TypeANY):
					all = append(all, &dns.AAAA{Hdr: header(owner, dns.TypeAAAA), AAAA: a.AsSlice()})
				}
			}
			return all
		}
		switch {
		case question.Qtype != dns.TypeSRV:
			m.Answer = addresses(question.Name)
		case found.Port != 0:
			m.Answer = []dns.RR{&dns.SRV{Hdr: header(question.Name, dns.TypeSRV), Port: found.Port, Target: name}}
			m.Extra = append(addresses(name), m.Extra...)
		}
	} else if asked != d.zone && !t.above[asked] {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		// RFC 2308 section 5: for how long the absence may be believed.
		m.Ns = []dns.RR{&dns.SOA{Hdr: header(d.zone, dns.TypeSOA), Ns: "ns." + d.zone, Mbox: "hostmaster." + d.zone,
			Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}}
	}
	return m
}

// service takes "_http._tcp." from before a name (RFC 2782).
func service(name string) string {
	for strings.HasPrefix(name, "_") {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return name
		}
		name = rest
	}
	return name
}
