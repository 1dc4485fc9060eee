package proxy

import (
	"bytes"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestLimits: what a service's limits do not let in gets 503 with Retry-After;
// a critical route goes on.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := shop(1)
	for _, s := range c.Services {
		s.Limits = &model.ServiceLimits{Requests: 2}
	}
	critical := *c.Routes[0]
	critical.Name, critical.Priority = "critical", model.PriorityCritical
	critical.Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/pay"}}
	c.Routes = append(c.Routes, &critical)
	w.apply(c)
	w.get("/")
	w.get("/")
	s := w.get("/")
	w.expect(s, 503, "", observe.Overloaded)
	if !bytes.Contains(s.head, []byte("Retry-After: 1")) {
		t.Errorf("the answer's fields are %q", s.head)
	}
	pay := w.get("/pay")
	w.conn(-1).respond(200, "paid", true)
	w.expect(pay, 200, "paid", observe.ReasonNone)
	for _, c := range w.codec.conns {
		if c.x != nil {
			c.respond(200, "", true)
		}
	}
	s = w.get("/")
	w.busy().respond(200, "again", true)
	w.expect(s, 200, "again", observe.ReasonNone)
	w.settled(5)
}
