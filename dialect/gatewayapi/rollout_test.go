package gatewayapi

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// TestRollout: all that a rollout may say, and what is told of what it may not.
func TestRollout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want *model.Rollout
		says string
	}{
		{"{to: {name: next, port: 80}}", &model.Rollout{Name: "shop/p", To: "shop/next:80"}, ""},
		{"{to: {name: next, port: 80}, steps: [{percent: 0.5, for: 2h}, {percent: 100}], every: 10m, successPercent: 99.9, latency: {percentile: 99, ratio: 2}, minRequests: 7, maxWait: 3h, version: v2}",
			&model.Rollout{Name: "shop/p", To: "shop/next:80", Steps: []model.RolloutStep{{Share: 5000, Hold: 2 * time.Hour}, {Share: model.Million}}, Hold: 10 * time.Minute, Success: 999_000,
				Latency: &model.RolloutLatency{Quantile: 99, Ratio: 200}, MinRequests: 7, MaxWait: 3 * time.Hour, Version: "v2"}, ""},
		{"{to: {name: next, port: 80}, latency: {max: 300ms}}", &model.Rollout{Name: "shop/p", To: "shop/next:80", Latency: &model.RolloutLatency{Most: 300 * time.Millisecond}}, ""},
		{"{to: {name: next, port: 80}, latency: {disabled: true}}", &model.Rollout{Name: "shop/p", To: "shop/next:80", Latency: &model.RolloutLatency{Off: true}}, ""},
		{"{to: {port: 80}}", nil, "spec.rollout.to: name is missing"},
		{"{to: {name: next}}", nil, "spec.rollout.to: port is 1 to 65535"},
		{"{to: {name: next, port: 80}, steps: [{percent: 101}]}", nil, "spec.rollout.steps[0].percent: percent is more than 0"},
		{"{to: {name: next, port: 80}, steps: [{percent: 5}, {percent: 5}]}", nil, "spec.rollout.steps[1].percent: steps ascend, and 5% comes after 5%"},
		{"{to: {name: next, port: 80}, every: 1ms}", nil, "spec.rollout.every: a step lasts 100ms to 720h"},
		{"{to: {name: next, port: 80}, maxWait: 721h}", nil, "spec.rollout.maxWait: maxWait is at most 720h"},
		{"{to: {name: next, port: 80}, successPercent: 100}", nil, "spec.rollout.successPercent: successPercent is more than 0 and less than 100"},
		{"{to: {name: next, port: 80}, minRequests: -1}", nil, "spec.rollout.minRequests: minRequests is at least 1"},
		{"{to: {name: next, port: 80}, latency: {percentile: 100}}", nil, "spec.rollout.latency.percentile: percentile is 50 to 99"},
		{"{to: {name: next, port: 80}, latency: {ratio: 0.5}}", nil, "spec.rollout.latency.ratio: ratio is 1 to 1000"},
		{"{to: {name: next, port: 80}, latency: {ratio: 2, max: 1s}}", nil, "spec.rollout.latency: latency has a ratio or a max"},
		{"{to: {name: next, port: 80}, latency: {disabled: true, ratio: 2}}", nil, "spec.rollout.latency: latency is disabled or has a bound"},
	} {
		doc, problems := dialect.Read(source.Document{Path: "p.yaml", Line: 1, Data: []byte("spec: {rollout: " + c.text + "}\n")})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		r := &reader{doc: doc, node: doc.Root, home: "shop"}
		var in struct {
			Spec struct {
				Rollout Rollout `json:"rollout"`
			} `json:"spec"`
		}
		r.decode(&in)
		got := r.rollout("spec.rollout", "shop/p", &in.Spec.Rollout)
		switch {
		case c.says == "" && (len(r.problems) > 0 || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%s: %+v, %v", c.text, got, r.problems)
		case c.says != "" && (len(r.problems) != 1 || !strings.HasPrefix(r.problems[0].Origin.Field+": "+r.problems[0].Message, c.says)):
			t.Errorf("%s: %v, want %s", c.text, r.problems, c.says)
		}
	}
}
