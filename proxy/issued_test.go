package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// fakeIssuer has certificates that name their listener, and one proof.
type fakeIssuer struct {
	identity.Issuer
	asked []string
}

var errIssue = errors.New("no certificate today")

func (f *fakeIssuer) Certificate(listener string, hello *tls.ClientHelloInfo) *tls.Certificate {
	f.asked = append(f.asked, listener+" "+hello.ServerName)
	if hello.ServerName == "new.test" {
		return nil
	}
	return &tls.Certificate{}
}

func (f *fakeIssuer) Issue(context.Context, string, *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, errIssue
}

func (f *fakeIssuer) Challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	if hello.ServerName == "proved.test" {
		return &tls.Certificate{}
	}
	return nil
}

func (f *fakeIssuer) Answer(host, path []byte) []byte {
	if string(host) == "shop.test" && string(path) == identity.ChallengePath+"token" {
		return []byte("token.thumbprint")
	}
	return nil
}

func TestCertifierIsThatOfTheName(t *testing.T) {
	t.Parallel()
	acme, local := &fakeIssuer{}, &fakeIssuer{}
	c := &compiler{issuers: map[model.IssuedBy]identity.Issuer{model.ACME: acme, model.Local: local}}
	c.prog = &Program{
		Snapshot: model.Freeze(&model.Config{Listeners: []*model.Listener{
			{Name: "a", Port: 443, Protocol: model.HTTPS, Hostname: "*.a.test", Issuance: &model.Issuance{By: model.ACME}},
			{Name: "b", Port: 443, Protocol: model.HTTPS, Hostname: "b.test", Issuance: &model.Issuance{By: model.Local}},
			{Name: "c", Port: 443, Protocol: model.HTTPS, Hostname: "c.test"},
			{Name: "new", Port: 443, Protocol: model.HTTPS, Hostname: "new.test", Issuance: &model.Issuance{By: model.ACME}},
			{Name: "plain", Port: 80, Protocol: model.HTTP},
			{Name: "z", Port: 444, Protocol: model.HTTPS},
		}}),
		byName: map[string]*listener{},
	}
	c.attach()
	all, err := c.entrances()
	if err != nil {
		t.Fatal(err)
	}
	for addr, e := range all {
		if has := e.tls != nil && e.tls.Certifier != nil; has != (addr.Port() == 443) {
			t.Errorf("port %d has a certifier: %v", addr.Port(), has)
		}
		if addr.Port() != 443 {
			continue
		}
		from := e.tls.Certifier
		for name, want := range map[string]bool{"x.a.test": true, "B.test": true, "c.test": false, "unknown.test": false, "": true} {
			if got := from.Certificate(&tls.ClientHelloInfo{ServerName: name}); (got != nil) != want {
				t.Errorf("%q has a certificate: %v", name, got != nil)
			}
		}
		if len(acme.asked) != 2 || len(local.asked) != 1 || local.asked[0] != "b B.test" {
			t.Errorf("asked %q and %q", acme.asked, local.asked)
		}
		new := &tls.ClientHelloInfo{ServerName: "new.test"}
		if cert := from.Certificate(new); cert != nil {
			t.Error("a certificate too early")
		}
		if _, err := from.Issue(t.Context(), new); !errors.Is(err, errIssue) {
			t.Errorf("issued with %v", err)
		}
		if cert, err := from.Issue(t.Context(), &tls.ClientHelloInfo{ServerName: "c.test"}); cert != nil || err != nil {
			t.Errorf("issued %v, %v for a listener without an issuance", cert, err)
		}
		if from.Challenge(&tls.ClientHelloInfo{ServerName: "proved.test"}) == nil || from.Challenge(&tls.ClientHelloInfo{ServerName: "other.test"}) != nil {
			t.Error("the wrong names are proved")
		}
	}
}

// The proof goes before every route, and is for the right host and token only.
func TestChallengeBeforeRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.proxy.opt.Issuers = map[model.IssuedBy]identity.Issuer{model.ACME: &fakeIssuer{}}
	w.apply(shop(1, filters(does(301, "answer"))))
	ask := func(method, host, path string) *fakeStream {
		s := w.open(method, path, 0)
		s.x.Request.Authority = s.x.Request.Keep([]byte(host))
		s.request("", true)
		return s
	}
	w.expect(ask("GET", "shop.test", identity.ChallengePath+"token"), 200, "token.thumbprint", observe.Challenged)
	for _, s := range []*fakeStream{
		ask("POST", "shop.test", identity.ChallengePath+"token"), ask("GET", "other.test", identity.ChallengePath+"token"),
		ask("GET", "shop.test", identity.ChallengePath+"other"), ask("GET", "shop.test", identity.ChallengePath), ask("GET", "shop.test", "/"),
	} {
		w.expect(s, 301, "ok", observe.Responded)
	}
	w.settled(6)
}
