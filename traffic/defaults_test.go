package traffic

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Every field has a default that people are told, in the order of the fields, but
// for switches of groups and what has no meaning alone.
func TestEveryFieldHasADefault(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		fields  []field
		texts   []string
		without []string
	}{
		{routeFields, routeDefaults, nil},
		{serviceFields, serviceDefaults, []string{"hash", "hashBalanceFactor", "ejection.off", "limits.adaptive", "limits.least", "limits.most"}},
	} {
		var have, want []string
		for _, t := range x.texts {
			name, _, _ := strings.Cut(t, ": ")
			have = append(have, name)
		}
		for _, f := range x.fields {
			if !slices.Contains(x.without, f.name) {
				want = append(want, f.name)
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("defaults of %v\nwant          %v", have, want)
		}
	}
}

// What is said to be the default is what the model has.
func TestDefaultsAreThoseOfTheModel(t *testing.T) {
	t.Parallel()
	budget := (*model.RetryBudget)(nil).Filled()
	limits := (*model.ServiceLimits)(nil).Filled(0)
	for _, text := range []string{
		"timeouts.backend: " + strings.TrimSuffix(model.DefaultBackendTimeout.String(), "m0s") + "m",
		"timeouts.idle: " + span(model.DefaultStreamIdle) + ", " + span(model.DefaultTunnelIdle),
		"locality.minEndpoints: " + number(model.DefaultMinEndpoints), "locality.overprovisioning: " + number(model.DefaultOverprovisioning),
		"limits.wait: " + span(limits.Wait),
		"retryBudget.percent: " + number(budget.Percent), "retryBudget.minPerSecond: " + number(budget.MinPerSecond), "retryBudget.ttl: " + span(budget.TTL),
		"connect: " + span(model.DefaultConnect), "idle: " + span(model.DefaultIdle), "maxIdle: " + number(model.DefaultMaxIdle), "maxStreams: " + number(model.DefaultMaxStreams),
	} {
		has := func(have string) bool { return strings.HasPrefix(have, text) }
		if text = strings.Replace(text, "timeouts.backend: 1m", "timeouts.backend: 60s", 1); !slices.ContainsFunc(routeDefaults, has) && !slices.ContainsFunc(serviceDefaults, has) {
			t.Errorf("%s is the default, and something else is told", text)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	t.Parallel()
	said := []Setting{{Field: "balance", Value: "random", By: "service a"}, {Field: "ejection.off", Value: "true", By: "defaults"}}
	all := ServiceDefaults(said)
	var names []string
	for _, s := range all {
		names = append(names, s.Field)
		if (s.By == byDefault) == slices.Contains(said, s) || s.Value == "" {
			t.Errorf("%+v", s)
		}
	}
	if names[0] != "balance" || len(names) != len(serviceDefaults)+1-8 || slices.Contains(names, "ejection.failures") {
		t.Errorf("%v", names)
	}
}

// What a field says is told in the words and units in which it is written.
func TestTextOfFields(t *testing.T) {
	t.Parallel()
	route := model.Route{
		Timeouts: model.Timeouts{Request: 90 * time.Minute, Backend: -1},
		Retry:    &model.Retry{Attempts: 2, Codes: []int{503}},
		Hedge:    &model.Hedge{Quantile: 95},
		Shape:    &model.Shape{Requests: 20, Per: time.Minute, Queue: -1, Wait: 2 * time.Second, Download: 1 << 20, TotalDownload: 1536, Upload: 7},
		Filters:  []model.Filter{{Fault: &model.Fault{Delay: time.Second, DelayShare: 5000, Status: 503, ResponseRate: 1024, Header: "x-fault"}}},
		Session:  &model.Session{Kind: model.SessionCookie, Name: "cart", Lifetime: time.Hour, Permanent: true},
		Rollout: &model.Rollout{Name: "r", To: "next", Steps: []model.RolloutStep{{Share: 10_000}, {Share: model.Million, Hold: time.Minute}}, Hold: time.Hour,
			Success: 999_000, Latency: &model.RolloutLatency{Quantile: 99}, Run: "x", Live: true},
	}
	service := model.Service{
		Hash:        []model.HashKey{{Kind: model.HashHeader, Name: "x-user"}, {Kind: model.HashSource}},
		SlowStart:   &model.SlowStart{Window: 30 * time.Second, Aggression: 1.5},
		Health:      &model.HealthCheck{Path: "/up", Interval: 2 * time.Second, MinStatus: 200, MaxStatus: 299},
		Ejection:    &model.Ejection{Failures: -1, SuccessRate: 90, Deviation: 250, Slowness: -1, MaxEjected: 30, Backoff: time.Second},
		Limits:      &model.ServiceLimits{Requests: 5, Connections: model.NoLimit, Wait: -1},
		RetryBudget: &model.RetryBudget{Percent: -1},
	}
	check := func(noun any, fields []field, want map[string]string) {
		v := reflect.ValueOf(noun).Elem()
		for _, s := range settings(v, v, nil, fields, "itself", model.Origin{}) {
			if s.Value != want[s.Field] {
				t.Errorf("%s is told as %q, want %q", s.Field, s.Value, want[s.Field])
			}
			delete(want, s.Field)
		}
		for name := range want {
			t.Errorf("%s is not told", name)
		}
	}
	check(&route, routeFields, map[string]string{
		"timeouts.request": "1h30m", "timeouts.backend": "off", "retry": "{attempts: 2, codes: [503]}", "hedge": "p95",
		"shape":   "{requests: 20/m, queue: 0, wait: 2s, upload: 7B/s, download: 1MiB/s, totalDownload: 1536B/s}",
		"fault":   "{delay: 1s, delayPercent: 0.5, status: 503, responseRate: 1KiB/s, header: x-fault}",
		"session": "cookie cart for 1h, also when the browser has ended",
		"rollout": "{to: next, steps: [1, {percent: 100, for: 1m}], every: 1h, success: 99.9, latency: p99 1.5x}",
	})
	check(&service, serviceFields, map[string]string{
		"hash": "[header x-user, source]", "slowStart": "30s, aggression 1.5", "health": "{path: /up, interval: 2s, status: 200-299}",
		"ejection.failures": "off", "ejection.successRate": "90%", "ejection.deviation": "2.5", "ejection.slowness": "off", "ejection.maxEjected": "30%", "ejection.backoff": "1s",
		"limits.requests": "5", "limits.connections": "off", "limits.wait": "off", "retryBudget.percent": "0",
	})
	for want, v := range map[string]any{
		"off": &model.Rollout{Latency: &model.RolloutLatency{Off: true}}, "p95 300ms": &model.Rollout{Latency: &model.RolloutLatency{Quantile: 95, Most: 300 * time.Millisecond}},
		"2x": &model.Rollout{Latency: &model.RolloutLatency{Ratio: 200}},
	} {
		if got := text(reflect.ValueOf(v)); got != "{latency: "+want+"}" {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for want, v := range map[string]any{
		"{grpc: true}": &model.HealthCheck{Kind: model.HealthGRPC}, "{grpc: shop.Orders, timeout: 1s}": &model.HealthCheck{Kind: model.HealthGRPC, Service: "shop.Orders", Timeout: time.Second},
		"{tcp: true}": &model.HealthCheck{Kind: model.HealthTCP}, "off": &model.HealthCheck{Kind: model.HealthOff}, "{status: 503}": &model.Fault{Status: 503}, "50ms": &model.Hedge{After: 50 * time.Millisecond},
		"header X-Stick": &model.Session{Kind: model.SessionHeader, Name: "X-Stick"},
	} {
		if got := text(reflect.ValueOf(v)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
