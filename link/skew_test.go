package link

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestSkew has proxies follow whose clocks are wrong: a little is said and borne,
// more than certificates are dated back is said, and not borne.
func TestSkew(t *testing.T) {
	t.Parallel()
	var wrong atomic.Int64 // the client's clock
	now := func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore()}, "")
	wrong.Store(int64(-3 * time.Minute))
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), Now: now, Heartbeat: minBeat})
	c.until(t, "a configuration", func(*model.Snapshot) bool { return true })

	near := func(a, b time.Duration) bool { return (a - b).Abs() < 10*time.Second }
	seen := func(at time.Duration, how, metric string) {
		t.Helper()
		eventually(t, "both know of "+at.String(), func() bool {
			s := p.Status()
			return len(s) == 1 && near(s[0].Skew, at) && near(c.Status().Skew, at)
		})
		var said string
		for _, x := range p.Problems() {
			said += x.String()
		}
		if said != "" != (how != "") || how != "" && !(strings.Contains(said, "the clock of node n1 is ") && strings.Contains(said, how)) {
			t.Errorf("at %v the control plane says %q", at, said)
		}
		g := observe.NewRegistry(1)
		p.Metrics(g)
		g.Collect(func(f observe.Family) {
			f.Each(func(x *observe.Sample) {
				if f.Name == "naru_link_skewed_proxies" && (x.Value == 1) != (metric == "1") {
					t.Errorf("at %v %s is %v", at, f.Name, x.Value)
				}
			})
		})
	}
	seen(3*time.Minute, " behind ours (set it", "1")
	if got := c.Status().Clock; !strings.HasPrefix(got, "the clock of this machine is ") || !strings.Contains(got, " behind that of control plane cp-1: tokens may be refused") {
		t.Error(got)
	}
	if !strings.Contains(p.log.String(), "the clock of node n1 is ") {
		t.Error("it is not said")
	}
	wrong.Store(int64(7 * time.Minute)) // it jumps while it follows
	seen(-7*time.Minute, " ahead of ours (set it", "1")
	if got := c.Status().Clock; !strings.Contains(got, " ahead of that of control plane cp-1: certificates and tokens will be refused (set the clock") {
		t.Error(got)
	}
	wrong.Store(0)
	seen(0, "", "0")
	if got := c.Status().Clock; got != "" {
		t.Error(got)
	}

	slow := startClient(t, ClientOptions{Node: "n2", Token: p.token(t, Grant{Node: "n2"}), Now: func() time.Time { return time.Now().Add(-20 * time.Minute) }})
	eventually(t, "a clock that is too wrong is said", func() bool {
		return strings.Contains(slow.Status().Error, "the clock of this machine is behind by 1")
	})
	if got := slow.Status().Error; !strings.Contains(got, "the control plane's certificate: it is valid from") || slow.Status().Connected {
		t.Error(got)
	}
}

// TestSilent: a proxy that is not heard is told from one that has everything.
func TestSilent(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // the server's clock
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore(), Heartbeat: time.Hour,
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}, "")
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), Heartbeat: time.Hour})
	c.until(t, "a configuration", func(*model.Snapshot) bool { return true })
	eventually(t, "it follows", func() bool { return len(p.Status()) == 1 })
	if s := p.Status()[0]; s.Silent != 0 {
		t.Errorf("it was heard just now: %v", s.Silent)
	}
	later.Store(int64(2 * time.Hour))
	if s := p.Status()[0]; s.Silent < 2*time.Hour-time.Minute {
		t.Errorf("it is silent: %v", s.Silent)
	}
}
