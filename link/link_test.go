package link

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	ca, st, feed := newCA(t), newFakeStore(), newFeed(nil)
	p := startPlane(t, ServerOptions{Feed: feed, Authority: ca, Store: st}, "")
	end := time.Now().Add(time.Hour).Unix()
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), Address: "10.0.0.9:15008", Settings: model.Settings{Admin: "off"},
		Certificates: func() []CertificateState { return []CertificateState{{"spiffe://x", end}} }})
	cfg := shop(20)
	cfg.Listeners = []*model.Listener{{Name: "public", Port: 80, Protocol: model.HTTP}}
	cfg.Certificates = []*model.Certificate{{Name: "c", Key: []byte("secret")}}
	want := feed.set(cfg)
	s := c.until(t, "the first configuration", func(*model.Snapshot) bool { return true })
	if len(s.Services) != 20 || len(s.Workloads) != 20 || len(s.Policies) != 1 || s.Mesh.TrustDomain != domain || s.Settings.Admin != "off" {
		t.Errorf("%d services, %d workloads, %d policies, %+v, %+v", len(s.Services), len(s.Workloads), len(s.Policies), s.Mesh, s.Settings)
	}
	if len(s.Listeners) != 0 || len(s.Certificates) != 0 {
		t.Error("a node got listeners or certificates")
	}
	if !reflect.DeepEqual(s.Workloads, feed.newest.Workloads) || !reflect.DeepEqual(s.Services, feed.newest.Services) {
		t.Error("something was lost on the way")
	}

	changed := shop(20)
	changed.Workloads[3].State = model.Draining
	changed.Services = changed.Services[:19]
	version := feed.set(changed)
	next := c.until(t, "the change", func(s *model.Snapshot) bool { return len(s.Services) == 19 })
	if next.Workloads[3].State != model.Draining || next.Workloads[4] != s.Workloads[4] {
		t.Errorf("%+v; the others are the same pointers: %v", next.Workloads[3], next.Workloads[4] == s.Workloads[4])
	}
	if version == want {
		t.Error("the versions are the same")
	}
	eventually(t, "the server knows that all is well", func() bool {
		list := p.Status()
		return len(list) == 1 && list[0].System == version && list[0].Lag == 0 && len(list[0].Certificates) == 1 && list[0].Bundles
	})
	x := p.Status()[0]
	if x.Node != "n1" || x.Version != "test" || x.Address != "10.0.0.9:15008" || x.Applied != next.Version || x.Certificates[0].NotAfter != end || !x.Certificate.After(time.Now()) || x.Gateway {
		t.Errorf("%+v", x)
	}
	own := c.Status()
	if !own.Connected || own.Server != "cp-1" || own.System != version || own.Applied != next.Version || own.FromDisk || own.Skew.Abs() > time.Second {
		t.Errorf("%+v", own)
	}
	families := map[string]bool{}
	g := observe.NewRegistry(1)
	p.Metrics(g)
	g.Collect(func(f observe.Family) {
		f.Each(func(x *observe.Sample) {
			if x.Value > 0 {
				families[f.Name+strings.Join(x.Values, ",")] = true
			}
		})
	})
	for _, name := range []string{"naru_link_proxiescurrent", "naru_link_updates_total", "naru_link_sent_bytes_total", "naru_link_joined_total", "naru_link_resources"} {
		if !families[name] {
			t.Errorf("%s is not counted: %v", name, families)
		}
	}
}

