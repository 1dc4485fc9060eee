package test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// floods is how long each flood goes on; 0 is a few connections.
var floods = flag.Duration("floods", 0, "how long each flood goes on, with figures")

// attack is what one connection of a flood does.
type attack struct {
	name     string
	settings []http2.Setting
	// run goes on until the connection is cut off, which closes gone, or it has
	// done what it wanted.
	run func(f *framed, gone <-chan struct{}) error
	// What the gateway makes of it: the code of GOAWAY (0: it says none) and
	// the reason that is counted.
	code http2.ErrCode
	why  string
	// limits are of its listener, and memory is in MiB how much it may take; 0
	// is 48.
	limits string
	memory int64
}

// over repeats do until the connection is cut off. id are those of new streams.
func over(do func(f *framed, id uint32) error) func(*framed, <-chan struct{}) error {
	return func(f *framed, gone <-chan struct{}) error {
		for id := uint32(1); id < 1<<20; id += 2 {
			select {
			case <-gone:
				return nil
			default:
			}
			if err := do(f, id); err != nil {
				return err
			}
		}
		return nil
	}
}

// then waits until the gateway ends the connection.
func then(do func(f *framed) error) func(*framed, <-chan struct{}) error {
	return func(f *framed, gone <-chan struct{}) error {
		if err := do(f); err != nil {
			return err
		}
		<-gone
		return nil
	}
}

var attacks = []attack{
	{name: "rapid reset", code: http2.ErrCodeEnhanceYourCalm, why: "rapid_reset", run: over(func(f *framed, id uint32) error {
		_ = f.tryRequest(id, true, "GET", "/small")
		return f.WriteRSTStream(id, http2.ErrCodeCancel)
	})},
	{name: "resets by the gateway", code: http2.ErrCodeEnhanceYourCalm, why: "rapid_reset", run: over(func(f *framed, id uint32) error {
		_ = f.tryRequest(id, true, "GET", "/large")
		return f.WriteWindowUpdate(id, 0)
	})},
	{name: "CONTINUATION", code: http2.ErrCodeEnhanceYourCalm, why: "continuation_flood", run: func(f *framed, gone <-chan struct{}) error {
		block := bytes.Repeat(f.fields("x-a", "b"), 2000)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.fields(":method", "GET")})
		return over(func(f *framed, _ uint32) error { return f.WriteContinuation(1, false, block) })(f, gone)
	}},
	{name: "empty CONTINUATION", code: http2.ErrCodeEnhanceYourCalm, why: "continuation_flood", run: func(f *framed, gone <-chan struct{}) error {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.fields(":method", "GET")})
		return over(func(f *framed, _ uint32) error { return f.WriteContinuation(1, false, nil) })(f, gone)
	}},
	// One field of 4 kB in the table, named again by one byte: 64 MB.
	{name: "HPACK bomb", code: http2.ErrCodeEnhanceYourCalm, why: "head_too_large", run: then(func(f *framed) error {
		_ = f.tryRequest(1, true, "GET", "/small", "x-bomb", strings.Repeat("b", 3900))
		block := append(f.fields(":method", "GET", ":scheme", "http", ":path", "/small", ":authority", "test"), bytes.Repeat([]byte{0x80 | 62}, 16_000)...)
		for id := uint32(3); id < 60; id += 2 {
			if err := f.heads(id, true, block); err != nil {
				return err
			}
		}
		return nil
	})},
	{name: "HPACK table", code: http2.ErrCodeCompression, why: "bad_frame", run: then(func(f *framed) error {
		return f.heads(1, true, []byte{0x3f, 0xe1, 0xff, 0xff, 0x07})
	})},
	{name: "SETTINGS", code: http2.ErrCodeEnhanceYourCalm, why: "settings_flood", run: over(func(f *framed, id uint32) error {
		return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: id})
	})},
	{name: "PING", code: http2.ErrCodeEnhanceYourCalm, why: "ping_flood", run: over(func(f *framed, _ uint32) error {
		return f.WritePing(false, [8]byte{})
	})},
	{name: "PRIORITY", code: http2.ErrCodeEnhanceYourCalm, why: "priority_flood", run: over(func(f *framed, id uint32) error {
		return f.WritePriority(id, http2.PriorityParam{Weight: 3})
	})},
	{name: "empty DATA", code: http2.ErrCodeEnhanceYourCalm, why: "empty_frame_flood", run: func(f *framed, gone <-chan struct{}) error {
		_ = f.tryRequest(1, false, "POST", "/small")
		return over(func(f *framed, _ uint32) error { return f.WriteData(1, false, nil) })(f, gone)
	}},
	{name: "unknown frames", code: http2.ErrCodeEnhanceYourCalm, why: "empty_frame_flood", run: over(func(f *framed, _ uint32) error {
		return f.WriteRawFrame(0xbe, 0, 0, nil)
	})},
	{name: "small windows", code: http2.ErrCodeEnhanceYourCalm, why: "window_flood", run: over(func(f *framed, _ uint32) error {
		return f.WriteWindowUpdate(0, 1)
	})},
	{name: "window overflow", code: http2.ErrCodeFlowControl, why: "bad_frame", run: then(func(f *framed) error {
		return f.WriteWindowUpdate(0, 1<<31-1)
	})},
	{
		name: "zero windows", why: "write_timeout", limits: "write: 1s", memory: 128, settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}},
		run: func(f *framed, _ <-chan struct{}) error {
			for id := uint32(1); id < 200; id += 2 {
				if err := f.tryRequest(id, true, "GET", "/large"); err != nil {
					return err
				}
			}
			return f.resets(100)
		},
	},
	{name: "slow streams", why: "body_timeout", limits: "body: 1s", run: func(f *framed, _ <-chan struct{}) error {
		for id := uint32(1); id < 200; id += 2 {
			if err := f.tryRequest(id, false, "POST", "/small", "content-length", "1000"); err != nil {
				return err
			}
		}
		return f.resets(100)
	}},
	{name: "slow heads", code: http2.ErrCodeEnhanceYourCalm, why: "head_timeout", limits: "head: 1s", run: then(func(f *framed) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.fields(":method", "GET")})
	})},
}

