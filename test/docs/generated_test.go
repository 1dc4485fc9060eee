package docs

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/observe"
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
		"1 it failed or the configuration has mistakes, 2 the command line is wrong.\n\n" +
		"Messages are `name=value` on one line each, JSON with `--json`. A terminal gets them as time, level, text, with colours unless `NO_COLOR` is set or `TERM` is `dumb`. " +
		"`configuration applied` is said when a change serves; `configuration not applied` says why it does not, and what served before goes on.\n\n")
	fmt.Fprintf(&b, "## naru\n\n```text\n%s\n```\n", help())
	for _, name := range []string{"run", "control", "node", "exec", "token", "token create", "status", "bundle", "check", "explain", "schema", "version", "completion"} {
		fmt.Fprintf(&b, "\n## naru %s\n\n```text\n%s\n```\n", name, help(strings.Fields(name)...))
	}
	return b.String()
}

// reasons is the table of why naru answers by itself.
func reasons(*testing.T) string {
	var b strings.Builder
	b.WriteString(`# Reason codes

When naru itself ends a request, it says why with one code. The code stands in
the answer (` + "`application/problem+json`" + `, member ` + "`code`" + `), in the access log
(` + "`reason`" + `) and in the metric ` + "`naru_refused_total`" + `. ` + "`naru explain CODE`" + ` prints
the same as this page. Flag is Envoy's response flag with the same meaning.

A client that speaks gRPC (` + "`application/grpc`" + `, or gRPC-Web) gets status 200 and
the gRPC status of the table instead, with the title in ` + "`grpc-message`" + ` and the
code in ` + "`x-naru-reason`" + `.

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

// metricsPage reads the metrics of a naru that has seen some traffic.
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
routes:
- {match: /, to: up}
- {match: /dead, to: down}
- {match: /calls.S/M, respond: 503, grpc: metrics}
- {match: "tcp://:8081", to: up}
services:
  up: ["127.0.0.1:9001"]
  down: ["127.0.0.1:9002"]
`

func makeMetricsPage(t *testing.T) string {
	s := newStage(t, ":9001 :9002 :8080 :8081 :8443 :9901")
	dead := s.real["9002"]
	delete(s.real, "9002")
	s.echoes()
	s.real["9002"] = dead
	s.save("naru.yaml", metricsConfig)
	s.start("naru run naru.yaml")
	gateway := "http://127.0.0.1:" + s.real["8080"]
	s.until("first request", "200\n", func() string { return fetch(gateway + "/").status })
	fetch(gateway + "/dead")
	fetch("http://127.0.0.1:" + s.real["8081"] + "/")
	if res, err := http.Post(gateway+"/calls.S/M", "application/grpc", nil); err == nil {
		res.Body.Close()
	}
	var text string
	s.until("metrics", "true\n", func() string {
		text = fetch("http://127.0.0.1:" + s.real["9901"] + "/metrics").body
		return fmt.Sprint(strings.Contains(text, "naru_service_connect_failures_total") && strings.Contains(text, "naru_refused_total"))
	})
	seen, possible := meshMetrics(t)
	return describe(text+seen, append(possible, namesAt(s.real["9901"])...))
}

// namesAt are the metrics that a naru may have, also those without samples.
func namesAt(port string) (list []named) {
	_ = json.Unmarshal([]byte(fetch("http://127.0.0.1:"+port+"/metrics?names").body), &list) // a page without them is not the one that is expected
	return list
}

// named is a metric as a page of names has it.
type named struct {
	Name, Kind, Help string
	Labels           []string
}

const meshMetricsConfig = `mesh: {federated: [{trustDomain: partner.example, url: "https://127.0.0.1:1/bundle"}]}
services:
  orders: {mesh: PORT}
policies:
- {name: own, to: orders, allow: [{from: {service: orders}}]}
`

// meshMetrics reads those of a control plane and of a node with a workload.
func meshMetrics(t *testing.T) (seen string, possible []named) {
	s := newStage(t, "")
	link, control, node, door, orders := freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)
	s.save("mesh.yaml", strings.ReplaceAll(meshMetricsConfig, "PORT", orders))
	s.start("naru control mesh.yaml --data plane --lease 3s --address 127.0.0.1 --listen 127.0.0.1:" + link + " --control-socket control.sock --admin 127.0.0.1:" + control)
	token := ""
	s.until("a token", "ok\n", func() string {
		token = strings.TrimSpace(s.run("naru token create --node docs --socket control.sock"))
		if strings.HasPrefix(token, "naru1.") {
			return "ok"
		}
		return token
	})
	s.start("naru node --node docs --join " + token + " --address 127.0.0.1 --mesh-port " + door + " --socket node.sock --capture off --admin 127.0.0.1:" + node)
	s.start("naru exec --socket node.sock --service orders --port " + orders + " -- echo-service " + orders)
	s.until("a refused call", "403", func() string {
		return s.run("naru exec --socket node.sock --account web --log-level error -- curl -s -m 5 -o /dev/null -w '%{http_code}' http://orders:" + orders + "/")
	})
	var text string
	s.until("metrics of the mesh", "true\n", func() string {
		text = fetch("http://127.0.0.1:"+control+"/metrics").body + fetch("http://127.0.0.1:"+node+"/metrics").body
		all := true
		for _, name := range []string{"naru_link_round_trip_seconds", "naru_link_proxies", "naru_workloads", "naru_policy_decisions_total", "naru_store_up", "naru_identity_expiry_seconds"} {
			all = all && strings.Contains(text, name)
		}
		return fmt.Sprint(all)
	})
	return text, append(namesAt(control), namesAt(node)...)
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
	help, kind string
	labels     []string
}

var labelName = regexp.MustCompile(`([a-z_]+)="`)

// describe makes the reference page from a metrics page.
func describe(text string, possible []named) string {
	all := map[string]*family{}
	var now *family
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			now = &family{help: help}
			all[name] = now
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			_, now.kind, _ = strings.Cut(rest, " ")
			continue
		}
		if now == nil {
			continue
		}
		for _, m := range labelName.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" && !slices.Contains(now.labels, m[1]) {
				now.labels = append(now.labels, m[1])
			}
		}
	}
	for _, n := range possible {
		if all[n.Name] == nil {
			all[n.Name] = &family{help: n.Help, kind: n.Kind, labels: n.Labels}
		}
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(`# Metrics

On ` + "`/metrics`" + ` of the admin address, in the Prometheus text format 0.0.4. Times
are in seconds, sizes in bytes. A metric without samples is left out; `+"`/metrics?names`"+` lists all that there may be, as JSON. Label
values come from the configuration, never from requests, but for
` + "`naru_grpc_requests_total`" + `, which a route has to ask for; statuses that are not
usual are counted by their class (` + "`2xx`" + `), and ` + "`none`" + ` means that the client got
no answer.

`)
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range names {
		f := all[name]
		labels := make([]string, len(f.labels))
		for i, l := range f.labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(labels, ", "), f.help)
	}
	return b.String()
}
