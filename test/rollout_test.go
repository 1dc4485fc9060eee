package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/rollout"
	"github.com/naru-mesh/naru/test/freeport"
)

// rolling is a gateway with a rollout from a service to another.
type rolling struct {
	*gateway
	socket string
	asked  [2]atomic.Int64 // requests that the old and the new version got
	broken atomic.Bool     // the new one answers 500
	slow   atomic.Bool     // or after a long time
	next   *service        // the new one
	text   string
	name   string // of the rollout
}

// rollOut starts one; more is what the rollout says.
func rollOut(t *testing.T, broken bool, more string, args ...string) *rolling {
	t.Helper()
	return rollOutAs(t, broken, "shop", func(old, next string) string {
		return fmt.Sprintf("listen: $LISTEN\nroutes:\n- {name: shop, match: /, to: old, rollout: {to: new, %s}}\nservices:\n  old: %q\n  new: %q\n", more, old, next)
	}, args...)
}

// rollOutAs starts one with a configuration of its own, of the addresses of both
// versions.
func rollOutAs(t *testing.T, broken bool, name string, config func(old, next string) string, args ...string) *rolling {
	t.Helper()
	r := &rolling{name: name}
	r.broken.Store(broken)
	version := func(n int) *service {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			r.asked[n].Add(1)
			if n == 1 && r.slow.Load() {
				<-time.After(slowness)
			}
			if n == 1 && r.broken.Load() {
				w.WriteHeader(500)
			}
			fmt.Fprint(w, n)
		})
	}
	r.next = version(1)
	r.text = config(version(0).addr, r.next.addr)
	r.gateway = prepare(t, r.text)
	r.socket = filepath.Join(r.dir, "control.sock")
	r.run(append([]string{"run", r.file, "--control-socket", r.socket}, args...)...)
	return r
}

// slowness is how long a slow version takes: longer than any machine needs for an
// answer that says a digit.
const slowness = 2 * time.Second

// command runs naru rollout, and gives its status and what it printed.
func (r *rolling) command(args ...string) (int, string) {
	r.t.Helper()
	cmd := exec.Command(binary, append(append([]string{"rollout"}, args...), "--socket", r.socket)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// is waits until the rollout is over, and sees how.
func (r *rolling) is(status int, phase rollout.Phase) rollout.View {
	r.t.Helper()
	got, out := r.command("status", r.name, "--wait", patience.String(), "--json")
	var all []rollout.View
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		r.t.Fatalf("%v: %s", err, out)
	}
	if got != status || all[0].Phase != phase {
		r.t.Fatalf("status %d, %s\n%s", got, out, r.errs.text())
	}
	return all[0]
}

// TestRolloutRollsBack: 1% goes to a version that answers nothing but errors, and
// everything comes back by itself, before many have noticed. It stays so.
func TestRolloutRollsBack(t *testing.T) {
	t.Parallel()
	r := rollOut(t, true, "steps: [1, 100], every: 200ms")
	l := r.load(4, nil)
	v := r.is(1, rollout.RolledBack)
	if v.Weight != 0 || !strings.Contains(v.Why, "of the new version's requests failed at 1%") || v.Canary.Bad < 5 {
		t.Errorf("%+v", v)
	}
	eventually(t, "the weights are those of before", func() bool { return r.metrics().value("naru_rollout_weight_ratio", "rollout", "shop") == 0 })
	l.more(200) // what was under way
	failed, of := len(l.failures.take()), l.done.Load()
	if bad := r.asked[1].Load(); bad*10 > of || int64(failed) > bad {
		t.Errorf("the broken version got %d of %d requests, %d failed", bad, of, failed)
	}
	r.baselineOnly(l)
	m := r.metrics()
	if m.value("naru_rollout_phase", "rollout", "shop", "phase", "rolled-back") != 1 || m.value("naru_rollout_decisions_total", "rollout", "shop", "decision", "rolled-back") != 1 {
		t.Errorf("the metrics do not say so: %v", m["naru_rollout_decisions_total"])
	}
	if _, body := r.page("/problems"); !strings.Contains(body, "rollout shop to new was rolled back") {
		t.Errorf("/problems does not say so: %s", body)
	}
	if !strings.Contains(r.errs.text(), "rollout shop: rolled-back") {
		t.Errorf("the log does not say so:\n%s", r.errs.text())
	}
	// A spec that has changed begins anew.
	r.broken.Store(false)
	l = r.load(4, nil)
	r.save(strings.Replace(r.text, "every: 200ms", "every: 200ms, version: two", 1))
	eventually(t, "it begins anew", func() bool {
		_, out := r.command("status", "shop", "--json")
		return !strings.Contains(out, "rolled-back")
	})
	r.is(0, rollout.Succeeded)
	l.stop()
	l.check()
}

// TestRolloutSlow: a version that answers well, but late, goes back as well, and no
// request is lost by that.
func TestRolloutSlow(t *testing.T) {
	t.Parallel()
	for how, more := range map[string]string{"than the old one": "", "than a bound": ", latency: 1s"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := rollOut(t, false, "steps: [10, 100], every: 200ms"+more)
			r.slow.Store(true)
			l := r.load(16, nil)
			v := r.is(1, rollout.RolledBack)
			if v.Weight != 0 || v.Slow.Bad < 5 || v.Canary.Bad != 0 || !strings.Contains(v.Why, "of the new version's requests took longer than") {
				t.Errorf("%+v", v)
			}
			r.baselineOnly(l)
		})
	}
}

