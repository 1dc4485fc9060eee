package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
)

// ask sends one request on conn and gives status and body.
func ask(t *testing.T, conn net.Conn, request string) (int, string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// telling is an HTTP service that tells what it was asked.
func telling(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what there is
		w.Header().Set("X-Answer", "marker-of-the-answer")
		fmt.Fprintf(w, "%s %s host=%s forwarded=%s body=%s", r.Method, r.URL, r.Host, r.Header.Get("X-Forwarded-For"), body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestMeshCarriesRequests asks through both machines, by HTTP/1 declared and
// found out, and sees that nothing of it stands in what passes between them.
func TestMeshCarriesRequests(t *testing.T) {
	t.Parallel()
	for _, protocol := range []model.AppProtocol{model.AppHTTP, model.AppDetect} {
		t.Run("protocol "+string(protocol), func(t *testing.T) {
			t.Parallel()
			p := newMeshPair(t, telling(t), protocol, nil)
			p.a.watch()
			p.b.watch()
			conn := p.a.dial(p.to)
			for i := range 3 {
				status, body := ask(t, conn, "POST /marker-of-the-path HTTP/1.1\r\nHost: orders\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 18\r\n\r\nmarker-of-the-body")
				if status != 200 || body != "POST /marker-of-the-path host=orders forwarded=192.0.2.1 body=marker-of-the-body" {
					t.Fatalf("%d: %d %s", i, status, body)
				}
			}
			// HTTP/1.0 needs no Host: what is meant is the address.
			status, body := ask(t, p.a.dial(p.to), "GET /old HTTP/1.0\r\n\r\n")
			if status != 200 || body != "GET /old host="+p.to+" forwarded= body=" {
				t.Errorf("HTTP/1.0: %d %s", status, body)
			}
			for _, m := range []*machine{p.a, p.b} {
				r := receive(t, m.records)
				if r.Source != storefront || r.Destination != ordersID || r.Status != 200 {
					t.Errorf("from %q to %q, status %d", r.Source, r.Destination, r.Status)
				}
			}
			seen, open := p.relay.passed()
			if bytes.Contains(seen, []byte("marker")) || len(seen) < 1000 || open != 1 {
				t.Errorf("%d bytes passed on %d connections, plaintext among them: %v", len(seen), open, bytes.Contains(seen, []byte("marker")))
			}
		})
	}
}

// TestMeshCarriesGRPC: a call by HTTP/2 without a word about it, to a service
// of HTTP/2.
func TestMeshCarriesGRPC(t *testing.T) {
	t.Parallel()
	for _, protocol := range []model.AppProtocol{model.AppGRPC, model.AppDetect} {
		t.Run("protocol "+string(protocol), func(t *testing.T) {
			t.Parallel()
			p := newMeshPair(t, streamsOnLoop(t, 60, []string{"grpc-status", "0"}), protocol, nil)
			post := []string{":method", "POST", ":scheme", "http", ":path", "/a/Call", ":authority", "orders", "content-type", "application/grpc", "te", "trailers"}
			p.b.watch()
			caller := newCaller(t, p.a.dial(p.to), post, 50, 10)
			caller.run(100)
			if r := receive(t, p.b.records); !r.GRPC || r.GRPCStatus != 0 || r.Source != storefront {
				t.Errorf("%+v", r)
			}
		})
	}
}

// echoing is a TCP service that sends back what it gets, and then its end. hello
// is what it says first.
func echoing(t *testing.T, hello string) string {
	t.Helper()
	return serveConns(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, hello)
		_, _ = io.Copy(conn, conn)
		_ = conn.CloseWrite()
	})
}

// serveConns is a TCP service; each connection is closed when serve returns.
func serveConns(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String()
}

// sendAll sends b and then the end, beside what its caller does, and tells how
// that went.
func sendAll(conn *net.TCPConn, b []byte) <-chan error {
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(b)
		if err == nil {
			err = conn.CloseWrite()
		}
		sent <- err
	}()
	return sent
}

