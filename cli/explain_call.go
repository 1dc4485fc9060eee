package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/proxy"
)

// explainCall explains a call between workloads.
func explainCall(w io.Writer, s *model.Snapshot, q proxy.Question, from string, asJSON bool) error {
	e, err := app.ExplainCall(s, q, from)
	if err != nil {
		return usage{err}
	}
	if asJSON {
		return printJSON(w, e)
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	if e.Method != "" {
		row("request", "%s %s", e.Method, e.URL)
	} else {
		row("connects", "%s", e.URL)
	}
	row("from", "%s", e.From)
	if e.Service != "" {
		row("service", "%s (%s, %s)  %s", e.Service, e.Name, e.Protocol, e.Origin)
		row("mtls", "%s", e.MTLS)
	}
	if e.Way != "" {
		row("goes", "%s", e.Way)
	}
	if e.Route != "" {
		row("route", "%s", strings.Join(append([]string{e.Route}, e.Settings...), ", "))
	}
	for _, s := range e.Said {
		row("with", "%s", setting(&s))
	}
	for _, p := range e.Endpoints {
		text := p.Address
		if p.Identity != "" {
			text += " as " + p.Identity
		}
		if p.Standby {
			text += ", while no other can"
		}
		row("to", "%s", text)
	}
	switch {
	case e.Answer != 0:
		row("answers", "%d", e.Answer)
	case e.Reason != "":
		row("answers", "with a reset")
	case e.Decided != "":
		row("allowed", "by %s", e.Decided)
	case e.Service != "":
		row("allowed", "no policy is in the way")
	}
	if e.Reason != "" {
		row("reason", "%s: %s", e.Reason, e.Means)
	}
	for _, f := range e.Findings {
		name := "policy " + f.Policy
		if f.Rule != "" {
			name += ", rule " + f.Rule
		}
		kind := string(f.Action)
		if f.DryRun {
			kind += ", dry run"
		}
		switch {
		case f.Matches:
			row("matches", "%s (%s)  %s", name, kind, f.Origin)
		default:
			row("not", "%s (%s)  %s", name, kind, f.Origin)
			if f.Why != "" {
				row("", "  %s", f.Why)
			} else {
				row("", "  it does not compile, and refuses everything")
			}
		}
	}
	for _, n := range e.Notes {
		row("note", "%s", n)
	}
	return nil
}
