package test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// resident is the memory of a process that is in use, in MiB (proc(5), VmRSS).
func (p *running) resident() float64 {
	p.h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.h.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		p.h.t.Skip("the kernel does not tell what is resident")
	}
	kB, err := strconv.Atoi(string(m[1]))
	if err != nil {
		p.h.t.Fatal(err)
	}
	return float64(kB) / 1024
}

// TestIdleMemory holds a gateway and a node with one workload to what they may
// need at rest.
func TestIdleMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector needs memory of its own")
	}
	t.Parallel()
	h := newHost(t)
	config := "listen: 127.0.0.1:8080\nroutes:\n"
	for i := range 10 {
		config += fmt.Sprintf("- {match: /%d, to: s%d}\n", i, i)
	}
	config += "services:\n"
	for i := range 10 {
		config += fmt.Sprintf("  s%d: [\"127.0.0.1:%d\"]\n", i, 9200+i)
	}
	atMost := func(what string, p *running, most float64) {
		var last float64
		eventually(t, fmt.Sprintf("%s is at rest with less than %.0f MiB", what, most), func() bool {
			last = p.resident()
			return last <= most
		})
		t.Logf("%s: %.1f MiB", what, last)
	}
	gateway := h.naru(nil, "run", h.file("ten.yaml", config))
	atMost("a gateway with ten routes", gateway, 30)
	atMost("a gateway before URL", h.naru(nil, "run", "--to", "http://127.0.0.1:9200", "--listen", "127.0.0.1:8081"), 30)

	h.naru(nil, "control", h.file("mesh.yaml", "mesh: {}\n"), "--listen", "127.0.0.1:15012", "--control-socket", h.path("control.sock"), "--address", "127.0.0.1", "--node", "plane")
	token := h.token("--node", h.name)
	node := h.naru(nil, append([]string{"node", "--join", token}, h.node()...)...)
	h.exec("--service", "orders", "--port", "9102", "--health", "none", "--", "sleep", "1000")
	h.serving("orders", 1)
	atMost("a node with one workload", node, 25)
}
