package test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// TestBulkheads: a service that nobody can connect to, with more requests for it
// than naru can open files, takes a bounded part of files and memory, without a
// word of configuration, and those for another service go on.
func TestBulkheads(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") })
	g := prepare(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /hole, to: hole}\n- {match: /, to: fine}\n"+
		"services:\n  hole: {endpoints: '127.0.0.1:%d', connect: 10m}\n  fine: {endpoints: '%s'}\n", blackHole(t), up.addr))
	g.files = 512 // 128 requests may wait for a service, 32 of them for a connection
	g.run("run", g.file)
	const clients, connecting = 300, 32
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	var refused, other atomic.Int32
	body := bytes.Repeat([]byte("x"), 300<<10)
	for range clients {
		group.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+g.addr+"/hole", bytes.NewReader(body))
			res, err := client.Do(req)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				res.Body.Close()
			}
			if err != nil || res.StatusCode == 503 { // it may be told while it sends
				refused.Add(1)
			} else {
				other.Add(1)
			}
		})
	}
	fine := func() {
		t.Helper()
		for range 20 {
			g.ask("GET", "/").is(t, 200, "fine")
		}
	}
	fine()
	eventually(t, "all but those that wait for a connection are refused", func() bool { return refused.Load() == clients-connecting })
	fine()
	g.counted(clients-connecting, "naru_refused_total", "reason", "overloaded")
	m := g.metrics()
	if got := m.value("naru_service_connections", "service", "hole"); got != connecting {
		t.Errorf("%v connections to where there are none, want %d", got, connecting)
	}
	if got := m.value("naru_service_pending", "service", "hole"); got != connecting {
		t.Errorf("%v requests wait, want %d", got, connecting)
	}
	if got := m.value("naru_service_limited_total", "service", "hole", "limit", "pending"); got != clients-connecting {
		t.Errorf("%v were refused, want %d", got, clients-connecting)
	}
	if other.Load() != 0 {
		t.Errorf("%d other answers", other.Load())
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.proc.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if len(open) > 2*connecting+60 { // a client and a connection each, and what naru has itself
		t.Errorf("%d files are open", len(open))
	}
	if raceDetector {
		return // it needs memory of its own
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.proc.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if hit := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text); hit != nil {
		kB, _ := strconv.Atoi(string(hit[1]))
		t.Logf("the most memory that was in use: %d MiB, %d files", kB>>10, len(open))
		if kB>>10 > 200 {
			t.Errorf("%d MiB were in use", kB>>10)
		}
	}
}

// TestConnectionLimit: on all loops together no more connections are open to a
// service than it allows, and who waits for one gets it, also from another loop.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	var running, most, served atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		for range 20 { // so that others come meanwhile
			runtime.Gosched()
		}
		served.Add(1)
		running.Add(-1)
		fmt.Fprint(w, "ok")
	})
	const limit = 3
	g := start(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: a}\nservices:\n  a: {endpoints: '%s', limits: {connections: %d, wait: 60s}}\n", up.addr, limit))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			c := g.dial()
			for range 15 {
				c.get("/").is(t, 200, "ok")
			}
		})
	}
	group.Wait()
	// A connection carries one request at a time. Of those that are open the service
	// may see more, as it hears of an end later.
	if most.Load() > limit || served.Load() != 300 {
		t.Errorf("%d requests at once on %d connections; %d of 300", most.Load(), limit, served.Load())
	}
	m := g.metrics()
	if got := m.value("naru_service_connections", "service", "a"); got > limit {
		t.Errorf("%v connections are open", got)
	}
	if m.value("naru_service_waited_total", "service", "a") == 0 {
		t.Error("nobody had to wait")
	}
}
