package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Ties: what is within these of the best other is as good.
const (
	tieShare    = 0.001 // of the requests
	tieRecovery = 300 * time.Millisecond
	mostFailed  = 0.001 // of idempotent requests, while one of three is broken
)

// Goals under overload.
const (
	goalGoodput  = 0.9
	goalCritical = 0.999
	goalRecovery = 5 * time.Second
	goalMemory   = 64.0 // MiB more than before
)

// table is what a row came to, by proxy and round.
type table struct {
	row     *row
	faults  map[string][]figures
	pressed map[string][]pressed
}

// report is all of it.
type report struct {
	names   []string // in order
	facts   []string
	tables  []*table
	skipped []string
}

func (b *bench) report() *report {
	r := &report{}
	var who []string
	for _, k := range b.kinds {
		r.names = append(r.names, k.name)
		who = append(who, strings.TrimSpace(k.name+" "+k.version))
	}
	way := "all proxies of a row at the same time"
	if b.opt.apart {
		way = "one proxy after another"
	}
	busy := first("/proc/loadavg", `^(\S+)`)
	r.facts = []string{
		fmt.Sprintf("faults of a service of three instances; %s; %s, %d processors (%d for proxies, %d for clients and service); Linux %s; %s",
			time.Now().UTC().Format(time.DateOnly), first("/proc/cpuinfo", `model name\s*:\s*(.*)`), len(b.cpus)+len(b.rest), len(b.cpus), len(b.rest), first("/proc/version", `version (\S+)`), runtime.Version()),
		strings.Join(who, ", "),
		fmt.Sprintf("%.0f requests/s, 10%% of them POSTs; %d rounds, medians (of two the worse), %s; load of the machine when it began: %s", rate, b.opt.rounds, way, busy),
		"the fault lasts 6 s if nothing else is said, then it is mended; failures count until 4 s after that (all down: from when they are back), the p99 during the fault",
		"normal: from the fault (all down: from when they are back) until 2 s begin without an error, and with a p99 of at most twice the quiet one, or 10 ms",
		"back: from when it is mended until the instance answers again; twice: POSTs that instances were given more than once",
	}
	if len(b.missing) > 0 {
		r.facts = append(r.facts, "not installed, so not compared: "+strings.Join(b.missing, ", "))
	}
	return r
}

// first gives what a pattern finds in a file.
func first(file, pattern string) string {
	text, _ := os.ReadFile(file)
	if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return "unknown"
}

func (r *report) heading() string { return strings.Join(r.facts, "\n") + "\n" }

// summary is the median of one proxy's rounds.
type summary struct {
	share               float64 // failed, of all
	gets, posts         float64 // failed, of each
	getCount, postCount int     // failed
	twice               int
	quiet, during       time.Duration
	recovery, back      time.Duration
	dropped             uint64
	down, downFailed    int // while there was no instance
	disturbed           int // turns
	why                 map[string]int
	some                bool
}

func summarize(list []figures) summary {
	of := func(get func(*figures) float64) float64 {
		var v []float64
		for i := range list {
			v = append(v, get(&list[i]))
		}
		return median(v)
	}
	times := func(get func(*figures) time.Duration) time.Duration {
		var v []time.Duration
		for i := range list {
			v = append(v, get(&list[i]))
		}
		return medianTime(v)
	}
	s := summary{why: map[string]int{}, some: len(list) > 0}
	if !s.some {
		return s
	}
	s.share = of(func(f *figures) float64 { return share(f.GetsFailed+f.PostsFailed, f.Gets+f.Posts) })
	s.gets = of(func(f *figures) float64 { return share(f.GetsFailed, f.Gets) })
	s.posts = of(func(f *figures) float64 { return share(f.PostsFailed, f.Posts) })
	s.getCount = int(of(func(f *figures) float64 { return float64(f.GetsFailed) }))
	s.postCount = int(of(func(f *figures) float64 { return float64(f.PostsFailed) }))
	s.down = int(of(func(f *figures) float64 { return float64(f.Down) }))
	s.downFailed = int(of(func(f *figures) float64 { return float64(f.DownFailed) }))
	s.twice = int(of(func(f *figures) float64 { return float64(f.Twice) }))
	s.dropped = uint64(of(func(f *figures) float64 { return float64(f.Dropped) }))
	s.quiet = times(func(f *figures) time.Duration { return f.Quiet })
	s.during = times(func(f *figures) time.Duration { return f.During })
	s.recovery = times(func(f *figures) time.Duration { return f.Recovery })
	s.back = times(func(f *figures) time.Duration { return f.Back })
	for i := range list {
		for what, n := range list[i].Why {
			s.why[what] += n
		}
		if list[i].Disturbed {
			s.disturbed++
		}
	}
	return s
}

