package http3

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusedLately: who was refused is for a moment, and nobody else is.
func TestRefusedLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := refused{lasts: lately}
		who := netip.MustParseAddrPort("192.0.2.1:40000")
		if r.has(who) {
			t.Error("nobody was refused yet")
		}
		r.add(who)
		for _, other := range []string{"192.0.2.1:40001", "192.0.2.2:40000", "[2001:db8::1]:40000", "192.0.2.1:41024"} {
			if r.has(netip.MustParseAddrPort(other)) {
				t.Errorf("%s was not refused", other)
			}
		}
		<-time.After(lately - 1)
		if !r.has(who) {
			t.Error("it is forgotten too early")
		}
		<-time.After(1)
		if r.has(who) {
			t.Error("it is refused for ever")
		}
		// Two of one place.
		r.add(who)
		r.add(netip.MustParseAddrPort("192.0.2.1:41024"))
		if r.has(who) || !r.has(netip.MustParseAddrPort("192.0.2.1:41024")) {
			t.Error("the newer one is to be remembered")
		}
	})
}