// TestMeshCarriesConnections: servers that speak first, declared and not, large
// transfers, and the end of one direction before that of the other.
func TestMeshCarriesConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		protocol model.AppProtocol
		hello    string
	}{
		{"declared", model.AppTCP, ""},
		{"declared, the server speaks first", model.AppTCP, "220 marker ready\r\n"},
		{"undeclared", model.AppDetect, ""},
		{"undeclared, the server speaks first", model.AppDetect, "220 marker ready\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newMeshPairWaiting(t, waitFor(c.hello), echoing(t, c.hello), c.protocol, nil)
			p.a.watch()
			p.b.watch()
			conn := p.a.dial(p.to)
			got := make([]byte, len(c.hello))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != c.hello {
				t.Fatalf("%q, %v", got, err)
			}
			sent := bytes.Repeat([]byte("\x00marker of a byte\n"), 400_000)
			errs := sendAll(conn, sent)
			back, err := io.ReadAll(conn)
			if err != nil || sha256.Sum256(back) != sha256.Sum256(sent) {
				t.Fatalf("%d of %d bytes, %v", len(back), len(sent), err)
			}
			if err := receive(t, errs); err != nil {
				t.Error(err)
			}
			for _, m := range []*machine{p.a, p.b} {
				r := receive(t, m.records)
				if r.Source != storefront || r.Destination != ordersID || r.BytesIn != int64(len(sent)) || r.BytesOut != int64(len(sent)+len(c.hello)) || r.Reason != observe.ReasonNone {
					t.Errorf("%+v", r)
				}
			}
			if seen, _ := p.relay.passed(); bytes.Contains(seen, []byte("marker")) {
				t.Error("plaintext between the machines")
			}
			warned := strings.Contains(p.a.log.String(), "declare protocol: tcp")
			if warned != (c.protocol == model.AppDetect && c.hello != "") {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

// waitFor is how long a client is waited for, by what its server says first.
func waitFor(hello string) time.Duration {
	if hello == "" {
		return patience
	}
	return model.DetectTime
}

// TestMeshManyTunnels: a hundred at once share few connections.
func TestMeshManyTunnels(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, ""), model.AppTCP, nil)
	var all sync.WaitGroup
	conns := make([]net.Conn, 100)
	for i := range conns {
		conns[i] = p.a.dial(p.to)
	}
	for i, conn := range conns {
		all.Go(func() {
			text := bytes.Repeat([]byte{byte(i)}, 50_000)
			for range 4 {
				if _, err := conn.Write(text); err != nil {
					t.Error(err)
					return
				}
				back := make([]byte, len(text))
				if _, err := io.ReadFull(conn, back); err != nil || !bytes.Equal(back, text) {
					t.Errorf("tunnel %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if _, open := p.relay.passed(); open > 2 {
		t.Errorf("%d connections for %d tunnels", open, len(conns))
	}
}

// TestMeshRefuses: what must not pass does not, with its reason.
func TestMeshRefuses(t *testing.T) {
	t.Parallel()
	other := "spiffe://naru.local/ns/shop/sa/mallory"
	for _, c := range []struct {
		name   string
		change func(*testing.T, *meshPair)
		to     string // "": orders
		log    string
		reason observe.Reason
		on     func(*meshPair) *machine
	}{
		{"a server that is somebody else", func(t *testing.T, p *meshPair) { p.trust.issue(t, ordersID, other) }, "",
			"", observe.UpstreamIdentity, func(p *meshPair) *machine { return p.a }},
		{"a caller without a certificate", func(t *testing.T, p *meshPair) {
			p.trust.mu.Lock()
			delete(p.trust.have, storefront)
			p.trust.mu.Unlock()
		}, "", "", observe.NoIdentity, func(p *meshPair) *machine { return p.a }},
		{"an endpoint without a proxy, strict", func(t *testing.T, p *meshPair) { p.orders.MeshPort = 0 }, "",
			"", observe.NoEndpoint, func(p *meshPair) *machine { return p.a }},
		{"a stranger, registered-only", func(t *testing.T, p *meshPair) { p.cfg.Mesh.Outbound = model.RegisteredOnly }, "127.0.0.1:1",
			"", observe.OutboundRefused, func(p *meshPair) *machine { return p.a }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newMeshPair(t, echoing(t, "hello"), model.AppTCP, func(p *meshPair) { c.change(t, p) })
			to := c.to
			if to == "" {
				to = p.to
			}
			m := c.on(p)
			m.watch()
			p.a.refused(to)
			if r := receive(t, m.records); r.Reason != c.reason {
				t.Errorf("%v (%v), not %v", r.Reason, r.Detail, c.reason)
			}
		})
	}
}

// TestMeshPassesStrangersOn: to an address that is no service, as it is.
func TestMeshPassesStrangersOn(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, ""), model.AppTCP, nil)
	stranger := echoing(t, "hello")
	p.a.watch()
	conn := p.a.dial(stranger)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if r := receive(t, p.a.records); r.Endpoint.String() != stranger || r.Source != storefront || r.Destination != "" {
		t.Errorf("%+v", r)
	}
}

// TestMeshPlaintext: callers without TLS are refused by strict, and served and
// counted by permissive.
func TestMeshPlaintext(t *testing.T) {
	t.Parallel()
	for _, mode := range []model.MTLS{model.Strict, model.Permissive} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			service := telling(t)
			p := newMeshPair(t, service, model.AppDetect, func(p *meshPair) {
				p.called.Mesh.MTLS = mode
				p.b.node.Plain = number16(t, freeport.Hold(t))
			})
			// The machine's plaintext door is dialled as that of a workload's calls.
			p.b.node.Locals = []mesh.Local{{Workload: p.orders, Outbound: p.b.node.Plain}}
			if mode == model.Strict {
				p.b.watch()
				p.b.refused(service)
				if r := receive(t, p.b.records); r.Reason != observe.PlaintextRefused || r.Remote.Addr().String() != "127.0.9.1" || r.Listener != "mesh/plaintext" {
					t.Errorf("%+v", r)
				}
				awaitMetric(t, p.b.registry, "naru_refused_total", "plaintext_refused", 1)
				return
			}
			conn := p.b.dial(service)
			if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: orders\r\n\r\n"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
			awaitMetric(t, p.b.registry, "naru_mesh_plaintext_total", "orders,127.0.9.1", 1)
			if !strings.Contains(p.b.log.String(), "mtls: strict would refuse") {
				t.Error("nobody is told")
			}
		})
	}
}

