package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestMeshSquatter: a program has taken the port of the mesh while the proxy was
// away. It is said which, the machine is not ready, and the workloads are reached
// when the program has gone.
func TestMeshSquatter(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	squatter := h.start(acting("serve"), testProgram(t), h.addr+":15008", "squatter")
	said(t, squatter.out, "listening")
	run := h.mesh(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	told := said(t, run.errs, "listener mesh/in/default/orders-", "address already in use: process ", ") of user root listens on port 15008")
	if !strings.Contains(told, fmt.Sprintf("process %d ", squatter.cmd.Process.Pid)) {
		t.Errorf("it is %d, and not %s", squatter.cmd.Process.Pid, told)
	}
	ready := func() (int, string) {
		status, body, err := h.get(run.admin + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	if status, body := ready(); status != 503 || !strings.Contains(body, "workloads of this machine are not reached: ") {
		t.Errorf("ready: %d %s", status, body)
	}
	squatter.signal(syscall.SIGTERM)
	squatter.ended()
	eventually(t, "the port is the mesh's again", func() bool { status, _ := ready(); return status == 200 })
	h.serving("orders", 1)
	if got := h.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("a call: %s", got)
	}
}

// TestMeshPlainSquatter: a program takes the port of the door for plaintext after
// the proxy has chosen it and before it listens there, as another proxy of the
// machine that begins at the same time would. Who is not in the mesh reaches the
// workload all the same.
func TestMeshPlainSquatter(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mesh(strings.Replace(shopMesh, "mesh: {}", "mesh: {mtls: permissive}", 1))
	h.stranger(":15006", "squatter")
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	if got, err := h.ask("127.0.0.1:9102"); err != nil || got != "orders here" {
		t.Errorf("a stranger hears %q, %v", got, err)
	}
	if got, err := h.ask("127.0.0.1:15006"); err != nil || got != "squatter" {
		t.Errorf("the squatter's own callers hear %q, %v", got, err)
	}
}
