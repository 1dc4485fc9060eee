package rollout

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

var rewrite = flag.Bool("update", false, "write what is into the transcripts; read the difference before you believe it")

// TestTranscripts plays the scripts in testdata in fake time: the first file is the
// script, the second what it comes to. The lines are
//
//	# why
//	spec KEY VALUE ...                what is to be rolled out, see specKeys; again: it has changed
//	traffic 100/s                     requests to both versions together
//	baseline fails 0.1% takes 20ms    how a version does from now on; a request takes
//	canary fails 50% takes 20ms       half to one and a half times as long, or forever
//	run 5m                            time passes, and what is decided is told
//	pause | resume | abort | promote | restart
//	process restarts                  what is not in the State is lost
//	state                             where it is
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
			if len(archive.Files) != 2 || archive.Files[0].Name != "script" || archive.Files[1].Name != "log" {
				t.Fatal("a transcript has a script and its log")
			}
			s := newStage(1)
			for i, line := range strings.Split(string(archive.Files[0].Data), "\n") {
				text, _, _ := strings.Cut(line, "#")
				if strings.TrimSpace(text) == "" {
					continue
				}
				if err := s.do(strings.Fields(text)); err != nil {
					t.Fatalf("script:%d: %s: %v", i+1, strings.TrimSpace(line), err)
				}
			}
			got := s.log.String()
			if *rewrite {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(archive.Files[1].Data); got != want {
				t.Errorf("the log is\n%s\nand should be\n%s", got, want)
			}
		})
	}
}

// stage is a rollout with two versions that do as they are told.
type stage struct {
	rnd    *rand.Rand
	began  time.Time
	now    time.Time
	spec   *model.Rollout
	engine *Engine
	rate   float64
	does   [observe.Arms]behaviour
	counts Counts // of this process's life and run
	// history is of the same.
	history history
	due     float64
	log     strings.Builder
	failed  [observe.Arms]int // that clients have seen
	// untilOver: time passes for as long as something can happen.
	untilOver bool
}

type behaviour struct {
	fails float64
	takes time.Duration
	hangs bool
}

func newStage(seed uint64) *stage {
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &stage{rnd: rand.New(rand.NewPCG(seed, 7)), began: began, now: began, rate: 100}
	s.does = [observe.Arms]behaviour{{fails: 0.001, takes: 20 * time.Millisecond}, {fails: 0.001, takes: 20 * time.Millisecond}}
	return s
}

var specKeys = map[string]func(*model.Rollout, string) error{
	"every":   func(o *model.Rollout, v string) (err error) { o.Hold, err = time.ParseDuration(v); return err },
	"wait":    func(o *model.Rollout, v string) (err error) { o.MaxWait, err = time.ParseDuration(v); return err },
	"min":     func(o *model.Rollout, v string) (err error) { o.MinRequests, err = strconv.Atoi(v); return err },
	"version": func(o *model.Rollout, v string) error { o.Version = v; return nil },
	"success": func(o *model.Rollout, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		o.Success = int(f * model.Million / 100)
		return err
	},
	"latency": func(o *model.Rollout, v string) (err error) {
		o.Latency = &model.RolloutLatency{}
		if v == "off" {
			o.Latency.Off = true
			return nil
		}
		o.Latency.Most, err = time.ParseDuration(v)
		return err
	},
	"steps": func(o *model.Rollout, v string) error {
		for _, one := range strings.Split(v, ",") {
			f, err := strconv.ParseFloat(one, 64)
			if err != nil {
				return err
			}
			o.Steps = append(o.Steps, model.RolloutStep{Share: int(f * model.Million / 100)})
		}
		return nil
	},
}

func (s *stage) do(words []string) (err error) {
	switch words[0] {
	case "spec":
		o := &model.Rollout{Name: "orders", To: "orders-next"}
		for i := 1; i+1 < len(words); i += 2 {
			set := specKeys[words[i]]
			if set == nil {
				return fmt.Errorf("no key %s", words[i])
			}
			if err := set(o, words[i+1]); err != nil {
				return err
			}
		}
		var last *State
		if s.engine != nil {
			state := s.engine.State()
			last = &state
		}
		if s.spec = o; last == nil || last.Spec != o.Spec() { // as a Keeper does it
			s.engine, s.counts, s.history = NewEngine(o, last, s.now), Counts{}, history{}
			s.tell()
		}
	case "traffic":
		s.rate, err = strconv.ParseFloat(strings.TrimSuffix(words[1], "/s"), 64)
	case "baseline", "canary":
		a := observe.Baseline
		if words[0] == "canary" {
			a = observe.Canary
		}
		for i := 1; i+1 < len(words) && err == nil; i += 2 {
			switch words[i] {
			case "fails":
				s.does[a].fails, err = strconv.ParseFloat(strings.TrimSuffix(words[i+1], "%"), 64)
				s.does[a].fails /= 100
			case "takes":
				s.does[a].hangs = words[i+1] == "forever"
				if !s.does[a].hangs {
					s.does[a].takes, err = time.ParseDuration(words[i+1])
				}
			default:
				return fmt.Errorf("no key %s", words[i])
			}
		}
	case "run":
		var d time.Duration
		if d, err = time.ParseDuration(words[1]); err == nil {
			s.run(d)
		}
	case "process":
		state := s.engine.State()
		text, err := state.encode()
		if err != nil {
			return err
		}
		back, err := decode(text)
		if err != nil {
			return err
		}
		s.engine, s.history = NewEngine(s.spec, back, s.now), history{}
	case "state":
		s.tell()
	default:
		run := s.engine.State().Run
		if err := s.engine.Do(Action(words[0]), s.now); err != nil {
			fmt.Fprintf(&s.log, "%8s  refused: %v\n", s.now.Sub(s.began), err)
			return nil
		}
		if s.engine.State().Run != run {
			s.counts, s.history = Counts{}, history{}
		}
		s.tell()
	}
	return err
}

const stageTick = 250 * time.Millisecond

// run lets time pass, with requests.
func (s *stage) run(d time.Duration) {
	for until := s.now.Add(d); s.now.Before(until) && !(s.untilOver && s.engine.State().Phase.Over()); {
		s.now = s.now.Add(stageTick)
		for s.due += s.rate * stageTick.Seconds(); s.due >= 1; s.due-- {
			s.request()
		}
		s.history.add(s.now, &s.counts)
		if s.engine.Tick(s.now, &s.counts, s.history.waiting) {
			s.tell()
		}
	}
}

func (s *stage) request() {
	a := observe.Baseline
	if int(s.rnd.Uint32N(model.Million)) < s.engine.State().Share {
		a = observe.Canary
	}
	does, c := &s.does[a], &s.counts[a]
	c.Begun++
	if does.hangs {
		return
	}
	c.Headed++
	c.Requests++
	if s.rnd.Float64() < does.fails {
		c.Failed++
		s.failed[a]++
	}
	c.Times.Observe(time.Duration(float64(does.takes) * (0.5 + s.rnd.Float64())))
}

func (s *stage) tell() {
	e := s.engine.State()
	fmt.Fprintf(&s.log, "%8s  %s, %s: %s\n", s.now.Sub(s.began), e.Phase, model.Percent(e.Share), e.Why)
}
