package link

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// TestGrantAccounts: what is not named may not be there, and a grant of nothing
// is none of everything.
func TestGrantAccounts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		grant    Grant
		yes, not string
		says     string
	}{
		{Grant{}, "", "default/orders shop/orders", "no workloads, at"},
		{Grant{Any: true}, "default/orders shop/cart", "", "workloads of every account of every namespace, at the address that it connects from"},
		{Grant{Accounts: []string{"orders"}}, "default/orders", "shop/orders default/cart", "workloads of default/orders, at"},
		{Grant{Accounts: []string{"shop/orders", "cart"}}, "shop/orders default/cart", "default/orders shop/cart", "workloads of default/cart and shop/orders, at"},
		{Grant{Namespaces: []string{"shop"}}, "shop/orders shop/cart", "default/orders shopping/orders", "workloads of shop/*, at"},
		{Grant{Namespaces: []string{"shop", "bank"}, Accounts: []string{"orders"}}, "shop/orders bank/orders", "default/orders shop/cart", "workloads of bank/orders and shop/orders, at"},
		{Grant{Gateway: true, Accounts: []string{"a"}, Addresses: []string{"10.0.0.0/8"}}, "default/a", "default/gateway", "workloads of default/a, and a gateway's listeners and certificates, at the address that it connects from and 10.0.0.0/8"},
	} {
		for want, list := range map[bool]string{true: test.yes, false: test.not} {
			for _, x := range strings.Fields(list) {
				namespace, account, _ := strings.Cut(x, "/")
				if test.grant.allows(namespace, account) != want {
					t.Errorf("%+v: %s is allowed: %v", test.grant, x, !want)
				}
			}
		}
		if s := test.grant.String(); !strings.HasPrefix(s, test.says) {
			t.Errorf("%+v says %q", test.grant, s)
		}
	}
	g := Grant{Node: "n", Accounts: []string{"orders"}}
	g.Add(Grant{Namespaces: []string{"shop"}, Addresses: []string{"10.0.0.1"}})
	g.Add(Grant{Addresses: []string{"10.0.0.1"}})
	if s := g.String(); s != "workloads of default/orders and shop/*, at the address that it connects from and 10.0.0.1" {
		t.Errorf("more gives %q", s)
	}
	for _, bad := range []Grant{{Node: "n"}, {Node: "n", Any: true, Accounts: []string{"a"}}, {Node: "n", Accounts: []string{"a/b/c"}}, {Node: "n", Accounts: []string{"*"}},
		{Node: "n", Namespaces: []string{"a/b"}}, {Node: "n", Any: true, Addresses: []string{"here"}}, {Node: "n", Any: true, Addresses: []string{"10.0.0.0/33"}}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestGrantAddresses: a node is where its connection comes from, or where it is
// trusted to be; on the control plane's own machine at any address of that.
func TestGrantAddresses(t *testing.T) {
	t.Parallel()
	own := func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	}
	for _, test := range []struct {
		from, at, list string
		want           bool
	}{
		{"10.0.0.7", "10.0.0.7", "", true},
		{"::ffff:10.0.0.7", "10.0.0.7", "", true},
		{"10.0.0.7", "::ffff:10.0.0.7", "", true},
		{"fe80::7%eth0", "fe80::7", "", true},
		{"fd00::7", "fd00::7", "", true},
		{"10.0.0.7", "10.0.0.8", "", false},
		{"10.0.0.7", "fd00::7", "", false},
		{"10.0.0.7", "10.0.0.1", "", false}, // the control plane's
		{"10.0.0.7", "127.0.0.1", "", false},
		{"10.0.0.7", "::1", "", false},
		{"10.0.0.7", "169.254.169.254", "", false},
		{"10.0.0.7", "192.0.2.9", "192.0.2.0/28", true},
		{"10.0.0.7", "192.0.2.99", "192.0.2.0/28", false},
		{"10.0.0.7", "fd00::9", "192.0.2.1 fd00::9", true},
		{"10.0.0.7", "127.0.0.1", "0.0.0.0/0", false},
		{"10.0.0.7", "169.254.169.254", "0.0.0.0/0 169.0.0.0/8 169.254.0.0/15", false},
		{"10.0.0.7", "127.0.0.9", "127.0.0.0/4", false},
		{"10.0.0.7", "127.0.0.9", "127.0.0.0/24", true},
		{"10.0.0.7", "::1", "::/0", false},
		{"10.0.0.7", "169.254.1.1", "169.254.1.1", true},
		{"127.0.0.1", "127.0.0.2", "", true},
		{"127.0.0.1", "10.0.0.1", "", true},
		{"::1", "fd00::1", "", true},
		{"10.0.0.1", "fd00::1", "", true},
		{"127.0.0.1", "10.0.0.2", "", false},
		{"10.0.0.1", "10.0.0.2", "", false},
	} {
		g := Grant{Addresses: strings.Fields(test.list)}
		if got := g.mayBeAt(netip.MustParseAddr(test.from), netip.MustParseAddr(test.at), own); got != test.want {
			t.Errorf("from %s at %s, with %q: %v", test.from, test.at, test.list, got)
		}
	}
}

