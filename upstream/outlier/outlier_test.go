package outlier

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what is into the transcripts; read the difference before you believe it")

// TestTranscripts plays the scripts in testdata; see play for their language.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 2 || archive.Files[0].Name != "script" || archive.Files[1].Name != "events" {
				t.Fatal("a transcript has a script and its events")
			}
			got := play(t, string(archive.Files[0].Data))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(archive.Files[1].Data); got != want {
				t.Errorf("events are\n%s\nand should be\n%s", got, want)
			}
		})
	}
}

// player runs a script: endpoints are named, each line is done each second.
type player struct {
	group *Group
	now   time.Duration
	names []string
	eps   map[string]*Endpoint
	tot   map[string]*Totals
	took  map[string]*Histogram
	log   strings.Builder
}

// play knows these lines:
//
//	config failures=5 ... max-ejected=0.5 backoff=1s
//	endpoints a b c
//	spare a on|off
//	every second for N: a 10 good in 5ms, b 5 bad, c 3 limited, d 2 unreached
//	row a 5           the last requests have failed; connects a 5
//	wait 30s          nothing happens
//	probe a good in 5ms | bad
//	healthy a
func play(t *testing.T, script string) string {
	p := &player{eps: map[string]*Endpoint{}, tot: map[string]*Totals{}, took: map[string]*Histogram{}, now: time.Hour}
	p.group = New(Config{}, func() float64 { return 0 })
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := p.do(line); err != nil {
			t.Fatalf("script:%d: %v", i+1, err)
		}
	}
	return p.log.String()
}

func (p *player) do(line string) error {
	word := strings.Fields(line)
	switch word[0] {
	case "config":
		c, err := configOf(word[1:])
		if err != nil {
			return err
		}
		p.group.config = c.Filled()
	case "endpoints":
		list := make([]*Endpoint, 0, len(word)-1)
		for _, name := range word[1:] {
			if p.eps[name] == nil {
				p.eps[name], p.tot[name], p.took[name] = &Endpoint{}, &Totals{}, &Histogram{}
			}
			list = append(list, p.eps[name])
		}
		p.names = word[1:]
		p.group.Set(p.group.config, list)
	case "spare":
		p.eps[word[1]].Spare = word[2] == "on"
	case "every":
		head, rest, _ := strings.Cut(line, ":")
		seconds, err := strconv.Atoi(strings.Fields(head)[3])
		if err != nil {
			return err
		}
		for range seconds {
			p.now += time.Second
			for _, part := range strings.Split(rest, ",") {
				if err := p.load(strings.Fields(part)); err != nil {
					return err
				}
			}
			p.sweep()
		}
	case "row", "connects":
		n, err := strconv.Atoi(word[2])
		if err != nil {
			return err
		}
		if t := p.tot[word[1]]; word[0] == "row" {
			t.FailedRow = n
			t.Bad += uint64(n)
		} else {
			t.UnreachedRow = n
			t.Unreached, t.Connects = t.Unreached+uint64(n), t.Connects+uint64(n)
		}
		p.sweep()
	case "wait":
		d, err := time.ParseDuration(word[1])
		if err != nil {
			return err
		}
		p.now += d
	case "probe":
		e, took := p.eps[word[1]], time.Duration(0)
		if p.now < e.Due() {
			return fmt.Errorf("%s may not be probed for another %v", word[1], e.Due()-p.now)
		}
		if len(word) > 3 {
			took, _ = time.ParseDuration(word[4])
		}
		if ev, ok := p.group.Probed(p.now, e, word[2] == "good", took, "failed"); ok {
			p.back(word[1])
			p.note(&ev)
		}
	case "healthy":
		if ev, ok := p.group.Healthy(p.now, p.eps[word[1]]); ok {
			p.back(word[1])
			p.note(&ev)
		}
	case "held":
		fmt.Fprintf(&p.log, "held %d\n", p.group.Held())
	default:
		return fmt.Errorf("%q is not understood", line)
	}
	return nil
}

func configOf(words []string) (c Config, err error) {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		number, bad := strconv.ParseFloat(value, 64)
		d, notTime := time.ParseDuration(value)
		switch key {
		case "failures":
			c.Failures = int(number)
		case "connects":
			c.Connects = int(number)
		case "success-rate":
			c.SuccessRate = number
		case "deviation":
			c.Deviation = number
		case "slowness":
			c.Slowness = number
		case "max-ejected":
			c.MaxEjected = number
		case "backoff":
			c.Backoff, bad = d, notTime
		case "max-backoff":
			c.MaxBackoff, bad = d, notTime
		default:
			return c, fmt.Errorf("%q is no setting", key)
		}
		if bad != nil {
			return c, bad
		}
	}
	return c, nil
}