// resets waits until n streams have ended, as counted by hear.
func (f *framed) resets(n int64) error {
	for limit := time.Now().Add(patience); f.ended.Load() < n; {
		if time.Now().After(limit) {
			return fmt.Errorf("only %d streams of %d have ended", f.ended.Load(), n)
		}
		if err := f.WriteSettingsAck(); err != nil { // nothing, to know whether it stands
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
	return nil
}

// once makes one connection of an attack. It gives the code of GOAWAY.
func (a *attack) once(t testing.TB, addr string) (code http2.ErrCode, said bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 0, false
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // leaves no port behind
		t.Error(err)
	}
	f := frame(t, conn)
	f.AllowIllegalWrites = true
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = f.WriteSettings(a.settings...)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch fr := fr.(type) {
			case *http2.GoAwayFrame:
				code, said = fr.ErrCode, true
			case *http2.RSTStreamFrame:
				f.ended.Add(1)
			case *http2.MetaHeadersFrame:
				if fr.StreamEnded() {
					f.ended.Add(1)
				}
			case *http2.DataFrame:
				if fr.StreamEnded() {
					f.ended.Add(1)
				}
			}
		}
	}()
	err = a.run(f, gone)
	if a.code == 0 {
		if err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
		conn.Close()
	}
	<-gone
	return code, said
}

func (a *attack) most() int64 {
	if a.memory > 0 {
		return a.memory << 20
	}
	return 48 << 20
}

// large is made once: were it for each request, its service would be the one
// that is slow.
var large = make([]byte, 1<<20)

// target is a gateway for the attack, and for good clients beside them.
func (a *attack) target(t testing.TB) *gateway {
	return before(t, serve(t, attacked), "limits: {"+a.limits+"}\n")
}

// attacked answers attackers.
func attacked(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/large" {
		_, _ = w.Write(large)
		return
	}
	fmt.Fprint(w, "small")
}

// TestFloods: each flood is ended with its code and counted, good clients go on
// beside it, and the memory stays bounded.
func TestFloods(t *testing.T) {
	t.Parallel()
	if *floods > 0 {
		t.Skip("TestLongFloods runs")
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			g := a.target(t)
			old, new := g.load(1, nil), g.streams(1, 5)
			old.more(20)
			new.more(20)
			rest := g.rss()
			var attackers sync.WaitGroup
			for range 4 {
				attackers.Go(func() {
					for range 3 {
						if code, said := a.once(t, g.addr); said != (a.code != 0) || code != a.code {
							t.Errorf("GOAWAY %v (said: %v), want %v", code, said, a.code)
						}
					}
				})
			}
			attackers.Wait()
			old.more(20)
			new.more(20)
			if now := g.rss(); now > rest+a.most() {
				t.Errorf("resident memory grew from %d to %d MiB", rest>>20, now>>20)
			}
			eventually(t, "12 are counted as "+a.why, func() bool { return g.metrics().refusals()[a.why] >= 12 })
			old.stop()
			new.stop()
			old.check()
			new.check()
		})
	}
}

