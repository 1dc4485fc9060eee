package upstream

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// instance is a real server whose health the test decides.
type instance struct {
	*httptest.Server
	status atomic.Int32
	seen   chan *http.Request // the latest requests, as many as fit
}

func newInstance(t *testing.T, secure bool) *instance {
	i := &instance{seen: make(chan *http.Request, 1)}
	i.status.Store(200)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case i.seen <- r:
		default:
		}
		if i.status.Load() == 302 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(int(i.status.Load()))
	})
	if secure {
		i.Server = httptest.NewUnstartedServer(h)
		i.Config.ErrorLog = log.New(io.Discard, "", 0)
		i.StartTLS()
	} else {
		i.Server = httptest.NewServer(h)
	}
	t.Cleanup(i.Close)
	return i
}

func (i *instance) addr() netip.AddrPort {
	return netip.MustParseAddrPort(i.Listener.Addr().String())
}

// checked makes a Service of instances, with quick checks.
func checked(h model.HealthCheck, instances ...*instance) *model.Service {
	h.Interval = 2 * time.Millisecond
	s := &model.Service{Name: "a", Health: &h}
	for _, i := range instances {
		s.Endpoints = append(s.Endpoints, &model.Endpoint{Host: i.addr().Addr().String(), Port: i.addr().Port()})
	}
	return s
}

// logged waits for a line that begins so.
func (w *world) logged(prefix string) string {
	w.t.Helper()
	for line := range w.log.lines {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}

// planned are the addresses that may be chosen.
func (w *world) planned() map[netip.AddrPort]bool {
	m := map[netip.AddrPort]bool{}
	for _, r := range w.cluster("a").plan.Load().tiers[0].rows.all() {
		m[r.ep.Addr()] = true
	}
	return m
}

func TestUnhealthyEndpointIsNotChosenUntilItRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one, two := newInstance(t, false), newInstance(t, false)
	w.apply(checked(model.HealthCheck{Path: "/healthz?full=1"}, one, two))
	r := <-one.seen
	if r.Method != "GET" || r.URL.String() != "/healthz?full=1" || r.Host != one.addr().String() || r.UserAgent() != "naru-health" || r.ProtoMinor != 1 {
		t.Errorf("asked %s %s %s of %s by %s", r.Method, r.URL, r.Proto, r.Host, r.UserAgent())
	}
	one.status.Store(503)
	if line := w.logged("endpoint is unhealthy"); !strings.HasSuffix(line, "error=status 503") {
		t.Errorf("log %q", line)
	}
	if p := w.planned(); len(p) != 1 || !p[two.addr()] {
		t.Errorf("planned %v", p)
	}
	for _, e := range w.stats("a").Endpoints {
		ails := ""
		if e.Addr == one.addr() {
			ails = "status 503"
		}
		if e.Healthy != (e.Addr == two.addr()) || e.Ails != ails {
			t.Errorf("stats say of %s: healthy %v, ails %q, want %q", e.Addr, e.Healthy, e.Ails, ails)
		}
	}
	// When all are unhealthy, all are used.
	two.status.Store(500)
	w.logged("endpoint is unhealthy")
	if p := w.planned(); len(p) != 2 {
		t.Errorf("planned %v while all are unhealthy", p)
	}
	one.status.Store(302) // a redirect is an answer, and not followed
	w.logged("endpoint is healthy")
	if p := w.planned(); len(p) != 1 || !p[one.addr()] {
		t.Errorf("planned %v after recovery", p)
	}
}

// TestLastCheckErrorIsTold: the newest, also while the state stays what it is, and
// none where there are no checks any more.
func TestLastCheckErrorIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one := newInstance(t, false)
	one.status.Store(500)
	svc := checked(model.HealthCheck{Healthy: 1 << 30, Unhealthy: 1 << 30}, one)
	w.apply(svc)
	says := func(ails string) {
		t.Helper()
		for {
			<-one.seen // a check more
			if st := w.stats("a").Endpoints[0]; st.Ails == ails {
				if !st.Healthy {
					t.Error("it is unhealthy before it has failed often enough")
				}
				return
			}
			if t.Context().Err() != nil {
				t.Fatalf("it never ails of %q", ails)
			}
		}
	}
	says("status 500")
	one.status.Store(418)
	says("status 418")
	one.status.Store(200)
	says("")
	one.status.Store(500)
	says("status 500")
	without := *svc
	without.Health = nil
	w.apply(&without)
	if st := w.stats("a").Endpoints[0]; st.Ails != "" {
		t.Errorf("without checks it ails of %q", st.Ails)
	}
}

