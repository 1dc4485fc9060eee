package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestStall: a response that stops in the middle is cut off after its idle time,
// which every piece begins anew; what is quiet on purpose has longer.
func TestStall(t *testing.T) {
	t.Parallel()
	const little = 100 * time.Millisecond
	for name, c := range map[string]struct {
		idle   time.Duration
		fields []string
		status int
		want   time.Duration // 0: never
	}{
		"the default":                     {status: 200, want: model.DefaultStreamIdle},
		"the rule's":                      {idle: time.Second, status: 200, want: time.Second},
		"none":                            {idle: -1, status: 200},
		"what is upgraded":                {fields: []string{"Upgrade", "websocket"}, status: 101, want: model.DefaultTunnelIdle},
		"what is upgraded, by the rule":   {idle: time.Second, fields: []string{"Upgrade", "websocket"}, status: 101, want: time.Second},
		"a call":                          {fields: []string{"Content-Type", "application/grpc"}, status: 200, want: model.DefaultTunnelIdle},
		"a call that has the rule's time": {idle: time.Second, fields: []string{"Content-Type", "application/grpc"}, status: 200, want: time.Second},
	} {
		w := newWorld(t, 1)
		w.apply(shop(1, func(r *model.Route) { r.Timeouts = model.Timeouts{Idle: c.idle, Request: -1} }))
		s := w.open("POST", "/", -1, c.fields...)
		s.request("", c.status != 101)
		conn := w.conn(0)
		conn.respond(c.status, "", false)
		if c.want == 0 {
			w.loops[0].pass(24 * time.Hour)
			if s.ended {
				t.Errorf("%s: it was cut off", name)
			}
			s.leave(observe.ClientGone)
			w.settled(1)
			continue
		}
		for range 3 {
			w.loops[0].pass(c.want - little)
			conn.data("x", false)
		}
		if c.status == 101 { // the other direction counts as well
			w.loops[0].pass(c.want - little)
			s.send("y", false)
		}
		w.loops[0].pass(c.want - little)
		if s.ended {
			t.Errorf("%s: it was cut off early", name)
			continue
		}
		w.loops[0].pass(2 * little)
		if s.reset != observe.StreamIdle || w.last.Reason != observe.StreamIdle || w.last.Flags.String() != "SI" {
			t.Errorf("%s: reset for %q, the record says %q %v", name, s.reset, w.last.Reason, w.last.Flags)
		}
		w.settled(1)
	}
}

// TestStallOfOthers: who waits for the client, or for a rate, has not stalled, nor
// has a response of which all is here.
func TestStallOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, func(r *model.Route) {
		r.Timeouts.Idle = 500 * time.Millisecond
		r.Shape = &model.Shape{Download: 10}
	}))
	s := w.get("/")
	w.conn(0).respond(200, "0123456789012345678901234567890", false)
	w.loops[0].pass(2 * time.Second)
	if s.ended {
		t.Fatal("one that passes at a rate was cut off")
	}
	w.conn(0).data("", true)
	w.loops[0].pass(2 * time.Second)
	w.expect(s, 200, "0123456789012345678901234567890", observe.ReasonNone)

	w.apply(shop(1, func(r *model.Route) { r.Timeouts.Idle = 500 * time.Millisecond }))
	s = w.get("/")
	w.busy().respond(200, "x", false)
	s.buffered = 100
	w.loops[0].pass(10 * time.Second)
	if s.ended {
		t.Fatal("one whose client is slow was cut off")
	}
	s.buffered = 0
	w.loops[0].pass(time.Second)
	if s.reset != observe.StreamIdle {
		t.Errorf("reset for %v", s.reset)
	}
	w.settled(2)
}

