package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/test/freeport"
)

// TestMeshGone: an instance that has ended, and then left, before its callers know
// costs no request, whatever its method: its proxy says that nobody has seen it,
// and another instance gets it.
func TestMeshGone(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"nothing listens any more", "it has left", "all have left there"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "one") }))
			defer service.Close()
			p := newMeshPair(t, service.Listener.Addr().String(), model.AppHTTP, func(p *meshPair) {
				p.called.Balance = model.RoundRobin
				port := freeport.Hold(t)
				w := *p.orders
				w.Ports = []model.WorkloadPort{{Service: "orders", Port: number16(t, telling(t))}}
				w.Name, w.Node, w.MeshPort = "shop/orders-2", "c", number16(t, port)
				p.cfg.Workloads = append(p.cfg.Workloads, &w)
				c := newMachine(t, p.trust)
				c.node = mesh.Node{MeshPort: number16(t, port), Locals: []mesh.Local{{Workload: &w}}}
				c.apply(p.cfg)
				if how == "it has left" { // and one of the same account has not
					third := *p.orders
					third.Name = "shop/orders-3"
					third.Ports = []model.WorkloadPort{{Service: "orders", Port: number16(t, freeport.Hold(t))}}
					p.b.node.Locals = append(p.b.node.Locals, mesh.Local{Workload: &third})
				}
			})
			conn := p.a.dial(p.to)
			post := func() (int, string) {
				return ask(t, conn, "POST /x HTTP/1.1\r\nHost: orders\r\nContent-Length: 2\r\n\r\nhi")
			}
			for range 4 { // both have connections
				if status, body := post(); status != 200 {
					t.Fatalf("%d %s", status, body)
				}
			}
			if how == "nothing listens any more" {
				service.Close()
			} else {
				p.b.node.Locals = p.b.node.Locals[1:]
				p.b.apply(p.cfg)
			}
			p.a.watch()
			tries := 0
			for i := range 10 {
				status, body := post()
				if status != 200 || !strings.Contains(body, "body=hi") {
					t.Fatalf("request %d: %d %s", i, status, body)
				}
				r := receive(t, p.a.records)
				tries += r.Attempts
			}
			if tries <= 10 {
				t.Errorf("ten requests took %d tries: nobody asked the one that is gone", tries)
			}
		})
	}
}

// TestMeshGoneInTunnel: a connection that is carried as bytes, because its first
// request came late, ends when the workload that it leads to has left: what may be
// sent twice its client sends again elsewhere, and all else is answered for certain.
func TestMeshGoneInTunnel(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{"GET": "", "POST": "421"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			p := newMeshPairWaiting(t, 0, telling(t), model.AppDetect, func(p *meshPair) {
				other := *p.orders // so that the port stays open
				other.Name = "shop/orders-2"
				p.b.node.Locals = append(p.b.node.Locals, mesh.Local{Workload: &other})
			})
			conn := p.a.dial(p.to)
			eventually(t, "it is taken for bytes", func() bool { return p.relay.made() > 0 })
			if status, body := ask(t, conn, "POST /x HTTP/1.1\r\nHost: orders\r\nContent-Length: 2\r\n\r\nhi"); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			p.b.node.Locals = p.b.node.Locals[1:]
			p.b.apply(p.cfg)
			fmt.Fprintf(conn, "%s /x HTTP/1.1\r\nHost: orders\r\n\r\n", method)
			said, _ := io.ReadAll(conn) // to its end, which may be a reset
			if got := string(said); want == "" && got != "" || want != "" && (!strings.HasPrefix(got, "HTTP/1.1 "+want+" ") || !strings.Contains(got, "Connection: close")) {
				t.Errorf("%q", got)
			}
		})
	}
}
