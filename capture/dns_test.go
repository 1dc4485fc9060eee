package capture

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/naru-mesh/naru/test/freeport"
)

// upstream is a resolver of the test; answer may be nil for silence.
func upstream(t testing.TB, answer func(network string, q *dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	tcp := plain(t, freeport.HoldOn(t, "127.0.0.1").String()) // a number that is free for UDP, too
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Skip(err)
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if m := answer(w.RemoteAddr().Network(), q); m != nil {
			_ = w.WriteMsg(m)
		}
	})
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	}
	return addressOf(tcp)
}

// address answers A for every name.
func address(q *dns.Msg, ip string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A " + ip)
	m.Answer = []dns.RR{rr}
	return m
}

// serveDNS starts a DNS for clients of the namespace shop.
func serveDNS(t testing.TB, opt DNSOptions, host string) (*DNS, netip.AddrPort) {
	t.Helper()
	opt.Log = slog.New(slog.DiscardHandler)
	d := NewDNS(opt)
	at := listenDNS(t, d, host)
	t.Cleanup(d.Close)
	return d, at
}

func listenDNS(t testing.TB, d *DNS, host string) netip.AddrPort {
	t.Helper()
	tcp := plain(t, freeport.HoldOn(t, host).String())
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Skip(err)
	}
	if err := d.Serve(udp, tcp, "shop"); err != nil {
		t.Fatal(err)
	}
	return addressOf(tcp)
}

func query(t testing.TB, at netip.AddrPort, network, name string, kind uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	if change != nil {
		change(q)
	}
	m, _, err := (&dns.Client{Net: network, Timeout: patience, UDPSize: 4096}).Exchange(q, at.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// brief writes an answer in one line.
func brief(m *dns.Msg) string {
	s := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		f := strings.Fields(rr.String())
		s += " " + strings.Join(f[3:], " ")
	}
	for _, rr := range m.Ns {
		s += " " + dns.TypeToString[rr.Header().Rrtype]
	}
	return s
}

func TestNames(t *testing.T) {
	var asked atomic.Int32
	up := upstream(t, func(_ string, q *dns.Msg) *dns.Msg { asked.Add(1); return address(q, "192.0.2.53") })
	d, at := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{up}, TTL: 7 * time.Second}, "127.0.0.1")
	four, six := netip.MustParseAddr("240.1.2.3"), netip.MustParseAddr("fd6e::7")
	d.SetNames(map[string]Name{
		"orders.shop.mesh":  {Addrs: []netip.Addr{four, six}, Port: 9002},
		"Ledger.bank.mesh.": {Addrs: []netip.Addr{four}},
		"db.example.com":    {Addrs: []netip.Addr{four}},
	})
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"orders.shop.mesh", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"orders.shop.mesh", dns.TypeAAAA, "NOERROR AAAA fd6e::7"},
		{"ORDERS.shop.Mesh", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"orders.shop", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"orders", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"ledger.bank", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"db.example.com", dns.TypeA, "NOERROR A 240.1.2.3"},
		{"_http._tcp.orders.shop.mesh", dns.TypeSRV, "NOERROR SRV 0 0 9002 orders.shop.mesh."},
		// There is such a name, and it has none of these.
		{"ledger.bank.mesh", dns.TypeAAAA, "NOERROR SOA"},
		{"orders.shop.mesh", dns.TypeHTTPS, "NOERROR SOA"},
		{"ledger.bank.mesh", dns.TypeSRV, "NOERROR SOA"},
		{"db.example.com", dns.TypeAAAA, "NOERROR SOA"},
		{"shop.mesh", dns.TypeA, "NOERROR SOA"},
		{"mesh", dns.TypeA, "NOERROR SOA"},
		// There is no such name.
		{"nobody.shop.mesh", dns.TypeA, "NXDOMAIN SOA"},
		{"orders.shop.mesh.mesh", dns.TypeA, "NXDOMAIN SOA"},
		{"x.orders.shop.mesh", dns.TypeA, "NXDOMAIN SOA"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := query(t, at, network, c.name, c.kind, nil)
			if got := brief(m); got != c.want {
				t.Errorf("%s %s by %s: %s, want %s", c.name, dns.TypeToString[c.kind], network, got, c.want)
			}
			if !m.Authoritative || !m.RecursionAvailable {
				t.Errorf("%s: flags %+v", c.name, m.MsgHdr)
			}
			for _, rr := range append(m.Answer, m.Ns...) {
				if rr.Header().Ttl != 7 {
					t.Errorf("TTL of %v", rr)
				}
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Fatalf("somebody else was asked %d times", n)
	}
	for _, name := range []string{"ledger", "www.example.com", "example.com", "localmesh"} {
		if got := brief(query(t, at, "udp", name, dns.TypeA, nil)); got != "NOERROR A 192.0.2.53" {
			t.Errorf("%s: %s", name, got)
		}
	}
	d.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.9.9.9")}}})
	if got := brief(query(t, at, "udp", "orders", dns.TypeA, nil)); got != "NOERROR A 240.9.9.9" {
		t.Errorf("after a change: %s", got)
	}
	if s := d.Stats(); s.Forwarded != 4 || s.Answered == 0 || s.Failed+s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// TestForward: other names are asked of others, as if we were not there.
func TestForward(t *testing.T) {
	silent := upstream(t, func(string, *dns.Msg) *dns.Msg { return nil })
	broken := upstream(t, func(_ string, q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure) })
	var seen atomic.Pointer[dns.OPT]
	good := upstream(t, func(network string, q *dns.Msg) *dns.Msg {
		seen.Store(q.IsEdns0())
		m := address(q, "192.0.2.1")
		switch {
		case strings.HasPrefix(q.Question[0].Name, "none."):
			return new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		case strings.HasPrefix(q.Question[0].Name, "long.") && network == "udp":
			m.Answer, m.Truncated = nil, true
		}
		return m
	})
	_, at := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{silent, broken, good}, Timeout: time.Second}, "127.0.0.1")
	if got := brief(query(t, at, "udp", "www.example.com", dns.TypeA, nil)); got != "NOERROR A 192.0.2.1" {
		t.Errorf("the third server: %s", got)
	}
	_, at = serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{broken, good}, Timeout: patience}, "127.0.0.1")
	if got := brief(query(t, at, "udp", "none.example.com", dns.TypeA, nil)); got != "NXDOMAIN" {
		t.Errorf("no such name: %s", got)
	}
	m := query(t, at, "udp", "long.example.com", dns.TypeA, nil)
	if !m.Truncated {
		t.Errorf("a long answer by UDP: %v", m)
	}
	if got := brief(query(t, at, "tcp", "long.example.com", dns.TypeA, nil)); got != "NOERROR A 192.0.2.1" {
		t.Errorf("a long answer by TCP: %s", got)
	}
	query(t, at, "udp", "www.example.com", dns.TypeA, func(q *dns.Msg) {
		q.SetEdns0(1400, true)
		q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"})
	})
	if o := seen.Load(); o == nil || o.UDPSize() != 1400 || !o.Do() || len(o.Option) != 1 {
		t.Errorf("EDNS arrived as %v", o)
	}

	d, at := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{silent}, Timeout: 50 * time.Millisecond}, "127.0.0.1")
	if got := brief(query(t, at, "udp", "www.example.com", dns.TypeA, nil)); got != "SERVFAIL" {
		t.Errorf("nobody answers: %s", got)
	}
	if s := d.Stats(); s.Failed != 1 {
		t.Errorf("%+v", s)
	}
}

