package authz

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// Result is what became of a connection or request by a policy.
type Result uint8

const (
	Allowed      Result = iota // an allow let it in
	Refused                    // a deny matched, or no allow did
	Audited                    // an audit matched
	WouldRefuse                // a dry run would have refused it
	Failed                     // a CEL expression could not be evaluated
	resultsCount               // how many there are
)

var resultNames = [resultsCount]string{"allowed", "refused", "audited", "would_refuse", "failed"}

// String is the label of naru_policy_decisions_total.
func (r Result) String() string { return resultNames[r] }

// Metrics counts decisions, by policy, rule, action and result. There are no
// more series than rules of the configuration.
type Metrics struct {
	log   *slog.Logger
	since func() time.Duration

	mu  sync.Mutex // guards all
	all map[series]*counters
}

type series struct {
	policy, rule string
	action       model.Action
}

// shards spread a counter over cache lines: loops count at once.
const shards = 4

// counters of one rule.
type counters struct {
	series
	told  observe.Seldom
	shard [shards]struct {
		n [resultsCount]atomic.Uint64
		_ [64]byte
	}
}

// quiet is how long the log says nothing more of a rule: whoever is refused
// must not be able to fill the disk. The counters miss nothing.
const quiet = time.Second

// NewMetrics makes the counters and adds naru_policy_decisions_total to g. What
// is refused, audited or would be refused is told to log, at most once a second
// for each rule; nil is silence. g may be nil.
func NewMetrics(g *observe.Registry, log *slog.Logger) *Metrics {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	start := time.Now()
	m := &Metrics{log: log, since: func() time.Duration { return time.Since(start) }, all: map[series]*counters{}}
	if g != nil {
		g.Func("naru_policy_decisions_total", "Connections and requests that policies decided about, by policy and rule; rule is empty where no rule of an allow matched.",
			observe.KindCounter, []string{"policy", "rule", "action", "result"}, m.collect)
	}
	return m
}

// of gives the counters of a rule, the same each time.
func (m *Metrics) of(s series) *counters {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.all[s]
	if c == nil {
		c = &counters{series: s}
		m.all[s] = c
	}
	return c
}

// Keep forgets the counters of policies that are not there any more. A Decider
// that still holds some goes on counting, unseen.
func (m *Metrics) Keep(policies []*model.Policy) {
	names := make(map[string]bool, len(policies))
	for _, p := range policies {
		names[p.Name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.all {
		if !names[s.policy] {
			delete(m.all, s)
		}
	}
}

func (m *Metrics) collect(emit func(value float64, labels ...string)) {
	m.mu.Lock()
	all := make([]*counters, 0, len(m.all))
	for _, c := range m.all {
		all = append(all, c)
	}
	m.mu.Unlock()
	for _, c := range all {
		for r := range resultsCount {
			if n := c.count(r); n > 0 {
				emit(float64(n), c.policy, c.rule, string(c.action), r.String())
			}
		}
	}
}

func (c *counters) count(r Result) (n uint64) {
	for i := range c.shard {
		n += c.shard[i].n[r].Load()
	}
	return n
}

// note counts a result, and tells the log of it.
func (m *Metrics) note(c *counters, r Result, in *input) {
	c.shard[in.remote.Port()%shards].n[r].Add(1)
	if r == Allowed {
		return
	}
	if omitted, ok := c.told.May(m.since(), quiet); ok {
		m.tell(c, r, in, omitted)
	}
}

// tell writes a line; it is seldom, and may allocate.
func (m *Metrics) tell(c *counters, r Result, in *input, omitted uint64) {
	level := slog.LevelWarn
	if r == Audited {
		level = slog.LevelInfo
	}
	args := []any{"policy", c.policy, "rule", c.rule, "action", string(c.action), "result", r.String(),
		"remote", netip.AddrPortFrom(in.remote.Addr(), in.remote.Port()).String(), "port", in.port}
	if in.peer != nil && in.peer.TLS != nil && in.peer.TLS.Identity != "" {
		args = append(args, "principal", in.peer.TLS.Identity)
	}
	if in.service != "" {
		args = append(args, "service", in.service)
	}
	if in.x != nil {
		args = append(args, "method", string(in.x.Request.Method), "path", string(in.x.Request.Path))
	}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	m.log.Log(context.Background(), level, "policy", args...)
}
