package docs

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
)

// update writes the generated pages instead of comparing them (make docs).
var update = flag.Bool("update", false, "write the generated pages")

const generatedMark = "<!-- generated"

const generatedLine = generatedMark + " by make docs -->\n"

// TestGenerated compares the generated pages with what naru says now.
func TestGenerated(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) string{
		"short-form.md": shortForm,
		"mesh-kinds.md": meshKinds,
		"cli.md":        commandLine,
		"reasons.md":    reasons,
		"metrics.md":    metricsPage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(root, "docs/reference", name)
			want := generatedLine + "\n" + strings.TrimSpace(make(t)) + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			have, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(have) != want {
				t.Errorf("docs/reference/%s is not current: run make docs\n%s", name, firstDifference(string(have), want))
			}
		})
	}
}

func firstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(h) || h[i] != w[i] {
			old := ""
			if i < len(h) {
				old = h[i]
			}
			return fmt.Sprintf("line %d is  %q\nit should be %q", i+1, old, w[i])
		}
	}
	return "the page is too long"
}

// shortForm is the reference that the dialect writes about itself.
func shortForm(t *testing.T) string {
	text, err := app.Schema(false, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// meshKinds is the same of naru's own kinds.
func meshKinds(t *testing.T) string {
	text, err := app.Schema(true, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commandLine is what --help says.
func commandLine(t *testing.T) string {
	help := func(args ...string) string {
		out, err := exec.Command(filepath.Join(bin, "naru"), append(args, "--help")...).Output()
		if err != nil {
			t.Fatalf("naru %v --help: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	var b strings.Builder
	b.WriteString("# Command line\n\nResults go to standard output, messages to standard error. Exit status: 0 done, " +
		"1 it failed or the configuration has mistakes, 2 the command line is wrong, " +
		"130 a second Ctrl-C (SIGINT) has ended it while it was stopping.\n\n" +
		"Messages are `name=value` on one line each, JSON with `--json`. A terminal gets them as time, level, text, with colours unless `NO_COLOR` is set or `TERM` is `dumb`. " +
		"`configuration applied` is said when a change serves; `configuration not applied` says why it does not, and what served before goes on.\n\n")
	fmt.Fprintf(&b, "## naru\n\n```text\n%s\n```\n", help())
	texts := map[string]string{}
	subcommands("", help, texts)
	for _, name := range commandOrder {
		if texts[name] == "" {
			t.Fatalf("there is no naru %s: take it out of commandOrder", name)
		}
		fmt.Fprintf(&b, "\n## naru %s\n\n```text\n%s\n```\n", name, texts[name])
		delete(texts, name)
	}
	for name := range texts {
		t.Errorf("naru %s is not on the page: put it into commandOrder", name)
	}
	return b.String()
}

// commandOrder is how the page goes: what one meets first stands first.
var commandOrder = []string{
	"run", "check", "explain", "rollout", "rollout status", "rollout pause", "rollout resume", "rollout abort", "rollout promote", "rollout restart",
	"control", "node", "exec", "token", "token create", "token grant", "token forget", "status", "rotate", "rotate root", "rotate intermediate", "rotate workloads", "bundle",
	"certs", "schema", "version", "completion",
}

// subcommands puts into texts what --help says of every command below name.
func subcommands(name string, help func(...string) string, texts map[string]string) {
	_, list, _ := strings.Cut(help(strings.Fields(name)...), "Available Commands:\n")
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if len(words) == 0 {
			return
		}
		if words[0] == "help" || name == "completion" { // which are not ours
			continue
		}
		full := strings.TrimSpace(name + " " + words[0])
		texts[full] = help(strings.Fields(full)...)
		subcommands(full, help, texts)
	}
}

// reasons is the table of why naru answers by itself.
func reasons(*testing.T) string {
	var b strings.Builder
	b.WriteString(`# Reason codes

When naru itself ends a request, it says why with one code. The code stands in
the answer (` + "`application/problem+json`" + `, member ` + "`code`" + `), in the access log
(` + "`reason`" + `) and in the metric ` + "`naru_refused_total`" + `. ` + "`naru explain CODE`" + ` prints
the same as this page. Flag is Envoy's response flag with the same meaning, which
the access log has too (` + "`flags`" + `), where a reason has none the text says why. Two more
stand there beside a reason, or alone: ` + "`URX`" + `, it failed when no further try was left;
` + "`DI`" + `, a fault has delayed it. Letters of Envoy's for what naru does not have are
never said.

A client that speaks gRPC (` + "`application/grpc`" + `, or gRPC-Web) gets status 200 and
the gRPC status of the table instead, with the title in ` + "`grpc-message`" + ` and the
code in ` + "`x-naru-reason`" + `. Between workloads ` + "`Proxy-Status`" + ` says besides which of
the [two proxies](mesh-traffic.md#ways) has answered.

`)
	b.WriteString("| code | status | gRPC status | title | flag |\n|---|---|---|---|---|\n")
	for r := observe.ReasonNone + 1; r < observe.Reasons; r++ {
		i := r.Info()
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s |\n", i.Code, i.Code, status(i.Status), grpcStatus(r), i.Title, i.Flag)
	}
	for r := observe.ReasonNone + 1; r < observe.Reasons; r++ {
		i := r.Info()
		fmt.Fprintf(&b, "\n## %s\n\n%s.", i.Code, i.Title)
		if i.Status != 0 {
			fmt.Fprintf(&b, " Status %d.", i.Status)
		}
		fmt.Fprintf(&b, "\n\n- It means: %s\n- To do: %s\n", i.Means, i.Do)
		if i.Flag == "" {
			fmt.Fprintf(&b, "- No flag: %s.\n", r.NoFlag())
		}
	}
	return b.String()
}

func grpcStatus(r observe.Reason) string {
	if r.Info().Status == 0 {
		return "none"
	}
	return r.GRPC().String()
}

func status(code int) string {
	if code == 0 {
		return "none"
	}
	return fmt.Sprint(code)
}

// metricsPage has the metrics of a naru that does all it can, and of a node.
var metricsOnce = struct {
	sync.Once
	page string
}{}

func metricsPage(t *testing.T) string {
	t.Helper()
	metricsOnce.Do(func() { metricsOnce.page = makeMetricsPage(t) })
	if metricsOnce.page == "" {
		t.Fatal("no metrics")
	}
	return metricsOnce.page
}

const metricsConfig = `log: json
listen: [":8080", {address: "https://:8443", tls: {local: {storage: roots}}}]
mesh: {federated: [{trustDomain: partner.example, url: "https://127.0.0.1:1/bundle"}]}
routes:
- {match: /, respond: 200 hello}
`

func makeMetricsPage(t *testing.T) string {
	s := newStage(t, "naru exec :9102 :8080 :8443 :9901")
	s.save("naru.yaml", metricsConfig)
	control := "127.0.0.1:" + s.real["9102"]
	s.start("naru run naru.yaml --capture off --data data --control-listen " + control)
	all := map[string]*family{}
	s.until("metrics", "true\n", func() string {
		all = families(fetch("http://127.0.0.1:" + s.real["9901"] + "/metrics?names").body)
		return fmt.Sprint(all["naru_link_proxies"] != nil && all["naru_requests_total"] != nil)
	})
	// A node has some of its own.
	node := freeport.Hold(t)
	s.start("naru node --capture off --address 127.0.0.1 --node n --socket n/node.sock --admin 127.0.0.1:" + node +
		" --join $(naru token create --node n --any --socket control.sock)")
	s.until("metrics of a node", "true\n", func() string {
		own := families(fetch("http://127.0.0.1:" + node + "/metrics?names").body)
		maps.Copy(all, own)
		return fmt.Sprint(own["naru_link_connected"] != nil)
	})
	return describe(all)
}

// families are those that a page of names lists.
func families(text string) map[string]*family {
	var list []family
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	all := map[string]*family{}
	for _, f := range list {
		all[f.Name] = &f
	}
	return all
}

// answer is what fetch got.
type answer struct{ status, body string }

func fetch(url string) answer {
	res, err := http.Get(url)
	if err != nil {
		return answer{status: err.Error()}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{status: err.Error()}
	}
	return answer{fmt.Sprint(res.StatusCode), string(text)}
}

// family is one metric of the page.
type family struct {
	Name, Kind, Help string
	Labels           []string
}

// describe makes the reference page.
func describe(all map[string]*family) string {
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(`# Metrics

On ` + "`/metrics`" + ` of the admin address, in the Prometheus text format 0.0.4. Times
are in seconds, sizes in bytes. A metric without samples is left out; ` + "`/metrics?names`" + ` lists all that a process may have, as JSON. Label
values come from the configuration, never from requests, but for
` + "`naru_grpc_requests_total`" + `, which a route has to ask for; statuses that are not
usual are counted by their class (` + "`2xx`" + `), and ` + "`none`" + ` means that the client got
no answer.

`)
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range names {
		f := all[name]
		labels := make([]string, len(f.Labels))
		for i, l := range f.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.Kind, strings.Join(labels, ", "), f.Help)
	}
	return b.String()
}
