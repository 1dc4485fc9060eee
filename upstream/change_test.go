package upstream

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestUnchangedServiceKeepsItsCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 2), service("b", 1))
	a, plan := w.cluster("a"), w.cluster("a").plan.Load()
	again := service("a", 2)
	again.Origin.Line = 99 // moved in the file
	if old := w.apply(again, service("b", 3)); len(old) != 0 {
		t.Errorf("%d clusters are surplus", len(old))
	}
	if w.cluster("a") != a || a.plan.Load() != plan {
		t.Error("a service that did not change was built anew")
	}
	if a.Name() != "a" || len(a.Service().Endpoints) != 2 {
		t.Errorf("cluster %q runs %+v", a.Name(), a.Service())
	}
}

func TestPrepareDisturbsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1), service("gone", 1))
	before := w.cluster("a").plan.Load()
	ch, err := w.set.Prepare([]*model.Service{service("a", 5), service("new", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if w.cluster("a").plan.Load() != before || ch.Cluster("a") != w.cluster("a") || ch.Cluster("gone") != nil {
		t.Error("the change is in force before Commit")
	}
	if _, _, why := ch.Cluster("new").Pick(w.loops[0], &Ask{}); why != observe.ReasonNone {
		t.Errorf("a new cluster cannot be picked from: %v", why)
	}
	fresh := ch.Cluster("new")
	ch.Discard()
	ch.Discard()
	w.run()
	if got := ch.Commit(); got != nil || w.cluster("new") != nil || w.cluster("a").plan.Load() != before {
		t.Error("a discarded change can be committed")
	}
	if _, _, why := fresh.Pick(w.loops[0], &Ask{}); why != observe.NoEndpoint {
		t.Errorf("a discarded cluster gives %q", why)
	}
	if len(w.codec.conns) != 1 || w.codec.conns[0].busy > 0 {
		t.Fatalf("%d connections", len(w.codec.conns))
	}
}

func TestPrepareDiscardsTheChangeBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	first, _ := w.set.Prepare([]*model.Service{service("a", 1)})
	second, _ := w.set.Prepare([]*model.Service{service("b", 1)})
	if first.Commit(); w.cluster("a") != nil {
		t.Error("the first change is in force")
	}
	second.Commit()
	if second.Discard(); w.cluster("b") == nil || w.cluster("b").plan.Load().count != 1 {
		t.Error("the second change is not in force")
	}
}

func TestBrokenTLSKeepsWhatWorked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("old", 1))
	bad := func(name string) *model.Service {
		s := service(name, 3)
		s.TLS = &model.BackendTLS{CAFile: "missing"}
		return s
	}
	ch, err := w.set.Prepare([]*model.Service{bad("old"), bad("new"), service("good", 1)})
	if err == nil || err.Error() != "service old: missing: no such file\nservice new: missing: no such file" {
		t.Errorf("error %v", err)
	}
	ch.Commit()
	if n := w.cluster("old").plan.Load().count; n != 1 || w.cluster("old").Service().TLS != nil {
		t.Errorf("the service that worked has %d endpoints", n)
	}
	w.pick("old")
	w.pick("good")
	if _, _, why := w.cluster("new").Pick(w.loops[0], &Ask{}); why != observe.UpstreamTLS {
		t.Errorf("the new service gives %q", why)
	}
	if err := w.cluster("new").Because(observe.UpstreamTLS, NoLimit); err == nil || err.Error() != "missing: no such file" {
		t.Errorf("the new service gives it because of %v", err)
	}
	// What is still broken is told again; the file may be there by now.
	if ch, err = w.set.Prepare([]*model.Service{bad("new")}); err == nil {
		t.Error("a broken service was taken for unchanged")
	}
	ch.Discard()
	// Corrected, it works.
	w.apply(service("old", 1), service("new", 1))
	w.pick("new")
}

func TestNegativeSettingsAreNoBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 1)
	s.Connect, s.Idle = -1, -1
	w.apply(s)
	c, _ := w.pick("a")
	w.loops[0].pass(time.Hour)
	c.opened()
	c.finish()
	w.loops[0].pass(time.Hour)
	if c.ended {
		t.Error("the connection ended")
	}
	s = service("b", 1)
	s.MaxIdle = -1
	w.apply(s)
	c, _ = w.pick("b")
	c.opened()
	c.finish()
	if w.run(); !c.ended {
		t.Error("an idle connection was kept")
	}
}