// TestForwardBound: queries beyond the bound fail at once, and mesh names are
// answered all the same.
func TestForwardBound(t *testing.T) {
	arrived, let := make(chan struct{}, 8), make(chan struct{})
	up := upstream(t, func(_ string, q *dns.Msg) *dns.Msg { arrived <- struct{}{}; <-let; return address(q, "192.0.2.1") })
	d, at := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{up}, Timeout: patience, Concurrent: 1}, "127.0.0.1")
	d.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.1.2.3")}}})
	first := make(chan string, 1)
	go func() {
		m, _, err := (&dns.Client{Timeout: patience}).Exchange(new(dns.Msg).SetQuestion("a.example.com.", dns.TypeA), at.String())
		if err != nil {
			first <- err.Error()
			return
		}
		first <- brief(m)
	}()
	<-arrived
	if got := brief(query(t, at, "udp", "b.example.com", dns.TypeA, nil)); got != "SERVFAIL" {
		t.Errorf("beyond the bound: %s", got)
	}
	if got := brief(query(t, at, "udp", "orders", dns.TypeA, nil)); got != "NOERROR A 240.1.2.3" {
		t.Errorf("a mesh name: %s", got)
	}
	close(let)
	if got := <-first; got != "NOERROR A 192.0.2.1" {
		t.Errorf("the one within: %s", got)
	}
}

