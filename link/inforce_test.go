package link

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// TestInForce: that a workload leaves is known when every proxy goes by it, not
// when it has acknowledged it.
func TestInForce(t *testing.T) {
	t.Parallel()
	feed := newFeed(shop(3))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: newCA(t), Store: newFakeStore()}, "")
	slow := startClient(t, ClientOptions{Node: "n1", Serves: true, Token: p.token(t, Grant{Node: "n1"}), Heartbeat: minBeat})
	plain := startClient(t, ClientOptions{Node: "n2", Token: p.token(t, Grant{Node: "n2"}), Heartbeat: minBeat})
	first := slow.until(t, "the first configuration", func(*model.Snapshot) bool { return true })
	plain.until(t, "the first configuration", func(*model.Snapshot) bool { return true })
	slow.Serves(first.Version)
	leaving := first.Workloads[1].Name

	cfg := shop(3)
	cfg.Workloads[1].State = model.Draining
	feed.set(cfg)
	next := slow.until(t, "the change", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	plain.until(t, "the change", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	eventually(t, "it is acknowledged", func() bool { s := p.Status(); return len(s) == 2 && s[0].Lag == 0 && s[1].Lag == 0 })
	short, cancel := context.WithTimeout(t.Context(), 3*settleLook)
	defer cancel()
	if err := p.Settle(short, leaving, true); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("acknowledged and not in force: %v", err)
	}
	slow.Serves(first.Version) // which it did before
	short, cancel = context.WithTimeout(t.Context(), 3*settleLook)
	defer cancel()
	if err := p.Settle(short, leaving, true); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the one before in force: %v", err)
	}
	long, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	slow.Serves(next.Version)
	if err := p.Settle(long, leaving, true); err != nil {
		t.Error(err)
	}

	// A proxy that is back with what it serves says so by itself, and who has gone
	// is not waited for.
	slow.stop()
	again := startClient(t, ClientOptions{Node: "n3", Serves: true, Token: p.token(t, Grant{Node: "n3"}), Heartbeat: minBeat})
	last := again.until(t, "a configuration", func(*model.Snapshot) bool { return true })
	again.Serves(last.Version)
	if err := p.Settle(long, leaving, true); err != nil {
		t.Error(err)
	}
	before := time.Now()
	cfg = shop(3)
	cfg.Services[0].Connect = time.Minute
	cfg.Workloads[1].State = model.Draining
	feed.set(cfg)
	newest := again.until(t, "another change", func(s *model.Snapshot) bool { return s.Services[0].Connect == time.Minute })
	again.Serves(newest.Version)
	if err := p.Settle(long, leaving, true); err != nil {
		t.Errorf("after %v: %v", time.Since(before), err)
	}
}
