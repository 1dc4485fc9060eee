package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPolicyLive: what a policy for a namespace says holds for the next request
// after it was saved, and what a nearer one says goes before it.
func TestPolicyLive(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	bad := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		w.WriteHeader(503)
	})
	config := func(namespace int, service string) string {
		return fmt.Sprintf("listen: $LISTEN\nroutes:\n- {match: /, to: bad}\n- {match: /once, to: bad, retry: off}\n"+
			"services:\n  bad: {endpoints: [%q], ejection: off, retryBudget: {minPerSecond: 1000}%s}\n"+
			"---\napiVersion: naru.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: again}\nspec:\n  targetRefs: [{kind: Namespace}]\n  retry: {attempts: %d, backoff: 1ms}\n",
			bad.addr, service, namespace)
	}
	g := start(t, config(1, ""))
	asks := func(path string) int64 {
		t.Helper()
		before := tries.Load()
		if a := g.ask("GET", path); a.StatusCode != 503 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		return tries.Load() - before
	}
	for _, x := range []struct {
		namespace int
		service   string
		want      int64
	}{{2, "", 3}, {3, "", 4}, {3, ", retry: 1", 2}, {0, "", 1}} {
		g.reload(config(x.namespace, x.service))
		if n, once := asks("/"), asks("/once"); n != x.want || once != 1 {
			t.Errorf("%d by the namespace%s: %d tries, want %d; %d where the route says one", x.namespace, x.service, n, x.want, once)
		}
	}
	if _, body := g.page("/problems"); strings.Contains(body, "can never apply") {
		t.Errorf("/problems: %s", body)
	}
}
