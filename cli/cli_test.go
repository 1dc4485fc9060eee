package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs a command line that ends by itself.
func call(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = Main(args, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"chek"}, `there is no command "chek" (did you mean naru check?)`},
		{[]string{"reload"}, "there is no command \"reload\"\n"},
		{[]string{"cli_test.go"}, `there is no command "cli_test.go" (did you mean naru run cli_test.go?)`},
		{[]string{"run", "-f", "x.yaml"}, "files are named without -f here: naru run shop.yaml"},
		{[]string{"explain", "431"}, "no reason code \"431\"; the codes with this status are: head_too_large, too_many_fields\n"},
		{[]string{"explain", "UO"}, "UO is what Envoy calls it; the reason codes are: overloaded\n"},
		{[]string{"explain", "URX"}, "no further try was left; not_retried in the access log may say why (retry_budget, retry_limit)\n"},
		{[]string{"explain", "DI"}, "a fault of the route has delayed the request\n"},
		{[]string{"check", "--jsn"}, "unknown flag: --jsn"},
		{[]string{"run", "--to", "localhost"}, "--to localhost: write a URL"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "x.yaml"}, "FILES and --to exclude each other"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "--zone", "eu/a/b"}, "--zone eu/a/b: write a zone as eu-central-1a, or a region and a zone as eu-central/eu-central-1a"},
		{[]string{"node", "--control", "p:1", "--network", "dc 1"}, "--network dc 1: write letters"},
		{[]string{"run", "--listen", ":1"}, "--listen goes with --to"},
		{[]string{"run", "--tls", "on"}, "--tls on: it is auto or local"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "--tls", "auto"}, "--tls auto: name the hosts"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "--tls", "auto", "a.example.com", "x.yaml"}, "FILES and --to exclude each other"},
		{[]string{"run", "--tls", "local", "a.test"}, "no configuration: name a file"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "--access-log", "xml"}, "--access-log xml: it is off, text or json"},
		{[]string{"run", "--to", "http://127.0.0.1:1", "--log-level", "loud"}, "debug, info, warn or error"},
		{[]string{"explain", "nope"}, `no reason code "nope"`},
		{[]string{"explain", "GET", "/", "-f", "x.yaml", "-H", "x"}, "a header is written 'Name: value'"},
	} {
		status, out, errs := call(t, c.args...)
		if status != exitUsage || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("naru %v: %d, %q, %q; want %q", c.args, status, out, errs, c.says)
		}
	}
}

const config = `listen: "127.0.0.1:8080"
routes:
  - {match: /, respond: 200 hello}
  - {match: POST /orders, respond: 200 orders}
`

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "naru.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCheck(t *testing.T) {
	t.Parallel()
	status, out, _ := call(t, "check", write(t, config))
	if status != 0 || out != "good: 1 listener, 2 routes, 0 services\n" {
		t.Errorf("%d %q", status, out)
	}
	status, out, _ = call(t, "check", write(t, "routes:\n- {match: /, too: x}\n"))
	if status != exitFailed || !strings.Contains(out, "did you mean to?") {
		t.Errorf("%d %q", status, out)
	}
	status, out, _ = call(t, "check", "--json", write(t, config))
	if status != 0 || !strings.Contains(out, `"problems": []`) {
		t.Errorf("%d %q", status, out)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	name := write(t, config)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"POST", "http://127.0.0.1:8080/orders"}, "route     routes/1"},
		{[]string{"post", "127.0.0.1:8080/orders"}, "route     routes/1"},
		{[]string{"127.0.0.1:8080/orders"}, "route     routes/0"},
		{[]string{"GET", "/orders"}, "route     routes/0"},
	} {
		status, out, errs := call(t, append([]string{"explain", "-f", name}, c.args...)...)
		if status != 0 || !strings.Contains(out, c.says) {
			t.Errorf("naru explain %v: %d, %q, %q; want %q", c.args, status, out, errs, c.says)
		}
	}
	status, out, _ := call(t, "explain", "no_route")
	if status != 0 || !strings.HasPrefix(out, "no_route: No route matches (404)\n") {
		t.Errorf("%d %q", status, out)
	}
}
