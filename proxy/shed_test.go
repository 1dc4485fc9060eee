package proxy

import (
	"bytes"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/overload"
)

// TestShed: what a loop's gate refuses gets 503 with Retry-After before any filter
// or service sees it; critical routes, health checks and what naru answers itself
// go on; a short memory takes the connection as well, but HTTP/2's.
func TestShed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := shop(1)
	for path, p := range map[string]model.Priority{"/pay": model.PriorityCritical, "/report": model.PriorityLow} {
		r := *c.Routes[0]
		r.Name, r.Priority, r.Matches = path, p, []model.Match{{PathKind: model.PathPrefix, Path: path}}
		c.Routes = append(c.Routes, &r)
	}
	c.Routes = append(c.Routes, &model.Route{
		Name: "nowhere", Parents: c.Routes[0].Parents, Matches: []model.Match{{PathKind: model.PathPrefix, Path: "/nowhere"}},
	})
	w.apply(c)
	gate := w.proxy.workers[0].gate
	served := func(path string) {
		t.Helper()
		s := w.get(path)
		w.busy().respond(200, "ok", true)
		w.expect(s, 200, "ok", observe.ReasonNone)
	}
	refused := func(path string, closes bool) {
		t.Helper()
		s := w.get(path)
		w.expect(s, 503, "", observe.ProxyOverloaded)
		if !bytes.Contains(s.head, []byte("Retry-After: 1")) {
			t.Errorf("the answer's fields are %q", s.head)
		}
		if w.proxy.workers[0].parting {
			t.Error("the next connection would be closed, too")
		}
	}
	served("/report")
	gate.Set(overload.RefusingLow, &overload.Shares{overload.Low: 1}, false)
	refused("/report", false)
	served("/")
	gate.Set(overload.RefusingNormal, &overload.Shares{overload.Low: 1, overload.Normal: 1}, false)
	refused("/report", false)
	refused("/", false)
	for _, path := range []string{"/pay", "/healthz", "/livez", "/readyz", "/grpc.health.v1.Health/Check"} {
		served(path)
	}
	s := w.get("/nowhere") // naru answers that itself
	w.expect(s, 500, "", observe.NoBackend)
	gate.Set(overload.RefusingCritical, &overload.Shares{1, 1, 1}, false)
	refused("/pay", false)
	refused("/healthz", false)
	if n := gate.Shed(overload.RefusingCritical, overload.Critical); n != 2 {
		t.Errorf("%d critical ones were counted", n)
	}
	gate.Set(overload.Calm, &overload.Shares{}, false)
	served("/report")
	w.settled(14)
}
