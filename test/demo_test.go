package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo does what make demo does: builds the shop, starts it behind naru,
// orders something, and looks for what is left behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin, temp := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", bin+"/", "./cmd/naru", "./examples/shop/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	demo := exec.CommandContext(ctx, filepath.Join(bin, "demo"), "-once", "-config", "examples/shop/naru.yaml")
	demo.Dir = root
	demo.Env = append(os.Environ(), "TMPDIR="+temp)
	demo.Cancel = func() error { return demo.Process.Signal(syscall.SIGTERM) }
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out)
	}
	for _, want := range []string{"200 OK\n" + `{"id":"boat"`, "201 Created\n" + `{"id":1,"item":"lantern","quantity":2,"cents":4700`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("the demo left %v behind", left)
	}
}
