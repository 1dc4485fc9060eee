package link

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
)

// TestOtherRoot: a node that has never joined, and whose token is of none of the
// control planes that there are, says so and ends. As long as one of them is
// away it may be that one's; and who has joined goes on.
func TestOtherRoot(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	right := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st}, "")
	wrong := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore()}, "")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run := func(o ClientOptions) error {
		t.Helper()
		o.Node, o.Backoff, o.Log = "n1", 20*time.Millisecond, slog.New(slog.DiscardHandler)
		c, err := NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Run(ctx)
	}
	token := right.token(t, Grant{Node: "n1"})
	for what, c := range map[string]struct {
		options ClientOptions
		want    string
	}{
		"by a token":                {ClientOptions{Token: token, Servers: []string{wrong.address}}, "the token names the root"},
		"of several, which is none": {ClientOptions{Token: token, Servers: []string{wrong.address, wrong.address}}, "naru token create"},
		"by a certificate":          {ClientOptions{Credential: &tls.Certificate{}, TrustDomain: domain, Servers: []string{wrong.address}}, "--root-hash names the root 0000000000000000..., and its root is"},
	} {
		if err := run(c.options); !errors.Is(err, ErrOtherRoot) || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), wrong.address+" is another control plane") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}

	// One of the two is away.
	away := "127.0.0.1:" + freeport.Hold(t)
	log := &logged{}
	c := startClient(t, ClientOptions{Token: token, Servers: []string{wrong.address, away}, Backoff: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	eventually(t, "both are tried again", func() bool {
		return strings.Count(log.String(), "is another control plane") >= 2 && strings.Count(log.String(), "connection refused") >= 2
	})
	back := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: right.options.Authority, Store: st}, away)
	eventually(t, "the node joins once the other is there", func() bool { return c.Status().Connected })
	if c.Status().Address != back.address {
		t.Errorf("%+v", c.Status())
	}

	// Who has joined has something to go on with.
	joined := &Client{own: &ownIdentity{}, options: ClientOptions{Servers: []string{"a"}}}
	if joined.strange(map[string]bool{}, "a", ErrOtherRoot) {
		t.Error("a node that has joined is ended")
	}
	// A server that was another's and is away now may be the right one when it is back.
	fresh, seen := &Client{options: ClientOptions{Servers: []string{"a", "b"}}}, map[string]bool{}
	for i, step := range []struct {
		server string
		err    error
		want   bool
	}{{"a", ErrOtherRoot, false}, {"a", errors.New("away"), false}, {"b", ErrOtherRoot, false}, {"a", ErrOtherRoot, true}} {
		if got := fresh.strange(seen, step.server, step.err); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
