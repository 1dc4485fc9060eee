package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store/memory"
	"github.com/naru-mesh/naru/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ wire.Identities = (*Agent)(nil)

const (
	orders   = identity.ID("spiffe://a.test/ns/shop/sa/orders")
	payments = identity.ID("spiffe://a.test/ns/shop/sa/payments")
)

// pass lets (fake) time pass.
func pass(d time.Duration) { <-time.After(d) }

// faulty is an authority that goes away, and lies, to order.
type faulty struct {
	identity.Authority
	mu    sync.Mutex
	fault error
	lie   func(id identity.ID, csr []byte) ([][]byte, error)
	asked []time.Time
}

func (f *faulty) set(fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *faulty) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *faulty) SignX509(ctx context.Context, id identity.ID, csr []byte, ttl time.Duration) ([][]byte, error) {
	f.mu.Lock()
	f.asked = append(f.asked, time.Now())
	fault, lie := f.fault, f.lie
	f.mu.Unlock()
	switch {
	case fault != nil:
		return nil, fault
	case lie != nil:
		return lie(id, csr)
	}
	return f.Authority.SignX509(ctx, id, csr, ttl)
}

func (f *faulty) Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		return nil, fault
	}
	return f.Authority.Bundles(ctx, after)
}

func sealer(t *testing.T, b byte) *identity.Sealer {
	t.Helper()
	s, err := identity.NewSealer([]byte(strings.Repeat(string(b), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func authority(t *testing.T) *ca.Authority {
	t.Helper()
	a, err := ca.New(t.Context(), ca.Options{TrustDomain: "a.test", Store: memory.New(), Sealer: sealer(t, 'k')})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { a.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return a
}

func open(t *testing.T, opt Options) *Agent {
	t.Helper()
	a, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func wait(t *testing.T, a *Agent, id identity.ID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Wait(ctx, id); err != nil {
		t.Fatal(err)
	}
}

// TestRenew watches six days of renewals.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{Authority: authority(t)}
		a := open(t, Options{Authority: f})
		if c := a.Certificate(string(orders)); c != nil {
			t.Error("there is a certificate that nobody asked for")
		}
		release := a.Hold(orders)
		second := a.Hold(orders)
		wait(t, a, orders)
		if n := len(f.times()); n != 1 {
			t.Errorf("the authority was asked %d times", n)
		}
		keys, at := map[any]bool{}, time.Now()
		for range 6 * 24 {
			c := a.Certificate(string(orders))
			if c == nil {
				t.Fatal("there is no certificate")
			}
			if left := time.Until(c.Leaf.NotAfter); left < 24*time.Hour*9/20 {
				t.Fatalf("a certificate with %s left is not renewed", left)
			}
			if id, err := a.Verify(a.SVID(orders).Chain); id != string(orders) || err != nil {
				t.Fatal(id, err)
			}
			keys[a.SVID(orders).Key] = true
			pass(time.Hour)
		}
		keys[a.SVID(orders).Key] = true // it may just have been renewed
		times := f.times()
		for i, when := range times[1:] {
			if gap := when.Sub(times[i]); gap < 24*time.Hour*9/20 || gap > 24*time.Hour*11/20 {
				t.Errorf("renewed after %s", gap)
			}
		}
		if n := len(times); n < 11 || n > 14 || len(keys) != n {
			t.Errorf("%d certificates and %d keys in %s", n, len(keys), time.Since(at))
		}
		// Somebody may have seen the key.
		key := a.SVID(orders).Key
		if !a.Renew(orders) || a.Renew(payments) {
			t.Error("what is held can be renewed, and nothing else")
		}
		synctest.Wait()
		if a.SVID(orders).Key == key {
			t.Error("the key is not replaced")
		}
		if times = f.times(); !times[len(times)-1].Equal(time.Now()) {
			t.Error("it is not replaced at once")
		}
		// The last release ends it.
		release()
		release()
		if a.Certificate(string(orders)) == nil {
			t.Error("somebody still holds it")
		}
		second()
		if a.Certificate(string(orders)) != nil || len(a.Held()) != 0 {
			t.Error("nobody holds it any more")
		}
		pass(48 * time.Hour)
		if len(f.times()) != len(times) {
			t.Error("what nobody holds is renewed")
		}
	})
}

// TestSpread has many identities that came together: they do not go together.
func TestSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{Authority: authority(t)}
		a := open(t, Options{Authority: f})
		const n = 40
		for i := range n {
			a.Hold(identity.WorkloadID("a.test", "many", string(rune('a'+i/26))+string(rune('a'+i%26))))
		}
		pass(14 * time.Hour)
		times := f.times()[n:]
		first, last := times[0], times[len(times)-1]
		if len(times) != n || last.Sub(first) < 90*time.Minute {
			t.Errorf("%d renewals between %s and %s", len(times), first, last)
		}
	})
}

