package rollout

import (
	"math"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// TestFalseAlarms: of versions that do exactly as well as the old one, and just as
// well as they must, hardly one is rolled back.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	wrong, runs := 0, 60
	for seed := range uint64(runs) {
		s := newStage(seed)
		s.rate, s.untilOver = 200, true
		s.does = [observe.Arms]behaviour{{fails: 0.005, takes: 20 * time.Millisecond}, {fails: 0.005, takes: 20 * time.Millisecond}}
		if err := s.do([]string{"spec", "wait", "10m"}); err != nil {
			t.Fatal(err)
		}
		s.run(15 * time.Minute)
		if s.engine.State().Phase == RolledBack {
			wrong++
		}
	}
	if wrong > 1 {
		t.Errorf("%d of %d good versions were rolled back", wrong, runs)
	}
}

// TestCost: how many requests of a broken version clients see before it is gone.
func TestCost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails float64
		most  int
	}{{1, 8}, {0.5, 12}, {0.1, 25}, {0.03, 60}} {
		worst := 0
		for seed := range uint64(40) {
			s := newStage(seed)
			s.rate, s.untilOver = 16, true // ticks are short beside it
			s.does[observe.Canary].fails = c.fails
			if err := s.do([]string{"spec", "steps", "50,100", "every", "1h", "min", "1"}); err != nil {
				t.Fatal(err)
			}
			s.run(2 * time.Hour)
			if p := s.engine.State().Phase; p != RolledBack {
				t.Fatalf("with %v of the requests failing, seed %d: %s", c.fails, seed, p)
			}
			worst = max(worst, s.failed[observe.Canary])
		}
		t.Logf("%v of the requests fail: %d clients at most see one", c.fails, worst)
		if worst > c.most {
			t.Errorf("%v of the requests fail, and %d had to before it was rolled back; %d may", c.fails, worst, c.most)
		}
	}
}

// TestWilson: the intervals are those of the paper's formula.
func TestWilson(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of        Tally
		low, high float64
	}{
		{Tally{0, 0}, 0, 1},
		{Tally{10, 0}, 0, 0.2775},
		{Tally{10, 5}, 0.2366, 0.7634},
		{Tally{1000, 10}, 0.0054, 0.0183},
		{Tally{8, 8}, 0.6756, 1},
	} {
		low, high := wilson(c.of, 1.96)
		if math.Abs(low-c.low) > 1e-3 || math.Abs(high-c.high) > 1e-3 {
			t.Errorf("%v: %.4f to %.4f, want %.4f to %.4f", c.of, low, high, c.low, c.high)
		}
	}
}

