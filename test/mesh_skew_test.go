package test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/source/file"
	"github.com/naru-mesh/naru/source/stored"
	"github.com/naru-mesh/naru/store/memory"
)

// planeAt is a control plane in this process, on a machine of the test, whose
// clock is ahead of everybody else's.
func (h *host) planeAt(ahead time.Duration, config string) (s *link.Server, token string) {
	h.t.Helper()
	t := h.t
	log := slog.New(slog.DiscardHandler)
	now := func() time.Time { return time.Now().Add(ahead) }
	state := memory.New()
	sealer, err := identity.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	t.Cleanup(func() { cancel(); tasks.Wait(); state.Close() })
	authority, err := ca.New(ctx, ca.Options{TrustDomain: "naru.local", Store: state, Sealer: sealer, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c := control.New(control.Options{Sources: []source.Source{file.New(h.file("mesh.yaml", config)), stored.New(state, log)}, Dialects: app.Dialects(), Log: log})
	s, err = link.NewServer(link.ServerOptions{
		Name: "plane", TrustDomain: "naru.local", Feed: c, Authority: authority, Store: state, Registry: link.NewStoreRegistry(state), Now: now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	var ln net.Listener
	if err := h.inside(func() (err error) {
		ln, err = net.Listen("tcp", "127.0.0.1:15012")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	tasks.Go(func() { c.Run(ctx) })
	tasks.Go(func() { authority.Run(ctx) })
	tasks.Go(func() { _ = s.Serve(ctx, ln) }) // until cancel
	eventually(t, "the control plane has an identity", func() bool { return s.Root() != nil })
	made, err := link.CreateToken(ctx, state, link.Grant{Node: h.name, Any: true}, time.Hour, now(), s.Root(), "naru.local", []string{ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return s, made.String()
}

// TestMeshClockIsWrong has a machine in the mesh whose clock is three minutes
// behind: that is measured and said everywhere, and harmless.
func TestMeshClockIsWrong(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	plane, token := h.planeAt(3*time.Minute, shopMesh)
	node := h.naru(nil, append([]string{"node", "--join", token}, h.node()...)...)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	eventually(t, "it calls its service", func() bool { return h.curl("web", "http://orders:9102/") == "200 orders here" })

	near := func(d time.Duration) bool { return (d - 3*time.Minute).Abs() < 10*time.Second }
	if s := plane.Status(); len(s) != 1 || !near(s[0].Skew) {
		t.Errorf("the control plane sees %+v", s)
	}
	if p := plane.Problems(); len(p) != 1 || p[0].Code != "clock-skew" || !strings.Contains(p[0].Message, "the clock of node "+h.name+" is ") {
		t.Errorf("and says %v", p)
	}
	if v := node.value("naru_link_clock_skew_seconds"); !near(time.Duration(v * float64(time.Second))) {
		t.Errorf("naru_link_clock_skew_seconds is %v", v)
	}
	for _, page := range []string{"/status", "/problems"} {
		if text := node.page(page); !strings.Contains(text, " behind that of control plane plane: tokens may be refused (set the clock") {
			t.Errorf("%s: %s", page, text)
		}
	}
	said(t, node.errs, "the clock of this machine is", "behind that of control plane plane")
}

// TestMeshClockIsFarOff has one join whose clock is further behind than
// certificates are dated back: it is told why it does not get in.
func TestMeshClockIsFarOff(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, token := h.planeAt(time.Hour, shopMesh)
	node := h.start(nil, binary, append([]string{"node", "--join", token, "--admin", "off"}, h.node()...)...)
	said(t, node.errs, "the control plane's certificate: it is valid from", "the clock of this machine is behind by 5", "set the clock")
}
