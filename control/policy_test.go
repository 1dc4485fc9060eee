package control

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// TestABrokenPolicyNeverOpens: the version before goes on, and where there is
// none everything is refused.
func TestABrokenPolicyNeverOpens(t *testing.T) {
	t.Parallel()
	words := short.New()
	words.CEL = func(text string) error {
		if text == "nonsense" {
			return errors.New("undeclared reference")
		}
		return nil
	}
	const services = "services: {payments: {mesh: 80}, orders: {mesh: 80}}\n"
	const good = services + "policies:\n- {name: p, to: payments, deny: web}\n"
	play := func(files ...string) (*model.Snapshot, string) {
		r := newRound([]dialect.Dialect{words}, slog.New(slog.DiscardHandler))
		var s *model.Snapshot
		var b strings.Builder
		for _, f := range files {
			var problems []model.Problem
			b.Reset()
			s, problems = r.do([]source.Set{{Documents: split("a.yaml", f)}})
			for _, p := range problems {
				b.WriteString(p.Code + " ")
			}
		}
		return s, strings.TrimSpace(b.String())
	}
	for _, c := range []struct {
		what  string
		files []string
		want  string // ACTION RULES CLOSED of the only policy
		says  string
	}{
		{"a deny", []string{good}, "deny [{[default/web]}] false", ""},
		{"broken from the start", []string{services + "policies:\n- {name: p, to: payments, deny: W}\n"}, "deny [{[]}] true", "bad-value"},
		{"broken later", []string{good, strings.Replace(good, "web", "W", 1)}, "deny [{[default/web]}] false", "old-serves bad-value"},
		{"broken for long", []string{good, strings.Replace(good, "web", "W", 1), strings.Replace(good, "web", "W", 1)}, "deny [{[default/web]}] false", "old-serves bad-value"},
		{"an expression broken later", []string{good, services + "policies:\n- {name: p, to: payments, deny: web, cel: nonsense}\n"}, "deny [{[default/web]}] false", "old-serves bad-expression"},
		{"a misspelt field", []string{good, strings.Replace(good, "deny:", "dny:", 1)}, "deny [{[default/web]}] false", "bad-value old-serves unknown-field"},
		{"put right", []string{services + "policies:\n- {name: p, to: payments, deny: W}\n", good}, "deny [{[default/web]}] false", ""},
		{"an allow, broken from the start", []string{services + "policies:\n- {name: p, to: payments, allow: W}\n"}, "allow [] true", "bad-value"},
		{"broken, and another name", []string{good, services + "policies:\n- {name: q, to: payments, deny: W}\n"}, "deny [{[]}] true", "bad-value"},
	} {
		s, says := play(c.files...)
		got := ""
		for _, p := range s.Policies {
			if p.Name == "default/p" || len(s.Policies) == 1 || p.Closed {
				got = string(p.Action) + " ["
				for _, r := range p.Rules {
					got += fmt.Sprintf("{%v}", r.Principals)
				}
				got += fmt.Sprintf("] %v", p.Closed)
			}
		}
		if !strings.HasPrefix(got, c.want) || !strings.HasPrefix(says, c.says) || c.says == "" && says != "" {
			t.Errorf("%s: %s (%s), want %s (%s)", c.what, got, says, c.want, c.says)
		}
	}
	mesh := func(mode string) string { return "mesh: {mtls: " + mode + "}\n" + services }
	if s, says := play(mesh("permissive"), mesh("loose")); s.Mesh.MTLS != model.Permissive || s.Mesh.Outbound != "" || says != "old-serves bad-value" {
		t.Errorf("a mesh that broke: %+v (%s)", s.Mesh, says)
	}
	if s, _ := play(mesh("loose")); s.Mesh.MTLS != model.Strict || s.Mesh.Outbound != model.RegisteredOnly {
		t.Errorf("a mesh that was broken from the start: %+v", s.Mesh)
	}
}
