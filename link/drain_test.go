package link

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// TestDrained: that a workload leaves is known when every proxy goes by it, not
// when it has acknowledged it.
func TestDrained(t *testing.T) {
	t.Parallel()
	feed := newFeed(shop(3))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: newCA(t), Store: newFakeStore()}, "")
	slow := startClient(t, ClientOptions{Node: "n1", Serves: true, Token: p.token(t, Grant{Node: "n1"}), Heartbeat: minBeat})
	plain := startClient(t, ClientOptions{Node: "n2", Token: p.token(t, Grant{Node: "n2"}), Heartbeat: minBeat})
	first := slow.until(t, "the first configuration", func(*model.Snapshot) bool { return true })
	plain.until(t, "the first configuration", func(*model.Snapshot) bool { return true })
	slow.Serves(first.Version)
	leaving := first.Workloads[1]

	ended := make(chan error, 1)
	ask := func(ctx context.Context) {
		go func() { ended <- p.Drained(ctx, "", leaving.Name) }()
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ask(short)
	if err := <-ended; status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "not known to the control plane") {
		t.Errorf("one that serves: %v", err)
	}

	cfg := shop(3)
	cfg.Workloads[1].State = model.Draining
	feed.set(cfg)
	next := slow.until(t, "the change", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	plain.until(t, "the change", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	eventually(t, "it is acknowledged", func() bool { s := p.Status(); return len(s) == 2 && s[0].Lag == 0 && s[1].Lag == 0 })
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ask(short)
	if err := <-ended; status.Code(err) != codes.DeadlineExceeded || !strings.HasSuffix(err.Error(), "is not known to n1") {
		t.Errorf("acknowledged and not in force: %v", err)
	}
	ask(t.Context())
	slow.Serves(first.Version) // which it did before
	slow.Serves(next.Version)
	if err := <-ended; err != nil {
		t.Error(err)
	}

	// What changes nothing for a proxy needs no answer, and who has gone is not
	// waited for.
	cfg = shop(3)
	cfg.Workloads = append(cfg.Workloads[:1], cfg.Workloads[2:]...)
	feed.set(cfg)
	slow.until(t, "the end", func(s *model.Snapshot) bool { return len(s.Workloads) == 2 })
	ask(t.Context())
	slow.stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if shared, err := plain.Drained(t.Context(), leaving.Name); shared || err != nil {
		t.Errorf("by the link: %v, %v", shared, err)
	}
	if _, err := plain.Drained(t.Context(), cfg.Workloads[0].Name); status.Code(err) != codes.PermissionDenied {
		t.Errorf("somebody else's: %v", err)
	}
	// A proxy that is back with what it serves says so at once.
	again := startClient(t, ClientOptions{Node: "n3", Serves: true, Token: p.token(t, Grant{Node: "n3"})})
	last := again.until(t, "a configuration", func(*model.Snapshot) bool { return true })
	again.Serves(last.Version)
	ask(t.Context())
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