// TestClaim: a workload at a foreign address is refused with what would be
// right, counted, and seen in the status of its node, until it is granted; then
// it is registered without anybody's doing. What is taken away is out of
// service.
func TestClaim(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st, Heartbeat: 20 * time.Millisecond}, "")
	c := startClient(t, ClientOptions{Node: "n1", Token: p.token(t, Grant{Node: "n1", Accounts: []string{"shop/orders"}, Addresses: []string{"192.0.2.1"}})})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w := &model.Workload{Name: "shop/orders-1", Namespace: "shop", Account: "orders", Address: "10.0.0.3", MeshPort: 15008}
	eventually(t, "it is connected", func() bool { return len(p.Status()) == 1 })
	for range 2 {
		err := c.Register(ctx, w)
		if status.Code(err) != codes.PermissionDenied ||
			err.Error() != "node n1 may not have workloads at 10.0.0.3: its connection comes from 127.0.0.1; start it with --address 127.0.0.1, or where that is right (NAT, several networks) write on the control plane: naru token grant --node n1 --address 10.0.0.3" {
			t.Fatal(err)
		}
	}
	if n := p.counts.refused[whyAddress].Load(); n < 2 { // the client says it again by itself, too
		t.Errorf("%d were counted", n)
	}
	if s := p.Status(); len(s) != 1 || len(s[0].Denied) != 1 || s[0].Denied[0].Account != "shop/orders" || !strings.Contains(s[0].Denied[0].Why, "10.0.0.3") {
		t.Errorf("%+v", s)
	}
	if left := st.keys("documents/"); len(left) != 0 {
		t.Errorf("it is registered: %v", left)
	}
	change := func(change func(*Grant)) {
		t.Helper()
		if _, err := ChangeGrant(ctx, st, "n1", change); err != nil {
			t.Fatal(err)
		}
	}
	change(func(g *Grant) { g.Add(Grant{Addresses: []string{"10.0.0.0/24"}}) })
	if err := c.Register(ctx, w); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not refused any more", func() bool { s := p.Status(); return len(s) == 1 && len(s[0].Denied) == 0 })
	id := identity.WorkloadID(domain, "shop", "orders")
	_, csr, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SignX509(ctx, id, csr, 0); err != nil {
		t.Fatal(err)
	}
	// The stream begins anew, and with it the registration is judged anew.
	change(func(g *Grant) { *g = Grant{Any: true} })
	eventually(t, "it is out of service", func() bool { return len(st.keys("documents/")) == 0 })
	if _, err := c.SignX509(ctx, id, csr, 0); status.Code(err) != codes.PermissionDenied {
		t.Errorf("its certificate is renewed: %v", err)
	}
	if _, err := ChangeGrant(ctx, st, "n1", func(g *Grant) { *g = Grant{} }); err == nil {
		t.Error("a grant of nothing is written")
	}
	if _, err := ChangeGrant(ctx, st, "nobody", func(*Grant) {}); err == nil {
		t.Error("a node that has not joined has a grant")
	}
}
