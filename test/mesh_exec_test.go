package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMeshExecStatus: exec ends as the command does, and as a shell where there
// is none that could be run.
func TestMeshExecStatus(t *testing.T) {
	t.Parallel()
	h := newPlainHost(t)
	h.mesh("mesh: {}\n", "--capture", "off")
	orphan := h.file("orphan", "#!/nowhere/sh\n")
	if err := os.Chmod(orphan, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		command string
		status  int
		want    string
	}{
		{"nosuchcommand", 127, "nosuchcommand: command not found"},
		{h.path("mesh.yaml"), 126, "may not be run"},
		{orphan, 126, "what runs it is not"},
		{"true", 0, ""},
	} {
		if status, out := h.output("--account", "job", "--", c.command); status != c.status || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s", c.command, status, out)
		}
	}
	for script, want := range map[string]int{"exit 3": 3, "kill -9 $$": 137, "exit 127": 127} {
		if status, out := h.output("--account", "job", "--", "sh", "-c", script); status != want {
			t.Errorf("%s: %d %s", script, status, out)
		}
	}
}

// TestMeshExecSilent: who starts a command that does not listen on its port is
// told, and told when it does.
func TestMeshExecSilent(t *testing.T) {
	t.Parallel()
	h := newPlainHost(t)
	h.mesh("mesh: {}\n", "--capture", "off")
	none := h.exec("--service", "none", "--port", "9301", "--listen-within", "50ms", "--", "sleep", "60")
	said(t, none.errs, "does not listen on port 9301", "it listens on none")
	other := h.execAs(acting("serve"), "--service", "other", "--port", "9302", "--listen-within", "50ms", "--", "sh", "-c", `exec "$0" 9303 other`, testProgram(t))
	said(t, other.out, "listening")
	said(t, other.errs, "does not listen on port 9302")
	late := h.execAs(acting("serve"), "--service", "late", "--port", "9304", "--listen-within", "50ms", "--", "sh", "-c", `read -r go; exec "$0" 127.0.0.1:9304 late`, testProgram(t))
	said(t, late.errs, "does not listen on port 9304")
	fmt.Fprintln(late.in, "go")
	said(t, late.errs, "the command listens now")
	h.serving("late", 1)
	if n := strings.Count(late.errs.text(), "does not listen"); n != 1 {
		t.Errorf("said %d times:\n%s", n, late.errs.text())
	}
}

// TestMeshExecPorts: a workload with several ports serves the same service at
// each, by that port; another port is refused with those that there are.
func TestMeshExecPorts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	h := newPlainHost(t)
	run := h.mesh("mesh: {}\n", "--capture", "off")
	h.execAs(acting("serve"), "--service", "front", "--port", "9180", "--port", "9181/http", "--", "sh", "-c", `"$0" 9180 first & a=$!
"$0" 9181 second & b=$!
trap 'kill $a $b' TERM
wait; wait`, testProgram(t))
	ask := func(url string) string {
		t.Helper()
		_, out := h.output("--account", "web", "--capture", "explicit", "--", "curl", "-sSk", "-m", "60", "-w", " %{http_code}", url)
		return out
	}
	eventually(t, "both ports are served", func() bool {
		return ask("http://front:9180/") == "first 200" && ask("http://front:9181/") == "second 200"
	})
	if got := ask("http://front/"); got != "first 200" {
		t.Errorf("without a port: %s", got)
	}
	if got := ask("http://front:9999/"); !strings.HasSuffix(got, " 502") || !strings.Contains(got, `"detail":"front is called at ports 9180, 9181, and not at 9999"`) {
		t.Errorf("at another port: %s", got)
	}
	if got := ask("https://front:9999/"); !strings.Contains(got, "502") {
		t.Errorf("at another port, by a tunnel: %s", got)
	}
	said(t, run.out, `"reason":"outbound_port"`, "front is called at ports 9180, 9181")
	run.counted(2, "naru_refused_total", "reason", "outbound_port")
	if status, out := h.output("--account", "web", "--reach", "front:1", "--", "true"); status != 0 || !strings.Contains(out, "front is called at port 9180, 9181: did you mean front:9180?") {
		t.Errorf("a local port for another: %d %s", status, out)
	}
	// A policy for the service is for all its ports.
	run.change("mesh: {}\npolicies:\n- {name: closed, to: front, deny: anyone}\n", "both ports are closed", func() bool {
		return strings.HasSuffix(ask("http://front:9180/"), " 403") && strings.HasSuffix(ask("http://front:9181/"), " 403")
	})
}

