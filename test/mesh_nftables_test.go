package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/capture"
)

// meshNftables runs all of a mesh on a machine whose workloads are captured by
// nftables.
func (h *host) meshNftables(config string) *running {
	h.t.Helper()
	return h.mesh(config, "--capture", "nftables")
}

// TestMeshNftables has workloads of a machine without eBPF call each other as
// those of others do.
func TestMeshNftables(t *testing.T) {
	t.Parallel()
	h := newHostBy(t, capture.Nftables)
	run := h.meshNftables(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102", "--health", "/"}, "serve", "9102", "orders here")
	h.perform([]string{"--service", "payments", "--port", "9103"}, "serve", "127.0.0.1:9103", "payments here")
	h.perform([]string{"--service", "chat", "--port", "9104"}, "greet", "9104")
	for _, service := range []string{"orders", "payments", "chat"} {
		h.serving(service, 1)
	}
	for _, name := range []string{"orders", "orders.default", "orders.default.mesh"} {
		if got := h.curl("web", "http://"+name+":9102/"); got != "200 orders here" {
			t.Errorf("curl of %s: %s", name, got)
		}
	}
	if got := h.curl("web", "http://payments:9103/"); got != "200 payments here" {
		t.Errorf("a service on its loopback: %s", got)
	}
	said(t, run.out, `"source":"spiffe://naru.local/ns/default/sa/web"`, `"destination":"spiffe://naru.local/ns/default/sa/orders"`)
	// The loopback is its own: local ports of the machine would not be there.
	if status, out := h.output("--account", "web", "--reach", "chat:9104", "--", "true"); status == 0 || !strings.Contains(out, "network of its own") {
		t.Errorf("a local port: %d %s", status, out)
	}
	if status, out := h.output("--account", "web", "--capture", "explicit", "--reach", "orders:9102=17440", "--", "curl", "-sS", "-m", "60", "http://127.0.0.1:17440/"); status != 0 || !strings.Contains(out, "orders here") {
		t.Errorf("a local port of one that is not captured: %d %s", status, out)
	}
	// A server that speaks first.
	talk := h.perform([]string{"--account", "web"}, "talk", "chat:9104")
	said(t, talk.out, "welcome")
	fmt.Fprintln(talk.in, "good day")
	said(t, talk.out, "good day")
	talk.signal(syscall.SIGTERM)
	talk.ended()
	// From outside by the gateway, and not past it.
	if status, body, err := h.get("http://127.0.0.1:8080/"); status != 200 || body != "orders here" {
		t.Errorf("by the gateway: %d %q %v", status, body, err)
	}
	if body, err := h.ask("127.0.0.1:9102"); err == nil {
		t.Errorf("plaintext to a strict service: %q", body)
	}
	tried := 0
	for _, line := range strings.Split(h.ip("-o -4 addr"), "\n") {
		_, at, ok := strings.Cut(line, "inet 169.254.")
		var c, d int
		if n, err := fmt.Sscanf(at, "%d.%d/", &c, &d); !ok || n != 2 {
			continue // not one of ours
		} else if err != nil {
			t.Fatal(err)
		}
		for _, port := range []string{"9102", "9103", "9104"} {
			tried++
			if body, err := h.ask(fmt.Sprintf("169.254.%d.%d:%s", c, d+1, port)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("from the machine to port %s of %s: %q %v", port, line, body, err)
			}
		}
	}
	if tried < 9 { // others may just be leaving
		t.Errorf("%d doors of 3 workloads were tried", tried)
	}
	eventually(t, "the workloads are counted", func() bool { return run.value("naru_workloads", "capture", "nftables") == 3 })
	// What a workload is, it is told by the Workload API, too.
	if p := h.perform([]string{"--account", "web"}, "svid"); p.ended() != 0 || !strings.Contains(p.out.text(), "/sa/web") {
		t.Errorf("%s%s", p.out.text(), p.errs.text())
	}
}

// TestMeshNftablesProxyEnds: what workloads are captured by outlives their
// proxy, and its successor takes them over; in the end nothing is left.
func TestMeshNftablesProxyEnds(t *testing.T) {
	t.Parallel()
	for how, sig := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGTERM} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := newHostBy(t, capture.Nftables)
			run := h.meshNftables(shopMesh)
			orders := h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
			h.serving("orders", 1)
			web := h.surfer()
			ask := func(url, want string) {
				t.Helper()
				fmt.Fprintln(web.in, url)
				said(t, web.out, want)
			}
			h.ip("addr add 192.0.2.1/32 dev lo")
			h.stranger("192.0.2.1:9300", "far away")
			ask("http://orders:9102/", "orders here (0)")
			ask("http://192.0.2.1:9300/", "far away (0)")

			run.signal(sig)
			run.ended()
			ask("http://192.0.2.1:9300/", "(7)") // refused: connections are not made past the proxy
			ask("http://orders:9102/", "(6)")    // nobody answers names
			if body, err := h.ask("127.0.0.1:9102"); err == nil {
				t.Errorf("while the proxy is away a stranger reads %q", body)
			}

			run = h.meshNftables(shopMesh)
			h.serving("orders", 1)
			eventually(t, "the workload calls as before", func() bool {
				fmt.Fprintln(web.in, "http://orders:9102/")
				line, _ := web.out.await(func(line string) bool { return strings.Contains(line, "(") })
				return strings.Contains(line, "orders here (0)")
			})
			web.in.Close()
			orders.signal(syscall.SIGTERM)
			for _, p := range []*running{web, orders} {
				if status := p.ended(); status != 0 {
					t.Errorf("a workload ends with %d: %s", status, p.errs.text())
				}
			}
			eventually(t, "nothing is left of the workloads", func() bool {
				return len(h.spaces()) == 0 && !strings.Contains(h.ip("-o link"), "naru")
			})
			run.signal(syscall.SIGTERM)
			run.ended()
		})
	}
}

// TestMeshNftablesUnprivileged: who may not start anything in a network
// namespace is told so, and goes by its environment where that will do.
func TestMeshNftablesUnprivileged(t *testing.T) {
	t.Parallel()
	h := newHostBy(t, capture.Nftables)
	h.meshNftables(shopMesh)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	p := h.execAs(as(nobody), "--account", "nobody", "--capture", "transparent", "--", "true")
	if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), "traffic cannot be captured here: nftables needs naru exec to have CAP_SYS_ADMIN") {
		t.Errorf("%d %s", status, p.errs.text())
	}
	p = h.execAs(as(nobody), "--account", "nobody", "--", "curl", "-sS", "-m", "60", "http://orders:9102/")
	if status := p.ended(); status != 0 || p.out.text() != "orders here" || !strings.Contains(p.errs.text(), "traffic is not captured (nftables needs naru exec to have CAP_SYS_ADMIN") {
		t.Errorf("%d %s%s", status, p.out.text(), p.errs.text())
	}
}

// spaces are the network namespaces of the machine's workloads.
func (h *host) spaces() []string {
	h.t.Helper()
	all, err := filepath.Glob("/run/netns/" + h.scope + "-*")
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}