// TestRolloutDies: a version that goes on well until half of everything is its
// own, and dies then, is left at once. Only what it was asked meanwhile fails.
func TestRolloutDies(t *testing.T) {
	t.Parallel()
	r := rollOut(t, false, "steps: [{percent: 50, for: 1h}, 100]")
	l := r.load(4, nil)
	eventually(t, "it gets half of the requests", func() bool { return r.asked[1].Load() > 100 })
	r.next.kill()
	v := r.is(1, rollout.RolledBack)
	if !strings.Contains(v.Why, "of the new version's requests failed at 50%") {
		t.Errorf("%+v", v)
	}
	eventually(t, "the weights are those of before", func() bool { return r.metrics().value("naru_rollout_weight_ratio", "rollout", "shop") == 0 })
	l.more(200) // what was under way
	for _, f := range l.failures.take() {
		if !strings.Contains(f, "502") && !strings.Contains(f, "503") {
			t.Error(f)
		}
	}
	r.baselineOnly(l)
}

// TestRolloutGone: of a version to which no connection can be made nobody notices
// anything: the old one serves its requests, and it is convicted all the same.
func TestRolloutGone(t *testing.T) {
	t.Parallel()
	gone := "127.0.0.1:" + freeport.Hold(t)
	r := rollOutAs(t, false, "shop", func(old, _ string) string {
		return fmt.Sprintf("listen: $LISTEN\nroutes:\n- {name: shop, match: /, to: old, rollout: {to: new, steps: [{percent: 50, for: 1h}, 100]}}\nservices:\n  old: %q\n  new: %q\n", old, gone)
	})
	l := r.load(4, nil)
	v := r.is(1, rollout.RolledBack)
	if v.Canary.Bad < 5 || !strings.Contains(v.Why, "of the new version's requests failed at 50%") {
		t.Errorf("%+v", v)
	}
	r.baselineOnly(l) // and no request was lost
	if fell := r.metrics().value("naru_service_retries_total", "service", "old", "cause", "fallback"); fell < 5 {
		t.Errorf("%v requests fell back", fell)
	}
}

// baselineOnly sees that the new version gets nothing any more, once the proxies
// have heard of it, and that nothing fails; it ends the load.
func (r *rolling) baselineOnly(l *load) {
	r.t.Helper()
	eventually(r.t, "the weights are those of before", func() bool {
		return r.metrics().value("naru_rollout_weight_ratio", "rollout", r.name) == 0
	})
	var before int64
	eventually(r.t, "the new version gets no more requests", func() bool {
		before = r.asked[1].Load()
		l.more(200)
		return r.asked[1].Load() == before
	})
	l.more(1000)
	l.stop()
	l.check()
	if now := r.asked[1].Load(); now != before {
		r.t.Errorf("the new version gets requests after the rollback: %d", now-before)
	}
}

// TestRolloutSucceeds: a good version gets everything in the end, and no request
// and no connection is lost on the way.
func TestRolloutSucceeds(t *testing.T) {
	t.Parallel()
	r := rollOut(t, false, "steps: [5, 50, 100], every: 150ms, minRequests: 20")
	l := r.load(4, nil)
	v := r.is(0, rollout.Succeeded)
	if v.Weight != 100 || v.Step != 3 {
		t.Errorf("%+v", v)
	}
	eventually(t, "the last weights are in force", func() bool {
		before := r.asked[0].Load()
		l.more(50)
		return r.asked[0].Load() == before
	})
	l.stop()
	l.check()
}

