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
