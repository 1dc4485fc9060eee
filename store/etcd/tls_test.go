package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// authority signs certificates of 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.files(t)
	return a
}

// files makes one more certificate; the first is the authority's own.
func (a *authority) files(t *testing.T) Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: fmt.Sprint("test ", a.n)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	signer, by := a.cert, a.key
	if signer == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		signer, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, signer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind string, der []byte) string {
		name := filepath.Join(a.dir, fmt.Sprint(a.n, "-", kind))
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	f := Files{Cert: write("CERTIFICATE", der), Key: write("PRIVATE KEY", private), CA: filepath.Join(a.dir, "1-CERTIFICATE")}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		a.key = key
	}
	return f
}

// TestMembersKnowEachOther has two members with certificates write together;
// whoever has none, or a stranger's, is not let in.
func TestMembersKnowEachOther(t *testing.T) {
	ours, strange := newAuthority(t), newAuthority(t)
	addrs := ports(t, 2)
	peers := map[string]string{"m0": "https://" + addrs[0], "m1": "https://" + addrs[1]}
	opened := make(chan *Store, 2)
	for name := range peers {
		o := small(t.TempDir())
		o.Name, o.Peers, o.PeerTLS = name, peers, ours.files(t)
		go func() {
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
	}
	a, b := <-opened, <-opened
	if a == nil || b == nil {
		t.FailNow()
	}
	defer a.Close()
	defer b.Close()
	eventually(t, "a quorum", func() bool { return put(t.Context(), a, "a", "1") == nil })
	if got := get(t, b, "a"); got != "1" {
		t.Errorf("the other member reads %q", got)
	}
	knock := func(config *tls.Config) error {
		config.InsecureSkipVerify = true // it is the server that must refuse
		c, err := tls.Dial("tcp", addrs[0], config)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(90 * time.Second))
		if _, err := fmt.Fprintf(c, "GET /members HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	}
	pair := func(f Files) tls.Certificate {
		p, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := knock(&tls.Config{Certificates: []tls.Certificate{pair(ours.files(t))}}); err != nil {
		t.Errorf("a member's certificate: %v", err)
	}
	if err := knock(&tls.Config{}); err == nil {
		t.Error("somebody without a certificate was answered")
	}
	if err := knock(&tls.Config{Certificates: []tls.Certificate{pair(strange.files(t))}}); err == nil {
		t.Error("somebody with a stranger's certificate was answered")
	}
}

func TestObserve(t *testing.T) {
	s := open(t, small(t.TempDir()))
	r := observe.NewRegistry(1)
	s.Observe(r)
	got := map[string]float64{}
	r.Collect(func(f observe.Family) {
		f.Each(func(sample *observe.Sample) { got[f.Name] = sample.Value })
	})
	for name, min := range map[string]float64{"naru_store_up": 1, "naru_store_has_leader": 1, "naru_store_revision": 1, "naru_store_size_bytes": 1000, "naru_store_disk_free_bytes": 1} {
		if got[name] < min {
			t.Errorf("%s is %v, want at least %v", name, got[name], min)
		}
	}
	if v, there := got["naru_store_lag"]; !there || v > 10 {
		t.Errorf("the lag is %v", v)
	}
}