// TestLongFloods gives the figures of good clients before and during each flood:
// the 99th percentile stays within three times that, the memory within
// its bound.
func TestLongFloods(t *testing.T) {
	if *floods == 0 {
		t.Skip("asked for with -floods")
	}
	// What is measured is the gateway: it has a processor of its own, and on the
	// others good clients and their service go before the attackers and the
	// service that these are after, which have machines of their own elsewhere.
	set := func(program string, args ...string) {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
		}
	}
	last := runtime.NumCPU() - 1
	if os.Getuid() != 0 || last < 1 {
		t.Skip("it takes two processors, and root to hand them out")
	}
	self := fmt.Sprint(os.Getpid())
	loops = 1
	set("taskset", "--all-tasks", "--cpu-list", "--pid", fmt.Sprint("1-", last), self)
	set("chrt", "--all-tasks", "--rr", "--pid", "1", self)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			victim, _ := elsewhere(t, "TestVictim", "NARU_VICTIM=true")
			addr := ""
			for lines := bufio.NewScanner(victim); addr == "" && lines.Scan(); {
				if at, ok := strings.CutPrefix(lines.Text(), "victim: "); ok {
					addr = at
				}
			}
			good := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "small") })
			g := start(t, "listen: $LISTEN\nlimits: {"+a.limits+"}\nroutes:\n- match: /good\n  to: http://"+good.addr+
				"\n- match: /\n  to: http://"+addr+"\n")
			set("chrt", "--all-tasks", "--other", "--pid", "0", fmt.Sprint(g.proc.Process.Pid))
			set("taskset", "--all-tasks", "--cpu-list", "--pid", "0", fmt.Sprint(g.proc.Process.Pid))
			calm := g.latencies(t, min(*floods, 5*time.Second))
			rest := g.rss()
			said, attacker := elsewhere(t, "TestAttacker", fmt.Sprintf("NARU_ATTACK=%s,%s,%s", a.name, g.addr, *floods))
			var peak int64
			watching := make(chan struct{})
			go func() {
				defer close(watching)
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for end := time.Now().Add(*floods); time.Now().Before(end); <-tick.C {
					peak = max(peak, g.rss())
				}
			}()
			during := g.latencies(t, *floods)
			<-watching
			out, _ := io.ReadAll(said)
			if err := attacker.Wait(); err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
			conns := 0
			for line := range strings.Lines(string(out)) {
				_, _ = fmt.Sscanf(line, "connections: %d", &conns)
			}
			t.Logf("%-22s p50 %v, p99 %v; calm p50 %v, p99 %v; %d connections cut off; %d -> %d MiB; %v", a.name,
				at(during, 50), at(during, 99), at(calm, 50), at(calm, 99), conns, rest>>20, peak>>20, g.metrics().refusals()[a.why])
			if at(during, 99) > 3*at(calm, 99) {
				t.Errorf("p99 %v, calm %v", at(during, 99), at(calm, 99))
			}
			if peak > rest+a.most() {
				t.Errorf("resident memory grew from %d to %d MiB", rest>>20, peak>>20)
			}
		})
	}
}

// elsewhere runs a test of this program in a process that everything else goes
// before. It ends with the test that asked for it.
func elsewhere(t *testing.T, name, env string) (io.Reader, *exec.Cmd) {
	// From the first thread on: a process's priority is that of one.
	c := exec.Command("chrt", "--idle", "0", os.Args[0], "-test.run", "^"+name+"$", "-test.v")
	c.Env = append(os.Environ(), env)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return out, c
}

// TestVictim is the service that attackers of TestLongFloods are after.
func TestVictim(t *testing.T) {
	if os.Getenv("NARU_VICTIM") == "" {
		t.Skip("asked for by TestLongFloods")
	}
	up := serve(t, attacked)
	fmt.Println("victim: " + up.addr)
	<-time.After(time.Hour) // the other test ends it
}

// TestAttacker is the other process of TestLongFloods.
func TestAttacker(t *testing.T) {
	what := strings.Split(os.Getenv("NARU_ATTACK"), ",")
	if len(what) != 3 {
		t.Skip("asked for by TestLongFloods")
	}
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == what[0] })
	d, err := time.ParseDuration(what[2])
	if i < 0 || err != nil {
		t.Fatalf("attack %q", what)
	}
	var conns atomic.Int64
	var attackers sync.WaitGroup
	end := time.Now().Add(d)
	for range 4 {
		attackers.Go(func() {
			for time.Now().Before(end) {
				attacks[i].once(t, what[1])
				conns.Add(1)
			}
		})
	}
	attackers.Wait()
	fmt.Printf("connections: %d\n", conns.Load())
}

// latencies asks 400 times a second, half by HTTP/1.1 and half by HTTP/2, and
// sorts how long the answers took.
func (g *gateway) latencies(t testing.TB, d time.Duration) []time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var workers sync.WaitGroup
	for n := range 4 {
		client := clientOf(t, []string{h1, h2c}[n%2])
		workers.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
				began := time.Now()
				res, err := client.Get("http://" + g.addr + "/good")
				if err != nil {
					t.Error(err)
					return
				}
				if body := whole(t, res); body != "small" {
					t.Errorf("%d %q", res.StatusCode, body)
				}
				took := time.Since(began)
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	slices.Sort(all)
	return all
}

// at gives a percentile.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*percent/100].Round(10 * time.Microsecond)
}