// TestRolloutByPolicy: a TrafficPolicy rolls out what an HTTPRoute leads to. That
// the route gives the new version half of the requests does not count.
func TestRolloutByPolicy(t *testing.T) {
	t.Parallel()
	r := rollOutAs(t, true, "default/shop", func(old, next string) string {
		text := `apiVersion: naru.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]
  rollout: {to: {name: new, port: 80}, steps: [{percent: 2}, {percent: 100}], every: 200ms}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: naru
  addresses: [{type: IPAddress, value: 127.0.0.1}]
  listeners: [{name: http, port: $PORT, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  rules: [{backendRefs: [{name: old, port: 80}, {name: new, port: 80}]}]
`
		for name, addr := range map[string]string{"old": old, "new": next} {
			_, port, _ := strings.Cut(addr, ":")
			text += strings.NewReplacer("NAME", name, "UP", port).Replace(`---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {ports: [{port: 80, targetPort: UP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: NAME-1, labels: {kubernetes.io/service-name: NAME}}
addressType: IPv4
ports: [{port: UP}]
endpoints: [{addresses: [127.0.0.1]}]
`)
		}
		return text
	})
	l := r.load(4, nil)
	r.is(1, rollout.RolledBack)
	l.more(300)
	bad, of := r.asked[1].Load(), l.done.Load()
	if failed := int64(len(l.failures.take())); bad*5 > of || failed > bad {
		t.Errorf("the broken version got %d of %d requests, %d failed", bad, of, failed)
	}
	before := r.asked[1].Load()
	l.more(500)
	l.stop()
	l.check()
	if now := r.asked[1].Load(); now != before {
		t.Errorf("the broken version gets requests after the rollback: %d", now-before)
	}
}

// explain runs naru explain for the route that is rolled out.
func (r *rolling) explain(socket string) string {
	r.t.Helper()
	out, err := exec.Command(binary, "explain", "http://"+r.addr+"/", "-f", r.file, "--socket", socket).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestRolloutExplained: naru explain shows what is in force beside what is written,
// and says where that is not known.
func TestRolloutExplained(t *testing.T) {
	t.Parallel()
	r := rollOut(t, false, "steps: [20, 100], every: 1h")
	eventually(t, "it begins", func() bool { _, out := r.command("status"); return strings.Contains(out, "progressing") })
	for _, want := range []string{"rollout   shop moves the requests to new: progressing\n", "service   old (80% now, 100% written)  ", "service   new (20% now, 0% written)  "} {
		if out := r.explain(r.socket); !strings.Contains(out, want) {
			t.Errorf("naru explain does not say %q:\n%s", want, out)
		}
	}
	for _, want := range []string{"rollout   shop moves the requests to new: steps of 20%, 100%; how far it is nobody says here (naru rollout status)\n", "service   old (100% written)  ", "service   new (0% written)  "} {
		if out := r.explain(filepath.Join(r.dir, "nobody.sock")); !strings.Contains(out, want) {
			t.Errorf("naru explain without anybody to ask does not say %q:\n%s", want, out)
		}
	}
	if status, out := r.command("abort", "shop"); status != 0 {
		t.Fatal(out)
	}
	if out := r.explain(r.socket); !strings.Contains(out, "service   new (0% now, 0% written)  ") || !strings.Contains(out, ": aborted\n") {
		t.Errorf("after it was aborted:\n%s", out)
	}
}

// TestRolloutCommands: what somebody wants is done at once, and what cannot be is
// said.
func TestRolloutCommands(t *testing.T) {
	t.Parallel()
	r := rollOut(t, false, "steps: [20, 100], every: 1h")
	eventually(t, "it begins", func() bool { _, out := r.command("status"); return strings.Contains(out, "progressing") })
	for _, c := range []struct {
		do     string
		status int
		says   string
	}{
		{"pause shop", 0, "shop: paused, 20% to new\n"},
		{"resume shop", 0, "shop: progressing, 20% to new\n"},
		{"resume shop", 1, "rollout shop is not paused"},
		{"pause cart", 1, "there is no rollout cart: there are shop"},
		{"abort shop", 0, "shop: aborted, 0% to new\n"},
		{"pause shop", 1, "naru rollout restart shop begins it anew"},
		{"promote shop", 0, "shop: succeeded, 100% to new\n"},
		{"restart shop", 0, "shop: pending, 0% to new\n"},
		{"pause", 2, "accepts 1 arg"},
		{"status --wait 1s", 2, "for which rollout"},
	} {
		status, out := r.command(strings.Fields(c.do)...)
		if status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%s: status %d: %s", c.do, status, out)
		}
	}
}

// TestRolloutStaysRolledBack: with --data a restart of naru does not try again what
// has failed.
func TestRolloutStaysRolledBack(t *testing.T) {
	t.Parallel()
	r := rollOut(t, true, "steps: [20, 100], every: 100ms", "--data", filepath.Join(t.TempDir(), "data"))
	l := r.load(2, nil)
	r.is(1, rollout.RolledBack)
	l.stop()
	before := r.asked[1].Load()
	args := r.proc.Args[1:]
	r.stop(t)
	r.launch(args[:len(args)-5]...)
	if line, ok := r.out.await(func(string) bool { return true }); !ok || !strings.Contains(line, "running") {
		t.Fatalf("naru does not start again: %s\n%s", line, r.errs.text())
	}
	l = r.load(2, nil)
	l.more(500)
	r.is(1, rollout.RolledBack)
	l.stop()
	l.check()
	if now := r.asked[1].Load(); now != before {
		t.Errorf("the broken version got %d requests after the restart", now-before)
	}
}
