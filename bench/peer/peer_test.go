package peer

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/naru-mesh/naru/app"
)

func job(t *testing.T) Job {
	t.Helper()
	dir := t.TempDir()
	cert, err := NewCertificate(dir, "bench.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Dir: dir, Plain: netip.MustParseAddrPort("127.0.0.1:8080"), Secure: netip.MustParseAddrPort("127.0.0.1:8443"),
		Origin: netip.MustParseAddrPort("127.0.0.1:9000"), Calls: netip.MustParseAddrPort("127.0.0.1:9000"), Pipe: netip.MustParseAddrPort("127.0.0.1:9090"), Cert: cert, Host: "bench.example.com", Conns: 1000,
	}
}

// TestNaruReadsItsConfiguration in every form, one after the other in one
// folder, without any complaint.
func TestNaruReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	j := job(t)
	for _, short := range []bool{false, true} {
		for _, perFile := range []int{10, 0} {
			j.Short, j.PerFile, j.Routes = short, perFile, 35
			if _, err := startNaru("naru", &j); err != nil {
				t.Fatal(err)
			}
			if err := j.Change(1, nil); err != nil {
				t.Fatal(err)
			}
			s, problems, err := app.Check(context.Background(), []string{j.path("conf")}, nil)
			if err != nil || len(problems) > 0 {
				t.Fatal(short, perFile, err, problems)
			}
			if len(s.Routes) != 38 || len(s.Flows) != 1 || len(s.Listeners) != 3 || len(s.Services) != 2 {
				t.Errorf("short %v, %d a file: %d routes, %d listeners", short, perFile, len(s.Routes), len(s.Listeners))
			}
		}
	}
}

func TestOthersAreWritten(t *testing.T) {
	t.Parallel()
	j := job(t)
	for name, start := range map[string]func() error{
		"nginx.conf":  func() error { _, err := startNginx("nginx", &j); return err },
		"haproxy.cfg": func() error { _, err := startHAProxy("haproxy", &j); return err },
		"Caddyfile":   func() error { _, err := startCaddy("caddy", &j); return err },
		"envoy.yaml":  func() error { _, err := startEnvoy("envoy", &j); return err },
	} {
		if err := start(); err != nil {
			t.Error(err)
		}
		b, err := os.ReadFile(filepath.Join(j.Dir, name))
		if err != nil || len(b) == 0 {
			t.Error(name, err)
		}
		if bytes.Contains(b, []byte("%!")) {
			t.Errorf("%s has a hole:\n%s", name, b)
		}
	}
}

func TestStampTells(t *testing.T) {
	t.Parallel()
	if Stamp(1) == Stamp(2) || Stamp(1) != Stamp(3) || Stamp(1) != 301 {
		t.Error(Stamp(1), Stamp(2))
	}
}
