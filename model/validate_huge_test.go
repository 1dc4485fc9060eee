package model

import (
	"strings"
	"testing"
	"time"
)

// TestHugeNumbers: what is more than can be meant is told, with what is used
// instead, and never comes to be less than nothing.
func TestHugeNumbers(t *testing.T) {
	t.Parallel()
	const most = 1<<63 - 1
	s, problems := CheckService(&Service{
		Name: "s", Connect: 48 * time.Hour,
		Limits:   &ServiceLimits{Requests: most, Pending: most, Connections: most, Retries: most},
		Ejection: &Ejection{Backoff: most - 1, MaxBackoff: most},
		Health:   &HealthCheck{Interval: 9999 * time.Hour},
	})
	if l := s.Limits; l.Requests != MostLimit || l.Pending != MostLimit || l.Connections != MostLimit || l.Retries != MostLimit {
		t.Errorf("limits are %+v", l)
	}
	if e := s.Ejection; e.Backoff != LongestTime || e.MaxBackoff != LongestTime {
		t.Errorf("an ejection begins with %v, and takes up to %v", e.Backoff, e.MaxBackoff)
	}
	r, more := CheckRoute(&Route{Name: "r", Timeouts: Timeouts{Request: 9999 * time.Hour}, Retry: &Retry{Attempts: 1, Backoff: 9999 * time.Hour}})
	if r.Timeouts.Request != 9999*time.Hour {
		t.Error("a long time is cut where it is waited, not here")
	}
	told := ""
	for _, p := range append(problems, more...) {
		told += p.Message + "\n"
	}
	for _, want := range []string{
		"the limit of requests of service s is 9223372036854775807; 1000000000 counts",
		"the limit of requests that wait of service s is 9223372036854775807; 1000000000 counts",
		"the back-off of service s is 2562047h47m16.854775806s; 24h0m0s counts",
		"a health check interval of 9999h0m0s is longer than is waited; 24h0m0s counts",
		"a connect time of 48h0m0s is longer than is waited; 24h0m0s counts",
		"a request timeout of 9999h0m0s is longer than is waited; 24h0m0s counts",
		"a back-off of retries of 9999h0m0s is longer than is waited; 24h0m0s counts",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("nobody tells that %s", want)
		}
	}
	s, problems = CheckService(&Service{Name: "s", Limits: &ServiceLimits{Adaptive: true, Requests: 5, Least: 50}})
	if s.Limits.Least != 5 || len(problems) != 1 {
		t.Errorf("an adaptive limit of at most 5 and at least 50 has become %+v: %v", s.Limits, problems)
	}
}