func TestHealthDefaults(t *testing.T) {
	t.Parallel()
	s := service("a", 1)
	s.Health = &model.HealthCheck{Path: "up"}
	ep := &Endpoint{host: "db.example", addr: netip.MustParseAddrPort("10.0.0.1:5000")}
	k := newCheck(nil, ep, s)
	want := model.HealthCheck{Path: "/up", Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3, MinStatus: 200, MaxStatus: 399}
	if k.cfg != want || k.host != "db.example:5000" {
		t.Errorf("check %+v of %s", k.cfg, k.host)
	}
	s.Host = "public.example"
	if k := newCheck(nil, ep, s); k.host != "public.example" {
		t.Errorf("host %s, want the one that requests carry", k.host)
	}
	s.Health.Host = "health.example"
	if k := newCheck(nil, ep, s); k.host != "health.example" {
		t.Errorf("host %s, want the check's own", k.host)
	}
}

func TestHealthTimesOutAndIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	hold := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(hold)
	dead := newInstance(t, false)
	dead.Close()
	w.apply(checked(model.HealthCheck{Timeout: 20 * time.Millisecond, Unhealthy: 1}, &instance{Server: slow}))
	if line := w.logged("endpoint is unhealthy"); !strings.HasSuffix(line, "error=no answer within 20ms") {
		t.Errorf("log %q", line)
	}
	w.apply(checked(model.HealthCheck{Unhealthy: 1}, dead))
	if line := w.logged("endpoint is unhealthy"); !strings.Contains(line, "connection refused") {
		t.Errorf("log %q", line)
	}
}

func TestHealthBelievesTheConfiguredTrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one := newInstance(t, true)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Certificate().Raw})
	s := func(tls model.BackendTLS) *model.Service {
		s := checked(model.HealthCheck{Healthy: 1, Unhealthy: 1, Timeout: time.Minute}, one)
		s.TLS = &tls
		return s
	}
	w.apply(s(model.BackendTLS{})) // the system does not know this CA
	if line := w.logged("endpoint is unhealthy"); !strings.Contains(line, "certificate") {
		t.Errorf("log %q", line)
	}
	for _, good := range []model.BackendTLS{{CA: ca}, {CA: ca, ServerName: "example.com"}, {CA: ca, ServerName: "sni.test", Names: []string{"example.com"}}, {Insecure: true}} {
		w.apply(s(good))
		<-one.seen
		<-one.seen // answered once at least
		if !w.stats("a").Endpoints[0].Healthy {
			t.Errorf("unhealthy with %+v", good)
		}
	}
	w.apply(s(model.BackendTLS{CA: ca, ServerName: "other.test"}))
	if line := w.logged("endpoint is unhealthy"); !strings.Contains(line, "other.test") {
		t.Errorf("log %q", line)
	}
	w.apply(s(model.BackendTLS{CA: []byte("nonsense")}))
	if line := w.logged("endpoint is unhealthy"); !strings.Contains(line, "no CERTIFICATE") {
		t.Errorf("log %q", line)
	}
}

func TestHealthIsKeptWhileChecksChangeAndForgottenWithThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one := newInstance(t, false)
	one.status.Store(500)
	w.apply(checked(model.HealthCheck{}, one))
	w.logged("endpoint is unhealthy")
	w.apply(checked(model.HealthCheck{Path: "/other"}, one))
	if w.stats("a").Endpoints[0].Healthy {
		t.Error("another check made the endpoint healthy")
	}
	for r := range one.seen {
		if r.URL.Path == "/other" {
			break
		}
	}
	plain := checked(model.HealthCheck{}, one)
	plain.Health = nil
	w.apply(plain)
	if !w.stats("a").Endpoints[0].Healthy {
		t.Error("without a check the endpoint is unhealthy")
	}
	w.apply(checked(model.HealthCheck{Unhealthy: 1}, one))
	w.logged("endpoint is unhealthy")
}

func TestHealthIsCheckedFromCommitOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	one := newInstance(t, false)
	ch, _ := w.set.Prepare([]*model.Service{checked(model.HealthCheck{}, one)})
	if m := ch.Cluster("a").members; m[0].ep.endCheck != nil {
		t.Error("a change that is not in force checks health")
	}
	ch.Commit()
	<-one.seen
	w.set.Retire(w.apply()...)
}

// TestLongInterval: an interval that is longer than any is a day, and not nothing.
func TestLongInterval(t *testing.T) {
	t.Parallel()
	svc := service("a", 1)
	svc.Health = &model.HealthCheck{Interval: 1 << 62, Timeout: 1 << 62}
	k := newCheck(nil, &Endpoint{}, svc)
	if d := k.pause(false); d < 20*time.Hour || d > 27*time.Hour {
		t.Errorf("the next question is after %v", d)
	}
}
