package link

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// join asks by hand.
func join(t testing.TB, p *plane, token, node string, credential *tls.Certificate) (*joinResponse, error) {
	t.Helper()
	parsed, err := ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(p.address, pinnedTLS(domain, parsed.Root, credential, time.Now, func([32]byte) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, csr, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	var a joinResponse
	q := &joinRequest{Node: node, Token: parsed.Secret[:], CSR: csr}
	if credential != nil {
		q.Token = nil
	}
	return &a, conn.Invoke(context.Background(), "/"+serviceName+"/Join", q, &a)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st, Now: clock}, "")
	token := p.token(t, Grant{Node: "web-*"})
	for key, item := range st.items {
		secret, _ := ParseToken(token)
		if strings.Contains(key+string(item.Value), string(secret.Secret[:])) {
			t.Error("the store holds the secret")
		}
	}
	refused := func(what, token, node string, w why, message string) {
		t.Helper()
		before, signed := p.counts.refused[w].Load(), len(p.options.Authority.(*testCA).signed)
		_, err := join(t, p, token, node, nil)
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v", what, err)
		}
		if p.counts.refused[w].Load() != before+1 {
			t.Errorf("%s is not counted as %s", what, whyNames[w])
		}
		if len(p.options.Authority.(*testCA).signed) != signed {
			t.Errorf("%s was signed for", what)
		}
		if log := p.log.String(); !strings.Contains(log, "why="+whyNames[w]) || !strings.Contains(log, "node="+node) || !strings.Contains(log, "from=127.0.0.1:") {
			t.Errorf("%s is not logged with who and why: %s", what, log)
		}
	}
	wrong, _ := ParseToken(token)
	wrong.Secret[0] ^= 1
	refused("a wrong token", wrong.String(), "web-1", whyToken, "the token is wrong")
	refused("another name", token, "db-1", whyName, "another name")
	a, err := join(t, p, token, "web-1", nil)
	if err != nil || len(a.Chain) != 2 || a.TrustDomain != domain {
		t.Fatal(err, a)
	}
	leaf, _, _ := parseChain(a.Chain)
	if id, err := idOf(leaf); err != nil || id != NodeID(domain, "web-1") {
		t.Errorf("%s, %v", id, err)
	}
	refused("a used token", token, "web-2", whyUsed, "by node web-1")
	refused("a used token, for the same name", token, "web-1", whyUsed, "by node web-1")
	late := p.token(t, Grant{Node: "web-9"})
	mu.Lock()
	now = now.Add(30 * time.Minute)
	mu.Unlock()
	short, err := CreateToken(context.Background(), st, Grant{Node: "web-9", Any: true}, time.Minute, now.Add(-2*time.Minute), p.Root(), domain, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused("an expired token", short.String(), "web-9", whyExpired, "has expired")
	if _, err := join(t, p, late, "web-9", nil); err != nil {
		t.Errorf("a token that has not expired: %v", err)
	}
	// A pattern takes no name that somebody has; the name itself does.
	_, err = join(t, p, p.token(t, Grant{Node: "*"}), "web-1", nil)
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "has joined already") {
		t.Errorf("somebody else's name: %v", err)
	}
	if _, err := join(t, p, p.token(t, Grant{Node: "web-1"}), "web-1", nil); err != nil {
		t.Errorf("a token for this name: %v", err)
	}
	for _, node := range []string{"", "a/b", "..", "a b", strings.Repeat("x", 300)} {
		if _, err := join(t, p, p.token(t, Grant{Node: "*"}), node, nil); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a node called %q: %v", node, err)
		}
	}
	if nodes, err := Nodes(context.Background(), st); err != nil || len(nodes) != 2 || nodes[0].Node != "web-1" {
		t.Errorf("%v, %v", nodes, err)
	}
}

// TestTokenRace: of twenty that use one token at once, one wins.
func TestTokenRace(t *testing.T) {
	t.Parallel()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore()}, "")
	token := p.token(t, Grant{Node: "web-*"})
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = join(t, p, token, "web-"+string(rune('a'+i)), nil) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "was used"):
			t.Error(err)
		}
	}
	if won != 1 || len(p.options.Store.(*fakeStore).keys(nodesBelow)) != 1 {
		t.Errorf("%d won; nodes %v", won, p.options.Store.(*fakeStore).keys(nodesBelow))
	}
	if n := p.counts.refused[whyUsed].Load(); n != 19 {
		t.Errorf("%d were counted", n)
	}
}

