package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asked is a request of the crowd.
type asked struct {
	due, sent, took time.Duration // since the crowd began; sent is how long after that it was
	critical        bool
	failed          string // "" is well
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
	a.sent, a.failed = c.ask(path, due)
	a.took = time.Since(c.began) - due
	c.mu.Lock()
	c.all = append(c.all, a)
	c.mu.Unlock()
}

func (c *crowd) ask(path string, due time.Duration) (sent time.Duration, failed string) {
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
			return time.Since(c.began) - due, "not connected"
		}
	}
	_ = conn.SetDeadline(limit)
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		conn.Close()
		return time.Since(c.began) - due, "not sent"
	}
	sent = time.Since(c.began) - due
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
	}
	if err != nil || res.Close {
		conn.Close()
	}
	if err != nil {
		return sent, "no end in time"
	}
	if !res.Close {
		c.mu.Lock()
		c.free = append(c.free, conn)
		c.mu.Unlock()
	}
	if res.StatusCode != 200 {
		return sent, fmt.Sprint(res.StatusCode)
	}
	return sent, ""
}

// slowDown gives a process a share of a processor's time until the function that it
// gives is called: by a quota (cgroups) where there may be one, otherwise as
// cpulimit(1) does. The quota holds whatever else the machine does.
func slowDown(t *testing.T, g *gateway, of int) func() {
	t.Helper()
	pid := fmt.Sprint(g.proc.Process.Pid)
	const period = 16000 // microseconds
	for _, c := range []struct {
		mount string
		files [][2]string
	}{
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", fmt.Sprint(period)}, {"cpu.cfs_quota_us", fmt.Sprint(period / of)}, {"cpu.shares", "262144"}}},
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", fmt.Sprint(period/of, " ", period)}, {"cpu.weight", "10000"}}},
	} {
		group := filepath.Join(c.mount, "naru-test-"+pid)
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		ok := true
		for _, f := range append(c.files, [2]string{"cgroup.procs", pid}) {
			// A file that is not there is not made: this is not a disk.
			ok = ok && os.WriteFile(filepath.Join(group, f[0]), []byte(f[1]), 0) == nil
		}
		back := func() {
			_ = os.WriteFile(filepath.Join(c.mount, "cgroup.procs"), []byte(pid), 0)
			_ = os.Remove(group)
		}
		if ok {
			t.Logf("slowed down by %s", group)
			return sync.OnceFunc(back)
		}
		back()
	}
	return slowDownBySignals(g, of)
}

func slowDownBySignals(g *gateway, of int) func() {
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

// second is what became of the requests of one.
type second struct {
	took           []time.Duration // by those that were well, sorted
	critical       time.Duration   // the slowest of those
	refused, other int
}

func (s *second) quantile(percent int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[len(s.took)*percent/100].Round(time.Millisecond)
}

// seconds sorts what was asked by when it was due.
func (c *crowd) seconds(end time.Duration) []second {
	all := make([]second, end/time.Second)
	for _, a := range c.all {
		k := &all[min(int(a.due/time.Second), len(all)-1)]
		switch {
		case a.failed == "":
			k.took = append(k.took, a.took)
			if a.critical {
				k.critical = max(k.critical, a.took)
			}
		case a.failed == "503":
			k.refused++
		default:
			k.other++
		}
	}
	for i := range all {
		slices.Sort(all[i].took)
	}
	return all
}

// apart gives the gateway a processor of its own, where there are two and they may
// be handed out, until the test is over: what it can do must not depend on how much
// is asked.
func apart(t *testing.T, g *gateway) {
	t.Helper()
	last := runtime.NumCPU() - 1
	if os.Getuid() != 0 || last < 1 {
		return
	}
	set := func(list string, pid int) {
		if out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", list, fmt.Sprint(pid)).CombinedOutput(); err != nil {
			t.Logf("taskset: %v: %s", err, out)
		}
	}
	set(fmt.Sprint("1-", last), os.Getpid())
	t.Cleanup(func() { set(fmt.Sprint("0-", last), os.Getpid()) })
	set("0", g.proc.Process.Pid)
}

// TestLongOverload: three times what the gateway itself can do, for ten seconds,
// 5% of it critical. It has a sixteenth of a processor, so that the load and the
// service have enough; responses are large, so that refusing is cheap beside
// serving: docs/explanation/overload.md says why that must be.
func TestLongOverload(t *testing.T) {
	if !*long {
		t.Skip("takes half a minute of the whole machine; -long runs it")
	}
	const size = 1 << 20
	piece := make([]byte, size)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(piece)
	})
	g := prepare(t, fmt.Sprintf("listen: $LISTEN\noverload: {queueDelay: 200ms} # the default\nroutes:\n- {match: /, to: a}\n- {match: /critical, to: a, priority: critical}\nservices:\n  a: [%q]\n", up.addr))
	loops = 1
	t.Cleanup(func() { loops = 2 })
	g.run("run", g.file)
	apart(t, g)
	resume := slowDown(t, g, 16)
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
	// Memory is looked at from outside: asking costs what little the gateway has.
	most := int64(0)
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-watching:
				return
			case <-tick.C:
				most = max(most, g.rss())
			}
		}
	}()
	c.run(3*capacity, to)
	c.run(capacity/2, end)
	c.wait.Wait()
	close(watching)
	<-watched

	var good, critical, criticalGood int
	var recovered, late, slowest time.Duration
	why := map[string]int{}
	var took []time.Duration
	for _, a := range c.all {
		switch {
		case a.due >= to && a.failed != "":
			recovered = max(recovered, a.due-to)
		case a.due < from || a.due >= to:
		default:
			late = max(late, a.sent)
			if a.critical {
				critical++
				slowest = max(slowest, a.took)
			}
			if a.failed != "" {
				why[a.failed]++
				if a.critical {
					t.Logf("critical: %s %v after it was due, sent after %v, %v after the load began", a.failed, a.took, a.sent, a.due-from)
				}
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
	for second, k := range c.seconds(end) {
		t.Logf("second %d: %d good, half within %v, 99%% within %v, critical within %v; %d refused, %d otherwise", second, len(k.took), k.quantile(50), k.quantile(99), k.critical, k.refused, k.other)
	}
	t.Logf("capacity %.0f/s, goodput %.3f, critical %.4f (%d of %d, the slowest took %v), 99%% of the good within %v, the last failure %v after the load, %.0f MiB at most, failed %v; we were late by %v at most",
		capacity, goodput, share, criticalGood, critical, slowest.Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), recovered, float64(most)/(1<<20), why, late.Round(time.Millisecond))
	if goodput < 0.9 || share < 0.999 || recovered > 5*time.Second || most > 300<<20 {
		t.Error("that is not enough")
	}
	resume()
	if text := g.errs.text(); !strings.Contains(text, "the proxy is overloaded") || !strings.Contains(text, "the proxy is not overloaded any more") {
		t.Errorf("the log says\n%s", text)
	}
}
