package short

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// rollout moves a route's requests to a new version step by step.
type rollout struct {
	To          text        `json:"to" doc:"the new version: a service or a URL; where the route's to does not name it, it is added"`
	Steps       steps       `json:"steps" doc:"percentages of the requests, which ascend: numbers, or {percent: 5, for: 10m}" default:"[1, 5, 25, 50, 100]" unit:"%"`
	Every       *span       `json:"every" doc:"how long a step lasts that says nothing, 100ms to 720h" default:"1m" unit:"duration"`
	Success     *percentage `json:"success" doc:"share of the requests that must succeed, below 100" default:"99.5" unit:"%"`
	Latency     *slowness   `json:"latency" doc:"how slow the new version may be: 1.5x as slow as what served before, 300ms, or either with a percentile: p99 1.5x; or off" default:"p95 1.5x"`
	MinRequests int         `json:"minRequests" doc:"requests of the new version before a step can be over" default:"50"`
	MaxWait     *span       `json:"maxWait" doc:"how much longer than its time a step waits for them, up to 720h; then everything goes back" default:"1h" unit:"duration"`
	Version     text        `json:"version" doc:"what is rolled out, where services keep their names: another one begins anew" default:"none"`
	_           struct{}    `also:"canary,service,target,backend,next" hint:"did you mean to? For example to: orders-next"`
	_           struct{}    `also:"weights,percent,percentages,stages,setWeight" hint:"did you mean steps? For example steps: [1, 5, 25, 50, 100]"`
	_           struct{}    `also:"interval,hold,duration,pause,stepDuration,for,step" hint:"did you mean every? For example every: 10m"`
	_           struct{}    `also:"successRate,threshold,errors,errorRate" hint:"did you mean success? For example success: 99.5"`
	_           struct{}    `also:"p99,p95,maxLatency,duration95" hint:"did you mean latency? For example latency: p99 1.5x"`
	_           struct{}    `also:"onFailure,rollback,autoRollback" hint:"what does badly always goes back by itself: leave it out"`
	_           struct{}    `also:"timeout,deadline,progressDeadline" hint:"did you mean maxWait?"`

	at *yaml.Node // of to
}

// ReadNode takes a service, a URL, or an object.
func (r *rollout) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	r.at = n
	if n.Kind != yaml.MappingNode {
		in.Into(n, &r.To)
	} else {
		type plain rollout
		in.Into(n, (*plain)(r))
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "to" {
				r.at = n.Content[i+1]
			}
		}
	}
	if in.Broken() > before {
		return
	}
	if r.To == "" {
		in.Problem(n, "missing-field", "a rollout leads somewhere", "for example rollout: orders-next")
		return
	}
	checkTarget(in, r.at, string(r.To))
	const longest = model.MostRolloutHold
	switch e := r.Every; {
	case r.MinRequests < 0:
		in.Problem(n, "bad-value", "a step has 1 request or more, not "+strconv.Itoa(r.MinRequests), "leave minRequests out for the default, 50")
	case e != nil && (e.duration() < model.LeastRolloutHold || e.duration() > longest):
		in.Problem(n, "bad-value", "a step lasts 100ms to 720h", "for example every: 10m")
	case r.MaxWait != nil && (r.MaxWait.duration() < 0 || r.MaxWait.duration() > longest):
		in.Problem(n, "bad-value", "a step waits for a bounded time, up to 720h", "leave maxWait out for the default, 1h")
	case r.Success != nil && !(*r.Success > 0 && *r.Success < 100):
		in.Problem(n, "bad-value", "success is more than 0 and less than 100 percent: a few requests always fail, whatever runs", "for example success: 99.5")
	}
	last := 0
	for i, s := range r.Steps.list {
		switch {
		case s.Share <= 0 || s.Share > model.Million:
			in.Problem(r.Steps.at[i], "bad-value", "a step is more than 0 and at most 100 percent", "for example steps: [1, 5, 25, 50, 100]")
		case s.Share <= last:
			in.Problem(r.Steps.at[i], "bad-value", "steps ascend, and "+model.Percent(s.Share)+" comes after "+model.Percent(last), "for example steps: [1, 5, 25, 50, 100]")
		case s.Hold != 0 && (s.Hold < model.LeastRolloutHold || s.Hold > longest):
			in.Problem(r.Steps.at[i], "bad-value", "a step lasts 100ms to 720h", "for example {percent: 5, for: 10m}")
		}
		last = max(last, s.Share)
	}
	if len(r.Steps.list) > model.MostRolloutSteps {
		in.Problem(n, "bad-value", "a rollout has at most 100 steps", "")
	}
}

