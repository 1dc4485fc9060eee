package secure

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

func directoryOf(t *testing.T, creds ...wire.Credential) *directory {
	t.Helper()
	var certs []*certificate
	for _, c := range creds {
		cert := &certificate{cfg: c}
		if err := cert.load(nil); err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	return newDirectory(certs)
}

func TestChooseByName(t *testing.T) {
	t.Parallel()
	hosted := func(hostname, name string, names ...string) wire.Credential {
		c := testCA().issue(name, names...)
		c.Hostname = hostname
		return c
	}
	d := directoryOf(t,
		testCA().issue("default", "default.example.com"),
		testCA().issue("a", "a.example.com", "*.wild.example.com", "Upper.Example.com"),
		testCA().issue("deep", "x.y.wild.example.com"),
		hosted("*.tenant.example.com", "tenant", "anything.test"),
		hosted("*.one.tenant.example.com", "one", "anything.test"),
		hosted("A.listener.test", "listener", "unrelated.test"),
		testCA().issue("also", "a.listener.test"),
	)
	for name, want := range map[string]string{
		"":                          "default",
		"unknown.test":              "default",
		"default.example.com":       "default",
		"a.example.com":             "a",
		"A.EXAMPLE.com":             "a",
		"upper.example.com":         "a",
		"q.wild.example.com":        "a",
		"wild.example.com":          "default",
		"p.q.wild.example.com":      "default",
		"x.y.wild.example.com":      "deep",
		"t.tenant.example.com":      "tenant",
		"deep.t.tenant.example.com": "tenant",
		"a.one.tenant.example.com":  "one",
		"tenant.example.com":        "default",
		"anything.test":             "default",
		"a.listener.test":           "listener",
		"com":                       "default",
		"..":                        "default",
	} {
		if got := d.choose(&tls.ClientHelloInfo{ServerName: name}).label; got != any(want) {
			t.Errorf("%q gets %v, want %s", name, got, want)
		}
	}
}

func TestChooseByAlgorithm(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	ec := testCA().issue("ecdsa", "localhost")
	rsa := testCA().sign("rsa", testRSA(), until, "localhost")
	ec.Hostname, rsa.Hostname = "LOCALHOST", "localhost"
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{ec, rsa}})
	for suite, want := range map[uint16]x509.PublicKeyAlgorithm{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   x509.RSA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: x509.ECDSA,
	} {
		a := accept(t, sv, echo())
		cfg := clientConfig()
		cfg.MaxVersion = tls.VersionTLS12
		cfg.CipherSuites = []uint16{suite}
		c := tls.Client(a.net, cfg)
		exchange(t, c, "hello")
		if got := c.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm; got != want {
			t.Errorf("%s: certificate is %v, want %v", tls.CipherSuiteName(suite), got, want)
		}
	}
}

func TestChooseAlgorithmForDefault(t *testing.T) {
	t.Parallel()
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{
		testCA().issue("ecdsa", "localhost"),
		testCA().issue("other", "other.test"),
		testCA().sign("rsa", testRSA(), time.Now().Add(time.Hour), "localhost"),
	}})
	a := accept(t, sv, echo())
	cfg := clientConfig()
	cfg.MaxVersion, cfg.ServerName, cfg.InsecureSkipVerify = tls.VersionTLS12, "", true
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	c := tls.Client(a.net, cfg)
	exchange(t, c, "hello")
	if got := (<-a.ready).Peer().TLS.Credential; got != any("rsa") {
		t.Errorf("chose %v", got)
	}
}
