package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// shopKind is a kind of request to the shop.
type shopKind struct {
	name, method, path, body string
	status                   int
	says                     string // in a good answer
	// twice: it may be asked again, and what it needs has several instances.
	twice bool
}

var shopKinds = []*shopKind{
	{name: "catalog", method: "GET", path: "/api/catalog/items", status: 200, says: "ferry", twice: true},
	{name: "page", method: "GET", path: "/", status: 200, says: "ferry", twice: true}, // for which storefront asks catalog
	{name: "list", method: "GET", path: "/api/orders", status: 200, says: "[", twice: true},
	{name: "order", method: "POST", path: "/api/orders", body: `{"item":"lantern","quantity":1}`, status: 201, says: "receipt"},
}

// lapse is a request that was not answered well.
type lapse struct {
	began, ended time.Duration // since the shop's begin
	what         string
}

// shopLoad asks for one thing steadily.
type shopLoad struct {
	*shopKind
	done    atomic.Int64
	stopped chan struct{}
	workers sync.WaitGroup
	once    sync.Once

	mu     sync.Mutex
	lapses []lapse
}

// ask starts workers of which each asks so often, whatever the answers do: who
// waits long asks at once, but no more than that.
func (s *killShop) ask(k *shopKind, workers int, every time.Duration) *shopLoad {
	l := &shopLoad{shopKind: k, stopped: make(chan struct{})}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return s.m.plane.dial("127.0.0.1:8080") },
	}}
	for range workers {
		l.workers.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-l.stopped:
					return
				case <-tick.C:
				}
				began := s.now()
				if what := l.one(client); what != "" {
					l.mu.Lock()
					l.lapses = append(l.lapses, lapse{began, s.now(), what})
					l.mu.Unlock()
				}
				l.done.Add(1)
			}
		})
	}
	s.t.Cleanup(func() { l.stop(); client.CloseIdleConnections() })
	return l
}

func (l *shopLoad) stop() {
	l.once.Do(func() { close(l.stopped) })
	l.workers.Wait()
}

// one asks once: "" is well.
func (l *shopLoad) one(client *http.Client) string {
	req, err := http.NewRequest(l.method, "http://shop:8080"+l.path, strings.NewReader(l.body))
	if err != nil {
		return err.Error()
	}
	if l.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return fmt.Sprintf("%d, cut off: %v", res.StatusCode, err)
	case res.StatusCode != l.status:
		var problem struct{ Type, Detail string }
		if json.Unmarshal(text, &problem) == nil && problem.Type != "" {
			return fmt.Sprintf("%d %s", res.StatusCode, strings.TrimPrefix(problem.Type, "urn:naru:reason:"))
		}
		return fmt.Sprintf("%d %s", res.StatusCode, bytes.TrimSpace(text))
	case !bytes.Contains(text, []byte(l.says)):
		return fmt.Sprintf("%d without %q", res.StatusCode, l.says)
	}
	return ""
}

// more waits until n more requests of each kind are done.
func (s *killShop) more(n int64) {
	s.t.Helper()
	for _, l := range s.loads {
		goal := l.done.Load() + n
		eventually(s.t, fmt.Sprintf("%d more requests are done", n), func() bool { return l.done.Load() >= goal })
	}
}

// well waits until all is as it should be: nothing fails any more, and no
// instance is spared.
func (s *killShop) well() {
	s.t.Helper()
	failed := func() (n int) {
		for _, l := range s.loads {
			l.mu.Lock()
			n += len(l.lapses)
			l.mu.Unlock()
		}
		return n
	}
	eventually(s.t, "no request fails", func() bool {
		before := failed()
		s.more(20)
		return failed() == before
	})
	for _, p := range []*running{s.run, s.m.nodes[secondNode]} {
		eventually(s.t, "no instance is ejected", func() bool { return p.value("naru_service_endpoint_ejected") == 0 })
	}
}

// report says what has failed, when and why, and what may not be.
func (s *killShop) report() {
	t := s.t
	t.Helper()
	for _, f := range s.faults {
		t.Logf("%7.2f to %7.2f s: %s", f.began.Seconds(), f.done.Seconds(), f.what)
	}
	var twice, lost int64
	for _, l := range s.loads {
		why := map[string]int{}
		seconds := map[int]int{}
		for _, f := range l.lapses {
			why[f.what]++
			seconds[int(f.ended.Seconds())]++
			if !s.during(f) {
				t.Errorf("%s at %.2f to %.2f s, when nothing was wrong: %s", l.name, f.began.Seconds(), f.ended.Seconds(), f.what)
			}
			if l.twice || len(why) < 50 {
				t.Logf("%s at %.2f to %.2f s: %s", l.name, f.began.Seconds(), f.ended.Seconds(), f.what)
			}
		}
		t.Logf("%-8s %d of %d failed", l.name, len(l.lapses), l.done.Load())
		for _, w := range slices.Sorted(maps.Keys(why)) {
			t.Logf("         %5d times %s", why[w], w)
		}
		for _, at := range slices.Sorted(maps.Keys(seconds)) {
			t.Logf("         %5d in second %d", seconds[at], at)
		}
		if l.twice {
			twice, lost = twice+l.done.Load(), lost+int64(len(l.lapses))
		}
	}
	t.Logf("%d faults in %.0f s; of %d requests that may be asked twice %d failed", len(s.faults), s.now().Seconds(), twice, lost)
	if lost*1000 > twice {
		t.Errorf("that is too many")
	}
}

// noticing is for how long after a fault its last failures are answered.
const noticing = 2 * time.Second

// during says whether something was wrong while a request was under way that
// failed.
func (s *killShop) during(f lapse) bool {
	return slices.ContainsFunc(s.faults, func(x *fault) bool { return f.ended >= x.began && f.began <= x.done+noticing })
}

// settled sees that nothing is left of the requests.
func (s *killShop) settled() {
	s.t.Helper()
	for _, p := range []*running{s.run, s.m.nodes[secondNode]} {
		for _, gauge := range []string{"naru_requests_active", "naru_service_requests_active", "naru_listener_requests_active", "naru_service_pending", "naru_loop_buffered_bytes", "naru_overload_level"} {
			eventually(s.t, gauge+" is nothing again", func() bool { return p.value(gauge) == 0 })
		}
	}
}

// weight is what a proxy needs.
type weight struct {
	memory float64 // MiB
	files  int
}

func (s *killShop) weight() (all []weight) {
	for _, p := range []*running{s.run, s.m.nodes[secondNode]} {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, weight{p.resident(), len(files)})
	}
	return all
}

// bounded sees that the proxies have not grown by what has happened.
func (s *killShop) bounded(before []weight) {
	s.t.Helper()
	for i, name := range []string{"the gateway", "the second node"} {
		var now weight
		eventually(s.t, name+" is as it was", func() bool {
			now = s.weight()[i]
			return now.memory <= before[i].memory+48 && now.files <= before[i].files+16
		})
		s.t.Logf("%s: %.0f MiB and %d descriptors, before %.0f MiB and %d", name, now.memory, now.files, before[i].memory, before[i].files)
	}
}
