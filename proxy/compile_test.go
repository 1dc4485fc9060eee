package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

func TestWhatDidNotChangeIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := func(change ...func(*model.Route)) *model.Config {
		c := shop(1, change...)
		c.Routes = append(c.Routes, &model.Route{
			Name: "s", Parents: []string{"l", "k"}, Backends: []model.Backend{{Service: "m", Weight: 1}},
			Matches: []model.Match{{PathKind: model.PathPrefix, Path: "/s"}},
		})
		c.Listeners = append(c.Listeners, &model.Listener{Name: "k", Port: 9090, Protocol: model.HTTP})
		return c
	}
	find := func(name string) *rule {
		for _, r := range w.proxy.Program().rules {
			if r.noun.Name == name {
				return r
			}
		}
		t.Fatalf("no rule %s", name)
		return nil
	}
	w.apply(config())
	first := w.proxy.Program()
	r, s := find("r"), find("s")

	c := config()
	c.Settings.AccessLog = "json"
	w.apply(c)
	if p := w.proxy.Program(); p == first || find("r") != r || find("s") != s || p.byName["l"].table != first.byName["l"].table {
		t.Error("nothing changed, and something was built anew")
	}

	w.apply(config(retries(1)))
	p := w.proxy.Program()
	if find("r") == r || find("s") != s {
		t.Error("only the rule that changed should be new")
	}
	if p.byName["l"].table == first.byName["l"].table || p.byName["k"].table != first.byName["k"].table {
		t.Error("only the table of the listener with that rule should be new")
	}

	// A rule whose service came is compiled again; one whose service only
	// changed its endpoints is not.
	c = config()
	c.Services = c.Services[:1]
	w.apply(c)
	if s = find("s"); s.backends[0].cluster != nil {
		t.Error("the rule leads to a service that is gone")
	}
	c = config()
	c.Services[0].Endpoints[0].Port = 81
	w.apply(c)
	if find("s").backends[0].cluster == nil || find("s") == s {
		t.Error("the rule does not lead to the service that came")
	}
	r = find("r")
	w.apply(config())
	if find("r") != r {
		t.Error("the rule was built anew for other endpoints")
	}
	c = config()
	c.Services[0].Host = "other.example"
	w.apply(c)
	if find("r") == r || find("r").backends[0].host != "other.example" {
		t.Error("the service's host is the one from before")
	}
}

func TestProblemsAreToldEachTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := func(log string) *model.Config {
		c := shop(1, filters(does(0, "fail")))
		c.Settings.AccessLog = log
		c.Routes = append(c.Routes, &model.Route{Name: "b", Parents: []string{"l"}, Backends: []model.Backend{
			{Service: "a", Weight: 1, Filters: []model.Filter{does(0, "fail")}}}})
		c.Listeners = append(c.Listeners, &model.Listener{Name: "other", Port: 8080, Protocol: model.HTTP,
			Hostname: "x.example", Limits: model.Limits{Fields: 7}})
		return c
	}
	for _, log := range []string{"json", "text"} {
		w.apply(config(log))
		var all []string
		for _, p := range w.proxy.Program().Problems {
			all = append(all, p.String())
		}
		got := strings.Join(all, "\n")
		if len(all) != 3 || strings.Count(got, "cannot be built") != 2 || !strings.Contains(got, "the limits of listener other are not used") {
			t.Errorf("%s: %s", log, got)
		}
	}
}

func TestDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	c := &compiler{loops: 1, prog: &Program{}}
	times := func(request, try time.Duration) *rule {
		return c.rule(&model.Route{Timeouts: model.Timeouts{Request: request, Backend: try}}, nil)
	}
	for _, x := range []struct{ request, try, wantRequest, wantTry time.Duration }{
		{0, 0, 0, model.DefaultBackendTimeout},
		{time.Second, 0, time.Second, model.DefaultBackendTimeout},
		{10 * time.Minute, 0, 10 * time.Minute, 10 * time.Minute},
		{-1, 0, 0, model.DefaultBackendTimeout},
		{-1, -1, 0, 0},
		{time.Second, time.Minute, time.Second, time.Minute},
		{1000 * time.Hour, 1000 * time.Hour, longest, longest},
	} {
		if r := times(x.request, x.try); r.request != x.wantRequest || r.try != x.wantTry {
			t.Errorf("%v, %v: %v, %v", x.request, x.try, r.request, r.try)
		}
	}
	r := compileRetry(&model.Retry{Attempts: 99, Codes: []int{500, 639, 640, -1, 0, 9999}, Backoff: 1000 * time.Hour})
	if r.attempts != 10 || !r.answered(500) || !r.answered(639) || r.answered(640) || r.answered(-1) || r.answered(0) || r.answered(502) || r.backoff > longest/10 {
		t.Errorf("retry: %+v", r)
	}
	if r := compileRetry(&model.Retry{}); r.backoff != model.DefaultBackoff {
		t.Errorf("back-off %v", r.backoff)
	}
	lim, conns := limitsOf(&model.Limits{Idle: 1000 * time.Hour, Connections: -1, BodyBytes: 5})
	if lim.Idle != longest || conns != 0 || lim.BodyBytes != 5 || lim.Head != model.DefaultLimits.Head {
		t.Errorf("limits: %+v, %d", lim, conns)
	}
}

// Listeners with the same hostname and routes share a table; another hostname
// needs its own.
func TestTwinsShareATable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := doors("1000", "https:2000:good", "3000")
	c.Listeners[2].Hostname = "a.example"
	w.apply(c)
	by := w.proxy.Program().byName
	plain, secure, other := by["1000"], by["https:2000:good"], by["3000"]
	if plain.table != secure.table {
		t.Error("two listeners with the same routes have a table each")
	}
	if plain.scheme != "http" || secure.scheme != "https" {
		t.Errorf("schemes %s and %s", plain.scheme, secure.scheme)
	}
	if plain.table == other.table {
		t.Error("a listener for one host has the table for all hosts")
	}
	for i, l := range []*listener{plain, secure, other} {
		if len(l.rules) != len(c.Routes) {
			t.Errorf("listener %d has %d rules, want %d", i, len(l.rules), len(c.Routes))
		}
	}
}