// TestAway has the authority go away for longer than an SVID lives.
func TestAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{Authority: authority(t)}
		a := open(t, Options{Authority: f})
		a.Hold(orders)
		wait(t, a, orders)
		end := a.SVID(orders).Chain[0].NotAfter
		f.set(errors.New("no route to host"))
		pass(time.Until(end) - time.Second)
		if a.Certificate(string(orders)) == nil {
			t.Error("an SVID is dropped before it expires")
		}
		if p := a.Problems(); len(p) != 1 || p[0].Code != "identity-not-renewed" || !strings.Contains(p[0].Message, "no route to host") {
			t.Error(p)
		}
		// Asked again, less and less often: between half a minute and one, in the end.
		if n := len(f.times()); n < 660 || n > 1700 {
			t.Errorf("the authority was asked %d times in 12 hours", n)
		}
		pass(2 * time.Second)
		if a.Certificate(string(orders)) != nil {
			t.Error("an expired SVID is shown")
		}
		if p := a.Problems(); len(p) != 1 || p[0].Code != "no-identity" {
			t.Error(p)
		}
		values := collect(a)
		if values["naru_identity_heldwaiting"] != 1 || values["naru_identity_renewal_failures_total"] < 600 || values["naru_identity_renewals_total"] != 1 {
			t.Error(values)
		}
		// It returns, and is asked at once.
		f.set(nil)
		back := time.Now()
		a.Retry()
		synctest.Wait()
		if a.Certificate(string(orders)) == nil || time.Since(back) != 0 {
			t.Errorf("it takes %s until there is an SVID", time.Since(back))
		}
		if p := a.Problems(); len(p) != 0 {
			t.Error(p)
		}
		if left := collect(a)["naru_identity_expiry_seconds"]; left != 24*3600 {
			t.Error(left)
		}
		// Nobody is asked for what is not due.
		n := len(f.times())
		a.Retry()
		pass(time.Minute)
		if len(f.times()) != n {
			t.Error("an SVID that is new is renewed")
		}
	})
}

func collect(a *Agent) map[string]float64 {
	g := observe.NewRegistry(1)
	a.Register(g)
	values := map[string]float64{}
	g.Collect(func(f observe.Family) {
		f.Each(func(s *observe.Sample) { values[f.Name+strings.Join(s.Values, ",")] = s.Value })
	})
	return values
}

// TestRestart has the machine restart while there is no control plane.
func TestRestart(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "identities")
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{Authority: authority(t)}
		opt := Options{Authority: f, Folder: folder, Sealer: sealer(t, 'k')}
		a := open(t, opt)
		a.Hold(orders)
		a.Hold(payments)
		wait(t, a, orders)
		wait(t, a, payments)
		before := a.SVID(orders).Chain[0]
		a.Close()
		if err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
			info, _ := d.Info()
			text, _ := os.ReadFile(name)
			if err == nil && (info.Mode().Perm()&0o077 != 0 || strings.Contains(string(text), "shop")) {
				t.Errorf("%s can be read: %s", name, info.Mode())
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}

		f.set(errors.New("no control plane"))
		pass(6 * time.Hour)
		b := open(t, opt)
		b.Hold(orders)
		wait(t, b, orders)
		if !b.SVID(orders).Chain[0].Equal(before) {
			t.Error("another certificate is shown")
		}
		if id, err := b.Verify(b.SVID(orders).Chain); id != string(orders) || err != nil {
			t.Error(id, err)
		}
		asked := len(f.times())
		pass(3 * time.Hour)
		if len(f.times()) != asked {
			t.Error("it is renewed long before half of its life is over")
		}
		pass(5 * time.Hour)
		if len(f.times()) == asked {
			t.Error("it is not renewed after the restart")
		}
		b.Close()

		// With another key, or spoilt, nothing on the disk is believed; when all
		// of it has expired it is removed.
		other := opt
		other.Sealer = sealer(t, 'x')
		c := open(t, other)
		if c.Hold(orders); c.SVID(orders) != nil || c.Bundles() != nil {
			t.Error("what was sealed with another key is used")
		}
		if _, err := c.Verify(b.SVID(orders).Chain); !errors.Is(err, identity.ErrBadSVID) {
			t.Error("somebody is believed without a bundle:", err)
		}
		c.Close()
		if err := os.Rename(b.svidFile(payments), b.svidFile(orders)); err != nil {
			t.Fatal(err)
		}
		d := open(t, opt)
		if d.Hold(orders); d.SVID(orders) != nil {
			t.Error("the SVID of another is used")
		}
		d.Close()
		pass(24 * time.Hour)
		open(t, opt).Close()
		left, err := os.ReadDir(folder)
		if err != nil || len(left) != 1 || left[0].Name() != bundlesFile {
			t.Error(left, err)
		}
	})
	if _, err := New(Options{Folder: folder}); err == nil {
		t.Error("keys are written without being sealed")
	}
}