// noun gives the rollout of a route with a name, to a service.
func (r *rollout) noun(name, service string) *model.Rollout {
	m := &model.Rollout{
		Name: name, To: service, Steps: r.Steps.list, Hold: r.Every.duration(),
		MinRequests: r.MinRequests, MaxWait: r.MaxWait.duration(), Version: string(r.Version),
	}
	if r.Success != nil {
		m.Success = max(millionths(float64(*r.Success)), 1) // 0 is the default
	}
	if r.Latency != nil {
		l := r.Latency.RolloutLatency
		m.Latency = &l
	}
	return m
}

// millionths of a percentage.
func millionths(percent float64) int { return int(math.Round(percent * (model.Million / 100))) }

// steps are those of a rollout, and where each is written.
type steps struct {
	list []model.RolloutStep
	at   []*yaml.Node
}

// step is the long way to say one.
type step struct {
	Percent float64  `json:"percent" doc:"share of the requests" unit:"%"`
	For     *span    `json:"for" doc:"how long it lasts" default:"that of every" unit:"duration"`
	_       struct{} `also:"weight,share,setWeight" hint:"did you mean percent?"`
	_       struct{} `also:"every,pause,duration,hold" hint:"did you mean for?"`
}

// ReadNode takes a list of numbers and objects.
func (s *steps) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		in.Wrong(n, "a list of percentages", "NAME: [1, 5, 25, 50, 100]")
		return
	}
	for i, c := range n.Content {
		var one step
		before := in.Broken()
		if c.Kind == yaml.MappingNode {
			in.Item(i, c, &one)
		} else if number, ok := strings.CutSuffix(c.Value, "%"); ok && c.Kind == yaml.ScalarNode {
			value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil {
				in.Wrong(c, "a percentage", "NAME: [1, 5, 25, 50, 100]")
			}
			one.Percent = value
		} else {
			in.Item(i, c, &one.Percent)
		}
		if in.Broken() > before {
			continue
		}
		if !(one.Percent >= -1e6 && one.Percent <= 1e6) {
			one.Percent = 1e6 // it is told that that is too much
		}
		hold := one.For.duration()
		if hold < 0 { // off
			hold = model.MostRolloutHold + 1
		}
		s.list = append(s.list, model.RolloutStep{Share: millionths(one.Percent), Hold: hold})
		s.at = append(s.at, c)
	}
}

// slowness is how slow a new version may be.
type slowness struct{ model.RolloutLatency }

// ReadNode takes 1.5x, 300ms, either behind p99, or off.
func (s *slowness) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off && n.Kind == yaml.ScalarNode {
		s.Off = true
		return
	}
	wrong := func() {
		in.Wrong(n, "times what served before, or a time, perhaps with a percentile from p50 to p99", "NAME: 1.5x, NAME: 300ms, or NAME: p99 1.5x")
	}
	words := strings.Fields(n.Value)
	if n.Kind != yaml.ScalarNode || len(words) == 0 || len(words) > 2 {
		wrong()
		return
	}
	if p, ok := strings.CutPrefix(words[0], "p"); ok {
		percent, err := strconv.Atoi(p)
		if err != nil || percent < 50 || percent > 99 {
			wrong()
			return
		}
		if s.Quantile = percent; len(words) == 1 {
			return
		}
		words = words[1:]
	}
	if len(words) != 1 {
		wrong()
		return
	}
	if times, ok := strings.CutSuffix(words[0], "x"); ok {
		ratio, err := strconv.ParseFloat(times, 64)
		if err != nil || !(ratio >= 1 && ratio <= 1000) {
			wrong()
			return
		}
		s.Ratio = int(math.Round(ratio * 100))
		return
	}
	d, err := time.ParseDuration(words[0])
	if err != nil || d <= 0 {
		wrong()
		return
	}
	s.Most = d
}

// rolled gives the rollout of a route, and its backends with the new version
// among them.
func (c *compiler) rolled(r *route, name string, backends []model.Backend, out *rule) (*model.Rollout, []model.Backend) {
	if r.Rollout == nil {
		return nil, backends
	}
	to := c.service(string(r.Rollout.To), r.Rollout.at, ".rollout", out)
	for i := range backends {
		if backends[i].Service == to {
			return r.Rollout.noun(name, to), backends
		}
	}
	return r.Rollout.noun(name, to), append(backends, model.Backend{Service: to})
}

// checkRollout looks at what a rollout says beside the rest of its route.
func (r *route) checkRollout(in *dialect.Decoder) {
	if r.Rollout == nil {
		return
	}
	if r.To == nil {
		in.Problem(r.Rollout.at, "bad-value", "a rollout moves requests from what serves them now, and this route leads nowhere", "for example {to: orders, rollout: orders-next}")
		return
	}
	rest := 0
	for _, d := range *r.To {
		if d.To != r.Rollout.To {
			rest += d.weight()
		}
	}
	if rest == 0 {
		in.Problem(r.Rollout.at, "bad-value", "the rollout has nothing to go back to: the route leads nowhere but to "+string(r.Rollout.To), "say in to what serves now: for example {to: orders, rollout: orders-next}")
	}
}
