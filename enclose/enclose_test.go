package enclose

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
)

// feed is a model.Feed of what put puts.
type feed struct{ now chan *model.Snapshot }

func (f *feed) Next(ctx context.Context, _ model.Version) (*model.Snapshot, error) {
	select {
	case s := <-f.now:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *feed) put(c *model.Config) *model.Snapshot {
	s := model.Freeze(c)
	f.now <- s
	return s
}

// pair makes a certificate and its key, as PEM.
func pair(t *testing.T) (chain, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain})
}

// TestFeed follows files through their lives: what nouns name is in them, changes
// with its file, and stays when that is gone or no certificate with its key.
func TestFeed(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain, key := pair(t)
	config := func() *model.Config {
		return &model.Config{
			Listeners:    []*model.Listener{{Name: "a", Port: 1, ClientAuth: &model.ClientAuth{CAFile: write("clients.pem", chain), Forward: true}}, {Name: "b", Port: 2}},
			Services:     []*model.Service{{Name: "plain"}, {Name: "tls", TLS: &model.BackendTLS{CAFile: write("ca.pem", []byte("roots")), ServerName: "x"}}},
			Certificates: []*model.Certificate{{Name: "edge", ChainFile: write("edge.pem", chain), KeyFile: write("edge.key", key)}, {Name: "secret", Chain: chain, Key: key}},
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		inner := &feed{make(chan *model.Snapshot, 1)}
		var said bytes.Buffer
		f := New(inner, slog.New(slog.NewTextHandler(&said, nil)))
		next := func(after *model.Snapshot) *model.Snapshot {
			t.Helper()
			var v model.Version
			if after != nil {
				v = after.Version
			}
			s, err := f.Next(ctx, v)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		plain := inner.put(&model.Config{Services: []*model.Service{{Name: "plain"}}})
		first := next(nil)
		if first != plain {
			t.Error("what names no file is not handed on as it is")
		}
		base := inner.put(config())
		a := next(first)
		if a.Listeners[0].ClientAuth.CAFile != "" || !bytes.Equal(a.Listeners[0].ClientAuth.CA, chain) || !a.Listeners[0].ClientAuth.Forward || a.Listeners[1] != base.Listeners[1] ||
			a.Services[1].TLS.CAFile != "" || string(a.Services[1].TLS.CA) != "roots" || a.Services[1].TLS.ServerName != "x" || a.Services[0] != base.Services[0] ||
			a.Certificates[0].KeyFile != "" || !bytes.Equal(a.Certificates[0].Key, key) || !bytes.Equal(a.Certificates[0].Chain, chain) || a.Certificates[1] != base.Certificates[1] {
			t.Errorf("what is enclosed: %+v %+v %+v", a.Listeners[0].ClientAuth, a.Services[1].TLS, a.Certificates[0])
		}
		if base.Services[1].TLS.CAFile == "" || base.Certificates[0].ChainFile == "" {
			t.Error("the Snapshot that it was made of has changed")
		}
		if f.Of(a.Version) != base.Version || a.Version == base.Version {
			t.Errorf("version %s is of %s", a.Version, f.Of(a.Version))
		}

		// Roots change, and nothing else: every other noun is the same one.
		write("ca.pem", []byte("other roots"))
		b := next(a)
		if string(b.Services[1].TLS.CA) != "other roots" || b.Certificates[0] != a.Certificates[0] || b.Listeners[0] != a.Listeners[0] || f.Of(b.Version) != base.Version {
			t.Errorf("%+v", b.Services[1].TLS)
		}

		// A certificate whose key comes later, and roots that are taken away.
		chain2, key2 := pair(t)
		write("edge.pem", chain2)
		if err := os.Remove(filepath.Join(folder, "ca.pem")); err != nil {
			t.Fatal(err)
		}
		short, over := context.WithTimeout(ctx, 3*again)
		if s, err := f.Next(short, b.Version); err == nil {
			t.Errorf("half a change is handed on: %+v", s.Certificates[0])
		}
		over()
		for _, want := range []string{"has changed and is not usable; that of before goes on\" certificate=", "cannot be read\" file="} {
			if strings.Count(said.String(), want) != 1 {
				t.Errorf("%q is said %d times: %s", want, strings.Count(said.String(), want), &said)
			}
		}
		write("edge.key", key2)
		c := next(b)
		if !bytes.Equal(c.Certificates[0].Chain, chain2) || !bytes.Equal(c.Certificates[0].Key, key2) || string(c.Services[1].TLS.CA) != "other roots" {
			t.Errorf("%+v", c.Certificates[0])
		}

		// What could never be read is named.
		other := config()
		other.Services[1].TLS.CAFile = filepath.Join(folder, "nothing.pem")
		inner.put(other)
		if d := next(c); d.Services[1].TLS.CAFile == "" {
			t.Errorf("%+v", d.Services[1].TLS)
		}
		cancel()
		if _, err := f.Next(ctx, "x"); err != nil { // it has one that is newer
			t.Error(err)
		}
		if _, err := f.Next(ctx, f.made.Version); err == nil {
			t.Error("it does not end with its context")
		}
	})
}
