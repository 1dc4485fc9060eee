package capture

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/naru-mesh/naru/test/freeport"
)

// dnsPair opens the sockets of a mesh DNS at an address, on both families.
func dnsPair(t *testing.T, port uint16) (udp []net.PacketConn, tcp []net.Listener, all []syscall.Conn) {
	t.Helper()
	for _, host := range []string{"127.0.0.1", "::1"} {
		at := net.JoinHostPort(host, fmt.Sprint(port))
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		l := plain(t, at)
		t.Cleanup(func() { u.Close(); l.Close() })
		udp, tcp = append(udp, u), append(tcp, l)
		all = append(all, u.(*net.UDPConn), l.(*net.TCPListener))
	}
	return udp, tcp, all
}

// TestNamesTaken: while the proxy is away nobody answers in place of the mesh
// DNS, whoever takes its port; nor does anybody from another address.
func TestNamesTaken(t *testing.T) {
	c := open(t, EBPF, 0)
	port := freeport.HoldOn(t, "127.0.0.1").Port()
	d := NewDNS(DNSOptions{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(d.Close)
	d.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.1.2.3")}}})
	serve := func(d *DNS) []syscall.Conn {
		udp, tcp, all := dnsPair(t, port)
		for i := range udp {
			if err := d.Serve(udp[i], tcp[i], "shop"); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	k := catch(t, c, func(o *WorkloadOptions) {
		o.DNS, o.DNS6 = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.IPv6Loopback(), port)
		o.Names = serve(d)
	})
	const lib = `
import socket,struct,sys,os,select
q=b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"+b"\x06orders\x04shop\x04mesh\x00\x00\x01\x00\x01"
def ip(m): return socket.inet_ntoa(m[-4:])
def what(f):
    try: return f()
    except OSError as e: return type(e).__name__
def to4():
    s=socket.socket(2,2); s.settimeout(60); s.sendto(q,("192.0.2.53",53)); return ip(s.recv(512))
def to6():
    s=socket.socket(10,2); s.settimeout(60); s.sendto(q,("2001:db8::53",53)); return ip(s.recv(512))
def connected():
    s=socket.socket(2,2); s.settimeout(60); s.connect(("192.0.2.53",53)); s.send(q); return ip(s.recv(512))
def tcp():
    s=socket.create_connection(("192.0.2.53",53),60); s.sendall(struct.pack(">H",len(q))+q); return ip(s.recv(512))
def all(): return " ".join(what(f) for f in (to4,to6,connected,tcp))
`
	const ask = lib + `print(all())`
	python(t, k.Place, "240.1.2.3 240.1.2.3 240.1.2.3 240.1.2.3", ask)

	// The answer of another address is not passed off as the server's.
	python(t, k.Place, "127.0.0.2", lib+`
s=socket.socket(2,2); s.settimeout(60); s.sendto(q,("192.0.2.53",53)); s.recv(512)
f=socket.socket(2,2); f.bind(("127.0.0.2",int(sys.argv[1]))); f.sendto(b"x",("127.0.0.1",s.getsockname()[1]))
print(s.recvfrom(512)[1][0])`, fmt.Sprint(port))

	d.Close()
	const refused = "PermissionError PermissionError PermissionError PermissionError"
	python(t, k.Place, refused, ask)

	// A thief that answers everything, and a socket that was connected before.
	thief := NewDNS(DNSOptions{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(thief.Close)
	thief.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.6.6.6")}}})
	serve(thief)
	python(t, k.Place, refused, ask)
	direct := &dns.Client{}
	if _, _, err := direct.Exchange(new(dns.Msg).SetQuestion("orders.shop.mesh.", dns.TypeA), fmt.Sprintf("127.0.0.1:%d", port)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the thief answers others: %v", err)
	}
	if s := thief.Stats(); s.Answered+s.Forwarded+s.Failed+s.Dropped != 0 {
		t.Errorf("the thief was asked: %+v", s)
	}
	thief.Close()

	next := NewDNS(DNSOptions{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(next.Close)
	next.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.1.2.4")}}})
	k.opt.Names = serve(next)
	if _, err := c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	python(t, k.Place, "240.1.2.4 240.1.2.4 240.1.2.4 240.1.2.4", ask)
}

// TestDoorsAreLocal: what the proxy has on the loopback is not reached by
// another address of the machine.
func TestDoorsAreLocal(t *testing.T) {
	own := netip.Addr{}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			own = p.Addr()
		}
	}
	if !own.IsValid() {
		t.Skip("the machine has no address but the loopback's")
	}
	c := open(t, EBPF, 0)
	door := plain(t, "127.0.0.1:0").(*net.TCPListener)
	a := accept(t, door)
	k := catch(t, c, func(o *WorkloadOptions) {
		o.Outbound, o.Outbound6, o.Doors = addressOf(door), netip.AddrPort{}, []syscall.Conn{door}
	})
	python(t, k.Place, "original 192.0.2.1:80", strings.Replace(askCode, "print(b.decode())", `print("original", b.split(b"\r\n\r\n")[1].decode())`, 1), "192.0.2.1", "80")
	before := a.accepted.Load()
	if got := ask(netip.AddrPortFrom(own, addressOf(door).Port()).String(), 0); !strings.Contains(got, "refused") {
		t.Errorf("a door of the loopback at %v: %q", own, got)
	}
	// Nor by another one of the loopback: its source could be that of a
	// connection of the workload that waits.
	if got := ask(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 2}), addressOf(door).Port()).String(), 0); !strings.Contains(got, "refused") {
		t.Errorf("a door by 127.0.0.2: %q", got)
	}
	if n := a.accepted.Load(); n != before {
		t.Errorf("%d connections came", n-before)
	}
}