// TestRefusal: what is malformed or invalid is refused with object and field,
// the one before stays, and the rest of the update is taken.
func TestRefusal(t *testing.T) {
	t.Parallel()
	feed := newFeed(shop(3))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: newCA(t), Store: newFakeStore()}, "")
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"})})
	before := c.until(t, "the first configuration", func(*model.Snapshot) bool { return true })

	cfg := shop(3)
	cfg.Services[0].Balance = "by-magic" // as a newer naru may have it
	cfg.Services[1].Connect = time.Minute
	feed.set(cfg)
	s := c.until(t, "the change", func(s *model.Snapshot) bool { return s.Services[1].Connect == time.Minute })
	if s.Services[0] != before.Services[0] {
		t.Errorf("the one before did not stay: %+v", s.Services[0])
	}
	var x ProxyStatus
	eventually(t, "the refusal is known", func() bool { x = p.Status()[0]; return len(x.Refusals) == 1 && x.Lag == 0 })
	r := x.Refusals[0]
	if r.Kind != KindService || r.Name != "shop/s0000:80" || r.Origin.Line != 1 || !strings.Contains(r.Message, "by-magic") {
		t.Errorf("%+v", r)
	}
	if list := p.Problems(); len(list) != 1 || list[0].Origin.Source != "shop.yaml" || list[0].Severity != model.Broken {
		t.Errorf("%v", list)
	}

	// Bytes that are no resource: the server's copy is broken by hand.
	p.catalog.mu.Lock()
	name := Name{KindService, "shop/s0002:80"}
	e := *p.catalog.entries[name]
	svc := *cfg.Services[2]
	svc.Endpoints = []*model.Endpoint{{Host: "10.0.0.1", Port: 65535}}
	e.noun = &svc
	body := encode(nil, &svc)
	e.frame, e.sum = breakPort(t, e.Name, body)
	e.seq = 0
	p.catalog.replace(p.catalog.entries[name], &e)
	p.catalog.mu.Unlock()
	cfg.Services[0].Balance = ""
	second := *cfg.Services[1]
	second.Connect = time.Second
	cfg.Services[1] = &second
	cfg.Services[2] = &svc
	feed.set(shopWith(cfg))
	s = c.until(t, "the third", func(s *model.Snapshot) bool { return s.Services[1].Connect == time.Second })
	if s.Services[2] != before.Services[2] || len(s.Services) != 3 {
		t.Errorf("the one before did not stay: %+v", s.Services[2])
	}
	eventually(t, "the refusal is known", func() bool {
		x = p.Status()[0]
		return len(x.Refusals) == 1 && x.Refusals[0].Name == "shop/s0002:80"
	})
	if r := x.Refusals[0]; r.Field != "endpoints[0].port" || !strings.Contains(r.Message, "too large") || r.Origin.Source != "shop.yaml" {
		t.Errorf("%+v", r)
	}
	if list := c.Status().Refusals; len(list) != 1 {
		t.Errorf("the client says %v", list)
	}
}

// shopWith is a copy, so that a test may change its own.
func shopWith(c *model.Config) *model.Config {
	d := *c
	d.Services = nil
	for _, s := range c.Services {
		if s.Name == "shop/s0002:80" {
			d.Services = append(d.Services, s)
			continue
		}
		x := *s
		d.Services = append(d.Services, &x)
	}
	return &d
}

// breakPort makes 65535 a number of four bytes.
func breakPort(t *testing.T, n Name, body []byte) ([]byte, string) {
	t.Helper()
	bad := strings.Replace(string(body), "\xff\xff\x03", "\xff\xff\x7f", 1)
	if bad == string(body) {
		t.Fatal("there is no such port in it")
	}
	hash := sha256.Sum256([]byte(bad))
	frame := append([]byte{byte(n.Kind), byte(len(n.Name))}, n.Name...)
	frame = append(frame, hash[:sumLength]...)
	frame = append(frame, byte(len(bad)&0x7f|0x80), byte(len(bad)>>7))
	return append(frame, bad...), string(hash[:sumLength])
}

