package test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDemo does what make demo does: builds the shop, starts it in a mesh, has
// one call allowed and one refused, and looks for what is left behind: also for
// an ordinary user, where nothing can be captured but by environment.
func TestDemo(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/naru", "./examples/shop/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	config, err := os.ReadFile(filepath.Join(root, "examples/shop/naru.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// Somebody has the usual ports, be it we: two demos at once would both
	// find one free.
	for _, port := range []string{"8080", "9001", "9002", "9003", "9004", "9901", "15008"} {
		if ln, err := net.Listen("tcp", ":"+port); err == nil {
			t.Cleanup(func() { ln.Close() })
		}
	}
	users := map[string]*syscall.Credential{"as this user": nil}
	if os.Getuid() == 0 {
		users["as nobody"] = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	for name, user := range users {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			if user != nil {
				// What lies below is for others than its owner, too.
				for _, dir := range []string{filepath.Dir(filepath.Dir(bin)), filepath.Dir(bin), filepath.Dir(temp)} {
					if err := os.Chmod(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chown(temp, int(user.Uid), int(user.Gid)); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "naru.yaml")
			if err := os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, config, 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			demo := exec.CommandContext(ctx, filepath.Join(bin, "demo"), "-config", file)
			demo.Dir = temp
			demo.Env = append(os.Environ(), "TMPDIR="+temp, "HOME="+temp, "HTTP_PROXY=http://127.0.0.1:9") // which is not for the mesh
			demo.SysProcAttr = &syscall.SysProcAttr{Credential: user}
			demo.Cancel = func() error { return demo.Process.Signal(syscall.SIGTERM) }
			said := playDemo(t, demo)
			for _, want := range []string{
				"200 OK\n" + `{"id":"boat"`,
				"201 Created\n" + `{"id":1,"item":"lantern","quantity":2,"cents":4700,"receipt":"r1"`,
				"403 Forbidden\n" + `{"type":"urn:naru:reason:policy_denied"`, `"policy":"default/only-orders"`,
			} {
				if !strings.Contains(said, want) {
					t.Errorf("the demo does not show %q:\n%s", want, said)
				}
			}
			if user != nil && !strings.Contains(said, "captured by HTTP_PROXY and HTTPS_PROXY in their environment alone") {
				t.Errorf("the demo does not say what is explicit:\n%s", said)
			}
			for _, path := range leftByDemo(t, temp, demo.Process.Pid) {
				t.Errorf("the demo left %s behind", path)
			}
		})
	}
}

// playDemo has the demo run until whom it refused is allowed, stops it, and
// gives what it said.
func playDemo(t *testing.T, demo *exec.Cmd) string {
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	demo.Stderr = demo.Stdout
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	var file string
	var visit []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "  config "): // ours, or the copy that is used
			file = strings.Fields(line)[1]
		case strings.HasPrefix(line, "  bin/naru exec "):
			visit = strings.Fields(strings.NewReplacer("'", "", "bin/", filepath.Dir(demo.Path)+"/").Replace(line))
		case line == "Ctrl-C ends everything.":
			text, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "allow: orders", "allow: [orders, visitor]")), 0o644)
			}
			if err != nil {
				t.Error(err)
			}
			eventually(t, "a visitor is allowed to pay", func() bool {
				call := exec.Command(visit[0], visit[1:]...)
				call.SysProcAttr = &syscall.SysProcAttr{Credential: demo.SysProcAttr.Credential}
				answer, _ := call.CombinedOutput() // which may be a refusal
				return strings.HasPrefix(string(answer), "201 Created") || strings.Contains(string(answer), "\n201 Created")
			})
			if err := demo.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo failed: %v\n%s", err, said.String())
	}
	return said.String()
}

// leftByDemo looks for files, processes, cgroups and pins.
func leftByDemo(t *testing.T, temp string, pid int) []string {
	var left []string
	scope := fmt.Sprintf("naru-demo-%d", pid)
	for _, pattern := range []string{temp + "/*", "/sys/fs/bpf/" + scope, "/sys/fs/cgroup/" + scope + "*", "/sys/fs/cgroup/unified/" + scope + "*", "/sys/fs/cgroup/*/" + scope + "-proxy"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if text, err := os.ReadFile(c); err == nil && strings.Contains(string(text), temp+"/naru-demo-") {
			left = append(left, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return left
}