// TestLostAnswer: who used a token and did not hear the answer asks again with
// the same key, and is answered; who has seen the token and the request is not.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st}, "")
	token, _ := ParseToken(p.token(t, Grant{Node: "n*"}))
	conn, err := dial(p.address, pinnedTLS(domain, token.Root, nil, time.Now, func([32]byte) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, csr, _ := newKey()
	ask := func(node string, csr []byte) error {
		var a joinResponse
		return conn.Invoke(context.Background(), "/"+serviceName+"/Join", &joinRequest{Node: node, Token: token.Secret[:], CSR: csr}, &a)
	}
	for range 2 {
		if err := ask("n1", csr); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("n2", csr); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another name with the same key: %v", err)
	}
	_, other, _ := newKey()
	if err := ask("n1", other); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another key: %v", err)
	}
	forged := append([]byte(nil), csr...)
	forged[len(forged)-1] ^= 1
	if err := ask("n1", forged); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without the private key: %v", err)
	}
	if len(st.keys(nodesBelow)) != 1 {
		t.Errorf("nodes %v", st.keys(nodesBelow))
	}
}

func TestParseToken(t *testing.T) {
	t.Parallel()
	in := Token{TrustDomain: domain, Servers: []string{"a:1", "[::1]:2"}}
	in.Root[3], in.Secret[31] = 7, 9
	text := in.String()
	out, err := ParseToken(" " + text + "\n")
	if err != nil || out.Root != in.Root || out.Secret != in.Secret || out.TrustDomain != domain || len(out.Servers) != 2 || out.Servers[1] != "[::1]:2" {
		t.Errorf("%+v, %v", out, err)
	}
	cut := Token{TrustDomain: domain, Servers: []string{"10.0.0.1:15012\x1a"}}
	none := Token{TrustDomain: domain, Servers: []string{"10.0.0.1"}}
	for _, bad := range []string{"", "naru1.", "naru2" + text[5:], text[:40], text[:60] + "!", cut.String(), none.String()} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	for _, g := range []string{"", "["} {
		if _, err := CreateToken(context.Background(), newFakeStore(), Grant{Node: g}, 0, time.Now(), &x509.Certificate{}, domain, nil); err == nil {
			t.Errorf("a token for %q", g)
		}
	}
}

// TestPinnedRoot: a node that joins believes the root of its token and nobody
// else, and does not tell its secret to anybody else.
func TestPinnedRoot(t *testing.T) {
	t.Parallel()
	st := newFakeStore()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st}, "")
	other := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: st}, "")
	token, err := CreateToken(context.Background(), st, Grant{Node: "n1", Any: true}, 0, time.Now(), p.Root(), domain, []string{other.address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, other, token.String(), "n1", nil); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "another control plane, or somebody in between") {
		t.Errorf("%v", err)
	}
	if _, err := join(t, p, token.String(), "n1", nil); err != nil {
		t.Errorf("the token was spent: %v", err)
	}
	// A workload's certificate of the right authority is no control plane.
	key := newECDSA(t)
	chain, err := p.options.Authority.(*testCA).leaf(identity.WorkloadID(domain, "shop", "orders"), key.Public(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, _ := parseChain(chain)
	middle, _ := x509.ParseCertificate(chain[1])
	pool := x509.NewCertPool()
	pool.AddCert(p.Root())
	if err := checkControl([]*x509.Certificate{leaf, middle}, domain, pool, time.Now()); err == nil || !strings.Contains(err.Error(), "no control plane") {
		t.Errorf("%v", err)
	}
}

func TestJoinByCertificate(t *testing.T) {
	t.Parallel()
	key := newECDSA(t)
	corporate := certify(t, authorityTemplate("corporate"), nil, key, key.Public())
	pool := x509.NewCertPool()
	pool.AddCert(corporate)
	credential := func(name string, parent *x509.Certificate, signer crypto.Signer) *tls.Certificate {
		own := newECDSA(t)
		c := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, parent, signer, own.Public())
		return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: own, Leaf: c}
	}
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore(), Joiners: []Joiner{{Roots: pool, Grant: Grant{Node: "vm-*", Any: true}}}}, "")
	token := p.token(t, Grant{Node: "x"}) // for its root
	good := credential("vm-1", corporate, key)
	for range 2 { // again, with the same name
		if _, err := join(t, p, token, "vm-1", good); err != nil {
			t.Fatal(err)
		}
	}
	// What it may have stays as it was set, also when it joins again.
	st := p.options.Store
	if _, err := ChangeGrant(context.Background(), st, "vm-1", func(g *Grant) { *g = Grant{Accounts: []string{"orders"}} }); err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, p, token, "vm-1", good); err != nil {
		t.Fatal(err)
	}
	if all, err := Nodes(context.Background(), st); err != nil || len(all) != 1 || all[0].Any || len(all[0].Accounts) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := join(t, p, token, "vm-2", good); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another name: %v", err)
	}
	if _, err := join(t, p, token, "db-1", credential("db-1", corporate, key)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a name that is not granted: %v", err)
	}
	forger := newECDSA(t)
	forged := certify(t, authorityTemplate("corporate"), nil, forger, forger.Public())
	if _, err := join(t, p, token, "vm-3", credential("vm-3", forged, forger)); status.Code(err) != codes.Unavailable {
		t.Errorf("a forged certificate: %v", err)
	}
	eventually(t, "it is counted and logged with who", func() bool {
		return p.counts.refused[whyCertificate].Load() == 1 && strings.Contains(p.log.String(), "subject=\"CN=vm-3\"")
	})
	c := startClient(t, ClientOptions{Node: "vm-7", TrustDomain: domain, Servers: []string{p.address}, Credential: credential("vm-7", corporate, key), Root: RootHash(p.Root())})
	c.until(t, "the configuration", func(*model.Snapshot) bool { return true })
}

