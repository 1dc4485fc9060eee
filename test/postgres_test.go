package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
)

// postgres starts a database server that lets everybody in, or skips the test
// where none is installed. Its programs refuse to run as root.
func postgres(t *testing.T) (port string) {
	t.Helper()
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("psql is not installed")
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Skip("no PostgreSQL server is installed")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "naru-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	prepare := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-N", "--locale", "C")
	prepare.SysProcAttr, prepare.Dir = as, dir
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Skipf("initdb: %v\n%s", err, out)
	}
	port = freeport.Hold(t)
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-h", "127.0.0.1", "-k", dir, "-F")
	server.SysProcAttr, server.Dir = as, dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		_ = server.Wait()
	})
	eventually(t, "the database listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return port
}

// TestPostgres talks with a real database through a TCP route: small questions,
// a large answer and a large question.
func TestPostgres(t *testing.T) {
	t.Parallel()
	db := postgres(t)
	g := start(t, "routes:\n- {name: db, match: tcp://$LISTEN, to: '127.0.0.1:"+db+"'}\n")
	psql := func(in string, args ...string) (string, error) {
		_, port, _ := net.SplitHostPort(g.addr)
		cmd := exec.Command("psql", append([]string{"-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", port, "-U", "postgres"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	eventually(t, "the database answers", func() bool {
		out, err := psql("", "-c", "select 6 * 7")
		return err == nil && out == "42\n"
	})
	const rows = 200_000
	out, err := psql("", "-c", fmt.Sprintf("select i, repeat('naru', 20) from generate_series(1, %d) i", rows))
	if err != nil || strings.Count(out, "\n") != rows || !strings.HasSuffix(out, fmt.Sprintf("%d|%s\n", rows, strings.Repeat("naru", 20))) {
		t.Errorf("a large answer has %d lines: %v", strings.Count(out, "\n"), err)
	}
	var in strings.Builder
	in.WriteString("create table t (i int, s text);\ncopy t from stdin;\n")
	for i := range rows {
		fmt.Fprintf(&in, "%d\t%s\n", i, strings.Repeat("x", 50))
	}
	in.WriteString("\\.\nselect count(*), sum(length(s)) from t;\n")
	if out, err := psql(in.String()); err != nil || out != fmt.Sprintf("%d|%d\n", rows, 50*rows) {
		t.Errorf("a large question: %q, %v", out, err)
	}
	eventually(t, "all has ended", func() bool { return g.metrics().value("naru_flow_connections_active", "flow", "db") == 0 })
}