// TestLedger: proxies come, go and start anew; nothing counts twice.
func TestLedger(t *testing.T) {
	t.Parallel()
	l := newLedger()
	own := func(run string) bool { return run == "own" }
	report := func(source, run string, requests, failed uint64) {
		c := observe.TrialCounts{Run: run}
		c.Arms[observe.Canary] = observe.ArmCounts{Requests: requests, Failed: failed}
		c.Arms[observe.Canary].Times[3] = requests
		l.add([]Report{{Source: source, Trials: []observe.TrialCounts{c}}}, own)
	}
	see := func(run string, requests, failed uint64) {
		t.Helper()
		if c := l.of(run)[observe.Canary]; c.Requests != requests || c.Failed != failed || c.Times.Total() != requests {
			t.Errorf("%s: %d requests, %d failed, %d times; want %d and %d", run, c.Requests, c.Failed, c.Times.Total(), requests, failed)
		}
	}
	report("a", "own", 10, 1)
	report("b", "own", 5, 0)
	see("own", 15, 1)
	report("a", "own", 12, 2)
	see("own", 17, 2)
	report("a", "own", 3, 3) // started anew
	see("own", 20, 5)
	report("a", "before", 100, 50) // of what nobody has seen
	see("before", 0, 0)
	report("a", "before", 101, 51)
	see("before", 1, 1)
	// A proxy that has started anew and has counted more than before, but not in
	// each figure: nothing is less than nothing.
	l.add([]Report{{Source: "c", Trials: []observe.TrialCounts{{Run: "own", Arms: Counts{observe.Canary: {Requests: 2, Begun: 2, Headed: 2, Times: observe.Times{7: 2}}}}}}}, own)
	l.add([]Report{{Source: "c", Trials: []observe.TrialCounts{{Run: "own", Arms: Counts{observe.Canary: {Requests: 4, Begun: 9, Headed: 1, Times: observe.Times{3: 4}}}}}}}, own)
	if c := l.of("own")[observe.Canary]; c.Requests != 26 || c.Begun != 11 || c.Headed != 3 || c.Times[7] != 2 || c.Times[3] != 24 {
		t.Errorf("after a start that counted more: %d requests, %d begun, %d headed, times %v", c.Requests, c.Begun, c.Headed, c.Times)
	}
	l.keep(map[string]bool{"own": true})
	see("before", 0, 0)
	see("own", 26, 5)
	now := time.Now().Round(0)
	told := Encode(Report{Source: "life", At: now, Trials: []observe.TrialCounts{{Run: "own", Arms: *l.of("own")}}})
	if back, err := Decode("node", told); err != nil || len(back) != 1 || back[0].Source != "node/life" || back[0].Trials[0].Arms != *l.of("own") || !back[0].At.Equal(now) {
		t.Errorf("what is told to others is not what there is: %+v %v", back, err)
	}
	if Encode(Report{Source: "life"}) != nil {
		t.Error("nothing is told")
	}
	if _, err := Decode("node", []byte("nonsense")); err == nil {
		t.Error("nonsense is believed")
	}
	// What another control plane still says of a proxy that has left it is old.
	at := func(when time.Duration, n uint64) {
		c := observe.TrialCounts{Run: "own"}
		c.Arms[observe.Canary] = observe.ArmCounts{Requests: n}
		c.Arms[observe.Canary].Times[3] = n
		l.add([]Report{{Source: "moved", At: now.Add(when), Trials: []observe.TrialCounts{c}}}, own)
	}
	at(2*time.Second, 7)
	at(time.Second, 5)
	at(3*time.Second, 9)
	see("own", 35, 5)
}

// TestWaiting: who waits is counted by the clock of the proxy that says so. A report
// that is late, or never comes again, is not requests that wait.
func TestWaiting(t *testing.T) {
	t.Parallel()
	l := newLedger()
	began := time.Now()
	report := func(source string, at time.Duration, begun, headed uint64) {
		c := observe.TrialCounts{Run: "run"}
		c.Arms[observe.Canary] = observe.ArmCounts{Begun: begun, Headed: headed}
		l.add([]Report{{Source: source, At: began.Add(at), Trials: []observe.TrialCounts{c}}}, func(string) bool { return true })
	}
	see := func(longer time.Duration, want uint64) {
		t.Helper()
		if n := l.waiting("run")(longer)[observe.Canary]; n != want {
			t.Errorf("%d wait for longer than %v, want %d", n, longer, want)
		}
	}
	see(0, 0)
	report("a", 0, 100, 50) // fifty are under way, and nothing more is heard
	see(0, 50)
	see(time.Millisecond, 0)
	report("a", 0, 100, 50) // the same report again
	see(time.Millisecond, 0)
	report("a", 2*time.Second, 160, 110) // fifty others are
	see(time.Second, 0)
	report("a", 3*time.Second, 160, 110)
	see(time.Second, 50)
	see(time.Second+time.Millisecond, 0)
	report("b", time.Hour, 3, 0) // whose clock is another
	report("b", time.Hour+time.Minute, 9, 1)
	see(time.Second, 52)
	report("b", time.Hour+2*time.Minute, 2, 2) // it has started anew
	see(time.Second, 50)
}