// TestReconnect: after a connection was lost only differences travel; a restart
// begins with what is on disk, sealed; a server that was away comes back.
func TestReconnect(t *testing.T) {
	t.Parallel()
	ca, st, feed := newCA(t), newFakeStore(), newFeed(shop(300))
	options := ServerOptions{Feed: feed, Authority: ca, Store: st}
	p := startPlane(t, options, "")
	state := t.TempDir()
	flip := func(in []byte) ([]byte, error) {
		out := make([]byte, len(in))
		for i := range in {
			out[i] = in[i] ^ 0x5a
		}
		return out, nil
	}
	o := ClientOptions{Token: p.token(t, Grant{Node: "n1"}), State: state, Seal: flip, Open: flip}
	c := startClient(t, o)
	s := c.until(t, "the configuration", func(s *model.Snapshot) bool { return len(s.Services) == 300 })
	all := p.counts.bytes.Load()
	if all < 50_000 {
		t.Fatalf("only %d bytes for everything", all)
	}
	p.stop()
	eventually(t, "the client notices", func() bool { x := c.Status(); return !x.Connected && x.Error != "" })
	if now, err := c.Next(context.Background(), ""); err != nil || now != s {
		t.Errorf("what there was is gone: %v", err)
	}
	cfg := shop(300)
	cfg.Workloads[7].Weight = 9
	feed.set(cfg)
	p = startPlane(t, options, p.address)
	s = c.until(t, "the change", func(s *model.Snapshot) bool { return s.Workloads[7].Weight == 9 })
	if n := p.counts.bytes.Load(); n > 1000 || n == 0 {
		t.Errorf("%d bytes for one workload", n)
	}
	if err := c.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
	p.stop()

	// A restart without a control plane, and without a token.
	for _, file := range []string{configurationFile, nodeFile} {
		info, err := os.Stat(filepath.Join(state, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
		text, _ := os.ReadFile(filepath.Join(state, file))
		if strings.Contains(string(text), "shop/s0001") {
			t.Errorf("%s is not sealed", file)
		}
	}
	o.Token, o.Servers, o.TrustDomain = "", []string{p.address}, domain
	c = startClient(t, o)
	again := c.until(t, "the configuration on disk", func(*model.Snapshot) bool { return true })
	if again.Version != s.Version || !c.Status().FromDisk {
		t.Errorf("version %s, not %s; %+v", again.Version, s.Version, c.Status())
	}
	p = startPlane(t, options, p.address)
	eventually(t, "it is confirmed", func() bool { x := c.Status(); return x.Connected && !x.FromDisk })
	if n := p.counts.bytes.Load(); n != 0 {
		t.Errorf("%d bytes though nothing has changed", n)
	}
	if d, same := p.catalog.same(newView(false, ForNode()), 1, 0); same || d.seq == 0 {
		t.Error("one that has something else has the same")
	}
	c.stop()

	// Damaged files are as if they were not there.
	file := filepath.Join(state, configurationFile)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c = startClient(t, o)
	c.until(t, "everything anew", func(s *model.Snapshot) bool { return len(s.Services) == 300 })
	if n := p.counts.bytes.Load(); n < 50_000 {
		t.Errorf("%d bytes for everything", n)
	}
}

// TestTwoServers: any replica will do, and an identity of one is good at the other.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	ca, st := newCA(t), newFakeStore()
	feedA, feedB := newFeed(shop(5)), newFeed(shop(5))
	a := startPlane(t, ServerOptions{Name: "cp-a", Feed: feedA, Authority: ca, Store: st}, "")
	b := startPlane(t, ServerOptions{Name: "cp-b", Feed: feedB, Authority: ca, Store: st}, "")
	c := startClient(t, ClientOptions{Token: a.token(t, Grant{Node: "n1"}, a.address, b.address)})
	c.until(t, "the configuration", func(*model.Snapshot) bool { return true })
	w := &model.Workload{Name: "shop/orders-1", Namespace: "shop", Account: "orders", Address: "10.0.0.3"}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Register(ctx, w); err != nil {
		t.Fatal(err)
	}
	first, second, feed := a, b, feedB
	if c.Status().Server == "cp-b" {
		first, second, feed = b, a, feedA
	}
	if len(first.Status()) != 1 || len(second.Status()) != 0 {
		t.Fatal("it is not at one of them")
	}
	feed.set(shop(6))
	// The lease at the first ends, and everything with it.
	held, err := st.Get(ctx, "documents/workloads/shop/orders-1")
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	_ = st.Revoke(ctx, held.Lease)
	c.until(t, "the other's configuration", func(s *model.Snapshot) bool { return len(s.Services) == 6 })
	eventually(t, "it is registered at the other", func() bool { return len(st.keys("documents/")) == 1 })
}

// TestSlowClient: one that takes nothing keeps nobody waiting, costs its place
// alone, and gets the newest of everything in the end.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	feed := newFeed(shop(200))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: newCA(t), Store: newFakeStore(), Heartbeat: time.Hour}, "")
	slow := startClient(t, ClientOptions{Node: "slow", Token: p.token(t, Grant{Node: "slow"})})
	slow.until(t, "it has joined", func(*model.Snapshot) bool { return true })
	slow.stop()
	eventually(t, "it is gone", func() bool { return len(p.Status()) == 0 })
	quick := startClient(t, ClientOptions{Node: "quick", Token: p.token(t, Grant{Node: "quick"})})
	quick.until(t, "the configuration", func(*model.Snapshot) bool { return true })

	// The real stream, read by hand: it takes the first update and no more.
	conn, err := dial(p.address, clientTLS(domain, slow.certificate, slow.roots, time.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, &serviceDesc.Streams[0], "/"+serviceName+"/Follow")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&ask{Hello: &hello{Subscriptions: ForNode()}}); err != nil {
		t.Fatal(err)
	}
	var version model.Version
	for i := range 40 {
		cfg := shop(200)
		for _, w := range cfg.Workloads {
			w.Weight = i + 1
		}
		version = feed.set(cfg)
		quick.until(t, "each change", func(s *model.Snapshot) bool { return s.Workloads[199].Weight == i+1 })
	}
	var lag time.Duration
	for _, x := range p.Status() {
		if x.Node == "slow" {
			lag = x.Lag
		}
	}
	if lag == 0 {
		t.Error("the slow one does not lag")
	}
	updates := 0
	for {
		var u update
		if err := stream.RecvMsg(&u); err != nil {
			t.Fatal(err)
		}
		if u.More || u.Nonce == 0 {
			continue
		}
		updates++
		if err := stream.SendMsg(&ask{Ack: u.Nonce}); err != nil {
			t.Fatal(err)
		}
		if model.Version(u.System) == version {
			break
		}
	}
	if updates > 2 {
		t.Errorf("%d updates for what is now", updates)
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	feed := newFeed(shop(50))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: newCA(t), Store: newFakeStore()}, "")
	few := []Subscription{{Kind: KindService, Names: []string{"shop/s0001:80"}}, {Kind: KindWorkload, Services: []string{"shop/s0001:80"}}}
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"}), Subscriptions: few})
	s := c.until(t, "a part", func(*model.Snapshot) bool { return true })
	if len(s.Services) != 1 || len(s.Workloads) != 1 || s.Mesh != nil {
		t.Errorf("%d services, %d workloads", len(s.Services), len(s.Workloads))
	}
	// A workload that comes to serve the service comes, and one that leaves it goes.
	cfg := shop(50)
	cfg.Workloads[1].Ports[0].Service = "shop/s0002:80"
	cfg.Workloads[9].Ports[0].Service = "shop/s0001:80"
	feed.set(cfg)
	c.until(t, "the other workload", func(s *model.Snapshot) bool { return len(s.Workloads) == 1 && s.Workloads[0].Name == "shop/w0009" })
	before := p.counts.resources.Load()
	c.Subscribe(append(few, Subscription{Kind: KindService, Names: []string{"shop/s0002:80"}}))
	c.until(t, "one service more", func(s *model.Snapshot) bool { return len(s.Services) == 2 })
	if n := p.counts.resources.Load() - before; n != 1 {
		t.Errorf("%d resources were sent", n)
	}
	c.Subscribe(few[:1])
	c.until(t, "less", func(s *model.Snapshot) bool { return len(s.Services) == 1 && len(s.Workloads) == 0 })
}

