package proxy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// TestHandshakesAreToldSeldom: the log tells of one handshake for each reason,
// and then how many there were; the counter misses none.
func TestHandshakesAreToldSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(doors("https:8443:good"))
		remote := netip.MustParseAddrPort("192.0.2.1:5")
		fail := func(n int, why observe.Reason) {
			for range n {
				w.tls.made[0].cfg.Failed(why, remote, errors.New("of this kind"))
			}
		}
		told := func(want ...string) {
			t.Helper()
			lines := strings.Split(strings.TrimSuffix(w.log.String(), "\n"), "\n")
			w.log.Reset()
			if len(lines) != len(want) {
				t.Errorf("told %q", lines)
				return
			}
			for i, line := range lines {
				if line += "\n"; !strings.Contains(line, "tls handshake failed") || !strings.Contains(line, want[i]) {
					t.Errorf("told %q, want %q", line, want[i])
				}
			}
		}
		w.log.Reset()
		fail(100, observe.ClientIdentity)
		fail(3, observe.ClientCertificateMissing)
		fail(3, observe.HandshakeFailed) // for debugging only
		told("reason=client_identity error=\"of this kind\"\n", "reason=client_certificate_missing")
		<-time.After(handshakeNote) // of the bubble's clock
		fail(5, observe.ClientIdentity)
		told("reason=client_identity error=\"of this kind\" omitted=99")
		if n := refusals(w, observe.ClientIdentity); n != 105 {
			t.Errorf("%v are counted", n)
		}
	})
}

// refusals is what is counted of a reason.
func refusals(w *world, why observe.Reason) (n float64) {
	w.proxy.opt.Registry.Collect(func(f observe.Family) {
		if f.Name == "naru_refused_total" {
			f.Each(func(s *observe.Sample) {
				if s.Values[0] == why.String() {
					n = s.Value
				}
			})
		}
	})
	return n
}
