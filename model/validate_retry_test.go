package model

import (
	"strings"
	"testing"
	"time"
)

// TestRetriesThatCannotBe: what is broken is told and replaced by the default,
// what contradicts itself is told with what happens.
func TestRetriesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Route, *Service)
		want   string
		kept   bool // the retry and the budget
	}{
		{func(r *Route, _ *Service) { r.Retry.On = []RetryOn{"often"} }, `bad-retry: route r0 retries on "often"`, false},
		{func(r *Route, _ *Service) { r.Retry.Methods = []string{"get"} }, `bad-method: route r0 retries the method "get"`, false},
		{func(r *Route, _ *Service) { r.Retry.MaxBackoff = -time.Second }, "bad-retry: route r0 waits -1s before it retries", false},
		{func(r *Route, _ *Service) { r.Retry.Body = MostRetryBody + 1 }, "bad-retry: route r0 keeps 1048577 bytes of a body", false},
		{func(r *Route, _ *Service) { r.Retry.MaxBackoff = time.Millisecond }, "contradiction: route r0 begins with a back-off of 25ms, which is more than its longest of 1ms: it always waits up to 1ms", true},
		{func(r *Route, _ *Service) { r.Retry.Backoff = 3 * time.Minute }, "contradiction: route r0 waits at least 1m30s before it retries, but the whole request has only 1m0s: it never retries", true},
		{func(_ *Route, s *Service) { s.RetryBudget = &RetryBudget{Percent: 1001} }, "bad-retry: the retry budget of service a is 1001% of its requests", false},
		{func(_ *Route, s *Service) { s.RetryBudget = &RetryBudget{MinPerSecond: 1e7} }, "bad-retry: the retry budget of service a has a minimum of 10000000 a second", false},
		{func(_ *Route, s *Service) { s.RetryBudget = &RetryBudget{TTL: time.Hour} }, "bad-retry: the retry budget of service a counts the requests of 1h0m0s", false},
		{func(_ *Route, s *Service) { s.RetryBudget = &RetryBudget{Percent: -1, MinPerSecond: -1} }, "contradiction: the retry budget of service a is nothing", true},
		{func(r *Route, _ *Service) { r.Hedge = &Hedge{} }, "bad-hedge: route r0 hedges after both a time and a quantile, or after neither", false},
		{func(r *Route, _ *Service) { r.Hedge = &Hedge{After: -1} }, "bad-hedge: route r0 hedges after -1ns", false},
		{func(r *Route, _ *Service) { r.Hedge = &Hedge{Quantile: 100} }, "bad-hedge: route r0 hedges after the quantile p100", false},
		{func(r *Route, _ *Service) { r.Hedge = &Hedge{After: 2 * time.Minute} }, "contradiction: route r0 hedges after 2m0s, but a try has only 1m0s: it never hedges", true},
		{func(r *Route, _ *Service) { r.Hedge = &Hedge{Quantile: 95}; r.Retry.Attempts = 0 }, "contradiction: route r0 hedges, but its retries are off: it never hedges", true},
	} {
		cfg := &Config{
			Listeners: []*Listener{{Name: "l", Port: 80, Protocol: HTTP}},
			Routes: []*Route{{
				Name: "r0", Parents: []string{"l"}, Backends: []Backend{{Service: "a", Weight: 1}},
				Timeouts: Timeouts{Request: time.Minute}, Retry: &Retry{Attempts: 1},
			}},
			Services: []*Service{{Name: "a", Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 80}}, RetryBudget: &RetryBudget{Percent: 50}}},
		}
		c.change(cfg.Routes[0], cfg.Services[0])
		good, problems := Validate(cfg)
		if len(problems) != 1 || !strings.Contains(problems[0].Code+": "+problems[0].Message, c.want) {
			t.Errorf("problems %v, want %q", problems, c.want)
			continue
		}
		if g := good.Routes[0]; (problems[0].Severity == Doubtful) != c.kept ||
			(g.Retry != nil && (g.Hedge != nil || cfg.Routes[0].Hedge == nil) && good.Services[0].RetryBudget != nil) != c.kept {
			t.Errorf("%s: retry %v, budget %v, want kept: %v", c.want, good.Routes[0].Retry, good.Services[0].RetryBudget, c.kept)
		}
	}
}
