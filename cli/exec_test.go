package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestExecWaitsForAnotherProxy: a proxy that ends in the middle of a beginning,
// before it has answered and before it was ready, is waited for like one that is
// not there; the command runs once.
func TestExecWaitsForAnotherProxy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	go func() {
		defer close(heard)
		for try := range 3 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			if try > 0 {
				line, _ := in.ReadString('\n')
				heard <- strings.TrimSpace(line)
				fmt.Fprintln(conn, `{"about":{"name":"default/job-1","env":["JOB=1"]}}`)
			}
			if try == 2 {
				fmt.Fprintln(conn, `{"ready":true}`)
				for line, err := in.ReadString('\n'); err == nil; line, err = in.ReadString('\n') {
					heard <- strings.TrimSpace(line)
				}
			}
			conn.Close()
		}
	}()
	var out, errs strings.Builder
	status := Main([]string{"exec", "--account", "job", "--socket", socket, "--", "sh", "-c", `echo "ran $JOB"; exit 5`}, strings.NewReader(""), &out, &errs)
	l.Close()
	if status != 5 || out.String() != "ran 1\n" || errs.String() != "" {
		t.Errorf("%d %q %q", status, out.String(), errs.String())
	}
	var all []string
	for line := range heard {
		all = append(all, line)
	}
	if want := `{"attach":{"service":"","account":"job","within":30000000000}}`; len(all) != 3 || all[0] != want || all[1] != want || all[2] != `{"started":true}` {
		t.Errorf("the proxies heard %q", all)
	}
	// Whom nobody answers says that, and not how the last conversation ended alone.
	l, err = net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	errs.Reset()
	if status := Main([]string{"exec", "--account", "job", "--socket", socket, "--wait", "1s", "--", "true"}, strings.NewReader(""), &out, &errs); status != 1 ||
		!strings.HasPrefix(errs.String(), "naru: exec: no naru serves workloads here at "+socket+" within 1s: start naru node") || !strings.Contains(errs.String(), "; the last try: ") || !strings.Contains(errs.String(), "before it answered") {
		t.Errorf("%d %s", status, errs.String())
	}
}

// TestExecTellsWhatIsMissing has a proxy that cannot get the workload ready: what
// it says is what is told, and not that nobody was there.
func TestExecTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "n.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		var asked struct {
			Attach struct{ Within time.Duration }
		}
		if line, err := in.ReadBytes('\n'); err != nil || json.Unmarshal(line, &asked) != nil {
			return
		}
		fmt.Fprintln(conn, `{"about":{"name":"default/job-1","identity":"spiffe://a/ns/default/sa/job","capture":"off"}}`)
		<-time.After(asked.Attach.Within + 10*time.Millisecond)
		fmt.Fprintln(conn, `{"error":"the control plane is away"}`)
		_, _ = in.ReadByte() // until exec has gone
	}()
	var out, errs strings.Builder
	if status := Main([]string{"exec", "--account", "job", "--socket", socket, "--wait", "1500ms", "--", "true"}, strings.NewReader(""), &out, &errs); status != 1 ||
		errs.String() != "naru: exec: the proxy is not ready for default/job-1: the control plane is away\n" {
		t.Errorf("%d %s", status, errs.String())
	}
}
