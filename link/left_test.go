package link

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
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
	if len(st.keys(documentsBelow)) != 2 {
		t.Fatalf("registered: %v", st.keys(documentsBelow))
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