// TestRotation: new bundles reach everybody, who says so, and the node's own
// certificate is renewed at half its life.
func TestRotation(t *testing.T) {
	t.Parallel()
	ca, feed := newCA(t), newFeed(shop(2))
	p := startPlane(t, ServerOptions{Feed: feed, Authority: ca, Store: newFakeStore()}, "")
	ca.mu.Lock()
	ca.life = time.Minute // half of it has gone already: certificates begin in the past
	ca.mu.Unlock()
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"})})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first, err := c.Bundles(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Own.TrustDomain != domain || len(first.Own.Roots) != 1 || len(first.Own.Keys) != 1 || first.Own.Refresh != time.Minute || len(first.Federated) != 1 || first.Federated[0].Sequence != 7 {
		t.Errorf("%+v", first.Own)
	}
	end := c.Status().Certificate
	ca.publish(2)
	second, err := c.Bundles(ctx, first)
	if err != nil || second.Own.Sequence != 2 {
		t.Fatal(err, second)
	}
	ca.mu.Lock()
	ca.life = time.Hour
	ca.mu.Unlock()
	eventually(t, "the certificate is renewed and the stream with it", func() bool {
		list := p.Status()
		return c.Status().Certificate.After(end) && len(list) == 1 && list[0].Certificate.After(end) && list[0].Bundles
	})
}
