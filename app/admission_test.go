package app

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
)

// TestWishes: what users of a machine may ask for, and what nobody may.
func TestWishes(t *testing.T) {
	t.Parallel()
	n := &node{opt: MeshOptions{
		uid: 900, MeshPort: 15008, Listen: "0.0.0.0:15012", Allow: []string{"70001=shop/orders", "70002=*", "70003=orders", "70004=a", "70004=a-b"},
	}}
	n.front = func(port uint16) string {
		if port == 8080 {
			return "listener listen/:8080"
		}
		return ""
	}
	serve := func(service string, port uint16) []admin.WishPort {
		return []admin.WishPort{{Service: service, Port: port}}
	}
	for _, c := range []struct {
		name string
		uid  uint32
		wish admin.Wish
		want string // in the error; "": may
	}{
		{"root, anything", 0, admin.Wish{Namespace: "shop", Account: "orders", Service: "payments", Ports: serve("", 80)}, ""},
		{"the proxy's user", 900, admin.Wish{Namespace: "shop", Account: "orders"}, ""},
		{"the own name", 70000, admin.Wish{Account: "70000", Service: "70000", Ports: serve("", 9102)}, ""},
		{"the own name, in another namespace", 70000, admin.Wish{Namespace: "shop", Account: "70000"}, "--allow 70000=shop/70000"},
		{"another's account", 70000, admin.Wish{Account: "orders"}, "--allow 70000=orders"},
		{"an instance of another's service", 70000, admin.Wish{Account: "70000", Service: "payments", Ports: serve("", 9102)}, "service payments"},
		{"the same, by a port", 70000, admin.Wish{Account: "70000", Service: "70000", Ports: serve("payments", 9102)}, "service payments"},
		{"what was given", 70001, admin.Wish{Namespace: "shop", Account: "orders", Service: "orders", Ports: serve("", 9102)}, ""},
		{"what was given, elsewhere", 70001, admin.Wish{Namespace: "bank", Account: "orders"}, "may not"},
		{"all was given", 70002, admin.Wish{Namespace: "bank", Account: "ledger"}, ""},
		{"given without a namespace", 70003, admin.Wish{Account: "orders"}, ""},
		{"given without a namespace, elsewhere", 70003, admin.Wish{Namespace: "shop", Account: "orders"}, "may not"},
		{"another's instance", 70000, admin.Wish{Account: "70000", Instance: "orders-1"}, "after its account"},
		{"its own, by a name", 70004, admin.Wish{Account: "a-b", Instance: "a-b-1"}, ""},
		{"its own, by the account's", 70004, admin.Wish{Account: "a", Instance: "a"}, ""},
		{"what may be one of account a-b", 70004, admin.Wish{Account: "a", Instance: "a-b-1"}, "call it a-NAME"},
		{"what may be one of account a", 70004, admin.Wish{Account: "a-b", Instance: "a-b"}, "call it a-b-NAME"},
		{"a port below 1024", 70002, admin.Wish{Account: "ssh", Service: "ssh", Ports: serve("", 22)}, "administrator"},
		{"the mesh port", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 15008)}, "the proxy's own"},
		{"the mesh DNS", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 960)}, "the proxy's own"},
		{"an outbound door", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 15100)}, "the proxy's own"},
		{"the control plane's port", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 15012)}, "the proxy's own"},
		{"a listener of the gateway", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 8080)}, "the proxy's own: listener listen/:8080 is there"},
		{"no port", 0, admin.Wish{Account: "x", Service: "x", Ports: serve("", 0)}, "port 0"},
		{"too many", 0, admin.Wish{Account: "x", Service: "x", Ports: make([]admin.WishPort, 65)}, "at most 64"},
		{"a protocol", 0, admin.Wish{Account: "x", Service: "x", Ports: []admin.WishPort{{Port: 9102, Protocol: "foo"}}}, "protocol"},
		{"a weight", 0, admin.Wish{Account: "x", Weight: -1}, "weight"},
		{"a capture", 0, admin.Wish{Account: "x", Capture: "some"}, "capture"},
		{"a health", 0, admin.Wish{Account: "x", Health: "gopher://"}, "health"},
		{"a local port", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "db.shop", Port: 5432}, {Name: "db.shop", Port: 5433, Local: 15432}}}, ""},
		{"one below 1024", 70001, admin.Wish{Namespace: "shop", Account: "orders", Reach: []admin.WishReach{{Name: "web", Port: 80, Local: 80}}}, "below 1024"},
		{"one of the proxy", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "db", Port: 5432, Local: 15008}}}, "the proxy's own"},
		{"one twice", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "db", Port: 1, Local: 2000}, {Name: "cache", Port: 1, Local: 2000}}}, "given twice"},
		{"one for no port", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "db"}}}, "db:5432"},
		{"one for no name", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "db..shop", Port: 1}}}, "lower case"},
		{"the same variable", 0, admin.Wish{Account: "x", Reach: []admin.WishReach{{Name: "a-b", Port: 1}, {Name: "a.b", Port: 1}}}, "NARU_REACH_A_B"},
		{"too many of them", 0, admin.Wish{Account: "x", Reach: make([]admin.WishReach, 33)}, "at most 32"},
		{"a name", 0, admin.Wish{Account: "../x"}, "lower case"},
	} {
		w := c.wish
		if w.Namespace == "" {
			w.Namespace = model.DefaultNamespace
		}
		if w.Instance == "" {
			w.Instance = strings.Trim(w.Account, "./") + "-1"
		}
		err := n.check(&w, admin.Caller{UID: c.uid, PID: os.Getpid()})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, not about %q", c.name, err, c.want)
		}
	}
}