// TestStreamTimeout: a response may last so long after its head, and so may what
// is upgraded; the request's time goes before it where it ends first.
func TestStreamTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request time.Duration
		fields  []string
		status  int
		after   time.Duration
		why     observe.Reason
	}{
		"a response":              {status: 200, after: time.Second, why: observe.StreamTimeout},
		"the request's time":      {request: 500 * time.Millisecond, status: 200, after: 500 * time.Millisecond, why: observe.RequestTimeout},
		"before the request's":    {request: 2 * time.Second, status: 200, after: time.Second, why: observe.StreamTimeout},
		"what is upgraded":        {fields: []string{"Upgrade", "websocket"}, status: 101, after: time.Second, why: observe.StreamTimeout},
		"and the request's ended": {request: 500 * time.Millisecond, fields: []string{"Upgrade", "websocket"}, status: 101, after: time.Second, why: observe.StreamTimeout},
	} {
		w := newWorld(t, 1)
		w.apply(shop(1, func(r *model.Route) { r.Timeouts = model.Timeouts{Stream: time.Second, Request: c.request} }))
		s := w.open("GET", "/", 0, c.fields...)
		s.request("", true)
		conn := w.conn(0)
		conn.respond(c.status, "", false)
		for left := c.after - 50*time.Millisecond; left > 0; left -= 50 * time.Millisecond {
			w.loops[0].pass(50 * time.Millisecond)
			conn.data("x", false)
		}
		if s.ended {
			t.Errorf("%s: it was cut off early", name)
			continue
		}
		w.loops[0].pass(100 * time.Millisecond)
		if s.reset != c.why || w.last.Reason != c.why {
			t.Errorf("%s: reset for %q, the record says %q, want %q", name, s.reset, w.last.Reason, c.why)
		}
		w.settled(1)
	}
}

// TestStreamTimeoutOfWhatIsHeldBack: nor may one last longer that came at once and
// whose body passes at a rate.
func TestStreamTimeoutOfWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*model.Route){
		"a shape": shapes(model.Shape{Download: 1000}),
		"a fault": filters(does(0, "slow")),
	} {
		for _, request := range []time.Duration{0, 500 * time.Millisecond} {
			w := newWorld(t, 1)
			w.apply(shop(1, change, func(r *model.Route) { r.Timeouts = model.Timeouts{Stream: time.Second, Request: request} }))
			after, why := time.Second, observe.StreamTimeout
			if request > 0 {
				after, why = request, observe.RequestTimeout
			}
			s := w.get("/")
			w.conn(0).respond(200, strings.Repeat("x", 5000), true)
			w.loops[0].pass(after - 50*time.Millisecond)
			if s.ended || len(s.body) == 0 {
				t.Errorf("%s: ended %v, %d bytes", name, s.ended, len(s.body))
			}
			w.loops[0].pass(100 * time.Millisecond)
			if s.reset != why || w.last.Reason != why {
				t.Errorf("%s: reset for %q, the record says %q, want %q", name, s.reset, w.last.Reason, why)
			}
			// One that is through in time is as any other.
			s = w.get("/")
			w.busy().respond(200, strings.Repeat("x", 100), true)
			w.loops[0].pass(2 * time.Second)
			w.expect(s, 200, strings.Repeat("x", 100), observe.ReasonNone)
			w.settled(2)
		}
	}
}

// TestRecordSaysWhy: why the endpoint was chosen, and Envoy's letters.
func TestRecordSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, retries(1, 503)))
	s := w.get("/")
	w.conn(0).respond(503, "", true)
	w.loops[0].pass(200 * time.Millisecond)
	w.conn(1).respond(503, "", true)
	w.expect(s, 503, "", observe.ReasonNone)
	if w.last.Chosen != "elsewhere" || w.last.Flags.String() != "URX" {
		t.Errorf("a retry: chosen %q, flags %v", w.last.Chosen, w.last.Flags)
	}
	w.apply(shop(1, retries(1, 503), filters(does(0, "delay"))))
	s = w.get("/")
	w.loops[0].pass(1100 * time.Millisecond)
	w.busy().respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	if w.last.Chosen != "only" || w.last.Flags.String() != "DI" {
		t.Errorf("delayed: chosen %q, flags %v", w.last.Chosen, w.last.Flags)
	}
	w.apply(shop(0))
	s = w.get("/")
	w.expect(s, 503, "", observe.NoEndpoint)
	if w.last.Chosen != "" || w.last.Flags.String() != "UH" {
		t.Errorf("no endpoint: chosen %q, flags %v", w.last.Chosen, w.last.Flags)
	}
	w.settled(3)
}
