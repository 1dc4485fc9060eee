package control

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/gatewayapi"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/source"
)

// An edit of a policy changes that noun and no other: routes and services are not
// written anew by the control plane.
func TestAPolicyIsOneNoun(t *testing.T) {
	t.Parallel()
	r := newRound([]dialect.Dialect{native.New(), gatewayapi.New(), short.New()}, slog.New(slog.DiscardHandler))
	const rest = "routes: [{match: /, to: a}, {match: /b, to: b}]\nservices: {a: [\"10.0.0.1:1\"], b: [\"10.0.0.1:2\"]}\n"
	const policy = "apiVersion: naru.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: p}\nspec:\n  targetRefs: [{kind: Namespace}]\n  connection: {connectTimeout: 1s}\n"
	do := func(first, second string) (*round, string) {
		_, problems := r.do([]source.Set{{Documents: append(split("a.yaml", first), split("b.yaml", second)...)}})
		var said []string
		for _, p := range problems {
			said = append(said, p.Code)
		}
		return r, strings.Join(said, " ")
	}
	do(rest, policy)
	routes, services, first := r.frozen.Routes, r.frozen.Services, r.frozen
	if len(first.Traffic) != 1 || services[0].Connect != 0 {
		t.Fatalf("%+v", first.Traffic)
	}
	if _, said := do(rest, strings.Replace(policy, "1s", "2s", 1)); said != "" || r.frozen.Version == first.Version || r.frozen.Traffic[0] == first.Traffic[0] {
		t.Errorf("the policy did not change: %s", said)
	}
	for i := range routes {
		if r.frozen.Routes[i] != routes[i] || r.frozen.Services[i] != services[i] {
			t.Error("a route or service is new")
		}
	}
	// What it says with a mistake counts as not written; the rest of it holds.
	_, said := do(rest, strings.Replace(policy, "1s}", "1s}\n  limits: {requests: -1}", 1))
	if s := r.frozen.Traffic[0].Service; said != "bad-value" || s.Limits != nil || s.Connect == 0 {
		t.Errorf("%s: %+v", said, s)
	}
	if _, said = do(rest, strings.Replace(policy, "Namespace}", "Service, name: c}", 1)); said != "unknown-service" || len(r.frozen.Traffic) != 0 {
		t.Errorf("%s: %+v", said, r.frozen.Traffic)
	}
}
