package link

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// take plays a proxy: it applies a difference to what it has.
func take(t *testing.T, has map[Name]string, d difference) {
	t.Helper()
	for _, f := range d.frames {
		r, _, err := readFrame(string(f))
		if err != nil {
			t.Fatal(err)
		}
		has[r.Name] = r.Sum
	}
	for _, n := range d.removed {
		delete(has, n)
	}
}

func listOf(has map[Name]string) (out []have) {
	for n, sum := range has {
		out = append(out, have{n.Kind, n.Name, sum})
	}
	return out
}

// TestDifferences changes a configuration at random and lets proxies with
// different subscriptions, which look at it now and then, follow by
// differences: each must have exactly what a proxy gets that begins anew.
func TestDifferences(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	c := newCatalog()
	var freezer model.Freezer
	views := []*view{
		newView(false, ForNode()),
		newView(true, ForGateway()),
		newView(false, ForGateway()),
		newView(false, []Subscription{{Kind: KindWorkload, Services: []string{"s1", "s2"}}, {Kind: KindService, Names: []string{"s1", "s2"}}}),
		newView(false, []Subscription{{Kind: KindPolicy, Namespaces: []string{"n1"}}, {Kind: KindWorkload, Namespaces: []string{"n0"}}}),
		newView(true, []Subscription{{Kind: KindListener, Names: []string{"l1"}}, {Kind: KindCertificate, All: true}, {Kind: KindService, All: true}}),
	}
	has := make([]map[Name]string, len(views))
	seq := make([]uint64, len(views))
	for i := range has {
		has[i] = map[Name]string{}
	}
	pick := func(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, random.IntN(n)) }
	for round := range 3000 {
		cfg := &model.Config{}
		for i := range 6 {
			if random.IntN(4) > 0 {
				s := &model.Service{Name: fmt.Sprintf("s%d", i), Host: pick("h", 2), Mesh: &model.MeshService{Namespace: pick("n", 2)}}
				if random.IntN(3) == 0 {
					s.TLS = &model.BackendTLS{Certificate: pick("c", 4)}
				}
				cfg.Services = append(cfg.Services, s)
			}
			if random.IntN(4) > 0 {
				cfg.Workloads = append(cfg.Workloads, &model.Workload{Name: fmt.Sprintf("w%d", i), Namespace: pick("n", 2), Ports: []model.WorkloadPort{{Service: pick("s", 6)}}})
			}
			if random.IntN(4) > 0 {
				cfg.Policies = append(cfg.Policies, &model.Policy{Name: fmt.Sprintf("p%d", i), Namespace: []string{"", "n0", "n1"}[random.IntN(3)]})
			}
			if i < 3 && random.IntN(4) > 0 {
				cfg.Listeners = append(cfg.Listeners, &model.Listener{Name: fmt.Sprintf("l%d", i), Certificates: []string{pick("c", 4)}})
			}
			if i < 4 && random.IntN(4) > 0 {
				cfg.Certificates = append(cfg.Certificates, &model.Certificate{Name: fmt.Sprintf("c%d", i), Key: []byte(pick("k", 2))})
			}
		}
		c.apply(freezer.Freeze(cfg), time.Unix(int64(round), 0))
		for i, v := range views {
			if random.IntN(3) == 0 {
				continue // it is slow
			}
			var d difference
			ok := false
			if random.IntN(20) == 0 {
				d = c.sync(v, listOf(has[i])) // it comes back
			} else if d, ok = c.since(v, seq[i]); !ok {
				d = c.sync(v, listOf(has[i]))
			}
			take(t, has[i], d)
			seq[i] = d.seq
			want := map[Name]string{}
			take(t, want, c.sync(v, nil))
			if !reflect.DeepEqual(has[i], want) {
				t.Fatalf("round %d, proxy %d has %v, not %v", round, i, has[i], want)
			}
			if again, _ := c.since(v, seq[i]); len(again.frames)+len(again.removed) != 0 {
				t.Fatalf("round %d, proxy %d: told twice", round, i)
			}
		}
		// One changes its mind.
		if round%10 == 0 {
			i := random.IntN(len(views))
			next := newView(views[i].gateway, ForGateway()[:1+random.IntN(8)])
			d, ok := c.resubscribe(views[i], next, seq[i])
			if !ok {
				d = c.sync(next, listOf(has[i]))
			}
			take(t, has[i], d)
			seq[i], views[i] = d.seq, next
		}
	}
	if c.dead > 2*len(c.entries)+2048 || len(c.log) > 3*len(c.entries)+4096 {
		t.Errorf("the log has %d places, %d dead, for %d resources", len(c.log), c.dead, len(c.entries))
	}
}

