package proxy

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/overload"
	"github.com/naru-mesh/naru/wire"
)

// ranked is a shop in which /pay is critical and /report of low priority.
func ranked() *model.Config {
	c := shop(1)
	for path, p := range map[string]model.Priority{"/pay": model.PriorityCritical, "/report": model.PriorityLow} {
		r := *c.Routes[0]
		r.Name, r.Priority, r.Matches = path, p, []model.Match{{PathKind: model.PathPrefix, Path: path}}
		c.Routes = append(c.Routes, &r)
	}
	return c
}

// TestShed: what a loop's gate refuses gets 503 with Retry-After before any filter
// or service sees it; critical routes, health checks and what naru answers itself
// go on; a short memory takes the connection as well, but HTTP/2's.
func TestShed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := ranked()
	c.Routes = append(c.Routes, &model.Route{
		Name: "nowhere", Parents: c.Routes[0].Parents, Matches: []model.Match{{PathKind: model.PathPrefix, Path: "/nowhere"}},
	})
	w.apply(c)
	gate := w.proxy.workers[0].gate
	served := func(path string) {
		t.Helper()
		s := w.get(path)
		w.busy().respond(200, "ok", true)
		w.expect(s, 200, "ok", observe.ReasonNone)
	}
	refused := func(path string, closes bool) {
		t.Helper()
		s := w.get(path)
		w.expect(s, 503, "", observe.ProxyOverloaded)
		if !bytes.Contains(s.head, []byte("Retry-After: 1")) {
			t.Errorf("the answer's fields are %q", s.head)
		}
		if w.proxy.workers[0].parting {
			t.Error("the next connection would be closed, too")
		}
	}
	served("/report")
	gate.Set(overload.RefusingLow, &overload.Shares{overload.Low: 1}, false)
	refused("/report", false)
	served("/")
	gate.Set(overload.RefusingNormal, &overload.Shares{overload.Low: 1, overload.Normal: 1}, false)
	refused("/report", false)
	refused("/", false)
	for _, path := range []string{"/pay", "/healthz", "/livez", "/readyz", "/grpc.health.v1.Health/Check"} {
		served(path)
	}
	s := w.get("/nowhere") // naru answers that itself
	w.expect(s, 500, "", observe.NoBackend)
	gate.Set(overload.RefusingCritical, &overload.Shares{1, 1, 1}, false)
	refused("/pay", false)
	refused("/healthz", false)
	if n := gate.Shed(overload.RefusingCritical, overload.Critical); n != 2 {
		t.Errorf("%d critical ones were counted", n)
	}
	gate.Set(overload.Calm, &overload.Shares{}, false)
	served("/report")
	w.settled(14)
}

// TestShedConnections: new connections of flows are refused by their priority before
// a service is dialled, and counted as requests are; those that stand go on.
func TestShedConnections(t *testing.T) {
	t.Parallel()
	w, first, dialled := talk(t, func(c *model.Config) {
		for i, p := range []model.Priority{model.PriorityLow, model.PriorityCritical} {
			l, f := *c.Listeners[0], *c.Flows[0]
			l.Name, l.Port = string(p), uint16(5433+i)
			f.Name, f.Parents, f.Priority = string(p), []string{string(p)}, p
			c.Listeners, c.Flows = append(c.Listeners, &l), append(c.Flows, &f)
		}
	})
	gate := w.proxy.workers[0].gate
	(*dialled)[0].handler.OnOpen()
	const low, normal, critical = 5433, 5432, 5434
	refused := 0
	try := func(port uint16, in bool) {
		t.Helper()
		before := len(*dialled)
		client := &pipeEnd{loop: w.loops[0], peer: first.peer}
		w.driver.on(port).accept(client, false)
		if got := len(*dialled) > before; got != in || (client.how == "reset") == in {
			t.Errorf("port %d: dialled %v, the client %q; want it let in: %v", port, got, client.how, in)
		}
		if in {
			(*dialled)[before].handler.OnOpen()
			client.handler.OnClose(nil)
			return
		}
		refused++
		if r := w.last; r.Reason != observe.ProxyOverloaded || r.Flags.String() != "OM" || r.Attempts != 0 || r.Service != "db" {
			t.Errorf("port %d: record %+v", port, r)
		}
	}
	for _, port := range []uint16{low, normal, critical} {
		try(port, true)
	}
	gate.Set(overload.RefusingLow, &overload.Shares{overload.Low: 1}, false)
	try(low, false)
	try(normal, true)
	gate.Set(overload.RefusingNormal, &overload.Shares{overload.Low: 1, overload.Normal: 1}, true)
	try(low, false)
	try(normal, false)
	try(critical, true)
	gate.Set(overload.RefusingCritical, &overload.Shares{1, 1, 1}, true)
	try(critical, false)
	first.handler.OnData([]byte("still there"))
	if got := string((*dialled)[0].written); got != "still there" {
		t.Errorf("of a connection that stands %q passed", got)
	}
	if n := gate.Shed(overload.RefusingNormal, overload.Normal) + gate.Shed(overload.RefusingNormal, overload.Low) + gate.Shed(overload.RefusingLow, overload.Low) + gate.Shed(overload.RefusingCritical, overload.Critical); n != uint64(refused) {
		t.Errorf("%d were counted, %d refused", n, refused)
	}
	gate.Set(overload.Calm, &overload.Shares{}, false)
	try(low, true)
}

