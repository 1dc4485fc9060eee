package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCommands: a command that is not found and one that cannot be run end exec
// as they end a shell, and it is said what would be right.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	write("good", "#!/bin/sh\nexit 7\n", 0o755)
	orphan := write("orphan", "#!/nowhere/sh\n", 0o755)
	noise := write("noise", "no program", 0o755)
	t.Setenv("PATH", dir)
	for _, c := range []struct {
		name   string
		status int
		want   string
	}{
		{"nosuch", 127, "nosuch: command not found (in PATH=" + dir + ")"},
		{"./nosuch", 127, "./nosuch: command not found: there is no such file"},
		{plain + "/x", 127, "command not found"},
		{"plain", 126, plain + " is there, and may not be run"},
		{plain, 126, "chmod +x"},
		{dir, 126, "is a folder"},
		{orphan, 126, "what runs it is not"},
		{noise, 126, "is no program of this machine"},
		{"good", 0, ""},
	} {
		path, err := findCommand(c.name)
		if err == nil {
			cmd := exec.Command(path)
			if err = cmd.Start(); err != nil {
				err = unstarted(path, err)
			} else {
				_ = cmd.Wait() // it ends with 7
			}
		}
		var e ending
		switch {
		case c.status == 0:
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		case !errors.As(err, &e) || e.status != c.status || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %d %v", c.name, e.status, err)
		}
	}
	t.Chdir(dir)
	t.Setenv("PATH", ".")
	var e ending
	if _, err := findCommand("good"); !errors.As(err, &e) || e.status != 126 || !strings.Contains(err.Error(), "write ./good") {
		t.Errorf("by a PATH that names this folder: %v", err)
	}
	if err := unstarted("x", syscall.EPERM); errors.As(err, &e) {
		t.Errorf("a place that may not be entered ends it like a command that cannot be run: %v", err)
	}
	// The whole way, as whoever runs it sees it. There is no proxy, and none is
	// waited for.
	var out, errs strings.Builder
	if status := Main([]string{"exec", "--account", "x", "--socket", filepath.Join(dir, "none.sock"), "--", "nosuch"}, strings.NewReader(""), &out, &errs); status != 127 || errs.String() != "naru: exec: nosuch: command not found (in PATH=.)\n" {
		t.Errorf("%d %s", status, errs.String())
	}
}
