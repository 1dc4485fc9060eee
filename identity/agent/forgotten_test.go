package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// TestForgotten: an identity that is forgotten gets another certificate at once,
// and the old one is refused when that was announced; of a machine all are
// refused at once. Who starts anew from the disk, without an authority, knows it.
func TestForgotten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		from := authority(t)
		heard := 0
		a := open(t, Options{Authority: from, Folder: folder, Sealer: sealer(t, 'k'), Forgotten: func([]identity.Forgotten) { heard++ }})
		defer a.Hold(orders)()
		wait(t, a, orders)
		chain := a.SVID(orders).Chain
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		stolen, err := from.SignX509(identity.ForMachine(t.Context(), "web-1"), payments, csr, 0)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := parseChain(stolen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(theirs); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)

		if err := from.SetFederated(t.Context(), &identity.Bundle{TrustDomain: "other.example", Keys: a.Bundles().Own.Keys}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if heard != 0 || a.Forgot(theirs[0], "spiffe://other.example/x") {
			t.Errorf("one more trust domain is believed, and it heard %d times", heard)
		}
		if err := from.DropFederated(t.Context(), "other.example"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if heard != 1 || !a.Forgot(theirs[0], "spiffe://other.example/x") {
			t.Errorf("a trust domain is not believed any more, and it heard %d times", heard)
		}
		heard = 0

		now := time.Now()
		if err := from.Forget(t.Context(), identity.Forgotten{ID: orders, Issued: now, From: now.Add(10 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := a.SVID(orders).Chain; heard != 1 || got[0].Equal(chain[0]) {
			t.Errorf("it heard %d times, and has the certificate of before: %v", heard, got[0].Equal(chain[0]))
		}
		if _, err := a.Verify(chain); err != nil {
			t.Errorf("too early: %v", err)
		}
		pass(10 * time.Second)
		if _, err := a.Verify(chain); err == nil || !strings.Contains(err.Error(), "it is forgotten: identity "+string(orders)) || !a.Forgot(chain[0], string(orders)) {
			t.Errorf("the old one: %v", err)
		}
		if _, err := a.Verify(a.SVID(orders).Chain); err != nil {
			t.Errorf("the new one: %v", err)
		}

		if err := from.Forget(t.Context(), identity.Forgotten{Machine: "web-1", Issued: time.Now(), From: time.Now()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := a.Verify(theirs); err == nil || !strings.Contains(err.Error(), "it is forgotten: machine web-1") || !a.Forgot(theirs[0], string(payments)) {
			t.Errorf("the machine's: %v", err)
		}
		a.Close()

		f := &faulty{Authority: from}
		f.set(identity.ErrRefused)
		b := open(t, Options{Authority: f, Folder: folder, Sealer: sealer(t, 'k')})
		if _, err := b.Verify(theirs); err == nil || !strings.Contains(err.Error(), "it is forgotten") {
			t.Errorf("after a start without an authority: %v", err)
		}
		b.Close()
		if n := len(from.Status().Forgotten); n != 2 {
			t.Errorf("%d are forgotten", n)
		}
	})
}