// TestUnwritable has no disk to write to: what is in memory serves.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "identities")
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{Authority: authority(t), Folder: folder, Sealer: sealer(t, 'k')})
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		a.Hold(orders)
		wait(t, a, orders)
		pass(30 * time.Hour)
		if a.Certificate(string(orders)) == nil || collect(a)["naru_identity_unwritten_total"] < 2 {
			t.Error("without a disk nothing is renewed", collect(a))
		}
	})
}

// TestLies has the authority sign what it was not asked for.
func TestLies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		own, stranger := authority(t), authority(t)
		f := &faulty{Authority: own}
		a := open(t, Options{Authority: f})
		a.Hold(orders)
		wait(t, a, orders)
		before := a.SVID(orders).Chain[0]
		for want, lie := range map[string]func(identity.ID, []byte) ([][]byte, error){
			"it is of spiffe://a.test/ns/shop/sa/payments, not of": func(_ identity.ID, csr []byte) ([][]byte, error) {
				return own.SignX509(context.Background(), payments, csr, 0)
			},
			"does not confirm it": func(id identity.ID, csr []byte) ([][]byte, error) {
				return stranger.SignX509(context.Background(), id, csr, 0)
			},
			"it is not for our key": func(identity.ID, []byte) ([][]byte, error) { return [][]byte{before.Raw}, nil },
			"it is empty":           func(identity.ID, []byte) ([][]byte, error) { return nil, nil },
			"x509: malformed":       func(identity.ID, []byte) ([][]byte, error) { return [][]byte{{1, 2, 3}}, nil },
		} {
			f.mu.Lock()
			f.lie = lie
			f.mu.Unlock()
			k, _ := a.held.Load(string(orders))
			if _, err := k.(*keeper).renew(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
			if !a.SVID(orders).Chain[0].Equal(before) {
				t.Errorf("what the authority lied is used: %s", want)
			}
		}
		if id, err := a.Verify([]*x509.Certificate{}); err == nil || id != "" {
			t.Error(id, err)
		}
		if n := collect(a)["naru_identity_refused_total"]; n != 1 {
			t.Errorf("%v refusals are counted", n)
		}
	})
}

// TestTokens gets JWT-SVIDs.
func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{Authority: authority(t)})
		a.Hold(orders)
		wait(t, a, orders)
		first, err := a.JWT(t.Context(), orders, []string{"db", "cache"})
		if err != nil {
			t.Fatal(err)
		}
		if id, claims, err := a.VerifyJWT(first, "cache"); id != orders || err != nil || claims["exp"] == nil {
			t.Error(id, claims, err)
		}
		pass(2 * time.Minute)
		if same, err := a.JWT(t.Context(), orders, []string{"cache", "db"}); same != first || err != nil {
			t.Error("a token with more than half of its life left is not given again", err)
		}
		if other, err := a.JWT(t.Context(), payments, []string{"cache", "db"}); other == first || err != nil {
			t.Error("two identities have one token", err)
		}
		pass(time.Minute)
		if next, err := a.JWT(t.Context(), orders, []string{"db", "cache"}); next == first || err != nil {
			t.Error("an old token is given", err)
		}
		if _, err := a.JWT(t.Context(), orders, nil); err == nil {
			t.Error("a token for nobody is given")
		}
	})
}
