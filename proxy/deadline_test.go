package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// told gives what a service was told of the time, "" for nothing.
func told(c *fakeClient) string {
	_, v, _ := strings.Cut(string(c.fields), "X-Request-Timeout-Ms: ")
	v, _, _ = strings.Cut(v, "\r\n")
	return v
}

func TestServicesAreToldTheTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, asked string
		hops        int
		rule        time.Duration
		told        string
		over        time.Duration // when the request fails; 0 never
	}{
		{"nobody says anything", "", 0, 0, "", 0},
		{"the rule", "", 0, 2 * time.Second, "2000", 2 * time.Second},
		{"a trusted hop", "500", 1, 0, "500", 500 * time.Millisecond},
		{"a trusted hop, longer than the rule", "5000", 1, time.Second, "1000", time.Second},
		{"a trusted hop, for ever", "99999999999999999999", 1, 0, "86400000", 24 * time.Hour},
		{"nonsense of a trusted hop", "soon", 1, 0, "soon", 0},
		{"a stranger", "500", 0, 0, "", 0},
		{"a stranger, and the rule", "500", 0, time.Second, "1000", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			cfg := shop(1, bounded(c.rule, -1))
			cfg.Listeners[0].TrustedHops = c.hops
			w.apply(cfg)
			fields := []string{"X-Request-Timeout-Ms", c.asked}
			if c.asked == "" {
				fields = nil
			}
			s := w.open("GET", "/", 0, fields...)
			s.x.Headed = w.loops[0].now
			s.request("", true)
			if got := told(w.conn(0)); got != c.told {
				t.Errorf("the service is told %q, want %q", got, c.told)
			}
			w.conn(0).stand()
			if c.over == 0 {
				w.loops[0].pass(time.Minute)
				w.busy().respond(200, "", true)
				w.expect(s, 200, "", observe.ReasonNone)
				w.settled(1)
				return
			}
			if w.loops[0].pass(c.over - 50*time.Millisecond); s.ended {
				t.Fatal("it ended early")
			}
			w.loops[0].pass(time.Second)
			w.expect(s, 504, "", observe.RequestTimeout)
			if w.conn(0).canceled != 1 {
				t.Error("the try was not cancelled")
			}
			w.settled(1)
		})
	}
}

// TestTimeShrinks: the second try is told what is left, and what the client
// waited before counts.
func TestTimeShrinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := shop(2, retries(1, 503), func(r *model.Route) { r.Timeouts.Request = 2 * time.Second })
	cfg.Listeners[0].TrustedHops = 1
	w.apply(cfg)
	s := w.open("GET", "/", 0, "X-Request-Timeout-Ms", "1000")
	s.x.Headed = w.loops[0].now - 200*time.Millisecond
	s.request("", true)
	if got := told(w.conn(0)); got != "800" {
		t.Errorf("told %q, want 800", got)
	}
	w.loops[0].pass(300 * time.Millisecond)
	w.busy().respond(503, "", true)
	w.loops[0].pass(150 * time.Millisecond)
	if got := told(w.busy()); got < "350" || got > "451" || len(got) != 3 {
		t.Errorf("the second try is told %q, want about 400", got)
	}
	w.busy().respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	// Its time was over when it came.
	s = w.open("GET", "/", 0, "X-Request-Timeout-Ms", "1")
	s.x.Headed = w.loops[0].now - time.Second
	s.request("", true)
	w.expect(s, 504, "", observe.RequestTimeout)
	w.settled(2)
}