// load is "a 10 good in 5ms".
func (p *player) load(words []string) error {
	t, n := p.tot[words[0]], 0
	if t == nil {
		return fmt.Errorf("there is no endpoint %q", words[0])
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	if e := p.eps[words[0]]; e.Out() != None {
		return nil // it gets nothing
	}
	switch words[2] {
	case "good":
		t.Good += uint64(n)
		t.FailedRow = 0
		if len(words) > 4 {
			d, err := time.ParseDuration(words[4])
			if err != nil {
				return err
			}
			p.took[words[0]][Bucket(d)] += uint32(n)
		}
	case "bad":
		t.Bad += uint64(n)
	case "limited":
		t.Limited += uint64(n)
	case "unreached":
		t.Unreached += uint64(n)
		t.Connects += uint64(n)
	case "reached":
		t.Connects += uint64(n)
	}
	return nil
}

func (p *player) back(name string) { p.tot[name].FailedRow, p.tot[name].UnreachedRow = 0, 0 }

func (p *player) sweep() {
	for name, e := range p.eps {
		var took *Histogram
		if p.group.TimesDue(p.now) {
			took = p.took[name]
		}
		e.Observe(p.now, p.tot[name], took)
	}
	for _, ev := range p.group.Sweep(p.now) {
		p.note(&ev)
	}
}

func (p *player) note(ev *Event) {
	name := "?"
	for n, e := range p.eps {
		if e == ev.Endpoint {
			name = n
		}
	}
	fmt.Fprintf(&p.log, "%v ", p.now-time.Hour)
	switch {
	case ev.Back:
		fmt.Fprintf(&p.log, "%s is back after %v: %s\n", name, ev.Out, ev.Figures)
	case ev.Again:
		fmt.Fprintf(&p.log, "%s stays out for %v: %s\n", name, ev.Wait, ev.Figures)
	default:
		fmt.Fprintf(&p.log, "%s is out for %v, %v: %s\n", name, ev.Wait, ev.Reason, ev.Figures)
	}
}

// TestBuckets: each duration lies between the bounds of its bucket.
func TestBuckets(t *testing.T) {
	t.Parallel()
	last := -1
	for d := time.Microsecond; d < time.Minute; d += d/16 + time.Microsecond {
		i := Bucket(d)
		if i < last || d.Truncate(time.Microsecond) > bound(i) || i > 0 && d < bound(i-1) {
			t.Fatalf("%v is in bucket %d, up to %v", d, i, bound(i))
		}
		last = i
	}
	if Bucket(-1) != 0 || Bucket(24*time.Hour) != Buckets-1 {
		t.Error("the ends are not closed")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	var h Histogram
	if h.median() != 0 {
		t.Error("the median of nothing is something")
	}
	for range 60 {
		h[Bucket(10*time.Millisecond)]++
	}
	for range 40 {
		h[Bucket(time.Second)]++
	}
	if m := h.median(); m < 8*time.Millisecond || m > 13*time.Millisecond {
		t.Errorf("median %v of 60 answers in 10ms and 40 in 1s", m)
	}
}

// TestNoise: what chance can do ejects nobody, what it cannot does.
func TestNoise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failed, n uint64
		out       bool
	}{
		{2, 5, false}, {3, 5, false}, {4, 5, true}, {4, 4, false}, {5, 10, false}, {6, 10, true},
		{30, 100, false}, {33, 100, true}, {220, 1000, false}, {240, 1000, true}, {0, 1000, false},
	} {
		if got := tooMany(c.failed, c.n, 0.2); got != c.out {
			t.Errorf("%d of %d: %v", c.failed, c.n, got)
		}
	}
}

// BenchmarkSweep judges 10,000 endpoints, one of which fails.
func BenchmarkSweep(b *testing.B) {
	list := make([]*Endpoint, 10_000)
	for i := range list {
		list[i] = &Endpoint{}
	}
	g := New(Config{}, func() float64 { return 0 })
	g.Set(Config{}, list)
	now := time.Hour
	for n := 0; b.Loop(); n++ {
		now += time.Second
		for i, e := range list {
			e.Observe(now, &Totals{Good: uint64(n) * 10, Bad: uint64(n * max(0, 1-i))}, nil)
		}
		g.Sweep(now)
	}
}

// TestLongBackOff: doubling ends at the bound, however often.
func TestLongBackOff(t *testing.T) {
	t.Parallel()
	a, b := &Endpoint{}, &Endpoint{}
	g := New(Config{Backoff: 24 * time.Hour}, func() float64 { return 0 })
	g.Set(Config{Backoff: 24 * time.Hour}, []*Endpoint{a, b})
	now := time.Hour
	b.Observe(now, &Totals{Good: 10}, nil)
	a.Observe(now, &Totals{Bad: 10, FailedRow: 10}, nil)
	if len(g.Sweep(now)) != 1 {
		t.Fatal("it is not ejected")
	}
	for range 100 {
		if a.Due() != now+24*time.Hour {
			t.Fatalf("at %v the next probe is at %v", now, a.Due())
		}
		now = a.Due()
		g.Probed(now, a, false, time.Second, "no")
	}
}