// TestMeshExecFolder: the folder of a socket that somebody else has made before
// is believed by nobody.
func TestMeshExecFolder(t *testing.T) {
	t.Parallel()
	h := newPlainHost(t)
	const user, thief = 54321, 54322
	tmp := h.path("tmp")
	theirs := filepath.Join(tmp, "naru-54321")
	if err := errors.Join(os.Chmod(filepath.Dir(binary), 0o755), os.Mkdir(tmp, 0o777), os.Chmod(tmp, 0o777|os.ModeSticky), os.Mkdir(theirs, 0o755), os.Chown(theirs, thief, thief)); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(theirs, "node.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asked := make(chan string, 1)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			text, _ := io.ReadAll(conn)
			asked <- string(text)
		}
		close(asked)
	}()
	file := h.file("mesh.yaml", "mesh: {}\n")
	for what, args := range map[string][]string{
		"exec":           {"exec", "--account", "job", "--socket", socket, "--", "true"},
		"a mesh":         {"run", file, "--address", "127.0.0.1", "--admin", "off", "--capture", "off", "--socket", filepath.Join(theirs, "b.sock"), "--control-socket", filepath.Join(tmp, "c.sock")},
		"status":         {"status", "--socket", socket},
		"a mesh's plane": {"control", file, "--address", "127.0.0.1", "--listen", "127.0.0.1:0", "--admin", "off", "--control-socket", filepath.Join(theirs, "c.sock")},
	} {
		p := h.start(as(user), binary, args...)
		if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), theirs+" belongs to user 54322") {
			t.Errorf("%s: %d %s", what, status, p.errs.text())
		}
	}
	ln.Close()
	if text, ok := <-asked; ok {
		t.Errorf("somebody connected there and said %q", text)
	}
}

// TestMeshReachByUser: a proxy that may not look into a workload's processes
// tells its connections by their user, and says so.
func TestMeshReachByUser(t *testing.T) {
	t.Parallel()
	h := &unprivileged{host: newPlainHost(t)}
	h.give(nobody)
	h.program = h.path("program")
	if err := os.Link(testProgram(t), h.program); err != nil {
		t.Skipf("this program cannot be lent to others: %v", err)
	}
	const user = 54321
	run := h.naru(as(nobody), "run", h.file("mesh.yaml", "mesh: {}\n"), "--node", h.name, "--address", "127.0.0.1", "--control-socket", h.path("control.sock"), "--capture", "off", "--allow", "54321=mail", "--drain", "2s")
	h.exec("greet", "--service", "shy", "--port", "9105/tcp", "--", h.program, "9105")
	h.serving("shy", 1)
	mail := h.start(func(c *exec.Cmd) {
		as(user)(c)
		c.Env = append(c.Env, "NARU_TEST_ACT=talk")
	}, binary, "exec", "--account", "mail", "--reach", "shy:9105=17532", "--", "sh", "-c", `exec "$0" "$NARU_REACH_SHY"`, h.program)
	said(t, mail.errs, "may not look into the processes of user 54321")
	said(t, mail.out, "welcome")
	borrow := func(change func(*exec.Cmd)) string {
		p := h.start(func(c *exec.Cmd) {
			change(c)
			c.Env = append(c.Env, "NARU_TEST_ACT=talk")
		}, h.program, "127.0.0.1:17532")
		p.out.await(func(line string) bool {
			return strings.Contains(line, "welcome") || strings.Contains(line, "over") || strings.Contains(line, "error")
		})
		_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
		return p.out.text()
	}
	if got := borrow(as(user)); !strings.Contains(got, "welcome") {
		t.Errorf("another program of the same user is told %q", got)
	}
	for what, change := range map[string]func(*exec.Cmd){"root": as(0), "the proxy's user": as(nobody), "another user": as(user + 1)} {
		if got := borrow(change); strings.Contains(got, "welcome") {
			t.Errorf("%s is told %q", what, got)
		}
	}
	eventually(t, "they are counted", func() bool { return run.value("naru_refused_total", "reason", "outbound_unproven") == 3 })
}

// TestMeshExecTakenName: what runs on under a proxy that was killed is nobody's
// who takes its name, also not of the same user; it is its own when it comes back.
func TestMeshExecTakenName(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	mesh := func() *running { return h.mesh(shopMesh, "--allow", "nobody=web") }
	first := mesh()
	web := h.execAs(as(nobody), "--account", "web", "--instance", "web-1", "--", "sh", "-c", `echo up; read -r end`)
	said(t, web.out, "up")
	web.signal(syscall.SIGSTOP) // it does not see that its proxy ends
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.done
	mesh()
	thief := h.execAs(as(nobody), "--account", "web", "--instance", "web-1", "--", "true")
	if status := thief.ended(); status != 1 || !strings.Contains(thief.errs.text(), "instance default/web-1 runs still") {
		t.Errorf("its name was taken: %d %s", status, thief.errs.text())
	}
	web.signal(syscall.SIGCONT)
	said(t, web.errs, "proxy is back")
	fmt.Fprintln(web.in, "end")
	if status := web.ended(); status != 0 {
		t.Errorf("%d %s", status, web.errs.text())
	}
}
