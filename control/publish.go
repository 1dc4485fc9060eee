package control

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// publish offers the outcome of a round. s is nil when there is none yet.
func (c *Control) publish(s *model.Snapshot, problems []model.Problem, took time.Duration) {
	c.mu.Lock()
	c.rounds++
	c.took = took
	old := c.report
	now := old
	now.Problems = problems
	fresh := s != nil && (c.newest == nil || s.Version != c.newest.Version)
	if fresh {
		c.newest = s
		now.Version, now.Since, now.Took = s.Version, c.options.Now(), took
	}
	if fresh || old.Number == 0 || !slices.Equal(old.Problems, problems) {
		now.Number++
		c.report = now
		close(c.changed)
		c.changed = make(chan struct{})
	}
	c.mu.Unlock()

	announce(c.options.Log, old.Problems, problems)
}

// Next implements model.Feed.
func (c *Control) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		c.mu.Lock()
		newest, changed := c.newest, c.changed
		c.mu.Unlock()
		if newest != nil && newest.Version != after {
			return newest, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// NextReport waits until there is a Report with a Number other than after, and
// returns the newest: what lies between may be missed. It returns ctx's error
// when ctx ends.
func (c *Control) NextReport(ctx context.Context, after uint64) (Report, error) {
	for {
		c.mu.Lock()
		report, changed := c.report, c.changed
		c.mu.Unlock()
		if report.Number != after && report.Number != 0 {
			return report, nil
		}
		select {
		case <-ctx.Done():
			return Report{}, ctx.Err()
		case <-changed:
		}
	}
}

// Report is how things stand now; its Number is 0 before the first round.
func (c *Control) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report
}

// Problems of the newest round, by place. Nobody may write to them.
func (c *Control) Problems() []model.Problem { return c.Report().Problems }

// Snapshot is the newest, nil before the first.
func (c *Control) Snapshot() *model.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// Observe adds the figures of the configuration to g.
func (c *Control) Observe(g *observe.Registry) {
	g.Func("naru_config_info", "The configuration in force: always 1, with its version as the label.", observe.KindGauge, []string{"version"},
		func(emit func(float64, ...string)) {
			if r := c.Report(); r.Version != "" {
				emit(1, string(r.Version))
			}
		})
	g.Func("naru_config_age_seconds", "Time since the configuration in force was made, in seconds.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) {
			if r := c.Report(); r.Version != "" {
				emit(c.options.Now().Sub(r.Since).Seconds())
			}
		})
	g.Func("naru_config_problems", "Mistakes in the configuration, by severity; errors are out of service or serve as they were before.", observe.KindGauge, []string{"severity"},
		func(emit func(float64, ...string)) {
			count := map[model.Severity]int{}
			for _, p := range c.Problems() {
				count[p.Severity]++
			}
			for _, s := range []model.Severity{model.Broken, model.Doubtful} {
				emit(float64(count[s]), string(s))
			}
		})
	g.Func("naru_config_rounds_total", "Times that the configuration was read because a source changed.", observe.KindCounter, nil,
		func(emit func(float64, ...string)) {
			c.mu.Lock()
			n := c.rounds
			c.mu.Unlock()
			emit(float64(n))
		})
	g.Func("naru_config_round_duration_seconds", "Time that the last reading of the configuration took, in seconds.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) {
			c.mu.Lock()
			took := c.took
			c.mu.Unlock()
			emit(took.Seconds())
		})
	g.Func("naru_config_objects", "What the configuration in force consists of, by kind.", observe.KindGauge, []string{"kind"},
		func(emit func(float64, ...string)) {
			c.mu.Lock()
			s := c.newest
			c.mu.Unlock()
			if s == nil {
				return
			}
			emit(float64(len(s.Listeners)), listeners.word)
			emit(float64(len(s.Routes)), routes.word)
			emit(float64(len(s.Flows)), flows.word)
			emit(float64(len(s.Services)), services.word)
			emit(float64(len(s.Certificates)), certificates.word)
			emit(float64(len(s.Workloads)), workloads.word)
			emit(float64(len(s.Policies)), policies.word)
			emit(float64(len(s.Traffic)), traffics.word)
		})
}

// arrange sorts Problems by place and leaves out repetitions.
func arrange(problems []model.Problem) []model.Problem {
	slices.SortStableFunc(problems, func(a, b model.Problem) int {
		return cmp.Or(
			cmp.Compare(a.Origin.Source, b.Origin.Source),
			cmp.Compare(a.Origin.Line, b.Origin.Line),
			cmp.Compare(a.Origin.Column, b.Origin.Column),
			cmp.Compare(a.Origin.Object, b.Origin.Object),
			cmp.Compare(a.Severity, b.Severity), // "error" before "warning"
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(problems)
}

// announce logs each Problem once when it comes, and once when it is gone.
func announce(log *slog.Logger, old, now []model.Problem) {
	before := map[model.Problem]int{}
	for _, p := range old {
		before[lasting(p)]++
	}
	for _, p := range now {
		if k := lasting(p); before[k] > 0 {
			before[k]--
			continue
		}
		level := slog.LevelError
		if p.Severity == model.Doubtful {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, p.String(), "code", p.Code)
	}
	for _, p := range old {
		if k := lasting(p); before[k] > 0 {
			before[k]--
			log.Info("no longer a problem: "+p.String(), "code", p.Code)
		}
	}
}

// lasting is what stays of a Problem when lines are inserted above it.
func lasting(p model.Problem) model.Problem {
	p.Origin.Line, p.Origin.Column = 0, 0
	return p
}