// TestSign: a node gets identities of what runs on it, and its own.
func TestSign(t *testing.T) {
	t.Parallel()
	st, ca := newFakeStore(), newCA(t)
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: ca, Store: st}, "")
	c := startClient(t, ClientOptions{Node: "n1", Token: p.token(t, Grant{Node: "n1", Namespaces: []string{"shop"}, Accounts: []string{"orders", "cart"}})})
	d := startClient(t, ClientOptions{Node: "n2", Token: p.token(t, Grant{Node: "n2"})})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	orders := &model.Workload{Name: "shop/orders-1", Namespace: "shop", Account: "orders", Node: "a lie", Address: "10.0.0.3", MeshPort: 15008,
		Ports: []model.WorkloadPort{{Service: "shop/orders:80", Port: 9002}}}
	id := identity.WorkloadID(domain, "shop", "orders")
	_, csr, _ := newKey()
	refused := func(what string, c *running, id identity.ID) {
		t.Helper()
		before := p.counts.refused[whyIdentity].Load()
		if _, err := c.SignX509(ctx, id, csr, 0); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := c.SignJWT(ctx, id, []string{"x"}, 0); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s, JWT: %v", what, err)
		}
		if p.counts.refused[whyIdentity].Load() != before+2 {
			t.Errorf("%s is not counted", what)
		}
	}
	refused("an identity of nobody", c, id)
	if err := c.Register(ctx, orders); err != nil {
		t.Fatal(err)
	}
	chain, err := c.SignX509(ctx, id, csr, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, _ := parseChain(chain)
	if got, _ := idOf(leaf); got != id {
		t.Errorf("signed for %s", got)
	}
	if token, err := c.SignJWT(ctx, id, []string{"payments"}, 0); err != nil || token != string(id)+" to payments" {
		t.Errorf("%q, %v", token, err)
	}
	if _, err := c.SignX509(ctx, NodeID(domain, "n1"), csr, 0); err != nil {
		t.Errorf("its own: %v", err)
	}
	refused("another node's workload", d, id)
	refused("another node", d, NodeID(domain, "n1"))
	refused("a control plane", d, ControlID(domain, "cp-1"))
	refused("another trust domain", c, identity.WorkloadID("other.example", "shop", "orders"))
	refused("a way around", c, identity.ID("spiffe://"+domain+"/ns/shop/sa/../orders"))
	if !strings.Contains(p.log.String(), "node=n2") || !strings.Contains(p.log.String(), "id="+string(id)) {
		t.Error("not logged with who and what")
	}
	bad := []byte(strings.Repeat("x", 50))
	if _, err := c.SignX509(ctx, id, bad, 0); status.Code(err) != codes.InvalidArgument || p.counts.refused[whyCSR].Load() != 1 {
		t.Errorf("no CSR: %v", err)
	}
	tampered := append([]byte(nil), csr...)
	tampered[len(tampered)-1] ^= 1
	if _, err := c.SignX509(ctx, id, tampered, 0); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a CSR of a wrong signature: %v", err)
	}
	if _, err := c.SignJWT(ctx, id, nil, 0); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no audience: %v", err)
	}

	// The document is what a user could have written.
	item, err := st.Get(ctx, "documents/workloads/shop/orders-1")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(item.Value, &doc); err != nil {
		t.Fatal(err)
	}
	spec := doc["spec"].(map[string]any)
	if doc["apiVersion"] != "naru.dev/v1alpha1" || doc["kind"] != "Workload" || spec["node"] != "n1" || spec["account"] != "orders" || spec["meshPort"] != 15008.0 || item.Lease == 0 {
		t.Errorf("%s", item.Value)
	}
	// Not another's, not what is not granted, not what is nonsense.
	if err := d.Register(ctx, orders); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another node's workload: %v", err)
	}
	if err := d.Unregister(ctx, "shop", "shop/orders-1"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another node's workload: %v", err)
	}
	for what, w := range map[string]model.Workload{
		"another namespace": {Name: "bank/a", Namespace: "bank", Account: "orders", Address: "10.0.0.3"},
		"another account":   {Name: "shop/a", Namespace: "shop", Account: "payments", Address: "10.0.0.3"},
	} {
		if err := c.Register(ctx, &w); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, w := range map[string]model.Workload{
		"no address":      {Name: "shop/a", Namespace: "shop", Account: "orders"},
		"a way out":       {Name: "shop/../a", Namespace: "shop", Account: "orders", Address: "10.0.0.3"},
		"no account":      {Name: "shop/a", Namespace: "shop", Address: "10.0.0.3"},
		"a strange state": {Name: "shop/a", Namespace: "shop", Account: "orders", Address: "10.0.0.3", State: "tired"},
	} {
		if err := c.Register(ctx, &w); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Another account takes the place of the first.
	orders.Account = "cart"
	if err := c.Register(ctx, orders); err != nil {
		t.Fatal(err)
	}
	refused("an account that is there no more", c, id)
	if err := c.Unregister(ctx, "shop", "shop/orders-1"); err != nil {
		t.Fatal(err)
	}
	refused("an account that has left", c, identity.WorkloadID(domain, "shop", "cart"))
	if left := append(st.keys("documents/"), st.keys(presentBelow)...); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestStrangers: without the certificate of a node there is nothing but Join.
func TestStrangers(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: ca, Store: newFakeStore(), Heartbeat: 50 * time.Millisecond}, "")
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	roots := func() *x509.CertPool { return pool }
	try := func(c *tls.Certificate) error {
		conn, err := dial(p.address, clientTLS(domain, func() *tls.Certificate { return c }, roots, time.Now))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stream, err := conn.NewStream(ctx, &serviceDesc.Streams[0], "/"+serviceName+"/Follow")
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&ask{Hello: &hello{Subscriptions: ForGateway()}}); err != nil && !errors.Is(err, context.Canceled) && err.Error() != "EOF" {
			return err
		}
		return firstUpdate(stream)
	}
	svid := func(ca *testCA, id identity.ID, key *ecdsa.PrivateKey, end time.Time) *tls.Certificate {
		chain, err := ca.leaf(id, key.Public(), end)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: chain, PrivateKey: key}
	}
	key, later := newECDSA(t), time.Now().Add(time.Hour)
	if err := try(nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no certificate: %v", err)
	}
	for what, c := range map[string]*tls.Certificate{
		"a foreign authority":  svid(newCA(t), NodeID(domain, "n1"), key, later),
		"an expired one":       svid(ca, NodeID(domain, "n1"), key, time.Now().Add(-time.Second)),
		"a workload":           svid(ca, identity.WorkloadID(domain, "shop", "orders"), key, later),
		"another trust domain": svid(ca, NodeID("other.example", "n1"), key, later),
	} {
		before := p.counts.refused[whyCertificate].Load()
		if err := try(c); err == nil || status.Code(err) == codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
		eventually(t, what+" is counted", func() bool { return p.counts.refused[whyCertificate].Load() > before })
	}
	if err := try(svid(ca, NodeID(domain, "n1"), key, later)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node that has not joined: %v", err)
	}
	// One that has joined and is removed: its stream ends, and it does not come back.
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), Heartbeat: 50 * time.Millisecond})
	c.until(t, "the configuration", func(*model.Snapshot) bool { return true })
	if err := RemoveNode(context.Background(), p.options.Store, "n1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream ends", func() bool { return len(p.Status()) == 0 && !c.Status().Connected })
	eventually(t, "it says so", func() bool { return strings.Contains(c.Status().Error, "removed") })
}

func firstUpdate(stream grpc.ClientStream) error {
	var u update
	return stream.RecvMsg(&u)
}