// awaitMetric waits until a counter has a value.
func awaitMetric(t *testing.T, g *observe.Registry, name, labels string, want float64) {
	t.Helper()
	got := 0.0
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if got = sampled(g, name, labels); got >= want {
			break
		}
	}
	if got != want {
		t.Errorf("%s{%s} is %v, not %v", name, labels, got, want)
	}
}

// sampled reads a sample of a metric, by its labels' values.
func sampled(g *observe.Registry, name, labels string) (got float64) {
	g.Collect(func(f observe.Family) {
		if f.Name == name {
			f.Each(func(s *observe.Sample) {
				if strings.Join(s.Values, ",") == labels {
					got = s.Value
				}
			})
		}
	})
	return got
}

// TestMeshEndpointLeaves: a workload that is removed keeps its tunnels for the
// drain time, and one that drains gets nothing new while another can.
func TestMeshEndpointLeaves(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "a"), model.AppTCP, nil)
	other := *p.orders
	other.Name = "shop/orders-2"
	other.Ports = []model.WorkloadPort{{Service: "orders", Port: number16(t, echoing(t, "b"))}}
	first := p.a.dial(p.to)
	one := make([]byte, 1)
	if _, err := io.ReadFull(first, one); err != nil || one[0] != 'a' {
		t.Fatalf("%q, %v", one, err)
	}
	leaving := *p.orders
	leaving.State = model.Draining
	cfg := *p.cfg
	cfg.Workloads = []*model.Workload{&leaving, &other, p.cfg.Workloads[1]}
	p.b.node.Locals = []mesh.Local{{Workload: &leaving}, {Workload: &other}}
	p.b.apply(&cfg)
	p.a.apply(&cfg)
	for range 5 {
		conn := p.a.dial(p.to)
		if _, err := io.ReadFull(conn, one); err != nil || one[0] != 'b' {
			t.Fatalf("%q, %v", one, err)
		}
	}
	if _, err := first.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, one); err != nil || one[0] != 'x' {
		t.Fatalf("a tunnel to what drains: %q, %v", one, err)
	}
	p.a.watch()
	gone := cfg
	gone.Workloads = []*model.Workload{&other, p.cfg.Workloads[1]}
	p.b.node.Locals = p.b.node.Locals[1:]
	p.a.apply(&gone)
	if b, err := io.ReadAll(first); len(b) > 0 || err == nil {
		t.Errorf("a tunnel to what is gone: %q, %v", b, err)
	}
	if r := receive(t, p.a.records); r.Reason != observe.Draining {
		t.Errorf("%v", r.Reason)
	}
}

