package secure

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// pairFiles keeps a credential in two files.
type pairFiles struct {
	t   *testing.T
	dir string
}

func (p pairFiles) write(name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p pairFiles) replace(name string, b []byte) {
	p.t.Helper()
	p.write(name+".new", b)
	if err := os.Rename(filepath.Join(p.dir, name+".new"), filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p pairFiles) credential() wire.Credential {
	return wire.Credential{Name: "site", ChainFile: filepath.Join(p.dir, "tls.crt"), KeyFile: filepath.Join(p.dir, "tls.key")}
}

// served is the name of the certificate that a new client gets.
func served(sv *server) string {
	return sv.program.Load().choice.choose(&tls.ClientHelloInfo{}).pair.Leaf.Subject.CommonName
}

func TestReload(t *testing.T) {
	t.Parallel()
	p := pairFiles{t, t.TempDir()}
	one, two := testCA().issue("one", "localhost"), testCA().issue("two", "localhost")
	three := testCA().sign("three", testRSA(), time.Now().Add(-time.Hour), "localhost")
	p.write("tls.crt", one.Chain)
	p.write("tls.key", one.Key)
	var told []string
	cfg := &wire.ServerTLS{Credentials: []wire.Credential{testCA().issue("fixed", "fixed.test"), p.credential()}}
	slices.Reverse(cfg.Credentials)
	cfg.Reloaded = func(name string, err error) {
		told = append(told, strings.ReplaceAll(fmt.Sprint(name, ": ", err), p.dir, "DIR"))
	}
	sv := mustServer(t, cfg)
	sv.Close() // the test looks by itself
	step := func(what, want string, tell ...string) {
		t.Helper()
		told = nil
		sv.reload()
		if got := served(sv); got != want || !slices.Equal(told, tell) {
			t.Errorf("%s: serving %s, told %q; want %s, %q", what, got, told, want, tell)
		}
	}
	step("nothing changed", "one")
	p.replace("tls.crt", one.Chain)
	step("same again", "one")
	p.replace("tls.crt", two.Chain)
	step("half of a pair", "one")
	p.replace("tls.key", two.Key)
	step("the other half", "two", "site: <nil>")
	p.write("tls.key", two.Key[:len(two.Key)/2])
	step("cut off", "two")
	step("still cut off", "two", "site: key DIR/tls.key: no PRIVATE KEY block in PEM")
	step("told once", "two")
	os.Remove(filepath.Join(p.dir, "tls.key"))
	step("removed", "two")
	step("still removed", "two", "site: key DIR/tls.key: no such file or directory")
	p.write("tls.key", two.Key)
	step("back", "two", "site: <nil>")
	step("settled", "two")
	p.replace("tls.crt", three.Chain)
	p.replace("tls.key", three.Key)
	step("expired", "three", "site: certificate DIR/tls.crt: expired on "+
		time.Now().Add(-time.Hour).UTC().Format(time.DateOnly)+"; it is used all the same")
}

// TestReloadSymlink turns a link as Kubernetes does for a mounted Secret.
func TestReloadSymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	turn := func(version string, c wire.Credential) {
		sub := pairFiles{t, filepath.Join(dir, version)}
		if err := os.Mkdir(sub.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sub.write("tls.crt", c.Chain)
		sub.write("tls.key", c.Key)
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	turn("v1", testCA().issue("one", "localhost"))
	for _, n := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink("..data/"+n, filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{pairFiles{t, dir}.credential()}})
	sv.Close()
	turn("v2", testCA().issue("two", "localhost"))
	os.RemoveAll(filepath.Join(dir, "v1"))
	sv.reload()
	if got := served(sv); got != "two" {
		t.Errorf("serving %s", got)
	}
}

func TestWatcherLooksBySelf(t *testing.T) {
	t.Parallel()
	p := pairFiles{t, t.TempDir()}
	one, two := testCA().issue("one", "localhost"), testCA().issue("two", "localhost")
	synctest.Test(t, func(t *testing.T) {
		p.write("tls.crt", one.Chain)
		p.write("tls.key", one.Key)
		told := make(chan error, 1)
		sv, err := New(1).Server(&wire.ServerTLS{
			Credentials: []wire.Credential{p.credential()},
			Reloaded:    func(_ string, err error) { told <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
		p.replace("tls.crt", two.Chain)
		p.replace("tls.key", two.Key)
		if err := <-told; err != nil {
			t.Error(err)
		}
		if got := served(sv.(*server)); got != "two" {
			t.Errorf("serving %s", got)
		}
		sv.Close()
		sv.Close()
	})
}

// TestReloadUnderUse shakes hands while certificates change; every client is
// served, with one or the other.
func TestReloadUnderUse(t *testing.T) {
	t.Parallel()
	p := pairFiles{t, t.TempDir()}
	pairs := []wire.Credential{testCA().issue("one", "localhost"), testCA().issue("two", "localhost")}
	p.write("tls.crt", pairs[0].Chain)
	p.write("tls.key", pairs[0].Key)
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{p.credential()}})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p.replace("tls.crt", pairs[i%2].Chain)
			p.replace("tls.key", pairs[i%2].Key)
			sv.reload()
		}
	})
	for range 20 {
		a := accept(t, sv, echo())
		c := tls.Client(a.net, clientConfig())
		exchange(t, c, "hello")
		c.Close()
	}
	close(stop)
	wg.Wait()
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}}
	sv := mustServer(t, cfg)
	client := clientConfig()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	connect := func(wantResumed bool, wantProtocol string) {
		t.Helper()
		rec := echo()
		rec.onEOF = func() { rec.conn.Close() }
		a := accept(t, sv, rec)
		c := tls.Client(a.net, client)
		exchange(t, c, "hello")
		st := (<-a.ready).Peer().TLS
		if st.Resumed != wantResumed || st.Protocol != wantProtocol || st.Credential != any(cfg.Credentials[0].Name) {
			t.Errorf("state %+v, want resumed %v, protocol %q", st, wantResumed, wantProtocol)
		}
		c.CloseWrite()
		io.Copy(io.Discard, c)
	}
	client.NextProtos = []string{"http/1.1"}
	connect(false, "")
	connect(true, "")
	before := sv.certs[0].pair
	cfg = &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, Protocols: []string{"http/1.1"}}
	cfg.Credentials[0].Name = "renamed"
	if err := sv.Update(cfg); err != nil {
		t.Fatal(err)
	}
	if sv.certs[0].pair != before {
		t.Error("an unchanged certificate was parsed again")
	}
	connect(true, "http/1.1")
	if err := sv.Update(&wire.ServerTLS{Credentials: []wire.Credential{{Name: "bad"}}}); err == nil {
		t.Error("no error")
	}
	connect(true, "http/1.1")
}