// TestWhoGetsWhat is the rule of the package comment.
func TestWhoGetsWhat(t *testing.T) {
	t.Parallel()
	cfg := &model.Config{
		Listeners:    []*model.Listener{{Name: "public", Certificates: []string{"shop/public"}}, {Name: "inner", Certificates: []string{"shop/inner"}}},
		Certificates: []*model.Certificate{{Name: "shop/public", Key: []byte("k")}, {Name: "shop/inner", Key: []byte("k")}, {Name: "shop/client", Key: []byte("k")}, {Name: "shop/unused", Key: []byte("k")}},
		Services:     []*model.Service{{Name: "s", TLS: &model.BackendTLS{Certificate: "shop/client"}}},
	}
	c := newCatalog()
	c.apply(model.Freeze(cfg), time.Time{})
	got := func(v *view) (out []string) {
		has := map[Name]string{}
		take(t, has, c.sync(v, nil))
		for n := range has {
			if n.Kind == KindCertificate || n.Kind == KindListener {
				out = append(out, n.String())
			}
		}
		slices.Sort(out)
		return out
	}
	everything := ForGateway()
	for _, test := range []struct {
		name string
		view *view
		want []string
	}{
		{"a node that asks for everything", newView(false, everything), nil},
		{"a node that asks by name", newView(false, []Subscription{{Kind: KindCertificate, Names: []string{"shop/public"}}, {Kind: KindListener, All: true}}), nil},
		{"a gateway", newView(true, everything), []string{"Certificate shop/client", "Certificate shop/inner", "Certificate shop/public", "Listener inner", "Listener public"}},
		{"a gateway of one listener", newView(true, []Subscription{{Kind: KindListener, Names: []string{"public"}}, {Kind: KindCertificate, All: true}}), []string{"Certificate shop/public", "Listener public"}},
		{"a gateway without listeners", newView(true, []Subscription{{Kind: KindCertificate, All: true}}), nil},
	} {
		if got := got(test.view); !slices.Equal(got, test.want) {
			t.Errorf("%s gets %v, not %v", test.name, got, test.want)
		}
	}
}

func TestEncodedOnce(t *testing.T) {
	t.Parallel()
	c := newCatalog()
	var freezer model.Freezer
	first, cfg := shop(100), shop(100)
	cfg.Mesh = first.Mesh
	c.apply(freezer.Freeze(first), time.Time{})
	_, _, before := c.size()
	cfg.Workloads[5].State = model.Draining
	c.apply(freezer.Freeze(cfg), time.Time{})
	v := newView(false, ForNode())
	a, _ := c.since(v, before)
	b, _ := c.since(newView(true, ForGateway()), before)
	if _, _, now := c.size(); now != before+1 || len(a.frames) != 1 || len(b.frames) != 1 || &a.frames[0][0] != &b.frames[0][0] {
		t.Errorf("%d encoded, then %d; %d and %d frames", before, now, len(a.frames), len(b.frames))
	}
}

// TestOldTombstones: who was away for longer than is remembered is told so.
func TestOldTombstones(t *testing.T) {
	t.Parallel()
	c := newCatalog()
	var freezer model.Freezer
	v := newView(false, ForNode())
	for i := range 4000 {
		c.apply(freezer.Freeze(&model.Config{Services: []*model.Service{{Name: fmt.Sprint(i)}}}), time.Time{})
	}
	if len(c.log) > 4500 {
		t.Errorf("%d places in the log", len(c.log))
	}
	if _, ok := c.since(v, 1); ok {
		t.Error("the first change is remembered still")
	}
	if d, ok := c.since(v, c.seq-2); !ok || len(d.frames) != 1 || len(d.removed) != 1 {
		t.Errorf("the last change: %v, %d and %d", ok, len(d.frames), len(d.removed))
	}
}
