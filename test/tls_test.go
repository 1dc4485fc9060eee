package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// certificate makes a self-signed certificate and its key, as PEM.
func certificate(t testing.TB, serial int64, names ...string) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// keys writes a certificate and its key into the gateway's folder.
func (g *gateway) keys(name string, serial int64, names ...string) {
	g.t.Helper()
	chain, key := certificate(g.t, serial, names...)
	// The key first: no moment has a chain without its key for long.
	g.saveAs(filepath.Join(g.dir, name+".key"), key)
	g.saveAs(filepath.Join(g.dir, name+".crt"), chain)
}

// serial asks for the certificate of a name.
func (g *gateway) serial(name string) int64 {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "listen: {address: 'https://$LISTEN', tls: [{cert: a.crt, key: a.key}, {cert: b.crt, key: b.key}]}\nroutes:\n- match: /\n  to: http://"+up.addr+"\n")
	g.keys("a", 1, "a.example")
	g.keys("b", 2, "b.example", "*.b.example")
	g.run("run", g.file)
	for name, want := range map[string]int64{"a.example": 1, "b.example": 2, "x.b.example": 2, "other.example": 1, "": 1} {
		if got := g.serial(name); got != want {
			t.Errorf("%q gets certificate %d, want %d", name, got, want)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("protocol %q", p)
		}
		c := newClient(t, conn)
		for i := range 3 {
			c.get(fmt.Sprint("/", i)).is(t, 200, fmt.Sprint("GET /", i))
		}
	}
	if conn, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	if a, err := c.read("GET"); err == nil && a.StatusCode != 400 {
		t.Errorf("plain HTTP on a TLS port: %d %q", a.StatusCode, a.body)
	}
}

func TestCertificateReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "listen: {address: 'https://$LISTEN', tls: {cert: a.crt, key: a.key}}\nroutes:\n- match: /\n  to: http://"+up.addr+"\n")
	g.keys("a", 1, "a.example")
	g.run("run", g.file)
	conf := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}
	kept := g.load(2, func(l *load) { l.tls = conf })
	fresh := g.load(2, func(l *load) { l.tls, l.fresh = conf, true })
	for n := int64(2); n <= 5; n++ {
		g.keys("a", n, "a.example")
		eventually(t, "the new certificate is shown", func() bool { return g.serial("a.example") == n })
		kept.more(20)
		fresh.more(10)
	}
	// Nonsense in the file: the one before goes on.
	g.saveAs(filepath.Join(g.dir, "a.crt"), "nonsense")
	said(t, g.errs, "not usable")
	fresh.more(10)
	if got := g.serial("a.example"); got != 5 {
		t.Errorf("certificate %d", got)
	}
	kept.stop()
	fresh.stop()
	kept.check()
	fresh.check()
}

func TestTLSToService(t *testing.T) {
	t.Parallel()
	chain, key := certificate(t, 1, "inside.example")
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	up := listen(t, "")
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName, " ", r.Host) })}
	go server.Serve(tls.NewListener(up.ln, &tls.Config{Certificates: []tls.Certificate{pair}})) //nolint:errcheck // it ends with the listener
	g := prepare(t, "listen: $LISTEN\nroutes:\n- match: /good\n  to: good\n- match: /name\n  to: name\n- match: /roots\n  to: roots\n- match: /any\n  to: any\nservices:\n"+
		"  good: {endpoints: '"+up.addr+"', tls: {ca: ca.pem, serverName: inside.example}}\n"+
		"  name: {endpoints: '"+up.addr+"', tls: {ca: ca.pem, serverName: outside.example}}\n"+
		"  roots: {endpoints: '"+up.addr+"', tls: {serverName: inside.example}}\n"+
		"  any: {endpoints: '"+up.addr+"', tls: {insecure: true, serverName: any.example}}\n")
	g.saveAs(filepath.Join(g.dir, "ca.pem"), chain)
	g.run("run", g.file)
	g.ask("GET", "/good").is(t, 200, "inside.example test")
	g.ask("GET", "/any").is(t, 200, "any.example test")
	g.ask("GET", "/name").refused(t, 502, "upstream_tls")
	g.ask("GET", "/roots").refused(t, 502, "upstream_tls")
}
