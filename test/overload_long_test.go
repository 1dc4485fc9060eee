package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asked is a request of the crowd.
type asked struct {
	due, took time.Duration // since the crowd began
	critical  bool
	failed    string // "" is well
}

// crowd asks at a rate whatever the answers do, over kept connections, and leaves
// after a second.
type crowd struct {
	addr  string
	began time.Time
	mu    sync.Mutex
	free  []net.Conn
	all   []asked
	wait  sync.WaitGroup
	n     int
}

const crowdPatience = time.Second

// run asks until the time since the crowd began.
func (c *crowd) run(rate float64, until time.Duration) {
	began := time.Since(c.began)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		due := began + time.Duration(float64(i)/rate*float64(time.Second))
		if due >= until {
			return
		}
		for time.Since(c.began) < due {
			<-tick.C
		}
		c.n++
		critical := c.n%20 == 0
		c.wait.Go(func() { c.one(due, critical) })
	}
}

func (c *crowd) one(due time.Duration, critical bool) {
	a := asked{due: due, critical: critical}
	path := "/work"
	if critical {
		path = "/critical"
	}
	a.failed = c.ask(path, due)
	a.took = time.Since(c.began) - due
	c.mu.Lock()
	c.all = append(c.all, a)
	c.mu.Unlock()
}

func (c *crowd) ask(path string, due time.Duration) (failed string) {
	c.mu.Lock()
	var conn net.Conn
	if n := len(c.free); n > 0 {
		conn, c.free = c.free[n-1], c.free[:n-1]
	}
	c.mu.Unlock()
	limit := c.began.Add(due + crowdPatience)
	if conn == nil {
		var err error
		if conn, err = (&net.Dialer{Deadline: limit}).Dial("tcp", c.addr); err != nil {
			return "not connected"
		}
	}
	_ = conn.SetDeadline(limit)
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		conn.Close()
		return "not sent"
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
	}
	if err != nil || res.Close {
		conn.Close()
	}
	if err != nil {
		return "no end in time"
	}
	if !res.Close {
		c.mu.Lock()
		c.free = append(c.free, conn)
		c.mu.Unlock()
	}
	if res.StatusCode != 200 {
		return fmt.Sprint(res.StatusCode)
	}
	return ""
}

// slowDown gives a process a share of its time, as cpulimit(1) does, until the
// function that it gives is called.
func slowDown(g *gateway, of int) func() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer g.signal(syscall.SIGCONT)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			switch i % of {
			case 0:
				g.signal(syscall.SIGCONT)
			case 1:
				g.signal(syscall.SIGSTOP)
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-done })
}

// TestLongOverload: three times what the gateway itself can do, for ten seconds,
// 5% of it critical. It has a sixteenth of a processor, so that the load and the
// service have enough; responses are large, so that refusing is cheap beside
// serving: docs/explanation/overload.md says why that must be.
func TestLongOverload(t *testing.T) {
	if !*long {
		t.Skip("takes half a minute of the whole machine; -long runs it")
	}
	const size = 512 << 10
	piece := make([]byte, size)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(piece)
	})
	g := prepare(t, fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: a}\n- {match: /critical, to: a, priority: critical}\nservices:\n  a: [%q]\n", up.addr))
	g.run("run", g.file, "--loops", "1")
	resume := slowDown(g, 16)
	t.Cleanup(resume)

	// What it can do: as many as ask one after another.
	const measuring = 3 * time.Second
	c := &crowd{addr: g.addr, began: time.Now()}
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for time.Since(c.began) < measuring {
				c.one(time.Since(c.began), false)
			}
		})
	}
	workers.Wait()
	capacity := float64(len(c.all)) / measuring.Seconds()
	if i := slices.IndexFunc(c.all, func(a asked) bool { return a.failed != "" }); i >= 0 {
		t.Fatalf("while measuring: %+v", c.all[i])
	}
	c.all, c.began = nil, time.Now()
	const from, to, end = 2 * time.Second, 12 * time.Second, 22 * time.Second
	c.run(capacity/2, from)
	most := 0.0
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-watching:
				return
			case <-tick.C:
				res, err := http.Get(g.admin + "/metrics")
				if err != nil {
					continue
				}
				if m, err := readMetrics(res.Body); err == nil {
					most = max(most, m.value("process_resident_memory_bytes"))
					t.Logf("%.1f s: level %v, delay %.3f s, %.0f MiB, %v open", time.Since(c.began).Seconds(), m.value("naru_overload_level"), m.value("naru_loop_queue_delay_seconds"), m.value("process_resident_memory_bytes")/(1<<20), m.value("naru_listener_connections"))
				}
				res.Body.Close()
			}
		}
	}()
	c.run(3*capacity, to)
	c.run(capacity/2, end)
	c.wait.Wait()
	close(watching)
	<-watched

	var good, critical, criticalGood int
	var recovered time.Duration
	why := map[string]int{}
	var took []time.Duration
	for _, a := range c.all {
		switch {
		case a.due >= to && a.failed != "":
			recovered = max(recovered, a.due-to)
		case a.due < from || a.due >= to:
		default:
			if a.critical {
				critical++
			}
			if a.failed != "" {
				why[a.failed]++
				continue
			}
			good++
			took = append(took, a.took)
			if a.critical {
				criticalGood++
			}
		}
	}
	slices.Sort(took)
	goodput := float64(good) / (capacity * (to - from).Seconds())
	share := float64(criticalGood) / float64(critical)
	t.Logf("capacity %.0f/s, goodput %.3f, critical %.4f (%d of %d), 99%% of the good within %v, the last failure %v after the load, %.0f MiB at most, refused %v",
		capacity, goodput, share, criticalGood, critical, took[len(took)*99/100].Round(time.Millisecond), recovered, most/(1<<20), why)
	if goodput < 0.9 || share < 0.999 || recovered > 5*time.Second || most > 300<<20 {
		t.Error("that is not enough")
	}
	resume()
	if text := g.errs.text(); !strings.Contains(text, "the proxy is overloaded") || !strings.Contains(text, "the proxy is not overloaded any more") {
		t.Errorf("the log says\n%s", text)
	}
}
