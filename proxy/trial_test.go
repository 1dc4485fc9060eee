package proxy

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestTrial: what counts for a rollout is how the service did, whatever was made
// of it for the client, and nothing else.
func TestTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	rolling := func(live bool) func(*model.Route) {
		return func(r *model.Route) {
			r.Rollout = &model.Rollout{Name: "orders", To: r.Backends[0].Service, Run: "run", Live: live}
		}
	}
	w.apply(shop(1, rolling(true), retries(1, 503)))
	counts := func(requests, failed, times uint64) {
		t.Helper()
		all := w.proxy.opt.Registry.Trials()
		if len(all) != 1 || all[0].Run != "run" {
			t.Fatalf("trials %v", all)
		}
		if c := all[0].Arms[observe.Canary]; c.Requests != requests || c.Failed != failed || c.Times.Total() != times {
			t.Errorf("%d requests, %d failed, %d times; want %d, %d, %d", c.Requests, c.Failed, c.Times.Total(), requests, failed, times)
		}
		if b := all[0].Arms[observe.Baseline]; b.Requests != 0 {
			t.Errorf("the baseline has %d", b.Requests)
		}
	}
	s := w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(0).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	counts(1, 0, 1)
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(500, "", true)
	w.expect(s, 500, "", observe.ReasonNone)
	counts(2, 1, 2)
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(501, "", true) // the request's fault
	w.expect(s, 501, "", observe.ReasonNone)
	counts(3, 1, 3)
	// What was tried again has failed, although nobody has seen it.
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(503, "", true)
	w.loops[0].pass(time.Second)
	w.conn(-1).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	counts(4, 2, 4)
	// A pooled connection that turned out to be closed has not.
	s = w.get("/")
	w.conn(-1).fail(stale)
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	counts(5, 2, 5)
	// Who goes away has waited at least so long; it says nothing else.
	s = w.get("/")
	w.loops[0].pass(3 * time.Second)
	if c := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; c.Begun != 6 || c.Headed != 5 {
		t.Errorf("%d have begun and %d have a head, while one waits", c.Begun, c.Headed)
	}
	s.leave(observe.ClientGone)
	counts(5, 2, 6)
	// Cut off in mid-response.
	w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(200, "half", false)
	w.conn(-1).fail(dropped)
	counts(6, 3, 7)
	w.settled(7)
	if c := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; c.Begun != 7 || c.Headed != 7 {
		t.Errorf("%d have begun and %d have a head", c.Begun, c.Headed)
	}
	// It is over: nobody counts, and what was is forgotten.
	w.apply(shop(1, rolling(false)))
	s = w.get("/")
	w.conn(-1).respond(500, "", true)
	w.expect(s, 500, "", observe.ReasonNone)
	if all := w.proxy.opt.Registry.Trials(); len(all) != 0 {
		t.Errorf("trials %v", all)
	}
}

// TestBlame: what naru refuses by itself, or cannot do, is not the service's fault;
// that a service cannot be reached, breaks off or is late is.
func TestBlame(t *testing.T) {
	t.Parallel()
	blamed := 0
	for why := observe.ReasonNone + 1; why < observe.Reasons; why++ {
		x := &exchange{}
		if status := why.Info().Status; x.fault(&observe.Record{Reason: why, Status: status}) == services {
			if blamed++; status < 500 {
				t.Errorf("%s (%d) is the service's fault", why, status)
			}
		}
	}
	if blamed != 15 {
		t.Errorf("%d reasons are the service's fault", blamed)
	}
	for _, why := range []observe.Reason{observe.Internal, observe.Draining, observe.NoProgram, observe.NoIdentity, observe.InvalidBackend, observe.InvalidFilter, observe.PortRemoved, observe.ClientGone, observe.PolicyDenied} {
		if x := (&exchange{}); x.fault(&observe.Record{Reason: why, Status: why.Info().Status}) != nobodys {
			t.Errorf("%s is the service's fault", why)
		}
	}
}
