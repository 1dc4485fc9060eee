package test

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// TestMeshConnectionsAge: connections between proxies that are old end, one after
// the other, and no request is lost by that, also of those that are under way.
func TestMeshConnectionsAge(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppHTTP, func(p *meshPair) {
		p.cfg.Mesh.MaxConnectionAge = 20 * time.Millisecond
	})
	const callers = 4
	ended := make(chan int, callers)
	for range callers {
		conn := p.a.dial(p.to)
		go func() {
			good := 0
			defer func() { ended <- good }()
			for p.relay.made() < 4 {
				status, _ := ask(t, conn, "POST /a HTTP/1.1\r\nHost: orders\r\nContent-Length: 5\r\n\r\nhello")
				if status != 200 {
					t.Errorf("status %d after %d requests", status, good)
					return
				}
				good++
			}
		}()
	}
	all := 0
	for range callers {
		all += <-ended
	}
	t.Logf("%d requests on %d connections", all, p.relay.made())
}