func share(part, all int) float64 { return float64(part) / float64(max(all, 1)) }

func seconds(d time.Duration) string {
	if d == never {
		return "-"
	}
	return fmt.Sprintf("%.1f", d.Seconds())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }

func percent(f float64) string { return fmt.Sprintf("%.2f%%", 100*f) }

// text is the table of a row.
func (r *report) text(t *table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s  [%s]\n", t.row.title, t.row.key)
	if t.row.overload {
		r.pressedText(&b, t)
		return b.String()
	}
	fmt.Fprintf(&b, "  %-8s %14s %16s %6s %10s %11s %9s %7s\n", "", "GETs failed", "POSTs failed", "twice", "p99 quiet", "p99 during", "normal s", "back s")
	for _, name := range r.names {
		s := summarize(t.faults[name])
		if !s.some {
			fmt.Fprintf(&b, "  %-8s no figures\n", name)
			continue
		}
		fmt.Fprintf(&b, "  %-8s %5d %8s %7d %8s %6d %10s %11s %9s %7s%s\n", name, s.getCount, percent(s.gets), s.postCount, percent(s.posts), s.twice,
			ms(s.quiet), ms(s.during), seconds(s.recovery), seconds(s.back), reasons(s.why, len(t.faults[name])))
		if s.down > 0 {
			fmt.Fprintf(&b, "  %-8s while all were down %d of %d failed, which are not in this\n", "", s.downFailed, s.down)
		}
		if s.disturbed > 0 {
			fmt.Fprintf(&b, "  %-8s %d of %d turns were disturbed: before the fault the p99 was more than %v\n", "", s.disturbed, len(t.faults[name]), restless)
		}
		if s.dropped > 0 {
			fmt.Fprintf(&b, "  %-8s %d packets were dropped\n", "", s.dropped)
		}
	}
	return b.String()
}

// reasons names why requests failed, the most frequent first, a round.
func reasons(why map[string]int, rounds int) string {
	list := slices.SortedFunc(maps.Keys(why), func(a, b string) int {
		if why[a] != why[b] {
			return why[b] - why[a]
		}
		return strings.Compare(a, b)
	})
	var out []string
	for _, what := range list[:min(len(list), 3)] {
		out = append(out, fmt.Sprintf("%s %.3g", what, float64(why[what])/float64(rounds)))
	}
	if len(out) == 0 {
		return ""
	}
	return "  " + strings.Join(out, ", ")
}

// pressedSummary is the median of one proxy's rounds under overload.
func pressedSummary(list []pressed) (p pressed, some bool) {
	var goodput, critical, quiet, peak []float64
	var normal, p99 []time.Duration
	p.Why = map[string]int{}
	for _, x := range list {
		goodput, critical, quiet, peak = append(goodput, x.Goodput), append(critical, x.Critical), append(quiet, x.Quiet), append(peak, x.Peak)
		normal, p99 = append(normal, x.Recovery), append(p99, x.P99)
		for what, n := range x.Why {
			p.Why[what] += n
		}
	}
	p.Goodput, p.Critical, p.Quiet, p.Peak = median(goodput), median(critical), median(quiet), median(peak)
	p.Recovery, p.P99 = medianTime(normal), median(p99)
	return p, len(list) > 0
}

func (r *report) pressedText(b *strings.Builder, t *table) {
	fmt.Fprintf(b, "  capacity %.0f/s (%d at once, %v each); clients leave after %v; one proxy after another\n", capacity, workers, busyTime, overPatience)
	fmt.Fprintf(b, "  %-8s %9s %10s %13s %10s %9s %9s\n", "", "goodput", "critical", "p99 of good", "MiB quiet", "MiB peak", "normal s")
	fmt.Fprintf(b, "  adaptive: naru without knowing the capacity, which the others are told\n")
	for _, name := range append([]string{adaptive}, r.names...) {
		p, some := pressedSummary(t.pressed[name])
		if !some {
			continue // the error has been told
		}
		fmt.Fprintf(b, "  %-8s %9s %10s %13s %10.1f %9.1f %9s%s\n", name, percent(p.Goodput), percent(p.Critical), ms(p.P99), p.Quiet, p.Peak, seconds(p.Recovery), reasons(p.Why, len(t.pressed[name])))
	}
}

