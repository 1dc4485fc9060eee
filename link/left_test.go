package link

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// TestLeft: a workload that has left does not come back with the next stream,
// by whichever name it was taken away, and whether a control plane could be told
// or not. Its node is heard, so that no lease ends.
func TestLeft(t *testing.T) {
	t.Parallel()
	st, ca := newFakeStore(), newCA(t)
	options := ServerOptions{Feed: newFeed(shop(1)), Authority: ca, Store: st, Registry: NewStoreRegistry(st)}
	p := startPlane(t, options, "")
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"})})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, name := range []string{"whole", "short", "unheard", "stays"} {
		if err := c.Register(ctx, &model.Workload{Name: "shop/" + name, Namespace: "shop", Account: "orders", Address: "10.0.0.3"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"shop/whole", "short"} {
		if err := c.Unregister(ctx, "shop", name); err != nil {
			t.Fatal(err)
		}
	}
	running := func() (names []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for name := range c.registered {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if got := running(); !slices.Equal(got, []string{"shop/stays", "shop/unheard"}) {
		t.Errorf("registered again with the next stream: %v", got)
	}
	p.stop()
	short, end := context.WithTimeout(ctx, 10*time.Millisecond)
	if err := c.Unregister(short, "shop", "unheard"); err == nil {
		t.Error("nobody heard of it, and that is no error")
	}
	end()
	// One that was registered again while it left may be there, too, until somebody
	// can be told.
	if keys := st.keys(documentsBelow); !slices.Contains(keys, documentKey("shop", "unheard")) || !slices.Contains(keys, documentKey("shop", "stays")) {
		t.Fatalf("registered: %v", keys)
	}
	p = startPlane(t, options, p.address)
	eventually(t, "what has left is registered no more, and what runs is", func() bool {
		return p.counts.registered.Load() > 0 && slices.Equal(st.keys(documentsBelow), []string{documentKey("shop", "stays")})
	})
	eventually(t, "nothing is left to be said", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.leaving) == 0
	})
}

// TestProxyAnew: what a node's process has registered that was killed, and the one
// after it does not register, is kept no longer, though the node is heard; the rest
// stays, whether it is registered before the stream begins or after. A process that
// has only lost its stream keeps everything.
func TestProxyAnew(t *testing.T) {
	t.Parallel()
	st, ca := newFakeStore(), newCA(t)
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: ca, Store: st, Registry: NewStoreRegistry(st), Heartbeat: minBeat}, "")
	state := filepath.Join(t.TempDir(), "link")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	register := func(c *running, name string) {
		t.Helper()
		if err := c.Register(ctx, &model.Workload{Name: "shop/" + name, Namespace: "shop", Account: "orders", Address: "10.0.0.3"}); err != nil {
			t.Fatal(err)
		}
	}
	lease := func(name string) store.LeaseID {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.items[documentKey("shop", name)].Lease
	}
	kept := func(id store.LeaseID) int {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.leases[id]
	}
	first := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), State: state, Heartbeat: minBeat})
	register(first, "goes")
	register(first, "stays")
	old := lease("goes")
	eventually(t, "both are kept", func() bool { return kept(old) > 0 && lease("stays") == old })
	stream := func() *session {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.sessions["n1"]
	}
	lost := stream()
	lost.end(errors.New("cut off"))
	eventually(t, "there is another stream", func() bool { now := stream(); return now != nil && now != lost })
	register(first, "late")
	if lease("late") != old || lease("goes") != old {
		t.Error("a stream that was lost is taken for another process")
	}

	first.stop()
	second := startClient(t, ClientOptions{State: state, Heartbeat: minBeat, Servers: []string{p.address}})
	register(second, "stays")
	second.until(t, "a configuration", func(*model.Snapshot) bool { return true })
	register(second, "new")
	now := lease("stays")
	if now == old || lease("new") != now || lease("goes") != old {
		t.Fatalf("leases: %d, and %d, %d, %d", old, now, lease("new"), lease("goes"))
	}
	was, before := kept(old), kept(now)
	eventually(t, "what is registered is kept", func() bool { return kept(now) > before+1 })
	if kept(old) != was {
		t.Error("what is not is kept, too")
	}
}
