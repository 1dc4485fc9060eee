package link

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestReplacedNode: a machine that was forgotten stays so when another one joins
// under its name.
func TestReplacedNode(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	ca, st := newCA(t), newFakeStore()
	ca.now = clock
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: ca, Store: st, Now: clock}, "")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// joined gives the machine that joins as web-1 a way to ask for things.
	joined := func() func() ([][]byte, error) {
		token, _ := ParseToken(p.token(t, Grant{Node: "web-1"}))
		conn, err := dial(p.address, pinnedTLS(domain, token.Root, nil, clock, func([32]byte) {}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		key, csr, _ := newKey()
		var a joinResponse
		if err := conn.Invoke(ctx, "/"+serviceName+"/Join", &joinRequest{Node: "web-1", Token: token.Secret[:], CSR: csr}, &a); err != nil {
			t.Fatal(err)
		}
		own, err := dial(p.address, pinnedTLS(domain, token.Root, &tls.Certificate{Certificate: a.Chain, PrivateKey: key}, clock, func([32]byte) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { own.Close() })
		return func() ([][]byte, error) {
			var a signResponse
			err := own.Invoke(ctx, "/"+serviceName+"/Sign", &signRequest{ID: string(NodeID(domain, "web-1")), CSR: csr}, &a)
			return a.Chain, err
		}
	}
	first := joined()
	if _, err := first(); err != nil {
		t.Fatal(err)
	}
	if err := RemoveNode(ctx, st, "web-1"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	second := joined()
	if _, err := second(); err != nil {
		t.Fatal(err)
	}
	if _, err := first(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "another machine has joined") {
		t.Errorf("the machine that was forgotten: %v", err)
	}
	if n := p.counts.refused[whyUnknownNode].Load(); n != 1 {
		t.Errorf("%d were counted", n)
	}
	// A replica whose clock is behind signs nothing that would be refused.
	ca.mu.Lock()
	ca.now = func() time.Time { return clock().Add(-time.Minute) }
	ca.mu.Unlock()
	if chain, err := second(); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
}
