package identity

import (
	"context"
	"crypto/x509"
	"testing"
	"time"
)

// TestForgotten: of a machine that is forgotten all certificates are refused that
// it was given, and nobody else's; of an identity those from before, from the
// time on that was said.
func TestForgotten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const orders, web = ID("spiffe://naru.local/ns/default/sa/orders"), ID("spiffe://naru.local/ns/default/sa/web")
	cert := func(machine string, issued time.Time) *x509.Certificate {
		return &x509.Certificate{SerialNumber: NewSerial(ForMachine(context.Background(), machine)), NotBefore: issued.Add(-Backdate)}
	}
	b := &Bundles{Own: &Bundle{TrustDomain: "naru.local"}, Federated: []*Bundle{{TrustDomain: "other.example"}}, Forgotten: []Forgotten{
		{Machine: "stolen", Issued: now, From: now},
		{ID: web, Issued: now, From: now.Add(10 * time.Second)},
	}}
	v := NewVerifier(b)
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		id   ID
		at   time.Time
		want bool
	}{
		{"the machine's", cert("stolen", now.Add(-time.Hour)), orders, now, true},
		{"the machine's, of another identity", cert("stolen", now.Add(-time.Second)), web, now, true},
		{"the machine's, which has joined again", cert("stolen", now), orders, now, false},
		{"another machine's", cert("other", now.Add(-time.Hour)), orders, now, false},
		{"of no machine", &x509.Certificate{SerialNumber: NewSerial(context.Background()), NotBefore: now.Add(-time.Hour)}, orders, now, false},
		{"the identity's, in the time that was given", cert("other", now.Add(-time.Hour)), web, now.Add(9 * time.Second), false},
		{"the identity's, after that", cert("other", now.Add(-time.Hour)), web, now.Add(10 * time.Second), true},
		{"the identity's, a new one", cert("other", now.Add(time.Second)), web, now.Add(time.Minute), false},
		{"another trust domain's", cert("stolen", now.Add(-time.Hour)), "spiffe://other.example/ns/default/sa/orders", now, false},
		{"of a trust domain that was believed", cert("other", now.Add(-time.Hour)), "spiffe://former.example/ns/default/sa/orders", now, true},
	} {
		if got := v.Forgot(c.cert, c.id, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !b.Outdated(cert("other", now.Add(-time.Hour)), web) || b.Outdated(cert("other", now), web) || !b.Outdated(cert("stolen", now.Add(-time.Hour)), orders) || b.Outdated(cert("other", now.Add(-time.Hour)), orders) {
		t.Error("what is to be replaced is not what is or will be refused")
	}
	// Whoever has a machine gains nothing by a clock that is behind.
	slow := NewVerifier(&Bundles{Own: b.Own, Forgotten: []Forgotten{ForgetMachine("stolen", now)}})
	if !slow.Forgot(cert("stolen", now.Add(-time.Minute)), orders, now.Add(-time.Hour)) || slow.Forgot(cert("stolen", now.Add(time.Second)), orders, now) {
		t.Error("a machine is not refused at once, or for ever")
	}
	if NewVerifier(&Bundles{Own: b.Own}).Forgot(cert("stolen", now.Add(-time.Hour)), orders, now) {
		t.Error("it is refused though nobody is forgotten")
	}
	if b.Equal(&Bundles{Own: b.Own}) {
		t.Error("whom others have forgotten does not count in a comparison")
	}
}
