package upstream

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

func TestHealthByHandshake(t *testing.T) {
	t.Parallel()
	// Two checks ask for it at a time, which the fake is not made for.
	w := newWorld(t, 1, func(e *Env) { e.TLS = lending })
	secure, plain := newInstance(t, true), newInstance(t, false)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	s := checked(model.HealthCheck{Kind: model.HealthTLS, Healthy: 1, Unhealthy: 1, Timeout: time.Minute}, secure, plain)
	s.TLS = &model.BackendTLS{CA: ca, ServerName: "example.com"}
	w.apply(s)
	if line := w.logged("endpoint is unhealthy"); !strings.Contains(line, "TLS") && !strings.Contains(line, "tls") {
		t.Errorf("log %q", line)
	}
	if p := w.planned(); len(p) != 1 || !p[secure.addr()] {
		t.Errorf("planned %v", p)
	}
	select {
	case r := <-secure.seen:
		t.Errorf("it was asked for %s", r.URL)
	default:
	}
}

func TestHealthIsAskedSoonerWhileItChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		interval, settled, pending time.Duration
	}{
		{5 * time.Second, 5 * time.Second, time.Second},
		{500 * time.Millisecond, 500 * time.Millisecond, fastLeast},
		{100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		k := &check{cfg: model.HealthCheck{Interval: c.interval}}
		for range 100 {
			for pending, want := range map[bool]time.Duration{false: c.settled, true: c.pending} {
				if got := k.pause(pending); got < want*9/10 || got > want*11/10 {
					t.Errorf("every %v, pending %v: %v, want about %v", c.interval, pending, got, want)
				}
			}
		}
	}
}

// TestSilentAddressCostsOneAttempt: the next question waits for the end of the
// one before.
func TestSilentAddressCostsOneAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	const timeout, questions = 5 * time.Millisecond, 10
	asked := make(chan struct{}, 100)
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(mute.Close)
	began := time.Now()
	w.apply(checked(model.HealthCheck{Timeout: timeout, Unhealthy: 1}, &instance{Server: mute}))
	for range questions {
		<-asked
	}
	// How many the server sees at a time is chance: it may hear late of their ends.
	if took := time.Since(began); took < questions*timeout {
		t.Errorf("%d questions of %v each took %v: some were under way together", questions, timeout, took)
	}
}

// TestPassedCheckEndsEjection: what no request can find out while it is out, a
// check does.
func TestPassedCheckEndsEjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one, two := newInstance(t, false), newInstance(t, false)
	s := checked(model.HealthCheck{}, one, two)
	s.Balance = model.RoundRobin
	w.apply(s)
	<-one.seen
	c := w.cluster("a")
	var ep *Endpoint
	for _, m := range c.members {
		if m.ep.Addr() == one.addr() {
			ep = m.ep
		}
	}
	for failed := 0; failed < 5; {
		conn, picked := w.pick("a")
		r := &Result{Status: 200, GRPC: -1}
		if picked == ep {
			r.Status = 503
			failed++
		}
		c.Tell(w.loops[0], picked, r)
		conn.finish()
	}
	if line := w.logged("endpoint is ejected"); !strings.Contains(line, "reason=failures") {
		t.Errorf("log %q", line)
	}
	if line := w.logged("endpoint is back"); !strings.Contains(line, "its health check passed") {
		t.Errorf("log %q", line)
	}
}