// TestMeshInstance: whoever calls one workload by its own address gets that one
// and no other, well or not.
func TestMeshInstance(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "a"), model.AppTCP, nil)
	other := *p.orders
	second := echoing(t, "b")
	other.Name, other.State = "shop/orders-2", model.Unhealthy
	other.Ports = []model.WorkloadPort{{Service: "orders", Port: number16(t, second)}}
	cfg := *p.cfg
	cfg.Workloads = append([]*model.Workload{&other}, p.cfg.Workloads...)
	p.b.node.Locals = append(p.b.node.Locals, mesh.Local{Workload: &other})
	p.b.apply(&cfg)
	p.a.apply(&cfg)
	one := make([]byte, 1)
	for i := range 10 {
		to, want := p.to, byte('a')
		if i%2 == 0 {
			to, want = second, 'b'
		}
		if _, err := io.ReadFull(p.a.dial(to), one); err != nil || one[0] != want {
			t.Errorf("%s: %q, %v", to, one, err)
		}
	}
}

// TestMeshHalfClose: a server that ends first still gets what its client sends.
func TestMeshHalfClose(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		defer ln.Close()
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "that is all")
		_ = conn.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(conn)
		got <- fmt.Sprint(len(b), err)
	}()
	p := newMeshPair(t, ln.Addr().String(), model.AppTCP, nil)
	p.b.watch()
	conn := p.a.dial(p.to)
	if b, err := io.ReadAll(conn); string(b) != "that is all" || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	for range 10 {
		if _, err := conn.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if g := receive(t, got); g != "1000000 <nil>" {
		t.Errorf("the service got %s", g)
	}
	if r := receive(t, p.b.records); r.Reason != observe.ReasonNone || r.BytesIn != 1_000_000 {
		t.Errorf("%+v", r)
	}
}

// TestMeshResets: a reset of either end is one at the other.
func TestMeshResets(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	ends := make(chan error, 2)
	go func() {
		for range 2 {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 10)
			n, _ := conn.Read(b)
			if string(b[:n]) == "reset me" {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
				continue
			}
			_, _ = conn.Write(b[:n])
			_, err = conn.Read(b)
			ends <- err
			conn.Close()
		}
	}()
	p := newMeshPair(t, ln.Addr().String(), model.AppTCP, nil)
	conn := p.a.dial(p.to)
	if _, err := io.WriteString(conn, "reset me"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the service has reset, and the client sees %v", err)
	}
	conn = p.a.dial(p.to)
	if _, err := io.WriteString(conn, "stay"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetLinger(0)
	conn.Close()
	if err := receive(t, ends); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client has reset, and the service sees %v", err)
	}
}

// TestMeshStaleConnection: a pooled connection that the other machine has closed
// costs no tunnel.
func TestMeshStaleConnection(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "a"), model.AppTCP, nil)
	one := make([]byte, 1)
	for range 5 {
		conn := p.a.dial(p.to)
		if _, err := io.ReadFull(conn, one); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		p.relay.cut()
	}
}

// TestMeshSlowReader: who does not read holds the sender, through both
// machines.
func TestMeshSlowReader(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	read, got := make(chan struct{}), make(chan int64, 1)
	go func() {
		defer ln.Close()
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		<-read
		n, _ := io.Copy(io.Discard, conn)
		got <- n
	}()
	p := newMeshPair(t, ln.Addr().String(), model.AppTCP, nil)
	conn := p.a.dial(p.to)
	sent := int64(0)
	block := make([]byte, 64<<10)
	for sent < 256<<20 {
		if err := conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(block)
		sent += int64(n)
		if err != nil {
			break
		}
	}
	// What the kernels of six sockets hold, and little besides.
	if sent > 64<<20 {
		t.Errorf("%d bytes were taken from the client, of which the service has read none", sent)
	}
	close(read)
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n := receive(t, got); n != sent {
		t.Errorf("%d of %d bytes arrived", n, sent)
	}
}