// verdicts says what of it is as it must be.
func (r *report) verdicts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nmust reach (a tie: within %s of the requests, %v of the recovery)\n", percent(tieShare), tieRecovery)
	for _, t := range r.tables {
		if t.row.overload {
			r.judgeOverload(&b, t)
		} else {
			r.judge(&b, t)
		}
	}
	for _, what := range r.skipped {
		fmt.Fprintf(&b, "  SKIP  %s\n", what)
	}
	return b.String()
}

func verdict(b *strings.Builder, good bool, format string, args ...any) {
	word := "PASS"
	if !good {
		word = "MISS"
	}
	fmt.Fprintf(b, "  %s  %s\n", word, fmt.Sprintf(format, args...))
}

// judge compares naru with the best of the others.
func (r *report) judge(b *strings.Builder, t *table) {
	ours := summarize(t.faults["naru"])
	if !ours.some {
		return
	}
	title := fmt.Sprintf("%-40s", t.row.title)
	if t.row.single {
		verdict(b, ours.gets < mostFailed, "%s idempotent requests failed: %s (fewer than %s)", title, percent(ours.gets), percent(mostFailed))
	}
	fewest, least, quickest, soonest := "", 0.0, "", never
	for _, name := range r.names {
		s := summarize(t.faults[name])
		if name == "naru" || name == "bare" || !s.some {
			continue
		}
		if fewest == "" || s.share < least {
			fewest, least = name, s.share
		}
		if quickest == "" || s.recovery != never && (soonest == never || s.recovery < soonest) {
			quickest, soonest = name, s.recovery
		}
	}
	if fewest == "" {
		return
	}
	fewer, no := ours.share <= least+tieShare, ""
	if t.row.why != "" && (!fewer || t.row.single && ours.gets >= mostFailed) {
		no = "        " + t.row.why + "\n"
	}
	verdict(b, fewer, "%s failed: %s; the best other, %s, %s", title, percent(ours.share), fewest, percent(least))
	verdict(b, noLater(ours.recovery, soonest), "%s normal after %s s; the best other, %s, %s s", title, seconds(ours.recovery), quickest, seconds(soonest))
	b.WriteString(no)
}

// noLater says whether a comes before b, or as good as; never comes last.
func noLater(a, b time.Duration) bool {
	return b == never || a != never && a <= b+tieRecovery
}

func (r *report) judgeOverload(b *strings.Builder, t *table) {
	for _, name := range []string{"naru", adaptive} {
		r.judgePressed(b, name, t.pressed[name])
	}
}

func (r *report) judgePressed(b *strings.Builder, name string, list []pressed) {
	p, some := pressedSummary(list)
	if !some {
		return
	}
	title := fmt.Sprintf("%-40s", "overload, "+name)
	verdict(b, p.Goodput >= goalGoodput, "%s goodput %s of the capacity (at least %s)", title, percent(p.Goodput), percent(goalGoodput))
	verdict(b, p.Critical >= goalCritical, "%s critical requests that succeed: %s (at least %s)", title, percent(p.Critical), percent(goalCritical))
	verdict(b, p.Peak-p.Quiet <= goalMemory, "%s memory grows by %.1f MiB (at most %.0f)", title, p.Peak-p.Quiet, goalMemory)
	verdict(b, p.Recovery != never && p.Recovery <= goalRecovery, "%s normal after %s s (at most %s)", title, seconds(p.Recovery), seconds(goalRecovery))
}

// write writes faults.txt.
func (r *report) write(dir string) error {
	var b strings.Builder
	b.WriteString(r.heading())
	for _, t := range r.tables {
		b.WriteString(r.text(t))
	}
	b.WriteString(r.verdicts())
	return os.WriteFile(filepath.Join(dir, "faults.txt"), []byte(b.String()), 0o644)
}
