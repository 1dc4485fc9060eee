package link

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestUsedTokenOfForgottenNode: by the token that it has used, and the key with
// which it did, a machine that was forgotten gets nothing: not by itself, and not
// when another one has its name.
func TestUsedTokenOfForgottenNode(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st}, "")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	token, err := ParseToken(p.token(t, Grant{Node: "web-1"}))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(p.address, pinnedTLS(domain, token.Root, nil, time.Now, func([32]byte) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, csr, _ := newKey()
	ask := func() error {
		var a joinResponse
		return conn.Invoke(ctx, "/"+serviceName+"/Join", &joinRequest{Node: "web-1", Token: token.Secret[:], CSR: csr}, &a)
	}
	if err := errors.Join(ask(), ask()); err != nil { // the answer may be lost
		t.Fatal(err)
	}
	if _, err := ChangeGrant(ctx, st, "web-1", func(g *Grant) { g.Any = true }); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Errorf("a grant that was changed is no reason: %v", err)
	}
	refused := func(why string) {
		t.Helper()
		if err := ask(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	if err := RemoveNode(ctx, st, "web-1"); err != nil {
		t.Fatal(err)
	}
	refused("was forgotten since")
	if _, err := join(t, p, p.token(t, Grant{Node: "web-1"}), "web-1", nil); err != nil {
		t.Fatal(err)
	}
	refused("another machine has joined")
	if n := p.counts.refused[whyUsed].Load(); n != 2 {
		t.Errorf("%d were counted", n)
	}
}

// TestManyRefusals: a proxy that refuses everything at length fills neither the
// log nor the status.
func TestManyRefusals(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	x := &session{server: &Server{log: slog.New(slog.NewTextHandler(&log, nil)), catalog: newCatalog()}, node: "web-1"}
	var list []Refusal
	for i := range 10 * mostRefusals {
		list = append(list, Refusal{Kind: KindService, Name: strconv.Itoa(i) + strings.Repeat("é", mostSaid), Field: strings.Repeat("f", 2*mostSaid), Message: strings.Repeat("m", 2*mostSaid)})
	}
	x.refused(list)
	if n := len(x.refusals); n != mostRefusals {
		t.Errorf("%d are remembered", n)
	}
	for _, r := range x.refusals {
		if len(r.Name) > mostSaid || len(r.Field) > mostSaid || len(r.Message) > mostSaid {
			t.Fatalf("%d, %d and %d bytes are", len(r.Name), len(r.Field), len(r.Message))
		}
	}
	if n := strings.Count(log.String(), "\n"); n != mostRefusals {
		t.Errorf("%d lines are logged", n)
	}
}
