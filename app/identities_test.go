package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/store/memory"
)

// TestMachinesAreNoWorkloads: with the certificates by which machines and control
// planes meet each other nobody gets into the mesh.
func TestMachinesAreNoWorkloads(t *testing.T) {
	t.Parallel()
	const domain = "a.test"
	sealer, err := identity.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.New(t.Context(), ca.Options{TrustDomain: domain, Store: memory.New(), Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Options{Authority: authority})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	orders := identity.WorkloadID(domain, "shop", "orders")
	defer a.Hold(orders)()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Wait(ctx, orders); err != nil {
		t.Fatal(err)
	}
	i := &identities{trust: domain}
	i.agent.Store(a)
	for id, want := range map[identity.ID]string{
		orders:                            "",
		link.NodeID(domain, "web-1"):      "is the identity of a machine or a control plane",
		link.ControlID(domain, "plane-1"): "is the identity of a machine or a control plane",
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := authority.SignX509(t.Context(), id, csr, 0)
		if err != nil {
			t.Fatal(err)
		}
		var chain []*x509.Certificate
		for _, der := range signed {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, c)
		}
		got, err := i.Verify(chain)
		if want == "" && (err != nil || got != string(id)) || want != "" && (err == nil || got != "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
}
