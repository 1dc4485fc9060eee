package main

import (
	"slices"
	"testing"
	"time"
)

// steady gives requests every 10 ms that take took, but for those that change
// makes different.
func steady(until, took time.Duration, change func(*sample)) []sample {
	var all []sample
	for due := time.Duration(0); due < until; due += 10 * time.Millisecond {
		s := sample{due: due, took: took, by: 1}
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	return all
}

func TestPercentileIsNearestRank(t *testing.T) {
	t.Parallel()
	var all []sample
	for i := 100; i >= 1; i-- {
		all = append(all, sample{due: time.Second, took: time.Duration(i)})
	}
	all = append(all, sample{due: 3 * time.Second, took: 1000})
	for q, want := range map[float64]time.Duration{0.01: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(all, 0, 2*time.Second, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if got := percentile(all, 5*time.Second, 6*time.Second, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := percentile(all[:1], 0, 2*time.Second, 0.99); got != 100 {
		t.Errorf("of one: %v", got)
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	const (
		fault = 2 * time.Second
		end   = 12 * time.Second
		quick = 3 * time.Millisecond
	)
	between := func(from, to time.Duration, do func(*sample)) func(*sample) {
		return func(s *sample) {
			if s.due >= fault+from && s.due < fault+to {
				do(s)
			}
		}
	}
	fail := func(s *sample) { s.failed = "reset" }
	slow := func(s *sample) { s.took = 30 * time.Millisecond }
	for name, c := range map[string]struct {
		change func(*sample)
		want   time.Duration
	}{
		"nothing happens":           {nil, 0},
		"errors for 1.05 s":         {between(0, 1050*time.Millisecond, fail), 1100 * time.Millisecond},
		"slow for 3 s":              {between(0, 3*time.Second, slow), 3 * time.Second},
		"slow, but within noise":    {between(0, 10*time.Second, func(s *sample) { s.took = 8 * time.Millisecond }), 0},
		"errors come back":          {between(time.Second, 1500*time.Millisecond, fail), 1500 * time.Millisecond},
		"slow to the end":           {between(0, 10*time.Second, slow), never},
		"less than 2 s are left":    {between(0, 8200*time.Millisecond, fail), never},
		"one error in the fifth s":  {between(4*time.Second, 4010*time.Millisecond, fail), 0},
		"errors before, then after": {func(s *sample) {}, 0},
	} {
		if got := recovery(steady(end, quick, c.change), fault, end, quick); got != c.want {
			t.Errorf("%s: normal after %v, want %v", name, got, c.want)
		}
	}
	// What was slow before may be twice as slow.
	all := steady(end, 19*time.Millisecond, nil)
	if got := recovery(all, fault, end, 10*time.Millisecond); got != 0 {
		t.Errorf("19 ms after 10 ms: %v", got)
	}
}

func TestFigureCountsFromTheFault(t *testing.T) {
	t.Parallel()
	m := moments{quiet: 0, fault: 2 * time.Second, healed: 8 * time.Second, end: 12 * time.Second, from: 2 * time.Second, there: 8 * time.Second, broken: 0}
	n := 0
	all := steady(13*time.Second, 2*time.Millisecond, func(s *sample) {
		n++
		s.post = n%10 == 0
		switch {
		case s.due < m.fault: // a failure of before is not the fault's
			s.failed = "reset"
		case s.due >= m.fault && s.due < m.fault+100*time.Millisecond:
			s.failed, s.took = "status 502", 50*time.Millisecond
		case s.due >= m.healed+500*time.Millisecond:
			s.by = 0
		}
	})
	f := figure(all, m)
	if f.Gets != 900 || f.Posts != 100 || f.GetsFailed != 9 || f.PostsFailed != 1 || f.Why["status 502"] != 10 || len(f.Why) != 1 {
		t.Errorf("%+v", f)
	}
	if f.Quiet != 2*time.Millisecond || f.During != 50*time.Millisecond || f.Recovery != 100*time.Millisecond || f.Back != 502*time.Millisecond {
		t.Errorf("quiet %v, during %v, normal after %v, back after %v", f.Quiet, f.During, f.Recovery, f.Back)
	}
}

func TestFigureOfAnOutage(t *testing.T) {
	t.Parallel()
	m := moments{fault: 2 * time.Second, healed: 5 * time.Second, end: 12 * time.Second, from: 5 * time.Second, broken: -1}
	f := figure(steady(12*time.Second, 2*time.Millisecond, func(s *sample) {
		if s.due >= m.fault && s.due < m.healed+time.Second {
			s.failed = "status 502"
		}
	}), m)
	if f.Down != 300 || f.DownFailed != 300 || f.Gets != 700 || f.GetsFailed != 100 || f.Recovery != time.Second || f.Back != never {
		t.Errorf("%+v", f)
	}
}

func TestPress(t *testing.T) {
	t.Parallel()
	from, to, end := 3*time.Second, 13*time.Second, 21*time.Second
	n := 0
	all := steady(end, 12*time.Millisecond, func(s *sample) {
		n++
		s.critical = n%20 == 0
		if s.due >= from && s.due < to+time.Second && !s.critical {
			s.failed = "no end in time"
		}
	})
	var p pressed
	press(&p, all, from, to, end)
	if p.Offered != 1000 || p.Bad != 950 || p.Critical != 1 || p.Goodput != 50/(capacity*10) || p.Recovery != time.Second {
		t.Errorf("%+v", p)
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Error(got)
	}
	if got := medianTime([]time.Duration{never, 1, never}); got != never {
		t.Error("two of three never:", got)
	}
	if got := medianTime([]time.Duration{never, 1, 2}); got != 2 {
		t.Error("one of three never:", got)
	}
	if median([]float64{}) != 0 || medianTime(nil) != 0 {
		t.Error("of nothing")
	}
}

func TestTies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b time.Duration
		want bool
	}{
		{0, 0, true}, {200 * time.Millisecond, 0, true}, {time.Second, 0, false}, {0, time.Second, true},
		{never, time.Second, false}, {time.Second, never, true}, {never, never, true},
	} {
		if noLater(c.a, c.b) != c.want {
			t.Errorf("%v beside %v", c.a, c.b)
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	list := rows()
	i := slices.IndexFunc(list, func(r *row) bool { return r.key == "kill" })
	r := &report{names: []string{"naru", "nginx"}, tables: []*table{{row: list[i], faults: map[string][]figures{
		"naru":  {{Gets: 2700, Posts: 300, GetsFailed: 30, Recovery: never}},
		"nginx": {{Gets: 2700, Posts: 300, Recovery: time.Second}},
	}}}}
	text := r.verdicts()
	if got := countOf(text, "MISS"); got != 3 {
		t.Errorf("%d of 3 are missed:\n%s", got, text)
	}
	r.tables[0].faults["naru"] = []figures{{Gets: 2700, Posts: 300, Recovery: 1200 * time.Millisecond}}
	if text = r.verdicts(); countOf(text, "PASS") != 3 {
		t.Errorf("a tie is no miss:\n%s", text)
	}
}
