package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRetryWithoutAWord: of two instances one answers 503 or breaks off; who
// reads never sees it, also where that one says when to come back; who writes does, and
// so does who is told to come back later by both.
func TestRetryWithoutAWord(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	bad := serve(t, func(w http.ResponseWriter, r *http.Request) {
		broken.Add(1)
		switch r.URL.Path {
		case "/reset":
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
			return
		case "/later", "/all-later":
			w.Header().Set("Retry-After", "30")
		}
		w.WriteHeader(503)
	})
	good := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/all-later" {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(503)
		}
		fmt.Fprint(w, r.Method)
	})
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: both}\n- {match: /off, to: both, retry: off}\nservices:\n  both: {endpoints: [%q, %q], balance: round-robin, ejection: off}\n", bad.addr, good.addr))
	c := g.dial()
	for range 10 {
		c.get("/status").is(t, 200, "GET")
		c.get("/reset").is(t, 200, "GET")
		c.get("/later").is(t, 200, "GET")
	}
	if n := broken.Load(); n < 5 {
		t.Fatalf("only %d requests came to the instance that fails", n)
	}
	for _, ask := range []string{"POST /status", "GET /all-later", "GET /off"} {
		failed := 0
		for range 4 {
			c.send(ask + " HTTP/1.1\nHost: a\nContent-Length: 0\n\n")
			if a := c.answer(strings.Fields(ask)[0]); a.StatusCode == 503 {
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("%s was tried again", ask)
		}
	}
}

// TestRetryBudget: where everything fails, the instances get hardly more than
// the requests.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	fail := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(503)
	}
	one, two := serve(t, fail), serve(t, fail)
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: both, retry: {attempts: 10, backoff: 1ms}}\nservices:\n  both:\n    endpoints: [%q, %q]\n    retryBudget: {percent: 20, minPerSecond: 0}\n", one.addr, two.addr))
	c := g.dial()
	const requests = 100
	for range requests {
		c.get("/").is(t, 503, "")
	}
	if n := asked.Load(); n < requests || n > requests*5/4 {
		t.Errorf("%d tries of %d requests", n, requests)
	}
}

// TestHedge: of two instances one never answers; nobody waits for it, and it is
// told so.
func TestHedge(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 100)
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	good := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method) })
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: both, hedge: 5ms}\nservices:\n  both: [%q, %q]\n", slow.addr, good.addr))
	c := g.dial()
	for range 10 {
		c.get("/").is(t, 200, "GET")
	}
	m := g.metrics()
	if made := m.value("naru_service_retries_total", "service", "both", "cause", "hedge"); made < 1 || m.value("naru_service_retries_won_total", "service", "both", "cause", "hedge") < 1 {
		t.Errorf("%v hedges were made", made)
	}
	<-gone
}

// TestTimeIsPassedOn: a service is told what is left, by whoever may say so.
func TestTimeIsPassedOn(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.Header.Get("X-Request-Timeout-Ms")))
	})
	g := start(t, "listen: $LISTEN\nroutes:\n- {match: /, to: \"http://"+up.addr+"\", timeout: 9s}\n- {match: /none, to: \"http://"+up.addr+"\"}\n")
	c := g.dial()
	c.get("/").is(t, 200, "4")
	c.get("/none").is(t, 200, "0")
	c.send("GET /none HTTP/1.1\nHost: a\nX-Request-Timeout-Ms: 500\n\n")
	c.answer("GET").is(t, 200, "0")
}