// TestMeshEarlyEnd: a client that sends a word and ends at once loses nothing,
// though nobody has declared what it speaks.
func TestMeshEarlyEnd(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, ""), model.AppDetect, nil)
	conn := p.a.dial(p.to)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// TestMeshExternal: a service outside is reached by its name, as it is written.
func TestMeshExternal(t *testing.T) {
	t.Parallel()
	outside := telling(t)
	credentials := make(chan string, 8)
	proxied := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		credentials <- r.Header.Get("Proxy-Authorization")
	}))
	t.Cleanup(proxied.Close)
	p := newMeshPair(t, echoing(t, ""), model.AppTCP, func(p *meshPair) {
		p.cfg.Services = append(p.cfg.Services, &model.Service{
			Name: "proxied", Endpoints: []*model.Endpoint{{Host: "127.0.0.1", Port: number16(t, proxied.Listener.Addr().String())}},
			Mesh: &model.MeshService{Namespace: "shop", Host: "proxied", Names: []string{"proxied.example"}, Port: 80, External: true},
		})
		p.cfg.Mesh.Outbound = model.RegisteredOnly
		p.cfg.Services = append(p.cfg.Services, &model.Service{
			Name: "stripe", Endpoints: []*model.Endpoint{{Host: "127.0.0.1", Port: number16(t, outside)}},
			Mesh: &model.MeshService{Namespace: "shop", Host: "stripe", Names: []string{"api.stripe.example"}, Port: 80, External: true},
		})
		p.a.node.VIP = func(s string) []netip.Addr {
			switch s {
			case "stripe":
				return []netip.Addr{netip.MustParseAddr("240.0.0.2")}
			case "proxied":
				return []netip.Addr{netip.MustParseAddr("240.0.0.3")}
			}
			return []netip.Addr{netip.MustParseAddr(vip)}
		}
	})
	if status, body := ask(t, p.a.dial("240.0.0.2:80"), "GET /charge HTTP/1.1\r\nHost: api.stripe.example\r\n\r\n"); status != 200 || !strings.HasPrefix(body, "GET /charge host=api.stripe.example") {
		t.Errorf("%d %s", status, body)
	}
	// Without capture a client says in HTTP where it wants to go.
	// It proves that it is the workload: any program can connect.
	pass := sha256.Sum256([]byte("Basic bmFydTpzZWNyZXQ="))
	p.a.node.Locals[0].Pass = pass[:]
	p.a.apply(p.cfg)
	for said, want := range map[string]int{
		"": 407, "Proxy-Authorization: Basic bmFydTpvdGhlcg==\r\n": 407, "Proxy-Authorization: Basic bmFydTpzZWNyZXQ=\r\n": 200,
	} {
		status, body := ask(t, p.a.dial(""), "GET http://proxied.example/ HTTP/1.1\r\nHost: proxied.example\r\n"+said+"\r\n")
		if status != want {
			t.Errorf("explicitly, with %q: %d %s", said, status, body)
		}
	}
	if got := <-credentials; got != "" || len(credentials) > 0 {
		t.Errorf("the service was told %q, and was asked %d times more", got, len(credentials))
	}
}

// TestMeshDoorsAreNotLent: who was not captured does not get to call services
// as the workload whose door it has found.
func TestMeshDoorsAreNotLent(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppDetect, nil)
	if conn, err := p.a.try(""); err == nil { // it may be closed already, before it stands
		_, _ = io.WriteString(conn, "GET http://orders/ HTTP/1.1\r\nHost: orders\r\n\r\n")
		if b, err := io.ReadAll(conn); len(b) > 0 || err == nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	awaitMetric(t, p.a.registry, "naru_refused_total", "outbound_unproven", 1)
}
