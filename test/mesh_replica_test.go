package test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/naru-mesh/naru/admin"
)

// actEtcd is an etcd that somebody else runs, with its state in a folder.
func actEtcd(dir, address string) error {
	c := embed.NewConfig()
	c.Dir, c.LogLevel = dir, "panic"
	own, peer := url.URL{Scheme: "http", Host: address}, url.URL{Scheme: "http", Host: "127.0.0.1:23800"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{own}, []url.URL{own}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.Name + "=" + peer.String()
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	<-e.Server.ReadyNotify()
	fmt.Println("etcd is ready")
	return <-e.Err()
}

// replica starts one of several control planes of a machine.
func (h *host) replica(name, listen string, args ...string) *running {
	h.t.Helper()
	return h.naru(nil, append([]string{"control", h.path("mesh.yaml"), "--node", name, "--address", "127.0.0.1", "--listen", listen,
		"--control-socket", h.path(name + ".sock"), "--seal-key", h.path("seal.key")}, args...)...)
}

// asked is what a replica says.
func (h *host) asked(name string) *admin.PlaneStatus {
	h.t.Helper()
	s, err := admin.AtPlane(h.path(name + ".sock")).Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestMeshReplicas has two control planes on one etcd outside, one of which is
// killed: a node goes on with the other, with the same root, and what is new
// comes.
func TestMeshReplicas(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.file("mesh.yaml", shopMesh)
	h.file("seal.key", strings.Repeat("5e", 32))
	if err := syscall.Chmod(h.path("seal.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := h.start(acting("etcd"), testProgram(t), h.path("etcd"), "127.0.0.1:2379")
	said(t, outside.out, "etcd is ready")
	const lease = 10 * time.Second // what a busy machine needs to find the other
	names := []string{"one", "two"}
	var replicas []*running
	for i, name := range names {
		replicas = append(replicas, h.replica(name, fmt.Sprintf("127.0.0.1:1501%d", 2+i), "--etcd", "http://127.0.0.1:2379", "--lease", lease.String()))
	}
	if a, b := h.asked("one"), h.asked("two"); a.Replica != "one" || b.Replica != "two" || len(a.Roots) != 1 || len(b.Roots) != 1 || a.Roots[0] != b.Roots[0] {
		t.Fatalf("two authorities: %+v, %+v", a, b)
	}
	h.naru(nil, append([]string{"node", "--join", h.tokenAt("one.sock", "--node", h.name), "--control", "127.0.0.1:15012", "--control", "127.0.0.1:15013"}, h.node()...)...)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	orders := func(replica string) bool {
		return slices.ContainsFunc(h.asked(replica).Workloads, func(w admin.WorkloadView) bool {
			return w.State == "serving" && slices.Contains(w.Services, "orders")
		})
	}
	follows := func() int {
		for i, r := range replicas {
			select {
			case <-r.done:
				continue
			default:
			}
			for _, p := range h.asked(names[i]).Proxies {
				if p.Node == h.name && p.Replica == names[i] {
					return i
				}
			}
		}
		return -1
	}
	first := -1
	eventually(t, "the node follows a replica, and both know of the workload", func() bool {
		first = follows()
		for _, name := range names {
			if !orders(name) {
				return false
			}
		}
		return first >= 0
	})
	if got := h.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Fatalf("by replica %s: %s", names[first], got)
	}
	other := names[1-first]
	eventually(t, "the other shows it, too, and whom it follows", func() bool {
		s := h.asked(other)
		return len(s.Replicas) == 2 && s.Replicas[0].Name == "one" && s.Replicas[1].Name == "two" && s.Replicas[first].Proxies == 1 &&
			s.Replicas[0].Error == "" && s.Replicas[1].Error == "" && s.Replicas[1-first].Proxies == 0 &&
			len(s.Proxies) == 1 && s.Proxies[0].Node == h.name && s.Proxies[0].Replica == names[first] && s.Proxies[0].Bundles
	})
	replicas[first].signal(syscall.SIGKILL)
	replicas[first].ended()
	text := h.start(nil, binary, "status", "--socket", h.path(other+".sock"))
	text.ended()
	for _, want := range []string{names[first] + "  +127.0.0.1:1501" + fmt.Sprint(2+first) + "  +unreachable: its proxies are not shown", "control plane " + names[first] + ": .*refused"} {
		if !regexp.MustCompile(want).MatchString(text.out.text()) {
			t.Errorf("a replica that was killed: %s\nand not %s", text.out.text(), want)
		}
	}
	eventually(t, "the node follows the other", func() bool { return follows() == 1-first })
	began := time.Now()
	eventually(t, "it stays registered beyond the lease of the one that was killed", func() bool {
		if !orders(other) {
			t.Fatalf("its workload is gone %s after: %+v", time.Since(began), h.asked(other).Workloads)
		}
		return time.Since(began) > lease+time.Second
	})
	// A new identity is signed by the other.
	if got := h.curl("late", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("by replica %s: %s", other, got)
	}
	h.file("mesh.yaml", shopMesh+"policies: [{name: none, to: orders, allow: []}]\n")
	eventually(t, "a policy comes by the other", func() bool { return strings.HasPrefix(h.curl("web", "http://orders:9102/"), "403") })
}

// TestMeshPeers has three control planes keep the state together: with one of
// them away it can be changed.
func TestMeshPeers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.file("mesh.yaml", shopMesh)
	h.file("seal.key", strings.Repeat("5e", 32))
	if err := syscall.Chmod(h.path("seal.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	var peers []string
	for i := range 3 {
		peers = append(peers, "--peer", fmt.Sprintf("plane-%d=http://127.0.0.1:2380%d", i, i))
	}
	// None greets before two are there.
	var all []*running
	for i := range 3 {
		name := fmt.Sprintf("plane-%d", i)
		all = append(all, h.start(nil, binary, append([]string{"control", h.path("mesh.yaml"), "--node", name, "--address", "127.0.0.1",
			"--listen", fmt.Sprintf("127.0.0.1:1501%d", 2+i), "--control-socket", h.path(name + ".sock"), "--seal-key", h.path("seal.key"),
			"--data", h.path(name), "--admin", "off", "--json"}, peers...)...))
	}
	for _, p := range all {
		said(t, p.out, `"event":"running"`)
	}
	a, b := h.asked("plane-0"), h.asked("plane-2")
	if len(a.Roots) != 1 || len(b.Roots) != 1 || a.Roots[0] != b.Roots[0] {
		t.Errorf("two authorities: %+v, %+v", a.Roots, b.Roots)
	}
	if fmt.Sprint(a.Store.(map[string]any)["kind"]) != "member" {
		t.Errorf("its store is %v", a.Store)
	}
	all[1].signal(syscall.SIGKILL)
	all[1].ended()
	eventually(t, "a token is made by two of three", func() bool {
		return h.start(nil, binary, "token", "create", "--socket", h.path("plane-0.sock"), "--node", "x", "--any").ended() == 0
	})
}
