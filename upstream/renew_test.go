package upstream

import (
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/tunnel"
)

// TestRenew replaces the certificate that one of two callers shows.
func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(e *Env) {
		e.Identity = func(string, string, string) (wire.Dialer, error) { return fakeDialer{}, nil }
		e.Tunnels = tunnel.Tunnels{}
	})
	w.codec.streams = 2
	of := func(name, own string) *model.Service {
		s := service(name, 1)
		s.Identity = own
		s.Endpoints[0].Identity, s.Endpoints[0].ServerName = "spiffe://a/ns/shop/sa/orders", "orders"
		return s
	}
	w.apply(of("a", "spiffe://a/ns/shop/sa/web"), of("b", "spiffe://a/ns/shop/sa/other"))

	full := w.lendAndSend()
	full.opened()
	w.lendAndSend()
	half := w.lendAndSend()
	half.opened()
	if full == half || full.busy != 2 || half.busy != 1 {
		t.Fatalf("%d and %d on two connections", full.busy, half.busy)
	}
	other, _ := w.pick("b")
	other.opened()
	other.finish()

	w.set.Renew("")
	w.set.Renew("spiffe://a/ns/shop/sa/web")
	w.run()
	next := w.lendAndSend()
	if next == full || next == half {
		t.Fatal("a connection with the old certificate was lent")
	}
	next.opened()
	full.finish() // one of two: it has room again
	if c := w.lendAndSend(); c != next {
		t.Error("room on a connection with the old certificate was lent")
	}
	full.finish()
	half.finish()
	w.run()
	if !full.ended || !half.ended || full.aborted != nil || half.aborted != nil {
		t.Error("connections with the old certificate stay, or were broken off")
	}
	next.finish()
	next.finish()
	if other.ended || next.ended {
		t.Error("connections with another certificate ended")
	}
	if st := w.stats("a"); st.Open != 1 || st.Idle != 1 || st.Active != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	w.set.Renew("spiffe://a/ns/shop/sa/web") // what is idle ends at once
	w.run()
	if st := w.stats("a"); !next.ended || st.Open != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
}
