package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/traffic"
)

func newExplain() *cobra.Command {
	var (
		asJSON bool
		heads  []string
		from   []string
		caller string
		socket string
		unsaid bool
	)
	c := &cobra.Command{
		Use:   "explain [METHOD] URL | explain CODE",
		Short: "Say which route a request takes and why, or what a reason code means",
		Long: `explain reads the configuration (naru.yaml here, or --file) and says what would
happen to a request: listener, route, filters, services, what is said of how it is
served and by which policy (with --defaults also what nobody says), and why the
routes that come close do not get it. Nothing is sent. METHOD is GET where it is
left out.
Where a rollout moves the weights, a naru that runs here and decides about it is
asked how far it is, and both are shown: what is in force, and what is written.
A connection is asked about as tcp://HOST:PORT, tls://NAME:PORT or udp://HOST:PORT.
With --from it is about a call in the mesh: which service is meant, by which mode
and way it is reached, which policy lets the caller in or refuses it, and why the
rules that come close do not match.
With one word it explains a reason code, as found in answers, logs and
naru_refused_total.`,
		Example: `  naru explain GET http://shop.example.com/orders/7 -f shop.yaml
  naru explain POST http://localhost:8080/orders -H 'X-Version: 2'
  naru explain tls://db.example.com:6432
  naru explain POST http://payments:9004/charges --from orders
  naru explain tcp://ledger:5432 --from shop/reports
  naru explain no_route`,
		Args: argc(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && strings.Contains(args[0], "/") {
				args = []string{"GET", args[0]} // as curl does
			}
			if len(args) == 1 {
				return explainCode(cmd.OutOrStdout(), args[0], asJSON)
			}
			names, err := files(from)
			if err != nil {
				return err
			}
			q := proxy.Question{Method: strings.ToUpper(args[0]), URL: withScheme(args[1]), Defaults: unsaid}
			for _, h := range heads {
				name, value, ok := strings.Cut(h, ":")
				if !ok {
					return usage{fmt.Errorf("-H %q: a header is written 'Name: value'", h)}
				}
				q.Headers = append(q.Headers, model.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
			}
			s, problems, err := app.Check(cmd.Context(), names, cmd.InOrStdin())
			if err != nil {
				return err
			}
			for _, p := range problems {
				fmt.Fprintln(cmd.ErrOrStderr(), p)
			}
			if cmd.Flags().Changed("from") {
				return explainCall(cmd.OutOrStdout(), s, q, caller, asJSON)
			}
			e, err := explainNow(cmd.Context(), s, q, socket)
			if err != nil {
				return usage{err}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			printExplanation(cmd.OutOrStdout(), e)
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&heads, "header", "H", nil, "a request `header`, as in curl; may be repeated")
	f.StringArrayVarP(&from, "file", "f", nil, "configuration `file` or folder; may be repeated")
	f.StringVar(&caller, "from", "", "who calls, in the mesh: an `account`, NAMESPACE/ACCOUNT, a SPIFFE ID, or nobody for a caller without a proxy")
	rolloutSocket(c, &socket)
	f.BoolVar(&unsaid, "defaults", false, "also what nobody has said of how it is served, with what naru does then")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explainNow explains a request, and where a rollout moves the weights asks the
// process that decides, if there is one, how far it is: what is written does not
// count then.
func explainNow(ctx context.Context, s *model.Snapshot, q proxy.Question, socket string) (*proxy.Explanation, error) {
	e, err := app.Explain(s, q)
	if err != nil || e.Rollout == nil {
		return e, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	all, err := admin.AtPlane(app.PlaneSocket(socket)).Rollouts(ctx)
	if err != nil {
		return e, nil // nobody runs, or one that has no rollouts: then it is not known
	}
	for _, v := range all {
		// Of a route whose listeners have different policies there are several.
		mine := func(route string) bool { return route == e.Route || strings.HasPrefix(e.Route, route+"@") }
		if v.Name != e.Rollout.Name || v.To != e.Rollout.To || !slices.ContainsFunc(v.Routes, mine) {
			continue // of another configuration
		}
		q.Shares = map[string]int{v.Name: int(math.Round(v.Weight * (model.Million / 100)))}
		if e, err = app.Explain(s, q); err == nil {
			e.Rollout.Phase = string(v.Phase)
		}
		return e, err
	}
	return e, nil
}

// askTime is how long a process that runs is waited for.
const askTime = 2 * time.Second

// withScheme takes a URL as curl does: "localhost:8080/orders" is http. A path
// stays one.
func withScheme(url string) string {
	if strings.HasPrefix(url, "/") || strings.Contains(url, "://") {
		return url
	}
	return "http://" + url
}

func explainCode(w io.Writer, code string, asJSON bool) error {
	why, ok := observe.ReasonByCode(code)
	if !ok {
		var all, same, flagged []string
		for r := observe.ReasonNone + 1; r < observe.Reasons; r++ {
			all = append(all, r.String())
			if strconv.Itoa(r.Info().Status) == code {
				same = append(same, r.String())
			}
			if r.Info().Flag == code { // Envoy's letters, which the access log has too
				flagged = append(flagged, r.String())
			}
		}
		switch {
		case code == observe.FlagURX.String():
			return usage{fmt.Errorf("URX is no reason, but beside one: the request failed, and no further try was left; not_retried in the access log may say why (%s)", strings.Join(flagged, ", "))}
		case code == observe.FlagDI.String():
			return usage{errors.New("DI is no reason, but beside one, or alone: a fault of the route has delayed the request")}
		case len(flagged) > 0:
			return usage{fmt.Errorf("%s is what Envoy calls it; the reason codes are: %s", code, strings.Join(flagged, ", "))}
		}
		if len(same) > 0 {
			return usage{fmt.Errorf("no reason code %q; the codes with this status are: %s", code, strings.Join(same, ", "))}
		}
		return usage{fmt.Errorf("no reason code %q; a request is explained by METHOD and URL, and the codes are: %s", code, strings.Join(all, ", "))}
	}
	i := why.Info()
	if asJSON {
		return printJSON(w, map[string]any{"code": i.Code, "status": i.Status, "title": i.Title, "means": i.Means, "do": i.Do, "flag": i.Flag, "noFlag": why.NoFlag()})
	}
	fmt.Fprintf(w, "%s: %s", i.Code, i.Title)
	if i.Status != 0 {
		fmt.Fprintf(w, " (%d)", i.Status)
	}
	fmt.Fprintf(w, "\n  It means: %s\n  To do:    %s\n", i.Means, i.Do)
	if i.Flag != "" {
		fmt.Fprintf(w, "  In Envoy: %s\n", i.Flag)
	} else {
		fmt.Fprintf(w, "  In Envoy: no flag: %s\n", why.NoFlag())
	}
	return nil
}

// rolloutNow says how far a rollout is, where that is known.
func rolloutNow(o *proxy.ExplainRollout) string {
	if o.Phase != "" {
		return o.Phase
	}
	steps := make([]string, len(o.Steps))
	for i, s := range o.Steps {
		steps[i] = percent(s)
	}
	return "steps of " + strings.Join(steps, ", ") + "; how far it is nobody says here (naru rollout status)"
}

// setting is "retry off  by service orders  naru.yaml:9:12"; a default has no
// place.
func setting(s *traffic.Setting) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s  by %s  %s", s.Field, s.Value, s.By, s.Origin))
}

func printExplanation(w io.Writer, e *proxy.Explanation) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	if e.Method != "" {
		row("request", "%s %s", e.Method, e.URL)
	} else {
		row("connects", "%s", e.URL)
	}
	if e.Path != "" && !strings.Contains(e.URL, e.Path) {
		row("path", "%s (normalized)", e.Path)
	}
	if e.Listener != "" {
		row("listener", "%s", e.Listener)
	}
	if e.Route != "" {
		row("route", "%s  %s", e.Route, e.Origin)
	}
	if len(e.Filters) > 0 {
		row("filters", "%s", strings.Join(e.Filters, ", "))
	}
	for _, s := range e.Settings {
		row("with", "%s", setting(&s))
	}
	if e.Forward != "" {
		row("sends", "%s", e.Forward)
	}
	if o := e.Rollout; o != nil {
		row("rollout", "%s moves the requests to %s: %s", o.Name, o.To, rolloutNow(o))
	}
	for _, b := range e.Backends {
		note := strings.Join(b.Endpoints, ", ")
		if b.Note != "" {
			note = b.Note
		}
		share := fmt.Sprintf("%.4g%%", b.Percent)
		switch {
		case b.InForce != nil:
			share = fmt.Sprintf("%.4g%% now, %s written", *b.InForce, share)
		case e.Rollout != nil:
			share += " written"
		}
		row("service", "%s (%s)  %s", b.Service, share, note)
		for _, s := range b.Settings {
			row("", "  %s", setting(&s))
		}
	}
	if e.Answer != 0 {
		row("answers", "%d %s", e.Answer, e.Location)
	}
	switch {
	case e.Reason != "":
		row("reason", "%s: %s", e.Reason, e.Means)
	case e.Means != "":
		row("but", "%s", e.Means)
	}
	for _, n := range e.Near {
		row("not", "%s (%s)  %s", n.Route, n.Match, n.Origin)
		for _, why := range n.Why {
			row("", "  %s", why)
		}
	}
}
