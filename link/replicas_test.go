package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestAsk: control planes of one store tell each other, and nobody else, and
// only the one that is meant is believed.
func TestAsk(t *testing.T) {
	t.Parallel()
	st, authority := newFakeStore(), newCA(t)
	start := func(name string) *plane {
		return startPlane(t, ServerOptions{Name: name, Feed: newFeed(shop(1)), Authority: authority, Store: st,
			Report: func(context.Context) ([]byte, error) { return []byte("this is " + name), nil }}, "")
	}
	a, b := start("a"), start("b")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if text, err := a.Ask(ctx, Replica{Name: "b", Address: b.address}); err != nil || string(text) != "this is b" {
		t.Errorf("%q, %v", text, err)
	}
	for want, r := range map[string]Replica{
		"spiffe://" + domain + "/control/b answers at " + b.address + ", and not control plane c": {Name: "c", Address: b.address},
		"connection refused": {Name: "b", Address: "127.0.0.1:1"},
		"it serves no nodes": {Name: "b"},
	} {
		if text, err := a.Ask(ctx, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %q, %v, and not %s", r, text, err, want)
		}
	}
	c := startClient(t, ClientOptions{Token: a.token(t, Grant{Node: "n1"})})
	if err := c.call(ctx, "Report", &empty{}, &reportResponse{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node: %v", err)
	}
	// A control plane is no node.
	for _, method := range []string{"Register", "Sign", "SignJWT", "Unregister"} {
		own := a.identity.Load()
		conn, err := dial(b.address, clientTLS(domain, func() *tls.Certificate { return &own.certificate }, func() *x509.CertPool { return a.bundles.Load().pool }, time.Now))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Invoke(ctx, "/"+serviceName+"/"+method, &empty{}, &empty{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", method, err)
		}
		conn.Close()
	}
}

// TestAnnounce: a control plane is known while it is there, again when its lease
// has gone, and not after it has ended.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newFakeStore()
		ctx, cancel := context.WithCancel(t.Context())
		known := func() int {
			all, err := Replicas(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		ended := make(chan struct{})
		go func() {
			Announce(ctx, st, Replica{Name: "a", Address: "10.0.0.1:15012"}, slog.New(slog.DiscardHandler))
			close(ended)
		}()
		synctest.Wait()
		if known() != 1 {
			t.Fatal("it is not known")
		}
		item, err := st.Get(t.Context(), replicasBelow+"a")
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Revoke(t.Context(), item.Lease); err != nil || known() != 0 {
			t.Fatal(err)
		}
		<-time.After(keepReplica + 2*time.Second)
		synctest.Wait()
		if known() != 1 {
			t.Error("it does not come back")
		}
		cancel()
		<-ended
		if known() != 0 {
			t.Error("it is known after its end")
		}
	})
}
