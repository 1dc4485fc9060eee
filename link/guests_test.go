package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestGuests: who shows no certificate can say little, and those who stay make
// room for those who come.
func TestGuests(t *testing.T) {
	t.Parallel()
	var g guests
	here, there := net.Pipe()
	now := time.Now()
	first, err := g.admit(here, now)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := there.Write(make([]byte, 4<<10)); err != nil {
				return
			}
		}
	}()
	n, err := io.Copy(io.Discard, first)
	if n != guestBytes || !errors.Is(err, errGuest) {
		t.Errorf("%d bytes, %v", n, err)
	}
	var others []net.Conn
	for range mostGuests - 1 {
		c, _ := net.Pipe()
		x, err := g.admit(c, now)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, x)
	}
	c, _ := net.Pipe()
	if _, err := g.admit(c, now.Add(guestTurn-1)); !errors.Is(err, errGuests) {
		t.Errorf("one too many: %v", err)
	}
	x, err := g.admit(c, now.Add(guestTurn))
	if err != nil {
		t.Fatal(err)
	}
	others = append(others, x, first)
	if _, err := there.Write([]byte{0}); err == nil {
		t.Error("the oldest stays")
	}
	if n := len(g.all); n != mostGuests {
		t.Errorf("%d are counted", n)
	}
	for range 2 {
		for _, c := range others {
			c.Close()
		}
	}
	if n := len(g.all); n != 0 {
		t.Errorf("%d are counted of none", n)
	}
}

// TestStrangersCannotFill: the control plane reads no more of a stranger than a
// request to join has, whatever it calls, and nodes go on joining.
func TestStrangersCannotFill(t *testing.T) {
	t.Parallel()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore()}, "")
	token, err := ParseToken(p.token(t, Grant{Node: "n1"}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 4 {
		conn, err := dial(p.address, pinnedTLS(domain, token.Root, (*tls.Certificate)(nil), time.Now, func([32]byte) {}))
		if err != nil {
			t.Fatal(err)
		}
		err = conn.Invoke(ctx, "/"+serviceName+"/Register", &joinRequest{CSR: make([]byte, mostMessage/2)}, &empty{})
		if conn.Close(); err == nil || status.Code(err) == codes.Unauthenticated {
			t.Errorf("it was read: %v", err)
		}
	}
	if _, err := join(t, p, token.String(), "n1", nil); err != nil {
		t.Error(err)
	}
}
