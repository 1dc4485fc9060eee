package test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestCapturedPort: a captured connection to a service at a port that is not its
// own is refused at once, whatever it speaks, and not passed on to an address that
// nobody has; a client of HTTP is told which port is right.
func TestCapturedPort(t *testing.T) {
	t.Parallel()
	p := newMeshPairWaiting(t, time.Second, telling(t), model.AppHTTP, nil)
	p.a.watch()
	told := func(what, scheme string) {
		t.Helper()
		if r := receive(t, p.a.records); r.Scheme != scheme || r.Reason != observe.OutboundPort || r.Source != storefront || r.Detail == nil || !strings.HasPrefix(r.Detail.Error(), "orders is called at port 80, and not at ") {
			t.Errorf("%s: %+v", what, r)
		}
	}
	conn := p.a.dial(vip + ":9003")
	for range 2 { // on one connection
		if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: orders:9003\r\n\r\n"); status != 502 || !strings.Contains(body, `"code":"outbound_port","detail":"orders is called at port 80, and not at 9003"`) {
			t.Errorf("%d %s", status, body)
		}
		told("a request", "http")
	}
	conn.Close()
	raw := p.a.dial(vip + ":5432")
	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // psql asks for TLS
		t.Fatal(err)
	}
	if _, err := io.ReadAll(raw); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, and not a reset", err)
	}
	told("bytes", "tcp")
	p.a.refused(vip + ":3306") // its server would speak first
	told("nothing", "tcp")
	if status, body := ask(t, p.a.dial(p.to), "GET /b HTTP/1.1\r\nHost: orders\r\n\r\n"); status != 200 {
		t.Errorf("at its port: %d %s", status, body)
	}
}