// TestShedWary: a connection that may be HTTP yet is not refused before that is
// known: requests are asked about themselves, what is none then is refused, before
// anything of it has passed.
func TestShedWary(t *testing.T) {
	t.Parallel()
	w, first, dialled := talk(t, nil)
	of := (*dialled)[0].handler.(*half).of
	w.proxy.workers[0].gate.Set(overload.RefusingNormal, &overload.Shares{overload.Low: 1, overload.Normal: 1}, false)
	for _, c := range []struct {
		says, how string
		refused   bool
	}{{"GET / HTTP/1.1\r\n", "", false}, {"\x00\x01binary", "reset", true}, {"", "reset", true}} {
		client := &pipeEnd{loop: w.loops[0], peer: first.peer}
		before := len(*dialled)
		of.door.carry(of.listener, client, nil, func(k *conversation) { k.wary = true })
		if len(*dialled) != before+1 {
			t.Fatalf("%q: it is refused before it has said anything", c.says)
		}
		service := (*dialled)[before]
		service.handler.OnOpen()
		if c.says == "" {
			client.handler.OnEOF()
		} else {
			client.handler.OnData([]byte(c.says))
		}
		if client.how != c.how || len(service.written) > 0 || service.ended || service.how != "reset" {
			t.Errorf("%q: the client %q; the service %q, ended %v, got %q", c.says, client.how, service.how, service.ended, service.written)
		}
		if c.refused && w.last.Reason != observe.ProxyOverloaded {
			t.Errorf("%q: record %+v", c.says, w.last)
		}
	}
}

// sockets are those of udp: of the door, and those to services.
type sockets struct {
	loop   wire.Loop
	hears  wire.DatagramHandler
	dialed int
	sent   int
}

func (s *sockets) ListenDatagrams(_ netip.AddrPort, open func(wire.DatagramConn) wire.DatagramHandler) (wire.DatagramListening, error) {
	s.hears = open(s)
	return s, nil
}

func (s *sockets) DialDatagrams(wire.Loop, netip.AddrPort, wire.DatagramHandler) (wire.DatagramConn, error) {
	s.dialed++
	return s, nil
}

func (s *sockets) Addr() netip.AddrPort          { return netip.MustParseAddrPort("127.0.0.1:53") }
func (s *sockets) Loop() wire.Loop               { return s.loop }
func (s *sockets) Send(list []wire.Datagram) int { s.sent += len(list); return len(list) }
func (s *sockets) Close()                        {}

// TestShedClients: what a new client of a udp route sends is dropped by the route's
// priority; clients that are there go on, also by another endpoint. Where a share is
// refused, it is all that some clients send.
func TestShedClients(t *testing.T) {
	t.Parallel()
	for priority, in := range map[model.Priority]int{model.PriorityLow: 1, model.PriorityNormal: 1, model.PriorityCritical: 2} {
		w := newWorld(t, 1)
		s := &sockets{loop: w.loops[0]}
		w.proxy.opt.Datagrams = s
		c := &model.Config{
			Listeners: []*model.Listener{{Name: "dns", Address: "127.0.0.1", Port: 53, Protocol: model.UDP}},
			Flows:     []*model.Flow{{Name: "f", Parents: []string{"dns"}, Backends: []model.Backend{{Service: "dns", Weight: 1}}, Priority: priority}},
			Services:  []*model.Service{{Name: "dns", Endpoints: []*model.Endpoint{{Host: "10.0.0.1", Port: 53}}}},
		}
		w.apply(c)
		client := func(addr string) {
			s.hears.OnDatagrams([]wire.Datagram{{Data: []byte("?"), Remote: netip.MustParseAddrPort(addr)}})
		}
		client("192.0.2.1:1")
		w.proxy.workers[0].gate.Set(overload.RefusingNormal, &overload.Shares{overload.Low: 1, overload.Normal: 1}, false)
		client("192.0.2.1:1")
		client("192.0.2.2:1")
		if s.dialed != in || s.sent != in+1 {
			t.Errorf("priority %q: %d sockets, %d sent on; want %d clients", priority, s.dialed, s.sent, in)
		}
		s.dialed, s.sent = 0, 0
		dns := *c.Services[0]
		dns.Endpoints = []*model.Endpoint{{Host: "10.0.0.2", Port: 53}}
		c.Services = []*model.Service{&dns}
		w.apply(c)
		client("192.0.2.1:1")
		if s.dialed != 1 || s.sent != 1 {
			t.Errorf("priority %q: a client whose endpoint is gone: %d sockets, %d sent on", priority, s.dialed, s.sent)
		}

		s.dialed, s.sent = 0, 0
		w.proxy.workers[0].gate.Set(overload.RefusingNormal, &overload.Shares{0.5, 0.5, 0.5}, false)
		const many, each = 1000, 3
		for range each {
			for port := range many {
				client(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 3}), uint16(1000+port)).String())
			}
		}
		if s.dialed < many*2/5 || s.dialed > many*3/5 || s.sent != each*s.dialed {
			t.Errorf("priority %q: %d sockets, %d sent on; want half of %d clients, and all of theirs", priority, s.dialed, s.sent, many)
		}
		s.hears.(*clients).end()
	}
}
