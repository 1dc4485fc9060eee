package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestServiceLimits: beyond a service's limits requests are refused soon and
// counted; a critical route goes on; what has ended makes room.
func TestServiceLimits(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, r.URL.Path)
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- {match: /, to: a}\n- {match: /pay, to: a, priority: critical}\n- {match: /report, to: a, priority: low}\n"+
		"services:\n  a: {endpoints: \""+up.addr+"\", limits: {requests: 4, wait: 50ms}}\n")
	answers := make(chan int, 10)
	send := func(path string) {
		go func() {
			res, err := http.Get("http://" + g.addr + path)
			if err != nil {
				t.Error(err)
				answers <- 0
				return
			}
			res.Body.Close()
			answers <- res.StatusCode
		}()
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatalf("%s did not reach the service", path)
		}
	}
	for range 4 {
		send("/x")
	}
	for path, n := range map[string]int{"/y": 2, "/report": 1} {
		for range n {
			g.ask("GET", path).refused(t, 503, "overloaded")
		}
	}
	if v := g.ask("GET", "/y").Header.Get("Retry-After"); v != "1" {
		t.Errorf("Retry-After: %q", v)
	}
	send("/pay")
	send("/pay")
	g.ask("GET", "/pay").refused(t, 503, "overloaded")
	for priority, want := range map[string]float64{"normal": 3, "low": 1, "critical": 1} {
		g.counted(want, "naru_service_refused_total", "service", "a", "priority", priority)
	}
	if got := g.metrics().value("naru_service_limit", "service", "a"); got != 4 {
		t.Errorf("the limit is %v", got)
	}
	close(release)
	for range 6 {
		if status := <-answers; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if res := g.ask("GET", "/again"); res.StatusCode != 200 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}