// TestOthersListen: a port at which another user's program listens is told.
func TestOthersListen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port, own := uint16(l.Addr().(*net.TCPAddr).Port), uint32(os.Getuid())
	if whose, ok := listensElse(port, own); ok {
		t.Errorf("user %d has what is ours", whose)
	}
	if whose, ok := listensElse(port, own+1); !ok || whose != own {
		t.Errorf("user %d, %v", whose, ok)
	}
}

// TestReachNames: the variables in which local ports are told.
func TestReachNames(t *testing.T) {
	t.Parallel()
	all := []admin.WishReach{{Name: "db", Port: 5432}, {Name: "db", Port: 5433}, {Name: "read-only.db.shop", Port: 5432}}
	for i, want := range []string{"NARU_REACH_DB", "NARU_REACH_DB_5433", "NARU_REACH_READ_ONLY_DB_SHOP"} {
		if got := reachName(all, i); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	s := &model.Service{Mesh: &model.MeshService{Namespace: "shop", Host: "db", Port: 5432, Names: []string{"db.example"}}}
	for name, want := range map[string]bool{"db": true, "db.shop": true, "db.shop.mesh": true, "db.example": true, "db.bank": false, "db.shop.example": false, "d": false} {
		if got := means(s, mesh.Reach{Name: name, Port: 5432}, "shop", "mesh"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, want := range map[string]string{"db": "; db is called at port 5432: did you mean db:5432?", "cache": ""} {
		if got := otherPorts([]*model.Service{{Name: "plain"}, s}, mesh.Reach{Name: name, Port: 80}, "shop", "mesh"); got != want {
			t.Errorf("%s at another port: %q", name, got)
		}
	}
	if means(s, mesh.Reach{Name: "db", Port: 5432}, "bank", "mesh") || means(s, mesh.Reach{Name: "db.shop", Port: 1}, "shop", "mesh") {
		t.Error("another namespace, or another port, is the same")
	}
}

// TestOnlyAddress: without a default route a machine is where its only address
// is; of several nobody has said which.
func TestOnlyAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have []string
		want string
	}{
		{nil, "127.0.0.1"},
		{[]string{"127.0.0.1/8", "::1/128", "169.254.3.4/16", "fe80::1/64"}, "127.0.0.1"},
		{[]string{"127.0.0.1/8", "10.77.0.1/24", "fd00::1/64"}, "10.77.0.1"},
		{[]string{"10.77.0.1/24", "172.17.0.1/16"}, "127.0.0.1"},
	} {
		var list []net.Addr
		for _, text := range c.have {
			ip, n, err := net.ParseCIDR(text)
			if err != nil {
				t.Fatal(err)
			}
			n.IP = ip
			list = append(list, n)
		}
		if got := onlyAddress(list); got != c.want {
			t.Errorf("%v: %s, want %s", c.have, got, c.want)
		}
	}
}
