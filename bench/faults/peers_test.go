package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/app"
)

func countOf(text, word string) int { return strings.Count(text, word) }

func testJob(t *testing.T, overload bool) *job {
	t.Helper()
	j := &job{dir: t.TempDir(), listen: netip.MustParseAddrPort("127.0.0.1:18080"), overload: overload}
	for i := range instances {
		j.instances = append(j.instances, netip.MustParseAddrPort(fmt.Sprintf("127.0.100.%d:18081", i+1)))
	}
	return j
}

// TestNaruReadsItsConfiguration without any complaint.
func TestNaruReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start    func(string, *job) (*exec.Cmd, error)
		overload bool
	}{"naru": {startNaru, false}, "bare": {startBare, false}, "naru under overload": {startNaru, true}, adaptive: {startAdaptive, true}} {
		j := testJob(t, c.overload)
		if _, err := c.start("naru", j); err != nil {
			t.Fatal(err)
		}
		s, problems, err := app.Check(context.Background(), []string{j.dir + "/naru.yaml"}, nil)
		if err != nil || len(problems) > 0 {
			t.Fatal(name, err, problems)
		}
		if len(s.Services) != 1 || len(s.Routes) == 0 {
			t.Errorf("%s: %d services, %d routes", name, len(s.Services), len(s.Routes))
		}
	}
}

// TestOthersReadTheirConfiguration where they are installed.
func TestOthersReadTheirConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(string, *job) (*exec.Cmd, error)
		file  string
		check func(program string, j *job) []string
	}{
		"nginx": {startNginx, "nginx.conf", func(p string, j *job) []string {
			return []string{p, "-t", "-q", "-p", j.dir, "-c", j.dir + "/nginx.conf", "-e", "stderr"}
		}},
		"haproxy": {startHAProxy, "haproxy.cfg", func(p string, j *job) []string { return []string{p, "-c", "-q", "-f", j.dir + "/haproxy.cfg"} }},
		"envoy": {startEnvoy, "envoy.yaml", func(p string, j *job) []string {
			return []string{p, "--mode", "validate", "-c", j.dir + "/envoy.yaml", "--log-level", "error"}
		}},
	} {
		for _, overload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, overload), func(t *testing.T) {
				t.Parallel()
				j := testJob(t, overload)
				if _, err := c.start(name, j); err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(j.dir + "/" + c.file)
				if err != nil || strings.Contains(string(text), "%!") {
					t.Fatalf("%v\n%s", err, text)
				}
				for _, a := range j.instances {
					if !strings.Contains(string(text), a.Addr().String()) {
						t.Errorf("%v is not in it", a)
					}
				}
				program := look(name)
				if program == "" {
					t.Skip(name, "is not installed")
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				args := c.check(program, j)
				if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil || len(out) > 0 && name != "envoy" { // which says that it is content
					t.Errorf("%v: %s\n%s", err, out, text)
				}
			})
		}
	}
}