// TestMalformedQueries: no question, two, another class, an update.
func TestMalformedQueries(t *testing.T) {
	_, at := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{upstream(t, func(_ string, q *dns.Msg) *dns.Msg {
		return new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented)
	})}}, "127.0.0.1")
	for name, c := range map[string]struct {
		change func(*dns.Msg)
		want   int
	}{
		"no question":   {func(q *dns.Msg) { q.Question = nil }, dns.RcodeFormatError},
		"two questions": {func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }, dns.RcodeFormatError},
		"another class": {func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeNotImplemented},
	} {
		if m := query(t, at, "tcp", "orders.shop.mesh", dns.TypeA, c.change); m.Rcode != c.want {
			t.Errorf("%s: %s", name, brief(m))
		}
	}
}

// TestManyAddresses: what does not fit in UDP is cut, and says so.
func TestManyAddresses(t *testing.T) {
	d, at := serveDNS(t, DNSOptions{}, "127.0.0.1")
	var all []netip.Addr
	for i := range 100 {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	d.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: all}})
	m := query(t, at, "udp", "orders", dns.TypeA, nil)
	m.Compress = true // as it came
	if !m.Truncated || m.Len() > dns.MinMsgSize {
		t.Errorf("by UDP: %d bytes, truncated %v", m.Len(), m.Truncated)
	}
	if m := query(t, at, "tcp", "orders", dns.TypeA, nil); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("by TCP: %d answers", len(m.Answer))
	}
}

func TestOurs(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:53": true, "[::1]:53": true, "[::ffff:127.0.0.9]:1": true,
		"169.254.70.2:1": true, "[fd6e:6172:7500::2]:1": true, "192.0.2.1:53": false, "169.254.1.1:9": false, "[2001:db8::1]:53": false} {
		if got := ours(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// TestCapturedDNS: names resolve whatever server the workload asks, by UDP and
// TCP, and it believes that server has answered.
func TestCapturedDNS(t *testing.T) {
	c := open(t, EBPF, 0)
	d, at4 := serveDNS(t, DNSOptions{Upstream: []netip.AddrPort{upstream(t, func(_ string, q *dns.Msg) *dns.Msg { return address(q, "192.0.2.99") })}}, "127.0.0.1")
	at6 := listenDNS(t, d, "::1")
	vip := Addresses([]string{"orders.shop.mesh"})["orders.shop.mesh"]
	d.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{vip.IP4, vip.IP6}}})
	k := catch(t, c, func(o *WorkloadOptions) { o.DNS, o.DNS6 = at4, at6 })

	// The machine's own resolv.conf, and its library.
	says(t, k.Place, netip.AddrPortFrom(vip.IP4, 80).String(), "curl", "-4", "-sS", "-m", "60", "http://orders/")
	says(t, k.Place, netip.AddrPortFrom(vip.IP6, 80).String(), "curl", "-6", "-sS", "-m", "60", "http://orders.shop.mesh/")
	says(t, k.Place, "192.0.2.99:80", "curl", "-4", "-sS", "-m", "60", "http://www.example.com/")
	says(t, k.Place, vip.IP4.String(), "node", "-e", `require("dns").resolve4("orders.shop.mesh",(e,a)=>console.log(e||a[0]))`)

	const lib = `
import socket,struct,sys
q=b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"+b"\x06orders\x04shop\x04mesh\x00\x00\x01\x00\x01"
def ip(m): return socket.inet_ntoa(m[-4:])
`
	for _, test := range []struct{ name, want, code string }{
		{"sendto", fmt.Sprintf("%v ('192.0.2.53', 53)", vip.IP4), `s=socket.socket(2,2); s.settimeout(60); s.sendto(q,("192.0.2.53",53)); m,a=s.recvfrom(512); print(ip(m),a)`},
		{"sendto on IPv6", fmt.Sprintf("%v ('2001:db8::53', 53, 0, 0)", vip.IP4), `s=socket.socket(10,2); s.settimeout(60); s.sendto(q,("2001:db8::53",53)); m,a=s.recvfrom(512); print(ip(m),a)`},
		{"connected", fmt.Sprintf("%v ('192.0.2.53', 53)", vip.IP4), `s=socket.socket(2,2); s.settimeout(60); s.connect(("192.0.2.53",53)); s.send(q); m=s.recv(512); print(ip(m),s.getpeername())`},
		{"a resolver of the loopback", fmt.Sprintf("%v ('127.0.0.53', 53)", vip.IP4), `s=socket.socket(2,2); s.settimeout(60); s.sendto(q,("127.0.0.53",53)); m,a=s.recvfrom(512); print(ip(m),a)`},
		{"TCP", fmt.Sprintf("%v ('192.0.2.53', 53)", vip.IP4), `s=socket.create_connection(("192.0.2.53",53),60); s.sendall(struct.pack(">H",len(q))+q); m=s.recv(512); print(ip(m),s.getpeername())`},
	} {
		t.Run(test.name, func(t *testing.T) { python(t, k.Place, test.want, lib+test.code) })
	}
}
