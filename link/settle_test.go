package link

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// TestSettle: a node is told that everybody knows that its workload leaves when
// all proxies of all control planes have said so, and not before.
func TestSettle(t *testing.T) {
	t.Parallel()
	ca, st := newCA(t), newFakeStore()
	feedA, feedB := newFeed(shop(3)), newFeed(shop(3))
	a := startPlane(t, ServerOptions{Name: "cp-a", Feed: feedA, Authority: ca, Store: st, Heartbeat: time.Hour}, "")
	b := startPlane(t, ServerOptions{Name: "cp-b", Feed: feedB, Authority: ca, Store: st, Heartbeat: time.Hour}, "")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	announced, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	for _, p := range []*plane{a, b} {
		go func() {
			Announce(announced, st, Replica{Name: p.options.Name, Address: p.address}, slog.New(slog.DiscardHandler))
			ended <- struct{}{}
		}()
	}
	defer func() { stop(); <-ended; <-ended }()
	eventually(t, "they know of each other", func() bool { return len(st.keys(replicasBelow)) == 2 })

	leaving := startClient(t, ClientOptions{Node: "n1", Token: a.token(t, Grant{Node: "n1"})})
	other := startClient(t, ClientOptions{Node: "n2", Token: b.token(t, Grant{Node: "n2"})})
	slow := startClient(t, ClientOptions{Node: "slow", Token: b.token(t, Grant{Node: "slow"})})
	for _, c := range []*running{leaving, other, slow} {
		c.until(t, "the configuration", func(*model.Snapshot) bool { return true })
	}
	slow.stop()
	// The real stream, read by hand: it says that it has something when it is told to.
	conn, err := dial(b.address, clientTLS(domain, slow.certificate, slow.roots, time.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.NewStream(ctx, &serviceDesc.Streams[0], "/"+serviceName+"/Follow")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&ask{Hello: &hello{Subscriptions: ForNode()}}); err != nil {
		t.Fatal(err)
	}
	acknowledge := func() {
		t.Helper()
		for {
			var u update
			if err := stream.RecvMsg(&u); err != nil {
				t.Fatal(err)
			}
			if u.Nonce != 0 && !u.More {
				if err := stream.SendMsg(&ask{Ack: u.Nonce}); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	acknowledge()

	settled := make(chan error, 1)
	ask := func() { settled <- leaving.Settle(ctx, "shop/w0001") }
	waits := func(why string, is func() bool) {
		t.Helper()
		eventually(t, why, is)
		select {
		case err := <-settled:
			t.Fatalf("%s: it is told already: %v", why, err)
		case <-time.After(3 * settleLook):
		}
	}
	go ask()
	gone := func() *model.Config {
		c := shop(3)
		c.Workloads[1].State = model.Draining
		return c
	}
	waits("nobody knows", func() bool { return len(b.Status()) == 2 })
	feedA.set(gone())
	leaving.until(t, "it knows itself", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	waits("the other control plane does not know", func() bool { return true })
	feedB.set(gone())
	other.until(t, "the other knows", func(s *model.Snapshot) bool { return s.Workloads[1].State == model.Draining })
	waits("one proxy lags", func() bool { return true })
	acknowledge()
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	// What nobody has heard of is gone everywhere, and so are control planes.
	if err := other.Settle(ctx, "shop/nobody"); err != nil {
		t.Error(err)
	}
	short, over := context.WithTimeout(ctx, 50*time.Millisecond)
	defer over()
	if err := leaving.Settle(short, "shop/w0000"); err == nil {
		t.Error("a workload that stays is gone")
	}
	b.stop()
	if err := leaving.Settle(ctx, "shop/w0001"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a control plane that is away: %v", err)
	}
}
